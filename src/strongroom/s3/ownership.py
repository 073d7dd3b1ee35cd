"""Who owns what is written into a bucket: the setting, and its rule. Pure. Never knows what an owner may do.

Source: "Controlling ownership of objects and disabling ACLs for your bucket" in the S3 user guide.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from strongroom.api.errors import ApiError

ENFORCED: Final = "BucketOwnerEnforced"  # the bucket's owner owns everything, and lists count for nothing
PREFERRED: Final = "BucketOwnerPreferred"
WRITER: Final = "ObjectWriter"
HEADER: Final = "x-amz-object-ownership"
_ALL: Final = frozenset({ENFORCED, PREFERRED, WRITER})
_YIELDS: Final = "bucket-owner-full-control"  # the canned ACL by which a writer leaves an object to the bucket's owner


def stored_ownership(document: Mapping[str, str] | None) -> str | None:
    """Without a document that of a new bucket; with an empty one (it was deleted) none, which means ``WRITER``."""
    if document is None:
        return ENFORCED
    return document.get("ownership")


def read_ownership(controls: Mapping[str, Any]) -> str:
    """Of an OwnershipControls element. Raises ApiError MalformedXML."""
    rules: list[Mapping[str, str]] = controls.get("Rules") or []
    if len(rules) != 1 or rules[0].get("ObjectOwnership") not in _ALL:
        raise ApiError("MalformedXML")
    return rules[0]["ObjectOwnership"]


def asked_ownership(given: Mapping[str, Any]) -> str | None:
    """By the header of CreateBucket. Raises ApiError InvalidArgument (facts E22)."""
    value: str | None = given.get("ObjectOwnership")
    if value is not None and value not in _ALL:
        raise ApiError("InvalidArgument", f"Invalid {HEADER} header: {value}", ArgumentName=HEADER)
    return value


def owner_of_new(ownership: str | None, bucket_owner: str, writer: str, canned: str | None) -> str:
    """The account that an object belongs to when ``writer`` (an account id, "" for nobody) makes it.

    What nobody signed belongs to the bucket's owner: an owner that everybody is would be no owner.
    """
    if ownership == ENFORCED or not writer or (ownership == PREFERRED and canned == _YIELDS):
        return bucket_owner
    return writer
