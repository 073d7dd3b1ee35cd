"""Whose long body moves next, in one worker: parts of uploads and downloads take turns, caller by caller.

A part is work for the loop, for threads and for the disk. Whoever has many uploads would have all of these, and requests of others
would wait behind each part. So few parts move at once, callers come round evenly however many bodies each has, and while
others are served, long bodies rest after each slice of work: a quarter of the time is theirs, or more where the others do not use
the rest. Who waits is not read from, so that the connection itself holds the client up. While nobody else is there, nobody
rests. Never knows what moves.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

MOVING: Final = 8  # parts at once, while nobody else is served
SLICE: Final = 0.004  # seconds of work, after which it is looked whether others were served
REST: Final = 3.0  # how many times as long as a slice was it rests at most
WORTH: Final = 0.02  # seconds of rest for each request of others that was answered during a slice and the rest before it
COMPANY: Final = 0.25  # seconds without such a request, until nobody else is there
MIB_SECONDS: Final = 0.003  # what a MiB counts at least: threads still work on it when its turn is over


class Mover:
    """One caller, as the turns see it."""

    __slots__ = ("line", "mark", "name", "short")

    def __init__(self, name: str) -> None:
        self.name = name
        self.short = 0  # its requests without a long body that were answered
        self.mark = 0  # of them, those that were there at the last look
        self.line: deque[asyncio.Future[None]] = deque()  # its parts that wait


class Turns:
    """One a worker. ``short``: as that of a ``Mover``, of all callers together; whoever ends such a request adds to both."""

    __slots__ = ("_company_until", "_lines", "_mark", "_resting", "_worked", "moving", "short")

    def __init__(self) -> None:
        self.short = 0
        self.moving = 0
        self._mark = 0
        self._worked = 0.0  # seconds, in this slice
        self._company_until = 0.0
        self._resting: asyncio.TimerHandle | None = None
        self._lines: dict[str, Mover] = {}  # who has parts that wait, the next one first

    @property
    def waiting(self) -> int:
        return sum(len(each.line) for each in self._lines.values())

    async def take(self, mover: Mover) -> float:
        """Wait for a turn; tells when it began, for ``give``."""
        loop = asyncio.get_running_loop()
        if not self._lines and self._has_room(loop):
            self.moving += 1
            return loop.time()
        turn: asyncio.Future[None] = loop.create_future()
        mover.line.append(turn)
        self._lines.setdefault(mover.name, mover)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it had come at that very moment
                self.moving -= 1
                self._next(loop)
            raise
        return loop.time()

    def give(self, mover: Mover, began: float, size: int) -> None:
        """A part of ``size`` bytes, whose turn began then, has moved."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        self.moving -= 1
        self._worked += max(now - began, size * (MIB_SECONDS / (1 << 20)))
        if self._worked >= SLICE:
            self._end_slice(loop, mover, now)
        if self._lines:
            self._next(loop)

    def _end_slice(self, loop: asyncio.AbstractEventLoop, mover: Mover, now: float) -> None:
        others = self.short - self._mark - (mover.short - mover.mark)
        self._mark, mover.mark = self.short, mover.short
        worked, self._worked = self._worked, 0.0
        if others > 0:
            self._company_until = now + COMPANY
            if self._resting is None:
                self._resting = loop.call_later(min(worked * REST, others * WORTH), self._rested, loop)

    def _rested(self, loop: asyncio.AbstractEventLoop) -> None:
        self._resting = None
        self._next(loop)

    def _has_room(self, loop: asyncio.AbstractEventLoop) -> bool:
        return self._resting is None and self.moving < (1 if loop.time() < self._company_until else MOVING)

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give turns to those that wait, as far as there is room."""
        while self._lines and self._has_room(loop):
            name, mover = next(iter(self._lines.items()))
            del self._lines[name]
            while mover.line:
                turn = mover.line.popleft()
                if not turn.done():
                    turn.set_result(None)
                    self.moving += 1
                    break
            if mover.line:
                self._lines[name] = mover  # behind the others


class Turn:
    """The turns of one long body, one after the other. ``give`` twice is as good as once."""

    __slots__ = ("_began", "_mover", "_turns")

    def __init__(self, turns: Turns, mover: Mover) -> None:
        self._turns = turns
        self._mover = mover
        self._began: float | None = None

    async def take(self) -> None:
        self._began = await self._turns.take(self._mover)

    def give(self, size: int) -> None:
        began, self._began = self._began, None
        if began is not None:
            self._turns.give(self._mover, began, size)
