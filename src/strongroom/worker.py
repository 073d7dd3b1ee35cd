"""One worker process: its house and its chores, its listener, and how it ends. Never knows what an operation does."""

from __future__ import annotations

import asyncio
import fcntl
import gc
import multiprocessing
import multiprocessing.connection
import os
import signal
import socket
import ssl
import sys
import threading
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import Final

import structlog
import uvloop

from strongroom.config import Config
from strongroom.edge.listener import Listener
from strongroom.edge.pages import Handle
from strongroom.house import House, build
from strongroom.kms.data_keys import DataKeys
from strongroom.logs import configure_log
from strongroom.numbers import FLUSH_SECONDS, Numbers
from strongroom.observing import count_errors
from strongroom.processes import TOLD_BY, tell_that_it_serves
from strongroom.startup.tls import Certificate
from strongroom.store.reserve import Reserve

_UPKEEP_LOCK: Final = "upkeep.lock"
_UPKEEP_AGAIN: Final = 15.0  # seconds after which a worker asks anew whether upkeep is its duty
_SWITCH_SECONDS: Final = 0.0005  # how long a digest thread may keep the loop waiting for the interpreter
_RESERVE_AGAIN: Final = 1.0  # seconds
_FORGET_AGAIN: Final = 1.0  # seconds
_LOG = structlog.get_logger("strongroom.server")


class Worker:
    """The life of one worker process: opened and closed around its serving, with upkeep if it is this worker's turn."""

    def __init__(self, config: Config, root_key: bytes, numbers: Numbers) -> None:
        self._config = config
        self._root_key = root_key
        self._numbers = numbers
        self._house: House | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> Handle:
        house = self._house = await build(self._config, self._root_key, self._numbers)
        chores = [self._keep_up(house), self._show_numbers(house), _forget_keys(house.keys), _keep_reserve(house.reserve)]
        if house.access_log is not None:
            chores.append(house.access_log.run())
        self._tasks = [asyncio.create_task(chore) for chore in chores]
        return house.handle

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        for result in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(result, Exception):  # the rooms are closed in order all the same
                _LOG.error("a chore had ended", exc_info=result)
        with suppress(OSError):
            self._numbers.flush()  # others go on and show it
        if self._house is not None:
            await self._house.close()

    async def _show_numbers(self, house: House) -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(FLUSH_SECONDS)
            house.loop_delay.slept(time.monotonic() - began, FLUSH_SECONDS)
            with suppress(OSError):  # a full disk must not end the counting
                self._numbers.flush()

    async def _keep_up(self, house: House) -> None:
        """One worker at a time does upkeep, carries out lifecycles and scrubs: who has the lock, until its process ends."""
        with (self._config.data_dir / _UPKEEP_LOCK).open("wb") as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    await asyncio.sleep(_UPKEEP_AGAIN)
                else:
                    break
            await asyncio.gather(house.upkeep.run(), house.lifecycle.run(), house.scrub.run())


async def _forget_keys(keys: DataKeys) -> None:
    """Open keys leave memory when their time is over, also while nobody asks for them."""
    while True:
        await asyncio.sleep(_FORGET_AGAIN)
        try:
            await keys.forget_shared()
        except Exception as error:  # noqa: BLE001 - must outlive any one failure
            _LOG.warning("shared keys stay in memory", exc_info=error)


async def _keep_reserve(reserve: Reserve) -> None:
    """What was given up on a full disk is made again once there is room; then plain writes are taken again."""
    given = 0
    while True:
        await asyncio.sleep(_RESERVE_AGAIN)
        if reserve.given:
            with suppress(OSError):
                await asyncio.to_thread(reserve.restore)
        if reserve.given and not given:
            _LOG.error("the disk is full: deletes and reads go on in the room that was kept for them, plain writes are refused")
        elif given and not reserve.given:
            _LOG.info("the disk has room again: writes are taken")
        given = reserve.given


def work(
    config: Config,
    root_key: bytes,
    numbers_folder: Path,
    certificate: Certificate | None,
    listening: socket.socket,
    tells: Connection,
) -> None:
    """The whole life of a worker process, until it is told to end by SIGTERM or SIGINT. SIGHUP: read the certificate anew."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end_at_once)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, TOLD_BY - {signal.SIGHUP})
    configure_log(config.log_level)
    sys.setswitchinterval(_SWITCH_SECONDS)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    numbers = Numbers(numbers_folder)
    count_errors(numbers)
    uvloop.run(_serve(Worker(config, root_key, numbers), config, certificate, listening, tells))


async def _serve(
    worker: Worker, config: Config, certificate: Certificate | None, listening: socket.socket, tells: Connection
) -> None:
    loop, told = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)  # also while the rooms are opened: what was begun is ended in order
    handle = await worker.open()
    gc.collect()
    gc.freeze()  # what is there now (AWS's models, tens of thousands of objects) stays: it need not be looked at again and again
    listener = Listener(
        listening, handle, rest=config.header_seconds, connections=config.connections, refusals=config.refusals_in_a_row
    )
    await listener.listen(None if certificate is None else certificate.context())
    renewing: set[asyncio.Task[None]] = set()

    def renew() -> None:
        if certificate is not None:
            task = asyncio.create_task(_renew(listener, certificate))
            renewing.add(task)
            task.add_done_callback(renewing.discard)

    loop.add_signal_handler(signal.SIGHUP, renew)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, TOLD_BY)
    tell_that_it_serves(tells)
    await told.wait()
    await listener.stop()
    await worker.close()


async def _renew(listener: Listener, certificate: Certificate) -> None:
    try:
        await listener.listen(certificate.context())
    except (OSError, ssl.SSLError) as error:  # changed again since the parent looked
        _LOG.error("the certificate was not read anew; the one in use stays", why=str(error))


def _end_at_once(_number: int, _frame: FrameType | None) -> None:
    """Nothing has been opened yet."""
    os._exit(0)


def _end_with(sentinel: int) -> None:
    """A worker never outlives its parent, which holds the lock on the data folder."""
    multiprocessing.connection.wait([sentinel])
    os._exit(1)
