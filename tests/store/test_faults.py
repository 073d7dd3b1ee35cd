"""The catalog on a disk that takes no more, by the system's own limit on the size of files: SQLite sees real errors at real places."""

from __future__ import annotations

import asyncio
import resource
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from strongroom.store.contract import Unavailable
from strongroom.store.sqlite import SqliteCatalog

FRAME = 4096 + 24  # a page in the log, with its header


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Whoever writes further gets EFBIG (Python ignores the signal that comes with it)."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("frames", [0, 0.5, 1, 2.5, 7])
async def test_a_commit_that_is_torn_in_the_log_has_not_happened(tmp_path, frames):
    data = tmp_path / "data"
    catalog = SqliteCatalog.open(data)
    await catalog.write(lambda tx: tx.set_document("s", "k", "before"))
    log = (data / "catalog.sqlite-wal").stat().st_size
    with files_of_at_most(log + int(frames * FRAME)):
        for _ in range(2):  # neither the first time nor the second
            with pytest.raises(Unavailable):
                await catalog.write(lambda tx: tx.set_document("s", "k", "x" * 60_000))
        assert await catalog.document("s", "k") == "before"
    shutil.copytree(data, tmp_path / "crashed")  # as a process finds it that starts after a crash at this moment
    await catalog.write(lambda tx: tx.set_document("s", "k", "after"))
    assert await catalog.document("s", "k") == "after"
    await catalog.close()
    for folder, expected in ((tmp_path / "crashed", "before"), (data, "after")):
        found = SqliteCatalog.open(folder)
        assert await found.document("s", "k") == expected
        await found.close()
        with closing(sqlite3.connect(folder / "catalog.sqlite")) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


async def test_others_in_the_group_fail_with_it_and_all_are_taken_again(tmp_path):
    catalog = SqliteCatalog.open(tmp_path)
    await catalog.write(lambda tx: tx.set_document("s", "k", 0))
    log = (tmp_path / "catalog.sqlite-wal").stat().st_size
    with files_of_at_most(log):
        works = [catalog.write(lambda tx, number=number: tx.set_document("s", f"k{number}", number)) for number in range(3)]
        assert [type(each) for each in await asyncio.gather(*works, return_exceptions=True)] == [Unavailable] * 3
    for number in range(3):
        assert await catalog.document("s", f"k{number}") is None
        await catalog.write(lambda tx, number=number: tx.set_document("s", f"k{number}", number))
        assert await catalog.document("s", f"k{number}") == number
    await catalog.close()
