"""Multipart uploads: create, complete, abort, list. The encryption is decided once, at creation. Never knows HTTP."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from strongroom.api.errors import ApiError
from strongroom.api.operation import Answer, operation
from strongroom.s3 import checksums
from strongroom.s3.acl_grantees import give_owner
from strongroom.s3.bucket_cache import no_such_bucket
from strongroom.s3.bucket_lifecycle import abort_output, expiration_output
from strongroom.s3.encryption import refuse_on
from strongroom.s3.locked_writes import lock_of_write, lock_with_default
from strongroom.s3.metadata import ObjectMeta
from strongroom.s3.object_tags import allow_tagging
from strongroom.s3.sealing import Sealing, encryption_output
from strongroom.s3.uploads import (
    LEAST_PART,
    MOST_PARTS,
    PartRecord,
    UploadRecord,
    find_upload,
    new_upload_id,
    no_such_upload,
    remove_upload,
    upload_place,
)
from strongroom.s3.versions import Condition, check_object_key, commit_version, milliseconds, new_version_id, stored_blobs
from strongroom.s3.writing import choice_for, continued_key, echoed, refuse_unbuilt
from strongroom.seal.format import Envelope, Mode, Piece, decode_manifest, encode_manifest
from strongroom.store.contract import Claim, Gone, UploadRow, VersionRow

if TYPE_CHECKING:
    from collections.abc import Mapping

    from strongroom.api.operation import Call
    from strongroom.s3.bucket_cache import Bucket
    from strongroom.s3.rooms import Rooms
    from strongroom.store.contract import PartRow, Reader, Transaction

_TURN: Final = 200  # parts looked at in one go: some two milliseconds, in which nobody else is served


@dataclass(frozen=True, slots=True)
class _Chosen:
    """The parts a completion names, in order, each matched with its row and open record."""

    rows: list[PartRow]
    records: list[PartRecord]
    pieces: list[Piece]

    @property
    def size(self) -> int:
        return sum(row.size for row in self.rows)


class Multipart:
    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._sealing = Sealing(rooms.keys, rooms.random)

    @operation("s3", "CreateMultipartUpload", "s3:PutObject", on="object")
    async def create(self, call: Call) -> Answer:
        given = call.input
        object_key: str = given["Key"]
        bucket = await self._rooms.buckets.find(given["Bucket"])
        check_object_key(object_key)
        refuse_unbuilt(given)
        meta = ObjectMeta.from_input(given)
        await give_owner(call, self._rooms, bucket, meta)
        await allow_tagging(call, bucket, object_key, meta)
        meta.lock = await lock_of_write(call, bucket, object_key)
        algorithm, kind = checksums.upload_checksum(given)
        choice = choice_for(call, bucket, object_key)
        key = await self._sealing.new(call, bucket, object_key, choice)
        upload_id = new_upload_id(milliseconds(call.now), self._rooms.random)
        envelope = key.bound(bucket.bucket_id, object_key, upload_place(upload_id), b"", self._rooms.random)
        record = UploadRecord(meta, algorithm, kind, call.caller.arn, call.caller.display_name)
        sealed = record.seal(bucket, object_key, upload_id, envelope)
        row = UploadRow(bucket.bucket_id, object_key, upload_id, milliseconds(call.now), envelope, sealed)

        def work(tx: Transaction) -> None:
            if not tx.bucket_exists(bucket.bucket_id):
                raise no_such_bucket(bucket.name)
            tx.insert_upload(row)

        await self._rooms.catalog.write(work)
        output = {"Bucket": bucket.name, "Key": object_key, "UploadId": upload_id, **record.answered()}
        output |= abort_output(bucket, object_key, row.initiated_ms)
        return Answer(output | encryption_output(key.envelope) | echoed(given))

    @operation("s3", "AbortMultipartUpload", "s3:AbortMultipartUpload", on="object")
    async def abort(self, call: Call) -> Answer:
        """Needs no key, so an upload whose KMS key is gone can be cleaned up."""
        bucket = await self._rooms.buckets.find(call.input["Bucket"])
        if call.input.get("IfMatchInitiatedTime") is not None:
            raise ApiError("NotImplemented", Header="x-amz-if-match-initiated-time")
        upload = await find_upload(self._rooms, bucket, call.input)

        def work(tx: Transaction) -> None:
            remove_upload(tx, upload)

        try:
            await self._rooms.catalog.write(work, Claim.FREE)
        except Gone as error:
            raise no_such_upload(upload.upload_id) from error
        return Answer()

    @operation("s3", "CompleteMultipartUpload", "s3:PutObject", on="object")
    async def complete(self, call: Call) -> Answer:
        given = call.input
        rooms = self._rooms
        bucket = await rooms.buckets.find(given["Bucket"])
        refuse_on(call.headers)
        condition = Condition.of(given)
        # Parts before their upload: of one that another completion ends meanwhile, it is the upload that is missed.
        stored = await _stored_parts(rooms.catalog, given["UploadId"])
        upload = await find_upload(rooms, bucket, given)
        record = UploadRecord.open(bucket, upload)
        customer = continued_key(call, bucket, upload, needed=record.checksum is not None or checksums.names_checksum(given))
        named: dict[str, Any] = given.get("MultipartUpload") or {}
        chosen = await _choose_parts(bucket, upload, record, stored, named.get("Parts") or [])
        meta = record.meta
        meta.multipart = True
        meta.lock = lock_with_default(call, bucket, meta.lock)
        meta.etag = _etag(chosen.records)
        # Whoever completes without the customer's key gets no checksum, unless one is named: then the key is needed (4.5.10).
        if customer is not None or Envelope.decode(upload.seal).mode != Mode.SSE_C:
            _set_checksum(given, record, chosen, meta)
        _check_size(given, chosen.size)
        version_id = new_version_id(rooms.random)
        manifest = encode_manifest(chosen.pieces)
        place = upload.object_key, upload_place(upload.upload_id)
        envelope = await self._sealing.rebind(call, bucket, *place, upload.seal, version_id, manifest, customer)
        sealed = meta.seal(bucket, upload.object_key, version_id, size=chosen.size, seal=envelope, manifest=manifest)
        row = VersionRow(
            bucket.bucket_id,
            upload.object_key,
            version_id,
            True,  # the commit decides
            False,  # no delete marker
            chosen.size,
            milliseconds(call.now),
            envelope,
            sealed,
            manifest,
        )

        def work(tx: Transaction) -> dict[str, str]:
            missing = {part.part_number: part.manifest for part in chosen.rows}
            unused: list[str] = []
            for part in tx.delete_upload(upload):
                if missing.get(part.part_number) == part.manifest:
                    del missing[part.part_number]
                else:
                    unused += stored_blobs(part.manifest)
            if missing:  # a part was replaced between our look and this commit
                raise ApiError("InvalidPart", UploadId=upload.upload_id, PartNumber=str(min(missing)), ETag="")
            tx.discard(unused)
            return commit_version(tx, bucket, row, [], condition)  # the parts' blobs are kept since they were uploaded

        try:
            written = await rooms.catalog.write(work)
        except Gone as error:
            raise no_such_upload(upload.upload_id) from error
        output: dict[str, Any] = {
            "Location": f"{call.base_url}/{quote(bucket.name + '/' + upload.object_key)}",
            "Bucket": bucket.name,
            "Key": upload.object_key,
            "ETag": f'"{meta.etag}"',
            **meta.checksum_output(),
            **expiration_output(bucket, row.object_key, row.size, row.modified_ms, meta),
        }
        return Answer(output | encryption_output(Envelope.decode(envelope)) | written)


async def _stored_parts(catalog: Reader, upload_id: str) -> dict[int, PartRow]:
    """By number. Between two reads others have a turn; what they change is found out by the commit."""
    stored: dict[int, PartRow] = {}
    after = 0
    while rows := await catalog.parts(upload_id, after=after, limit=_TURN):
        stored |= {row.part_number: row for row in rows}
        after = rows[-1].part_number
        await asyncio.sleep(0)
    return stored


async def _choose_parts(
    bucket: Bucket, upload: UploadRow, record: UploadRecord, stored: dict[int, PartRow], asked: list[dict[str, Any]]
) -> _Chosen:
    """Raises ApiError MalformedXML, InvalidPartOrder, InvalidPart, EntityTooSmall, InvalidRequest."""
    _check_order(upload, asked)
    chosen = _Chosen([], [], [])
    for index, one in enumerate(asked):
        if index % _TURN == _TURN - 1:
            await asyncio.sleep(0)
        number, etag = one["PartNumber"], one["ETag"].strip('"')
        row = stored.get(number)
        part = PartRecord.open(bucket, upload.object_key, row) if row is not None else None
        if row is None or part is None or part.etag != etag:
            raise ApiError("InvalidPart", UploadId=upload.upload_id, PartNumber=str(number), ETag=etag)
        _check_part_checksum(upload, record, one, part, number)
        if row.size < LEAST_PART and index + 1 < len(asked):
            fields = {"ProposedSize": str(row.size), "MinSizeAllowed": str(LEAST_PART), "PartNumber": str(number), "ETag": etag}
            raise ApiError("EntityTooSmall", fields=fields)
        chosen.rows.append(row)
        chosen.records.append(part)
        chosen.pieces.extend(decode_manifest(row.manifest))
    return chosen


def _check_order(upload: UploadRow, asked: list[dict[str, Any]]) -> None:
    """The document as such, before any part is looked at. Raises ApiError MalformedXML, InvalidPartOrder."""
    if not 1 <= len(asked) <= MOST_PARTS or any(one.get("PartNumber") is None or one.get("ETag") is None for one in asked):
        raise ApiError("MalformedXML")
    if any(one["PartNumber"] >= following["PartNumber"] for one, following in pairwise(asked)):
        raise ApiError("InvalidPartOrder", UploadId=upload.upload_id)


def _check_part_checksum(upload: UploadRow, record: UploadRecord, one: Mapping[str, Any], part: PartRecord, number: int) -> None:
    if record.checksum is None:
        return
    named = one.get(f"Checksum{record.checksum}")
    if named is None:
        if record.checksum_type == checksums.COMPOSITE:
            text = (
                f"The upload was created using a {record.checksum.lower()} checksum. The complete request must include the checksum "
                f"for each part. It was missing for part {number} in the request."
            )
            raise ApiError("InvalidRequest", text)
    elif named != part.checksums[record.checksum]:
        raise ApiError("InvalidPart", UploadId=upload.upload_id, PartNumber=str(number), ETag=part.etag)


def _etag(parts: list[PartRecord]) -> str:
    """MD5 of the parts' binary ETags, dash, their count; works for opaque ETags as well (facts 4.5.4)."""
    joined = b"".join(bytes.fromhex(part.etag) for part in parts)
    return f"{hashlib.md5(joined, usedforsecurity=False).hexdigest()}-{len(parts)}"


def _set_checksum(given: Mapping[str, Any], record: UploadRecord, chosen: _Chosen, meta: ObjectMeta) -> None:
    """The object's checksum from its parts'; a claimed one must equal it. Raises ApiError InvalidRequest, BadDigest."""
    kind = given.get("ChecksumType")
    if kind is not None and kind != record.checksum_type:
        text = f"The upload was created using the {record.checksum_type} checksum mode. The complete request must use the same checksum mode."
        raise ApiError("InvalidRequest", text)
    algorithm = record.checksum or checksums.DEFAULT
    measured = [
        (checksums.decoded(part.checksums[algorithm]), row.size) for part, row in zip(chosen.records, chosen.rows, strict=True)
    ]
    value = checksums.of_parts(algorithm, record.checksum_type, measured)
    claimed = given.get(f"Checksum{algorithm}")
    if claimed is not None and claimed not in {value, value.partition("-")[0]}:
        raise ApiError("BadDigest", f"The {algorithm} you specified did not match the calculated checksum.")
    meta.checksums, meta.checksum_type = {algorithm: value}, record.checksum_type
    if record.checksum is not None:
        meta.part_checksums = [part.checksums[algorithm] for part in chosen.records]


def _check_size(given: Mapping[str, Any], size: int) -> None:
    declared = given.get("MpuObjectSize")
    if declared is not None and declared != size:
        text = f"The provided 'x-amz-mp-object-size' header value {declared} does not match what was computed: {size}"
        raise ApiError("InvalidRequest", text)
