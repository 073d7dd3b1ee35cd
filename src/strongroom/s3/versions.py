"""How a version enters and leaves the catalog: ids, conditions judged at commit time, delete markers, the null version's replacement.

Every write path ends here, in one transaction, and it is here that the bucket's versioning state is read: one that changes while a
body is on its way decides what becomes of it. Never knows how bytes are sealed.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from strongroom.api.errors import ApiError
from strongroom.s3.bucket_cache import OBJECT_LOCK, VERSIONING, bucket_scope, no_such_bucket
from strongroom.s3.metadata import ObjectMeta
from strongroom.seal import SealError
from strongroom.seal.format import decode_manifest
from strongroom.store.contract import VersionRow

if TYPE_CHECKING:
    from strongroom.s3.bucket_cache import Bucket
    from strongroom.store.contract import Transaction

OBJECT_KEY_BYTES: Final = 1024
PUT_BYTES: Final = 5 * 1024**3
ENABLED: Final = "Enabled"
SUSPENDED: Final = "Suspended"
NULL: Final = "null"  # what the null version is called
IN_ROW: Final = 0  # the part number of a piece whose sealed bytes are the row's body; S3's own part numbers begin at 1


_VERSION_ID: Final = re.compile(r"[A-Za-z0-9._-]{32}", re.ASCII)


def check_object_key(object_key: str) -> None:
    """Raises ApiError KeyTooLongError."""
    size = len(object_key.encode())
    if size > OBJECT_KEY_BYTES:
        raise ApiError("KeyTooLongError", Size=str(size), MaxSizeAllowed=str(OBJECT_KEY_BYTES))


def new_version_id(random: Callable[[int], bytes]) -> str:
    """32 characters of S3's own alphabet (no dash, which a command line would take for an option); unique, and without order:
    the catalog orders versions by their commit.
    """
    return base64.b64encode(random(24), b"._").decode()


def asked_version(given: Mapping[str, Any]) -> tuple[bool, str | None]:
    """(was a version asked for?, its id or None for the null version). Raises ApiError InvalidArgument for a malformed id."""
    version_id = given.get("VersionId")
    if version_id is None:
        return False, None
    if version_id == "":
        raise ApiError("InvalidArgument", "Version id cannot be the empty string", ArgumentName="versionId", ArgumentValue="")
    return True, read_version_id(version_id, "versionId")


def read_version_id(version_id: str, argument: str) -> str | None:
    """The id, or None for the null version. Raises ApiError InvalidArgument when it has not the form of one."""
    if version_id == NULL:
        return None
    if _VERSION_ID.fullmatch(version_id) is None:
        raise ApiError("InvalidArgument", "Invalid version id specified", ArgumentName=argument, ArgumentValue=version_id)
    return version_id


def shown_id(row: VersionRow) -> str:
    """A version's id as clients see it."""
    return NULL if row.null_version else row.version_id


@dataclass(frozen=True, slots=True)
class Condition:
    """If-Match and If-None-Match of a write, judged against the newest version at commit time."""

    if_match: str | None = None
    if_none_match: str | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Condition:
        """Raises ApiError NotImplemented for forms that S3 refuses too."""
        if "IfMatch" not in given and "IfNoneMatch" not in given:
            return NO_CONDITION
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


def versioning_at(tx: Transaction, bucket: Bucket) -> str:
    """The bucket's versioning state at the commit: "", "Enabled" or "Suspended". Raises ApiError NoSuchBucket."""
    if bucket.generation is not None and bucket.generation == tx.generation:  # nothing was changed since it was read
        return bucket.versioning
    if not tx.bucket_exists(bucket.bucket_id):
        raise no_such_bucket(bucket.name)
    document = tx.document(bucket_scope(bucket.bucket_id), VERSIONING)
    return document["status"] if document else ""


def commit_version(
    tx: Transaction, bucket: Bucket, row: VersionRow, blob_ids: list[str], condition: Condition = NO_CONDITION
) -> dict[str, str]:
    """Make ``row`` the newest version of its key; what an answer says of its id, which is nothing in an unversioned bucket.

    Whether it is a null version is decided here, whatever the row says. ``blob_ids`` are the blobs that the row newly names.
    Raises ApiError NoSuchBucket, PreconditionFailed, NoSuchKey.
    """
    versioning = versioning_at(tx, bucket)
    row = row._replace(null_version=versioning != ENABLED)
    newest = tx.latest(bucket.bucket_id, row.object_key)
    condition.judge(bucket, row.object_key, newest)
    if blob_ids:
        tx.keep(blob_ids)
    _become_newest(tx, row, newest)
    return {"VersionId": shown_id(row)} if versioning else {}


def commit_in_place(
    tx: Transaction, bucket: Bucket, old: VersionRow, row: VersionRow, condition: Condition = NO_CONDITION
) -> dict[str, str] | None:
    """As ``commit_version`` of a row about the very bytes of ``old``, whose blobs it keeps.

    None, and no change, unless ``row`` takes the place of just that ``old``: else two rows would name one blob.
    """
    versioning = versioning_at(tx, bucket)
    newest = tx.latest(bucket.bucket_id, row.object_key)
    condition.judge(bucket, row.object_key, newest)
    if versioning == ENABLED or newest is None or not newest.null_version:
        return None
    if (newest.version_id, newest.seal, newest.meta, newest.manifest) != (old.version_id, old.seal, old.meta, old.manifest):
        return None
    tx.replace_version(newest, row._replace(null_version=True))
    return {"VersionId": shown_id(row)} if versioning else {}


def commit_marker(tx: Transaction, bucket: Bucket, object_key: str, version_id: str, modified_ms: int, versioning: str) -> str:
    """A delete marker becomes the newest version of a key, which need not exist; its id as clients see it.

    It holds nothing: no size, no key, no record. In a suspended bucket it is a null version, and takes the place of the other.
    """
    suspended = versioning != ENABLED
    row = VersionRow(bucket.bucket_id, object_key, version_id, suspended, True, 0, modified_ms, b"", b"", b"")
    _become_newest(tx, row, tx.latest(bucket.bucket_id, object_key))
    return shown_id(row)


def _become_newest(tx: Transaction, row: VersionRow, newest: VersionRow | None) -> None:
    """Insert a row; a null version in place of the one there was. In a bucket with object lock none comes: its versioning stays on."""
    if row.null_version and newest is not None:
        if newest.null_version:
            tx.replace_version(newest, row)
            _discard(tx, newest)
            return
        null = tx.version(row.bucket_id, row.object_key, None)
        if null is not None:
            _remove(tx, null)
    tx.insert_version(row)


def move_version(tx: Transaction, old: VersionRow, row: VersionRow, annotations: Mapping[str, bytes]) -> None:
    """``row`` is ``old`` under another key of a bucket without versions: its blobs stay, those of what it replaces go to upkeep.

    ``annotations``: the records of those of ``old``, bound to ``row``.
    """
    _become_newest(tx, row, tx.latest(row.bucket_id, row.object_key))
    if annotations:
        tx.move_annotations(old, row, annotations)
    tx.delete_version(old)


def has_lock(tx: Transaction, bucket: Bucket) -> bool:
    """Whether the bucket has object lock at the commit."""
    return tx.document(bucket_scope(bucket.bucket_id), OBJECT_LOCK) is not None


def remove_version(
    tx: Transaction, bucket: Bucket, row: VersionRow, now_ms: int, *, locks: bool | None = None, bypass: bool = False
) -> None:
    """Delete one row for good, and give its blobs to upkeep: the only way for a version to go that is named or has outlived its time.

    ``locks``: what ``has_lock`` says, for whoever removes many in one transaction. ``bypass``: of governance, by somebody who may.
    Raises ApiError before any change: AccessDenied for what object lock protects, InternalError where a damaged record cannot say.
    """
    if not row.delete_marker and (has_lock(tx, bucket) if locks is None else locks):
        try:
            lock = ObjectMeta.open(bucket, row).lock
        except SealError as error:
            raise ApiError("InternalError") from error
        lock.check_removal(now_ms, bypass=bypass)
    _remove(tx, row)


def _remove(tx: Transaction, row: VersionRow) -> None:
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
