"""Object lock: the configuration of a bucket, and the retention and legal hold of a version.

Every change is judged in the transaction that makes it, by the record that is there then and the server's clock. Never knows HTTP, nor
how a protected version is kept from being removed: that is ``versions.remove_version``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from strongroom.api.errors import ApiError
from strongroom.api.operation import Answer, operation
from strongroom.s3.bucket_cache import OBJECT_LOCK, bucket_scope
from strongroom.s3.locked_writes import check_document_digest
from strongroom.s3.metadata import ObjectMeta
from strongroom.s3.object_lock import HOLDS, read_retention, read_rule, shown_until
from strongroom.s3.reading import find_version_for
from strongroom.s3.record_changes import change_record
from strongroom.s3.sealing import object_arn
from strongroom.s3.versions import ENABLED, milliseconds, versioning_at

if TYPE_CHECKING:
    from collections.abc import Mapping

    from strongroom.api.operation import Call
    from strongroom.s3.bucket_cache import Bucket
    from strongroom.s3.rooms import Rooms
    from strongroom.store.contract import Transaction

BYPASS: Final = "x-amz-bypass-governance-retention"


def asks_bypass(call: Call, bucket: Bucket) -> bool:
    """Whether governance is to be bypassed. Raises ApiError InvalidArgument where there is nothing to bypass."""
    if not call.input.get("BypassGovernanceRetention"):
        return False
    if bucket.lock_rule is None:
        text = f"{BYPASS} is only applicable to Object Lock enabled buckets."
        raise ApiError("InvalidArgument", text, ArgumentName=BYPASS)
    return True


async def allow_bypass(call: Call, bucket: Bucket, object_key: str, version_id: str | None) -> None:
    """Whoever asks for it must be allowed to, whether or not there is a lock. Raises ApiError AccessDenied."""
    await call.allow("s3:BypassGovernanceRetention", object_arn(bucket.name, object_key), version_id=version_id)


class ObjectLocking:
    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    @operation("s3", "PutObjectLockConfiguration", "s3:PutBucketObjectLockConfiguration", on="bucket")
    async def put_object_lock_configuration(self, call: Call) -> Answer:
        """There is no way back: a default can be changed or left out, object lock itself stays."""
        check_document_digest(call)
        bucket = await self._rooms.buckets.find(call.input["Bucket"])
        rule = read_rule(call.input.get("ObjectLockConfiguration") or {})

        def work(tx: Transaction) -> None:
            if versioning_at(tx, bucket) != ENABLED:
                text = "Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration"
                raise ApiError("InvalidBucketState", text)
            tx.set_document(bucket_scope(bucket.bucket_id), OBJECT_LOCK, rule.to_document())

        await self._rooms.catalog.write(work)
        return Answer()

    @operation("s3", "GetObjectLockConfiguration", "s3:GetBucketObjectLockConfiguration", on="bucket")
    async def get_object_lock_configuration(self, call: Call) -> Answer:
        bucket = await self._rooms.buckets.find(call.input["Bucket"])
        if bucket.lock_rule is None:
            raise ApiError("ObjectLockConfigurationNotFoundError", BucketName=bucket.name)
        return Answer({"ObjectLockConfiguration": bucket.lock_rule.shown()})

    @operation("s3", "PutObjectRetention", "s3:PutObjectRetention", on="object")
    async def put_object_retention(self, call: Call) -> Answer:
        check_document_digest(call)
        bucket = await self._locked(call)
        now_ms = milliseconds(call.now)
        mode, until_ms = read_retention(call.input.get("Retention"), now_ms)
        bypass = asks_bypass(call, bucket)
        if bypass:
            await allow_bypass(call, bucket, call.input["Key"], call.input.get("VersionId"))

        def change(meta: ObjectMeta) -> None:
            meta.lock = meta.lock.retained_anew(mode, until_ms, now_ms, bypass=bypass)

        await change_record(call, self._rooms, bucket, change)
        return Answer()

    @operation("s3", "GetObjectRetention", "s3:GetObjectRetention", on="object")
    async def get_object_retention(self, call: Call) -> Answer:
        lock = (await self._record(call)).lock
        if not lock.mode:
            raise ApiError("NoSuchObjectLockConfiguration")
        return Answer({"Retention": {"Mode": lock.mode, "RetainUntilDate": shown_until(lock)}})

    @operation("s3", "PutObjectLegalHold", "s3:PutObjectLegalHold", on="object")
    async def put_object_legal_hold(self, call: Call) -> Answer:
        check_document_digest(call)
        bucket = await self._locked(call)
        document: Mapping[str, str] = call.input.get("LegalHold") or {}
        hold = document.get("Status", "")
        if hold not in HOLDS:
            raise ApiError("MalformedXML")

        def change(meta: ObjectMeta) -> None:
            meta.lock = meta.lock.held(hold)

        await change_record(call, self._rooms, bucket, change)
        return Answer()

    @operation("s3", "GetObjectLegalHold", "s3:GetObjectLegalHold", on="object")
    async def get_object_legal_hold(self, call: Call) -> Answer:
        lock = (await self._record(call)).lock
        if not lock.hold:
            raise ApiError("NoSuchObjectLockConfiguration")
        return Answer({"LegalHold": {"Status": lock.hold}})

    async def _locked(self, call: Call) -> Bucket:
        """Raises ApiError NoSuchBucket; InvalidRequest for a bucket without object lock."""
        bucket = await self._rooms.buckets.find(call.input["Bucket"])
        if bucket.lock_rule is None:
            raise ApiError("InvalidRequest", "Bucket is missing Object Lock Configuration")
        return bucket

    async def _record(self, call: Call) -> ObjectMeta:
        bucket = await self._locked(call)
        return ObjectMeta.open(bucket, await find_version_for(call, self._rooms, bucket, call.input))
