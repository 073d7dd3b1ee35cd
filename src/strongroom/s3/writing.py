"""PutObject, and the way every body takes to the disk: sealed as it is read, named by a row only when all of it was verified.

A crash, a cancelled upload or a bad trailer leaves at most an unnamed blob, which upkeep sweeps. Never knows HTTP.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from strongroom.api.errors import ApiError
from strongroom.api.operation import Answer, operation
from strongroom.s3 import checksums
from strongroom.s3.acl_forms import names_acl
from strongroom.s3.acl_grantees import give_owner
from strongroom.s3.bucket_lifecycle import expiration_output
from strongroom.s3.customer_keys import customer_output
from strongroom.s3.encryption import OF_ENCRYPTION, choose, continued
from strongroom.s3.locked_writes import check_digest, lock_of_write, lock_with_default
from strongroom.s3.metadata import ObjectMeta
from strongroom.s3.object_lock import OF_LOCKS
from strongroom.s3.object_tags import allow_tagging
from strongroom.s3.sealing import Sealing, encryption_output, object_arn
from strongroom.s3.versions import IN_ROW, PUT_BYTES, Condition, check_object_key, commit_version, milliseconds, new_version_id
from strongroom.seal.format import Envelope, Mode, Piece, encode_manifest
from strongroom.seal.stream import FIRST_PLAIN
from strongroom.store.contract import VersionRow

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from datetime import datetime

    from strongroom.api.operation import Body, BodyPart, Call
    from strongroom.s3.bucket_cache import Bucket
    from strongroom.s3.encryption import Choice, CustomerKey
    from strongroom.s3.rooms import Rooms
    from strongroom.s3.sealing import ObjectKey
    from strongroom.seal.layers import LayeredSealer, Layers
    from strongroom.store.contract import Transaction, UploadRow

GATHERED: Final = 1 << 20  # bytes of a longer body that are sealed and written at a time: a hop to a thread has its price
INLINE: Final = FIRST_PLAIN  # bytes of plaintext whose (inner) stream is one segment; up to here the body lives in the row

#: Members of a write that nothing stands behind yet -> the header that is refused.
_UNBUILT: Final = {
    "WriteOffsetBytes": "x-amz-write-offset-bytes",
}


def refuse_unbuilt(given: Mapping[str, Any]) -> None:
    """Raises ApiError NotImplemented for what a write asks beyond this version."""
    for member, header in _UNBUILT.items():
        if given.get(member) not in (None, ""):
            raise ApiError("NotImplemented", Header=header)


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


def echoed(given: Mapping[str, Any]) -> dict[str, str]:
    """What is answered only to the write that sent it: encryption context, customer's key (facts 4.1.5, 5.1.6)."""
    sent = given.get("SSEKMSEncryptionContext")
    return customer_output(given) | ({} if sent is None else {"SSEKMSEncryptionContext": sent})


def continued_key(call: Call, bucket: Bucket, upload: UploadRow, *, needed: bool) -> CustomerKey | None:
    """The customer's key of a write into an upload, as that upload's encryption wants it. Raises ApiError, see ``continued``."""
    return continued(
        call.input,
        bucket.encryption,
        customer=Envelope.decode(upload.seal).mode == Mode.SSE_C,
        needed=needed,
        secure=call.secure,
        principal_arn=call.caller.arn,
        object_arn=object_arn(bucket.name, upload.object_key),
    )


class Digested(Protocol):
    """What has read all of a body and knows its digests."""

    def digest(self, algorithm: str) -> bytes: ...


def digested(mode: Mode) -> tuple[str, ...]:
    """What a body must be digested by for ``etag_of``; MD5 is the slowest of all that is done to it."""
    return ("md5",) if mode == Mode.SSE_S3 else ()


def etag_of(mode: Mode, body: Digested, rooms: Rooms) -> str:
    """MD5 of the plaintext for SSE-S3; else opaque, so that it says nothing of the content (facts 4.5)."""
    return body.digest("md5").hex() if mode == Mode.SSE_S3 else rooms.random(16).hex()


@dataclass(frozen=True, slots=True)
class StoredBlob:
    blob_id: str
    size: int  # plaintext bytes


@dataclass(frozen=True, slots=True)
class StoredPlaintext:
    """Sealed bytes that wait for their row: in a blob, or to live in the row itself."""

    manifest: bytes
    size: int  # plaintext bytes
    blob_ids: list[str]
    in_row: bytes | None


async def store_blob(rooms: Rooms, layers: Layers, part_number: int, plaintext: AsyncIterator[BodyPart] | Body) -> StoredBlob:
    """Seal a stream into a new blob; durable when it returns. On any failure, cancellation included, nothing remains."""
    writer = await rooms.blobs.create()
    writing: asyncio.Task[None] | None = None  # what came before is sealed and written, in a thread, while more is received
    try:
        sealer = layers.sealer(writer.blob_id, part_number, rooms.random)
        size = held = 0
        gathered: list[BodyPart] = []
        async for part in plaintext:
            gathered.append(part)
            held += len(part)
            if held >= GATHERED:
                if writing is not None:
                    await writing
                writing = asyncio.create_task(writer.fill(_sealed(sealer, gathered)))
                size, held, gathered = size + held, 0, []
        if writing is not None:
            await writing
        await writer.fill(_sealed(sealer, gathered))
        await writer.write(sealer.finish())
        await writer.commit()
    except BaseException:
        if writing is not None:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
        await writer.abort()
        raise
    return StoredBlob(writer.blob_id, size + held)


def _sealed(sealer: LayeredSealer, plaintext: list[BodyPart]) -> Callable[[memoryview], int]:
    """A source of sealed bytes for ``BlobWriter.fill``."""

    def source(room: memoryview) -> int:
        for part in plaintext:
            sealer.feed(part)
        plaintext.clear()
        return sealer.take(room)

    return source


def seal_in_row(rooms: Rooms, layers: Layers, plaintext: bytes) -> StoredPlaintext:
    blob_id = rooms.random(16).hex()
    sealed = layers.seal(blob_id, IN_ROW, plaintext, rooms.random)
    size = len(plaintext)
    return StoredPlaintext(encode_manifest([Piece(blob_id, IN_ROW, size)]), size, [], sealed)


async def store_plaintext(
    rooms: Rooms, layers: Layers, length: int | None, plaintext: AsyncIterator[BodyPart] | Body
) -> StoredPlaintext:
    """Seal ``length`` bytes of plaintext (None: only their end tells) where bodies of that length live."""
    if length is None:
        pieces = aiter(plaintext)
        start = b""
        while len(start) <= INLINE:
            try:
                start += await anext(pieces)
            except StopAsyncIteration:
                return seal_in_row(rooms, layers, start)
        plaintext = _together(start, pieces)
    elif length <= INLINE:
        return seal_in_row(rooms, layers, b"".join([piece async for piece in plaintext]))
    stored = await store_blob(rooms, layers, 1, plaintext)
    return StoredPlaintext(encode_manifest([Piece(stored.blob_id, 1, stored.size)]), stored.size, [stored.blob_id], None)


async def _together(start: bytes, rest: AsyncIterator[BodyPart]) -> AsyncIterator[BodyPart]:
    yield start
    async for piece in rest:
        yield piece


class Company(Protocol):
    """What comes to stand beside a new version in the very commit that makes it."""

    def check(self, tx: Transaction) -> None: ...
    def put(self, tx: Transaction, row: VersionRow) -> None: ...


async def commit_object(
    rooms: Rooms,
    bucket: Bucket,
    object_key: str,
    key: ObjectKey,
    meta: ObjectMeta,
    stored: StoredPlaintext,
    modified: datetime,
    condition: Condition,
    company: Company | None = None,
) -> dict[str, str]:
    """Bind the data keys to what was stored, seal the record, commit the row. Answers and raises as ``commit_version``."""
    version_id = new_version_id(rooms.random)
    envelope = key.bound(bucket.bucket_id, object_key, version_id, stored.manifest, rooms.random)
    record = meta.seal(bucket, object_key, version_id, size=stored.size, seal=envelope, manifest=stored.manifest)
    row = VersionRow(
        bucket.bucket_id,
        object_key,
        version_id,
        True,  # the commit decides
        False,  # no delete marker
        stored.size,
        milliseconds(modified),
        envelope,
        record,
        stored.manifest,
        stored.in_row,
    )

    def work(tx: Transaction) -> dict[str, str]:
        if company is not None:
            company.check(tx)
        answered = commit_version(tx, bucket, row, stored.blob_ids, condition)
        if company is not None:
            company.put(tx, row)
        return answered

    try:
        return await rooms.catalog.write(work)
    except ApiError:  # judged and refused, so certainly not committed: the blob need not wait for the sweep
        for blob_id in stored.blob_ids:
            await rooms.blobs.delete(blob_id)
        raise


class Writing:
    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._sealing = Sealing(rooms.keys, rooms.random)

    @operation("s3", "PutObject", "s3:PutObject", on="object")
    async def put_object(self, call: Call) -> Answer:
        if call.body.length is None:
            raise ApiError("MissingContentLength")
        return Answer(await self.store(call))

    async def store(self, call: Call) -> dict[str, Any]:
        """Make the body that came with a request an object, as its members say. Returns PutObject's output. Raises ApiError."""
        rooms, given, body = self._rooms, call.input, call.body
        object_key: str = given["Key"]
        bucket = rooms.buckets.cached(given["Bucket"]) or await rooms.buckets.find(given["Bucket"])
        check_object_key(object_key)
        refuse_unbuilt(given)
        meta = ObjectMeta.from_input(given)
        if bucket.acls or names_acl(given):
            await give_owner(call, rooms, bucket, meta)
        if meta.tags:
            await allow_tagging(call, bucket, object_key, meta)
        if bucket.lock_rule is not None or not OF_LOCKS.isdisjoint(given):
            meta.lock = lock_with_default(call, bucket, await lock_of_write(call, bucket, object_key))
            check_digest(call, bucket, meta.lock, "Object")
        condition = Condition.of(given)
        choice = choice_for(call, bucket, object_key)
        length = body.length
        if length is not None and length > PUT_BYTES:
            raise ApiError("EntityTooLarge", ProposedSize=str(length), MaxSizeAllowed=str(PUT_BYTES))
        key = await self._sealing.new(call, bucket, object_key, choice)
        body.want(*digested(key.mode))
        checksums.ask(body, client_names_one=checksums.names_checksum(given))
        if length is not None and length <= INLINE:
            stored = seal_in_row(rooms, key.layers, await body.read(INLINE))
        else:
            stored = await store_plaintext(rooms, key.layers, length, body)
        meta.etag = etag_of(key.mode, body, rooms)
        checksums.record(body, meta)
        written = await commit_object(rooms, bucket, object_key, key, meta, stored, call.now, condition)
        output = {"ETag": f'"{meta.etag}"', **meta.checksum_output(), **encryption_output(key.envelope)}
        if bucket.lifecycle is not None:
            output |= expiration_output(bucket, object_key, stored.size, milliseconds(call.now), meta)
        if key.mode != Mode.SSE_S3 and not OF_ENCRYPTION.isdisjoint(given):
            output |= echoed(given)
        output |= written
        return output
