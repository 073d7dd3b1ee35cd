"""A data folder opened for one command, whether a server runs on it or not, and the signal that asks a long command to stop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from strongroom.cli.settings import configured

if TYPE_CHECKING:
    from strongroom.startup.opening import LowerRooms

T = TypeVar("T")


def with_rooms(
    data: Path | None, config: Path | None, work: Callable[[LowerRooms], Awaitable[T]], *, with_faults: bool = False
) -> T:
    """Raises ConfigError, StartError, StoreError."""
    chosen = configured(config, data_dir=data)
    from strongroom.startup.opening import LowerRooms

    async def run() -> T:
        async with LowerRooms.opened(chosen, with_faults=with_faults) as lower:
            return await work(lower)

    return asyncio.run(run())


def heed_interrupt() -> asyncio.Event:
    """Set by Ctrl-C or SIGTERM, which then end nothing by themselves: the command stops where it may be taken up again."""
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked.set)
    return asked
