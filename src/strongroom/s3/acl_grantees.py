"""From a list as it is asked for to the grants that are kept: grantees are looked up, and what is public is held against its block.

Never knows what a grant lets do, nor how a list is written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from strongroom.api.errors import ApiError
from strongroom.iam.principals import Principals
from strongroom.policy.acls import AclGrant
from strongroom.s3.acl_forms import (
    Asked,
    canned_for_bucket,
    canned_for_object,
    check_count,
    check_one_form,
    document_grants,
    group_of,
    header_grants,
    kept,
    names_acl,
)
from strongroom.s3.bucket_cache import ACL, OWNERSHIP
from strongroom.s3.owners import owner_of
from strongroom.s3.ownership import ENFORCED, asked_ownership, owner_of_new
from strongroom.s3.sealing import object_arn

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from strongroom.api.operation import Call
    from strongroom.policy.public import PublicAccessBlock
    from strongroom.s3.bucket_cache import Bucket
    from strongroom.s3.metadata import ObjectMeta
    from strongroom.s3.rooms import Rooms
    from strongroom.store.contract import Catalog

#: Canned ACLs that change nothing where the bucket's owner owns every object (facts E20).
_EMPTY: Final = frozenset({"private", "bucket-owner-full-control", "bucket-owner-read"})


async def grants_for_bucket(catalog: Catalog, given: Mapping[str, Any], owner: str) -> tuple[AclGrant, ...] | None:
    """What a request says of a bucket's list, None for nothing. ``owner``: its canonical id. Raises ApiError."""
    check_one_form(given)
    if given.get("ACL") is not None:
        return canned_for_bucket(given["ACL"], owner)
    return await _spelled_out(catalog, given, owner)


async def grants_for_object(
    catalog: Catalog, given: Mapping[str, Any], owner: str, bucket_owner: str
) -> tuple[AclGrant, ...] | None:
    """The same of an object's. Raises ApiError."""
    check_one_form(given)
    if given.get("ACL") is not None:
        return canned_for_object(given["ACL"], owner, bucket_owner)
    return await _spelled_out(catalog, given, owner)


async def _spelled_out(catalog: Catalog, given: Mapping[str, Any], owner: str) -> tuple[AclGrant, ...] | None:
    if given.get("AccessControlPolicy") is not None:
        return await _found(catalog, document_grants(given["AccessControlPolicy"], owner))
    return await _found(catalog, header_grants(given)) if names_acl(given) else None


async def _found(catalog: Catalog, asked: Sequence[Asked]) -> tuple[AclGrant, ...]:
    """Raises ApiError MalformedACLError, InvalidArgument, UnresolvableGrantByEmailAddress, AmbiguousGrantByEmailAddress."""
    check_count(asked)
    principals = Principals(catalog)
    mailed = await principals.canonical_ids_of_emails({one.value for one in asked if one.sort == "emailAddress"})
    grants: list[AclGrant] = []
    for one in asked:
        if one.sort == "uri":
            grants.append(AclGrant(one.permission, group=group_of(one)))
            continue
        value = one.value
        if one.sort == "emailAddress":
            named = mailed[value.lower()]
            if len(named) != 1:
                raise ApiError("AmbiguousGrantByEmailAddress" if named else "UnresolvableGrantByEmailAddress")
            value = named[0]
        elif not await principals.is_named("CanonicalUser", value):
            raise ApiError("InvalidArgument", "Invalid id", ArgumentName=one.argument, ArgumentValue=value)
        grants.append(AclGrant(one.permission, value))
    return tuple(grants)


def refuse_public(call: Call, account_id: str, block: PublicAccessBlock, grants: Sequence[AclGrant], resource: str) -> None:
    """BlockPublicAcls (facts E8). ``account_id``: the bucket's, whose callers are told why. Raises ApiError AccessDenied."""
    if not block.refuses_acl(public=any(one.public for one in grants)):
        return
    if call.caller.account_id != account_id:
        raise ApiError("AccessDenied")
    raise ApiError(
        "AccessDenied",
        f'User: {call.caller.arn} is not authorized to perform: {call.operation.need.action} on resource: "{resource}" because public '
        "ACLs are prevented by the BlockPublicAcls setting in S3 Block Public Access.",
    )


async def new_settings(catalog: Catalog, call: Call, arn: str) -> dict[str, Any]:
    """What CreateBucket says of ownership and of the list, as documents by their kind. The rights for it are asked. Raises ApiError."""
    given, owner = call.input, call.caller.canonical_id
    ownership = asked_ownership(given)
    grants = await grants_for_bucket(catalog, given, owner)
    settings: dict[str, Any] = {}
    if ownership is not None:
        await call.allow("s3:PutBucketOwnershipControls", arn, new=True)
        settings[OWNERSHIP] = {"ownership": ownership}
    if grants is not None and given.get("ACL") != "private":
        await call.allow("s3:PutBucketAcl", arn, new=True)
    if ownership in {None, ENFORCED}:
        refuse_shared(grants or (), owner)
    if any(one.public for one in grants or ()):  # a new bucket blocks them
        raise ApiError("InvalidBucketAclWithBlockPublicAccessError")
    if grants is not None:
        settings[ACL] = {"grants": kept(grants)}
    return settings


def refuse_shared(grants: Iterable[AclGrant], owner: str) -> None:
    """Ownership is not enforced over a list that gives to others than the owner. Raises ApiError."""
    if any(one.group or one.canonical_id != owner for one in grants):
        raise ApiError("InvalidBucketAclWithObjectOwnership")


async def give_owner(call: Call, rooms: Rooms, bucket: Bucket, meta: ObjectMeta) -> None:
    """Whose a new object is and which list it gets. Where ownership is enforced nothing is asked, and a list is refused.

    Whoever sends a list needs the right to put it, as on an object of its own. Raises ApiError.
    """
    given, catalog = call.input, rooms.catalog
    if not bucket.acls:
        if names_acl(given):
            _refuse_enforced(given)
        return
    writer = "" if call.caller.anonymous else call.caller.account_id
    owner_id = owner_of_new(bucket.ownership, bucket.account_id, writer, given.get("ACL"))
    bucket_owner = (await owner_of(catalog, call, bucket.account_id))["ID"]
    owner = bucket_owner
    if owner_id != bucket.account_id:
        owner = call.caller.canonical_id
        meta.owner = (owner_id, owner)
    if not names_acl(given):
        return
    arn = object_arn(bucket.name, given["Key"])
    grants = await grants_for_object(catalog, given, owner, bucket_owner)
    await call.allow("s3:PutObjectAcl", arn, new=True)
    refuse_public(call, bucket.account_id, bucket.block, grants or (), arn)
    meta.acl = None if grants is None else kept(grants)


def _refuse_enforced(given: Mapping[str, Any]) -> None:
    """Raises ApiError AccessControlListNotSupported, InvalidRequest, InvalidArgument."""
    check_one_form(given)
    acl = given.get("ACL")
    if acl is not None:
        canned_for_object(acl, "", "")
    if acl not in _EMPTY:
        raise ApiError("AccessControlListNotSupported")
