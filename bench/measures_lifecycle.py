"""What judging a bucket by its lifecycle costs: the rules alone, and the walk over the rows of a catalog that brings them their facts.

Counts processor time of this process, not seconds, so that a busy machine disturbs it little. Never knows how results are shown.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import load
import servers
import uvloop
from inprocess import Rooms
from load import BenchError
from measures import SMALL, Measure, Run, Sample

from strongroom.s3 import lifecycle_working
from strongroom.s3 import rooms as s3_rooms
from strongroom.s3.bucket_cache import BucketCache, bucket_scope, stored_judge
from strongroom.s3.lifecycle_judging import Facts, Told, today_of
from strongroom.s3.lifecycle_reading import read_configuration
from strongroom.s3.lifecycle_working import LifecycleWork
from strongroom.s3.metadata import ObjectMeta
from strongroom.startup import now
from strongroom.store.contract import Transaction, VersionRow

KEYS: Final = 10_000
VERSIONS: Final = 5  # of each
WANTED: Final = 50_000.0  # versions a second
_SIZE: Final = 200_000
_GETS: Final = 4_000
_AT_ONCE: Final = 16
_READ: Final = 500  # objects
_PATIENCE: Final = 120.0  # seconds for a walk
_DAY_MS: Final = 86_400_000
_MADE_MS: Final = 20_000 * _DAY_MS
_NOW_MS: Final = _MADE_MS + 40 * _DAY_MS  # one version in five is due for its first transition, so its record is opened
_RULES: Final[list[dict[str, Any]]] = [
    {
        "ID": "old",
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "Transitions": [{"Days": 30, "StorageClass": "STANDARD_IA"}, {"Days": 90, "StorageClass": "GLACIER"}],
        "Expiration": {"Days": 365},
        "NoncurrentVersionExpiration": {"NoncurrentDays": 100, "NewerNoncurrentVersions": 2},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
    },
    {"ID": "logs", "Status": "Enabled", "Filter": {"Prefix": "logs/"}, "Expiration": {"Days": 400}},
    {"ID": "tagged", "Status": "Enabled", "Filter": {"Tag": {"Key": "k", "Value": "v"}}, "Expiration": {"Days": 500}},
    {"ID": "markers", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"ExpiredObjectDeleteMarker": True}},
]


def _document() -> dict[str, Any]:
    return read_configuration({"Rules": _RULES}, None, bytes)


def _rules(_run: Run) -> Callable[[], Sample]:
    """The judge alone, over facts that are at hand."""
    judge = stored_judge(_document())
    assert judge is not None
    facts = [
        Facts(
            f"logs/{number // VERSIONS:06d}",
            _SIZE,
            _MADE_MS,
            False,
            None if number % VERSIONS == 0 else _MADE_MS,
            number % VERSIONS,
        )
        for number in range(KEYS * VERSIONS)
    ]
    told, today = Told("STANDARD", {}), today_of(_NOW_MS)

    def sample() -> Sample:
        started = time.process_time()
        for one in facts:
            judge.judge(one, today, lambda: told, versioned=True)
        return Sample(len(facts) / (time.process_time() - started), WANTED)

    return sample


def _walk(run: Run) -> Callable[[], Sample]:
    """Pages read from the catalog, each version judged, the sealed record opened where the answer hangs on it; nothing is done."""
    runner, rooms = asyncio.Runner(), Rooms(run.folder / "lifecycle")
    runner.run(rooms.__aenter__())
    s3 = _s3(rooms)
    runner.run(_prepared(rooms, s3, KEYS * VERSIONS, _document()))
    work = LifecycleWork(s3, rate=0, dry_run=True)

    async def walked() -> float:
        started = time.process_time()
        tally = await work.run_at(_NOW_MS)
        spent = time.process_time() - started
        if (tally.versions, tally.actions) != (KEYS * VERSIONS, {"move": KEYS}):
            raise BenchError(f"the walk found {tally.versions} versions and {dict(tally.actions)}")
        return tally.versions / spent

    return lambda: Sample(runner.run(walked()), WANTED)


def _beside(run: Run) -> Callable[[], Sample]:
    """What a request waits at worst (p99, of 16 GETs at a time) while a lifecycle goes through another bucket at its usual rate."""
    runner, rooms = asyncio.Runner(loop_factory=uvloop.new_event_loop), Rooms(run.folder / "beside")
    runner.run(rooms.__aenter__())
    s3 = _s3(rooms)
    runner.run(_prepared(rooms, s3, KEYS * VERSIONS, _document()))
    runner.run(rooms.request(rooms.head("PUT", "read")))
    runner.run(rooms.request(rooms.head("PUT", "read", "key", SMALL), bytes(SMALL)))
    get = rooms.head("GET", "read", "key")

    async def waited() -> float:
        waits: list[float] = []

        async def client() -> None:
            for _ in range(_GETS // _AT_ONCE):
                started = time.perf_counter()
                await rooms.request(get)
                waits.append(time.perf_counter() - started)
                await asyncio.sleep(0)

        await asyncio.gather(*[client() for _ in range(_AT_ONCE)])
        return sorted(waits)[len(waits) * 99 // 100] * 1e3

    async def both() -> Sample:
        alone = await waited()
        walking = asyncio.create_task(LifecycleWork(s3, dry_run=True).run_at(_NOW_MS))
        await asyncio.sleep(0.05)
        beside = await waited()
        if walking.done():
            raise BenchError("the walk was over before the requests were")
        walking.cancel()
        await asyncio.gather(walking, return_exceptions=True)
        return Sample(beside, alone)

    return lambda: runner.run(both())


def _beside_worker(run: Run) -> Callable[[], Sample]:
    """The same of a server, over a socket, with as many requests as it answers: its own worker goes through a bucket meanwhile.

    Every version is old enough for the rule and lacks its tag, so each record is opened and nothing is done.
    """
    versions = int(lifecycle_working.RATE * run.seconds * 1.7)
    folder = run.folder / "walked"
    account = asyncio.run(_walked_folder(folder / "data", versions))
    server = run.servers.enter_context(servers.strongroom(folder, account, lifecycle_seconds="1"))
    its = replace(run, our_server=server, account=account)
    gets = its.targets("walked", "GET", "read", [f"{number:04d}" for number in range(_READ)])
    walks = 0

    def begin() -> None:
        """Rules that differ from the last ones, so that the worker sets out again."""
        nonlocal walks
        walks += 1
        body = (
            f"<LifecycleConfiguration><Rule><ID>{walks}</ID><Status>Enabled</Status><Filter><Tag><Key>k</Key><Value>v</Value></Tag>"
            "</Filter><Expiration><Days>1</Days></Expiration></Rule></LifecycleConfiguration>"
        ).encode()
        its.request("PUT", its.one("PUT", "bucket", lifecycle=""), body)

    def judged() -> int:
        found = re.search(
            r"^strongroom_lifecycle_versions_total(?:{[^}]*})? (\d+)", its.request("GET", "/-/metrics").decode(), re.MULTILINE
        )
        return 0 if found is None else int(float(found[1]))

    def until(wanted: int) -> None:
        deadline = time.monotonic() + _PATIENCE
        while judged() < wanted:
            if time.monotonic() > deadline:
                raise BenchError(f"the worker has judged {judged():,} versions, not {wanted:,}")
            time.sleep(0.1)

    def sample() -> Sample:
        alone = load.wrk(server.host, gets, run.seconds)
        begin()
        until(walks * versions - versions + 1)
        beside = load.wrk(server.host, gets, run.seconds)
        if judged() >= walks * versions:
            raise BenchError("the walk was over before the requests were")
        until(walks * versions)
        return Sample(beside.p99_ms, alone.p99_ms, {"per_second": beside.per_second, "per_second_alone": alone.per_second})

    return sample


async def _walked_folder(data: Path, versions: int) -> servers.Account:
    """A data folder with objects to be read, and a bucket to go through."""
    async with Rooms(data) as rooms:
        await _prepared(rooms, _s3(rooms), versions, None)
        await rooms.request(rooms.head("PUT", "read"))
        for number in range(_READ):
            await rooms.request(rooms.head("PUT", "read", f"{number:04d}", SMALL), bytes(SMALL))
        return rooms.account


def _s3(rooms: Rooms) -> s3_rooms.Rooms:
    house = rooms.house
    buckets = BucketCache(house.catalog, house.keys, "blocked")
    return s3_rooms.Rooms(house.catalog, house.blobs, house.keys, buckets, s3_rooms.S3Settings(), now, os.urandom)


async def _prepared(rooms: Rooms, s3: s3_rooms.Rooms, versions: int, lifecycle: dict[str, Any] | None) -> None:
    """Rows as a writer makes them, with records of their own; nothing is behind them, since no walk looks there."""
    await rooms.request(rooms.head("PUT", "bucket"))
    bucket = await s3.buckets.find("bucket")
    meta = ObjectMeta("e" * 32, checksums={"CRC64NVME": "AAAAAAAAAAA="}, checksum_type="FULL_OBJECT")

    def rows(first: int, tx: Transaction) -> None:
        for number in range(first, min(first + 1_000, versions)):
            place = f"logs/{number // VERSIONS:06d}", f"{number:032d}"
            record = meta.seal(bucket, *place, size=_SIZE, seal=bytes(200), manifest=bytes(31))
            tx.insert_version(VersionRow(bucket.bucket_id, *place, False, False, _SIZE, _MADE_MS, bytes(200), record, bytes(31)))

    for first in range(0, versions, 1_000):
        await s3.catalog.write(lambda tx, first=first: rows(first, tx))

    def settings(tx: Transaction) -> None:
        tx.set_document(bucket_scope(bucket.bucket_id), "versioning", {"status": "Enabled"})
        tx.set_document(bucket_scope(bucket.bucket_id), "lifecycle", lifecycle)

    await s3.catalog.write(settings)


MEASURES: Final = (
    Measure("judge", "versions judged by the rules alone", "/s", "50,000/s", 1.0, _rules),
    Measure("lifecycle", "versions read and judged by a lifecycle", "/s", "50,000/s", 1.0, _walk),
    Measure("beside", "p99 of GETs beside a lifecycle at its usual rate", "ms", "alone", 1.2, _beside, at_most=True),
    Measure(
        "beside-worker", "p99 of GETs by wrk beside the worker's lifecycle", "ms", "alone", 1.2, _beside_worker, at_most=True
    ),
)
