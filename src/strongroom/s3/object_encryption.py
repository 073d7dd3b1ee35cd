"""UpdateObjectEncryption: another wrapping around the data key of a stored object; not one of its bytes is read or moved.

The cost is that of the row, whatever the object's size. The metadata record is bound to the envelope beside it, so both change in one
transaction, and only if the row is still the one that was looked at. Never knows HTTP, or what a KMS key is beyond its ARN.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from strongroom.api.errors import ApiError
from strongroom.api.operation import Answer, operation
from strongroom.api.own_texts import NO_TYPE
from strongroom.s3.encryption import choose
from strongroom.s3.metadata import ObjectMeta
from strongroom.s3.reading import find_version_for
from strongroom.s3.record_changes import TRIES
from strongroom.s3.sealing import Sealing, object_arn
from strongroom.s3.versions import milliseconds
from strongroom.seal.format import Envelope, Mode
from strongroom.store.contract import Gone

if TYPE_CHECKING:
    from collections.abc import Mapping

    from strongroom.api.operation import Call
    from strongroom.s3.bucket_cache import Bucket
    from strongroom.s3.encryption import Choice
    from strongroom.s3.rooms import Rooms
    from strongroom.store.contract import Transaction, VersionRow

ACTION: Final = "s3:UpdateObjectEncryption"
_SOURCES: Final = (Mode.SSE_S3, Mode.SSE_KMS)
_KEY_ARN: Final = re.compile(r"arn:aws[a-zA-Z0-9-]*:kms:[a-z0-9-]+:([0-9]{12}):key/[a-zA-Z0-9-]+", re.ASCII)
_KEY_ARN_CHARACTERS: Final = range(20, 2049)


class _Changed(Exception):
    """The row is not the one that was looked at."""


class ObjectEncryption:
    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._sealing = Sealing(rooms.keys, rooms.random)

    @operation("s3", "UpdateObjectEncryption", ACTION, on="object")
    async def update_object_encryption(self, call: Call) -> Answer:
        given = call.input
        bucket = await self._rooms.buckets.find(given["Bucket"])
        await call.allow("s3:PutObject", object_arn(bucket.name, given["Key"]))
        choice = _choice(call, bucket)
        for _ in range(TRIES):
            row = await find_version_for(call, self._rooms, bucket, given, "PUT")
            try:
                return await self._update(call, bucket, row, choice)
            except (_Changed, Gone):
                continue
        raise ApiError("OperationAborted")

    async def _update(self, call: Call, bucket: Bucket, row: VersionRow, choice: Choice) -> Answer:
        """Raises _Changed or Gone when somebody else was at the row meanwhile."""
        meta, before = ObjectMeta.open(bucket, row), Envelope.decode(row.seal)
        if before.mode not in _SOURCES:
            raise ApiError("InvalidRequest", _BAD_SOURCE)
        if meta.lock.protects(
            milliseconds(call.now)
        ):  # a lock that comes meanwhile changes the record, and so is seen at the commit
            raise ApiError("AccessDenied", _LOCKED)
        opened = await self._sealing.open(call, bucket, row.object_key, row.version_id, row.seal, before, row.manifest)
        # What the client said of the object when it was written, it goes on saying.
        made = await self._sealing.new(call, bucket, row.object_key, replace(choice, context=before.context))
        await self._sealing.allow_rewrapping(call, bucket, row.object_key, before, made.envelope)
        key = replace(made, layers=opened.layers)
        envelope = key.bound(bucket.bucket_id, row.object_key, row.version_id, row.manifest, self._rooms.random)
        record = meta.seal(bucket, row.object_key, row.version_id, size=row.size, seal=envelope, manifest=row.manifest)

        def work(tx: Transaction) -> None:
            now = tx.version(bucket.bucket_id, row.object_key, row.version_id)
            if now is None or (now.seal, now.meta, now.manifest) != (row.seal, row.meta, row.manifest):
                raise _Changed
            tx.reseal_version(now, seal=envelope, meta=record)

        await self._rooms.catalog.write(work)
        return Answer()


def _choice(call: Call, bucket: Bucket) -> Choice:
    """What the request asks for, judged before the object is looked at (facts 8.14). Raises ApiError."""
    if call.caller.anonymous or not call.signed_v4:
        raise ApiError("InvalidRequest", _OTHER_SIGNATURE)
    document: Mapping[str, Any] = call.input.get("ObjectEncryption") or {}
    wanted: Mapping[str, Any] | None = document.get("SSEKMS")
    if wanted is None:
        raise ApiError(*NO_TYPE)
    key_arn: str = wanted.get("KMSKeyArn") or ""
    if not key_arn:
        raise ApiError("InvalidRequest", _NO_KEY)
    match = _KEY_ARN.fullmatch(key_arn)
    if match is None or len(key_arn) not in _KEY_ARN_CHARACTERS:
        raise ApiError("InvalidRequest", _BAD_KEY)
    if match.group(1) != bucket.account_id:
        raise ApiError("AccessDenied", _FOREIGN_KEY)
    asked = {
        "ServerSideEncryption": "aws:kms",
        "SSEKMSKeyId": key_arn,
        "BucketKeyEnabled": bool(wanted.get("BucketKeyEnabled")),  # not the bucket's flag (facts 8.2)
    }
    return choose(
        asked,
        bucket.encryption,
        secure=call.secure,
        principal_arn=call.caller.arn,
        object_arn=object_arn(bucket.name, call.input["Key"]),
        action=ACTION,
    )


_BAD_SOURCE: Final = (
    "The UpdateObjectEncryption operation doesn't support source objects with the encryption type DSSE-KMS or SSE-C. Only source objects "
    "encrypted with SSE-S3 or SSE-KMS are supported."
)
_LOCKED: Final = (
    "The encryption type for the specified object can\u2019t be updated because that object is protected by S3 Object Lock. If the object has "
    "a governance-mode retention period or a legal hold, you must first remove the Object Lock status on the object before you issue "
    "your UpdateObjectEncryption request. You can't use the UpdateObjectEncryption operation with objects that have an Object Lock "
    "compliance mode retention period applied to them."
)
_OTHER_SIGNATURE: Final = (
    "Requests that modify an object encryption configuration require AWS Signature Version 4. Modify the request to use AWS Signature "
    "Version 4, and then try again."
)
_NO_KEY: Final = (
    "Requests that modify an object's encryption type to SSE-KMS require an AWS KMS key Amazon Resource Name (ARN). Modify the request to "
    "specify a KMS key ARN, and then try again."
)
_BAD_KEY: Final = (
    "Requests that modify an object's encryption type to SSE-KMS require a valid AWS KMS key Amazon Resource Name (ARN). Confirm that you "
    "have a correctly formatted KMS key ARN in your request, and then try again."
)
_FOREIGN_KEY: Final = (
    "The AWS KMS key in the request must be owned by the same account as the bucket. Modify the request to specify a KMS key from the "
    "same account, and then try again."
)
