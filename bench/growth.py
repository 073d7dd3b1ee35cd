"""``make growth``: what a request, a start and an idle worker cost on a data folder of many objects, beside one of 10,000.

    make growth                                        1,000,000 objects and 200,000 versions of one key; needs some 2 GB for a while
    make growth GROWTH="--objects 5000000"             some 5 GB
    make growth GROWTH="--objects 100000 --versions 20000 --rounds 3"   a look

Ratios inside one run: the two folders take turns, and what is counted is processor time, a median over rounds. Pages that a request needs
are in memory before it is counted, for both folders alike: how fast a disk is, is its own affair. Exit code 1 if a line misses its mark.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from typing import Final, Self

import big_folder
import servers
import uvloop
from big_folder import DEEP, FLAT, ONE
from inprocess import Rooms, processor_us
from rich.console import Console
from rich.table import Table
from signing import Signer

from strongroom.store.sqlite import FILE
from strongroom.store.sqlite_log import LOG_MOST, log_size

FEW: Final = 10_000
FEW_VERSIONS: Final = 10
MOST: Final = 1.3  # times what it costs with FEW
DELETES_MOST: Final = 1.5  # for many keys in one request: each has pages of its own, of which ever fewer are mapped (64 MiB)
START_SECONDS: Final = 1.5
MEMORY_MIB: Final = 100.0  # more than with FEW, at most: the caches of two connections, which are bounded, and what is mapped
#: Reads are asked for twice, and a row that is remembered would not be looked for in the catalog the second time.
UNREMEMBERED: Final = {"row_memory_mib": "0"}
_PAGE: Final = 1_000
_DELETED: Final = 100  # keys of one DeleteObjects
_KEYS: Final = 10_000  # of the mixed run
_BODY: Final = os.urandom(big_folder.BODY)


@dataclass(slots=True)
class Line:
    """One measurement: what it was with few, with many, and the most it may be."""

    name: str
    unit: str
    most: float
    few: list[float] = field(default_factory=list)
    many: list[float] = field(default_factory=list)
    absolute: bool = (
        False  # ``most`` is of the least of ``many``: others' load only adds; else of the ratio, or with ``difference`` of that
    )
    difference: bool = False

    @property
    def value(self) -> float:
        few, many = median(self.few), median(self.many)
        return min(self.many) if self.absolute else many - few if self.difference else many / few

    @property
    def met(self) -> bool:
        return self.value <= self.most


class Asked:
    """One folder, whose rooms are in this process."""

    def __init__(self, rooms: Rooms, objects: int, versions: int, seed: int) -> None:
        self._rooms, self._objects, self._versions = rooms, objects, versions
        self._random = random.Random(seed)
        self._new = 0
        self._ids: list[str] = []

    def _key(self) -> str:
        return big_folder.key_of(self._random.randrange(self._objects))

    def _fresh(self) -> str:
        self._new += 1
        return f"{self._key()}/new{self._new}"

    # Each gives a request that is ready to be asked, so that only its answer is counted.
    def get(self) -> Callable[[], Awaitable[object]]:
        return self._ready("GET", FLAT, self._key())

    def head(self) -> Callable[[], Awaitable[object]]:
        return self._ready("HEAD", FLAT, self._key())

    def put(self) -> Callable[[], Awaitable[object]]:
        return self._ready("PUT", FLAT, self._fresh(), _BODY)

    def replace(self) -> Callable[[], Awaitable[object]]:
        return self._ready("PUT", FLAT, self._key(), _BODY)

    def list_page(self) -> Callable[[], Awaitable[object]]:
        start = big_folder.key_of(self._random.randrange(self._objects - 2 * _PAGE))
        return self._ready("GET", FLAT, "", b"", **{"list-type": "2", "start-after": start})

    async def delete_objects(self) -> Callable[[], Awaitable[object]]:
        keys = [self._fresh() for _ in range(_DELETED)]
        for key in keys:
            await self._ready("PUT", FLAT, key, _BODY)()
        return lambda: _delete(self._rooms, keys)

    def get_one(self) -> Callable[[], Awaitable[object]]:
        return self._ready("GET", DEEP, ONE)

    def head_one(self) -> Callable[[], Awaitable[object]]:
        return self._ready("HEAD", DEEP, ONE)

    def put_one(self) -> Callable[[], Awaitable[object]]:
        return self._ready("PUT", DEEP, ONE, _BODY)

    def list_deep(self) -> Callable[[], Awaitable[object]]:
        return self._ready("GET", DEEP, "", b"", **{"list-type": "2"})

    async def list_versions(self) -> Callable[[], Awaitable[object]]:
        """A page of ten from the midst of the versions."""
        return self._ready(
            "GET", DEEP, "", b"", **{"versions": "", "max-keys": "5", "key-marker": ONE, "version-id-marker": await self._id()}
        )

    async def delete_version(self) -> Callable[[], Awaitable[object]]:
        version_id = await self._id()
        self._ids.remove(version_id)
        return self._ready("DELETE", DEEP, ONE, b"", versionId=version_id)

    async def delete_newest(self) -> Callable[[], Awaitable[object]]:
        answer = await self._ready("GET", DEEP, "", b"", **{"versions": "", "max-keys": "1"})()
        assert isinstance(answer, bytes)
        return self._ready("DELETE", DEEP, ONE, b"", versionId=_version_ids(answer)[0])

    async def _id(self) -> str:
        """Of a version that is old, from another place each time where there are many."""
        if len(self._ids) < 4:
            answer = await self._ready("GET", DEEP, "", b"", **{"versions": "", "max-keys": "1000"})()
            assert isinstance(answer, bytes)
            ids = _version_ids(answer)
            self._ids = ids[len(ids) // 2 :]
        return self._random.choice(self._ids)

    def _ready(self, method: str, bucket: str, key: str, body: bytes = b"", **query: str) -> Callable[[], Awaitable[object]]:
        request = self._rooms.head(method, bucket, key, len(body), **query)
        return lambda: self._rooms.request(request, body)


def _version_ids(answer: bytes) -> list[str]:
    return [each.decode() for each in re.findall(rb"<VersionId>([^<]+)</VersionId>", answer)]


#: name, method of ``Asked``, requests of one sample
REQUESTS: Final = (
    ("GET", "get", 300),
    ("HEAD", "head", 300),
    ("PUT of a new key", "put", 150),
    ("PUT over an object", "replace", 150),
    ("ListObjectsV2, 1,000 keys", "list_page", 10),
    ("DeleteObjects, 100 keys", "delete_objects", 10),
    ("GET of the key with many versions", "get_one", 300),
    ("HEAD of it", "head_one", 300),
    ("PUT of another version", "put_one", 100),
    ("ListObjectsV2 of its bucket", "list_deep", 50),
    ("ListObjectVersions, 5 in their midst", "list_versions", 50),
    ("DELETE of an old version", "delete_version", 3),
    ("DELETE of the newest version", "delete_newest", 30),
)


async def requests(few: Asked, many: Asked, rounds: int, say: Callable[[str], None]) -> list[Line]:
    lines = [Line(name, "µs", DELETES_MOST if method == "delete_objects" else MOST) for name, method, _ in REQUESTS]
    for number in range(rounds):
        for line, (_, method, times) in zip(lines, REQUESTS, strict=True):
            say(f"round {number + 1} of {rounds}: {line.name}")
            for asked, found in ((few, line.few), (many, line.many)):
                found.append(await _sample(asked, method, times))
    return lines


async def _sample(asked: Asked, method: str, times: int) -> float:
    """Microseconds of processor time for one, with the pages that it needs in memory: reads are asked for twice."""
    spent = 0.0
    reads = method not in {"put", "replace", "delete_objects", "put_one", "delete_version", "delete_newest"}
    for _ in range(max(1, times // 10)):
        acts = []
        for _ in range(min(times, 10)):
            made = getattr(asked, method)()
            acts.append(await made if asyncio.iscoroutine(made) else made)
        if reads:
            for act in acts:
                await act()
        remaining = iter(acts)
        spent += await processor_us(lambda remaining=remaining: next(remaining)(), len(acts))
    return spent / max(1, times // 10)


# ------------------------------------------------------------------------------------------------------------- processes
def _children(pid: int) -> list[int]:
    return [int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]


def _processor_seconds(pid: int) -> float:
    numbers = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(numbers[11]) + int(numbers[12])) / os.sysconf("SC_CLK_TCK")


def _resident_mib(pid: int) -> float:
    """Proportional: what is shared with others counts in part. Pages of mapped files are among it."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")) / 1024


class Served:
    """A server of one worker on a folder, started to be looked at; a context."""

    def __init__(self, folder: Path, account: servers.Account) -> None:
        environ = servers.environ() | {
            "STRONGROOM_LISTEN": "127.0.0.1:0",
            "STRONGROOM_ROW_MEMORY_MIB": UNREMEMBERED["row_memory_mib"],
        }
        began = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "strongroom", "serve", str(folder)],
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=servers.ROOT,
        )
        assert self._process.stdout is not None
        line = next((line for line in self._process.stdout if line.startswith("ready ")), None)
        if line is None:
            raise RuntimeError(f"no server on {folder}")
        self.seconds = time.monotonic() - began
        self.worker = max(_children(self._process.pid))
        self.processor = _processor_seconds(self._process.pid) + _processor_seconds(self.worker)
        self.host = line.split("//")[1].strip()
        self.signer = Signer(self.host, account.access_key_id, account.secret_access_key)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(60)

    def gets(self, objects: int, count: int, seed: int) -> float:
        """Microseconds of the worker's processor time for one GET over a socket, of keys from all over the bucket."""
        numbers = random.Random(seed)
        targets = self.signer.presigned("GET", FLAT, [big_folder.key_of(numbers.randrange(objects)) for _ in range(count)])
        connection = HTTPConnection(self.host, timeout=60)
        spent = 0.0
        for counted in (False, True):
            began = _processor_seconds(self.worker)
            for target in targets:
                connection.request("GET", target)
                answer = connection.getresponse()
                if answer.status != 200 or len(answer.read()) != big_folder.BODY:
                    raise RuntimeError(f"GET was answered {answer.status}")
            spent = _processor_seconds(self.worker) - began if counted else 0.0
        connection.close()
        return spent / count * 1e6


def processes(
    few: Path, many: Path, objects: int, account: servers.Account, rounds: int, say: Callable[[str], None]
) -> list[Line]:
    ready = Line("start until ready", "s", START_SECONDS, absolute=True)
    busy = Line("processor time of a start", "s", MOST)
    idle = Line("memory of an idle worker, just started", "MiB", 8.0, difference=True)
    swept = Line("memory after GETs all over the bucket", "MiB", MEMORY_MIB, difference=True)
    socket = Line("GET over a socket", "µs", MOST)
    for number in range(rounds):
        say(f"start {number + 1} of {rounds}")
        for folder, count, column in ((few, FEW, "few"), (many, objects, "many")):
            with Served(folder, account) as served:
                getattr(ready, column).append(served.seconds)
                getattr(busy, column).append(served.processor)
                time.sleep(0.5)
                getattr(idle, column).append(_resident_mib(served.worker))
                getattr(socket, column).append(served.gets(count, 3_000, number))
                if number == rounds - 1:
                    served.gets(count, 30_000, 99)
                    getattr(swept, column).append(_resident_mib(served.worker))
    return [ready, busy, idle, swept, socket]


# ------------------------------------------------------------------------------------------------------------------ room
async def room(folder: Path, account: servers.Account, writes: int, say: Callable[[str], None]) -> list[Line]:
    """A mixed run with upkeep at work, a long reader in its second third; then everything is deleted."""
    usual = Line("log while nobody reads long, at most", "MiB", 16.0, absolute=True)
    after = Line("log after a long reader has gone", "MiB", 64.0, absolute=True)
    left = Line("catalog when all was deleted", "MiB", 20.0, absolute=True)
    path = folder / FILE
    async with Rooms(folder, account) as rooms:
        upkeep = asyncio.create_task(rooms.house.upkeep.run())
        await rooms.request(rooms.head("PUT", FLAT))
        try:
            largest = await _mixed(rooms, range(writes // 3), path, say)
            with closing(sqlite3.connect(path, isolation_level=None)) as reader:
                reader.execute("BEGIN")
                reader.execute("SELECT count(*) FROM version").fetchone()
                grown = await _mixed(rooms, range(writes // 3, 2 * writes // 3), path, say)
            await _until(lambda: log_size(path) <= LOG_MOST, 60)
            await _mixed(rooms, range(2 * writes // 3, writes), path, say)
            drained, full = log_size(path), path.stat().st_size
            for first in range(0, _KEYS, _PAGE):
                await _delete(rooms, [big_folder.key_of(number) for number in range(first, first + _PAGE)])
            await _until(lambda: path.stat().st_size <= (20 << 20), 120)
        finally:
            upkeep.cancel()
            await asyncio.gather(upkeep, return_exceptions=True)
    for line, few, many in ((usual, 0, largest), (after, grown, drained), (left, full, path.stat().st_size)):
        line.few.append(few / (1 << 20))
        line.many.append(many / (1 << 20))
    return [usual, after, left]


async def _mixed(rooms: Rooms, numbers: range, path: Path, say: Callable[[str], None]) -> int:
    """PUTs of 4 KiB, a GET beside each and a DELETE now and then; the longest that the log was, in bytes."""
    places, longest, body = random.Random(numbers.start), 0, os.urandom(4096)
    for first in range(numbers.start, numbers.stop, 32):
        say(f"mixed run: {first:,} writes")
        keys = [big_folder.key_of(places.randrange(_KEYS)) for _ in range(32)]
        await asyncio.gather(*(rooms.request(rooms.head("PUT", FLAT, key, len(body)), body) for key in keys))
        await asyncio.gather(*(rooms.request(rooms.head("GET", FLAT, key)) for key in keys))
        await rooms.request(rooms.head("DELETE", FLAT, keys[0]))
        longest = max(longest, log_size(path))
    return longest


async def _delete(rooms: Rooms, keys: list[str]) -> None:
    body = b"<Delete>" + b"".join(b"<Object><Key>%s</Key></Object>" % key.encode() for key in keys) + b"</Delete>"
    request = rooms.head("POST", FLAT, size=len(body), delete="")
    request.headers["content-md5"] = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
    await rooms.request(request, body)


async def _until(condition: Callable[[], bool], seconds: float) -> None:
    """Or until the time is over: the line then shows it."""
    for _ in range(int(seconds / 0.2)):
        if condition():
            return
        await asyncio.sleep(0.2)


# ----------------------------------------------------------------------------------------------------------------- a run
async def _filled(folder: Path, account: servers.Account, objects: int, versions: int, say: Callable[[str], None]) -> None:
    async with Rooms(folder, account) as rooms:
        await big_folder.fill(rooms, objects, versions, say)


async def _asked(
    few: Path, many: Path, account: servers.Account, chosen: argparse.Namespace, say: Callable[[str], None]
) -> list[Line]:
    async with Rooms(few, account, **UNREMEMBERED) as small, Rooms(many, account, **UNREMEMBERED) as large:
        pair = Asked(small, FEW, FEW_VERSIONS, 5), Asked(large, chosen.objects, chosen.versions, 5)
        return await requests(*pair, chosen.rounds, say)


def show(console: Console, lines: list[Line], chosen: argparse.Namespace, size: int) -> None:
    title = f"{chosen.objects:,} objects and {chosen.versions:,} versions of one key ({size / 1e9:.1f} GB) beside {FEW:,} and {FEW_VERSIONS}"
    table = Table(title=title, box=None, pad_edge=False)
    for heading in ("", "few", "many", "", "at most", ""):
        table.add_column(heading, justify="left" if heading == "" else "right")
    for line in lines:
        kind = "" if line.absolute else "+" if line.difference else "x"
        values = (
            f"{median(line.few):,.2f}",
            f"{median(line.many):,.2f} {line.unit}",
            f"{kind}{line.value:.2f}",
            f"{line.most:.2f}",
        )
        table.add_row(line.name, *values, "" if line.met else "MISSED")
    console.print(table)


def options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench/growth.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--objects", type=int, default=1_000_000, metavar="N")
    parser.add_argument("--versions", type=int, default=200_000, metavar="N", help="of one key")
    parser.add_argument("--rounds", type=int, default=7, metavar="N")
    parser.add_argument("--writes", type=int, default=60_000, metavar="N", help="of the mixed run")
    parser.add_argument("--starts", type=int, default=5, metavar="N")
    parser.add_argument(
        "--folder", type=Path, default=servers.ROOT / "bench" / "results", help="below which the data folders are made"
    )
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where they are left, and found again")
    chosen = parser.parse_args(arguments)
    if chosen.objects < FEW or chosen.versions < 2_000 or chosen.rounds < 1 or chosen.starts < 1:
        parser.error(f"at least {FEW:,} objects, 2,000 versions, one round and one start")
    return chosen


def main(arguments: list[str]) -> int:
    chosen = options(arguments)
    console = Console(width=None if sys.stdout.isatty() else 140)
    chosen.folder.mkdir(parents=True, exist_ok=True)
    work = chosen.keep or Path(tempfile.mkdtemp(prefix=".growth-", dir=chosen.folder))
    account = servers.Account("AKIAGROWTHGROWTHGROW", "growth/secret+growth/secret+growth/secre")
    few, many = work / "few", work / "many"
    try:
        if shutil.disk_usage(chosen.folder).free < (need := chosen.objects * 1_200 + (1 << 30)):
            console.print(f"growth: {need / 1e9:.0f} GB must be free below {chosen.folder}")
            return 1
        with console.status("") as status:
            for folder, objects, versions in ((few, FEW, FEW_VERSIONS), (many, chosen.objects, chosen.versions)):
                if not (folder / FILE).exists():
                    uvloop.run(_filled(folder, account, objects, versions, status.update))
            size = (many / FILE).stat().st_size
            lines = uvloop.run(_asked(few, many, account, chosen, status.update))
            lines += uvloop.run(room(work / "mixed", account, chosen.writes, status.update))
            lines += processes(few, many, chosen.objects, account, chosen.starts, status.update)
            shutil.rmtree(work / "mixed")
    finally:
        if chosen.keep is None:
            shutil.rmtree(work, ignore_errors=True)
    show(console, lines, chosen, size)
    return 0 if all(line.met for line in lines) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
