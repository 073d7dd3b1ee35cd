"""How a version enters and leaves the catalog: ids, conditions judged at commit time, the null version's replacement.

Every write path ends here, in one transaction. Never knows how bytes are sealed or answered.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from strongroom.api.errors import ApiError
from strongroom.s3.bucket_cache import no_such_bucket
from strongroom.s3.metadata import ObjectMeta
from strongroom.seal.format import decode_manifest

if TYPE_CHECKING:
    from strongroom.s3.bucket_cache import Bucket
    from strongroom.store.contract import Transaction, VersionRow

OBJECT_KEY_BYTES: Final = 1024
PUT_BYTES: Final = 5 * 1024**3
IN_ROW: Final = 0  # the part number of a piece whose sealed bytes are the row's body; S3's own part numbers begin at 1


def check_object_key(object_key: str) -> None:
    """Raises ApiError KeyTooLongError."""
    size = len(object_key.encode())
    if size > OBJECT_KEY_BYTES:
        raise ApiError("KeyTooLongError", Size=str(size), MaxSizeAllowed=str(OBJECT_KEY_BYTES))


def new_version_id(random: Callable[[int], bytes]) -> str:
    """32 characters, as S3's own; unique, and without order: the catalog orders versions by their commit."""
    return base64.urlsafe_b64encode(random(24)).decode()


def asked_version(given: Mapping[str, Any]) -> tuple[bool, str | None]:
    """(was a version asked for?, its id or None for the null version). Raises ApiError InvalidArgument for a malformed id."""
    version_id = given.get("VersionId")
    if version_id is None:
        return False, None
    if version_id == "null":
        return True, None
    if len(version_id) != 32 or not version_id.isascii() or not version_id.replace("-", "").replace("_", "").isalnum():
        raise ApiError("InvalidArgument", "Invalid version id specified", ArgumentName="versionId", ArgumentValue=version_id)
    return True, version_id


@dataclass(frozen=True, slots=True)
class Condition:
    """If-Match and If-None-Match of a write, judged against the newest version at commit time."""

    if_match: str | None = None
    if_none_match: str | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Condition:
        """Raises ApiError NotImplemented for forms that S3 refuses too."""
        if_match, if_none_match = given.get("IfMatch"), given.get("IfNoneMatch")
        if if_none_match is not None and if_none_match != "*":
            text = "We don't accept the provided value of If-None-Match header for this API"
            raise ApiError("NotImplemented", Header="If-None-Match", additionalMessage=text)
        if if_match is not None and if_none_match is not None:
            text = "Multiple conditional request headers present in the request"
            raise ApiError("NotImplemented", Header="If-Match,If-None-Match", additionalMessage=text)
        return cls(if_match, if_none_match)

    def judge(self, bucket: Bucket, object_key: str, newest: VersionRow | None) -> None:
        """Raises ApiError PreconditionFailed or NoSuchKey."""
        exists = newest is not None and not newest.delete_marker
        if self.if_none_match is not None and exists:
            raise ApiError("PreconditionFailed", Condition="If-None-Match")
        if self.if_match is None:
            return
        if newest is None or newest.delete_marker:
            raise ApiError("NoSuchKey", Key=object_key)
        if self.if_match.strip() != "*" and self.if_match.strip().strip('"') != ObjectMeta.open(bucket, newest).etag:
            raise ApiError("PreconditionFailed", Condition="If-Match")


NO_CONDITION: Final = Condition()


def commit_version(
    tx: Transaction, bucket: Bucket, row: VersionRow, blob_ids: list[str], condition: Condition = NO_CONDITION
) -> None:
    """Make ``row`` the newest version of its key, replacing the null version if it is one itself.

    ``blob_ids`` are the blobs that the row newly names. Raises ApiError NoSuchBucket, PreconditionFailed, NoSuchKey.
    """
    if not tx.bucket_exists(bucket.bucket_id):
        raise no_such_bucket(bucket.name)
    newest = tx.latest(bucket.bucket_id, row.object_key)
    condition.judge(bucket, row.object_key, newest)
    if blob_ids:
        tx.keep(blob_ids)
    if row.null_version and newest is not None:
        if newest.null_version:
            tx.replace_version(newest, row)
            _discard(tx, newest)
            return
        null = tx.version(bucket.bucket_id, row.object_key, None)
        if null is not None:
            remove_version(tx, null)
    tx.insert_version(row)


def remove_version(tx: Transaction, row: VersionRow) -> None:
    """Delete one row for good, and give its blobs to upkeep."""
    tx.delete_version(row)
    _discard(tx, row)


def _discard(tx: Transaction, row: VersionRow) -> None:
    blob_ids = stored_blobs(row.manifest)
    if blob_ids:
        tx.discard(blob_ids)


def stored_blobs(manifest: bytes) -> list[str]:
    """The blobs of a manifest that are not in the row itself."""
    if not manifest:
        return []
    return [piece.blob_id for piece in decode_manifest(manifest) if piece.part_number != IN_ROW]


def milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
