"""Buckets as the s3 room uses them: the row, its rule and the cipher of its metadata records, cached until something changes.

The cache is dropped when the catalog's generation changes, so a change made by any worker is seen by the next request.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from strongroom.api.errors import ApiError
from strongroom.policy.decide import Authority
from strongroom.s3.encryption import BucketEncryption
from strongroom.seal.wrap import Records

if TYPE_CHECKING:
    from strongroom.kms.data_keys import DataKeys
    from strongroom.store.contract import BucketRow, Catalog

ENCRYPTION: Final = "encryption"  # kind of the document with the bucket's default encryption
VERSIONING: Final = "versioning"
_MOST: Final = 10_000  # buckets kept; beyond that the cache starts anew
_ARN: Final = "arn:aws:s3:::"


def bucket_scope(bucket_id: str) -> str:
    """The scope of a bucket's documents."""
    return f"bucket/{bucket_id}"


def no_such_bucket(name: str) -> ApiError:
    return ApiError("NoSuchBucket", BucketName=name)


@dataclass(frozen=True, slots=True)
class Bucket:
    bucket_id: str
    name: str
    account_id: str
    region: str
    created_ms: int
    encryption: BucketEncryption
    records: Records = field(repr=False)
    authority: Authority
    versioning: str = ""  # "", "Enabled" or "Suspended"


def bare_bucket(row: BucketRow, keys: DataKeys) -> Bucket:
    """A bucket as a walk over its rows needs it, with no settings: for the operator's tools, never for a request.

    Raises LookupError when the metadata root is not there.
    """
    rule = BucketEncryption.new_bucket("blocked")
    records = Records(keys.metadata_key(row.bucket_id))
    return Bucket(row.bucket_id, row.name, row.account_id, row.region, row.created_ms, rule, records, Authority(row.account_id))


class BucketCache:
    def __init__(self, catalog: Catalog, keys: DataKeys, new_bucket_sse_c: str) -> None:
        self._catalog = catalog
        self._keys = keys
        self._new_bucket_sse_c = new_bucket_sse_c
        self._generation = -1
        self._buckets: dict[str, Bucket] = {}

    def cached(self, name: str) -> Bucket | None:
        """The bucket, if it is known and nothing has changed since; never waits."""
        generation = self._catalog.generation()
        if generation != self._generation:
            self._buckets = {}
            self._generation = generation
            return None
        return self._buckets.get(name)

    async def place(self, name: str) -> Bucket | None:
        """The bucket, or None when no bucket has that name."""
        bucket = self.cached(name)
        if bucket is not None:
            return bucket
        generation = self._generation
        row = await self._catalog.bucket(name)
        if row is None:
            return None
        scope = bucket_scope(row.bucket_id)
        rule = await self._catalog.document(scope, ENCRYPTION)
        versioning = await self._catalog.document(scope, VERSIONING)
        bucket = Bucket(
            row.bucket_id,
            row.name,
            row.account_id,
            row.region,
            row.created_ms,
            BucketEncryption.from_document(rule, self._new_bucket_sse_c),
            Records(self._keys.metadata_key(row.bucket_id)),
            Authority(row.account_id),
            versioning["status"] if versioning else "",
        )
        if generation == self._catalog.generation() == self._generation:  # else it may be a mix of two states: use, do not keep
            if len(self._buckets) >= _MOST:
                self._buckets = {}
            self._buckets[name] = bucket
        return bucket

    async def find(self, name: str) -> Bucket:
        """Raises ApiError NoSuchBucket."""
        bucket = await self.place(name)
        if bucket is None:
            raise no_such_bucket(name)
        return bucket

    async def authority(self, resource_arn: str) -> Authority:
        """Who governs ``arn:aws:s3:::bucket`` or ``arn:aws:s3:::bucket/key``. Raises ApiError NoSuchBucket."""
        return (await self.find(resource_arn.removeprefix(_ARN).split("/", 1)[0])).authority
