"""What object lock means for writes and reads: the lock a new version gets, the rights and the digest it takes, what an answer tells of it.

Never knows how a lock is kept, or when it protects. Sources: "Locking objects with Object Lock" in the S3 user guide, facts D1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from strongroom.api.errors import ApiError
from strongroom.s3.object_lock import OF_LOCKS, UNLOCKED, ObjectLock, requested_lock, shown_until
from strongroom.s3.object_tags import allowed
from strongroom.s3.sealing import object_arn
from strongroom.s3.versions import milliseconds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from strongroom.api.operation import Call
    from strongroom.s3.bucket_cache import Bucket
    from strongroom.s3.metadata import ObjectMeta

_CHECKSUM: Final = "x-amz-checksum-"
_OF_NO_BODY: Final = frozenset({"x-amz-checksum-algorithm", "x-amz-checksum-mode", "x-amz-checksum-type"})


async def lock_of_write(call: Call, bucket: Bucket, object_key: str) -> ObjectLock:
    """What a write's headers ask for, without the bucket's default. Raises ApiError InvalidArgument, AccessDenied, InvalidRequest."""
    if OF_LOCKS.isdisjoint(call.input):
        return UNLOCKED
    lock = requested_lock(call.input, call.headers, milliseconds(call.now))
    arn = object_arn(bucket.name, object_key)
    if lock.mode:
        await call.allow("s3:PutObjectRetention", arn)
    if lock.hold:
        await call.allow("s3:PutObjectLegalHold", arn)
    if (lock.mode or lock.hold) and bucket.lock_rule is None:
        raise ApiError("InvalidRequest", "Bucket is missing ObjectLockConfiguration")
    return lock


def lock_with_default(call: Call, bucket: Bucket, lock: ObjectLock) -> ObjectLock:
    """The lock of a version that is made now."""
    return lock if bucket.lock_rule is None else bucket.lock_rule.apply(lock, milliseconds(call.now))


def check_digest(call: Call, bucket: Bucket, lock: ObjectLock, what: str) -> None:
    """A body that will be locked must come with a digest: it could not be sent again. ``what``: "Object" or "Part".

    Raises ApiError InvalidRequest.
    """
    if (lock.mode or lock.hold or (bucket.lock_rule is not None and bucket.lock_rule.mode)) and not brings_digest(call.headers):
        text = f"Content-MD5 OR x-amz-checksum- HTTP header is required for Put {what} requests with Object Lock parameters"
        raise ApiError("InvalidRequest", text)


def check_document_digest(call: Call) -> None:
    """Raises ApiError InvalidRequest for a document of object lock that comes without a digest."""
    if not brings_digest(call.headers):
        raise ApiError("InvalidRequest", "Missing required header for this request: Content-MD5 OR x-amz-checksum-*")


def brings_digest(headers: Mapping[str, str]) -> bool:
    """By a header, or announced as a trailer. The signed digest of the payload is none, as on AWS."""
    return (
        "content-md5" in headers
        or headers.get("x-amz-trailer", "").strip().lower().startswith(_CHECKSUM)
        or any(name.startswith(_CHECKSUM) and name not in _OF_NO_BODY for name in headers)
    )


async def lock_output(call: Call, bucket: Bucket, object_key: str, meta: ObjectMeta) -> dict[str, Any]:
    """The members of a read's answer about the lock, each for those who may know it."""
    lock, output = meta.lock, dict[str, Any]()
    arn = object_arn(bucket.name, object_key)
    if lock.mode and await allowed(call, "s3:GetObjectRetention", arn):
        output |= {"ObjectLockMode": lock.mode, "ObjectLockRetainUntilDate": shown_until(lock)}
    if lock.hold and await allowed(call, "s3:GetObjectLegalHold", arn):
        output["ObjectLockLegalHoldStatus"] = lock.hold
    return output
