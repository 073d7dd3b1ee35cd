"""What is measured, and the targets. Each measurement prepares its objects once and then gives one sample a round.

A sample is one pair (ours, yardstick) in the same unit, taken one right after the other, so that a machine that changes its mood in the
middle of a run changes both. Never knows how results are shown.
"""

from __future__ import annotations

import hashlib
import os
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from typing import Any, Final
from xml.etree import ElementTree as ET

import load
import servers
from load import BenchError, Targets
from signing import Signer

SMALL: Final = 4096
MEDIUM: Final = 65_536
LARGE: Final = 256 << 20
MEDIUM_OBJECTS: Final = 1_000
OBJECTS: Final = 2_000  # that are read
PUT_KEYS: Final = 10_000  # that are written, and then overwritten
PREFIXES: Final = 100  # in both listings, so that both pages are alike
COLD: Final = 50_000
LISTED: Final = (1_000, 100_000)
CATALOG: Final = (10_000, 1_000_000)  # rows of a bucket whose pages are counted in this process
MEMORY_LIMIT: Final = 300.0  # MiB
_MIB: Final = 1 << 20


@dataclass(slots=True)
class Run:
    """What the measurements share."""

    folder: Path
    bare_server: servers.Server
    our_server: servers.Server
    account: servers.Account
    seconds: int  # of wrk, for one sample
    listed: tuple[int, int]
    catalog: tuple[int, int]
    cold: int  # objects, more than a worker remembers
    say: Callable[[str], None]
    servers: ExitStack  # those that a measurement starts for itself end with the run
    made: dict[str, Any] = field(default_factory=dict[str, Any])  # what several measurements share
    _file: Path | None = None

    @property
    def bare(self) -> str:
        """HOST:PORT"""
        return self.bare_server.host

    @property
    def ours(self) -> str:
        return self.our_server.host

    @property
    def signer(self) -> Signer:
        return Signer(self.ours, self.account.access_key_id, self.account.secret_access_key)

    def one(self, method: str, bucket: str, key: str = "", **query: str) -> str:
        return self.signer.presigned(method, bucket, [key], **query)[0]

    def create_bucket(self, bucket: str) -> None:
        self.request("PUT", self.one("PUT", bucket))

    def request(self, method: str, target: str, body: bytes | None = None) -> bytes:
        """One request on a connection of its own; anything but 200 raises BenchError."""
        name, _, port = self.ours.rpartition(":")
        connection = HTTPConnection(name, int(port), timeout=load.TIMEOUT)
        try:
            connection.request(method, target, body)
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            raise BenchError(
                f"{method} {target.partition('?')[0]} was answered {answer.status}: {data[:400].decode('utf-8', 'replace')}"
            )
        return data

    def targets(self, name: str, method: str, bucket: str, keys: list[str], **query: str) -> Targets:
        return Targets.write(self.folder / f"{name}.targets", self.signer.presigned(method, bucket, keys, **query))

    def large_file(self) -> Path:
        """256 MiB of noise."""
        if self._file is None:
            self._file = self.folder / "large"
            noise = random.Random(2)
            with self._file.open("wb") as file:
                for _ in range(LARGE // _MIB):
                    file.write(noise.randbytes(_MIB))
        return self._file


@dataclass(frozen=True, slots=True)
class Sample:
    ours: float
    yardstick: float
    notes: dict[str, float] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        return self.ours / self.yardstick


@dataclass(frozen=True, slots=True)
class Measure:
    """``prepare`` returns what takes one sample. ``target``: least ratio (most, with ``at_most``)."""

    name: str
    title: str
    unit: str
    yardstick: str
    target: float
    prepare: Callable[[Run], Callable[[], Sample]]
    at_most: bool = False

    def met(self, ratio: float) -> bool:
        return ratio <= self.target if self.at_most else ratio >= self.target


# ------------------------------------------------------------------------------------------------------ small requests
def _compared(run: Run, name: str, method: str, targets: Targets, size: int = 0) -> Callable[[], Sample]:
    """The bare worker answers the very same GETs (or those of ``targets`` as GETs, when ours are PUTs)."""
    cursor = 0

    def sample() -> Sample:
        nonlocal cursor
        yardstick = load.wrk(run.bare, targets, run.seconds)
        ours = load.wrk(run.ours, targets, run.seconds, method=method, first=cursor, size=size)
        cursor += ours.requests
        return Sample(ours.per_second, yardstick.per_second, {"p50_ms": ours.p50_ms, "p99_ms": ours.p99_ms})

    run.say(f"{name}: warming up")
    load.wrk(run.bare, targets, 1)
    load.wrk(run.ours, targets, 1, method=method, size=size)
    return sample


def _small_get(run: Run) -> Callable[[], Sample]:
    keys = [f"get/{number:05d}" for number in range(OBJECTS)]
    run.create_bucket("bench-get")
    load.fill(run.ours, run.targets("fill", "PUT", "bench-get", keys), SMALL)
    _require_body(run, "bench-get", [keys[0], keys[-1]])
    return _compared(run, "GET 4 KiB", "GET", run.targets("get", "GET", "bench-get", keys))


def _cold_get(run: Run) -> Callable[[], Sample]:
    """Of so many objects, asked for one after the other in an order of chance, that none is at hand from the last time."""
    keys = [f"get/{number:05d}" for number in range(run.cold)]
    run.create_bucket("bench-cold")
    run.say(f"GET of objects that are not at hand: writing {run.cold:,}")
    load.fill(run.ours, run.targets("fill-cold", "PUT", "bench-cold", keys), SMALL)
    _require_body(run, "bench-cold", [keys[0], keys[-1]])
    random.Random(6).shuffle(keys)
    targets = run.targets("get-cold", "GET", "bench-cold", keys)
    cursor = 0

    def sample() -> Sample:
        nonlocal cursor
        yardstick = load.wrk(run.bare, targets, run.seconds)
        ours = load.wrk(run.ours, targets, run.seconds, first=cursor)
        cursor += ours.requests
        return Sample(ours.per_second, yardstick.per_second, {"p50_ms": ours.p50_ms, "p99_ms": ours.p99_ms})

    return sample


def _medium_get(run: Run) -> Callable[[], Sample]:
    keys = [f"get/{number:05d}" for number in range(MEDIUM_OBJECTS)]
    run.create_bucket("bench-64k")  # by this name the bare worker knows what to answer
    load.fill(run.ours, run.targets("fill-64k", "PUT", "bench-64k", keys), MEDIUM)
    for host in (run.ours, run.bare):
        if load.get(host, run.one("GET", "bench-64k", keys[0]))[1] != MEDIUM:
            raise BenchError(f"GET 64 KiB: {host} does not answer 64 KiB")
    return _compared(run, "GET 64 KiB", "GET", run.targets("get-64k", "GET", "bench-64k", keys))


def _small_put(run: Run) -> Callable[[], Sample]:
    keys = [f"put/{number:05d}" for number in range(PUT_KEYS)]
    run.create_bucket("bench-put")
    sample = _compared(run, "PUT 4 KiB", "PUT", run.targets("put", "PUT", "bench-put", keys), SMALL)
    _require_body(run, "bench-put", [keys[1], keys[2]])  # wrk itself tries out the first one
    return sample


def _bucket_encryption(run: Run) -> Callable[[], Sample]:
    run.create_bucket("bench-encryption")
    targets = run.targets("encryption", "GET", "bench-encryption", [""], encryption="")
    answer = run.request("GET", targets.path.read_text("ascii").strip())
    if b"<SSEAlgorithm>AES256</SSEAlgorithm>" not in answer:
        raise BenchError(f"GetBucketEncryption does not say AES256: {answer[:300]!r}")
    return _compared(run, "GetBucketEncryption", "GET", targets)


def _require_body(run: Run, bucket: str, keys: list[str]) -> None:
    for key in keys:
        if run.request("GET", run.one("GET", bucket, key)) != b"0123456789abcdef" * (SMALL // 16):
            raise BenchError(f"{bucket}/{key} does not read back what was written")


# -------------------------------------------------------------------------------------------------------- large bodies
def _large_get(run: Run) -> Callable[[], Sample]:
    file = run.large_file()
    run.create_bucket("bench-stream")
    load.put(run.ours, run.one("PUT", "bench-stream", "whole"), file)
    target = run.one("GET", "bench-stream", "whole")
    _, _, body = load.get(run.ours, target, keep=True)
    if hashlib.sha256(body).digest() != hashlib.sha256(file.read_bytes()).digest():
        raise BenchError("the 256 MiB object does not read back what was written")
    del body
    load.get(run.bare, "/stream")

    def sample() -> Sample:
        yardstick, received, _ = load.get(run.bare, "/stream")
        ours, received_ours, _ = load.get(run.ours, target)
        if (received, received_ours) != (LARGE, LARGE):
            raise BenchError(f"256 MiB GET: {received} and {received_ours} bytes came")
        return Sample(LARGE / _MIB / ours, LARGE / _MIB / yardstick)

    return sample


def _large_put(run: Run) -> Callable[[], Sample]:
    file = run.large_file()
    run.create_bucket("bench-upload")
    targets = run.signer.presigned("PUT", "bench-upload", [f"upload/{number}" for number in range(3)])
    load.put(run.ours, targets[0], file)
    sent = 0

    def sample() -> Sample:
        nonlocal sent
        yardstick = md5_rate(file)
        bare = load.put(run.bare, "/", file)
        disk = _disk_seconds(run.folder, file)
        ours = load.put(run.ours, targets[sent % len(targets)], file)
        sent += 1
        mib = LARGE / _MIB
        return Sample(mib / ours, yardstick, {"bare_mib_s": mib / bare, "disk_mib_s": mib / disk})

    return sample


def md5_rate(file: Path) -> float:
    """MiB/s of MD5 in one thread, over the same bytes in pieces of 1 MiB."""
    buffer, digest, spent = bytearray(_MIB), hashlib.md5(usedforsecurity=False), 0.0
    with file.open("rb") as data:
        while data.readinto(buffer):
            started = time.perf_counter()
            digest.update(buffer)
            spent += time.perf_counter() - started
    return LARGE / _MIB / spent


def _disk_seconds(folder: Path, file: Path) -> float:
    """For orientation: how long the same bytes take into a file with one fsync."""
    scratch, buffer = folder / "scratch", bytearray(_MIB)
    with file.open("rb") as data, scratch.open("wb", buffering=0) as written:
        started = time.perf_counter()
        while data.readinto(buffer):
            written.write(buffer)
        os.fsync(written.fileno())
        seconds = time.perf_counter() - started
    scratch.unlink()
    return seconds


def memory(run: Run) -> float:
    """Peak MiB of the worker of a freshly started server: four 256 MiB uploads and four downloads at once, twice."""
    file = run.large_file()
    run.create_bucket("bench-memory")
    puts = run.signer.presigned("PUT", "bench-memory", [f"memory/{number}" for number in range(4)])
    gets = run.signer.presigned("GET", "bench-memory", [f"memory/{number}" for number in range(4)])
    for target in puts:
        load.put(run.ours, target, file)
    with ThreadPoolExecutor(8) as pool:
        for _ in range(2):
            waiting = [pool.submit(load.put, run.ours, target, file) for target in puts]
            reading = [pool.submit(load.get, run.ours, target) for target in gets]
            for each in waiting:
                each.result()
            if any(each.result()[1] != LARGE for each in reading):
                raise BenchError("eight transfers at once: a download was short")
    return run.our_server.peak_mib()


# ------------------------------------------------------------------------------------------------------------- listing
def _listing(run: Run) -> Callable[[], Sample]:
    targets: list[str] = []
    for count in run.listed:
        bucket = f"bench-list-{count}"
        run.say(f"listing: writing {count:,} objects")
        run.create_bucket(bucket)
        keys = [f"{number % PREFIXES:03d}/{number // PREFIXES:06d}" for number in range(count)]
        load.fill(run.ours, run.targets("listed", "PUT", bucket, keys), 1)
        _require_count(run, bucket, count)
        targets.append(run.one("GET", bucket, **{"list-type": "2", "delimiter": "/"}))
        page = ET.fromstring(run.request("GET", targets[-1]))  # noqa: S314 - our own server's answer
        if (_text(page, "KeyCount"), _text(page, "IsTruncated")) != (str(PREFIXES), "false"):
            raise BenchError(f"{bucket}: the first page is not its {PREFIXES} prefixes")

    def sample() -> Sample:
        pairs = [(_page_ms(run, targets[1]), _page_ms(run, targets[0])) for _ in range(20)]
        notes = {"keys": float(run.listed[1]), "keys_small": float(run.listed[0])}
        return Sample(median(large for large, _ in pairs), median(small for _, small in pairs), notes)

    return sample


def _page_ms(run: Run, target: str) -> float:
    started = time.perf_counter()
    run.request("GET", target)
    return (time.perf_counter() - started) * 1e3


def _require_count(run: Run, bucket: str, count: int) -> None:
    """The plain listing has them all."""
    found, after = 0, ""
    while True:
        page = ET.fromstring(run.request("GET", run.one("GET", bucket, **{"list-type": "2", "start-after": after})))  # noqa: S314
        found += int(_text(page, "KeyCount"))
        if _text(page, "IsTruncated") != "true":
            break
        after = [element.text or "" for element in page.iter() if element.tag.endswith("}Key")][-1]
    if found != count:
        raise BenchError(f"{bucket}: {found:,} of {count:,} objects are listed")


def _text(page: ET.Element, name: str) -> str:
    return next((element.text or "" for element in page if element.tag.rpartition("}")[2] == name), "")


MEASURES: Final = (
    Measure("get", "GET 4 KiB", "req/s", "a bare worker answering 4 KiB", 0.50, _small_get),
    Measure("get-cold", "GET 4 KiB, none asked for again soon", "req/s", "a bare worker answering 4 KiB", 0.50, _cold_get),
    Measure("put", "PUT 4 KiB, durable", "req/s", "a bare worker answering 4 KiB", 0.38, _small_put),
    Measure("get-64k", "GET 64 KiB", "req/s", "a bare worker answering 64 KiB", 0.45, _medium_get),
    Measure("encryption", "GetBucketEncryption", "req/s", "a bare worker answering 4 KiB", 0.40, _bucket_encryption),
    Measure("large-get", "GET 256 MiB", "MiB/s", "a bare worker streaming", 0.75, _large_get),
    Measure("large-put", "PUT 256 MiB, durable", "MiB/s", "MD5 in one thread", 0.75, _large_put),
    Measure("listing", "first page of a delimiter listing", "ms", "that of a small bucket", 2.0, _listing, at_most=True),
)
MEMORY: Final = "memory"
