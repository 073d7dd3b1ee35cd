"""SqliteCatalog: the suite, and what only SQLite and several processes can get wrong."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import os
import signal
import sqlite3
import stat
import statistics
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy.dialects import postgresql

from strongroom.store import schema, sqlite_texts
from strongroom.store.compiling import sqlite_module
from strongroom.store.contract import Gone, Unavailable
from strongroom.store.generation import Generation
from strongroom.store.sqlite import FILE, SqliteCatalog
from strongroom.store.statements import compile_statements
from strongroom.store.texts import FORMAT
from strongroom.store.turn import Turn
from tests.store.catalog_suite import CatalogSuite, insert, make_bucket, new_id, part, upload, version

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from strongroom.store.contract import Catalog, Transaction


@pytest.fixture
async def catalog(tmp_path: Path) -> AsyncIterator[SqliteCatalog]:
    opened = SqliteCatalog.open(tmp_path / "data")
    yield opened
    await opened.close()


@pytest.fixture
async def another(catalog: SqliteCatalog, tmp_path: Path) -> AsyncIterator[SqliteCatalog]:
    opened = SqliteCatalog.open(tmp_path / "data")
    yield opened
    await opened.close()


class TestSqliteCatalog(CatalogSuite):
    pass


def set_one(scope: str, value: Any = 1) -> Any:
    return lambda tx: tx.set_document(scope, "kind", value)


# ---- the folder


async def test_all_is_there_after_reopening_and_for_the_owner_alone(tmp_path: Path) -> None:
    data = tmp_path / "new" / "data"
    first = SqliteCatalog.open(data)
    row = await make_bucket(first)
    for path in (data, *data.iterdir()):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    seen = first.generation()
    await first.close()
    await first.close()
    with pytest.raises(Unavailable):
        await first.bucket("bucket")
    with pytest.raises(Unavailable):
        await first.write(set_one("late"))
    second = SqliteCatalog.open(data)
    assert await second.bucket("bucket") == row
    assert second.generation() != seen
    await second.close()


async def test_a_folder_of_a_newer_strongroom_is_refused(tmp_path: Path) -> None:
    await SqliteCatalog.open(tmp_path).close()
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute("UPDATE about SET content = '3' WHERE name = 'format'")
    connection.close()
    for _ in range(2):
        with pytest.raises(Unavailable, match=r"format 3.*newer"):
            SqliteCatalog.open(tmp_path, patience=1)


async def test_a_folder_of_an_earlier_format_is_taken_and_is_then_of_this_one(tmp_path: Path) -> None:
    first = SqliteCatalog.open(tmp_path)
    await first.write(set_one("scope", "kept"))
    await first.close()
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute("UPDATE about SET content = '1' WHERE name = 'format'")
    connection.close()
    for _ in range(2):
        catalog = SqliteCatalog.open(tmp_path)
        assert await catalog.document("scope", "kind") == "kept"
        await catalog.close()
        with sqlite3.connect(tmp_path / FILE) as connection:
            assert connection.execute("SELECT content FROM about WHERE name = 'format'").fetchall() == [(str(FORMAT),)]
        connection.close()


@pytest.mark.parametrize("content", ["foreign", "garbage"])
def test_a_file_that_is_no_catalog_is_refused(tmp_path: Path, content: str) -> None:
    if content == "foreign":
        with sqlite3.connect(tmp_path / FILE) as connection:
            connection.execute("CREATE TABLE other (x)")
        connection.close()
    else:
        (tmp_path / FILE).write_bytes(os.urandom(8192))
    with pytest.raises(Unavailable):
        SqliteCatalog.open(tmp_path)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Unavailable):
        SqliteCatalog.open(tmp_path / "file" / "data")


# ---- statements


def test_every_read_is_a_search_in_an_index_and_needs_no_sorting() -> None:
    connection = sqlite3.connect(":memory:")
    for texts in sqlite_texts.TABLES.values():
        for text in texts:
            connection.execute(text)
    sql = dataclasses.asdict(sqlite_texts.STATEMENTS)
    for name, text in sql.items():
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {text}", (None,) * text.count("?"))]
        scans = [step for step in plan if step.startswith("SCAN") and step not in {"SCAN CONSTANT ROW", "SCAN discarded"}]
        assert not scans, (name, plan)
        assert not any("TEMP B-TREE" in step for step in plan), (name, plan)
    for name, index in (("hidden_null", "version_null"), ("tx_hidden_null", "version_null"), ("numbered", "version_by_id")):
        plan = str(connection.execute(f"EXPLAIN QUERY PLAN {sql[name]}", (None,) * sql[name].count("?")).fetchall())
        assert index in plan, (name, plan)
    connection.close()


async def test_a_table_that_came_later_is_made_in_an_older_folder(tmp_path: Path) -> None:
    catalog = SqliteCatalog.open(tmp_path)
    await catalog.close()
    with closing(sqlite3.connect(tmp_path / FILE)) as connection:
        connection.execute("DROP TABLE annotation")
    for _ in range(2):
        catalog = SqliteCatalog.open(tmp_path)
        assert await catalog.annotations(version(new_id(), "k"), limit=1) == []
        with closing(sqlite3.connect(tmp_path / FILE)) as connection:
            assert connection.execute("SELECT count(*) FROM annotation").fetchone() == (0,)
        await catalog.close()


def test_what_sqlite_is_given_is_what_the_schema_and_the_statements_say() -> None:
    assert Path(sqlite_texts.__file__).read_text("utf-8") == sqlite_module(), "run  make docs"


def test_the_schema_is_one_for_both_databases() -> None:
    dialect = postgresql.dialect(paramstyle="format")  # type: ignore[no-untyped-call]
    assert any("WHERE null_version = 1 AND current = 0" in text for text in schema.ddl(dialect)["version"])
    assert "%s" in compile_statements(dialect).current


# ---- group commit


async def test_a_lone_write_is_one_commit_and_waiting_ones_share_one(catalog: SqliteCatalog) -> None:
    await catalog.write(set_one("a"))
    assert catalog.commits == 1
    await asyncio.gather(*(catalog.write(set_one(f"{number}")) for number in range(100)))
    assert catalog.commits == 3  # the first alone, and all that came while it was made durable
    assert len(await catalog.documents("kind", limit=999)) == 101


async def test_a_group_is_bounded(catalog: SqliteCatalog) -> None:
    await asyncio.gather(*(catalog.write(set_one(f"{number}")) for number in range(600)))
    assert catalog.commits >= 4
    slow = time.perf_counter

    def work(tx: Transaction) -> None:
        end = slow() + 0.003
        while slow() < end:
            pass
        tx.set_document("slow", "kind", 1)

    before = catalog.commits
    await asyncio.gather(*(catalog.write(work) for _ in range(9)))
    assert catalog.commits - before >= 4


async def test_works_that_change_nothing_are_not_committed_to_the_disk(catalog: SqliteCatalog) -> None:
    assert await asyncio.gather(*(catalog.write(lambda tx: tx.document("a", "kind")) for _ in range(20))) == [None] * 20
    with pytest.raises(Gone):
        await insert(catalog, version("0" * 32, "k"))
    assert catalog.commits == 0


async def test_a_work_cannot_go_on_after_a_failed_statement(catalog: SqliteCatalog) -> None:
    bucket_id = (await make_bucket(catalog)).bucket_id
    catalog._writing.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 100_000)

    def work(tx: Transaction) -> None:
        tx.set_document("before", "kind", 1)
        with pytest.raises(Unavailable):
            tx.insert_version(version(bucket_id, "k", body=b"x" * 200_000))
        tx.set_document("after", "kind", 1)

    outcomes = await asyncio.gather(*(catalog.write(one) for one in (work, set_one("other"), work)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Unavailable, type(None), Unavailable]
    assert await catalog.documents("kind", limit=9) == [("other", 1)]


async def test_a_full_database_is_unavailable_and_recovers(catalog: SqliteCatalog) -> None:
    bucket_id = (await make_bucket(catalog)).bucket_id
    (pages,) = catalog._writing.execute("PRAGMA page_count").fetchone()
    catalog._writing.execute(f"PRAGMA max_page_count={pages + 20}").fetchall()
    rows = [version(bucket_id, f"{number}", body=b"x" * 30_000) for number in range(10)]
    outcomes = await asyncio.gather(*(insert(catalog, row) for row in rows), return_exceptions=True)
    refused = [number for number, outcome in enumerate(outcomes) if isinstance(outcome, Unavailable)]
    assert refused
    assert all(outcome is None or isinstance(outcome, Unavailable) for outcome in outcomes)
    stored = {row.object_key for row in await catalog.current(bucket_id, limit=99)}
    assert stored == {f"{number}" for number in range(10)} - {f"{number}" for number in refused}
    catalog._writing.execute(f"PRAGMA max_page_count={pages + 100_000}").fetchall()
    for number in refused:
        await insert(catalog, rows[number])
    assert len(await catalog.current(bucket_id, limit=99)) == 10


_FULL = """
import asyncio, pathlib, resource, sys
from strongroom.store.contract import Unavailable
from strongroom.store.sqlite import SqliteCatalog
async def main():
    catalog = SqliteCatalog.open(pathlib.Path(sys.argv[1]))
    await catalog.write(lambda tx: tx.set_document("first", "kind", 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
    big = "x" * 300_000
    writes = [catalog.write(lambda tx, n=n: tx.set_document(f"{n}", "kind", big)) for n in range(5)]
    outcomes = await asyncio.gather(*writes, return_exceptions=True)
    assert all(isinstance(outcome, Unavailable) for outcome in outcomes), outcomes
    before = catalog.generation()
    assert before == catalog.generation()
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert await catalog.documents("kind", limit=9) == [("first", 1)]
    await catalog.write(lambda tx: tx.set_document("last", "kind", big))
    await catalog.close()
asyncio.run(main())
"""


async def test_a_commit_that_fails_on_the_disk_changes_nothing_and_the_next_may_succeed(tmp_path: Path) -> None:
    await asyncio.to_thread(subprocess.run, [sys.executable, "-c", _FULL, tmp_path], check=True, timeout=30)
    catalog = SqliteCatalog.open(tmp_path)
    assert [scope for scope, _ in await catalog.documents("kind", limit=9)] == ["first", "last"]
    await catalog.close()


# ---- several processes

CLIENTS = 8  # of each process, each with one write at a time: no group of its works is larger

_WRITING = """
import asyncio, os, pathlib, sys
from strongroom.store.sqlite import SqliteCatalog
async def main():
    folder, name, most, clients = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    catalog = SqliteCatalog.open(folder)
    order = os.open(folder / "order", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    count = 0
    print("ready", flush=True)
    sys.stdin.readline()
    async def client():
        nonlocal count
        while count < most:
            number = count
            count += 1
            def work(tx):
                os.write(order, name.encode())  # whoever runs a work has the turn
                tx.set_document(f"{name}/{number:08}", "kind", number)
            await catalog.write(work)
            print(number, flush=True)
    await asyncio.gather(*(client() for _ in range(clients)))
    await catalog.close()
asyncio.run(main())
"""


def start_writer(folder: Path, name: str, most: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _WRITING, str(folder), name, str(most), str(CLIENTS)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


async def test_every_acknowledged_write_survives_a_kill(tmp_path: Path) -> None:
    process = await asyncio.to_thread(start_writer, tmp_path, "w", 10**9)
    acknowledged: set[int] = set()
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("\n")
        process.stdin.flush()
        while len(acknowledged) < 300:
            acknowledged.add(int(await asyncio.to_thread(process.stdout.readline)))
        process.send_signal(signal.SIGKILL)
        acknowledged.update(int(line) for line in process.stdout.read().split("\n")[:-1])
    catalog = SqliteCatalog.open(tmp_path)
    stored = {value for _, value in await catalog.documents("kind", limit=100_000)}
    assert acknowledged <= stored
    await catalog.write(set_one("goes on"))  # the dead one's turn has passed
    assert catalog._writing.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    await catalog.close()


async def test_processes_that_all_want_to_write_take_turns(catalog: SqliteCatalog, tmp_path: Path) -> None:
    """Counted in turns and not in time: however slow the machine is, nobody waits for more than its share of the others' turns."""
    before, each, names = catalog.generation(), 500, "abc"
    processes = [await asyncio.to_thread(start_writer, tmp_path / "data", name, each) for name in names]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        out, _ = await asyncio.to_thread(process.communicate)
        assert sorted(map(int, out.split())) == list(range(each))
    order = (tmp_path / "data" / "order").read_text()
    start = max(order.index(name) for name in names)  # all of them write from here
    end = min(order.rindex(name) for name in names)  # to here
    contested = order[start:end]
    shares = [contested.count(name) for name in names]
    assert min(shares) > max(shares) / 4, shares
    turns = [len(list(run)) for _, run in itertools.groupby(contested)]
    assert statistics.median(turns) <= CLIENTS, turns  # one group, and then it is another's
    for name in names:
        assert len(await catalog.documents("kind", prefix=f"{name}/", limit=10**6)) == each
    assert catalog.generation() != before
    assert catalog._writing.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def test_a_write_gives_up_when_another_process_never_lets_go(tmp_path: Path) -> None:
    catalog = SqliteCatalog.open(tmp_path, patience=0.2)
    stuck = Turn(tmp_path, "catalog")
    assert stuck.try_take()
    for _ in range(2):
        with pytest.raises(Unavailable, match="in time"):
            await catalog.write(set_one("never"))
    with pytest.raises(Unavailable):
        SqliteCatalog.open(tmp_path, patience=0.05)
    waiting = asyncio.create_task(catalog.write(set_one("now")))
    await asyncio.sleep(0.01)
    stuck.give()
    await waiting
    assert await catalog.documents("kind", limit=9) == [("now", 1)]
    stuck.close()
    await catalog.close()


async def test_closing_does_not_wait_for_ever(tmp_path: Path) -> None:
    catalog = SqliteCatalog.open(tmp_path, patience=0.1)
    stuck = Turn(tmp_path, "catalog")
    assert stuck.try_take()
    with pytest.raises(Unavailable):
        await catalog.write(set_one("never"))
    await asyncio.wait_for(catalog.close(), 5)
    stuck.close()


async def test_a_foreign_lock_on_the_database_is_waited_for(catalog: SqliteCatalog, tmp_path: Path) -> None:
    foreign = sqlite3.connect(tmp_path / "data" / FILE, isolation_level=None)
    foreign.execute("BEGIN IMMEDIATE")
    waiting = asyncio.create_task(catalog.write(set_one("a")))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    assert await catalog.document("a", "kind") is None  # reading goes on
    foreign.execute("COMMIT")
    await waiting
    foreign.close()


async def test_a_foreign_lock_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    catalog = SqliteCatalog.open(tmp_path, patience=0.1)
    foreign = sqlite3.connect(tmp_path / FILE, isolation_level=None)
    foreign.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable):
        await catalog.write(set_one("a"))
    foreign.execute("COMMIT")
    foreign.close()
    await asyncio.sleep(0.05)
    await catalog.write(set_one("b"))
    await catalog.close()


def test_the_turn_goes_to_who_waits_and_not_to_who_just_had_it(tmp_path: Path) -> None:
    one, other = Turn(tmp_path, "catalog"), Turn(tmp_path, "catalog")
    assert one.try_take()
    assert one.try_take()
    one.take()  # it is here already
    assert not other.try_take()  # stands next now
    one.give()
    assert not one.try_take()
    assert other.try_take()
    other.give()
    assert one.take_within(0)
    assert not other.take_within(0.01)
    one.give()
    assert one.try_take()  # who gave up left the queue
    for turn in (one, other):
        turn.close()


def test_a_generation_read_during_a_change_never_comes_again(tmp_path: Path) -> None:
    mine, other = Generation(tmp_path / "generation"), Generation(tmp_path / "generation")
    assert mine.read() == mine.read() == other.read()
    mine.begin()
    during = [other.read(), mine.read(), other.read()]
    assert during[0] != during[2]
    mine.end()
    assert other.read() == mine.read() not in during
    before = other.read()
    mine.begin()  # and dies here
    mine.close()
    assert other.read() != other.read()
    later = Generation(tmp_path / "generation")
    assert other.read() == other.read() == later.read() != before
    for generation in (later, other):
        generation.close()


# ---- size


async def test_one_key_with_very_many_versions_is_as_quick_as_any(catalog: SqliteCatalog) -> None:
    bucket_id = (await make_bucket(catalog)).bucket_id
    first = version(bucket_id, "k", null_version=True)
    await insert(catalog, first, version(bucket_id, "l"))

    def many(tx: Transaction) -> None:
        for _ in range(10_000):
            tx.insert_version(version(bucket_id, "k", body=None))

    for _ in range(2):
        await catalog.write(many)
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    catalog._reading.set_progress_handler(count, 10)  # called every ten instructions of the database's machine
    newest = await catalog.latest(bucket_id, "k")
    assert newest is not None
    assert await catalog.version(bucket_id, "k", None) == first
    assert await catalog.version(bucket_id, "k", newest.version_id) == newest
    assert [row.object_key for row in await catalog.current(bucket_id, limit=2)] == ["k", "l"]
    page, place = await catalog.versions(bucket_id, limit=2)
    assert page[0].version_id == newest.version_id
    assert (await catalog.versions(bucket_id, after=place, limit=1))[0][0] not in page
    assert (await catalog.versions(bucket_id, start="l", after=place, limit=1))[0][0].object_key == "l"
    assert await catalog.place(bucket_id, "k", page[1].version_id) == place
    assert steps < 150
    catalog._reading.set_progress_handler(None, 0)


async def test_large_uploads_and_manifests_are_one_quick_commit(catalog: SqliteCatalog) -> None:
    bucket_id = (await make_bucket(catalog)).bucket_id
    row = upload(bucket_id, "k")

    def put(tx: Transaction) -> None:
        tx.insert_upload(row)
        for number in range(1, 10_001):
            tx.put_part(part(row.upload_id, number, manifest=b"m" * 60))

    await catalog.write(put)

    def complete(tx: Transaction) -> int:
        parts = tx.delete_upload(row)
        tx.insert_version(version(bucket_id, "k", manifest=b"m" * 250_000, body=None))
        return len(parts)

    begin = time.perf_counter()
    assert await catalog.write(complete) == 10_000
    assert time.perf_counter() - begin < 1  # 0.1 s on an idle machine
    found = await catalog.latest(bucket_id, "k")
    assert found is not None
    assert len(found.manifest) == 250_000


def test_it_is_a_catalog(catalog: SqliteCatalog) -> None:
    _: Catalog = catalog
