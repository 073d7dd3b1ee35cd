"""What large buckets and large requests cost: pages of a listing, DeleteObjects of 1,000 keys, a completion of 10,000 parts.

The rooms run in this process, and a sample counts its processor time, not seconds. Rows are written into the catalog by transactions of
our own, with the records a writer makes. Never knows how results are shown.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import random
import shutil
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final
from xml.etree import ElementTree as ET

import servers
import uvloop
from inprocess import Rooms, processor_us
from load import BenchError
from measures import Measure, Run, Sample

from strongroom.edge.head import Head
from strongroom.s3.bucket_cache import Bucket, BucketCache
from strongroom.s3.metadata import ObjectMeta
from strongroom.s3.uploads import LEAST_PART, MOST_PARTS, PartRecord
from strongroom.s3.versions import new_version_id
from strongroom.seal.format import Piece, encode_manifest
from strongroom.store.contract import PartRow, Transaction, VersionRow
from strongroom.store.sqlite import SqliteCatalog

PAGE: Final = 1_000
GROUPS: Final = 1_000  # common prefixes, written by turns: the rows of neighbouring keys are far apart in the file
OLD: Final = 20  # versions of a key, one of them current
START_SECONDS: Final = 1.5
_AT_ONCE: Final = 10_000  # rows of one commit
_WRITERS: Final = 32
_PAGES: Final = 10  # of each bucket in a sample
_MADE_MS: Final = 1_700_000_000_000
# As long as those of an object of one byte under SSE-S3. Listings bind the record to envelope and manifest, and open neither.
_ENVELOPE, _MANIFEST, _BODY = bytes(108), bytes(31), bytes(57)


@dataclass(frozen=True, slots=True)
class Opened:
    """Rooms on a folder of their own, and the loop they live on. Both end with the process."""

    runner: asyncio.Runner
    rooms: Rooms

    @classmethod
    def on(cls, run: Run, name: str) -> Opened:
        opened = cls(asyncio.Runner(loop_factory=uvloop.new_event_loop), Rooms(run.folder / name))
        opened.runner.run(opened.rooms.__aenter__())
        return opened

    def ask(self, head: Head, body: bytes = b"") -> bytes:
        return self.runner.run(self.rooms.request(head, body))

    def spent_ms(self, head: Head, body: bytes = b"") -> float:
        """Processor time of one request."""
        return self.runner.run(processor_us(partial(self.rooms.request, head, body), 1)) / 1e3

    def bucket(self, name: str) -> Bucket:
        self.ask(self.rooms.head("PUT", name))
        house = self.rooms.house
        return self.runner.run(BucketCache(house.catalog, house.keys, "blocked").find(name))

    @property
    def commits(self) -> int:
        catalog = self.rooms.house.catalog
        assert isinstance(catalog, SqliteCatalog)
        return catalog.commits

    def write(self, work: Callable[[Transaction], None]) -> None:
        self.runner.run(self.rooms.house.catalog.write(work))


# ------------------------------------------------------------------------------------------------------------- listing
def _key(group: int, number: int) -> str:
    return f"{group:03d}/{number:06d}"


def _filled(run: Run, name: str, keys: int, versions: int = 1) -> Opened:
    """A bucket ``bucket`` with so many keys, each of them written so many times, in the order of a writer that comes by again and again."""
    opened = Opened.on(run, name)
    bucket = opened.bucket("bucket")
    meta = ObjectMeta("e" * 32, checksums={"CRC64NVME": "AAAAAAAAAAA="}, checksum_type="FULL_OBJECT")

    def rows(numbers: range, tx: Transaction) -> None:
        for number in numbers:
            place = _key(number % GROUPS, number // GROUPS), new_version_id(os.urandom)
            record = meta.seal(bucket, *place, size=1, seal=_ENVELOPE, manifest=_MANIFEST)
            row = VersionRow(bucket.bucket_id, *place, versions == 1, False, 1, _MADE_MS, _ENVELOPE, record, _MANIFEST, _BODY)
            tx.insert_version(row)

    for turn in range(versions):
        for first in range(0, keys, _AT_ONCE):
            run.say(f"listing: {turn * keys + first:,} of {versions * keys:,} rows written")
            opened.write(partial(rows, range(first, min(first + _AT_ONCE, keys))))
    return opened


class _Listed:
    """A bucket that is asked for pages."""

    def __init__(self, run: Run, name: str, keys: int, versions: int = 1) -> None:
        self._opened, self._keys = _filled(run, name, keys, versions), keys
        self._places = random.Random(5)

    def page_ms(self, delimiter: str = "") -> float:
        """Of 1,000 elements: keys from somewhere in the bucket, or all its common prefixes."""
        asked = {"list-type": "2"}
        if delimiter:
            asked["delimiter"] = delimiter
        else:
            asked["start-after"] = _key(*divmod(self._places.randrange(self._keys - PAGE), self._keys // GROUPS))
        head = self._opened.rooms.head("GET", "bucket", **asked)
        spent = self._opened.spent_ms(head)
        if self._opened.ask(head).count(b"<CommonPrefixes>" if delimiter else b"<Contents>") != PAGE:
            raise BenchError(f"a page of {self._keys:,} keys does not have {PAGE} elements")
        return spent


def _bucket(run: Run, name: str) -> _Listed:
    """One of the three buckets of these measurements, filled when it is first wanted."""
    few, many = run.catalog
    if name not in run.made:
        keys, versions = {"few": (few, 1), "many": (many, 1), "old": (many // OLD, OLD)}[name]
        run.made[name] = _Listed(run, f"listed-{name}", keys, versions)
    return run.made[name]


def _listing(name: str, delimiter: str, run: Run) -> Callable[[], Sample]:
    large, few = _bucket(run, name), _bucket(run, "few")

    def sample() -> Sample:
        pairs = [(large.page_ms(delimiter), few.page_ms(delimiter)) for _ in range(_PAGES)]
        return Sample(
            median(ours for ours, _ in pairs), median(yardstick for _, yardstick in pairs), {"rows": float(run.catalog[1])}
        )

    return sample


# ------------------------------------------------------------------------------------------------------------ starting
def _start(run: Run) -> Callable[[], Sample]:
    """From the command to its line ``ready``, on a copy of the folder of many objects; beside it, on one of few."""
    folders: list[Path] = []
    for name in ("many", "few"):
        _bucket(run, name)
        folders.append(run.folder / f"started-{name}")
        shutil.copytree(run.folder / f"listed-{name}", folders[-1] / "data")
    account = servers.Account()

    def sample() -> Sample:
        many, few = (servers.strongroom(folder, account).seconds_to_ready() for folder in folders)
        notes = {"objects": float(run.catalog[1]), "processor_s": many[1], "few_s": few[0], "few_processor_s": few[1]}
        return Sample(many[0], START_SECONDS, notes)

    return sample


# ------------------------------------------------------------------------------------------------------ large requests
def _delete_objects(run: Run) -> Callable[[], Sample]:
    opened = Opened.on(run, "deleted")
    opened.bucket("bucket")
    keys = [f"{number:04d}" for number in range(1_000)]
    body = b"<Delete>" + b"".join(b"<Object><Key>%s</Key></Object>" % key.encode() for key in keys) + b"</Delete>"
    puts = [opened.rooms.head("PUT", "bucket", key, 1) for key in keys]
    head = opened.rooms.head("POST", "bucket", size=len(body), delete="")
    head.headers["content-md5"] = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
    listing = opened.rooms.head("GET", "bucket")

    async def put() -> None:
        for first in range(0, len(puts), _WRITERS):
            await asyncio.gather(*[opened.rooms.request(one, b"x") for one in puts[first : first + _WRITERS]])

    def sample() -> Sample:
        opened.runner.run(put())
        before, started = opened.commits, time.process_time()
        answer = opened.ask(head, body)
        spent = time.process_time() - started
        if answer.count(b"<Deleted>") != len(keys) or b"<Contents>" in opened.ask(listing):
            raise BenchError("DeleteObjects left something")
        return Sample(opened.commits - before, 1.0, {"processor_ms": spent * 1e3})

    return sample


async def _longest_turn(request: Awaitable[bytes]) -> tuple[bytes, float]:
    """The answer, and the processor seconds of the loop's thread in which nobody else had a turn, at most."""
    asked = asyncio.ensure_future(request)
    longest = 0.0
    while not asked.done():
        started = time.thread_time()
        await asyncio.sleep(0)
        longest = max(longest, time.thread_time() - started)
    return asked.result(), longest


def _completion(run: Run) -> Callable[[], Sample]:
    """Parts of 5 MiB whose rows are there and whose blobs are not: a completion reads none."""
    opened = Opened.on(run, "completed")
    bucket = opened.bucket("bucket")
    numbers = range(1, MOST_PARTS + 1)
    done = 0

    def parts(key: str, upload_id: str, tx: Transaction) -> None:
        for number in numbers:
            blob_id = os.urandom(16).hex()
            manifest = encode_manifest([Piece(blob_id, number, LEAST_PART)])
            part = PartRecord("e" * 32, {"CRC64NVME": "AAAAAAAAAAA="})
            record = part.seal(bucket, key, upload_id, number, manifest)
            tx.put_part(PartRow(upload_id, number, LEAST_PART, _MADE_MS, record, manifest))
            tx.keep([blob_id])

    body = b"".join(b'<Part><PartNumber>%d</PartNumber><ETag>"%s"</ETag></Part>' % (number, b"e" * 32) for number in numbers)
    body = b"<CompleteMultipartUpload>" + body + b"</CompleteMultipartUpload>"

    def sample() -> Sample:
        nonlocal done
        done += 1
        key = f"{done:04d}"
        created = ET.fromstring(opened.ask(opened.rooms.head("POST", "bucket", key, uploads="")))  # noqa: S314 - our own server's answer
        upload_id = next(element.text or "" for element in created if element.tag.endswith("}UploadId"))
        opened.write(partial(parts, key, upload_id))
        head = opened.rooms.head("POST", "bucket", key, size=len(body), uploadId=upload_id)
        started, began = time.process_time(), time.perf_counter()
        answer, turn = opened.runner.run(_longest_turn(opened.rooms.request(head, body)))
        spent, waited = time.process_time() - started, time.perf_counter() - began
        if b"-%d" % MOST_PARTS not in answer or b"<Error>" in answer:
            raise BenchError(f"no object of 10,000 parts was made: {answer[:300]!r}")
        return Sample(spent * 1e3, 1_000.0, {"waited_ms": waited * 1e3, "longest_turn_ms": turn * 1e3})

    return sample


MEASURES: Final = (
    Measure("list-keys", "page of 1,000 keys of many", "ms", "of few keys", 1.5, partial(_listing, "many", ""), at_most=True),
    Measure(
        "list-prefixes",
        "page of 1,000 prefixes of many keys",
        "ms",
        "of few keys",
        1.5,
        partial(_listing, "many", "/"),
        at_most=True,
    ),
    Measure(
        "list-old",
        f"page of 1,000 keys of {OLD} versions each",
        "ms",
        "of few keys",
        1.5,
        partial(_listing, "old", ""),
        at_most=True,
    ),
    Measure(
        "list-old-prefixes",
        f"page of 1,000 prefixes, {OLD} versions a key",
        "ms",
        "of few keys",
        1.5,
        partial(_listing, "old", "/"),
        at_most=True,
    ),
    Measure("start", "start to ready, many objects", "s", "what is wanted", 1.0, _start, at_most=True),
    Measure("delete-many", "DeleteObjects of 1,000 keys, commits", "", "one", 1.0, _delete_objects, at_most=True),
    Measure("complete", "CompleteMultipartUpload of 10,000 parts", "ms", "a second", 1.0, _completion, at_most=True),
)
