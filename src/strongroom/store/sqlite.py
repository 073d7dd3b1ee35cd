"""The catalog in one SQLite file: opening the folder, reading, and the doors to writing (``sqlite_commits``).

Reads run on the event-loop thread over a connection of their own: they take some ten microseconds and never wait for a writer. Any
number of processes may have the folder open. Never knows what a row or document means.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from strongroom.store.contract import AnnotationRow, BucketRow, Claim, PartRow, Place, Space, Unavailable, UploadRow, VersionRow
from strongroom.store.generation import Generation
from strongroom.store.remembered import Parts, Remembered, part_of
from strongroom.store.sqlite_commits import PATIENCE, GroupCommit
from strongroom.store.sqlite_log import CHECKPOINT, LOG_MOST, LogPace, log_size
from strongroom.store.sqlite_rows import Rows, unavailable
from strongroom.store.sqlite_texts import STATEMENTS, TABLES
from strongroom.store.sqlite_transaction import SqliteTransaction
from strongroom.store.texts import EARLIER, FORMAT
from strongroom.store.turn import Turn

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from pathlib import Path

    from strongroom.store.contract import Transaction
    from strongroom.store.reserve import Reserve

T = TypeVar("T")

FILE: Final = "catalog.sqlite"
# Bytes. A 4 KiB body with its index entries costs less to commit than at 8192 or 16384 (bench/store_bench.py).
PAGE_SIZE: Final = 4096
_MAPPED: Final = 64 << 20  # bytes of the file that readers see by memory: a little faster, and bounded, since it counts as memory
_NO_MARK: Final = 2**63 - 1
_CHUNK: Final = 500  # blob ids looked up before the loop may do something else

_PRAGMAS: Final = (
    "journal_mode=WAL",
    "synchronous=FULL",  # a commit is on the disk when it returns
    f"wal_autocheckpoint={CHECKPOINT}",
    f"journal_size_limit={LOG_MOST}",
    "cache_size=-32768",  # KiB
    "temp_store=MEMORY",  # nothing of ours in other folders
    "secure_delete=FAST",  # zeroed in pages that are written anyway; all of it was sealed
    "trusted_schema=OFF",
)


def _connect(path: Path, timeout: float) -> sqlite3.Connection:
    """``check_same_thread`` is off because loop and commit thread use the writing connection in turn."""
    connection = sqlite3.connect(path, timeout=timeout, isolation_level=None, check_same_thread=False, cached_statements=256)
    try:
        if not path.stat().st_size:  # must be said before anything is written
            connection.execute(f"PRAGMA page_size={PAGE_SIZE}")
            connection.execute("PRAGMA auto_vacuum=INCREMENTAL")  # the file can be cut where pages are free: see sqlite_space
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}").fetchall()
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection) -> None:
    """Make the tables in a new file; refuse a file that this version cannot read. Called by who has the turn."""
    names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not names:
        connection.execute("BEGIN IMMEDIATE")
        for texts in TABLES.values():
            for text in texts:
                connection.execute(text)
        connection.execute(STATEMENTS.set_format, ("format", str(FORMAT)))
        connection.execute("COMMIT")
        return
    found = connection.execute(STATEMENTS.format, ("format",)).fetchone() if "about" in names else None
    if found is None:
        raise Unavailable(f"{FILE} is not a catalog of Strongroom's")
    if found[0] in EARLIER:  # is read as it is; what is written from now on, a program of that time would not read
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(STATEMENTS.delete_about, ("format",))
        connection.execute(STATEMENTS.set_format, ("format", str(FORMAT)))
        connection.execute("COMMIT")
    elif found[0] != str(FORMAT):
        raise Unavailable(f"{FILE} has format {found[0]}; this Strongroom reads format {FORMAT}: a newer one is needed")
    later = [text for name, texts in TABLES.items() if name not in names for text in texts]  # came after the file was made
    if later:
        connection.execute("BEGIN IMMEDIATE")
        for text in later:
            connection.execute(text)
        connection.execute("COMMIT")


def _make_file(folder: Path) -> Path:
    """The folder for its owner alone, and the file (its log and index inherit the mode)."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / FILE
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return path


@contextmanager
def _in_turn(turn: Turn, patience: float) -> Generator[None]:
    if not turn.take_within(patience):
        raise Unavailable("catalog: another process did not let go of it in time")
    try:
        yield
    finally:
        turn.give()


class SqliteCatalog:
    """Implements ``contract.Catalog``. One per process, made with ``open``; used from one event loop."""

    def __init__(
        self,
        path: Path,
        reading: sqlite3.Connection,
        writing: sqlite3.Connection,
        turn: Turn,
        shared: tuple[Generation, Parts],
        *,
        patience: float,
        remembered: int,
        reserve: Reserve | None,
    ) -> None:
        generation, parts = shared
        self._path = path
        self._reading = reading
        self._writing = writing
        self._turn = turn
        self._generation = generation
        self._parts = parts
        self._remembered = Remembered(parts, remembered)
        self._rows = Rows(reading, STATEMENTS)
        self._commits = GroupCommit(writing, STATEMENTS, turn, shared, LogPace(path), patience=patience, reserve=reserve)
        self._closed = False
        self.generation: Callable[[], int] = generation.read  # bound once: it is asked at every request

    @classmethod
    def open(cls, folder: Path, *, patience: float = PATIENCE, remembered: int = 0, reserve: Reserve | None = None) -> Self:
        """Open or make the catalog in the data folder. Blocks for some milliseconds; call it in each process.

        ``patience``: seconds a write waits for another process. ``remembered``: bytes of rows that were read and are kept. ``reserve``:
        what deletes live on when the disk is full; it is closed by whoever opened it. Raises Unavailable, also for a folder of a newer
        Strongroom.
        """
        try:
            path = _make_file(folder)
            turn = Turn(folder, "catalog")
        except OSError as error:
            raise Unavailable(f"catalog: {error.strerror}") from error
        try:
            with _in_turn(turn, patience):
                return cls._opened(folder, path, turn, patience, remembered, reserve)
        except OSError as error:
            turn.close()
            raise Unavailable(f"catalog: {error.strerror}") from error
        except BaseException:
            turn.close()
            raise

    @classmethod
    def _opened(cls, folder: Path, path: Path, turn: Turn, patience: float, remembered: int, reserve: Reserve | None) -> Self:
        connections: list[sqlite3.Connection] = []
        try:
            connections.append(_connect(path, 0.0))  # it is never the loop that waits: see GroupCommit
            _prepare(connections[0])
            connections.append(_connect(path, 2.0))  # readers only ever wait while a log is being recovered
            connections[1].execute(f"PRAGMA mmap_size={_MAPPED}").fetchall()
            shared = Generation(folder / "catalog.generation"), Parts(folder / "catalog.parts")
            return cls(
                path, connections[1], connections[0], turn, shared, patience=patience, remembered=remembered, reserve=reserve
            )
        except BaseException as error:
            for connection in connections:
                connection.close()
            if isinstance(error, sqlite3.Error):
                raise unavailable(error) from error
            raise

    @property
    def commits(self) -> int:
        """Durable commits made by this process: how well works are grouped."""
        return self._commits.commits

    @property
    def waiting(self) -> int:
        """Works that wait for their transaction to begin."""
        return self._commits.waiting

    def watch_commits(self, watch: Callable[[int, float], None]) -> None:
        """``watch`` is told, in another thread, of each durable commit: how many works it was of, and how many seconds it took."""
        self._commits.watch = watch

    async def write(self, work: Callable[[Transaction], T], claim: Claim = Claim.NONE) -> T:
        return await self._commits.write(work, claim)

    async def prove_writing(self) -> None:
        def work(tx: Transaction) -> None:
            assert isinstance(tx, SqliteTransaction)
            tx.prove_writing()

        await self._commits.write(work)

    async def space(self) -> Space:
        pages, free = self._rows.one("PRAGMA page_count")[0], self._rows.one("PRAGMA freelist_count")[0]
        size = self._rows.one("PRAGMA page_size")[0]
        return Space(pages * size, free * size, log_size(self._path))

    async def give_back(self, going_on: Callable[[], bool]) -> int:
        """Cut free pages off the file as long as ``going_on``, which is asked at each; returns how many. Everybody waits meanwhile."""

        def work(tx: Transaction) -> int:
            assert isinstance(tx, SqliteTransaction)
            return tx.give_back(going_on)

        return await self._commits.write(work)

    async def close(self) -> None:
        """Idempotent. Finishes the writes under way; the last one out copies the log back, in its turn."""
        if self._closed:
            return
        self._closed = True
        self._remembered.forget()
        try:
            await self._commits.close()
        except TimeoutError:  # another process hangs in its turn: leave all as after a crash, which is harmless
            return
        had_turn = await asyncio.to_thread(self._turn.take_within, 1.0)
        with closing(self._turn), closing(self._generation), closing(self._parts):
            self._reading.close()
            self._writing.close()
            if had_turn:
                self._turn.give()

    # ---- upkeep of blobs

    async def discarded_mark(self) -> int:
        return self._rows.discarded_mark()

    async def discarded(self, limit: int, until: int | None = None) -> list[str]:
        return self._rows.discarded(limit, _NO_MARK if until is None else until)

    async def forget(self, blob_ids: Sequence[str]) -> None:
        def work(tx: Transaction) -> None:
            assert isinstance(tx, SqliteTransaction)
            tx.forget_blobs(blob_ids)

        await self._commits.write(work, Claim.FREE)

    async def unkept(self, blob_ids: Sequence[str]) -> list[str]:
        return await self._chosen(blob_ids, lambda blob_id: not self._rows.is_kept(blob_id))

    async def kept(self, blob_ids: Sequence[str]) -> list[str]:
        return await self._chosen(blob_ids, self._rows.is_named)

    @staticmethod
    async def _chosen(blob_ids: Sequence[str], condition: Callable[[str], bool]) -> list[str]:
        found: list[str] = []
        for first in range(0, len(blob_ids), _CHUNK):
            found.extend(filter(condition, blob_ids[first : first + _CHUNK]))
            await asyncio.sleep(0)
        return found

    # ---- reading

    async def bucket(self, name: str) -> BucketRow | None:
        return self._rows.bucket(name)

    async def buckets(
        self, account_id: str, *, prefix: str = "", after: str = "", region: str | None = None, limit: int
    ) -> list[BucketRow]:
        return self._rows.buckets(account_id, prefix, after, region, limit)

    async def every_bucket(self, *, after: str = "", limit: int) -> list[BucketRow]:
        return self._rows.every_bucket(after, limit)

    async def latest(self, bucket_id: str, object_key: str) -> VersionRow | None:
        remembered = self._remembered
        if not remembered.most:
            return self._rows.latest(bucket_id, object_key)
        row = remembered.find(bucket_id, object_key)
        if row is None:
            part = part_of(bucket_id, object_key)
            number = remembered.number(part)
            row = self._rows.latest(bucket_id, object_key)
            if row is not None:
                remembered.keep(row, part, number)
        return row

    async def version(self, bucket_id: str, object_key: str, version_id: str | None) -> VersionRow | None:
        return self._rows.version(bucket_id, object_key, version_id)

    async def current(
        self, bucket_id: str, *, start: str = "", after: str | None = None, prefix: str = "", limit: int
    ) -> list[VersionRow]:
        return self._rows.current(bucket_id, start, after, prefix, limit)

    async def versions(
        self, bucket_id: str, *, prefix: str = "", start: str = "", after: Place | None = None, limit: int
    ) -> tuple[list[VersionRow], Place | None]:
        return self._rows.versions(bucket_id, prefix, start, after, limit)

    async def place(self, bucket_id: str, object_key: str, version_id: str | None) -> Place | None:
        return self._rows.place(bucket_id, object_key, version_id)

    async def count_versions(self, bucket_id: str, *, prefix: str = "") -> int:
        return self._rows.count_versions(bucket_id, prefix)

    async def upload(self, bucket_id: str, upload_id: str) -> UploadRow | None:
        return self._rows.upload(bucket_id, upload_id)

    async def uploads(
        self, bucket_id: str, *, prefix: str = "", start: str = "", after: tuple[str, str] | None = None, limit: int
    ) -> list[UploadRow]:
        return self._rows.uploads(bucket_id, prefix, start, after, limit)

    async def part(self, upload_id: str, part_number: int) -> PartRow | None:
        return self._rows.part(upload_id, part_number)

    async def annotation(self, row: VersionRow, name: str) -> AnnotationRow | None:
        return self._rows.annotation(row, name)

    async def annotations(self, row: VersionRow, *, prefix: str = "", after: str = "", limit: int) -> list[AnnotationRow]:
        return self._rows.annotations(row, prefix, after, limit)

    async def parts(self, upload_id: str, *, after: int = 0, limit: int) -> list[PartRow]:
        return self._rows.parts(upload_id, after, limit)

    async def document(self, scope: str, kind: str) -> Any | None:
        return self._rows.document(scope, kind)

    async def documents(self, kind: str, *, prefix: str = "", after: str = "", limit: int) -> list[tuple[str, Any]]:
        return self._rows.documents(kind, prefix, after, limit)
