"""Group commit: works that wait while one commit is made durable form the next one.

Works run on the event-loop thread, one after the other; only the COMMIT (with its fsync), and waiting for the turn when another
process has it, happen in one dedicated thread. So the interpreter's lock is not fought over at every statement, a lone write
waits for nobody, and the loop never waits for the disk. Never knows what the works do.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections import deque
from contextlib import suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from strongroom.store.contract import Claim, Unavailable
from strongroom.store.reserve import FREES, Reserve
from strongroom.store.sqlite_rows import unavailable
from strongroom.store.sqlite_transaction import SqliteTransaction

if TYPE_CHECKING:
    from collections.abc import Callable

    from strongroom.store.contract import Transaction
    from strongroom.store.generation import Generation
    from strongroom.store.remembered import Parts
    from strongroom.store.sqlite_log import LogPace
    from strongroom.store.texts import Statements
    from strongroom.store.turn import Turn

T = TypeVar("T")

GROUP: Final = 256  # works in one commit, at most
GROUP_SECONDS: Final = 0.005  # and how long they may hold the loop before they are committed
PATIENCE: Final = 30.0  # seconds a write waits for another process
_RETRY: Final = 0.002  # seconds between tries while a foreign program (a backup, say) locks the database itself
_TRIES: Final = 3  # of a work with a claim: without the reserve, with some of it, with all of it
DISK_FULL: Final = "the disk is full: nothing is written until there is room again"


class _Entry:
    """One work, whom its outcome is for, and that outcome."""

    __slots__ = ("claim", "error", "future", "result", "tries", "work")

    def __init__(self, work: Callable[[Transaction], Any], future: asyncio.Future[Any], claim: Claim) -> None:
        self.work = work
        self.future = future
        self.claim = claim
        self.tries = 0
        self.result: Any = None
        self.error: BaseException | None = None


class GroupCommit:
    """All writes of one process. ``write`` and ``close`` belong to the event-loop thread."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        statements: Statements,
        turn: Turn,
        shared: tuple[Generation, Parts],
        log: LogPace,
        *,
        patience: float = PATIENCE,
        reserve: Reserve | None = None,
    ) -> None:
        self._connection = connection
        self._log = log
        self._reserve = reserve or Reserve()
        self._full = False  # the transaction under way met a full disk
        self._short = False  # some of the reserve was given up, when a transaction was last begun
        self._transaction = SqliteTransaction(connection, statements)
        self._execute = connection.cursor().execute
        self._turn = turn
        self._generation, self._parts = shared
        self._patience = patience
        self._waiting: deque[_Entry] = deque()
        self._idle = True
        self._closed = False
        self._drained: asyncio.Future[None] | None = None
        self._impatience: asyncio.TimerHandle | None = None
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self.commits = 0  # durable ones, for measuring
        #: Told in the commit's thread of each durable one: how many works it was of, and how many seconds it took to be so.
        self.watch: Callable[[int, float], None] = lambda _works, _seconds: None

    async def write(self, work: Callable[[Transaction], T], claim: Claim = Claim.NONE) -> T:
        """As ``Catalog.write``."""
        if self._closed:
            raise Unavailable("catalog: closed")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._waiting.append(_Entry(work, future, claim))
        if self._idle:
            self._idle = False
            self._next(loop)
        return cast("T", await future)

    @property
    def waiting(self) -> int:
        """Works that are not in a transaction yet."""
        return len(self._waiting)

    async def close(self) -> None:
        """Refuse new writes and finish those under way. Raises TimeoutError when another process does not give the turn back."""
        self._closed = True
        if not self._idle:
            self._drained = asyncio.get_running_loop().create_future()
            await asyncio.wait_for(self._drained, self._patience)
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join()
            self._thread = None

    # ---- on the loop

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin the next transaction if anything waits."""
        if not self._waiting:
            self._idle = True
            if self._drained is not None and not self._drained.done():
                self._drained.set_result(None)
            return
        try:
            ready = self._turn.try_take() and self._try_begin()
        except (OSError, sqlite3.Error) as error:
            self._refuse_waiting(loop, error)
            return
        if ready:
            self._run(loop)
        else:
            self._impatience = loop.call_later(self._patience, self._grow_impatient, loop)
            self._submit(lambda: self._wait_for_turn(loop))

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run a group of works inside the transaction that has begun."""
        transaction, waiting, group = self._transaction, self._waiting, list[_Entry]()
        transaction.start(self._generation.settle())
        end = time.perf_counter() + GROUP_SECONDS
        whole = True
        least = self._least_claim() if self._reserve.given or self._short else Claim.NONE
        while waiting and whole and len(group) < GROUP:
            entry = waiting.popleft()
            if entry.future.done():  # cancelled while it waited: nobody asks for it any more
                continue
            group.append(entry)
            if entry.claim < least:
                entry.error = Unavailable(DISK_FULL)
                continue
            whole = self._run_one(entry)
            if time.perf_counter() > end:
                break
        if not whole:
            self._end(loop, group, self._undo_all(None))
        elif transaction.wrote:
            self._submit(lambda: self._commit(loop, group))
        else:
            self._end(loop, group, self._commit_nothing())

    def _least_claim(self) -> Claim:
        """What a work must claim to be run while some of the reserve is given up.

        The file of the catalog shrinks slowly: where deletes have freed much within it, plain writes find room there, not on the disk.
        """
        given = self._reserve.given
        if self._short != bool(given):
            self._short = bool(given)
            self._log.short = self._short
            self._execute(f"PRAGMA wal_autocheckpoint={self._log.pages}").fetchall()
        if not given:
            return Claim.NONE
        if given & FREES:
            return Claim.FREE
        free: int = self._execute("PRAGMA freelist_count").fetchone()[0]
        size: int = self._execute("PRAGMA page_size").fetchone()[0]
        return Claim.NONE if free * size >= self._reserve.part_bytes else Claim.DELETE

    def _end(self, loop: asyncio.AbstractEventLoop, group: list[_Entry], failed: Unavailable | None) -> None:
        """Of a group without a commit. When the disk was full, room is made in the thread, where waiting for the disk is no harm."""
        if self._full:
            self._submit(lambda: self._make_room(loop, group, failed))
        else:
            self._finish(loop, group, failed)

    def _run_one(self, entry: _Entry) -> bool:
        """Whether the transaction still stands; the work's own failure undoes it alone."""
        transaction = self._transaction
        transaction.start_work()
        try:
            entry.result = entry.work(transaction)
            transaction.finish_work()
        except BaseException as error:  # noqa: BLE001 - it is raised where the write was asked for
            entry.error = unavailable(error) if isinstance(error, sqlite3.Error) else error
            if isinstance(error, Unavailable | sqlite3.Error):
                self._full = self._full or self._says_full(error)
            try:
                transaction.undo_work()
            except sqlite3.Error:
                return False
        return self._connection.in_transaction

    def _commit_nothing(self) -> Unavailable | None:
        try:
            self._execute("COMMIT")
            self._turn.give()
        except (sqlite3.Error, OSError) as error:
            return self._undo_all(error)
        return None

    def _undo_all(self, error: Exception | None) -> Unavailable:
        """After the database failed; the turn is given back. Works from either thread."""
        self._transaction.forget()
        try:
            if self._connection.in_transaction:
                self._execute("ROLLBACK")
        except sqlite3.Error as again:
            error = error or again
        try:
            self._turn.give()
        except OSError as again:
            error = error or again
        return Unavailable(f"not committed: {error or 'the database undid the transaction'}")

    def _finish(self, loop: asyncio.AbstractEventLoop, group: list[_Entry], failed: Unavailable | None) -> None:
        """Tell each work's outcome, then go on with what came meanwhile."""
        if self._full:
            self._full = False
            group = self._without_tried_again(group, failed)
        for entry in group:
            future = entry.future
            if future.done():
                continue
            error = entry.error
            if error is None and failed is not None:
                error = Unavailable(*failed.args)
            if error is None:
                future.set_result(entry.result)
            elif isinstance(error, StopIteration):  # a future cannot carry it
                future.set_exception(RuntimeError("a work raised StopIteration"))
            else:
                future.set_exception(error)
        loop.call_soon(self._next, loop)  # behind those just told: what they write at once still joins the group

    def _without_tried_again(self, group: list[_Entry], failed: Unavailable | None) -> list[_Entry]:
        """The works that have ended. Those with a claim that met a full disk go first once more: there may be room for them now."""
        ended: list[_Entry] = []
        again: list[_Entry] = []
        for entry in group:
            entry.tries += 1
            unwritten = isinstance(entry.error, Unavailable) or (entry.error is None and failed is not None)
            (again if unwritten and entry.claim and entry.tries < _TRIES else ended).append(entry)
        for entry in again:
            entry.error, entry.result = None, None
        self._waiting.extendleft(reversed(again))
        return ended

    def _refuse_waiting(self, loop: asyncio.AbstractEventLoop, error: Exception) -> None:
        """Nothing can be begun: what waits fails, and the next write tries again."""
        entries = list(self._waiting)
        self._waiting.clear()
        self._finish(loop, entries, self._undo_all(error))

    def _grow_impatient(self, loop: asyncio.AbstractEventLoop) -> None:
        """The turn did not come in time. The thread goes on waiting for it; the works do not."""
        entries = list(self._waiting)
        self._waiting.clear()
        for entry in entries:
            if not entry.future.done():
                entry.future.set_exception(Unavailable("catalog: another process did not let go of it in time"))
        self._impatience = loop.call_later(self._patience, self._grow_impatient, loop)

    def _turn_came(self, loop: asyncio.AbstractEventLoop, error: Exception | None) -> None:
        if self._impatience is not None:
            self._impatience.cancel()
            self._impatience = None
        if error is None:
            self._run(loop)
        else:
            self._refuse_waiting(loop, error)

    # ---- in the thread

    def _wait_for_turn(self, loop: asyncio.AbstractEventLoop) -> None:
        error: Exception | None = None
        try:
            if not self._connection.in_transaction:
                self._turn.take()
                end = time.monotonic() + self._patience
                while not self._try_begin():
                    if time.monotonic() > end:
                        error = Unavailable("a foreign program holds the database")
                        break
                    time.sleep(_RETRY)
        except Exception as failure:  # noqa: BLE001 - the loop must be told, whatever it is
            error = failure
        self._tell(loop, lambda: self._turn_came(loop, error))

    def _commit(self, loop: asyncio.AbstractEventLoop, group: list[_Entry]) -> None:
        failed: Unavailable | None = None
        began = time.perf_counter()
        changed, parts = self._transaction.raises_generation, self._transaction.changed_parts
        if changed:
            self._generation.begin()
        self._parts.begin(parts)
        try:
            self._execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - the loop must be told, whatever it is
            failed = Unavailable(f"catalog: {error}")
            failed.__cause__ = error
        self._parts.end(parts)
        if changed:
            self._generation.end()
        if failed is None:
            self.commits += 1
            self.watch(len(group), time.perf_counter() - began)
            if self._log.changed():
                with suppress(sqlite3.Error):
                    self._execute(f"PRAGMA wal_autocheckpoint={self._log.pages}").fetchall()
            with suppress(OSError):  # it has been committed all the same
                self._turn.give()
        else:
            self._full = self._full or self._says_full(failed)
            failed = self._undo_all(failed)
        if self._full:
            self._make_room(loop, group, failed)
        else:
            self._tell(loop, lambda: self._finish(loop, group, failed))

    def _make_room(self, loop: asyncio.AbstractEventLoop, group: list[_Entry], failed: Unavailable | None) -> None:
        """Give up what the works of a group may have of the reserve, and tell the loop."""
        try:
            self._reserve.give_for(max((entry.claim for entry in group), default=Claim.NONE))
        except OSError as error:
            failed = failed or Unavailable(f"reserve: {error.strerror}")
        self._tell(loop, lambda: self._finish(loop, group, failed))

    def _says_full(self, error: BaseException) -> bool:
        """Whether the database failed because the disk, or a quota, is full. It tells of the latter, and of its index, as of any fault."""
        cause = error.__cause__ if isinstance(error, Unavailable) else error
        code = getattr(cause, "sqlite_errorcode", 0)
        return code == sqlite3.SQLITE_FULL or (code & 0xFF == sqlite3.SQLITE_IOERR and self._reserve.no_room())

    def _try_begin(self) -> bool:
        try:
            self._execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
                return False
            raise
        return True

    def _submit(self, job: Callable[[], None]) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="catalog-commit", daemon=True)
            self._thread.start()
        self._jobs.put(job)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()

    @staticmethod
    def _tell(loop: asyncio.AbstractEventLoop, what: Callable[[], None]) -> None:
        try:
            loop.call_soon_threadsafe(what)
        except RuntimeError:  # the loop was closed meanwhile: nobody is left to be told
            return
