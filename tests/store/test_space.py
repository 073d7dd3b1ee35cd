"""Room on the disk comes back: pages that deletes freed, a log that a long reader let grow; and neither takes long at a time."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing

import pytest

from strongroom.store.contract import BucketRow, Unavailable, VersionRow
from strongroom.store.sqlite import FILE, PAGE_SIZE, SqliteCatalog
from strongroom.store.sqlite_log import CHECKPOINT, LOOK_EVERY, LogPace, log_size
from strongroom.store.sqlite_space import STEP_SECONDS, SpaceKeeping, write_anew
from strongroom.store.turn import Turn

BUCKET = BucketRow("b" * 32, "bucket", "1" * 12, "us-east-1", 0)


def row(key, size=4096):
    return VersionRow(
        BUCKET.bucket_id,
        key,
        os.urandom(16).hex(),
        True,
        False,
        1,
        0,
        os.urandom(100),
        os.urandom(150),
        os.urandom(31),
        os.urandom(size),
    )


async def put(catalog, *keys):
    rows = [row(key) for key in keys]
    await catalog.write(lambda tx: [tx.insert_version(one) for one in rows])


async def delete(catalog, *keys):
    await catalog.write(lambda tx: [tx.delete_version(tx.latest(BUCKET.bucket_id, key)) for key in keys])


@pytest.fixture
async def catalog(tmp_path):
    opened = SqliteCatalog.open(tmp_path)
    await opened.write(lambda tx: tx.create_bucket(BUCKET))
    yield opened
    await opened.close()


class Time:
    """Each look at the clock finds so many seconds gone."""

    def __init__(self, step):
        self._now, self._step = 0.0, step
        self.slept = []

    def clock(self):
        self._now += self._step
        return self._now

    async def sleep(self, seconds):
        self.slept.append(seconds)


# ---- pages


async def test_a_file_is_cut_where_deletes_have_freed_pages_and_what_stays_reads_back(catalog, tmp_path):
    keys = [f"{number:04d}" for number in range(400)]
    await put(catalog, *keys)
    kept = {key: (await catalog.latest(BUCKET.bucket_id, key)).body for key in keys[::8]}
    full = await catalog.space()
    assert full.free == 0
    await delete(catalog, *(key for key in keys if key not in kept))
    before = await catalog.space()
    assert before.size == full.size
    assert before.free > full.size / 2

    reserve = 10 * PAGE_SIZE
    keeping = SpaceKeeping(catalog, tmp_path / FILE, kept=reserve)
    given = await keeping.give_back()
    after = await catalog.space()
    assert given * PAGE_SIZE <= before.size - after.size <= (given + 2) * PAGE_SIZE  # and pages that told where those were
    assert after.free <= max(reserve, after.size // 16) + PAGE_SIZE
    assert (tmp_path / FILE).stat().st_size == after.size
    for key, body in kept.items():
        assert (await catalog.latest(BUCKET.bucket_id, key)).body == body
    with closing(sqlite3.connect(tmp_path / FILE)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert await keeping.give_back() == 0


async def test_a_reserve_stays_for_the_next_writes(catalog, tmp_path):
    keys = [f"{number:03d}" for number in range(100)]
    await put(catalog, *keys)
    await delete(catalog, *keys)
    free = (await catalog.space()).free
    assert await SpaceKeeping(catalog, tmp_path / FILE, kept=free).give_back() == 0
    assert await SpaceKeeping(catalog, tmp_path / FILE, kept=free - 3 * PAGE_SIZE).give_back() == 3


async def test_a_step_ends_when_its_time_is_over_and_then_others_have_ten_times_as_long(catalog, tmp_path):
    keys = [f"{number:03d}" for number in range(100)]
    await put(catalog, *keys)
    await delete(catalog, *keys)
    time = Time(STEP_SECONDS * 0.500001)
    commits = catalog.commits
    given = await SpaceKeeping(catalog, tmp_path / FILE, kept=0, clock=time.clock, sleep=time.sleep).give_back()
    steps = catalog.commits - commits
    assert given / 3 <= steps <= given / 3 + 1  # three looks at the clock make a step: 0, 1 and 2 halves of it
    assert {round(seconds, 6) for seconds in time.slept[:-1]} == {round(10 * STEP_SECONDS, 6)}


async def test_the_file_of_an_earlier_program_is_left_as_it_is(tmp_path):
    with closing(sqlite3.connect(tmp_path / FILE)) as connection:
        connection.execute("PRAGMA journal_mode=WAL").fetchall()
        connection.execute("CREATE TABLE later (x)")
        connection.execute("DROP TABLE later")
    catalog = SqliteCatalog.open(tmp_path)
    await catalog.write(lambda tx: tx.create_bucket(BUCKET))
    await put(catalog, *"abcdefgh")
    await delete(catalog, *"abcdefgh")
    assert (before := await catalog.space()).free
    assert await SpaceKeeping(catalog, tmp_path / FILE, kept=0).give_back() == 0
    assert await catalog.space() == before
    await put(catalog, *"abcdefgh")
    assert (await catalog.space()).size == before.size  # free pages are used, here as everywhere
    await catalog.close()


async def test_nothing_is_left_of_what_was_deleted_in_pages_that_are_written_anyway(catalog, tmp_path):
    await put(catalog, "a", "c")
    marker = os.urandom(64)
    await catalog.write(lambda tx: tx.insert_version(row("b", 0)._replace(seal=marker)))
    await delete(catalog, "b")
    with closing(sqlite3.connect(tmp_path / FILE)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    assert marker not in (tmp_path / FILE).read_bytes()


# ---- the log


async def test_the_log_stays_short_while_nobody_reads_long(catalog, tmp_path):
    for number in range(60):
        await put(catalog, *(f"{number:02d}/{other}" for other in range(100)))
    assert log_size(tmp_path / FILE) < (CHECKPOINT + 600) * (PAGE_SIZE + 24)


async def test_a_log_that_a_long_reader_let_grow_is_drained_and_cut_when_it_has_gone(catalog, tmp_path, monkeypatch):
    most = 2000 * PAGE_SIZE
    monkeypatch.setattr(catalog._commits._log, "_most", most)
    keeping = SpaceKeeping(catalog, tmp_path / FILE, most=most)
    assert await keeping.drain() is None
    with closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM version").fetchone() == (0,)
        for number in range(40):
            await put(catalog, *(f"{number:02d}/{other}" for other in range(100)))
        grown = log_size(tmp_path / FILE)
        assert grown > 2 * most
        tried = await keeping.drain()
        assert not tried.emptied
        assert tried.copied < tried.pages
        reader.execute("COMMIT")
    commits = catalog.commits
    assert catalog._commits._log.pages == 0
    await put(catalog, "next")  # does not copy back all of it: that is for upkeep
    with closing(sqlite3.connect(tmp_path / FILE)) as looking:
        assert looking.execute("SELECT count(*) FROM version").fetchone() == (4001,)
    assert log_size(tmp_path / FILE) >= grown
    drained = await keeping.drain()
    assert drained.emptied
    assert log_size(tmp_path / FILE) == 0
    for number in range(LOOK_EVERY):
        await put(catalog, f"later{number}")
    assert catalog.commits == commits + 1 + LOOK_EVERY
    assert catalog._commits._log.pages == CHECKPOINT
    assert (await catalog.latest(BUCKET.bucket_id, "39/99")) is not None


async def test_committers_leave_a_long_log_alone_unless_nobody_else_cares(tmp_path):
    path = tmp_path / FILE
    pace = LogPace(path, most=1000)

    def after(size):
        with (tmp_path / f"{FILE}-wal").open("wb") as log:
            log.truncate(size)
        return [pace.changed() for _ in range(LOOK_EVERY)].count(True), pace.pages

    assert after(1000) == (0, CHECKPOINT)
    assert after(1001) == (1, 0)
    assert after(5000) == (0, 0)
    assert after(3 << 30) == (1, CHECKPOINT)
    assert after(5000) == (1, 0)
    assert after(0) == (1, CHECKPOINT)


# ---- all at once


async def test_a_file_written_anew_has_no_free_pages_and_can_be_cut_from_then_on(tmp_path):
    with closing(sqlite3.connect(tmp_path / FILE)) as connection:  # as an earlier program made it
        connection.execute("PRAGMA journal_mode=WAL").fetchall()
        connection.execute("CREATE TABLE later (x)")
        connection.execute("DROP TABLE later")
    catalog = SqliteCatalog.open(tmp_path)
    await catalog.write(lambda tx: tx.create_bucket(BUCKET))
    keys = [f"{number:03d}" for number in range(100)]
    await put(catalog, *keys)
    body = (await catalog.latest(BUCKET.bucket_id, "007")).body
    await delete(catalog, *(key for key in keys if key != "007"))
    await catalog.close()
    before = (tmp_path / FILE).stat().st_size
    names = {path.name for path in tmp_path.iterdir()}
    write_anew(tmp_path / FILE)
    assert (tmp_path / FILE).stat().st_size < before / 4
    assert {path.name for path in tmp_path.iterdir()} == names
    catalog = SqliteCatalog.open(tmp_path)
    assert (await catalog.space()).free == 0
    assert (await catalog.latest(BUCKET.bucket_id, "007")).body == body
    await put(catalog, *keys[10:])
    await delete(catalog, *keys[10:])
    assert await SpaceKeeping(catalog, tmp_path / FILE, kept=0).give_back() > 0
    await catalog.close()


def test_a_file_is_not_written_anew_while_another_process_writes(tmp_path):
    with closing(Turn(tmp_path, "catalog")) as turn:
        assert turn.try_take()
        with pytest.raises(Unavailable):
            write_anew(tmp_path / FILE, patience=0.0)
