"""Access control lists: what a grant lets whom do, to a bucket or to an object. Pure.

Never knows where a list is kept, how it is written on the wire, or whether a grantee exists. Sources: "Access control list (ACL)
overview" with its "Mapping of ACL permissions and access policy permissions" in the S3 user guide; "Policies and permissions" in the IAM
user guide (lists give nothing to the principals of the account that owns the resource).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from strongroom.policy.compiled import Finding
from strongroom.policy.faults import Kind
from strongroom.policy.principals import Reach, Who
from strongroom.policy.public import ALL_USERS, AUTHENTICATED_USERS, PublicAccessBlock, is_public_grant

LOG_DELIVERY: Final = "http://acs.amazonaws.com/groups/s3/LogDelivery"
GROUPS: Final = frozenset({ALL_USERS, AUTHENTICATED_USERS, LOG_DELIVERY})
FULL_CONTROL: Final = "FULL_CONTROL"
PERMISSIONS: Final = frozenset({"READ", "WRITE", "READ_ACP", "WRITE_ACP", FULL_CONTROL})


def _actions(names: str) -> frozenset[str]:
    return frozenset(f"s3:{name}" for name in names.split())


_ON_BUCKET: Final = {
    "READ": _actions("ListBucket ListBucketVersions ListBucketMultipartUploads"),
    "WRITE": _actions("PutObject DeleteObject"),
    "READ_ACP": _actions("GetBucketAcl"),
    "WRITE_ACP": _actions("PutBucketAcl"),
}
_ON_OBJECT: Final = {
    "READ": _actions("GetObject GetObjectVersion GetObjectTorrent"),
    "READ_ACP": _actions("GetObjectAcl GetObjectVersionAcl"),
    "WRITE_ACP": _actions("PutObjectAcl PutObjectVersionAcl"),
}


def _permissions(table: dict[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    """Action → the permissions that let do it."""
    actions = frozenset[str]().union(*table.values())
    return {one: frozenset(name for name, lets in table.items() if one in lets) | {FULL_CONTROL} for one in actions}


_OF_BUCKET: Final = _permissions(_ON_BUCKET)
_OF_OBJECT: Final = _permissions(_ON_OBJECT)

#: What WRITE on a bucket lets do to a key that is not there, or to an object of one's own, and to no other.
WRITES: Final = _ON_BUCKET["WRITE"]
#: What whoever may write an object may do to it at once by its own account's leave: it will be its own.
OF_WRITER: Final = _actions("PutObjectAcl")
#: Actions on an object that is there, about which its owner decides and not the bucket's, where the two may differ.
OF_OBJECT_OWNER: Final = _actions(
    """
    DeleteObjectTagging DeleteObjectVersionTagging GetObject GetObjectAcl GetObjectAttributes GetObjectTagging GetObjectTorrent
    GetObjectVersion GetObjectVersionAcl GetObjectVersionAttributes GetObjectVersionTagging GetObjectVersionTorrent PutObjectAcl
    PutObjectTagging PutObjectVersionAcl PutObjectVersionTagging RestoreObject UpdateObjectEncryption
    """
)


@dataclass(frozen=True, slots=True)
class AclGrant:
    """One permission for one grantee: an account by its canonical id, or a group by its URI; the other is ""."""

    permission: str
    canonical_id: str = ""
    group: str = ""

    def names(self, who: Who) -> bool:
        if who.service:
            return False
        if self.group:
            return self.group == ALL_USERS or (self.group == AUTHENTICATED_USERS and not who.anonymous)
        return not who.anonymous and bool(self.canonical_id) and self.canonical_id == who.canonical_id

    @property
    def public(self) -> bool:
        return is_public_grant(self.group)


@dataclass(frozen=True, slots=True)
class Acl:
    """The list of one bucket or object (its ARN), as it counts: what Block Public Access takes from it is not in it."""

    resource: str
    grants: tuple[AclGrant, ...]
    of_bucket: bool

    def look(self, who: Who, action: str) -> Finding:
        """A list never denies, and names an account at best: within the account that owns the resource it gives nothing."""
        wanted = (_OF_BUCKET if self.of_bucket else _OF_OBJECT).get(action, frozenset[str]())
        for index, one in enumerate(self.grants):
            if one.permission in wanted and one.names(who):
                reach = Reach.LIMITED if who.anonymous else Reach.ACCOUNT
                told = f"{one.permission} to {one.group or one.canonical_id}"
                return Finding(Kind.ACL, self.resource, True, index, told, reach)
        return Finding(Kind.ACL, self.resource, None)


def effective(grants: tuple[AclGrant, ...], block: PublicAccessBlock) -> tuple[AclGrant, ...]:
    """The grants that have an effect."""
    return tuple(one for one in grants if not block.ignores_grant(one.group))
