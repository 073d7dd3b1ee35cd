"""One worker process: what granian calls in it, its house and its chores, and how it ends. Never knows what an operation does."""

from __future__ import annotations

import asyncio
import fcntl
import gc
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import Any, Final, cast

import structlog

from strongroom.config import Config
from strongroom.edge.pages import Handle
from strongroom.edge.rsgi import RsgiApp
from strongroom.house import House, build
from strongroom.kms.data_keys import DataKeys
from strongroom.logs import configure_log
from strongroom.numbers import FLUSH_SECONDS, Numbers
from strongroom.observing import count_errors
from strongroom.processes import tell_that_it_serves
from strongroom.store.contract import StoreError
from strongroom.store.reserve import Reserve

_UPKEEP_LOCK: Final = "upkeep.lock"
_UPKEEP_AGAIN: Final = 15.0  # seconds after which a worker asks anew whether upkeep is its duty
_SWITCH_SECONDS: Final = 0.0005  # how long a digest thread may keep the loop waiting for the interpreter
_RESERVE_AGAIN: Final = 1.0  # seconds
_FORGET_AGAIN: Final = 1.0  # seconds
_SERVES_AFTER: Final = 0.05
_LOG = structlog.get_logger("strongroom.server")


class Worker:
    """The life of one worker process: opened and closed by the face, with upkeep if it is this worker's turn."""

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
            with suppress(asyncio.CancelledError):
                await task
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
        except StoreError as error:
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


def load_worker(config: Config, root_key: bytes, numbers_folder: Path, tells: Connection) -> Callable[..., Any]:
    """What granian calls in each new worker process. It takes an object with ``__rsgi__`` where it says callable.

    The rooms are opened here and not in ``__rsgi_init__``: by then granian has taken the signals over, and one that comes
    before it serves would be lost.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end_at_once)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # its parent's affair
    configure_log(config.log_level)
    sys.setswitchinterval(_SWITCH_SECONDS)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    loop = asyncio.get_event_loop()  # granian has made it
    numbers = Numbers(numbers_folder)
    count_errors(numbers)
    worker = Worker(config, root_key, numbers)
    handle = loop.run_until_complete(worker.open())
    gc.collect()
    gc.freeze()  # what is there now (AWS's models, tens of thousands of objects) stays: it need not be looked at again and again
    _heed_one_signal(loop)

    async def opened() -> Handle:
        # Granian listens between the end of this and the next turn of the loop. Should it be a moment later, nothing is lost:
        # the socket is there already.
        loop.call_later(_SERVES_AFTER, tell_that_it_serves, tells)
        return handle

    return cast("Callable[..., Any]", RsgiApp(opened, worker.close, refusals=config.refusals_in_a_row))


def _heed_one_signal(loop: asyncio.AbstractEventLoop) -> None:
    """The first signal stops a worker and later ones are nothing to it: told to stop twice, granian waits for itself forever.

    Twice is the rule: Ctrl-C and service managers signal every process, and then the parent signals its workers.
    """
    add = loop.add_signal_handler
    told = False

    def add_once(number: int, callback: Callable[..., object], *args: object) -> None:
        def once() -> None:
            nonlocal told
            if not told:
                told = True
                callback(*args)

        add(number, once)

    setattr(loop, "add_signal_handler", add_once)  # noqa: B010 - a checker would not let a method be replaced


def _end_at_once(_number: int, _frame: FrameType | None) -> None:
    """Nothing is served yet."""
    os._exit(0)


def _end_with(sentinel: int) -> None:
    """A worker never outlives its parent, which holds the lock on the data folder."""
    multiprocessing.connection.wait([sentinel])
    os._exit(1)
