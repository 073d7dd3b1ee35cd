"""The reserve: made whole, given up part by part, and made again; and what each kind of write gets of it on a disk that is full."""

from __future__ import annotations

import asyncio
import errno
import itertools
import os

import pytest

from strongroom.store import reserve as reserves
from strongroom.store.contract import BucketRow, Claim, Unavailable, VersionRow
from strongroom.store.files import FileBlobs
from strongroom.store.generation import Generation
from strongroom.store.reserve import DELETES, FREES, USES, Reserve
from strongroom.store.sqlite import SqliteCatalog
from tests.store.small_disk import fill, free_bytes, in_namespace, mounted

PART = 3 << 20
BUCKET = BucketRow("0" * 32, "bucket", "111122223333", "us-east-1", 1)


@pytest.fixture
def at_once(monkeypatch):
    """What was given up may be taken back at once."""
    monkeypatch.setattr(reserves, "_HOLDS_MS", 0)


@pytest.fixture
def disk(tmp_path):
    with mounted(tmp_path / "disk", 48) as folder:
        yield folder


def test_here_or_in_a_namespace():
    in_namespace(__file__)


def sizes(folder):
    return [(folder / "reserve" / name).stat().st_size for name in ("deletes", "frees", "key-uses")]


def row(number, body=b""):
    return VersionRow(BUCKET.bucket_id, f"key {number:06d}", f"{number:032d}", True, False, len(body), 1, b"", b"", b"", body)


# ---------------------------------------------------------------------------------------------------------------- itself


def test_it_is_room_on_the_disk_for_its_owner_alone(tmp_path):
    reserve = Reserve(tmp_path, PART)
    assert reserve.given == 0
    for name in ("deletes", "frees", "key-uses"):
        status = (tmp_path / "reserve" / name).stat()
        assert (status.st_size, status.st_blocks * 512, status.st_mode & 0o777) == (PART, PART, 0o600)
    assert (tmp_path / "reserve").stat().st_mode & 0o777 == 0o700
    reserve.close()
    reserve.close()


def test_without_a_size_there_is_none(tmp_path):
    for reserve in (Reserve(tmp_path, 0), Reserve()):
        assert (reserve.give(DELETES), reserve.give_for(Claim.FREE), reserve.given, reserve.restore()) == (False, False, 0, True)
        reserve.relieve()
        reserve.close()
    assert list(tmp_path.iterdir()) == []


def test_what_is_given_up_is_known_to_all_and_made_again(tmp_path, at_once):
    one, other = Reserve(tmp_path, PART), Reserve(tmp_path, PART)
    assert not one.give_for(Claim.NONE)
    assert one.give_for(Claim.DELETE)
    assert (other.given, sizes(tmp_path)) == (DELETES, [0, PART, PART])
    assert not other.give_for(Claim.DELETE)
    assert other.give_for(Claim.FREE)
    assert (one.given, sizes(tmp_path)) == (DELETES | FREES, [0, 0, PART])
    assert not one.give_for(Claim.FREE)
    assert one.give(USES)
    assert other.given == DELETES | FREES | USES
    assert other.restore()
    assert (one.given, sizes(tmp_path)) == (0, [PART] * 3)
    one.close()
    other.close()


def test_it_is_not_taken_back_from_who_is_about_to_use_it(tmp_path):
    reserve = Reserve(tmp_path, PART)
    reserve.give(DELETES)
    assert not reserve.restore()
    assert sizes(tmp_path)[0] == 0
    reserve.close()


def test_what_was_given_up_stays_so_over_a_restart_on_a_full_disk(tmp_path, monkeypatch):
    reserve = Reserve(tmp_path, PART)
    reserve.give_for(Claim.FREE)
    reserve.close()
    with monkeypatch.context() as patched:
        patched.setattr(os, "posix_fallocate", _only_small)
        again = Reserve(tmp_path, PART)
        assert (again.given, sizes(tmp_path)) == (DELETES, [0, PART, PART])
        again.close()
    mended = Reserve(tmp_path, PART)
    assert (mended.given, sizes(tmp_path)) == (0, [PART] * 3)
    mended.close()


def test_a_tool_takes_part_in_what_a_server_has_made(tmp_path):
    """As it is, also by other settings; and it makes none."""
    alone = Reserve(tmp_path, PART, join=True)
    assert not alone.give(DELETES)
    alone.close()
    assert list(tmp_path.iterdir()) == []
    reserve = Reserve(tmp_path, PART)
    reserve.give(USES)
    for size in (PART, 2 * PART, PART // 2):
        tool = Reserve(tmp_path, size, join=True)
        assert (tool.given, reserve.given, sizes(tmp_path)) == (DELETES | USES, DELETES | USES, [0, PART, 0])
        tool.close()
    tool = Reserve(tmp_path, 2 * PART, join=True)
    assert tool.give_for(Claim.FREE)
    assert (reserve.given, sizes(tmp_path)) == (DELETES | FREES | USES, [0, 0, 0])
    tool.close()
    reserve.close()


def test_another_size_is_made_at_the_next_start(tmp_path):
    for size in (PART, 3 * PART, PART // 2):
        reserve = Reserve(tmp_path, size)
        assert (reserve.given, sizes(tmp_path)) == (0, [size] * 3)
        reserve.close()


def test_a_file_system_that_sets_nothing_aside_is_given_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "posix_fallocate", _not_supported)
    reserve = Reserve(tmp_path, PART)
    assert (reserve.given, sizes(tmp_path)) == (0, [PART] * 3)
    assert (tmp_path / "reserve" / "deletes").stat().st_blocks * 512 == PART
    reserve.close()


def _only_small(_descriptor, _offset, size):
    if size >= PART:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _not_supported(descriptor, _offset, size):
    if size >= PART:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
    os.ftruncate(descriptor, size)


# ------------------------------------------------------------------------------------------------------- on a full disk


async def filled(disk, reserve, rows=2000, size=2000):
    """A catalog with rows on a disk without room; its log is small, so that nothing can be written into it without room."""
    catalog = SqliteCatalog.open(disk, reserve=reserve)

    def put(tx):
        tx.create_bucket(BUCKET)
        for number in range(rows):
            tx.insert_version(row(number, bytes(size)))

    await catalog.write(put)
    catalog._writing.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    fill(disk)
    assert free_bytes(disk) == 0
    return catalog


def delete(number):
    return lambda tx: tx.delete_version(row(number))


async def test_deletes_go_on_and_plain_writes_come_back_with_the_room(disk, at_once):
    reserve = Reserve(disk, PART)
    catalog = await filled(disk, reserve)
    with pytest.raises(Unavailable):
        await catalog.write(lambda tx: tx.insert_version(row(9000, bytes(60_000))))
    assert reserve.given == 0, "nothing is given up for a plain write"
    for number in range(600):
        await catalog.write(delete(number), Claim.FREE)
    assert reserve.given == DELETES
    with pytest.raises(Unavailable, match="the disk is full"):
        await catalog.write(lambda tx: tx.insert_version(row(9001)))
    assert await catalog.latest(BUCKET.bucket_id, "key 000599") is None
    assert await catalog.latest(BUCKET.bucket_id, "key 000600") is not None
    assert not reserve.restore()
    (disk / "filler").unlink()
    assert reserve.restore()
    await catalog.write(lambda tx: tx.insert_version(row(9002)))
    await catalog.close()
    reserve.close()


async def test_a_plain_write_beside_deletes_fails_alone(disk):
    reserve = Reserve(disk, PART)
    catalog = await filled(disk, reserve)
    gathered = [catalog.write(delete(number), Claim.FREE) for number in range(50)]
    gathered.insert(20, catalog.write(lambda tx: tx.insert_version(row(9000, bytes(60_000)))))
    outcomes = await _outcomes(gathered)
    failed = outcomes.pop(20)
    assert isinstance(failed, Unavailable)
    assert outcomes == [None] * 50
    assert await catalog.latest(BUCKET.bucket_id, "key 009000") is None
    await catalog.close()
    reserve.close()


async def _outcomes(works):
    return await asyncio.gather(*works, return_exceptions=True)


async def until_refused(catalog, claim, works):
    for work in works:
        await catalog.write(work, claim)


async def test_without_a_reserve_a_delete_fails(disk):
    """What the reserve is for: this is what happens without it."""
    catalog = await filled(disk, None)
    with pytest.raises(Unavailable):
        await until_refused(catalog, Claim.FREE, map(delete, range(600)))
    (disk / "filler").unlink()
    await catalog.close()


async def test_markers_have_a_part_and_what_gives_back_another(disk):
    reserve = Reserve(disk, PART)
    catalog = await filled(disk, reserve)

    def mark(first):
        return lambda tx: [tx.insert_version(row(first + each)) for each in range(500)]

    with pytest.raises(Unavailable):
        await until_refused(catalog, Claim.DELETE, map(mark, itertools.count(10_000, 500)))
    assert reserve.given == DELETES
    for number in range(1500):
        await catalog.write(delete(number), Claim.FREE)
    assert reserve.given == DELETES | FREES
    with pytest.raises(Unavailable, match="the disk is full"):
        await catalog.write(lambda tx: tx.insert_version(row(9000)), Claim.DELETE)
    await catalog.close()
    reserve.close()


async def test_room_within_the_catalog_is_room_for_small_writes(disk):
    """Deletes free pages of its file, which never shrinks: with enough of them a full disk keeps nobody from writing rows."""
    reserve = Reserve(disk, PART)
    catalog = await filled(disk, reserve, rows=4000)
    for first in range(0, 3000, 20):
        await catalog.write(lambda tx: [delete(first + each)(tx) for each in range(20)], Claim.FREE)  # noqa: B023
    assert reserve.given & DELETES
    assert not reserve.given & FREES
    assert free_bytes(disk) < PART
    for number in range(200):
        await catalog.write(lambda tx: tx.insert_version(row(20_000 + number, bytes(2000))))  # noqa: B023
    await catalog.write(delete(3500), Claim.FREE)
    await catalog.close()
    reserve.close()


async def test_blobs_leave_the_reserve_alone(disk, at_once):
    reserve = Reserve(disk, PART)
    blobs = FileBlobs(disk, reserve=reserve)
    writer = await blobs.create()
    await writer.write(bytes(100))
    reserve.give(DELETES)
    with pytest.raises(Unavailable):
        await writer.commit()
    await writer.abort()
    with pytest.raises(Unavailable):
        await blobs.create()
    with pytest.raises(Unavailable):
        await blobs.prove_writing()
    assert reserve.restore()
    await blobs.prove_writing()
    writer = await blobs.create()
    await writer.write(bytes(100))
    await writer.commit()
    await blobs.close()
    reserve.close()


async def test_a_catalog_is_opened_on_a_full_disk(disk):
    reserve = Reserve(disk, PART)
    catalog = await filled(disk, reserve)
    await catalog.close()
    reserve.close()
    fill(disk)
    reserve = Reserve(disk, PART)
    reserve.relieve()
    assert reserve.given == DELETES | USES
    catalog = SqliteCatalog.open(disk, reserve=reserve)
    await catalog.write(delete(0), Claim.FREE)
    assert await catalog.latest(BUCKET.bucket_id, "key 000000") is None
    await catalog.close()
    reserve.close()


def test_the_generation_never_needs_room_later(disk):
    """It is changed through memory: a page without a place on the disk would end the process by SIGBUS when the disk is full."""
    generation = Generation(disk / "generation")
    assert (disk / "generation").stat().st_blocks > 0
    fill(disk)
    generation.begin()
    generation.end()
    with pytest.raises(OSError, match="No space") as caught:
        Generation(disk / "another")
    assert caught.value.errno == errno.ENOSPC
    generation.close()
