"""The source of a copy: which version it is, whether the caller may read it, and its bytes measured as they pass."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from strongroom.api.digests import QUICK, Digests
from strongroom.api.errors import ApiError
from strongroom.api.expected_owner import check_expected_owner
from strongroom.api.request_payer import check_request_payer
from strongroom.s3.archives import check_copied
from strongroom.s3.customer_keys import SOURCE_MEMBERS, check_needed, key_of_read
from strongroom.s3.metadata import ObjectMeta
from strongroom.s3.reading import find_version_for, refuse_unsafe_read
from strongroom.s3.sealing import object_arn
from strongroom.s3.versions import shown_id
from strongroom.seal.format import Envelope

if TYPE_CHECKING:
    from strongroom.api.operation import BodyPart, Call
    from strongroom.s3.bucket_cache import Bucket
    from strongroom.s3.encryption import CustomerKey
    from strongroom.s3.rooms import Rooms
    from strongroom.store.contract import VersionRow

INLINE_DIGEST: Final = 64 * 1024  # bytes below which a thread costs more than the digest


@dataclass(frozen=True, slots=True)
class CopySource:
    bucket: Bucket
    row: VersionRow
    meta: ObjectMeta
    envelope: Envelope
    by_version: bool  # a version id was given
    customer: CustomerKey | None = None  # that the request brings for it

    async def allow(self, call: Call, action: str, with_version: str) -> None:
        """Ask for another right on the source. Raises ApiError AccessDenied."""
        version_id = shown_id(self.row) if self.by_version else None
        arn = object_arn(self.bucket.name, self.row.object_key)
        await call.allow(with_version if self.by_version else action, arn, version_id=version_id)

    def answered(self) -> dict[str, str]:
        if not self.bucket.versioning:
            return {}
        return {"CopySourceVersionId": shown_id(self.row)}


def parse_copy_source(value: str) -> tuple[str, str, str | None]:
    """(bucket, key, version id) of x-amz-copy-source: percent-encoded, a leading slash allowed. Raises ApiError InvalidArgument."""
    path, mark, query = value.partition("?")
    version_id: str | None = None
    if mark:
        name, _, version_id = query.partition("=")
        if name != "versionId":
            path, version_id = value, None  # a question mark that belongs to the key
    try:
        bucket, slash, object_key = unquote(path, errors="strict").removeprefix("/").partition("/")
    except UnicodeDecodeError:
        bucket, slash, object_key = "", "", ""
    if not bucket or not slash or not object_key:
        text = "Copy Source must mention the source bucket and key: sourcebucket/sourcekey"
        raise ApiError("InvalidArgument", text, ArgumentName="x-amz-copy-source", ArgumentValue=value)
    return bucket, object_key, unquote(version_id) if version_id is not None else None


async def open_source(rooms: Rooms, call: Call) -> CopySource:
    """Find and authorise the source. Raises ApiError NoSuchBucket, AccessDenied, NoSuchKey, NoSuchVersion, InvalidRequest."""
    name, object_key, version_id = parse_copy_source(call.input["CopySource"])
    action = "s3:GetObject" if version_id is None else "s3:GetObjectVersion"
    await call.allow(action, object_arn(name, object_key), version_id=version_id)
    customer = key_of_read(call.input, secure=call.secure, members=SOURCE_MEMBERS)
    bucket = await rooms.buckets.find(name)
    if bucket.requester_pays:
        check_request_payer(call.caller, bucket.account_id, call.headers)
    expected = call.input.get("ExpectedSourceBucketOwner")
    if expected is not None:
        check_expected_owner(expected, bucket.account_id)
    given: dict[str, Any] = {"Key": object_key}
    if version_id is not None:
        given["VersionId"] = version_id
    try:
        row = await find_version_for(call, rooms, bucket, given)
    except ApiError as error:
        if error.code == "MethodNotAllowed":
            text = "The source of a copy request may not specifically refer to a delete marker by version id."
            raise ApiError("InvalidRequest", text) from error
        raise ApiError(error.code, error.message, fields=error.members) from error
    envelope = Envelope.decode(row.seal)
    check_needed(envelope.mode, customer)
    refuse_unsafe_read(call, envelope)
    meta = ObjectMeta.open(bucket, row)
    check_copied(meta, call.now)
    return CopySource(bucket, row, meta, envelope, version_id is not None, customer)


class Measured:
    """Digests of a copied stream, with the face that ``etag_of`` needs. What is known of them is not computed again."""

    def __init__(self, *algorithms: str, known: Mapping[str, bytes] | None = None) -> None:
        self._known = {name: value for name, value in (known or {}).items() if name in algorithms}
        self.missing = frozenset(algorithms) - self._known.keys()
        self.quick = Digests(*(self.missing & QUICK))
        self.slow = Digests(*(self.missing - QUICK))

    def digest(self, algorithm: str) -> bytes:
        if algorithm in self._known:
            return self._known[algorithm]
        return (self.quick if algorithm in QUICK else self.slow).digest(algorithm)


async def measured(body: bytes | AsyncIterator[BodyPart], into: Measured) -> AsyncIterator[BodyPart]:
    """The body's pieces, digested in a thread while the consumer seals them."""
    if isinstance(body, bytes):
        into.quick.update(body)
        into.slow.update(body)
        yield body
        return
    async for piece in body:
        into.quick.update(piece)
        if len(piece) <= INLINE_DIGEST or not into.slow.algorithms:
            into.slow.update(piece)
            yield piece
            continue
        digesting = asyncio.ensure_future(asyncio.to_thread(into.slow.update, piece))
        try:
            yield piece
        finally:
            await digesting
