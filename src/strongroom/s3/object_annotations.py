"""Put, Get, List and DeleteObjectAnnotation: named texts beside a version of an object, sealed as the object is.

Needs the object's key wherever a payload is sealed or opened, and none for a list or a delete. What a request says of the object (it is
there, it has that ETag) is judged at the commit. Never knows HTTP. Sources: the reference pages of the four operations in the S3 API
reference; "Annotating your objects" in the user guide.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from strongroom.api.errors import ApiError
from strongroom.api.operation import Answer, operation
from strongroom.s3 import annotation_records as records
from strongroom.s3 import checksums
from strongroom.s3.metadata import ObjectMeta
from strongroom.s3.object_locking import BYPASS, allow_bypass
from strongroom.s3.positions import bad_token, read_position, show_position
from strongroom.s3.reading import find_version_for, refuse_unsafe_read, utc
from strongroom.s3.sealing import Sealing, encryption_output
from strongroom.s3.versions import milliseconds, shown_id
from strongroom.s3.writing import etag_of
from strongroom.seal.format import Envelope, Mode
from strongroom.store.contract import Claim, Gone

if TYPE_CHECKING:
    from strongroom.api.operation import Call
    from strongroom.s3.bucket_cache import Bucket
    from strongroom.s3.rooms import Rooms
    from strongroom.s3.sealing import ObjectKey
    from strongroom.store.contract import Transaction, VersionRow

TRIES: Final = 4  # looks at a version that others replace at the same time


class ObjectAnnotations:
    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._sealing = Sealing(rooms.keys, rooms.random)

    @operation("s3", "PutObjectAnnotation", "s3:PutObjectAnnotation", on="object")
    async def put_object_annotation(self, call: Call) -> Answer:
        """It takes the place of the one of that name."""
        bucket = await self._rooms.buckets.find(call.input["Bucket"])
        name: str = call.input["AnnotationName"]
        records.check_name(name)
        call.body.want("md5")  # what encryption its object has shows only afterwards
        checksums.ask(call.body, client_names_one=checksums.names_checksum(call.input))
        payload = await _payload(call)
        for _ in range(TRIES):
            row = await find_version_for(call, self._rooms, bucket, call.input)
            key = await self._open(call, bucket, row)
            meta = ObjectMeta(etag_of(key.mode, call.body, self._rooms))
            checksums.record(call.body, meta)
            sealed = records.sealed(self._rooms, key.layers, name, payload, meta, milliseconds(call.now))
            try:
                await self._rooms.catalog.write(partial(_put, call, bucket, row, sealed))
            except Gone:
                continue
            output = {"Key": row.object_key, "AnnotationName": name, "ETag": f'"{meta.etag}"', **meta.checksum_output()}
            return Answer(output | _encryption(key.envelope) | _versioned(bucket, row))
        raise ApiError("OperationAborted")

    @operation("s3", "GetObjectAnnotation", "s3:GetObjectAnnotation", on="object")
    async def get_object_annotation(self, call: Call) -> Answer:
        bucket = await self._rooms.buckets.find(call.input["Bucket"])
        row = await find_version_for(call, self._rooms, bucket, call.input)
        found = await self._rooms.catalog.annotation(row, call.input["AnnotationName"])
        if found is None:
            raise ApiError("NoSuchAnnotation", AnnotationName=call.input["AnnotationName"])
        meta = records.open_record(bucket, row, found)
        key = await self._open(call, bucket, row)
        payload = records.open_payload(key.layers, found)
        output: dict[str, Any] = {
            "LastModified": utc(found.modified_ms),
            "ContentLength": len(payload),
            "ETag": f'"{meta.etag}"',
            **_encryption(key.envelope),
            **_versioned(bucket, row),
        }
        if call.input.get("ChecksumMode") == "ENABLED":
            output |= meta.checksum_output()
        return Answer(output, body=payload, length=len(payload))

    @operation("s3", "ListObjectAnnotations", "s3:ListObjectAnnotations", on="object")
    async def list_object_annotations(self, call: Call) -> Answer:
        """By the UTF-8 bytes of their names."""
        given = call.input
        bucket = await self._rooms.buckets.find(given["Bucket"])
        most, prefix, after = _page(call)
        row = await find_version_for(call, self._rooms, bucket, given)
        found = await self._rooms.catalog.annotations(row, prefix=prefix, after=after, limit=most + 1)
        page = found[:most]
        entries = [
            {"AnnotationName": one.name, "LastModified": utc(one.modified_ms), "Size": one.size}
            | records.listed(bucket, row, one)
            for one in page
        ]
        output: dict[str, Any] = {
            "Bucket": bucket.name,
            "Key": row.object_key,
            "MaxAnnotationResults": most,
            "AnnotationCount": len(page),
            "Annotations": entries,
            **_versioned(bucket, row),
        }
        if given.get("AnnotationPrefix") is not None:
            output["AnnotationPrefix"] = prefix
        if given.get("ContinuationToken") is not None:
            output["ContinuationToken"] = given["ContinuationToken"]
        if len(found) > most:
            output["NextContinuationToken"] = show_position("annotation", page[-1].name)
        return Answer(output)

    @operation("s3", "DeleteObjectAnnotation", "s3:DeleteObjectAnnotation", on="object")
    async def delete_object_annotation(self, call: Call) -> Answer:
        """For good; nothing there is no error. What protects the version protects its annotations."""
        bucket = await self._rooms.buckets.find(call.input["Bucket"])
        name: str = call.input["AnnotationName"]
        # The header is in AWS's documentation of the operation, and not in its model.
        bypass = bucket.lock_rule is not None and call.headers.get(BYPASS, "").strip().lower() == "true"
        if bypass:
            await allow_bypass(call, bucket, call.input["Key"], call.input.get("VersionId"))
        for _ in range(TRIES):
            row = await find_version_for(call, self._rooms, bucket, call.input, "DELETE")
            try:
                await self._rooms.catalog.write(partial(_delete, call, bucket, row, name, bypass), Claim.FREE)
            except Gone:
                continue
            return Answer(_versioned(bucket, row))
        raise ApiError("OperationAborted")

    async def _open(self, call: Call, bucket: Bucket, row: VersionRow) -> ObjectKey:
        """The open data keys of a version. Raises ApiError ``KMS.…``, AccessDenied, InvalidRequest; SealError."""
        envelope = Envelope.decode(row.seal)
        if envelope.mode == Mode.SSE_C:
            raise ApiError("InvalidRequest", "Objects encrypted with customer-provided keys (SSE-C) cannot have annotations.")
        refuse_unsafe_read(call, envelope)
        return await self._sealing.open(call, bucket, row.object_key, row.version_id, row.seal, envelope, row.manifest)


async def _payload(call: Call) -> bytes:
    """Raises ApiError EntityTooLarge, InvalidRequest, UnsupportedMediaType."""
    length = call.body.length
    if length is not None and length > records.PAYLOAD_BYTES:
        raise ApiError("EntityTooLarge", ProposedSize=str(length), MaxSizeAllowed=str(records.PAYLOAD_BYTES))
    payload = await call.body.read(records.PAYLOAD_BYTES)
    if not payload:
        raise ApiError("InvalidRequest", "The payload of an annotation must have at least one byte.")
    try:
        payload.decode()
    except UnicodeDecodeError as error:
        raise ApiError("UnsupportedMediaType", "The payload of an annotation must be valid UTF-8.") from error
    return payload


def _put(call: Call, bucket: Bucket, row: VersionRow, sealed: records.Sealed, tx: Transaction) -> None:
    """Raises Gone; ApiError PreconditionFailed, AccessDenied, AnnotationLimitExceeded."""
    meta = _judged(call, bucket, row, tx)
    there = {one.name for one in tx.annotations(row)}
    if sealed.name in there:  # what is replaced is lost, as when it is deleted; this operation knows no bypass
        meta.lock.check_removal(milliseconds(call.now), bypass=False)
    elif len(there) >= records.MOST:
        raise ApiError("AnnotationLimitExceeded", MaxAnnotations=str(records.MOST))
    tx.put_annotation(row, sealed.beside(bucket, row))


def _delete(call: Call, bucket: Bucket, row: VersionRow, name: str, bypass: bool, tx: Transaction) -> None:
    """Raises Gone; ApiError PreconditionFailed, AccessDenied."""
    meta = _judged(call, bucket, row, tx)
    if any(one.name == name for one in tx.annotations(row)):
        meta.lock.check_removal(milliseconds(call.now), bypass=bypass)
        tx.delete_annotation(row, name)


def _judged(call: Call, bucket: Bucket, row: VersionRow, tx: Transaction) -> ObjectMeta:
    """The record of the version, which is still there and has the ETag that was asked for. Raises Gone; ApiError PreconditionFailed."""
    now = tx.version(bucket.bucket_id, row.object_key, row.version_id)
    if now is None:
        raise Gone("the version is gone")
    meta = ObjectMeta.open(bucket, now)
    wanted: str | None = call.input.get("ObjectIfMatch")
    if wanted is not None and wanted.strip().strip('"') != meta.etag:
        raise ApiError("PreconditionFailed", Condition="x-amz-object-if-match")
    return meta


def _page(call: Call) -> tuple[int, str, str]:
    """How many, of which prefix, after which name. Raises ApiError InvalidArgument, InvalidPrefix."""
    most: int = records.MOST if call.input.get("MaxAnnotationResults") is None else call.input["MaxAnnotationResults"]
    if not 1 <= most <= records.MOST:
        raise ApiError(
            "InvalidArgument",
            f"max-annotation-results must be an integer between 1 and {records.MOST}",
            ArgumentName="max-annotation-results",
            ArgumentValue=str(most),
        )
    prefix: str = call.input.get("AnnotationPrefix") or ""
    if len(prefix.encode()) > records.NAME_BYTES or not records.allowed(prefix):
        raise ApiError("InvalidPrefix")
    token: str | None = call.input.get("ContinuationToken")
    if token is None:
        return most, prefix, ""
    kind, after = read_position(token)
    if kind != "annotation":
        raise bad_token()
    return most, prefix, after


def _encryption(envelope: Envelope) -> dict[str, Any]:
    """Of an object's encryption, an annotation's answer says the algorithm only."""
    return {"ServerSideEncryption": encryption_output(envelope)["ServerSideEncryption"]}


def _versioned(bucket: Bucket, row: VersionRow) -> dict[str, str]:
    return {"ObjectVersionId": shown_id(row)} if bucket.versioning else {}
