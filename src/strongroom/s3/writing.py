"""PutObject, and the way every body takes to the disk: sealed as it is read, named by a row only when all of it was verified.

A crash, a cancelled upload or a bad trailer leaves at most an unnamed blob, which upkeep sweeps. Never knows HTTP.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from strongroom.api.errors import ApiError
from strongroom.api.operation import Answer, operation
from strongroom.s3 import checksums
from strongroom.s3.encryption import choose
from strongroom.s3.metadata import ObjectMeta
from strongroom.s3.sealing import Sealing, encryption_output, object_arn
from strongroom.s3.versions import IN_ROW, PUT_BYTES, Condition, check_object_key, commit_version, milliseconds, new_version_id
from strongroom.seal.format import Mode, Piece, blob_associated_data, encode_manifest
from strongroom.seal.stream import HEADER, SEGMENT, TAG, Sealer, seal
from strongroom.store.contract import VersionRow

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from strongroom.api.operation import Body, Call
    from strongroom.s3.bucket_cache import Bucket
    from strongroom.s3.encryption import Choice
    from strongroom.s3.rooms import Rooms

INLINE: Final = SEGMENT - HEADER - TAG  # bytes of plaintext whose stream is one segment; up to here the body lives in the row

#: Members of a write that nothing stands behind yet -> the header that is refused.
_UNBUILT: Final = {
    "Tagging": "x-amz-tagging",
    "ObjectLockMode": "x-amz-object-lock-mode",
    "ObjectLockRetainUntilDate": "x-amz-object-lock-retain-until-date",
    "ObjectLockLegalHoldStatus": "x-amz-object-lock-legal-hold",
    "WriteOffsetBytes": "x-amz-write-offset-bytes",
}
_GRANTS: Final = ("GrantFullControl", "GrantRead", "GrantReadACP", "GrantWriteACP")
#: Canned ACLs that change nothing where the bucket owner owns every object (facts E20).
_EMPTY_ACLS: Final = frozenset({"private", "bucket-owner-full-control", "bucket-owner-read"})
_ACLS: Final = _EMPTY_ACLS | {"public-read", "public-read-write", "authenticated-read", "aws-exec-read"}


def refuse_unbuilt(given: Mapping[str, Any]) -> None:
    """Raises ApiError for what a write asks beyond this version: 501, or AWS's own answer where ownership is enforced."""
    for member, header in _UNBUILT.items():
        if given.get(member) not in (None, ""):
            raise ApiError("NotImplemented", Header=header)
    acl = given.get("ACL")
    if acl is not None and acl not in _ACLS:
        raise ApiError("InvalidArgument", ArgumentName="x-amz-acl", ArgumentValue=acl)
    if (acl is not None and acl not in _EMPTY_ACLS) or any(given.get(grant) for grant in _GRANTS):
        raise ApiError("AccessControlListNotSupported")


def choice_for(call: Call, bucket: Bucket, object_key: str) -> Choice:
    """Which encryption this write gets: the one pure function, given what the call knows."""
    return choose(
        call.input,
        bucket.encryption,
        secure=call.secure,
        principal_arn=call.caller.arn,
        object_arn=object_arn(bucket.name, object_key),
        signed_v4=call.signed_v4,
    )


def echoed_context(given: Mapping[str, Any]) -> dict[str, str]:
    """The encryption context is answered only to the write that sent one (facts 4.1.5)."""
    sent = given.get("SSEKMSEncryptionContext")
    return {} if sent is None else {"SSEKMSEncryptionContext": sent}


def etag_of(mode: Mode, body: Body, rooms: Rooms) -> str:
    """MD5 of the plaintext for SSE-S3; else opaque, so that it says nothing of the content (facts 4.5)."""
    return body.digest("md5").hex() if mode == Mode.SSE_S3 else rooms.random(16).hex()


@dataclass(frozen=True, slots=True)
class StoredBlob:
    blob_id: str
    size: int  # plaintext bytes


async def store_blob(rooms: Rooms, data_key: bytes, part_number: int, plaintext: AsyncIterator[bytes] | Body) -> StoredBlob:
    """Seal a stream into a new blob; durable when it returns. On any failure, cancellation included, nothing remains."""
    writer = await rooms.blobs.create()
    try:
        sealer = Sealer(data_key, blob_associated_data(writer.blob_id, part_number), rooms.random)
        size = 0
        async for piece in plaintext:
            size += len(piece)
            await writer.write(sealer.update(piece))
        await writer.write(sealer.finish())
        await writer.commit()
    except BaseException:
        await writer.abort()
        raise
    return StoredBlob(writer.blob_id, size)


class Writing:
    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._sealing = Sealing(rooms.keys, rooms.random)

    @operation("s3", "PutObject", "s3:PutObject", on="object")
    async def put_object(self, call: Call) -> Answer:
        rooms, given, body = self._rooms, call.input, call.body
        object_key: str = given["Key"]
        bucket = rooms.buckets.cached(given["Bucket"]) or await rooms.buckets.find(given["Bucket"])
        check_object_key(object_key)
        refuse_unbuilt(given)
        meta = ObjectMeta.from_input(given)
        condition = Condition.of(given)
        choice = choice_for(call, bucket, object_key)
        length = body.length
        if length is None:
            raise ApiError("MissingContentLength")
        if length > PUT_BYTES:
            raise ApiError("EntityTooLarge", ProposedSize=str(length), MaxSizeAllowed=str(PUT_BYTES))
        key = await self._sealing.new(call, bucket, object_key, choice)
        checksums.ask(body, client_names_one=names_checksum(given))
        if length <= INLINE:
            plaintext = await body.read(INLINE)
            size, blob_ids, blob_id = len(plaintext), [], rooms.random(16).hex()
            sealed: bytes | None = seal(key.data_key, blob_associated_data(blob_id, IN_ROW), plaintext, rooms.random)
            manifest = encode_manifest([Piece(blob_id, IN_ROW, size)])
        else:
            stored = await store_blob(rooms, key.data_key, 1, body)
            size, blob_ids, sealed = stored.size, [stored.blob_id], None
            manifest = encode_manifest([Piece(stored.blob_id, 1, size)])
        meta.etag = etag_of(key.mode, body, rooms)
        checksums.record(body, meta)
        version_id = new_version_id(rooms.random)
        envelope = key.bound(bucket.bucket_id, object_key, version_id, manifest, rooms.random)
        record = meta.seal(bucket, object_key, version_id, size=size, seal=envelope, manifest=manifest)
        null_version = bucket.versioning != "Enabled"
        now_ms = milliseconds(call.now)
        row = VersionRow(
            bucket.bucket_id, object_key, version_id, null_version, False, size, now_ms, envelope, record, manifest, sealed
        )
        await rooms.catalog.write(lambda tx: commit_version(tx, bucket, row, blob_ids, condition))
        output = {"ETag": f'"{meta.etag}"', **meta.checksum_output(), **encryption_output(key.envelope), **echoed_context(given)}
        if bucket.versioning:
            output["VersionId"] = "null" if null_version else version_id
        return Answer(output)


def names_checksum(given: Mapping[str, Any]) -> bool:
    """Does the client bring a checksum of its own, by header or by trailer?"""
    return bool(
        given.get("ChecksumAlgorithm")
        or given.get("ChecksumCRC32")
        or given.get("ChecksumCRC32C")
        or given.get("ChecksumCRC64NVME")
        or given.get("ChecksumSHA1")
        or given.get("ChecksumSHA256")
    )
