"""Whose turn it is to write, among all processes on a data folder: a fair lock made of two ``flock`` files.

Never knows what is written. Who waits holds ``next``, so the one who gives the turn back and wants it again queues behind; without
that, whoever just let go would win every time. A process that dies lets go of both.
"""

from __future__ import annotations

import fcntl
import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_NOW = fcntl.LOCK_EX | fcntl.LOCK_NB


class Turn:
    """Used by one thread at a time; another thread may continue where one left off."""

    def __init__(self, folder: Path, name: str) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self._next = os.open(folder / f"{name}.next", flags, 0o600)
        try:
            self._turn = os.open(folder / f"{name}.turn", flags, 0o600)
        except OSError:
            os.close(self._next)
            raise
        self._is_next = False
        self._is_mine = False

    def try_take(self) -> bool:
        """Take the turn if nobody has it or waits for it; else stay as near to it as could be had (continue with ``take``)."""
        if self._is_mine:
            return True
        try:
            if not self._is_next:
                fcntl.flock(self._next, _NOW)
                self._is_next = True
            fcntl.flock(self._turn, _NOW)
        except BlockingIOError:
            return False
        self._is_mine = True
        self._leave_queue()
        return True

    def take(self) -> None:
        """Wait for the turn, if it is not here already; blocks the calling thread."""
        if self._is_mine:  # queueing again would wait for ourselves
            return
        if not self._is_next:
            fcntl.flock(self._next, fcntl.LOCK_EX)
            self._is_next = True
        fcntl.flock(self._turn, fcntl.LOCK_EX)
        self._is_mine = True
        self._leave_queue()

    def take_within(self, seconds: float) -> bool:
        """Wait for the turn, but not for ever; blocks the calling thread."""
        end = time.monotonic() + seconds
        while not self.try_take():
            if time.monotonic() >= end:
                self._leave_queue()
                return False
            time.sleep(0.002)
        return True

    def give(self) -> None:
        """Give the turn back, or the place in the queue."""
        self._is_mine = False
        fcntl.flock(self._turn, fcntl.LOCK_UN)
        self._leave_queue()

    def close(self) -> None:
        os.close(self._next)
        os.close(self._turn)

    def _leave_queue(self) -> None:
        if self._is_next:
            fcntl.flock(self._next, fcntl.LOCK_UN)
            self._is_next = False
