"""Rows that are remembered: the catalog's contract holds all the same, and no change by anybody is missed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from strongroom.store.contract import Unavailable, VersionRow
from strongroom.store.remembered import PARTS, Parts, Remembered, part_of
from strongroom.store.sqlite import SqliteCatalog
from tests.store.catalog_suite import CatalogSuite, insert, make_bucket, version

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from strongroom.store.contract import Transaction

MIB = 1 << 20


@pytest.fixture
async def catalog(tmp_path: Path) -> AsyncIterator[SqliteCatalog]:
    opened = SqliteCatalog.open(tmp_path / "data", remembered=MIB)
    yield opened
    await opened.close()


@pytest.fixture
async def another(catalog: SqliteCatalog, tmp_path: Path) -> AsyncIterator[SqliteCatalog]:
    opened = SqliteCatalog.open(tmp_path / "data", remembered=MIB)
    yield opened
    await opened.close()


class TestRememberingCatalog(CatalogSuite):
    pass


class Looks:
    """How often the rows themselves are asked for the newest version of a key."""

    def __init__(self, catalog: SqliteCatalog, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        look: Callable[..., VersionRow | None] = catalog._rows.latest

        def counted(*where: str) -> VersionRow | None:
            self.count += 1
            return look(*where)

        monkeypatch.setattr(catalog._rows, "latest", counted)


@pytest.fixture
def looks(catalog: SqliteCatalog, monkeypatch: pytest.MonkeyPatch) -> Looks:
    return Looks(catalog, monkeypatch)


async def test_a_row_is_looked_for_once_and_what_is_not_there_each_time(catalog: SqliteCatalog, looks: Looks) -> None:
    bucket_id = (await make_bucket(catalog)).bucket_id
    row = version(bucket_id, "k")
    await insert(catalog, row)
    assert [await catalog.latest(bucket_id, "k") for _ in range(3)] == [row] * 3
    assert looks.count == 1
    assert [await catalog.latest(bucket_id, "none") for _ in range(3)] == [None] * 3
    assert looks.count == 4


def _replace(tx: Transaction, row: VersionRow) -> None:
    tx.replace_version(row, row._replace(version_id="v2", meta=b"new"))


CHANGES: dict[str, Callable[[Transaction, VersionRow], Any]] = {
    "a newer version": lambda tx, row: tx.insert_version(version(row.bucket_id, row.object_key)),
    "a delete marker": lambda tx, row: tx.insert_version(version(row.bucket_id, row.object_key, delete_marker=True)),
    "another in its place": _replace,
    "deleted": lambda tx, row: tx.delete_version(row),
    "wrapped anew": lambda tx, row: tx.reseal_version(row, seal=b"other", meta=b"other"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_a_change_by_another_process_is_seen_at_once(
    catalog: SqliteCatalog, another: SqliteCatalog, change: Callable[[Transaction, VersionRow], Any]
) -> None:
    bucket_id = (await make_bucket(catalog)).bucket_id
    row = version(bucket_id, "k", null_version=True)
    await insert(catalog, row)
    assert await catalog.latest(bucket_id, "k") == await another.latest(bucket_id, "k") == row
    await another.write(lambda tx: change(tx, row))
    seen = await catalog.latest(bucket_id, "k")
    assert seen != row
    assert seen == await another.latest(bucket_id, "k")


async def test_what_was_undone_or_refused_changes_nothing(catalog: SqliteCatalog) -> None:
    bucket_id = (await make_bucket(catalog)).bucket_id
    row = version(bucket_id, "k")
    await insert(catalog, row)

    def work(tx: Transaction) -> None:
        tx.delete_version(row)
        raise LookupError

    await catalog.latest(bucket_id, "k")
    with pytest.raises(LookupError):
        await catalog.write(work)
    assert await catalog.latest(bucket_id, "k") == row


async def test_while_a_change_is_committed_nothing_is_remembered_nor_found(catalog: SqliteCatalog, looks: Looks) -> None:
    """Also when the process that committed has died: only the next change of that part makes it whole again."""
    bucket_id = (await make_bucket(catalog)).bucket_id
    row = version(bucket_id, "k")
    await insert(catalog, row)
    await catalog.latest(bucket_id, "k")
    part = part_of(bucket_id, "k")
    catalog._parts.begin([part])
    assert [await catalog.latest(bucket_id, "k") for _ in range(2)] == [row] * 2
    assert looks.count == 3
    newer = version(bucket_id, "k")
    await insert(catalog, newer)
    assert [await catalog.latest(bucket_id, "k") for _ in range(2)] == [newer] * 2
    assert looks.count == 4


def test_a_row_that_was_read_before_a_change_is_not_kept_after_it(tmp_path: Path) -> None:
    parts = Parts(tmp_path / "parts")
    remembered = Remembered(parts, MIB)
    row = version("b", "k")
    part = part_of("b", "k")
    before = remembered.number(part)
    parts.begin([part])
    remembered.keep(row, part, before)
    remembered.keep(row, part, remembered.number(part))
    parts.end([part])
    remembered.keep(row, part, before)
    assert len(remembered) == 0
    remembered.keep(row, part, remembered.number(part))
    assert remembered.find("b", "k") is row
    parts.close()


def test_memory_is_bounded_and_the_oldest_goes_first(tmp_path: Path) -> None:
    parts = Parts(tmp_path / "parts")
    remembered = Remembered(parts, 10_000)
    for number in range(10):
        for _ in range(2):  # what is kept anew counts once
            remembered.keep(version("b", f"{number}", body=bytes(2_000)), 7, remembered.number(7))
    assert [number for number in range(10) if remembered.find("b", f"{number}")] == [7, 8, 9]
    remembered.keep(version("b", "large", body=bytes(10_000)), 7, remembered.number(7))
    assert len(remembered) == 0
    parts.close()


async def test_nothing_is_remembered_by_default_and_nothing_after_the_end(tmp_path: Path) -> None:
    tool, worker = SqliteCatalog.open(tmp_path), SqliteCatalog.open(tmp_path, remembered=MIB)
    bucket_id = (await make_bucket(tool)).bucket_id
    await insert(tool, version(bucket_id, "k"))
    for catalog, rows in ((tool, 0), (worker, 1)):
        assert await catalog.latest(bucket_id, "k")
        assert len(catalog._remembered) == rows
        await catalog.close()
        with pytest.raises(Unavailable):
            await catalog.latest(bucket_id, "k")


def test_every_process_finds_the_same_part_and_the_table_has_no_holes(tmp_path: Path) -> None:
    assert [part_of("0" * 32, "k"), part_of("0" * 31 + "1", "k"), part_of("0" * 32, "\u00e9")] == [30491, 18010, 6843]
    Parts(tmp_path / "parts").close()
    found = (tmp_path / "parts").stat()
    assert (found.st_size, found.st_mode & 0o777) == (PARTS * 8, 0o600)
    assert found.st_blocks * 512 >= found.st_size
