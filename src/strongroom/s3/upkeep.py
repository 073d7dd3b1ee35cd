"""Upkeep: blobs that no row names any more are deleted, and those that never were named are swept.

Runs in one worker at a time; every step can be interrupted and done again. Never deletes what a row names, nor what a backup
under way may still have to copy.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

import structlog

from strongroom.s3 import backup_leases
from strongroom.s3.versions import milliseconds

if TYPE_CHECKING:
    from strongroom.s3.rooms import Rooms

GRACE: Final = 900.0  # seconds that a blob outlives its last row
DISCARD_EVERY: Final = 2.0  # seconds between looks at discarded blobs
SWEEP_EVERY: Final = 3600.0  # seconds between sweeps of unnamed blobs
UNNAMED_FOR_MS: Final = (
    24 * 3600 * 1000
)  # a blob is swept when no row has named it for this long: longer than any one request lives
BATCH: Final = 200
FAILED: Final = object()  # what a step that failed came to
SWEEP_TURN: Final = (
    0.005  # seconds that a sweep works before it rests: there may be millions of blobs, and others have work to do
)
SWEEP_PAUSE: Final = 9  # times as long it rests

_log = structlog.get_logger("strongroom.upkeep")


class Upkeep:
    """``chores`` are other rooms' periodic duties (destroying keys that are due), run at each sweep; ``soon`` are those that
    are looked after every few seconds, ``beside`` too, and they may take long. ``tell`` hears of each step's end: its name, and what
    it came to (``FAILED``: it failed).
    """

    def __init__(
        self,
        rooms: Rooms,
        chores: tuple[Callable[[], Awaitable[object]], ...] = (),
        *,
        soon: tuple[Callable[[], Awaitable[object]], ...] = (),
        beside: tuple[Callable[[], Awaitable[object]], ...] = (),
        grace: float = GRACE,
        tell: Callable[[str, object], None] = lambda _step, _result: None,
        ticks: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._rooms = rooms
        self._tell = tell
        self._chores = chores
        self._soon = soon
        self._beside = beside
        self._grace = grace
        self._ticks = ticks
        self._sleep = sleep
        self.counted = 0, 0  # blobs and their bytes, as the last sweep found them
        self._marks: deque[tuple[float, int]] = deque()  # (when, what was given up by then)

    async def delete_discarded(self, until: int | None = None) -> int:
        """Delete what the catalog gave up (before a mark), unless a backup is under way; returns how many blobs."""
        # The mark before the leases: a backup that comes later takes its snapshot later still, and that names none of these.
        until = await self._rooms.catalog.discarded_mark() if until is None else until
        if await backup_leases.held(self._rooms.catalog, milliseconds(self._rooms.clock())):
            return 0
        count = 0
        while blob_ids := await self._rooms.catalog.discarded(BATCH, until):
            for blob_id in blob_ids:
                await self._rooms.blobs.delete(blob_id)
            await self._rooms.catalog.forget(blob_ids)
            count += len(blob_ids)
        return count

    async def delete_due(self) -> int:
        """Delete what was given up ``grace`` seconds ago: downloads that began before are read to their end."""
        now = time.monotonic()
        self._marks.append((now, await self._rooms.catalog.discarded_mark()))
        due: int | None = None
        while self._marks and self._marks[0][0] <= now - self._grace:
            due = self._marks.popleft()[1]
        return 0 if due is None else await self.delete_discarded(due)

    async def sweep(self) -> int:
        """Delete committed blobs that no row names and that are older than any request; returns how many."""
        before = milliseconds(self._rooms.clock()) - UNNAMED_FOR_MS
        old: list[str] = []
        count = 0
        blobs = size = 0
        began = self._ticks()
        async for blob_id, committed_ms, sealed_size in self._rooms.blobs.list():
            blobs, size = blobs + 1, size + sealed_size
            if committed_ms < before:
                old.append(blob_id)
            if len(old) == BATCH:
                count += await self._delete_unkept(old)
                old = []
            if (spent := self._ticks() - began) >= SWEEP_TURN:
                await self._sleep(spent * SWEEP_PAUSE)
                began = self._ticks()
        self.counted = blobs, size
        return count + (await self._delete_unkept(old) if old else 0)

    async def _delete_unkept(self, blob_ids: list[str]) -> int:
        unkept = await self._rooms.catalog.unkept(blob_ids)
        for blob_id in unkept:
            await self._rooms.blobs.delete(blob_id)
        return len(unkept)

    async def run(self) -> None:
        """Until cancelled. A failing step is logged and tried again at its next turn. A sweep may take long, and nothing waits for it."""
        await asyncio.gather(
            self._every(DISCARD_EVERY, self.delete_due, *self._soon),
            self._every(DISCARD_EVERY, *self._beside),
            self._every(SWEEP_EVERY, self.sweep, *self._chores),
        )

    async def _every(self, seconds: float, *chores: Callable[[], Awaitable[object]]) -> None:
        while True:
            for chore in chores:
                await self._step(chore)
            await asyncio.sleep(seconds)

    async def _step(self, chore: Callable[[], Awaitable[object]]) -> None:
        name = getattr(chore, "__name__", "chore")
        try:
            result = await chore()
        except Exception as error:  # noqa: BLE001 - upkeep must outlive any one failure
            _log.warning("upkeep step failed", step=name, error=type(error).__name__)
            self._tell(name, FAILED)
        else:
            self._tell(name, result)
