"""Watching a client that sends its body too slowly, or not at all. Never knows what is sent.

Waiting for the client is timed, the time the server takes for a piece is not. All bodies of a worker are looked at by one timer: to
start and stop one for each of many small bodies costs more than to read them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Final, TypeVar

from strongroom.api.errors import ApiError

T = TypeVar("T")
_EVERY: Final = 1.0  # seconds between two looks at all bodies that are waited for, at most
_FINE: Final = 8  # looks within the time that a client may be idle, at least
_TEXT: Final = "Your socket connection to the server was not read from or written to within the timeout period. Idle connections will be closed."


@dataclass(frozen=True, slots=True)
class Pace:
    """What is expected of a client that sends a body."""

    idle: float = 30.0  # seconds without a byte
    least: float = 1024.0  # bytes a second over the whole body, after the first ``idle`` seconds


class Stall:
    """Use in the task that reads: ``wait`` for each piece, ``end`` after the last. Raises ApiError RequestTimeout."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._watch = _watch_of(asyncio.get_running_loop())
        self._time = self._watch.loop.time
        self._task = asyncio.current_task()
        self._since: float | None = None  # since when the client is waited for
        self._waited = 0.0
        self._received = 0
        self._fired = False
        self._watch.add(self, pace.idle)

    async def wait(self, arriving: Awaitable[T], received: int) -> T:
        """The next piece, when ``received`` bytes are here already."""
        self._received = received
        self._since = self._time()
        try:
            return await arriving
        except asyncio.CancelledError:
            if self._fired and (self._task is None or self._task.uncancel() == 0):
                raise ApiError("RequestTimeout", _TEXT, headers={"connection": "close"}) from None
            raise
        finally:
            self._waited += self._time() - self._since
            self._since = None

    def end(self) -> None:
        self._watch.stalls.discard(self)

    def look(self, now: float) -> None:
        """Is the client too slow, at that time of the loop?"""
        if self._since is None or self._fired:
            return
        since = now - self._since
        allowed = self._pace.idle + (self._received / self._pace.least if self._pace.least else float("inf"))
        if min(self._pace.idle - since, allowed - self._waited - since) <= 0:
            self._fired = True
            if self._task is not None:
                self._task.cancel()


class _Watch:
    """The bodies that are read on one loop, and its timer, which runs as long as there are any."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.stalls: set[Stall] = set()
        self._every = _EVERY
        self._timer: asyncio.TimerHandle | None = None

    def add(self, stall: Stall, idle: float) -> None:
        self.stalls.add(stall)
        if self._timer is None or idle < self._every * _FINE:
            if self._timer is not None:
                self._timer.cancel()
            self._every = min(self._every, idle / _FINE)
            self._timer = self.loop.call_later(self._every, self._look)

    def _look(self) -> None:
        now = self.loop.time()
        for stall in list(self.stalls):
            stall.look(now)
        self._timer = self.loop.call_later(self._every, self._look) if self.stalls else None


_watches: list[_Watch] = []  # of the loop that runs


def _watch_of(loop: asyncio.AbstractEventLoop) -> _Watch:
    if not _watches or _watches[0].loop is not loop:
        _watches[:] = [_Watch(loop)]
    return _watches[0]
