"""Whether the store can write, as ``/-/ready`` and ``/-/metrics`` tell it: found out by writing, when somebody asks.

An answer holds for a second, so however many ask, the store is written to at most once a second by each worker. Never knows what is
written, or why it could not be: the log has that.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final, Protocol

import structlog

from strongroom.store.contract import StoreError

_HOLDS: Final = 1.0  # seconds
PATIENCE: Final = 5.0  # seconds after which a store that has not written is one that cannot
_LOG = structlog.get_logger("strongroom.store")


class Provable(Protocol):
    """A store that can show that it writes."""

    async def prove_writing(self) -> None:
        """Raises StoreError."""
        ...


class Readiness:
    """Of one worker; used from its event loop."""

    def __init__(
        self,
        *stores: Provable,
        clock: Callable[[], float] = time.monotonic,
        patience: float = PATIENCE,
    ) -> None:
        self._stores = stores
        self._clock = clock
        self._patience = patience
        self._asked = asyncio.Lock()
        self._at: float | None = None
        self._writable = True

    async def writable(self) -> bool:
        async with self._asked:
            if self._at is None or self._clock() - self._at >= _HOLDS:
                found = await self._prove()
                self._at = self._clock()
                if found is None and not self._writable:
                    _LOG.info("the store can write again")
                elif found is not None and self._writable:
                    _LOG.error("the store cannot write", exc_info=found)
                self._writable = found is None
            return self._writable

    async def _prove(self) -> Exception | None:
        try:
            async with asyncio.timeout(self._patience):
                for store in self._stores:
                    await store.prove_writing()
        except (StoreError, TimeoutError) as error:
            return error
        return None
