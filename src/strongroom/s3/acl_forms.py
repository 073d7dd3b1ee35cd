"""Access control lists as clients write and read them: canned names, grant headers, the AccessControlPolicy document. Pure.

Never knows whether a grantee exists (``acl_grantees``), nor what a grant lets do. Sources: "Canned ACL" and "Who is a grantee?" in the
S3 user guide, the reference pages of PutBucketAcl and PutObjectAcl.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from strongroom.api.errors import ApiError
from strongroom.policy.acls import FULL_CONTROL, GROUPS, LOG_DELIVERY, AclGrant
from strongroom.policy.public import ALL_USERS, AUTHENTICATED_USERS

MOST_GRANTS: Final = 100
ACL_HEADER: Final = "x-amz-acl"
#: Member of an input → header, permission.
GRANT_HEADERS: Final = {
    "GrantFullControl": ("x-amz-grant-full-control", FULL_CONTROL),
    "GrantRead": ("x-amz-grant-read", "READ"),
    "GrantReadACP": ("x-amz-grant-read-acp", "READ_ACP"),
    "GrantWrite": ("x-amz-grant-write", "WRITE"),
    "GrantWriteACP": ("x-amz-grant-write-acp", "WRITE_ACP"),
}
_OF_LISTS: Final = frozenset({"ACL", *GRANT_HEADERS})
#: Who reads machine images, as AWS names it.
_EC2: Final = "6aa5a366c34c1cbe25dc49211496e913e0351eb0e8c37aa3477e40942ec6b97c"
_GROUPS: Final = {
    "private": (),
    "public-read": (AclGrant("READ", group=ALL_USERS),),
    "public-read-write": (AclGrant("READ", group=ALL_USERS), AclGrant("WRITE", group=ALL_USERS)),
    "authenticated-read": (AclGrant("READ", group=AUTHENTICATED_USERS),),
    "aws-exec-read": (AclGrant("READ", _EC2),),
}
_OF_OBJECTS: Final = frozenset({*_GROUPS, "bucket-owner-read", "bucket-owner-full-control"})
_LOG_DELIVERY: Final = (AclGrant("WRITE", group=LOG_DELIVERY), AclGrant("READ_ACP", group=LOG_DELIVERY))
_GRANTEE: Final = re.compile(r'\s*(id|uri|emailAddress)\s*=\s*(?:"([^"]*)"|([^",\s]+))\s*', re.ASCII)
_KINDS: Final = {
    "CanonicalUser": ("id", "ID"),
    "AmazonCustomerByEmail": ("emailAddress", "EmailAddress"),
    "Group": ("uri", "URI"),
}


class Asked(NamedTuple):
    """A grant as it is asked for. ``sort``: id, uri or emailAddress; ``argument`` names it in refusals."""

    permission: str
    sort: str
    value: str
    argument: str


def names_acl(given: Mapping[str, Any]) -> bool:
    """Whether a request says anything of a list in its headers."""
    return not _OF_LISTS.isdisjoint(given) and any(given.get(member) is not None for member in _OF_LISTS)


def canned_for_bucket(name: str, owner: str) -> tuple[AclGrant, ...]:
    """``owner``: a canonical id. Names that are meant for objects mean nothing on a bucket. Raises ApiError InvalidArgument."""
    if name == "log-delivery-write":
        return (AclGrant(FULL_CONTROL, owner), *_LOG_DELIVERY)
    _check_canned(name)
    return (AclGrant(FULL_CONTROL, owner), *_GROUPS.get(name, ()))


def canned_for_object(name: str, owner: str, bucket_owner: str) -> tuple[AclGrant, ...]:
    """Canonical ids of the object's and the bucket's owner, who may be one. Raises ApiError InvalidArgument."""
    _check_canned(name)
    own = AclGrant(FULL_CONTROL, owner)
    if name.startswith("bucket-owner-"):
        theirs = AclGrant("READ" if name == "bucket-owner-read" else FULL_CONTROL, bucket_owner)
        return (own,) if owner == bucket_owner else (own, theirs)
    return (own, *_GROUPS[name])


def _check_canned(name: str) -> None:
    if name not in _OF_OBJECTS:
        raise ApiError("InvalidArgument", ArgumentName=ACL_HEADER, ArgumentValue=name)


def check_one_form(given: Mapping[str, Any]) -> None:
    """A list comes in one form. Raises ApiError InvalidRequest, UnexpectedContent."""
    grants = any(given.get(member) is not None for member in GRANT_HEADERS)
    if given.get("ACL") is not None and grants:
        raise ApiError("InvalidRequest", "Specifying both Canned ACLs and Header Grants is not allowed")
    if given.get("AccessControlPolicy") is not None and names_acl(given):
        raise ApiError("UnexpectedContent")


def header_grants(given: Mapping[str, Any]) -> list[Asked]:
    """Raises ApiError InvalidArgument."""
    asked: list[Asked] = []
    for member, (header, permission) in GRANT_HEADERS.items():
        value: str | None = given.get(member)
        if value is None:
            continue
        for part in value.split(","):
            found = _GRANTEE.fullmatch(part)
            if found is None:
                raise ApiError("InvalidArgument", "Argument format not recognized", ArgumentName=header, ArgumentValue=value)
            asked.append(Asked(permission, found[1], found[2] or found[3] or "", found[1]))
    return asked


def document_grants(policy: Mapping[str, Any], owner: str) -> list[Asked]:
    """Of an AccessControlPolicy, which must name the owner that there is. Raises ApiError MalformedACLError, AccessDenied."""
    named: Mapping[str, str] = policy.get("Owner") or {}
    grants: Sequence[Mapping[str, Any]] | None = policy.get("Grants")
    if not named.get("ID") or grants is None:
        raise ApiError("MalformedACLError")
    if named["ID"] != owner:
        raise ApiError("AccessDenied")
    return [_document_grant(one) for one in grants]


def _document_grant(grant: Mapping[str, Any]) -> Asked:
    grantee: Mapping[str, str] = grant.get("Grantee") or {}
    kind = _KINDS.get(grantee.get("Type", ""))
    if kind is None or not grant.get("Permission") or not grantee.get(kind[1]):
        raise ApiError("MalformedACLError")
    sort, element = kind
    return Asked(grant["Permission"], sort, grantee[element], f"{grantee['Type']}/{element}")


def group_of(asked: Asked) -> str:
    """Raises ApiError InvalidArgument for a group that there is not."""
    if asked.value not in GROUPS:
        raise ApiError("InvalidArgument", "Invalid group uri", ArgumentName=asked.argument, ArgumentValue=asked.value)
    return asked.value


def check_count(asked: Sequence[Asked]) -> None:
    """Raises ApiError MalformedACLError."""
    if len(asked) > MOST_GRANTS:
        raise ApiError("MalformedACLError")


def show_acl(owner: str, grants: Iterable[AclGrant]) -> dict[str, Any]:
    """The output of GetBucketAcl and GetObjectAcl."""
    return {"Owner": {"ID": owner}, "Grants": [{"Grantee": _shown(one), "Permission": one.permission} for one in grants]}


def _shown(grant: AclGrant) -> dict[str, str]:
    return {"URI": grant.group, "Type": "Group"} if grant.group else {"ID": grant.canonical_id, "Type": "CanonicalUser"}


def kept(grants: Iterable[AclGrant]) -> list[list[str]]:
    """As a list is stored: see ``bucket_cache.stored_grants``."""
    return [[one.permission, one.canonical_id, one.group] for one in grants]
