"""The four settings of S3 Block Public Access, between S3's shape, the stored document and the value that rules read.

Pure. Never knows what the settings do: that is in ``policy.public``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from strongroom.policy.public import ALL_BLOCKED, PublicAccessBlock

ACCOUNT_ACCESS: Final = "s3-public-access"  # kind of an account's document
_MEMBERS: Final = {
    "BlockPublicAcls": "block_public_acls",
    "IgnorePublicAcls": "ignore_public_acls",
    "BlockPublicPolicy": "block_public_policy",
    "RestrictPublicBuckets": "restrict_public_buckets",
}


def read_block(configuration: Mapping[str, Any]) -> PublicAccessBlock:
    return PublicAccessBlock(**{name: configuration.get(member) is True for member, name in _MEMBERS.items()})


def show_block(block: PublicAccessBlock) -> dict[str, bool]:
    return {member: getattr(block, name) for member, name in _MEMBERS.items()}


def stored_block(document: Mapping[str, Any] | None) -> PublicAccessBlock | None:
    """What a bucket has: without a document that of a new bucket, with an empty one (it was deleted) none."""
    if document is None:
        return ALL_BLOCKED
    return read_block(document) if document else None


def stored_account_block(document: Mapping[str, Any] | None) -> PublicAccessBlock | None:
    """What an account has: none until one is put."""
    return read_block(document) if document else None
