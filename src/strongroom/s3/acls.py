"""GetBucketAcl, PutBucketAcl, GetObjectAcl, PutObjectAcl; and object ownership, which says whether lists count at all.

A bucket's list is a document, an object's is in the sealed record of its version. Where ownership is enforced nothing is put, and
what is read is the owner's full control. Never knows what a grant lets do: that is for ``policy.acls``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from strongroom.api.errors import ApiError
from strongroom.api.operation import Answer, operation
from strongroom.policy.acls import FULL_CONTROL, AclGrant
from strongroom.s3.acl_forms import ACL_HEADER, kept, show_acl
from strongroom.s3.acl_grantees import grants_for_bucket, grants_for_object, refuse_public, refuse_shared
from strongroom.s3.bucket_cache import ACL, OWNERSHIP, block_at, bucket_scope, no_such_bucket, stored_grants
from strongroom.s3.metadata import ObjectMeta
from strongroom.s3.owners import bucket_arn, owner_of
from strongroom.s3.ownership import ENFORCED, read_ownership, stored_ownership
from strongroom.s3.reading import find_version_for
from strongroom.s3.record_changes import change_record
from strongroom.s3.sealing import object_arn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from strongroom.api.operation import Call
    from strongroom.s3.bucket_cache import Bucket
    from strongroom.s3.rooms import Rooms
    from strongroom.store.contract import Transaction


class Acls:
    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    @operation("s3", "GetBucketAcl", "s3:GetBucketAcl", on="bucket")
    async def get_bucket_acl(self, call: Call) -> Answer:
        bucket = await self._rooms.buckets.find(call.input["Bucket"])
        owner = await self._owner(call, bucket)
        grants = None if bucket.ownership == ENFORCED else bucket.grants
        return Answer(show_acl(owner, _private(owner) if grants is None else grants))

    @operation("s3", "PutBucketAcl", "s3:PutBucketAcl", on="bucket")
    async def put_bucket_acl(self, call: Call) -> Answer:
        bucket = await self._rooms.buckets.find(call.input["Bucket"])
        if not bucket.acls:
            raise ApiError("AccessControlListNotSupported")
        owner = await self._owner(call, bucket)
        grants = _given(await grants_for_bucket(self._rooms.catalog, call.input, owner))

        def work(tx: Transaction) -> None:
            if not tx.bucket_exists(bucket.bucket_id):
                raise no_such_bucket(bucket.name)
            if stored_ownership(tx.document(bucket_scope(bucket.bucket_id), OWNERSHIP)) == ENFORCED:
                raise ApiError("AccessControlListNotSupported")
            refuse_public(call, bucket.account_id, block_at(tx, bucket), grants, bucket_arn(bucket.name))
            tx.set_document(bucket_scope(bucket.bucket_id), ACL, {"grants": kept(grants)})

        await self._rooms.catalog.write(work)
        return Answer()

    @operation("s3", "GetObjectAcl", "s3:GetObjectAcl", on="object", with_version="s3:GetObjectVersionAcl")
    async def get_object_acl(self, call: Call) -> Answer:
        bucket = await self._rooms.buckets.find(call.input["Bucket"])
        row = await find_version_for(call, self._rooms, bucket, call.input)
        meta = ObjectMeta.open(bucket, row)
        bucket_owner = await self._owner(call, bucket)
        if not bucket.acls:
            return Answer(show_acl(bucket_owner, _private(bucket_owner)))
        owner = bucket_owner if meta.owner is None else meta.owner[1]
        return Answer(show_acl(owner, _private(owner) if meta.acl is None else stored_grants(meta.acl)))

    @operation("s3", "PutObjectAcl", "s3:PutObjectAcl", on="object", with_version="s3:PutObjectVersionAcl")
    async def put_object_acl(self, call: Call) -> Answer:
        bucket = await self._rooms.buckets.find(call.input["Bucket"])
        if not bucket.acls:
            raise ApiError("AccessControlListNotSupported")
        row = await find_version_for(call, self._rooms, bucket, call.input, "PUT")
        meta = ObjectMeta.open(bucket, row)
        bucket_owner = await self._owner(call, bucket)
        owner = bucket_owner if meta.owner is None else meta.owner[1]
        grants = _given(await grants_for_object(self._rooms.catalog, call.input, owner, bucket_owner))
        refuse_public(call, bucket.account_id, bucket.block, grants, object_arn(bucket.name, row.object_key))

        def change(meta: ObjectMeta) -> None:
            meta.acl = kept(grants)

        await change_record(call, self._rooms, bucket, change)
        return Answer()

    @operation("s3", "GetBucketOwnershipControls", "s3:GetBucketOwnershipControls", on="bucket")
    async def get_bucket_ownership_controls(self, call: Call) -> Answer:
        bucket = await self._rooms.buckets.find(call.input["Bucket"])
        if bucket.ownership is None:
            raise ApiError("OwnershipControlsNotFoundError", BucketName=bucket.name)
        return Answer({"OwnershipControls": {"Rules": [{"ObjectOwnership": bucket.ownership}]}})

    @operation("s3", "PutBucketOwnershipControls", "s3:PutBucketOwnershipControls", on="bucket")
    async def put_bucket_ownership_controls(self, call: Call) -> Answer:
        """Lists that are there stay as they are: they count again when ownership is no longer enforced."""
        bucket = await self._rooms.buckets.find(call.input["Bucket"])
        ownership = read_ownership(call.input.get("OwnershipControls") or {})
        owner = await self._owner(call, bucket)

        def work(tx: Transaction) -> None:
            listed = tx.document(bucket_scope(bucket.bucket_id), ACL)
            if ownership == ENFORCED and listed is not None:
                refuse_shared(stored_grants(listed["grants"]), owner)
            _set(tx, bucket, {"ownership": ownership})

        await self._rooms.catalog.write(work)
        return Answer()

    @operation("s3", "DeleteBucketOwnershipControls", "s3:PutBucketOwnershipControls", on="bucket")
    async def delete_bucket_ownership_controls(self, call: Call) -> Answer:
        """What is left is a bucket without the controls, in which lists count; not one with those of a new bucket."""
        bucket = await self._rooms.buckets.find(call.input["Bucket"])
        await self._rooms.catalog.write(lambda tx: _set(tx, bucket, {}))
        return Answer()

    async def _owner(self, call: Call, bucket: Bucket) -> str:
        return (await owner_of(self._rooms.catalog, call, bucket.account_id))["ID"]


def _private(owner: str) -> tuple[AclGrant, ...]:
    return (AclGrant(FULL_CONTROL, owner),)


def _given(grants: tuple[AclGrant, ...] | None) -> tuple[AclGrant, ...]:
    """Raises ApiError MissingSecurityHeader for a request that says nothing of a list."""
    if grants is None:
        raise ApiError("MissingSecurityHeader", MissingHeaderName=ACL_HEADER)
    return grants


def _set(tx: Transaction, bucket: Bucket, value: Mapping[str, Any]) -> None:
    if not tx.bucket_exists(bucket.bucket_id):
        raise no_such_bucket(bucket.name)
    tx.set_document(bucket_scope(bucket.bucket_id), OWNERSHIP, value)
