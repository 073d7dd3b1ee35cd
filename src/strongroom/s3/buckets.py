"""Buckets themselves: making, finding, listing and removing them. Never knows HTTP, XML or who may do what.

Sources: AWS's rules for general purpose bucket names, and the reference pages of CreateBucket, ListBuckets and DeleteBucket.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

from strongroom.api.errors import ApiError
from strongroom.api.operation import Answer, Call, operation
from strongroom.s3.acl_grantees import new_settings
from strongroom.s3.bucket_cache import ACL, ENCRYPTION, OBJECT_LOCK, TAGS, VERSIONING, bucket_scope, no_such_bucket
from strongroom.s3.bucket_names import bucket_region, check_bucket_name, check_new_bucket
from strongroom.s3.bucket_tagging import stored_tags
from strongroom.s3.encryption import BucketEncryption
from strongroom.s3.object_lock import LockRule
from strongroom.s3.owners import bucket_arn, owner_of
from strongroom.s3.positions import bad_token, read_number, read_position, show_position
from strongroom.s3.rooms import Rooms
from strongroom.s3.tag_sets import BUCKET_TAGS, brought, read_tag_set
from strongroom.s3.versions import ENABLED, milliseconds, stored_blobs
from strongroom.store.contract import BucketRow, Claim, Conflict, Transaction

MOST_BUCKETS: Final = 10_000  # of one account, and of one answer of ListBuckets
US_EAST_1: Final = "us-east-1"


class Buckets:
    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    # The bucket has no owner yet who could be asked for it: the right is the caller's own.
    @operation("s3", "CreateBucket", "s3:CreateBucket", on="service")
    async def create_bucket(self, call: Call) -> Answer:
        rooms, name = self._rooms, call.input["Bucket"]
        check_bucket_name(name)
        check_new_bucket(call.input)
        settings = await new_settings(rooms.catalog, call, bucket_arn(name))
        configuration: Mapping[str, Any] = call.input.get("CreateBucketConfiguration") or {}
        tags = read_tag_set({"TagSet": configuration.get("Tags") or []}, BUCKET_TAGS)
        if tags:
            await call.allow("s3:TagResource", bucket_arn(name), told=brought(tags), new=True)
            settings[TAGS] = stored_tags(tags)
        region = bucket_region(configuration.get("LocationConstraint"), call.region, rooms.settings.regions)
        row = BucketRow(rooms.random(16).hex(), name, call.caller.account_id, region, milliseconds(call.now))
        locked = bool(call.input.get("ObjectLockEnabledForBucket"))
        if locked:
            await call.allow("s3:PutBucketObjectLockConfiguration", bucket_arn(name), new=True)
            await call.allow("s3:PutBucketVersioning", bucket_arn(name), new=True)
        # Written down now, so that changing the setting later does not change buckets that exist.
        rule = BucketEncryption.new_bucket(rooms.settings.new_bucket_sse_c).to_document()

        def work(tx: Transaction) -> None:
            there = tx.bucket(name)
            if there is not None:
                _judge_existing(there, row)
                tx.set_document(bucket_scope(there.bucket_id), ACL, None)  # as S3 does: its list is again its owner's alone
                return
            if tx.count_buckets(row.account_id) >= MOST_BUCKETS:
                raise ApiError("TooManyBuckets")
            tx.create_bucket(row)
            tx.set_document(bucket_scope(row.bucket_id), ENCRYPTION, rule)
            for kind, value in settings.items():
                tx.set_document(bucket_scope(row.bucket_id), kind, value)
            if locked:
                tx.set_document(bucket_scope(row.bucket_id), VERSIONING, {"status": ENABLED})
                tx.set_document(bucket_scope(row.bucket_id), OBJECT_LOCK, LockRule().to_document())

        await rooms.catalog.write(work)
        return Answer({"Location": _location(call, name), "BucketArn": bucket_arn(name)})

    @operation("s3", "HeadBucket", "s3:ListBucket", on="bucket")
    async def head_bucket(self, call: Call) -> Answer:
        bucket = await self._rooms.buckets.find(call.input["Bucket"])
        return Answer({"BucketArn": bucket_arn(bucket.name), "BucketRegion": bucket.region, "AccessPointAlias": False})

    @operation("s3", "GetBucketLocation", "s3:GetBucketLocation", on="bucket")
    async def get_bucket_location(self, call: Call) -> Answer:
        """us-east-1 is the empty location: it is older than the name."""
        bucket = await self._rooms.buckets.find(call.input["Bucket"])
        return Answer({"LocationConstraint": "" if bucket.region == US_EAST_1 else bucket.region})

    @operation("s3", "ListBuckets", "s3:ListAllMyBuckets", on="service")
    async def list_buckets(self, call: Call) -> Answer:
        given = call.input
        most = _most_buckets(given.get("MaxBuckets"))
        token: str | None = given.get("ContinuationToken")
        after = "" if token is None else _after_bucket(token)
        prefix, region = given.get("Prefix") or "", given.get("BucketRegion") or None
        rows = await self._rooms.catalog.buckets(
            call.caller.account_id, prefix=prefix, after=after, region=region, limit=most + 1
        )
        page = rows[:most]
        # AWS tells the region only to those who sent a parameter, and so knew of them.
        parametrised = any(
            given.get(member) is not None for member in ("MaxBuckets", "ContinuationToken", "Prefix", "BucketRegion")
        )
        output: dict[str, Any] = {
            "Buckets": [_shown(row, with_region=parametrised) for row in page],
            "Owner": await owner_of(self._rooms.catalog, call, call.caller.account_id),
        }
        if given.get("Prefix") is not None:
            output["Prefix"] = prefix
        if len(rows) > most:
            output["ContinuationToken"] = show_position("bucket", page[-1].name)
        return Answer(output)

    @operation("s3", "DeleteBucket", "s3:DeleteBucket", on="bucket")
    async def delete_bucket(self, call: Call) -> Answer:
        """Only versions keep a bucket; unfinished uploads go with it, and their blobs to upkeep."""
        bucket = await self._rooms.buckets.find(call.input["Bucket"])

        def work(tx: Transaction) -> None:
            if not tx.bucket_exists(bucket.bucket_id):
                raise no_such_bucket(bucket.name)
            try:
                parts = tx.delete_bucket(bucket.bucket_id)
            except Conflict as error:
                raise ApiError("BucketNotEmpty", BucketName=bucket.name) from error
            tx.discard([blob_id for part in parts for blob_id in stored_blobs(part.manifest)])

        await self._rooms.catalog.write(work, Claim.FREE)
        return Answer()


def _judge_existing(there: BucketRow, wanted: BucketRow) -> None:
    """Returns where making the bucket again is no error: one's own, in us-east-1, as S3 has always had it."""
    if there.account_id != wanted.account_id:
        raise ApiError("BucketAlreadyExists", BucketName=there.name)
    if not there.region == wanted.region == US_EAST_1:
        raise ApiError("BucketAlreadyOwnedByYou", BucketName=there.name)


def _location(call: Call, name: str) -> str:
    """``/name`` from us-east-1, else the bucket's own address; under the host's path where the host is a bare IP address."""
    if call.region == US_EAST_1:
        return f"/{name}"
    if call.virtual_host:
        return f"{call.base_url}/"
    base = urlsplit(call.base_url)
    try:
        ipaddress.ip_address(base.hostname or "")
    except ValueError:
        return f"{base.scheme}://{name}.{base.netloc}/"
    return f"{call.base_url}/{name}/"


def _shown(row: BucketRow, *, with_region: bool) -> dict[str, Any]:
    shown: dict[str, Any] = {"Name": row.name, "CreationDate": datetime.fromtimestamp(row.created_ms // 1000, UTC)}
    if with_region:
        shown["BucketRegion"] = row.region
    shown["BucketArn"] = bucket_arn(row.name)
    return shown


def _most_buckets(given: int | str | None) -> int:
    if given is None:
        return MOST_BUCKETS
    number = read_number(given)
    if number is None or not 1 <= number <= MOST_BUCKETS:
        raise ApiError(
            "InvalidArgument",
            f"Argument max-buckets must be an integer between 1 and {MOST_BUCKETS}",
            ArgumentName="max-buckets",
            ArgumentValue=str(given),
        )
    return number


def _after_bucket(token: str) -> str:
    kind, name = read_position(token)
    if kind != "bucket":
        raise bad_token()
    return name
