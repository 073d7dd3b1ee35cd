"""What a step costs that no server can be without: the rooms are run in this process with and without it, turn by turn.

A sample counts processor time, not seconds, so that a busy machine disturbs it little. Never knows how results are shown.
"""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from statistics import median
from typing import Any, Final
from unittest.mock import patch

import uvloop
from inprocess import Rooms, processor_us
from load import BenchError
from measures import SMALL, Measure, Run, Sample

from strongroom.kms.key_use import Alike, Nobody
from strongroom.seal.bucket_records import BucketRecords

LISTED: Final = 1_000
_ASKED: Final = 1_024  # objects of each bucket
_USES: Final = 4_000  # fewer than what makes the record's thread hurry
_KEY: Final = "arn:aws:kms:us-east-1:111122223333:key/0d990263-018e-4e65-a703-eff731de951e"
_ROOT: Final = ("arn:aws:iam::111122223333:root", "111122223333", "111122223333", "AKIABENCHBENCHBENCHB")
_ALIKE: Final = Alike("Decrypt", "bucket-key", False, _KEY, *_ROOT, {"aws:s3:arn": "arn:aws:s3:::bench-shared"})
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
        return await processor_us(both, 8)

    def sample() -> Sample:
        with_it, without = [], []
        for _ in range(12):  # in short turns, so that what else the machine does meets both
            without.append(runner.run(spent(Nobody())))
            with_it.append(runner.run(spent(recorder)))
        return Sample(median(with_it) / 16, median(without) / 16)

    runner.run(spent(recorder))
    return sample


def _bucket_key(method: str, most_us: float) -> Callable[[Run], Callable[[], Sample]]:
    """What a request under a bucket key takes beyond one under SSE-S3, its line in the key-use record included."""

    def prepare(run: Run) -> Callable[[], Sample]:
        runner, rooms = _rooms(run, f"shared-{method.lower()}")
        newest = [thread.ident for thread in threading.enumerate() if thread.name == "key-use"][-1]
        clock = time.pthread_getcpuclockid(newest or 0)
        names = [f"{number:04d}" for number in range(_ASKED)]
        size = SMALL if method == "PUT" else 0
        heads = {bucket: [rooms.head(method, bucket, name, size) for name in names] for bucket in ("bench-s3", "bench-shared")}

        async def fill() -> None:
            for bucket in heads:
                await rooms.request(rooms.head("PUT", bucket))
                if bucket == "bench-shared":
                    await _kms_bucket(rooms, bucket)
                for name in names:
                    await rooms.request(rooms.head("PUT", bucket, name, SMALL), _BODY)

        async def group(bucket: str, first: int) -> float:
            """Microseconds of a request, of sixteen that come together."""
            asked = heads[bucket][first : first + 16]
            started = time.process_time()
            await asyncio.gather(*[rooms.request(head, _BODY if size else b"") for head in asked])
            return (time.process_time() - started) / 16 * 1e6

        async def written() -> float:
            """Microseconds of a use until it is on the disk: what the record's thread does once a second."""
            record, now = rooms.house.record, datetime.now(UTC)
            while record.waiting:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.1)
            for number in range(_USES):
                record.served(
                    _ALIKE, now, f"arn:aws:s3:::bench-shared/{number:04d}", f"{number:032x}", f"{number:016X}", "127.0.0.1"
                )
            started = time.clock_gettime(clock)
            while record.waiting:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            return (time.clock_gettime(clock) - started) / _USES * 1e6

        async def both() -> Sample:
            spent: dict[str, list[float]] = {bucket: [] for bucket in heads}
            for number in range(8):
                gc.collect()
                gc.freeze()  # as a worker does
                for first in range(0, _ASKED, 16):
                    for bucket in heads if (number + first // 16) % 2 else reversed(heads):
                        spent[bucket].append(await group(bucket, first))
            plain, shared = (median(each) for each in spent.values())
            line = await written()
            return Sample(shared + line - plain, most_us, {"SSE-S3": plain, "bucket key": shared, "line": line})

        def sample() -> Sample:
            return runner.run(both())

        runner.run(fill())
        return sample

    return prepare


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
    Measure(
        "bucket-key-get-extra",
        "GET 4 KiB under a bucket key, beyond SSE-S3",
        "µs",
        "5 µs",
        1.0,
        _bucket_key("GET", 5.0),
        at_most=True,
    ),
    Measure(
        "bucket-key-put-extra",
        "PUT 4 KiB under a bucket key, beyond SSE-S3",
        "µs",
        "8 µs",
        1.0,
        _bucket_key("PUT", 8.0),
        at_most=True,
    ),
    Measure("sealed-list", "page of 1,000 sealed entries", "ms", "entries in clear", 1.25, _sealed_listing, at_most=True),
)
