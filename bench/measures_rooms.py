"""What a step costs that no server can be without: the rooms are run in this process with and without it, turn by turn.

A sample counts processor time, not seconds, so that a busy machine disturbs it little. Never knows how results are shown.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final
from unittest.mock import patch

import uvloop
from inprocess import Rooms, processor_us
from load import BenchError
from measures import SMALL, Measure, Run, Sample

from strongroom.kms.key_use import Nobody
from strongroom.seal.bucket_records import BucketRecords

LISTED: Final = 1_000
_BODY: Final = bytes(range(256)) * (SMALL // 256)


def _rooms(run: Run, name: str) -> tuple[asyncio.Runner, Rooms]:
    """Open rooms on a folder of their own, and the loop they live on. Both end with the process."""
    runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    rooms = Rooms(run.folder / name)
    runner.run(rooms.__aenter__())
    return runner, rooms


def _kms_bucket(rooms: Rooms, bucket: str) -> Awaitable[bytes]:
    body = (
        b"<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>aws:kms</SSEAlgorithm>"
        b"</ApplyServerSideEncryptionByDefault><BucketKeyEnabled>true</BucketKeyEnabled></Rule></ServerSideEncryptionConfiguration>"
    )
    return rooms.request(rooms.head("PUT", bucket, size=len(body), encryption=""), body)


def _record(run: Run) -> Callable[[], Sample]:
    """GET and PUT in turn, under a bucket key, so that each is a use that is recorded."""
    runner, rooms = _rooms(run, "record")
    bucket = "bench-record"
    keys = rooms.house.keys
    recorder = keys.ring.observer

    async def prepare() -> None:
        await rooms.request(rooms.head("PUT", bucket))
        await _kms_bucket(rooms, bucket)
        await rooms.request(rooms.head("PUT", bucket, "key", SMALL), _BODY)

    runner.run(prepare())
    get, put = rooms.head("GET", bucket, "key"), rooms.head("PUT", bucket, "key", SMALL)

    async def both() -> None:
        await asyncio.gather(*[rooms.request(put, _BODY) for _ in range(8)], *[rooms.request(get) for _ in range(8)])

    async def spent(observer: Any) -> float:
        keys.tell(observer)
        return await processor_us(both, 60)

    def sample() -> Sample:
        without = runner.run(spent(Nobody()))
        return Sample(runner.run(spent(recorder)) / 16, without / 16)

    runner.run(spent(recorder))
    return sample


def _sealed_listing(run: Run) -> Callable[[], Sample]:
    """A page of 1,000 entries; without sealing the same records are at hand in clear."""
    runner, rooms = _rooms(run, "listed")
    bucket = "bench-listed"
    clear: dict[str, bytes] = {}
    real = BucketRecords.open_page

    def remembering(records: Any, rows: Any) -> list[bytes]:
        opened = real(records, rows)
        clear.update((row.version_id, one) for row, one in zip(rows, opened, strict=True))
        return opened

    async def prepare() -> None:
        await rooms.request(rooms.head("PUT", bucket))
        for number in range(LISTED):
            await rooms.request(rooms.head("PUT", bucket, f"{number:05d}", 1), b"x")

    runner.run(prepare())
    head = rooms.head("GET", bucket, **{"list-type": "2"})

    async def page() -> None:
        if (await rooms.request(head)).count(b"<Contents>") != LISTED:
            raise BenchError("the page does not list what was written")

    def sample() -> Sample:
        with patch.object(BucketRecords, "open_page", remembering):
            runner.run(page())
        spent = [0.0, 0.0]
        for _ in range(5):  # in short turns, so that what else the machine does meets both
            spent[0] += runner.run(processor_us(page, 2))
            with patch.object(BucketRecords, "open_page", lambda _, rows: [clear[row.version_id] for row in rows]):
                spent[1] += runner.run(processor_us(page, 2))
        return Sample(spent[0] / 5e3, spent[1] / 5e3)

    return sample


MEASURES: Final = (
    Measure("record", "4 KiB GET and PUT with the key-use record", "µs", "without it", 1.05, _record, at_most=True),
    Measure("sealed-list", "page of 1,000 sealed entries", "ms", "entries in clear", 1.25, _sealed_listing, at_most=True),
)
