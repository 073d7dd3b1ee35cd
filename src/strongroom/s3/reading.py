"""GetObject and HeadObject: row, plan of the range, data key, just those segments, opened.

The first segment is opened before an answer exists, so a status line never precedes a proof that the bytes are sound; later a
segment that does not open ends the stream with an error, and the connection with it. Never knows HTTP or files.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from strongroom.api.errors import ApiError
from strongroom.api.operation import Answer, operation
from strongroom.s3.archives import check_readable, restore_output
from strongroom.s3.bucket_lifecycle import expiration_output
from strongroom.s3.conditions import CONDITIONS, ByteRange, judge_read, parse_range
from strongroom.s3.customer_keys import check_needed, customer_output, key_of_read
from strongroom.s3.encryption import refuse_on
from strongroom.s3.locked_writes import lock_output
from strongroom.s3.metadata import ObjectMeta
from strongroom.s3.object_lock import UNLOCKED
from strongroom.s3.object_tags import tag_count
from strongroom.s3.owners import bucket_arn
from strongroom.s3.sealing import Sealing, encryption_output, object_arn
from strongroom.s3.uploads import check_part_number
from strongroom.s3.versions import IN_ROW, asked_version, shown_id
from strongroom.s3.windows import Windows
from strongroom.seal import Forged, Truncated
from strongroom.seal.format import Envelope, Mode, decode_manifest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from strongroom.api.operation import BodyPart, Call
    from strongroom.s3.bucket_cache import Bucket
    from strongroom.s3.encryption import CustomerKey
    from strongroom.s3.rooms import Rooms
    from strongroom.seal.format import Piece
    from strongroom.seal.layers import Layers
    from strongroom.store.contract import PartRow, VersionRow

OF_KMS: Final = frozenset({Mode.SSE_KMS, Mode.DSSE_KMS})
#: Response header overrides of GetObject and HeadObject: member of the input -> member of the output.
_OVERRIDES: Final = {
    "ResponseCacheControl": "CacheControl",
    "ResponseContentDisposition": "ContentDisposition",
    "ResponseContentEncoding": "ContentEncoding",
    "ResponseContentLanguage": "ContentLanguage",
    "ResponseContentType": "ContentType",
    "ResponseExpires": "Expires",
}


def utc(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def modified_at(row: VersionRow | PartRow) -> datetime:
    return utc(row.modified_ms)


@lru_cache(maxsize=4096)
def _second(number: int) -> datetime:
    """Of the epoch: headers tell times by the second."""
    return datetime.fromtimestamp(number, UTC)


async def find_version(rooms: Rooms, bucket: Bucket, given: Mapping[str, Any], method: str = "GET") -> VersionRow:
    """The version a call means. Raises ApiError NoSuchKey, NoSuchVersion, MethodNotAllowed (a delete marker named by its id)."""
    object_key: str = given["Key"]
    asked, version_id = asked_version(given)
    if not asked:
        row = await rooms.catalog.latest(bucket.bucket_id, object_key)
        if row is None:
            raise ApiError("NoSuchKey", Key=object_key)
        if row.delete_marker:
            headers = {"x-amz-delete-marker": "true", "x-amz-version-id": shown_id(row)}
            raise ApiError("NoSuchKey", Key=object_key, headers=headers)
        return row
    row = await rooms.catalog.version(bucket.bucket_id, object_key, version_id)
    if row is None:
        raise ApiError("NoSuchVersion", Key=object_key, VersionId=given["VersionId"])
    if row.delete_marker:
        headers = {
            "x-amz-delete-marker": "true",
            "x-amz-version-id": shown_id(row),
            "Allow": "DELETE",
            "Last-Modified": format_datetime(modified_at(row), usegmt=True),
        }
        raise ApiError("MethodNotAllowed", Method=method, ResourceType="DeleteMarker", headers=headers)
    return row


async def find_version_for(call: Call, rooms: Rooms, bucket: Bucket, given: Mapping[str, Any], method: str = "GET") -> VersionRow:
    """As ``find_version``, but whoever may not list the bucket does not learn that a key is not there. Raises AccessDenied, too."""
    try:
        row = await find_version(rooms, bucket, given, method)
    except ApiError as error:
        if error.code in {"NoSuchKey", "NoSuchVersion"}:
            await call.allow("s3:ListBucket", bucket_arn(bucket.name))
        raise
    if bucket.acls and call.allow.judged(object_arn(bucket.name, row.object_key)) not in {None, row.version_id}:
        raise ApiError("OperationAborted")  # another version than the one whose owner and list were looked at
    return row


class Opened:
    """One version, its manifest and its open data keys: reads any range of plaintext."""

    def __init__(self, rooms: Rooms, row: VersionRow, pieces: list[Piece], layers: Layers) -> None:
        self._rooms = rooms
        self._row = row
        self.pieces = pieces
        self.layers = layers
        size = pieces[0].size if len(pieces) == 1 else sum(piece.size for piece in pieces)
        if size != row.size:
            raise Forged("the row's size is not that of its manifest")

    @property
    def in_row(self) -> bool:
        return self.pieces[0].part_number == IN_ROW

    def small(self) -> bytes:
        """The plaintext of a version whose sealed body lives in its row. Raises SealError."""
        if self._row.body is None:
            raise Truncated("the row has lost its body")
        return self.layers.open_whole(self.pieces[0], self._row.body)

    def read_row(self, wanted: ByteRange | None) -> tuple[bytes, int]:
        """As ``read``, of a version in its row. Raises SealError."""
        plaintext = self.small()
        if wanted is not None:
            plaintext = plaintext[wanted.first : wanted.last + 1]
        return plaintext, len(plaintext)

    async def read(self, wanted: ByteRange | None) -> tuple[bytes | AsyncIterator[BodyPart], int]:
        """(body, length) of a range or of all. The first bytes are open when it returns. Raises SealError, store.Gone."""
        if self.in_row:
            return self.read_row(wanted)
        if self._row.size == 0:
            return b"", 0
        span_of_all = wanted or ByteRange(0, self._row.size - 1)
        return await Windows(self._rooms.blobs, self.layers, self.pieces).read(span_of_all), span_of_all.length


class Reading:
    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._sealing = Sealing(rooms.keys, rooms.random)

    async def open(
        self, call: Call, bucket: Bucket, row: VersionRow, envelope: Envelope, customer: CustomerKey | None = None
    ) -> Opened:
        """Open a version's data keys for the caller. Raises ApiError ``KMS.…`` or AccessDenied, SealError."""
        place = row.object_key, row.version_id
        key = await self._sealing.open(call, bucket, *place, row.seal, envelope, row.manifest, customer)
        return Opened(self._rooms, row, decode_manifest(row.manifest), key.layers)

    @operation("s3", "GetObject", "s3:GetObject", on="object", with_version="s3:GetObjectVersion")
    async def get_object(self, call: Call) -> Answer:
        rooms, given = self._rooms, call.input
        bucket = rooms.buckets.cached(given["Bucket"]) or await rooms.buckets.find(given["Bucket"])
        refuse_on(call.headers)
        customer = key_of_read(given, secure=call.secure)
        row = await find_version_for(call, rooms, bucket, given)
        meta = ObjectMeta.open(bucket, row)
        envelope = Envelope.decode(row.seal)
        check_needed(envelope.mode, customer)
        refuse_unsafe_read(call, envelope)
        opened = None if customer is None else await self.open(call, bucket, row, envelope, customer)
        _judge(given, meta, row, bucket)
        check_readable(meta, call.now)
        wanted, extra = wanted_range(given, row, meta)
        opened = opened or await self.open(call, bucket, row, envelope)  # KMS is asked last: a 304 costs no call
        body, length = opened.read_row(wanted) if opened.in_row else await opened.read(wanted)
        output = described(call, bucket, row, meta, envelope, whole=wanted is None or given.get("PartNumber") is not None)
        output |= extra
        if meta.tags or meta.lock is not UNLOCKED:
            output |= await _told(call, bucket, row, meta)
        output["ContentLength"] = length
        return Answer(output, 200 if wanted is None else 206, body, length)

    @operation("s3", "HeadObject", "s3:GetObject", on="object", with_version="s3:GetObjectVersion")
    async def head_object(self, call: Call) -> Answer:
        """As GetObject without the bytes; asks KMS only when checksums are asked for (facts 4.5.11, 4.8.4)."""
        rooms, given = self._rooms, call.input
        bucket = await rooms.buckets.find(given["Bucket"])
        refuse_on(call.headers)
        customer = key_of_read(given, secure=call.secure)
        row = await find_version_for(call, rooms, bucket, given)
        meta = ObjectMeta.open(bucket, row)
        envelope = Envelope.decode(row.seal)
        check_needed(envelope.mode, customer)
        if customer is not None:
            await self.open(call, bucket, row, envelope, customer)
        _judge(given, meta, row, bucket)
        wanted, extra = wanted_range(given, row, meta)
        if given.get("ChecksumMode") == "ENABLED" and envelope.mode in OF_KMS:
            await self.open(call, bucket, row, envelope)
        output = described(call, bucket, row, meta, envelope, whole=wanted is None or given.get("PartNumber") is not None)
        output |= extra
        if meta.tags or meta.lock is not UNLOCKED:
            output |= await _told(call, bucket, row, meta)
        output["ContentLength"] = row.size if wanted is None else wanted.length
        return Answer(output, 200 if wanted is None else 206)


async def _told(call: Call, bucket: Bucket, row: VersionRow, meta: ObjectMeta) -> dict[str, Any]:
    """The members that take a right of their own."""
    return await tag_count(call, bucket, row.object_key, meta) | await lock_output(call, bucket, row.object_key, meta)


def _judge(given: Mapping[str, Any], meta: ObjectMeta, row: VersionRow, bucket: Bucket) -> None:
    if CONDITIONS.isdisjoint(given):
        return
    try:
        judge_read(given, meta.etag, modified_at(row))
    except ApiError as error:
        if error.code == "NotModified":
            error.headers |= {"ETag": f'"{meta.etag}"', "Last-Modified": format_datetime(modified_at(row), usegmt=True)}
            if bucket.versioning:
                error.headers["x-amz-version-id"] = shown_id(row)
        raise


def refuse_unsafe_read(call: Call, envelope: Envelope) -> None:
    """KMS objects are read by signed requests over safe transport only (facts 4.4.9, 4.4.10)."""
    if envelope.mode not in OF_KMS:
        return
    if call.caller.anonymous or not call.signed_v4:
        text = "Requests specifying Server Side Encryption with AWS KMS managed keys require AWS Signature Version 4."
        raise ApiError("InvalidArgument", text, ArgumentName="Authorization", ArgumentValue="null")
    if not call.secure:
        text = "Requests specifying Server Side Encryption with AWS KMS managed keys must be made over a secure connection."
        raise ApiError("InvalidArgument", text)


def wanted_range(given: Mapping[str, Any], row: VersionRow, meta: ObjectMeta) -> tuple[ByteRange | None, dict[str, Any]]:
    """The bytes a read wants, and the members that say so. Raises ApiError InvalidRange, InvalidPartNumber, InvalidRequest."""
    number: int | None = given.get("PartNumber")
    if number is None:
        wanted = parse_range(given.get("Range"), row.size)
        return wanted, {} if wanted is None else {"ContentRange": f"bytes {wanted.first}-{wanted.last}/{row.size}"}
    if given.get("Range"):
        raise ApiError("InvalidRequest", "Cannot specify both Range header and partNumber query parameter")
    check_part_number(number)
    pieces = decode_manifest(row.manifest)
    if number > len(pieces):
        raise ApiError("InvalidPartNumber", PartNumberRequested=str(number), ActualPartCount=str(len(pieces)))
    extra: dict[str, Any] = {"PartsCount": len(pieces)} if meta.multipart else {}
    first = sum(piece.size for piece in pieces[: number - 1])
    wanted = ByteRange(first, first + pieces[number - 1].size - 1)
    if wanted.length == 0:
        return None, extra
    return wanted, {**extra, "ContentRange": f"bytes {wanted.first}-{wanted.last}/{row.size}"}


def described(
    call: Call, bucket: Bucket, row: VersionRow, meta: ObjectMeta, envelope: Envelope, *, whole: bool
) -> dict[str, Any]:
    """The members that GetObject and HeadObject share."""
    given = call.input
    output = meta.output()
    output["LastModified"] = _second(row.modified_ms // 1000)
    output["AcceptRanges"] = "bytes"
    output |= encryption_output(envelope)
    if envelope.mode == Mode.SSE_C:
        output |= customer_output(given)
    if meta.restored:
        output |= restore_output(meta, call.now)
    if given.get("ChecksumMode") == "ENABLED":
        output |= checksum_of_read(given.get("PartNumber"), meta, whole=whole)
    if bucket.versioning:
        output["VersionId"] = shown_id(row)
    if given.get("VersionId") is None:  # of a version that is named AWS says nothing
        output |= expiration_output(bucket, row.object_key, row.size, row.modified_ms, meta)
    for asked in _OVERRIDES.keys() & given.keys():
        if given[asked] is not None:
            if call.caller.anonymous:
                raise ApiError("InvalidRequest", "Request specific response headers cannot be used for anonymous GET requests.")
            output[_OVERRIDES[asked]] = given[asked]
    return output


def checksum_of_read(number: int | None, meta: ObjectMeta, *, whole: bool) -> dict[str, str]:
    """The checksum of just what is answered, since clients compare it with that: of the object, of the part, or none of a range."""
    if number is None or not meta.multipart:
        return meta.checksum_output() if whole else {}
    if not meta.part_checksums:
        return {}
    return {f"Checksum{next(iter(meta.checksums))}": meta.part_checksums[number - 1], "ChecksumType": meta.checksum_type}
