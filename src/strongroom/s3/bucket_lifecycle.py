"""The lifecycle of a bucket: put, got and deleted as one document; and what answers to requests say of it.

What is put takes the place of all rules before; what is refused changes nothing. Never carries out an action: ``lifecycle_working`` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from strongroom.api.errors import ApiError
from strongroom.api.operation import Answer, operation
from strongroom.api.scalars import http_date
from strongroom.s3.bucket_cache import LIFECYCLE, bucket_scope, no_such_bucket
from strongroom.s3.lifecycle_judging import Told
from strongroom.s3.lifecycle_reading import read_configuration
from strongroom.s3.lifecycle_rules import LAST_DAY, moment_of

if TYPE_CHECKING:
    from strongroom.api.operation import Call
    from strongroom.s3.bucket_cache import Bucket
    from strongroom.s3.metadata import ObjectMeta
    from strongroom.s3.rooms import Rooms
    from strongroom.store.contract import Transaction

_PUT: Final = "s3:PutLifecycleConfiguration"


class BucketLifecycle:
    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    @operation("s3", "PutBucketLifecycleConfiguration", _PUT, on="bucket")
    async def put_bucket_lifecycle(self, call: Call) -> Answer:
        given = call.input
        bucket = await self._rooms.buckets.find(given["Bucket"])
        minimum: str | None = given.get("TransitionDefaultMinimumObjectSize")
        document = read_configuration(given.get("LifecycleConfiguration") or {}, minimum, self._rooms.random)
        await self._set(bucket, document)
        return Answer({"TransitionDefaultMinimumObjectSize": document["minimum"]})

    @operation("s3", "GetBucketLifecycleConfiguration", "s3:GetLifecycleConfiguration", on="bucket")
    async def get_bucket_lifecycle(self, call: Call) -> Answer:
        bucket = await self._rooms.buckets.find(call.input["Bucket"])
        document = await self._rooms.catalog.document(bucket_scope(bucket.bucket_id), LIFECYCLE)
        if document is None:
            raise ApiError("NoSuchLifecycleConfiguration", BucketName=bucket.name)
        return Answer({"Rules": document["rules"], "TransitionDefaultMinimumObjectSize": document["minimum"]})

    # There is no s3:DeleteLifecycleConfiguration: deleting is a way of putting.
    @operation("s3", "DeleteBucketLifecycle", _PUT, on="bucket")
    async def delete_bucket_lifecycle(self, call: Call) -> Answer:
        await self._set(await self._rooms.buckets.find(call.input["Bucket"]), None)
        return Answer()

    async def _set(self, bucket: Bucket, document: dict[str, Any] | None) -> None:
        def work(tx: Transaction) -> None:
            if not tx.bucket_exists(bucket.bucket_id):
                raise no_such_bucket(bucket.name)
            tx.set_document(bucket_scope(bucket.bucket_id), LIFECYCLE, document)

        await self._rooms.catalog.write(work)


def expiration_output(bucket: Bucket, object_key: str, size: int, modified_ms: int, meta: ObjectMeta) -> dict[str, str]:
    """The member Expiration of an answer about a current version: when it expires, and by which rule. Nothing where no rule says so."""
    if bucket.lifecycle is None:
        return {}
    found = bucket.lifecycle.expiry(object_key, size, modified_ms, lambda: told_of(meta))
    if found is None or found[0] > LAST_DAY:
        return {}
    day, rule_id = found
    return {"Expiration": f'expiry-date="{http_date(moment_of(day))}", rule-id="{quote(rule_id, safe="")}"'}


def abort_output(bucket: Bucket, object_key: str, initiated_ms: int) -> dict[str, Any]:
    """The members AbortDate and AbortRuleId of an answer about an unfinished upload."""
    found = None if bucket.lifecycle is None else bucket.lifecycle.abort(object_key, initiated_ms)
    return {} if found is None or found[0] > LAST_DAY else {"AbortDate": moment_of(found[0]), "AbortRuleId": found[1]}


def told_of(meta: ObjectMeta) -> Told:
    """What a rule may ask of an object's sealed record."""
    return Told(meta.storage_class, meta.tags)
