"""Settings of a bucket that are checked, kept and answered as S3 does, and have no effect here (but request payment: see the gate; and ABAC: see
``condition_values``).

Two shapes: one state of a bucket (acceleration, ABAC, who pays), and configurations by id of which a bucket has up to a thousand
(analytics, metrics, intelligent tiering). A table says what is special about each. Never knows XML or HTTP.
Sources: the reference pages of the operations in the S3 API reference.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from strongroom.api.errors import ApiError
from strongroom.api.operation import Answer, operation
from strongroom.s3.bucket_cache import ABAC, PAYER, Bucket, bucket_scope, no_such_bucket
from strongroom.s3.kept_configurations import Configuration, check_analytics, check_metrics, check_tiering
from strongroom.s3.positions import bad_token, read_position, show_position

if TYPE_CHECKING:
    from strongroom.api.operation import Call
    from strongroom.s3.rooms import Rooms
    from strongroom.store.contract import Transaction

MOST_CONFIGURATIONS: Final = 1_000  # of one kind and bucket
PAGE: Final = 100  # configurations of one answer
_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)


def _any(_bucket: Bucket, _state: str) -> None:
    pass


def _check_acceleration(bucket: Bucket, _state: str) -> None:
    if "." in bucket.name:
        text = "S3 Transfer Acceleration is not supported for buckets with periods (.) in their names"
        raise ApiError("InvalidRequest", text)


@dataclass(frozen=True, slots=True)
class _State:
    kind: str  # of the document
    document: str  # member with the configuration
    member: str  # its only member
    default: str | None  # what is answered where nothing was put
    check: Callable[[Bucket, str], None] = _any
    wrapped: bool = False  # the answer has the configuration as one member


_STATES: Final = {
    "AccelerateConfiguration": _State("accelerate", "AccelerateConfiguration", "Status", None, _check_acceleration),
    "Abac": _State(ABAC, "AbacStatus", "Status", "Disabled", wrapped=True),
    "RequestPayment": _State(PAYER, "RequestPaymentConfiguration", "Payer", "BucketOwner"),
}


@dataclass(frozen=True, slots=True)
class _Sort:
    kind: str  # of the documents, one for each configuration
    member: str  # with the configuration
    check: Callable[[Configuration], None]


_SORTS: Final = {
    "Analytics": _Sort("analytics", "AnalyticsConfiguration", check_analytics),
    "Metrics": _Sort("metrics", "MetricsConfiguration", check_metrics),
    "IntelligentTiering": _Sort("intelligent-tiering", "IntelligentTieringConfiguration", check_tiering),
}


def _what(call: Call) -> str:
    """PutBucketAbac → Abac, ListBucketMetricsConfigurations → MetricsConfigurations."""
    return call.operation.name.partition("Bucket")[2]


def _sort(call: Call) -> _Sort:
    return _SORTS[_what(call).removesuffix("s").removesuffix("Configuration")]


def _id(call: Call) -> str:
    """Raises ApiError InvalidConfigurationId."""
    given: str = call.input["Id"]
    if not _ID.fullmatch(given):
        raise ApiError("InvalidConfigurationId")
    return given


class KeptSettings:
    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    # ------------------------------------------------------------------------------------------------------- one state

    @operation("s3", "PutBucketAbac", "s3:PutBucketAbac", on="bucket")
    @operation("s3", "PutBucketAccelerateConfiguration", "s3:PutAccelerateConfiguration", on="bucket")
    @operation("s3", "PutBucketRequestPayment", "s3:PutBucketRequestPayment", on="bucket")
    async def put_state(self, call: Call) -> Answer:
        setting = _STATES[_what(call)]
        bucket = await self._find(call)
        given: Mapping[str, Any] = call.input.get(setting.document) or {}
        state: str | None = given.get(setting.member)
        if not state:
            raise ApiError("MalformedXML")
        setting.check(bucket, state)
        await self._rooms.catalog.write(lambda tx: _set(tx, bucket, bucket_scope(bucket.bucket_id), setting.kind, state))
        return Answer()

    @operation("s3", "GetBucketAbac", "s3:GetBucketAbac", on="bucket")
    @operation("s3", "GetBucketAccelerateConfiguration", "s3:GetAccelerateConfiguration", on="bucket")
    @operation("s3", "GetBucketRequestPayment", "s3:GetBucketRequestPayment", on="bucket")
    async def get_state(self, call: Call) -> Answer:
        setting = _STATES[_what(call)]
        bucket = await self._find(call)
        kept: str | None = await self._rooms.catalog.document(bucket_scope(bucket.bucket_id), setting.kind)
        state = kept or setting.default
        shown = {} if state is None else {setting.member: state}
        return Answer({setting.document: shown} if setting.wrapped else shown)

    # --------------------------------------------------------------------------------------------- configurations by id

    @operation("s3", "PutBucketAnalyticsConfiguration", "s3:PutAnalyticsConfiguration", on="bucket")
    @operation("s3", "PutBucketMetricsConfiguration", "s3:PutMetricsConfiguration", on="bucket")
    @operation("s3", "PutBucketIntelligentTieringConfiguration", "s3:PutIntelligentTieringConfiguration", on="bucket")
    async def put_configuration(self, call: Call) -> Answer:
        """It takes the place of the one of that id."""
        sort, bucket, name = _sort(call), await self._find(call), _id(call)
        configuration: Configuration = call.input.get(sort.member) or {}
        if configuration.get("Id") != name:
            raise ApiError("InvalidArgument", "Document ID does not match the specified configuration ID.")
        sort.check(configuration)
        scope, above = _scope(bucket, name), _scope(bucket, "")

        def work(tx: Transaction) -> None:
            fresh = tx.document(scope, sort.kind) is None
            if fresh and len(tx.documents(sort.kind, prefix=above, limit=MOST_CONFIGURATIONS)) >= MOST_CONFIGURATIONS:
                raise ApiError("TooManyConfigurations")
            _set(tx, bucket, scope, sort.kind, configuration)

        await self._rooms.catalog.write(work)
        return Answer()

    @operation("s3", "GetBucketAnalyticsConfiguration", "s3:GetAnalyticsConfiguration", on="bucket")
    @operation("s3", "GetBucketMetricsConfiguration", "s3:GetMetricsConfiguration", on="bucket")
    @operation("s3", "GetBucketIntelligentTieringConfiguration", "s3:GetIntelligentTieringConfiguration", on="bucket")
    async def get_configuration(self, call: Call) -> Answer:
        sort, bucket, name = _sort(call), await self._find(call), _id(call)
        kept: Configuration | None = await self._rooms.catalog.document(_scope(bucket, name), sort.kind)
        if kept is None:
            raise ApiError("NoSuchConfiguration")
        return Answer({sort.member: kept})

    # There are no rights of their own: deleting is a way of putting, listing one of getting.
    @operation("s3", "DeleteBucketAnalyticsConfiguration", "s3:PutAnalyticsConfiguration", on="bucket")
    @operation("s3", "DeleteBucketMetricsConfiguration", "s3:PutMetricsConfiguration", on="bucket")
    @operation("s3", "DeleteBucketIntelligentTieringConfiguration", "s3:PutIntelligentTieringConfiguration", on="bucket")
    async def delete_configuration(self, call: Call) -> Answer:
        sort, bucket, name = _sort(call), await self._find(call), _id(call)

        def work(tx: Transaction) -> None:
            if tx.document(_scope(bucket, name), sort.kind) is None:
                raise ApiError("NoSuchConfiguration")
            _set(tx, bucket, _scope(bucket, name), sort.kind, None)

        await self._rooms.catalog.write(work)
        return Answer()

    @operation("s3", "ListBucketAnalyticsConfigurations", "s3:GetAnalyticsConfiguration", on="bucket")
    @operation("s3", "ListBucketMetricsConfigurations", "s3:GetMetricsConfiguration", on="bucket")
    @operation("s3", "ListBucketIntelligentTieringConfigurations", "s3:GetIntelligentTieringConfiguration", on="bucket")
    async def list_configurations(self, call: Call) -> Answer:
        """By id."""
        sort, bucket = _sort(call), await self._find(call)
        token: str | None = call.input.get("ContinuationToken")
        above = _scope(bucket, "")
        after = "" if token is None else above + _after(token)
        found = await self._rooms.catalog.documents(sort.kind, prefix=above, after=after, limit=PAGE + 1)
        page = found[:PAGE]
        output: dict[str, Any] = {"IsTruncated": len(found) > PAGE}
        if token is not None:
            output["ContinuationToken"] = token
        if len(found) > PAGE:
            output["NextContinuationToken"] = show_position("configuration", page[-1][0].removeprefix(above))
        output[f"{sort.member}List"] = [kept for _, kept in page]
        return Answer(output)

    async def _find(self, call: Call) -> Bucket:
        return await self._rooms.buckets.find(call.input["Bucket"])


def _scope(bucket: Bucket, name: str) -> str:
    return f"{bucket_scope(bucket.bucket_id)}/{name}"


def _set(tx: Transaction, bucket: Bucket, scope: str, kind: str, value: Any) -> None:
    if not tx.bucket_exists(bucket.bucket_id):
        raise no_such_bucket(bucket.name)
    tx.set_document(scope, kind, value)


def _after(token: str) -> str:
    kind, name = read_position(token)
    if kind != "configuration":
        raise bad_token()
    return name
