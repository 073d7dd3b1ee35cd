"""Leases of backups: while one is held, upkeep deletes no blob that was given up, since a snapshot of the catalog may name it.

A lease is a document with a time until which it holds, so that a backup that died keeps nothing for long. Never knows what a
backup does under it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import structlog

from strongroom.store.contract import Claim, StoreError

if TYPE_CHECKING:
    from strongroom.store.contract import Catalog, Transaction

KIND: Final = "backup-lease"
LEASE_MS: Final = 900_000  # what a backup that died still holds back is deleted so much later
RENEWED: Final = 60.0  # seconds between renewals
_SCOPE: Final = "backup/"
_FAR_MS: Final = 2 * LEASE_MS  # a lease that ends later was made under a wrong clock, and counts for nothing
_MOST: Final = 1000  # leases looked at
_log: Final = structlog.get_logger("strongroom.backup")


def _holds(value: Any, now_ms: int) -> bool:
    try:
        until = value["until_ms"]
    except (TypeError, KeyError):
        return False
    return isinstance(until, int) and now_ms < until <= now_ms + _FAR_MS


async def held(catalog: Catalog, now_ms: int) -> bool:
    """Whether any backup holds a lease."""
    return any(_holds(value, now_ms) for _, value in await catalog.documents(KIND, prefix=_SCOPE, limit=_MOST))


class Lease:
    """Made by ``leased``. ``holds`` may be asked from any thread."""

    def __init__(self, catalog: Catalog, name: str, now_ms: Callable[[], int]) -> None:
        self._catalog = catalog
        self._scope = f"{_SCOPE}{name}"
        self._now_ms = now_ms
        self._until_ms = 0

    def holds(self) -> bool:
        return self._now_ms() < self._until_ms

    async def take(self) -> None:
        """Durable when it returns. Leases that are over, of backups that died, go."""

        def work(transaction: Transaction) -> int:
            now_ms = self._now_ms()
            for scope, value in transaction.documents(KIND, prefix=_SCOPE, limit=_MOST):
                if not _holds(value, now_ms):
                    transaction.note(scope, KIND, None)
            transaction.note(self._scope, KIND, {"until_ms": now_ms + LEASE_MS})
            return now_ms + LEASE_MS

        self._until_ms = await self._catalog.write(work, Claim.DELETE)  # what is on a full disk can be saved all the same

    async def renew(self) -> None:
        """Not once it has lapsed: what it kept may be gone already."""

        def work(transaction: Transaction) -> int:
            now_ms = self._now_ms()
            if not _holds(transaction.document(self._scope, KIND), now_ms):
                return 0
            transaction.note(self._scope, KIND, {"until_ms": now_ms + LEASE_MS})
            return now_ms + LEASE_MS

        self._until_ms = await self._catalog.write(work, Claim.DELETE)

    async def give(self) -> None:
        await self._catalog.write(lambda transaction: transaction.note(self._scope, KIND, None), Claim.FREE)


@asynccontextmanager
async def leased(catalog: Catalog, name: str, now_ms: Callable[[], int], *, every: float = RENEWED) -> AsyncGenerator[Lease]:
    """A lease that is renewed until the block ends. ``name``: one that no other backup has. Raises StoreError."""
    lease = Lease(catalog, name, now_ms)
    await lease.take()
    renewing = asyncio.create_task(_renew(lease, every))
    try:
        yield lease
    finally:
        renewing.cancel()
        with suppress(asyncio.CancelledError):
            await renewing
        with suppress(StoreError):  # it lapses by itself
            await lease.give()


async def _renew(lease: Lease, every: float) -> None:
    while lease.holds():
        await asyncio.sleep(every)
        try:
            await lease.renew()
        except StoreError as error:  # tried again until it has lapsed
            _log.warning("the lease of a backup was not renewed", error=str(error))
