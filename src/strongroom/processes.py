"""Worker processes: started, replaced when they die, told of new certificates, and ended, by one parent that does nothing else.

Each worker has a listening socket of its own, all on the same port: the system spreads new connections over them. The sockets are
the parent's and outlive every worker, so connections in a socket's queue wait for the next worker there. Never knows what is served.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from types import FrameType
from typing import Final

import structlog

from strongroom.startup import StartError

TOLD_BY: Final = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})  # blocked in a worker until it unblocks them
_SOON: Final = 1.0  # seconds: a worker that ends sooner after its start, or before it serves, has failed to start
_AGAIN: Final = (
    0.1,
    0.5,
    1.0,
    2.0,
    5.0,
)  # seconds before a place is filled again whose workers failed to start, and after that none is
_LOG = structlog.get_logger("strongroom.server")

#: What a worker process does, given its listening socket, and the end of a pipe by which it tells that it serves.
Work = Callable[[socket.socket, Connection], None]


def listening_sockets(host: str, port: int, count: int) -> list[socket.socket]:
    """So many sockets bound to the same port; nobody listens yet. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound: list[socket.socket] = []
    for _ in range(count):
        each = socket.socket(family, socket.SOCK_STREAM)
        each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        each.bind((host, port))
        bound.append(each)
    return bound


@dataclass(slots=True)
class _Place:
    """Where one worker after the other works."""

    listening: socket.socket
    process: SpawnProcess | None = None
    told: Connection | None = None  # until it tells that it serves, or ends
    serves: bool = False
    since: float = 0.0  # when it was started
    due: float = 0.0  # when the next one is to be
    failures: int = 0  # to start, in a row


class Workers:
    """``serve`` returns when SIGTERM or SIGINT has come and every worker has ended."""

    def __init__(self, work: Work, listening: list[socket.socket], *, renew: Callable[[], None], stop_seconds: float) -> None:
        """``renew``: looks at the certificate's files before the workers do; raises StartError. ``stop_seconds``: from being told to
        end to being killed.
        """
        # Workers start from nothing but what they are given: a forked copy of a process with threads may wait for locks nobody holds.
        self._context = multiprocessing.get_context("spawn")
        self._work = work
        self._places = [_Place(each) for each in listening]
        self._renew = renew
        self._stop_seconds = stop_seconds
        self._stopping = False
        self._hung_up = False
        self._woken, self._wakes = os.pipe()
        os.set_blocking(self._wakes, False)

    def ask_to_renew(self) -> None:
        """From any thread, or a signal."""
        self._hung_up = True
        self._wake()

    def serve(self) -> None:
        """Raises SystemExit(1) when the workers of a place keep failing to start."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGHUP, self._hang_up)
        try:
            while not self._stopping:
                for place in self._places:
                    self._fill(place)
                if self._hung_up:
                    self._tell_to_renew()
                self._wait()
        finally:
            self._end()

    # ------------------------------------------------------------------------------------------------------------- signals

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True
        self._wake()

    def _hang_up(self, _number: int, _frame: FrameType | None) -> None:
        self.ask_to_renew()

    def _wake(self) -> None:
        with suppress(BlockingIOError):  # it is full of such
            os.write(self._wakes, b"\0")

    # ------------------------------------------------------------------------------------------------------------- workers

    def _fill(self, place: _Place) -> None:
        """Start a worker in a place that has none, or whose worker has died."""
        process = place.process
        if process is not None:
            if process.is_alive():
                return
            served = place.serves and time.monotonic() - place.since > _SOON
            place.failures = 0 if served else place.failures + 1
            if place.failures > len(_AGAIN):
                _LOG.error("workers keep failing to start", exit_code=process.exitcode)
                raise SystemExit(1)
            place.due = time.monotonic() + _AGAIN[max(0, place.failures - 1)]
            _LOG.error("a worker died; another takes its place", exit_code=process.exitcode)
            process.join()
            place.process = None
        if time.monotonic() < place.due:
            return
        if place.told is not None:
            place.told.close()
        place.serves = False
        place.told, tells = self._context.Pipe(duplex=False)
        place.process = self._context.Process(target=self._work, args=(place.listening, tells))
        # What comes before the worker has handlers waits for them: by default it would end the worker, whatever it is doing.
        signal.pthread_sigmask(signal.SIG_BLOCK, TOLD_BY)
        try:
            place.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, TOLD_BY)
        tells.close()
        place.since = time.monotonic()

    def _wait(self) -> None:
        """Until a worker dies or tells, a signal comes, or a place is to be filled."""
        places = self._places
        sentinels = [each.process.sentinel for each in places if each.process is not None]
        tellers = {each.told: each for each in places if each.told is not None}
        empty = [each.due - time.monotonic() for each in places if each.process is None]
        found = multiprocessing.connection.wait([self._woken, *sentinels, *tellers], max(0.0, min(empty)) if empty else None)
        if self._woken in found:
            os.read(self._woken, 1 << 10)
        for told, place in tellers.items():
            if told in found:
                with suppress(EOFError, OSError):
                    place.serves = bool(told.recv_bytes(1))
                told.close()
                place.told = None

    def _tell_to_renew(self) -> None:
        self._hung_up = False
        try:
            self._renew()
        except StartError as error:
            _LOG.error("the certificate was not read anew; the one in use stays", why=str(error))
            return
        self._signal(signal.SIGHUP)

    def _signal(self, number: int) -> None:
        for place in self._places:
            process = place.process
            if process is not None and process.pid is not None and process.is_alive():
                with suppress(ProcessLookupError):
                    os.kill(process.pid, number)

    def _end(self) -> None:
        self._signal(signal.SIGTERM)
        deadline = time.monotonic() + self._stop_seconds
        for place in self._places:
            if place.process is not None:
                place.process.join(max(0.0, deadline - time.monotonic()))
                if place.process.is_alive():
                    _LOG.warning("a worker was killed: its requests did not end in time", seconds=self._stop_seconds)
                    place.process.kill()
                    place.process.join()
            place.listening.close()


def watch(stamp: Callable[[], object], changed: Callable[[], None], seconds: float) -> None:
    """In a thread of its own, as long as the process lives: call ``changed`` when the stamp has changed and is at rest."""

    def work() -> None:
        known = stamp()
        while True:
            time.sleep(seconds)
            if stamp() == known:
                continue
            known = stamp()
            time.sleep(seconds)
            while (later := stamp()) != known:  # certificate and key are rarely replaced in one moment
                known = later
                time.sleep(seconds)
            changed()

    threading.Thread(target=work, daemon=True).start()


def tell_that_it_serves(tells: Connection) -> None:
    """In the worker, once."""
    with suppress(OSError):
        tells.send_bytes(b"\1")
    tells.close()
