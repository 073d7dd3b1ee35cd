"""Watching a client that sends its body too slowly, or not at all. Never knows what is sent.

One timer a body, not one a piece: waiting for the client is timed, the time the server takes for a piece is not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Final, TypeVar

from strongroom.api.errors import ApiError

T = TypeVar("T")
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
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._since: float | None = None  # since when the client is waited for
        self._waited = 0.0
        self._received = 0
        self._fired = False
        self._timer = self._loop.call_later(pace.idle, self._look)

    async def wait(self, arriving: Awaitable[T], received: int) -> T:
        """The next piece, when ``received`` bytes are here already."""
        self._received = received
        self._since = self._loop.time()
        try:
            return await arriving
        except asyncio.CancelledError:
            if self._fired and (self._task is None or self._task.uncancel() == 0):
                raise ApiError("RequestTimeout", _TEXT, headers={"connection": "close"}) from None
            raise
        finally:
            self._waited += self._loop.time() - self._since
            self._since = None

    def end(self) -> None:
        self._timer.cancel()

    def _look(self) -> None:
        rest = self._pace.idle
        if self._since is not None:
            now = self._loop.time() - self._since
            allowed = self._pace.idle + (self._received / self._pace.least if self._pace.least else float("inf"))
            rest = min(self._pace.idle - now, allowed - self._waited - now)
            if rest <= 0:
                self._fired = True
                if self._task is not None:
                    self._task.cancel()
                return
        self._timer = self._loop.call_later(max(rest, 0.01), self._look)
