"""RenameObject: an object gets another key in its bucket, at the cost of its row. S3 has it for directory buckets, this server for ordinary ones.

No byte of the object is read or moved: a stream is bound to its blob, and only the wrapped data key and the record to the object key, so
those two are made anew. KMS is asked where its ciphertext names the object (SSE-KMS and DSSE-KMS without a bucket key). All of it is
one transaction. Never knows HTTP. Source: RenameObject in the S3 API reference; "Renaming objects in directory buckets" in the user guide.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from strongroom.api.errors import ApiError
from strongroom.api.operation import Answer, operation
from strongroom.s3.annotation_records import moved_records
from strongroom.s3.conditions import judge_copy_source
from strongroom.s3.encryption import kept
from strongroom.s3.metadata import ObjectMeta
from strongroom.s3.reading import OF_KMS, find_version_for, modified_at, refuse_unsafe_read
from strongroom.s3.sealing import Sealing, object_arn
from strongroom.s3.versions import Condition, check_object_key, move_version, new_version_id, versioning_at
from strongroom.seal.format import Envelope, Mode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from strongroom.api.operation import Call
    from strongroom.s3.bucket_cache import Bucket
    from strongroom.s3.rooms import Rooms
    from strongroom.s3.sealing import ObjectKey
    from strongroom.store.contract import Transaction, VersionRow

TRIES: Final = 4  # looks at a row that others change at the same time
_TOKEN: Final = re.compile(r"[!-~]{1,64}", re.ASCII)
_SOURCE_CONDITIONS: Final = {
    f"CopySource{name}": f"Source{name}" for name in ("IfMatch", "IfNoneMatch", "IfModifiedSince", "IfUnmodifiedSince")
}
_CUSTOMER: Final = (
    "Objects encrypted with customer-provided keys (SSE-C) cannot be renamed: the request has no place for the key. Copy them."
)


class _Changed(Exception):
    """The source is not the one that was looked at."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What one request asks for."""

    source: str
    destination: str
    given: Mapping[str, Any]
    condition: Condition  # on what the destination replaces
    mark: str  # of the client's token and of all that it stood beside; "" without a token

    @classmethod
    def of(cls, call: Call) -> Wish:
        """Raises ApiError InvalidArgument, InvalidRequest, KeyTooLongError, NotImplemented."""
        given = call.input
        source, destination = _source(given["RenameSource"], given["Bucket"]), given["Key"]
        for object_key in (source, destination):
            check_object_key(object_key)
            if object_key.endswith("/"):
                raise ApiError("InvalidRequest", "Object keys that end with a slash cannot be renamed.")
        if source == destination:
            raise ApiError("InvalidRequest", "The source and the destination of a rename must be different.")
        asked = {"IfMatch": given.get("DestinationIfMatch"), "IfNoneMatch": given.get("DestinationIfNoneMatch")}
        return cls(source, destination, given, Condition.of(asked), _mark(given))

    def judge_destination(self, bucket: Bucket, newest: VersionRow | None) -> None:
        """Raises ApiError PreconditionFailed, NoSuchKey."""
        self.condition.judge(bucket, self.destination, newest)
        since, until = self.given.get("DestinationIfModifiedSince"), self.given.get("DestinationIfUnmodifiedSince")
        modified = None if newest is None else modified_at(newest).replace(microsecond=0)
        if since is not None and (modified is None or modified <= since):
            raise ApiError("PreconditionFailed", Condition="If-Modified-Since")
        if until is not None and modified is not None and modified > until:
            raise ApiError("PreconditionFailed", Condition="If-Unmodified-Since")

    def judge_source(self, row: VersionRow, meta: ObjectMeta) -> None:
        """Raises ApiError PreconditionFailed."""
        asked = {name: self.given.get(member) for name, member in _SOURCE_CONDITIONS.items()}
        try:
            judge_copy_source(asked, meta.etag, modified_at(row))
        except ApiError as error:
            error.members["Condition"] = error.members["Condition"].replace("x-amz-copy-source", "x-amz-rename-source")
            raise

    def is_done(self, bucket: Bucket, at_destination: VersionRow | None) -> bool:
        """Whether an earlier try has done it. Raises ApiError IdempotencyParameterMismatch."""
        if not self.mark or at_destination is None or at_destination.delete_marker:
            return False
        return self._met(ObjectMeta.open(bucket, at_destination))

    def refuse_token(self, meta: ObjectMeta) -> None:
        """An object that came to be called as the source is by that very token. Raises ApiError IdempotencyParameterMismatch."""
        if self.mark:
            self._met(meta)

    def _met(self, meta: ObjectMeta) -> bool:
        token, _, asked = meta.renamed.partition(".")
        own_token, _, own_asked = self.mark.partition(".")
        if token != own_token:
            return False
        if asked != own_asked:
            raise ApiError("IdempotencyParameterMismatch")
        return True


class Renaming:
    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._sealing = Sealing(rooms.keys, rooms.random)

    @operation("s3", "RenameObject", "s3:PutObject", on="object")
    async def rename_object(self, call: Call) -> Answer:
        """What it does is what reading and deleting the one and writing the other would do, so it needs the rights of all three."""
        bucket = await self._rooms.buckets.find(call.input["Bucket"])
        wish = Wish.of(call)
        for action in ("s3:GetObject", "s3:DeleteObject"):
            await call.allow(action, object_arn(bucket.name, wish.source))
        if bucket.versioning:
            raise _versioned()
        for _ in range(TRIES):
            if wish.is_done(bucket, await self._rooms.catalog.latest(bucket.bucket_id, wish.destination)):
                return Answer()
            try:
                row = await find_version_for(call, self._rooms, bucket, {"Key": wish.source})
            except ApiError:
                if wish.is_done(bucket, await self._rooms.catalog.latest(bucket.bucket_id, wish.destination)):
                    return Answer()  # by another try of the same, since the last look
                raise
            try:
                await self._rename(call, bucket, row, wish)
            except _Changed:
                continue
            return Answer()
        raise ApiError("OperationAborted")

    async def _rename(self, call: Call, bucket: Bucket, row: VersionRow, wish: Wish) -> None:
        """Raises _Changed when somebody else was at the source meanwhile; ApiError, SealError."""
        meta = ObjectMeta.open(bucket, row)
        wish.refuse_token(meta)
        wish.judge_source(row, meta)
        key = await self._key(call, bucket, row, wish)
        version_id = new_version_id(self._rooms.random)
        envelope = key.bound(bucket.bucket_id, wish.destination, version_id, row.manifest, self._rooms.random)
        meta.renamed = wish.mark
        record = meta.seal(bucket, wish.destination, version_id, size=row.size, seal=envelope, manifest=row.manifest)
        renamed = row._replace(object_key=wish.destination, version_id=version_id, seal=envelope, meta=record)

        def work(tx: Transaction) -> None:
            if versioning_at(tx, bucket):
                raise _versioned()
            newest = tx.latest(bucket.bucket_id, wish.destination)
            if wish.is_done(bucket, newest):  # by another try of the same, a moment ago
                return
            now = tx.version(bucket.bucket_id, row.object_key, row.version_id)
            if now is None or (now.seal, now.meta, now.manifest) != (row.seal, row.meta, row.manifest):
                raise _Changed
            wish.judge_destination(bucket, newest)
            move_version(tx, now, renamed, moved_records(bucket, now, renamed, tx.annotations(now)))

        await self._rooms.catalog.write(work)

    async def _key(self, call: Call, bucket: Bucket, row: VersionRow, wish: Wish) -> ObjectKey:
        """The open data keys of the source, with what wraps them for the destination. Raises ApiError ``KMS.…``, AccessDenied."""
        before = Envelope.decode(row.seal)
        if before.mode == Mode.SSE_C:
            raise ApiError("InvalidRequest", _CUSTOMER)
        refuse_unsafe_read(call, before)
        opened = await self._sealing.open(call, bucket, row.object_key, row.version_id, row.seal, before, row.manifest)
        if before.mode not in OF_KMS or before.bucket_key:
            return opened
        made = await self._sealing.new(call, bucket, wish.destination, kept(before))
        return replace(made, layers=opened.layers)


def _versioned() -> ApiError:
    return ApiError("InvalidBucketState", "Objects of a bucket that has or had versioning cannot be renamed.")


def _source(value: str, bucket_name: str) -> str:
    """The object key of x-amz-rename-source, ``bucket/key`` percent-encoded. Raises ApiError InvalidArgument, InvalidRequest."""
    try:
        name, slash, object_key = unquote(value, errors="strict").removeprefix("/").partition("/")
    except UnicodeDecodeError:
        name, slash, object_key = "", "", ""
    if not name or not slash or not object_key:
        text = "Rename Source must mention the source bucket and key: sourcebucket/sourcekey"
        raise ApiError("InvalidArgument", text, ArgumentName="x-amz-rename-source", ArgumentValue=value)
    if name != bucket_name:
        raise ApiError("InvalidRequest", "An object can be renamed within its bucket only.")
    return object_key


def _mark(given: Mapping[str, Any]) -> str:
    """Raises ApiError InvalidArgument."""
    token: str | None = given.get("ClientToken")
    if token is None:
        return ""
    if not _TOKEN.fullmatch(token):
        text = "A client token has 1 to 64 characters of the ASCII range of 33 to 126."
        raise ApiError("InvalidArgument", text, ArgumentName="x-amz-client-token", ArgumentValue=token)
    asked = repr(sorted((member, str(value)) for member, value in given.items() if member != "ClientToken"))
    return ".".join(hashlib.sha256(text.encode()).hexdigest()[:32] for text in (token, asked))
