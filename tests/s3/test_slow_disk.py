"""A disk that is slow or cannot read: a stalled write holds up nobody else, and a read that fails is an error, never other bytes.

Beneath the gate, on a real folder over a disk that follows a plan: Unavailable is what the gate answers 503 to.
"""

from __future__ import annotations

import asyncio
import errno

import pytest

from strongroom.api.errors import ApiError
from strongroom.seal import SealError
from strongroom.store import files
from strongroom.store.contract import Unavailable
from strongroom.store.files import THREADS
from tests.s3 import vault as vaults
from tests.s3.test_write_faults import LARGE, SMALL, connect_faulty, findings
from tests.store.faults import FaultyOs, Plan

HUGE = LARGE * 30  # read in several pieces


@pytest.fixture
async def disk(tmp_path, monkeypatch):
    """A store, and a plan that holds from when it is given a kind."""
    connect_faulty(monkeypatch)
    plan = Plan()
    async with vaults.opened(tmp_path) as vault:
        await vault.make()
        await vault.put("small", SMALL)
        await vault.put("large", LARGE)
        await vault.put("huge", HUGE)
        monkeypatch.setattr(files, "os", FaultyOs(plan))
        for connection in (vault.catalog._writing, vault.catalog._reading):
            connection.plan = plan
        plan.counts.clear()
        yield vault, plan
        monkeypatch.undo()
        for connection in (vault.catalog._writing, vault.catalog._reading):
            connection.plan = None


async def stalled(plan, kind, *acts, count=1):
    """The acts under way, when so many of their calls stand still."""
    plan.kind, plan.stalls, plan.stalled = kind, count, 0
    plan.released.clear()
    tasks = [asyncio.create_task(act) for act in acts]
    while plan.stalled < count:  # noqa: ASYNC110 - threads tell it, not the loop
        await asyncio.sleep(0.002)
    return tasks


async def let_go(plan, tasks):
    plan.released.set()
    await asyncio.gather(*tasks)
    plan.stalls = 0


async def reads_go_on(vault):
    for _ in range(5):
        assert (await vault.get("small"))[0] == SMALL
        assert (await vault.get("large"))[0] == LARGE
        assert (await vault.head("huge"))["ContentLength"] == len(HUGE)
        assert len((await vault.run("ListObjectsV2", Bucket="bucket"))["Contents"]) >= 3


# ---------------------------------------------------------------------------------------------------------------- stalls


@pytest.mark.parametrize("kind", ["open", "write", "fsync", "rename", "folder sync", "commit"])
async def test_a_stalled_write_holds_up_no_reader_and_is_not_lost(disk, kind):
    vault, plan = disk
    (writing,) = await stalled(plan, kind, vault.put("new", LARGE))
    await reads_go_on(vault)
    assert not writing.done()
    await let_go(plan, [writing])
    assert (await vault.get("new"))[0] == LARGE


@pytest.mark.parametrize("kind", ["write", "fsync", "folder sync"])
async def test_a_stalled_blob_holds_up_no_other_write(disk, kind):
    vault, plan = disk
    (writing,) = await stalled(plan, kind, vault.put("new", LARGE))
    for number in range(5):
        await vault.put(f"small {number}", SMALL)
        await vault.put(f"large {number}", LARGE)
        await vault.run("DeleteObject", Bucket="bucket", Key=f"small {number}")
    assert not writing.done()
    await let_go(plan, [writing])
    assert (await vault.get("new"))[0] == LARGE


async def test_all_writers_stalled_leave_the_readers_their_threads(disk):
    vault, plan = disk
    puts = [vault.put(f"new {number}", LARGE) for number in range(2 * THREADS)]
    writing = await stalled(plan, "fsync", *puts, count=THREADS)
    await reads_go_on(vault)
    assert not any(each.done() for each in writing)
    await let_go(plan, writing)
    for number in range(2 * THREADS):
        assert (await vault.get(f"new {number}"))[0] == LARGE


async def test_writes_that_wait_for_a_stalled_commit_share_the_next(disk):
    vault, plan = disk
    (first,) = await stalled(plan, "commit", vault.put("first", SMALL))
    before = vault.catalog.commits
    waiting = [asyncio.create_task(vault.put(f"waiting {number}", SMALL)) for number in range(50)]
    await reads_go_on(vault)
    assert not any(each.done() for each in waiting)
    await let_go(plan, [first, *waiting])
    assert vault.catalog.commits - before <= 5
    for number in range(50):
        assert (await vault.get(f"waiting {number}"))[0] == SMALL


@pytest.mark.parametrize("kind", ["write", "fsync", "folder sync", "commit"])
async def test_who_gives_up_on_a_stalled_write_leaves_nothing(disk, kind):
    """A client that went away while the disk stood still: the object is whole or absent, and what is left is at most an orphan."""
    vault, plan = disk
    (writing,) = await stalled(plan, kind, vault.put("new", LARGE))
    writing.cancel()
    plan.released.set()  # who gives up waits for the call under way, which nobody can take back
    with pytest.raises(asyncio.CancelledError):
        await writing
    plan.stalls = 0
    await vault.put("after", SMALL)
    assert await read(vault, "new") in [(LARGE, ""), (b"", "NoSuchKey")]
    assert await findings(vault) <= {"orphaned"}


# ------------------------------------------------------------------------------------------------------------ bad reads


async def read(vault, key):
    """The bytes, and "" or how the reading failed; to what is unmapped the gate answers InternalError."""
    try:
        return (await vault.get(key))[0], ""
    except Unavailable:
        return b"", "Unavailable"
    except ApiError as error:
        return b"", error.code
    except SealError:
        return b"", "InternalError"


@pytest.mark.parametrize("kind", ["open", "read", "select"])
async def test_a_read_that_fails_is_an_error_and_takes_nothing_away(disk, kind):
    vault, plan = disk
    plan.error = errno.EIO
    counted = 0
    for key, body in (("small", SMALL), ("large", LARGE), ("huge", HUGE)):
        plan.kind = ""
        assert await read(vault, key) == (body, ""), "what is remembered of the bucket is remembered now"
        plan.counts.clear()
        assert await read(vault, key) == (body, "")
        calls = plan.counts[kind]
        for number in range(calls):
            plan.counts.clear()
            plan.kind, plan.number = kind, number
            assert await read(vault, key) == (b"", "Unavailable"), (key, kind, number)
            assert await read(vault, key) == (body, ""), "the next try reads it"
            counted += 1
    assert counted
    plan.kind = ""
    await vault.upkeep.sweep()
    await vault.upkeep.delete_discarded()
    assert await findings(vault) == set()


@pytest.mark.parametrize("kind", ["open", "read"])
async def test_what_cannot_be_read_for_long_is_not_swept_or_called_gone(disk, kind):
    vault, plan = disk
    plan.kind, plan.error, plan.always = kind, errno.EIO, True
    for _ in range(3):
        assert await read(vault, "large") == (b"", "Unavailable")
        await vault.upkeep.sweep()
        await vault.upkeep.delete_discarded()
    assert await read(vault, "small") == (SMALL, "")
    assert (await vault.head("large"))["ContentLength"] == len(LARGE)
    plan.kind = ""
    assert await read(vault, "large") == (LARGE, "")
    assert await findings(vault) == set()


async def test_a_read_that_is_cut_short_goes_on(disk):
    vault, plan = disk
    for key, body in (("large", LARGE), ("huge", HUGE)):
        plan.kind, plan.always = "short read", True
        plan.counts.clear()
        assert await read(vault, key) == (body, "")
        assert plan.counts["short read"]
    plan.kind = ""


async def test_a_file_that_ends_too_soon_is_an_error(disk):
    """Nothing more is there to be read: what was promised cannot come, and nothing else does."""
    vault, plan = disk
    for key in ("large", "huge"):
        plan.kind, plan.always = "nothing read", True
        plan.counts.clear()
        assert await read(vault, key) == (b"", "InternalError")
    plan.kind = ""
    assert await findings(vault) == set()


async def test_a_delete_under_a_catalog_that_cannot_read_changes_nothing(disk):
    vault, plan = disk
    plan.counts.clear()
    plan.kind, plan.number, plan.error, plan.always = "select", 0, errno.EIO, True
    with pytest.raises(Unavailable):
        await vault.run("DeleteObject", Bucket="bucket", Key="small")
    with pytest.raises(Unavailable):
        await vault.put("small", LARGE)
    plan.kind, plan.always = "", False
    assert await read(vault, "small") == (SMALL, "")
    assert await findings(vault) <= {"orphaned"}
