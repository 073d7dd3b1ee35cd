"""A small world around the S3 rooms: a real catalog, real keys, callers, and calls made by hand."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from strongroom.api.codec_rest_xml import RestXmlCodec
from strongroom.api.operation import Answer, Call, Register
from strongroom.kms.data_keys import DataKeys
from strongroom.s3.acls import Acls
from strongroom.s3.bucket_cache import Bucket, BucketCache
from strongroom.s3.bucket_settings import BucketSettings
from strongroom.s3.buckets import Buckets
from strongroom.s3.listing import Listing
from strongroom.s3.metadata import ObjectMeta
from strongroom.s3.rooms import Rooms, S3Settings
from strongroom.store.contract import VersionRow
from strongroom.store.files import FileBlobs
from strongroom.store.sqlite import SqliteCatalog

A = "111122223333"
B = "444455556666"
NOW = datetime(2026, 5, 4, 3, 2, 1, 678000, UTC)
NOW_MS = int(NOW.timestamp() * 1000)


@dataclass(frozen=True)
class SomeCaller:
    account_id: str
    anonymous: bool = False
    user_id: str = ""
    display_name: str = ""
    access_key_id: str = ""
    principal_arn: str = ""

    @property
    def arn(self) -> str:
        return f"arn:aws:iam::{self.account_id}:root"

    @property
    def canonical_id(self) -> str:
        return (self.account_id * 6)[:64]


class CountingCatalog(SqliteCatalog):
    """The real thing, counting the reads of a listing and the rows they brought."""

    reads = 0
    rows_read = 0

    async def current(self, *args: Any, **kwargs: Any) -> list[VersionRow]:
        rows = await super().current(*args, **kwargs)
        self.reads += 1
        self.rows_read += len(rows)
        return rows


@dataclass
class World:
    catalog: CountingCatalog
    blobs: FileBlobs
    settings: S3Settings = field(default_factory=S3Settings)
    asked: list[tuple[str, str]] = field(default_factory=list)  # about what the caller was about to make

    def __post_init__(self) -> None:
        self.keys = DataKeys(self.catalog, bytes(range(32)), lambda: NOW)
        self.use(self.settings)

    def use(self, settings: S3Settings) -> None:
        """As a server that was started again with other settings."""
        self.settings = settings
        self.buckets = BucketCache(self.catalog, self.keys, settings.new_bucket_sse_c)
        self.rooms = Rooms(self.catalog, self.blobs, self.keys, self.buckets, settings, lambda: NOW, os.urandom)
        self.register = Register([Buckets(self.rooms), BucketSettings(self.rooms), Acls(self.rooms), Listing(self.rooms)])

    def call(self, name: str, /, *, account: str = A, region: str = "us-east-1", **given: Any) -> Call:
        operation = self.register.find("s3", name)
        assert operation is not None, name

        async def allow(
            action: str,
            resource: str,
            /,
            *,
            version_id: str | None = None,
            told: Any = None,
            about: Any = None,
            new: bool = False,
            optional: bool = False,
        ) -> None:
            if new:  # of one's own
                self.asked.append((action, resource))
                return
            raise AssertionError(f"nobody should have asked for {action} on {resource}")

        return Call(
            operation=operation,
            input=given,
            caller=SomeCaller(account),
            allow=allow,  # type: ignore[arg-type]
            body=None,  # type: ignore[arg-type]
            region=region,
            now=NOW,
            request_id="R",
            base_url="http://s3.example:9000",
            virtual_host=False,
            secure=True,
            source_ip="127.0.0.1",
            headers={},
        )

    async def run(self, name: str, /, **given: Any) -> dict[str, Any]:
        """The output; it must be one that the codec can write."""
        call = self.call(name, **given)
        answer: Answer = await call.operation.run(call)
        RestXmlCodec().encode(name, answer, "R", "H")
        return dict(answer.output)

    async def make(self, name: str = "bucket", **given: Any) -> Bucket:
        await self.run("CreateBucket", Bucket=name, **given)
        return await self.buckets.find(name)

    async def put(self, bucket: Bucket, *object_keys: str, delete_marker: bool = False, meta: ObjectMeta | None = None) -> None:
        """Rows as a writer makes them; nothing is behind them but a name, which is all that a listing looks at."""

        def row(object_key: str) -> VersionRow:
            version_id = os.urandom(8).hex()
            sealed = (
                b""
                if delete_marker
                else (meta or ObjectMeta("e" * 32)).seal(bucket, object_key, version_id, size=5, seal=b"s", manifest=b"m")
            )
            return VersionRow(
                bucket.bucket_id, object_key, version_id, False, delete_marker, 5, NOW_MS, b"s", sealed, b"m", b"body"
            )

        rows = [row(object_key) for object_key in object_keys]

        def work(tx: Any) -> None:
            for one in rows:
                tx.insert_version(one)

        await self.catalog.write(work)


@asynccontextmanager
async def opened(folder: Any) -> Any:
    """The world over one data folder."""
    catalog = CountingCatalog.open(folder)
    blobs = FileBlobs(folder / "blobs")
    world = World(catalog, blobs)
    await world.keys.open()
    try:
        yield world
    finally:
        await blobs.close()
        await catalog.close()
