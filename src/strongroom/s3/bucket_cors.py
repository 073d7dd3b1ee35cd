"""CORS of a bucket: the configuration, put, got and deleted as one document, and the answer to a browser's preflight.

Which rule fits is decided in ``policy.cross_origin``; the edge writes the headers on every other answer. Never knows XML or HTTP
beyond the names of headers. Sources: PutBucketCors and "OPTIONS object" in the S3 API reference; texts as recorded from AWS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from strongroom.api.errors import ApiError
from strongroom.api.operation import Answer, operation
from strongroom.policy.cross_origin import METHODS, find_rule, shown_to
from strongroom.s3.bucket_cache import CORS, bucket_scope, no_such_bucket
from strongroom.s3.cors_rules import check_rules

if TYPE_CHECKING:
    from strongroom.api.operation import Call
    from strongroom.s3.rooms import Rooms
    from strongroom.store.contract import Transaction

_NOT_ENABLED: Final = "CORSResponse: CORS is not enabled for this bucket."
_NO_BUCKET: Final = "CORSResponse: Bucket not found"
_NOT_ALLOWED: Final = (
    "CORSResponse: This CORS request is not allowed. This is usually because the evalution of Origin, request method / "
    "Access-Control-Request-Method or Access-Control-Request-Headers are not whitelisted by the resource's CORS spec."
)


class BucketCors:
    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    @operation("s3", "PutBucketCors", "s3:PutBucketCORS", on="bucket")
    async def put_bucket_cors(self, call: Call) -> Answer:
        """The configuration takes the place of the one before."""
        await self._set(call, check_rules(call.input.get("CORSConfiguration") or {}))
        return Answer()

    # There is no s3:DeleteBucketCORS: deleting is a way of putting.
    @operation("s3", "DeleteBucketCors", "s3:PutBucketCORS", on="bucket")
    async def delete_bucket_cors(self, call: Call) -> Answer:
        await self._set(call, None)
        return Answer()

    @operation("s3", "GetBucketCors", "s3:GetBucketCORS", on="bucket")
    async def get_bucket_cors(self, call: Call) -> Answer:
        bucket = await self._rooms.buckets.find(call.input["Bucket"])
        rules: list[dict[str, Any]] | None = await self._rooms.catalog.document(bucket_scope(bucket.bucket_id), CORS)
        if rules is None:
            raise ApiError("NoSuchCORSConfiguration", BucketName=bucket.name)
        return Answer({"CORSRules": rules})

    @operation("s3", "Preflight", "s3:Preflight", on="nobody")
    async def preflight(self, call: Call) -> Answer:
        """Nobody signs it, and it says nothing but which requests a browser may send. Raises ApiError AccessForbidden, BadRequest."""
        name: str = call.input["Bucket"]
        if not name:
            raise ApiError("MethodNotAllowed", Method="OPTIONS", ResourceType="SERVICE")
        origin, method = call.headers.get("origin"), call.headers.get("access-control-request-method")
        if origin is None:
            raise ApiError("BadRequest", "Insufficient information. Origin request header needed.")
        if method not in METHODS:
            raise ApiError("BadRequest", f"Invalid Access-Control-Request-Method: {'null' if method is None else method}")
        told = {"Method": method, "ResourceType": "OBJECT" if call.input["Key"] else "BUCKET"}
        bucket = await self._rooms.buckets.place(name)
        if bucket is None:
            raise ApiError("AccessForbidden", _NO_BUCKET, fields=told)
        if not bucket.cors:
            raise ApiError("AccessForbidden", _NOT_ENABLED, fields=told)
        asked = call.headers.get("access-control-request-headers", "")
        requested = [name.strip().lower() for name in asked.split(",") if name.strip()]
        rule = find_rule(bucket.cors, origin, method, requested)
        if rule is None:
            raise ApiError("AccessForbidden", _NOT_ALLOWED, fields=told)
        return Answer(dict(shown_to(rule, origin, requested)))

    async def _set(self, call: Call, rules: list[dict[str, Any]] | None) -> None:
        bucket = await self._rooms.buckets.find(call.input["Bucket"])

        def work(tx: Transaction) -> None:
            if not tx.bucket_exists(bucket.bucket_id):
                raise no_such_bucket(bucket.name)
            tx.set_document(bucket_scope(bucket.bucket_id), CORS, rules)

        await self._rooms.catalog.write(work)
