"""``/-/ready`` and the metric are red while the store cannot write, and green again by themselves."""

from __future__ import annotations

import asyncio
import errno
import sqlite3

import pytest

from strongroom.config import Config
from strongroom.edge.head import Head
from strongroom.house import build
from strongroom.numbers import Numbers
from strongroom.observing import numbers_page
from strongroom.readiness import Readiness
from strongroom.server import first_start
from strongroom.startup import folder
from strongroom.startup.sealing import ensure_root_key
from strongroom.store import files
from strongroom.store.contract import Unavailable
from strongroom.store.files import FileBlobs
from strongroom.store.sqlite import SqliteCatalog
from tests.store.faults import FaultyOs, Plan


@pytest.fixture
async def catalog(tmp_path):
    catalog = SqliteCatalog.open(tmp_path)
    yield catalog
    await catalog.close()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def full(catalog: SqliteCatalog, *, pages: int) -> None:
    """A catalog that may grow no further has SQLite's own error for a full disk."""
    catalog._writing.execute(f"PRAGMA max_page_count={pages}").fetchall()


async def fill(catalog: SqliteCatalog) -> None:
    full(catalog, pages=1)
    with pytest.raises(Unavailable, match="full"):
        await catalog.write(lambda tx: tx.set_document("s", "k", "x" * 100_000))


async def test_a_catalog_that_writes_is_ready_and_its_generation_stays(catalog):
    before = catalog.generation()
    assert await Readiness(catalog).writable()
    assert catalog.generation() == before
    assert catalog.commits == 1


async def test_many_askers_are_one_write_a_second(catalog):
    clock = Clock()
    readiness = Readiness(catalog, clock=clock)
    assert all(await asyncio.gather(*(readiness.writable() for _ in range(50))))
    assert catalog.commits == 1
    clock.now = 1.0
    assert await readiness.writable()
    assert catalog.commits == 2


async def test_a_catalog_that_cannot_write_is_not_ready_until_it_can(catalog, tmp_path):
    clock = Clock()
    readiness = Readiness(catalog, clock=clock)
    catalog._writing.execute("PRAGMA query_only=ON")
    assert not await readiness.writable()
    catalog._writing.execute("PRAGMA query_only=OFF")
    assert not await readiness.writable()  # for the rest of the second
    clock.now = 1.0
    assert await readiness.writable()


async def test_a_full_catalog_refuses_what_needs_space_and_goes_on_when_there_is_some(catalog):
    await catalog.write(lambda tx: tx.set_document("s", "small", 1))
    await fill(catalog)
    assert await catalog.document("s", "small") == 1
    assert await catalog.document("s", "k") is None
    await catalog.write(lambda tx: tx.set_document("s", "small", None))  # what needs none goes on
    full(catalog, pages=1 << 20)
    await catalog.write(lambda tx: tx.set_document("s", "k", "x" * 100_000))
    assert await catalog.document("s", "k") == "x" * 100_000


async def test_a_catalog_that_hangs_is_not_ready(catalog, tmp_path):
    with sqlite3.connect(tmp_path / "catalog.sqlite", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        assert not await Readiness(catalog, patience=0.05).writable()
        other.execute("ROLLBACK")
    other.close()
    assert await Readiness(catalog).writable()


@pytest.mark.parametrize("kind", ["open", "write", "fsync", "rename", "folder sync"])
async def test_after_a_blob_that_could_not_be_written_one_must_be(tmp_path, monkeypatch, kind):
    blobs = FileBlobs(tmp_path)
    clock = Clock()
    readiness = Readiness(blobs, clock=clock)
    plan = Plan(kind, 0, errno.ENOSPC, lasting=True)
    monkeypatch.setattr(files, "os", FaultyOs(plan))
    assert await readiness.writable()  # nothing has failed yet, and so nothing is written
    assert plan.counts.total() == 0
    with pytest.raises(Unavailable, match="No space left"):
        await _write(blobs)
    clock.now = 1.0
    assert not await readiness.writable()
    monkeypatch.undo()
    clock.now = 2.0
    assert await readiness.writable()
    assert not list((tmp_path / "tmp").iterdir())
    await _write(blobs)
    await blobs.close()


async def test_a_blob_that_is_written_says_it_too(tmp_path, monkeypatch):
    blobs = FileBlobs(tmp_path)
    plan = Plan("fsync", 0, errno.EIO)
    monkeypatch.setattr(files, "os", FaultyOs(plan))
    with pytest.raises(Unavailable):
        await _write(blobs)
    assert blobs.failed
    await _write(blobs)
    assert not blobs.failed
    await blobs.close()


async def _write(blobs: FileBlobs) -> None:
    writer = await blobs.create()
    try:
        await writer.write(b"bytes")
        await writer.commit()
    finally:
        await writer.abort()


async def test_the_metric_says_the_same(catalog):
    clock = Clock()
    page = numbers_page(Numbers(), Readiness(catalog, clock=clock))
    shown = await page()
    assert shown is not None
    assert b"\nstrongroom_store_writable 1.0\n" in shown[1]
    catalog._writing.execute("PRAGMA query_only=ON")
    clock.now = 1.0
    shown = await page()
    assert shown is not None
    assert b"\nstrongroom_store_writable 0.0\n" in shown[1]


async def test_the_page_of_a_whole_server_is_red_and_green_again(tmp_path, monkeypatch):
    monkeypatch.setattr("strongroom.readiness._HOLDS", 0.0)
    config = Config(data_dir=tmp_path / "data")
    folder.prepare(config.data_dir)
    root_key = ensure_root_key(config)
    await first_start(config, root_key)
    house = await build(config, root_key, Numbers())

    async def status(page: str) -> int:
        head = Head("GET", f"/-/{page}", None, "", {}, "http", "127.0.0.1")
        return (await house.handle(head, None)).status  # type: ignore[arg-type]

    assert (await status("ready"), await status("live")) == (200, 200)
    house.catalog._writing.execute("PRAGMA query_only=ON")
    assert (await status("ready"), await status("live"), await status("metrics")) == (503, 200, 200)
    house.catalog._writing.execute("PRAGMA query_only=OFF")
    assert await status("ready") == 200
    await house.close()
