"""All S3 rooms and the KMS API over a real catalog, real blob files and the real verified body; calls are made by hand.

Tests go behind the rooms' back through ``sql`` (the catalog's file) and ``files`` (the blobs), as whoever has the disk could.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from strongroom.api.codec import Codec
from strongroom.api.errors import ApiError
from strongroom.api.operation import Answer, Call, Holds, Register
from strongroom.edge.body import RequestBody
from strongroom.edge.promises import Promises
from strongroom.edge.stall import Pace
from strongroom.iam.principals import Principals
from strongroom.kms.data_keys import DataKeys
from strongroom.kms.key_use import Alike, KeyUse
from strongroom.kms.key_use_last import LastUses
from strongroom.kms.rooms import kms_rooms
from strongroom.s3.bucket_cache import Bucket, BucketCache
from strongroom.s3.operations import s3_operations
from strongroom.s3.rooms import Rooms, S3Settings
from strongroom.s3.upkeep import Upkeep
from strongroom.store.contract import VersionRow
from strongroom.store.files import FileBlobs
from strongroom.store.reserve import Reserve
from strongroom.store.sqlite import SqliteCatalog
from tests.s3.world import SomeCaller

A = "111122223333"
B = "444455556666"
KMS_KEY = bytes(range(32))
PART = 5 << 20


class Raw:
    """A connection that brings ``data``, and then, if it breaks, nothing more."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def whole(self) -> bytes:
        return self._data

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._data), 300_001):
            yield self._data[start : start + 300_001]


def body_of(data: bytes, **promised: Any) -> RequestBody:
    promises = Promises(wire_length=len(data), length=len(data))
    for name, value in promised.items():
        setattr(promises, name, value)
    return RequestBody(Raw(data), promises, Pace())


class Uses(list[KeyUse]):
    """Every use of a key that the kms room told of."""

    crowded = False

    def used(self, use: KeyUse) -> None:
        self.append(use)

    def served(self, alike: Alike, *which: Any) -> bool:
        if not self.crowded:
            self.append(alike.use(*which))
        return not self.crowded

    def full(self, _operation: str) -> bool:
        return self.crowded


@dataclass
class Vault:
    folder: Path
    catalog: SqliteCatalog
    blobs: FileBlobs
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    asked: list[tuple[str, str]] = field(default_factory=list)
    judged: dict[str, str] = field(default_factory=dict)  # ARN -> id of the version that the judge looked at
    asked_versions: list[tuple[str, str, str]] = field(
        default_factory=list
    )  # questions about versions that the input does not name
    denied: set[tuple[str, str]] = field(default_factory=set)  # (action, resource)
    holds: Holds = Holds.THIS_REQUEST  # of which other requests an answer holds too
    uses: Uses = field(default_factory=Uses)
    key_id: str = ""  # these three of what ``filled`` makes
    key_arn: str = ""
    upload_id: str = ""

    def __post_init__(self) -> None:
        self.keys = DataKeys(self.catalog, KMS_KEY, lambda: self.now)
        self.keys.tell(self.uses)
        self.use(S3Settings(new_bucket_sse_c="allowed"))

    def use(self, settings: S3Settings) -> None:
        self.buckets = BucketCache(self.catalog, self.keys, settings.new_bucket_sse_c)
        rooms = self.rooms = Rooms(self.catalog, self.blobs, self.keys, self.buckets, settings, lambda: self.now, os.urandom)
        self.upkeep = Upkeep(rooms)
        kms = kms_rooms(self.keys.ring, KMS_KEY, Principals(self.catalog), LastUses(self.catalog, KMS_KEY))
        self.register = Register([*s3_operations(rooms), *kms])

    def call(
        self,
        name: str,
        /,
        *,
        service: str = "s3",
        data: bytes | RequestBody = b"",
        account: str = A,
        headers: dict[str, str] | None = None,
        secure: bool = True,
        signed_v4: bool = True,
        anonymous: bool = False,
        **given: Any,
    ) -> Call:
        operation = self.register.find(service, name)
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
        ) -> bool:
            self.asked.append((action, resource))
            if version_id is not None:
                self.asked_versions.append((action, resource, version_id))
            if (action, resource) in self.denied:
                raise ApiError("AccessDenied")
            return self.holds

        allow.judged = self.judged.get  # type: ignore[attr-defined]
        return Call(
            operation=operation,
            input=given,
            caller=SomeCaller(account, anonymous),
            allow=allow,
            body=body_of(data) if isinstance(data, bytes) else data,
            region="us-east-1",
            now=self.now,
            request_id="R",
            base_url="http://s3.example:9000",
            virtual_host=False,
            secure=secure,
            source_ip="127.0.0.1",
            headers=headers or {},
            signed_v4=signed_v4,
        )

    async def ask(self, name: str, /, **given: Any) -> Answer:
        """The answer; it must be one that the codec can write."""
        call = self.call(name, **given)
        answer: Answer = await call.operation.run(call)
        Codec().encode(call.operation.service, name, answer, "R", "H")
        return answer

    async def run(self, name: str, /, **given: Any) -> dict[str, Any]:
        return dict((await self.ask(name, **given)).output)

    async def kms(self, name: str, /, **given: Any) -> dict[str, Any]:
        return await self.run(name, service="kms", **given)

    async def refused(self, name: str, /, **given: Any) -> ApiError:
        with pytest.raises(ApiError) as caught:
            await self.ask(name, **given)
        return caught.value

    async def put(self, object_key: str, data: bytes = b"", /, bucket: str = "bucket", **given: Any) -> dict[str, Any]:
        return await self.run("PutObject", data=data, Bucket=bucket, Key=object_key, **given)

    async def get(self, object_key: str, /, bucket: str = "bucket", **given: Any) -> tuple[bytes, Answer]:
        answer = await self.ask("GetObject", Bucket=bucket, Key=object_key, **given)
        return await whole(answer), answer

    async def head(self, object_key: str, /, bucket: str = "bucket", **given: Any) -> dict[str, Any]:
        return await self.run("HeadObject", Bucket=bucket, Key=object_key, **given)

    async def make(self, name: str = "bucket", **given: Any) -> Bucket:
        await self.run("CreateBucket", Bucket=name, **given)
        return await self.buckets.find(name)

    async def versioned(self, bucket: str = "bucket", status: str = "Enabled") -> None:
        await self.run("PutBucketVersioning", Bucket=bucket, VersioningConfiguration={"Status": status})

    async def delete_marker(self, object_key: str, bucket: str = "bucket") -> None:
        """In a versioned bucket."""
        assert (await self.run("DeleteObject", Bucket=bucket, Key=object_key))["DeleteMarker"]

    async def rule(self, algorithm: str, kms_key: str | None = None, *, bucket: str = "bucket", **more: Any) -> None:
        default = {"SSEAlgorithm": algorithm} | ({} if kms_key is None else {"KMSMasterKeyID": kms_key})
        configuration = {"Rules": [{"ApplyServerSideEncryptionByDefault": default, **more}]}
        await self.run("PutBucketEncryption", Bucket=bucket, ServerSideEncryptionConfiguration=configuration)

    async def kms_key(self, **given: Any) -> tuple[str, str]:
        """A new key: its id and its ARN."""
        metadata = (await self.kms("CreateKey", **given))["KeyMetadata"]
        return metadata["KeyId"], metadata["Arn"]

    async def row(self, object_key: str, bucket: str = "bucket") -> VersionRow:
        row = await self.catalog.latest((await self.buckets.find(bucket)).bucket_id, object_key)
        assert row is not None
        return row

    # ---- behind the rooms' back

    def sql(self, statement: str, *values: Any) -> list[Any]:
        with closing(sqlite3.connect(self.folder / "catalog.sqlite", isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous = OFF")
            return connection.execute(statement, values).fetchall()

    def recorded_reads(self, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
        """(offset, length) of all that is read of blobs from now on."""
        reads: list[tuple[int, int]] = []

        def recorded(real: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
            async def read(blob_id: str, offset: int, length: int, *use: Any) -> Any:
                reads.append((offset, length))
                return await real(blob_id, offset, length, *use)

            return read

        for name in ("read", "read_with"):
            monkeypatch.setattr(self.blobs, name, recorded(getattr(self.blobs, name)))
        return reads

    @property
    def files(self) -> list[Path]:
        """Every blob, finished or not."""
        return [path for path in sorted(self.folder.rglob("*")) if path.is_file() and "catalog" not in path.name]


async def whole(answer: Answer) -> bytes:
    body = answer.body
    assert body is not None
    data = body if isinstance(body, bytes | bytearray) else b"".join([bytes(piece) async for piece in body])
    assert len(data) == answer.length
    return bytes(data)


@asynccontextmanager
async def opened(folder: Path, reserve: Reserve | None = None) -> AsyncIterator[Vault]:
    catalog = SqliteCatalog.open(folder, reserve=reserve)
    blobs = FileBlobs(folder, reserve=reserve)
    vault = Vault(folder, catalog, blobs)
    await vault.keys.open()
    try:
        yield vault
    finally:
        await blobs.close()
        await catalog.close()
