"""Upkeep: what no row names goes, what a row names stays, whenever it runs and however often it is interrupted."""

from __future__ import annotations

import asyncio
import os
from datetime import timedelta

import pytest

from strongroom.s3.upkeep import UNNAMED_FOR_MS, Upkeep
from strongroom.store.contract import Unavailable

DAY = timedelta(milliseconds=UNNAMED_FOR_MS)
BODY = os.urandom(100_000)


async def orphan(vault):
    """A blob as a crash between the file and the row leaves it."""
    writer = await vault.blobs.create()
    await writer.write(b"sealed")
    await writer.commit()
    return writer.blob_id


async def test_a_sweep_takes_only_what_no_row_names_and_no_request_can_still_name(vault):
    await vault.make()
    await vault.put("k", BODY)
    created = await vault.run("CreateMultipartUpload", Bucket="bucket", Key="m")
    await vault.run("UploadPart", data=BODY, PartNumber=1, Bucket="bucket", Key="m", UploadId=created["UploadId"])
    await orphan(vault)
    assert await vault.upkeep.sweep() == 0  # its writer may be about to commit
    assert len(vault.files) == 3
    vault.now += DAY + timedelta(seconds=5)
    assert await vault.upkeep.sweep() == 1
    assert await vault.upkeep.sweep() == 0
    assert len(vault.files) == 2
    assert (await vault.get("k"))[0] == BODY
    assert len((await vault.run("ListParts", Bucket="bucket", Key="m", UploadId=created["UploadId"]))["Parts"]) == 1


async def test_many_at_once(vault, monkeypatch):
    monkeypatch.setattr("strongroom.s3.upkeep.BATCH", 3)
    await vault.make()
    for number in range(7):
        await vault.put(f"k{number}", BODY)
        await orphan(vault)
    vault.now += DAY + timedelta(seconds=5)
    assert await vault.upkeep.sweep() == 7
    await vault.run("DeleteObjects", Bucket="bucket", Delete={"Objects": [{"Key": f"k{number}"} for number in range(7)]})
    assert len(vault.files) == 7
    assert await vault.upkeep.delete_discarded() == 7
    assert not vault.files


async def test_a_sweep_rests_nine_times_as_long_as_it_works_and_counts_what_it_sees(vault):
    await vault.make()
    for number in range(3):
        await vault.put(f"k{number}", BODY)
    ticks = iter(range(100))  # every look at the clock finds a second gone
    rests = []

    async def sleep(seconds):
        rests.append(seconds)

    upkeep = Upkeep(vault.rooms, ticks=lambda: float(next(ticks)), sleep=sleep)
    assert upkeep.counted == (0, 0)
    await upkeep.sweep()
    assert rests == [9.0, 9.0, 9.0]
    assert upkeep.counted == (3, sum(path.stat().st_size for path in vault.files))
    assert upkeep.counted[1] > 3 * len(BODY)


async def test_a_deletion_that_fails_is_done_again(vault, monkeypatch):
    await vault.make()
    await vault.put("k", BODY)
    await vault.run("DeleteObject", Bucket="bucket", Key="k")

    async def broken(blob_id):
        raise Unavailable("disk")

    with monkeypatch.context() as patched:
        patched.setattr(vault.blobs, "delete", broken)
        with pytest.raises(Unavailable):
            await vault.upkeep.delete_discarded()
    assert len(vault.files) == 1
    assert await vault.upkeep.delete_discarded() == 1
    assert not vault.files


async def test_a_blob_that_is_gone_already_is_no_obstacle(vault):
    await vault.make()
    await vault.put("k", BODY)
    (path,) = vault.files
    path.unlink()
    await vault.run("DeleteObject", Bucket="bucket", Key="k")
    assert await vault.upkeep.delete_discarded() == 1
    assert await vault.upkeep.delete_discarded() == 0


async def test_it_runs_until_it_is_stopped_and_outlives_failures(vault, monkeypatch):
    monkeypatch.setattr("strongroom.s3.upkeep.DISCARD_EVERY", 0.01)
    await vault.make()
    await vault.put("k", BODY)
    chores = 0
    done, swept = asyncio.Event(), asyncio.Event()

    async def chore():
        nonlocal chores
        chores += 1
        swept.set()
        raise RuntimeError("a chore that fails")

    real = vault.blobs.delete
    failures = iter([True, True, False])

    async def delete(blob_id):
        if next(failures):
            raise Unavailable("disk")
        await real(blob_id)
        done.set()

    monkeypatch.setattr(vault.blobs, "delete", delete)
    await vault.run("DeleteObject", Bucket="bucket", Key="k")
    task = asyncio.create_task(Upkeep(vault.rooms, (chore,), grace=0.0).run())
    async with asyncio.timeout(10):
        await done.wait()
        await swept.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert chores == 1  # after the sweep at the start
    assert not vault.files


async def test_a_bucket_that_goes_leaves_no_blob(vault):
    await vault.make()
    created = await vault.run("CreateMultipartUpload", Bucket="bucket", Key="m")
    await vault.run("UploadPart", data=BODY, PartNumber=1, Bucket="bucket", Key="m", UploadId=created["UploadId"])
    await vault.run("DeleteBucket", Bucket="bucket")
    await vault.upkeep.delete_discarded()
    assert not vault.files


async def test_a_write_into_a_bucket_that_goes_meanwhile(vault, monkeypatch):
    """The row is judged in the commit, so nothing is written into a bucket that another request has deleted."""
    await vault.make()
    real = vault.blobs.create

    async def create():
        await vault.run("DeleteBucket", Bucket="bucket")
        return await real()

    monkeypatch.setattr(vault.blobs, "create", create)
    error = await vault.refused("PutObject", data=BODY, Bucket="bucket", Key="k")
    assert error.code == "NoSuchBucket"
    assert not vault.files
    assert vault.sql("SELECT count(*) FROM version") == [(0,)]


async def test_replaced_bytes_outlive_their_row_by_the_grace(vault):
    await vault.make()
    await vault.put("k", BODY)
    await vault.run("DeleteObject", Bucket="bucket", Key="k")
    patient, hasty = Upkeep(vault.rooms, grace=60.0), Upkeep(vault.rooms, grace=0.0)
    assert await patient.delete_due() == 0
    assert await patient.delete_due() == 0
    assert len(vault.files) == 1
    assert await hasty.delete_due() == 1
    assert not vault.files
