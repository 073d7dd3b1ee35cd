"""Blobs that no row names: those that are kept for nobody, and those that nobody keeps. What waits for upkeep is no finding.

All rows are gone through for the blobs that they name, and then all blobs are listed; memory is bounded, however many there are.
Never opens anything.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from strongroom.s3.findings import Finding
from strongroom.s3.versions import milliseconds, stored_blobs
from strongroom.s3.walking import every_bucket, every_part, every_upload, every_version
from strongroom.seal import SealError
from strongroom.store.blob_set import BlobSet

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

    from strongroom.s3.findings import Tally
    from strongroom.s3.rooms import Rooms

SETTLING_MS: Final = 3_600_000  # a blob without a row that is younger may be that of a request under way
_BATCH: Final = 100  # blobs
_DOUBTED: Final = 100_000  # blobs that are asked about once more at a time


class Unnamed:
    """``served``: a server may be writing. ``pace`` is told how many rows or blobs come next, and may wait."""

    def __init__(
        self, rooms: Rooms, tally: Tally, *, served: bool, page: int, pace: Callable[[int], Awaitable[None]] | None = None
    ) -> None:
        self._rooms = rooms
        self._catalog = rooms.catalog
        self._tally = tally
        self._served = served
        self._page = page
        self._pace = pace

    async def findings(self) -> AsyncIterator[Finding]:
        started_ms = milliseconds(self._rooms.clock())
        with BlobSet() as named:
            async for manifest in self._manifests():
                with suppress(SealError, TypeError):  # told of its row already
                    named.add(stored_blobs(manifest))
            doubted: list[str] = []
            batch: list[tuple[str, int]] = []
            async for blob_id, committed_ms, _ in self._rooms.blobs.list():
                self._tally.blobs += 1
                batch.append((blob_id, committed_ms))
                if len(batch) == _BATCH:
                    for found in await self._judge(named, batch, started_ms, doubted):
                        yield found
                    batch = []
                if len(doubted) >= _DOUBTED:
                    async for found in self._named_by_none(doubted):
                        yield found
                    doubted.clear()
            for found in await self._judge(named, batch, started_ms, doubted):
                yield found
            async for found in self._named_by_none(doubted):
                yield found

    async def _manifests(self) -> AsyncIterator[bytes]:
        """Uploads first: what is completed meanwhile is then met as a version, and no blob is named by neither."""
        async for bucket in every_bucket(self._catalog):
            async for upload in every_upload(self._catalog, bucket.bucket_id, page=self._page):
                async for part in every_part(self._catalog, upload.upload_id, page=self._page):
                    await self._wait(1)
                    yield part.manifest
            async for page in every_version(self._catalog, bucket.bucket_id, page=self._page):
                await self._wait(len(page))
                for version in page:
                    yield version.manifest

    async def _wait(self, count: int) -> None:
        if self._pace is not None:
            await self._pace(count)

    async def _judge(
        self, named: BlobSet, batch: list[tuple[str, int]], started_ms: int, doubted: list[str]
    ) -> Iterable[Finding]:
        """A blob that was there when the walk began, and was met in no row, is ``doubted``: a row that is renamed meanwhile may be missed."""
        await self._wait(len(batch))
        committed = dict(batch)
        strangers = named.without([blob_id for blob_id, _ in batch])
        unkept = set(await self._catalog.unkept(strangers))
        kept = set(await self._catalog.kept([blob_id for blob_id in strangers if blob_id not in unkept]))
        found: list[Finding] = []
        for blob_id in strangers:
            if blob_id in unkept:
                if self._served and committed[blob_id] > started_ms - SETTLING_MS:
                    self._tally.settling += 1
                else:
                    found.append(Finding("orphaned", "no row names it; upkeep sweeps it when it is a day old", blob_id=blob_id))
            elif blob_id not in kept:
                self._tally.waiting += 1
            elif committed[blob_id] < started_ms:
                doubted.append(blob_id)
        return found

    async def _named_by_none(self, doubted: list[str]) -> AsyncIterator[Finding]:
        """Of those, what another walk over the rows does not meet either."""
        if not doubted:
            return
        left = set(doubted)
        async for manifest in self._manifests():
            with suppress(SealError, TypeError):
                left.difference_update(stored_blobs(manifest))
        for blob_id in await self._catalog.kept(sorted(left)):
            yield Finding("orphaned", "it is kept in the catalog, but no row names it", blob_id=blob_id)
