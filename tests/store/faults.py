"""Faults of a disk, beneath the stores: used by tests alone.

``FaultyOs`` stands where ``store/files.py`` has ``os``; every call that touches the disk is counted by its kind, and the n-th of a kind
may fail, or take long. ``FaultyConnection`` does the same to the statements and commits of the catalog. Never knows who calls, or why.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

#: Calls of ``os`` by kind. A sync of a folder is a kind of its own, and a write may also be cut short.
_KINDS: Final = {
    "open": "open",
    "write": "write",
    "fsync": "fsync",
    "rename": "rename",
    "mkdir": "mkdir",
    "unlink": "unlink",
    "pread": "read",
    "preadv": "read",
    "stat": "stat",
}


_PATIENCE: Final = 30.0  # seconds until a test has forgotten to go on


@dataclass
class Plan:
    """Which call fails: the ``number``-th (from 0) of a ``kind``, and if ``lasting`` all later ones of any kind that needs space."""

    kind: str = ""
    number: int = 0
    error: int = 0
    lasting: bool = False
    always: bool = False  # every call of that kind fails, from the ``number``-th on
    stalls: int = 0  # so many calls of that kind do not fail, but stand still until ``released``
    stalled: int = 0
    released: threading.Event = field(default_factory=threading.Event, repr=False)
    counts: Counter[str] = field(default_factory=Counter[str])
    struck: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def happens(self, kind: str) -> bool:
        """Counts the call; whether it fails."""
        number = self.counts[kind]
        self.counts[kind] += 1
        if self.kind == kind and self.stalls:
            self._wait()
            return False
        if self.kind == kind and (number == self.number or (self.always and number > self.number)):
            self.struck = True
            return True
        return self.lasting and self.struck and kind not in {"read", "stat", "unlink"}

    def _wait(self) -> None:
        with self._lock:
            stands = self.stalled < self.stalls
            self.stalled += stands
        if stands:
            assert self.released.wait(_PATIENCE)


def _read_short(real: Any, descriptor: int, wanted: Any, offset: int, _flags: int = 0) -> Any:
    """Half of what is wanted: a number of bytes (``pread``), or one buffer to be filled (``preadv``)."""
    if isinstance(wanted, int):
        return real(descriptor, max(1, wanted // 2), offset)
    (room,) = wanted
    with room[: max(1, len(room) // 2)] as half:
        return real(descriptor, [half], offset)


class FaultyOs:
    """The module ``os`` with a plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        kind = _KINDS.get(name)
        if kind is None:
            return real

        def call(*args: Any, **kwargs: Any) -> Any:
            what = kind
            if name == "preadv" and args[3:] == (os.RWF_NOWAIT,):
                raise BlockingIOError(errno.EAGAIN, "")  # this disk is not read without waiting for it
            if kind == "fsync" and stat.S_ISDIR(os.fstat(args[0]).st_mode):
                what = "folder sync"
            if self.plan.happens(what):
                raise OSError(self.plan.error, os.strerror(self.plan.error))
            if kind == "write" and self.plan.happens("short write"):
                return real(args[0], args[1][: max(1, len(args[1]) // 2)])
            if kind == "read" and self.plan.happens("short read"):
                return _read_short(real, *args)
            if kind == "read" and self.plan.happens("nothing read"):
                return b"" if name == "pread" else 0
            return real(*args, **kwargs)

        return call


_CHANGES: Final = {"INSERT", "UPDATE", "DELETE", "REPLACE"}


class _FaultyCursor(sqlite3.Cursor):
    def execute(self, sql: str, *given: Any) -> Any:
        plan = self.connection.plan  # type: ignore[attr-defined]
        word = sql.split(None, 1)[0].upper()
        kind = "commit" if word == "COMMIT" else "statement" if word in _CHANGES else "select" if word == "SELECT" else ""
        if kind and plan is not None and plan.happens(kind):
            if kind == "commit":
                super().execute("ROLLBACK")
            full = plan.error == errno.ENOSPC
            error = sqlite3.OperationalError("database or disk is full" if full else "disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL if full else sqlite3.SQLITE_IOERR
            raise error
        return super().execute(sql, *given)


class FaultyConnection(sqlite3.Connection):
    """A real connection; ``plan``: set it once the catalog is open."""

    plan: Plan | None = None

    def cursor(self, factory: type[sqlite3.Cursor] = _FaultyCursor) -> Any:  # type: ignore[override]
        return super().cursor(factory)
