"""Room on the disk: what the catalog's file and its log take, and how it comes back, little by little and beside the writers.

The log is copied back by whoever commits, some 2,000 pages at a time. Behind a reader that takes long (a backup) it cannot be, and
grows; then committers leave it alone, or the first after that reader would copy all of it while everybody waits, and it is drained
here: beside the writers, and in turn with them only for its last pages. Pages that deletes have freed stay in the file for the next
writes; beyond a reserve they are given back from its end. Runs in one worker at a time. Never knows a row.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from strongroom.store.contract import Unavailable
from strongroom.store.sqlite import PAGE_SIZE
from strongroom.store.sqlite_log import CHECKPOINT, LOG_MOST, log_size
from strongroom.store.sqlite_rows import unavailable
from strongroom.store.turn import Turn

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from strongroom.store.contract import Space
    from strongroom.store.sqlite import SqliteCatalog

FREE_KEPT: Final = 16 << 20  # bytes within the file that wait for the next writes
FREE_SHARE: Final = 16  # or a sixteenth of the file, if that is more
STEP_SECONDS: Final = 0.002  # the event loop and all writers wait for one step, so it is made as long as this
STEP_PAUSE: Final = 10  # times as long nothing is given back
_PAUSE_LEAST: Final = 0.02
_READERS: Final = 0.05  # seconds in which readers end that are not long ones
_TURN_WITHIN: Final = 5.0


@dataclass(frozen=True, slots=True)
class Drained:
    """What one try at draining the log came to."""

    pages: int  # in the log
    copied: int  # of them, back into the file
    emptied: bool


class _Step:
    """So many pages at most, and as long as a step may last."""

    def __init__(self, clock: Callable[[], float], pages: int) -> None:
        self._clock = clock
        self._pages = pages
        self._began: float | None = None
        self.seconds = 0.0

    def going_on(self) -> bool:
        self._pages -= 1
        now = self._clock()
        self._began = now if self._began is None else self._began
        self.seconds = now - self._began
        return self._pages > 0 and self.seconds < STEP_SECONDS


class SpaceKeeping:
    """``kept``: bytes that stay free; ``most``: bytes of log that are no concern. Used from the event loop; all methods raise Unavailable."""

    def __init__(
        self,
        catalog: SqliteCatalog,
        path: Path,
        *,
        kept: int = FREE_KEPT,
        most: int = LOG_MOST,
        clock: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """``path``: the catalog's file."""
        self._catalog = catalog
        self._path = path
        self._kept = kept
        self._most = most
        self._clock = clock
        self._sleep = sleep

    # ---- pages

    def excess(self, space: Space) -> int:
        """Bytes to be given back."""
        return space.free - max(self._kept, space.size // FREE_SHARE)

    async def give_back(self) -> int:
        """Cut free pages off the file, step by step, until only the reserve is left; returns how many."""
        given = 0
        while (excess := self.excess(await self._catalog.space())) > 0:
            step = _Step(self._clock, max(1, excess // PAGE_SIZE))
            pages = await self._catalog.give_back(step.going_on)
            if not pages:  # a file of an earlier program, which cannot be cut: see ``strongroom compact``
                break
            given += pages
            await self._sleep(max(_PAUSE_LEAST, step.seconds * STEP_PAUSE))
        if given:
            await asyncio.to_thread(self._copy_back)  # only then the file is shorter
        return given

    # ---- the log

    async def drain(self) -> Drained | None:
        """Copy back a log that has grown too long, and cut it off; None when it is no concern."""
        if log_size(self._path) <= self._most:
            return None
        return await asyncio.to_thread(self._drain)

    def _copy_back(self) -> None:
        try:
            with closing(sqlite3.connect(self._path, timeout=_READERS, isolation_level=None)) as connection:
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        except sqlite3.Error as error:
            raise unavailable(error) from error

    def _drain(self) -> Drained:
        try:
            with closing(sqlite3.connect(self._path, timeout=_READERS, isolation_level=None)) as connection:
                copied = -1
                while True:
                    _, pages, done = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                    if pages - done < CHECKPOINT or done == copied:
                        break
                    copied = done
                if pages - done >= CHECKPOINT:  # a reader still needs them
                    return Drained(pages, done, emptied=False)
                return self._cut_off(connection)
        except sqlite3.Error as error:
            raise unavailable(error) from error

    def _cut_off(self, connection: sqlite3.Connection) -> Drained:
        """In turn: writers wait as long as when one of them copies back the usual number of pages."""
        with closing(Turn(self._path.parent, "catalog")) as turn:
            if not turn.take_within(_TURN_WITHIN):
                raise Unavailable("catalog: another process did not let go of it in time")
            try:
                busy, pages, done = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            finally:
                turn.give()
        return Drained(pages, done, emptied=not busy)


def write_anew(path: Path, patience: float = 30.0) -> None:
    """The file without free pages, and such that it can be cut from then on. Waits for the disk, long; all writers wait meanwhile.

    Raises Unavailable.
    """
    os.environ["SQLITE_TMPDIR"] = str(path.parent)  # what it writes on the way holds rows: not in other folders
    with closing(Turn(path.parent, "catalog")) as turn:
        if not turn.take_within(patience):
            raise Unavailable("catalog: another process did not let go of it in time")
        try:
            with closing(sqlite3.connect(path, timeout=patience, isolation_level=None)) as connection:
                connection.execute("PRAGMA synchronous=FULL")
                connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
                connection.execute("VACUUM")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except sqlite3.Error as error:
            raise unavailable(error) from error
        finally:
            turn.give()
