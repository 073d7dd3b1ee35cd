"""Deletes in the room that is kept for them: each call that a delete makes to the database meets a full disk, and the delete is done.

The disk is full until the reserve is given up for it; which call meets it is counted as in ``test_write_faults``. On a real disk:
``tests/store/test_reserve.py`` and ``tests/server/test_full_disk.py``.
"""

from __future__ import annotations

import errno
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta

import pytest

from strongroom.s3.lifecycle_working import LifecycleWork
from strongroom.store import reserve as reserves
from strongroom.store.contract import Unavailable
from strongroom.store.reserve import DELETES, FREES, Reserve
from tests.s3 import vault as vaults
from tests.s3.test_write_faults import LARGE, connect_faulty, findings
from tests.store.faults import Plan

PART = 64 << 10


@dataclass
class FullUntilGiven(Plan):
    """The disk of which only giving up (that part of) the reserve makes room."""

    reserve: Reserve | None = None
    part: int = DELETES
    full: bool = False

    def happens(self, kind):
        number = self.counts[kind]
        self.counts[kind] += 1
        if self.kind == kind and number >= self.number:
            self.full = True
        self.struck = self.full and self.reserve is not None and not self.reserve.given & self.part
        return self.struck


async def uploads(vault):
    return (await vault.run("ListMultipartUploads", Bucket="bucket")).get("Uploads", [])


async def abort(vault):
    (upload,) = await uploads(vault)
    await vault.run("AbortMultipartUpload", Bucket="bucket", Key="upload", UploadId=upload["UploadId"])


async def delete_many(vault):
    given = {"Objects": [{"Key": "key"}, {"Key": "other"}, {"Key": "none"}]}
    answer = await vault.run("DeleteObjects", Bucket="bucket", Delete=given)
    assert [each["Key"] for each in answer["Deleted"]] == ["key", "other", "none"]


async def delete_version(vault):
    (version,) = [
        each for each in (await vault.run("ListObjectVersions", Bucket="versioned"))["Versions"] if each["Key"] == "key"
    ]
    await vault.run("DeleteObject", Bucket="versioned", Key="key", VersionId=version["VersionId"])


async def expire(vault):
    before, vault.now = vault.now, vault.now + timedelta(days=3)
    try:
        await LifecycleWork(vault.rooms, rate=0).run_due()
    finally:
        vault.now = before


async def forget(vault):
    await vault.upkeep.delete_discarded()


async def keys(vault, bucket="bucket"):
    return {each["Key"] for each in (await vault.run("ListObjectsV2", Bucket=bucket)).get("Contents", [])}


async def no_key(vault):
    return not {"key"} & await keys(vault)


async def no_version(vault):
    found = (await vault.run("ListObjectVersions", Bucket="versioned")).get("Versions", [])
    return [each["Key"] for each in found] == ["other"]


async def a_marker(vault):
    found = (await vault.run("ListObjectVersions", Bucket="versioned")).get("DeleteMarkers", [])
    return [each["Key"] for each in found] == ["other"]


async def expired(vault):
    return await keys(vault, "expiring") == set()


async def nothing_waits(vault):
    return await vault.catalog.discarded(10) == []


async def no_uploads(vault):
    return not await uploads(vault)


async def no_bucket(vault):
    return "empty" not in {each["Name"] for each in (await vault.run("ListBuckets"))["Buckets"]}


#: What is done, how to see that it was, and the part of the reserve that it may have at the most.
DELETIONS = {
    "DeleteObject": (lambda vault: vault.run("DeleteObject", Bucket="bucket", Key="key"), no_key, FREES),
    "DeleteObject of a version": (delete_version, no_version, FREES),
    "DeleteObject that marks": (lambda vault: vault.run("DeleteObject", Bucket="versioned", Key="other"), a_marker, DELETES),
    "DeleteObjects": (delete_many, no_key, FREES),
    "AbortMultipartUpload": (abort, no_uploads, FREES),
    "DeleteBucket": (lambda vault: vault.run("DeleteBucket", Bucket="empty"), no_bucket, FREES),
    "lifecycle": (expire, expired, DELETES),  # the mark of how far it came is a small row more
    "upkeep": (forget, nothing_waits, FREES),
}


async def furnish(vault):
    for name in ("bucket", "versioned", "empty", "expiring"):
        await vault.make(name)
    await vault.versioned("versioned")
    for key in ("key", "other"):
        await vault.put(key, LARGE)
        await vault.put(key, LARGE, bucket="versioned")
        await vault.put(key, LARGE, bucket="expiring")
    await vault.put("gone", LARGE)
    await vault.run("DeleteObject", Bucket="bucket", Key="gone")
    upload = (await vault.run("CreateMultipartUpload", Bucket="bucket", Key="upload"))["UploadId"]
    await vault.run("UploadPart", data=LARGE, Bucket="bucket", Key="upload", UploadId=upload, PartNumber=1)
    rules = {"Rules": [{"ID": "all", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}}]}
    await vault.run("PutBucketLifecycleConfiguration", Bucket="expiring", LifecycleConfiguration=rules)


async def points(folder, monkeypatch, act):
    """How often an act calls the database, by kind."""
    connect_faulty(monkeypatch)
    async with vaults.opened(folder) as vault:
        await furnish(vault)
        plan = vault.catalog._writing.plan = Plan()
        await act(vault)
    return Counter({kind: count for kind, count in plan.counts.items() if kind in {"statement", "commit"}})


@pytest.mark.parametrize("name", DELETIONS)
async def test_a_delete_is_done_on_a_full_disk(tmp_path, monkeypatch, name):
    act, happened, most = DELETIONS[name]
    counted = await points(tmp_path / "counted", monkeypatch, act)
    assert counted["commit"] >= 1
    for kind, count in counted.items():
        for number in range(count):
            for part in (DELETES, FREES) if name != "lifecycle" else (DELETES,):  # it logs its failures, and goes on later
                folder = tmp_path / f"{kind} {number} {part}"
                folder.mkdir()
                reserve = Reserve(folder, PART)
                async with vaults.opened(folder, reserve) as vault:
                    await furnish(vault)
                    plan = FullUntilGiven(kind=kind, number=number, error=errno.ENOSPC, reserve=reserve, part=part)
                    vault.catalog._writing.plan = plan
                    if part <= most:
                        await act(vault)
                        assert await happened(vault), (kind, number, part)
                        assert reserve.given == (DELETES if part == DELETES else DELETES | FREES)
                    else:
                        with pytest.raises(Unavailable):
                            await act(vault)
                        assert reserve.given == DELETES, "what only gives back has its part for itself"
                    await _writes_come_back(vault, reserve, monkeypatch)
                    assert await findings(vault) <= {"orphaned"}
                reserve.close()


async def _writes_come_back(vault, reserve, monkeypatch):
    vault.catalog._writing.plan = None
    with pytest.raises(Unavailable):
        await vault.put("new", b"small")
    with pytest.raises(Unavailable):
        await vault.put("new", LARGE)
    with monkeypatch.context() as patched:
        patched.setattr(reserves, "_HOLDS_MS", 0)
        assert reserve.restore()
    for data in (b"small", LARGE):
        await vault.put("new", data)
        assert (await vault.get("new"))[0] == data
