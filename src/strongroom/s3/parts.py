"""UploadPart, UploadPartCopy and ListParts. A part is one sealed blob under its upload's data key. Never knows HTTP."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from strongroom.api.errors import ApiError
from strongroom.api.operation import Answer, operation
from strongroom.s3 import checksums
from strongroom.s3.bucket_lifecycle import abort_output
from strongroom.s3.conditions import ByteRange, judge_copy_source
from strongroom.s3.copy_source import Measured, measured, open_source
from strongroom.s3.customer_keys import check_needed, customer_output, key_of_read
from strongroom.s3.encryption import refuse_on
from strongroom.s3.locked_writes import check_digest
from strongroom.s3.owners import owner_of
from strongroom.s3.reading import Reading, modified_at
from strongroom.s3.sealing import ObjectKey, Sealing, encryption_output
from strongroom.s3.uploads import (
    MOST_PART,
    MOST_PARTS,
    PartRecord,
    UploadRecord,
    check_part_number,
    find_upload,
    no_such_upload,
    open_upload_key,
)
from strongroom.s3.versions import milliseconds, stored_blobs
from strongroom.s3.writing import StoredBlob, continued_key, digested, etag_of, store_blob
from strongroom.seal.format import Envelope, Piece, encode_manifest
from strongroom.store.contract import Gone, PartRow

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from strongroom.api.operation import Call
    from strongroom.s3.bucket_cache import Bucket
    from strongroom.s3.rooms import Rooms
    from strongroom.store.contract import Transaction, UploadRow, VersionRow

_COPY_RANGE: Final = re.compile(r"bytes=(\d{1,19})-(\d{1,19})", re.ASCII)
MOST_LISTED: Final = 1000


def copy_range(value: str | None, source: VersionRow) -> ByteRange | None:
    """x-amz-copy-source-range: both ends are required and must lie inside. Raises ApiError InvalidArgument, InvalidRange."""
    if value is None:
        return ByteRange(0, source.size - 1) if source.size else None
    match = _COPY_RANGE.fullmatch(value)
    if match is None or int(match.group(1)) > int(match.group(2)):
        text = (
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets "
            "of the first and last bytes to copy"
        )
        raise ApiError("InvalidArgument", text, ArgumentName="x-amz-copy-source-range", ArgumentValue=value)
    first, last = int(match.group(1)), int(match.group(2))
    if last >= source.size:
        text = f"Range specified is not valid for source object of size: {source.size}"
        raise ApiError("InvalidArgument", text, ArgumentName="x-amz-copy-source-range", ArgumentValue=value)
    return ByteRange(first, last)


class Parts:
    def __init__(self, rooms: Rooms, reading: Reading) -> None:
        self._rooms = rooms
        self._reading = reading
        self._sealing = Sealing(rooms.keys, rooms.random)

    async def _open_upload(self, call: Call, bucket: Bucket) -> tuple[UploadRow, UploadRecord, ObjectKey]:
        check_part_number(call.input["PartNumber"])
        row = await find_upload(self._rooms, bucket, call.input)
        record = UploadRecord.open(bucket, row)
        customer = continued_key(call, bucket, row, needed=True)
        key = await open_upload_key(self._sealing, call, bucket, row, customer)
        return row, record, key

    @operation("s3", "UploadPart", "s3:PutObject", on="object")
    async def upload_part(self, call: Call) -> Answer:
        bucket = await self._rooms.buckets.find(call.input["Bucket"])
        refuse_on(call.headers)
        row, record, key = await self._open_upload(call, bucket)
        body = call.body
        check_digest(call, bucket, record.meta.lock, "Part")
        if body.length is None:
            raise ApiError("MissingContentLength")
        if body.length > MOST_PART:
            raise ApiError("EntityTooLarge", ProposedSize=str(body.length), MaxSizeAllowed=str(MOST_PART))
        wanted = record.checksum or checksums.DEFAULT
        body.want(*digested(key.mode), wanted.lower())
        stored = await store_blob(self._rooms, key.layers, call.input["PartNumber"], body)
        claimed = body.claimed_checksum
        if record.checksum is not None and claimed is not None and claimed[0] != record.checksum:
            await self._rooms.blobs.delete(stored.blob_id)
            text = f"Checksum Type mismatch occurred, expected checksum Type: {record.checksum.lower()}, actual checksum Type: {claimed[0].lower()}"
            raise ApiError("InvalidRequest", text)
        kept = {wanted: checksums.encoded(body.digest(wanted.lower()))}
        part = PartRecord(etag_of(key.mode, body, self._rooms), kept)
        await self._put(bucket, row, call.input["PartNumber"], stored, part, call.now)
        shown = part.answered() if record.checksum is not None or (claimed is not None and claimed[0] == wanted) else {}
        return Answer({"ETag": f'"{part.etag}"', **shown, **encryption_output(key.envelope), **customer_output(call.input)})

    @operation("s3", "UploadPartCopy", "s3:PutObject", on="object")
    async def upload_part_copy(self, call: Call) -> Answer:
        given = call.input
        bucket = await self._rooms.buckets.find(given["Bucket"])
        refuse_on(call.headers)
        row, record, key = await self._open_upload(call, bucket)
        source = await open_source(self._rooms, call)
        judge_copy_source(given, source.meta.etag, modified_at(source.row))
        wanted = copy_range(given.get("CopySourceRange"), source.row)
        if wanted is not None and wanted.length > MOST_PART:
            text = f"The specified copy source is larger than the maximum allowable size for a copy source: {MOST_PART}"
            raise ApiError("InvalidRequest", text)
        opened = await self._reading.open(call, source.bucket, source.row, source.envelope, source.customer)
        body, _ = await opened.read(wanted)
        algorithm = record.checksum or checksums.DEFAULT
        copied = Measured(*digested(key.mode), algorithm.lower())
        stored = await store_blob(self._rooms, key.layers, given["PartNumber"], measured(body, copied))
        kept = {algorithm: checksums.encoded(copied.digest(algorithm.lower()))}
        part = PartRecord(etag_of(key.mode, copied, self._rooms), kept)
        await self._put(bucket, row, given["PartNumber"], stored, part, call.now)
        result: dict[str, Any] = {"ETag": f'"{part.etag}"', "LastModified": call.now}
        if record.checksum is not None:
            result |= part.answered()
        output = {"CopyPartResult": result, **source.answered(), **encryption_output(key.envelope)}
        return Answer(output | customer_output(given))

    async def _check_listing(self, call: Call, bucket: Bucket, upload: UploadRow) -> None:
        """A listing needs no customer's key and is not blocked (facts 4.7.9, 5.6.7); one that is sent must be the upload's."""
        customer = key_of_read(call.input, secure=call.secure)
        if customer is not None:
            check_needed(Envelope.decode(upload.seal).mode, customer)
            await open_upload_key(self._sealing, call, bucket, upload, customer)

    async def _put(
        self, bucket: Bucket, upload: UploadRow, number: int, stored: StoredBlob, part: PartRecord, now: datetime
    ) -> None:
        manifest = encode_manifest([Piece(stored.blob_id, number, stored.size)])
        record = part.seal(bucket, upload.object_key, upload.upload_id, number, manifest)
        row = PartRow(upload.upload_id, number, stored.size, milliseconds(now), record, manifest)

        def work(tx: Transaction) -> None:
            if tx.upload(bucket.bucket_id, upload.upload_id) is None:
                raise Gone(upload.upload_id)
            replaced = tx.put_part(row)
            if replaced is not None:
                tx.discard(stored_blobs(replaced.manifest))
            tx.keep([stored.blob_id])

        try:
            await self._rooms.catalog.write(work)
        except Gone as error:
            await self._rooms.blobs.delete(stored.blob_id)
            raise no_such_upload(upload.upload_id) from error

    @operation("s3", "ListParts", "s3:ListMultipartUploadParts", on="object")
    async def list_parts(self, call: Call) -> Answer:
        given = call.input
        bucket = await self._rooms.buckets.find(given["Bucket"])
        refuse_on(call.headers)
        upload = await find_upload(self._rooms, bucket, given)
        record = UploadRecord.open(bucket, upload)
        await self._check_listing(call, bucket, upload)
        limit = bounded(given, "MaxParts", "max-parts", MOST_LISTED)
        marker = bounded(given, "PartNumberMarker", "part-number-marker", 0, most=2**31 - 1)
        rows = await self._rooms.catalog.parts(upload.upload_id, after=min(marker, MOST_PARTS), limit=limit + 1) if limit else []
        shown = rows[:limit]
        output: dict[str, Any] = {
            "Bucket": bucket.name,
            "Key": upload.object_key,
            "UploadId": upload.upload_id,
            "PartNumberMarker": marker,
            "NextPartNumberMarker": shown[-1].part_number if shown else 0,
            "MaxParts": limit,
            "IsTruncated": len(rows) > limit,
            "Parts": [_listed(bucket, upload, record, row) for row in shown],
            "Initiator": {"ID": record.initiator_arn, "DisplayName": record.initiator_name},
            "Owner": record.meta.shown_owner(bucket, await owner_of(self._rooms.catalog, call, bucket.account_id)),
            "StorageClass": record.meta.storage_class,
            **record.answered(),
            **abort_output(bucket, upload.object_key, upload.initiated_ms),
        }
        return Answer(output)


def _listed(bucket: Bucket, upload: UploadRow, record: UploadRecord, row: PartRow) -> dict[str, Any]:
    part = PartRecord.open(bucket, upload.object_key, row)
    value: dict[str, Any] = {
        "PartNumber": row.part_number,
        "LastModified": modified_at(row),
        "ETag": f'"{part.etag}"',
        "Size": row.size,
    }
    return value | (part.answered() if record.checksum is not None else {})


def bounded(given: Mapping[str, Any], member: str, argument: str, default: int, most: int | None = None) -> int:
    """A count from the query: not negative, capped at the default (or at ``most``)."""
    value = given.get(member)
    if value is None:
        return default
    if not isinstance(value, int):
        value = int(value) if value.isascii() and value.isdigit() else -1
    if not 0 <= value <= 2**31 - 1:
        text = f"Argument {argument} must be an integer between 0 and 2147483647"
        raise ApiError("InvalidArgument", text, ArgumentName=argument, ArgumentValue=str(given[member]))
    return min(value, default if most is None else most)
