"""Each call that a write makes to the disk or the database fails once: the client is told, the store stays whole, and the next try succeeds.

The calls are counted in a run without faults, so a new one is under test from its first day. Beneath the gate: a ``StoreError`` of kind
Unavailable is what the gate answers 503 to (``tests/edge/test_gate.py``).
"""

from __future__ import annotations

import errno
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from strongroom.api.errors import ApiError
from strongroom.s3.verifying import Verifying
from strongroom.store import files
from strongroom.store.contract import Unavailable
from tests.s3 import vault as vaults
from tests.s3.vault import Vault
from tests.store.faults import FaultyConnection, FaultyOs, Plan

SMALL, LARGE, OLD, PART = b"s" * 100, b"l" * 100_000, b"o" * 70_000, b"p" * 100
ERRORS = {"statement": 0, "commit": 0, "short write": 0}  # those of the database are SQLite's own; a short write is no error
Act = Callable[[Vault], Awaitable[Any]]


@dataclass(frozen=True)
class Write:
    """A write, what must be there before it, and how to see that it happened."""

    act: Act
    happened: Callable[[Vault], Awaitable[bool]]


async def holds(vault: Vault, key: str, data: bytes | None) -> bool:
    try:
        found, _ = await vault.get(key)
    except ApiError as error:
        return data is None and error.code == "NoSuchKey"
    return found == data


async def put(data: bytes, vault: Vault, **more: Any) -> None:
    await vault.put("key", data, **more)


async def part(vault: Vault) -> None:
    (upload,) = (await vault.run("ListMultipartUploads", Bucket="bucket"))["Uploads"]
    given = {"Bucket": "bucket", "Key": "upload", "UploadId": upload["UploadId"]}
    await vault.run("UploadPart", data=LARGE, PartNumber=2, **given)


async def complete(vault: Vault) -> None:
    (upload,) = (await vault.run("ListMultipartUploads", Bucket="bucket"))["Uploads"]
    given = {"Bucket": "bucket", "Key": "upload", "UploadId": upload["UploadId"]}
    (first,) = (await vault.run("ListParts", **given))["Parts"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": first["ETag"]}]}
    await vault.run("CompleteMultipartUpload", MultipartUpload=parts, **given)


async def uploads(vault: Vault) -> list[str]:
    return [each["Key"] for each in (await vault.run("ListMultipartUploads", Bucket="bucket")).get("Uploads", [])]


async def has_parts(count: int, vault: Vault) -> bool:
    (upload,) = (await vault.run("ListMultipartUploads", Bucket="bucket"))["Uploads"]
    given = {"Bucket": "bucket", "Key": "upload", "UploadId": upload["UploadId"]}
    return len((await vault.run("ListParts", **given))["Parts"]) == count


async def answers(name: str, expected: Callable[[dict[str, Any]], bool], vault: Vault, **given: Any) -> bool:
    try:
        return expected(await vault.run(name, Bucket="bucket", **given))
    except ApiError:
        return False


async def has_keys(count: int, vault: Vault) -> bool:
    return len((await vault.kms("ListKeys"))["Keys"]) == count


TAGS = {"TagSet": [{"Key": "colour", "Value": "blue"}]}
WRITES: dict[str, Write] = {
    "put small": Write(partial(put, SMALL), lambda vault: holds(vault, "key", SMALL)),
    "put large": Write(partial(put, LARGE), lambda vault: holds(vault, "key", LARGE)),
    "put several buffers": Write(partial(put, LARGE * 45), lambda vault: holds(vault, "key", LARGE * 45)),
    "create upload": Write(
        lambda vault: vault.run("CreateMultipartUpload", Bucket="bucket", Key="another"),
        lambda vault: _true(vault, lambda found: "another" in found),
    ),
    "upload part": Write(part, partial(has_parts, 2)),
    "complete upload": Write(complete, lambda vault: holds(vault, "upload", PART)),
    "copy": Write(
        lambda vault: vault.run("CopyObject", Bucket="bucket", Key="copy", CopySource="bucket/key"),
        lambda vault: holds(vault, "copy", OLD),
    ),
    "delete": Write(lambda vault: vault.run("DeleteObject", Bucket="bucket", Key="key"), lambda vault: holds(vault, "key", None)),
    "bucket settings": Write(
        lambda vault: vault.run("PutBucketTagging", Bucket="bucket", Tagging=TAGS),
        partial(answers, "GetBucketTagging", lambda found: bool(found["TagSet"])),
    ),
    "tags": Write(
        lambda vault: vault.run("PutObjectTagging", Bucket="bucket", Key="key", Tagging=TAGS),
        partial(answers, "GetObjectTagging", lambda found: bool(found["TagSet"]), Key="key"),
    ),
    "create bucket": Write(
        lambda vault: vault.run("CreateBucket", Bucket="another"),
        lambda vault: _buckets(vault, 2),
    ),
    "create key": Write(lambda vault: vault.kms("CreateKey"), partial(has_keys, 1)),
}


async def _true(vault: Vault, condition: Callable[[list[str]], bool]) -> bool:
    return condition(await uploads(vault))


async def _buckets(vault: Vault, count: int) -> bool:
    return len((await vault.run("ListBuckets"))["Buckets"]) == count


def connect_faulty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catalogs that are opened from now on may be given a plan."""
    connect = partial(sqlite3.connect, factory=FaultyConnection)
    monkeypatch.setattr("strongroom.store.sqlite.sqlite3.connect", connect)


@asynccontextmanager
async def prepared(folder: Path, monkeypatch: pytest.MonkeyPatch, plan: Plan) -> AsyncIterator[Vault]:
    """A store with an object of 70,000 bytes and an upload of one part, over a disk that follows ``plan`` from then on."""
    connect_faulty(monkeypatch)
    async with vaults.opened(folder) as vault:
        monkeypatch.undo()
        await vault.make()
        await vault.put("key", OLD)
        upload = (await vault.run("CreateMultipartUpload", Bucket="bucket", Key="upload"))["UploadId"]
        await vault.run("UploadPart", data=PART, Bucket="bucket", Key="upload", UploadId=upload, PartNumber=1)
        monkeypatch.setattr(files, "os", FaultyOs(plan))
        vault.catalog._writing.plan = plan  # type: ignore[attr-defined]
        yield vault
        mend(vault, monkeypatch)


def mend(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    vault.catalog._writing.plan = None  # type: ignore[attr-defined]


async def findings(vault: Vault) -> set[str]:
    return {found.kind async for found in Verifying(vault.rooms).findings()}


async def points(folder: Path, monkeypatch: pytest.MonkeyPatch, write: Write) -> Counter[str]:
    plan = Plan()
    async with prepared(folder, monkeypatch, plan) as vault:
        plan.counts.clear()
        await write.act(vault)
        counted = Counter(plan.counts)
        mend(vault, monkeypatch)
        assert await write.happened(vault)
    return counted


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
@pytest.mark.parametrize("name", WRITES)
async def test_each_call_of_a_write_fails_once(tmp_path, monkeypatch, name, error):
    write = WRITES[name]
    counted = await points(tmp_path / "counted", monkeypatch, write)
    assert counted["commit"] >= 1
    tried = 0
    for kind, count in counted.items():
        if kind in {"short read", "nothing read"} or (kind == "select" and error == errno.ENOSPC):
            continue  # reading: tests/s3/test_slow_disk.py
        for number in range(count):
            plan = Plan()
            async with prepared(tmp_path / f"{kind} {number}", monkeypatch, plan) as vault:
                plan.counts.clear()
                plan.kind, plan.number, plan.error, plan.lasting = kind, number, error, error == errno.ENOSPC
                failed = await _fails(vault, write.act)
                mend(vault, monkeypatch)
                where = f"{name}: {kind} {number}"
                assert plan.struck, where
                happened = await write.happened(vault)
                # What is only tidied up afterwards may fail unseen, and a write that goes on after a short one has not failed.
                assert happened != failed, where
                if failed and name != "delete":
                    assert await holds(vault, "key", OLD), where
                found = await findings(vault)
                assert found <= {"orphaned"}, (where, found)
                if failed:
                    await write.act(vault)
                    assert await write.happened(vault), where
            tried += 1
    assert tried >= 2


async def _fails(vault: Vault, act: Act) -> bool:
    try:
        await act(vault)
    except Unavailable:
        return True
    return False
