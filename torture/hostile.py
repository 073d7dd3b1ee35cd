"""``make hostile``: what a well-behaved caller keeps of its throughput while others attack, and what memory the worker takes.

One server with one worker on the loopback interface, with the default ceilings. A caller puts and gets 16 KiB objects over four
connections that stay open, alone and beside an attack in turn, several rounds for each attack: "kept" is the median of the rounds' ratios, since a
machine is not equally quiet all the time. Meanwhile the time until a new connection is answered is taken ("new", the longest). Attackers
are processes on the same machine, so what they cost its processors counts against the server too: two controls, which attack nothing,
show how much that is, and how quiet the machine was. Everything is bounded in number and time, and ends by itself. Exit code 1 if
something did not hold.

    make hostile                              three rounds, 3 seconds for each phase, about five minutes
    make hostile HOSTILE="--rounds 5 --seconds 5 --only uploads"
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import resource
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from multiprocessing.synchronize import Event
from pathlib import Path
from statistics import median
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from tests.clients.house import STRANGER, Account, Server

LEAST: Final = 0.5  # of its throughput that the well-behaved caller keeps
CONNECTIONS: Final = 4
OBJECT: Final = bytes(16 << 10)
LARGE: Final = 64 << 20
PIECE: Final = bytes(256 << 10)
UPLOADS: Final = 32  # keys that are written
READERS: Final = 4  # objects of that size that are downloaded
LEAD_IN: Final = 3.0  # seconds until an attack is in full swing
HEADER_SECONDS: Final = 5
#: Of the worker, MiB: what it is without load and its caches grow to; beside it stand memory for bodies, and connections at their worst.
BASE_MIB: Final = 192
BODY_MIB: Final = 512
CONNECTIONS_MOST: Final = 2048

Target = str  # path and query of a presigned URL


@dataclass(frozen=True)
class Goal:
    """What an attack is pointed at."""

    port: int
    targets: tuple[Target, ...]


# ------------------------------------------------------------------------------------------------------------- the attacks


async def _reader_writer(goal: Goal) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.wait_for(asyncio.open_connection("127.0.0.1", goal.port), 5)


async def _drips(goal: Goal, head: bytes, drop: bytes) -> None:
    """Say ``head``, and then a little every second, until one is cut off."""
    reader, writer = await _reader_writer(goal)
    try:
        writer.write(head)
        while True:
            await writer.drain()
            with suppress(TimeoutError):
                if not await asyncio.wait_for(reader.read(1 << 16), 1):
                    return
            writer.write(drop)
    finally:
        writer.close()


async def slowloris(goal: Goal, _number: int) -> None:
    await _drips(goal, b"GET / HTTP/1.1\r\nHost: h\r\n", b"a: b\r\n")


async def idle(goal: Goal, _number: int) -> None:
    await _drips(goal, b"", b"")


async def slow_bodies(goal: Goal, _number: int) -> None:
    """Calls to STS that nobody signed well: the body is to be read before that can be seen."""
    credential = "AKIAIOSFODNN7EXAMPLE/20260101/us-east-1/sts/aws4_request"
    head = (
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 60000\r\n"
        f"Authorization: AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature={'0' * 64}\r\n"
        "X-Amz-Date: 20260101T000000Z\r\n\r\n"
    )
    await _drips(goal, head.encode(), b"a")


async def bad_signatures(goal: Goal, number: int) -> None:
    """As fast as they are answered, over one connection."""
    reader, writer = await _reader_writer(goal)
    try:
        target = goal.targets[number % UPLOADS][:-8] + "00000000"
        while True:
            writer.write(f"PUT {target} HTTP/1.1\r\nHost: 127.0.0.1:{goal.port}\r\nContent-Length: 0\r\n\r\n".encode())
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
            await reader.readexactly(length)
    finally:
        writer.close()


async def large_uploads(goal: Goal, number: int) -> None:
    """One after the other, tried again at once when it is refused."""
    reader, writer = await _reader_writer(goal)
    try:
        target = goal.targets[READERS + number % (UPLOADS - READERS)]  # not onto what is downloaded
        writer.write(f"PUT {target} HTTP/1.1\r\nHost: 127.0.0.1:{goal.port}\r\nContent-Length: {LARGE}\r\n\r\n".encode())
        answer = asyncio.create_task(reader.read(1 << 16))
        answer.add_done_callback(lambda done: done.cancelled() or done.exception())  # seen, or it is told on the terminal
        for _ in range(LARGE // len(PIECE)):
            if answer.done():
                return
            writer.write(PIECE)
            await writer.drain()
        await answer
    finally:
        writer.close()


async def large_downloads(goal: Goal, number: int) -> None:
    """One after the other, taken as fast as they come."""
    reader, writer = await _reader_writer(goal)
    try:
        target = goal.targets[-1 - number % READERS]
        writer.write(f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{goal.port}\r\nConnection: close\r\n\r\n".encode())
        while await reader.read(1 << 20):
            pass
    finally:
        writer.close()


async def nothing(_goal: Goal, _number: int) -> None:
    """What the machine's own unrest costs."""
    await asyncio.sleep(3600)


async def busy(_goal: Goal, _number: int) -> None:
    """What an attacker's processor time costs, who shares the machine and never comes near the server."""
    end = time.monotonic() + 0.1
    while time.monotonic() < end:
        pass


Attack = Callable[[Goal, int], Awaitable[None]]


def _attack(attack: Attack, goal: Goal, count: int, over: Event) -> None:
    """``count`` of them at a time, until it is over."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, count + 200)), hard))

    async def again(number: int) -> None:
        while True:
            with suppress(OSError, TimeoutError, asyncio.IncompleteReadError, ValueError):
                await attack(goal, number)
            await asyncio.sleep(0.01)

    async def run() -> None:
        tasks: list[asyncio.Task[None]] = []
        for number in range(count):
            tasks.append(asyncio.create_task(again(number)))
            if number % 100 == 99:
                await asyncio.sleep(0.05)
        await asyncio.to_thread(over.wait, 120)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(run())


# ------------------------------------------------------------------------------------------------------ the well-behaved caller


def _behave(goal: Goal, seconds: float, go: Event, tell: Any) -> None:
    """Put, get, put, get, from when it may: tells how many were answered 200, and what else was answered."""
    answers: Counter[int] = Counter()
    connected = threading.Barrier(CONNECTIONS + 1)

    def ask(connection: HTTPConnection, method: str, target: Target, body: bytes | None = None) -> int:
        try:
            connection.request(method, target, body)
            response = connection.getresponse()
            response.read()
        except (OSError, HTTPException):
            connection.close()
            return 0
        return response.status

    def one(number: int) -> None:
        put, get = goal.targets[2 * number : 2 * number + 2]
        connection = HTTPConnection("127.0.0.1", goal.port, timeout=seconds + 10)
        ask(connection, "GET", "/-/live")
        connected.wait()
        while not go.wait(1):
            ask(connection, "GET", "/-/live")  # the connection does not rest
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            answers[ask(connection, "PUT", put, OBJECT)] += 1
            answers[ask(connection, "GET", get)] += 1
        connection.close()

    threads = [threading.Thread(target=one, args=(number,)) for number in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    connected.wait()
    tell.send("connected")
    for thread in threads:
        thread.join()
    tell.send(answers)


def _newcomer(port: int) -> float:
    """Seconds until a connection that is made now is answered."""
    started = time.monotonic()
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", "/-/live")
        connection.getresponse().read()
    except OSError:
        return float("inf")
    finally:
        connection.close()
    return time.monotonic() - started


# ------------------------------------------------------------------------------------------------------------------- the run


@dataclass(frozen=True)
class Seen:
    rate: float
    others: int  # answers to the well-behaved caller that were not 200
    newcomer: float


@dataclass(frozen=True)
class Rounds:
    """Medians, but for ``lowest``, the sum of ``others`` and the longest ``newcomer``."""

    alone: float
    beside: float
    kept: float
    lowest: float
    others: int
    newcomer: float


class Run:
    def __init__(self, server: Server, seconds: float) -> None:
        self._server = server
        self._seconds = seconds
        self._spawn = multiprocessing.get_context("spawn")
        self._stranger = server.account(STRANGER, "stranger")
        server.client("s3").create_bucket(Bucket="behaved")
        server.client("s3", self._stranger).create_bucket(Bucket="hostile")
        self._good = Goal(server.port, tuple(self._presigned(server.owner, "behaved", CONNECTIONS, "put_object", "get_object")))
        uploads = self._presigned(self._stranger, "hostile", UPLOADS, "put_object")
        downloads = self._presigned(self._stranger, "hostile", READERS, "get_object")
        self._bad = Goal(server.port, tuple(uploads + downloads))
        for number in range(READERS):
            server.client("s3", self._stranger).put_object(Bucket="hostile", Key=f"key-{number}", Body=bytes(LARGE))

    def _presigned(self, who: Account, bucket: str, count: int, *methods: str) -> list[Target]:
        client = self._server.client("s3", who, signature_version="s3v4")
        return [
            client.generate_presigned_url(method, {"Bucket": bucket, "Key": f"key-{number}"}).removeprefix(self._server.url)
            for number in range(count)
            for method in methods
        ]

    def rounds(self, count: int, attack: Attack, number: int) -> Rounds:
        """Alone and beside it in turn."""
        pairs: list[tuple[Seen, Seen]] = []
        for _ in range(count):
            alone = self.alone()
            pairs.append((alone, self.beside(attack, number)))
            time.sleep(1)
        kept = [beside.rate / alone.rate if alone.rate else 0.0 for alone, beside in pairs]
        return Rounds(
            median(alone.rate for alone, _ in pairs),
            median(beside.rate for _, beside in pairs),
            median(kept),
            min(kept),
            sum(alone.others + beside.others for alone, beside in pairs),
            max(beside.newcomer for _, beside in pairs),
        )

    def alone(self) -> Seen:
        return self._watch(None)

    def beside(self, attack: Attack, count: int) -> Seen:
        over = self._spawn.Event()
        attacker = self._spawn.Process(target=_attack, args=(attack, self._bad, count, over))
        try:
            return self._watch(attacker)
        finally:
            over.set()
            attacker.join(10)
            if attacker.is_alive():
                attacker.kill()
                attacker.join()

    def _watch(self, attacker: Any) -> Seen:
        """The well-behaved caller connects, then the attack begins, then the caller goes to work."""
        heard, tell = self._spawn.Pipe(duplex=False)
        go = self._spawn.Event()
        caller = self._spawn.Process(target=_behave, args=(self._good, self._seconds, go, tell))
        caller.start()
        self._hear(heard)
        if attacker is not None:
            attacker.start()
            time.sleep(LEAD_IN)
        go.set()
        time.sleep(self._seconds / 2)
        newcomer = _newcomer(self._server.port)
        answers: Counter[int] = self._hear(heard)
        caller.join(10)
        return Seen(answers[200] / self._seconds, answers.total() - answers[200], newcomer)

    def _hear(self, heard: Any) -> Any:
        if not heard.poll(self._seconds + 60):
            raise SystemExit("the well-behaved caller did not come to its end")
        return heard.recv()


#: No attacks, but what to hold them against: they never fail.
CONTROLS: Final = ("(nothing)", "(a busy process)")
ATTACKS: Final[tuple[tuple[str, Attack, int], ...]] = (
    (CONTROLS[0], nothing, 1),
    (CONTROLS[1], busy, 1),
    ("slow heads", slowloris, 1000),
    ("idle connections", idle, 3000),
    ("slow unsigned bodies", slow_bodies, 300),
    ("bad signatures", bad_signatures, 64),
    ("parallel large uploads", large_uploads, 500),
    ("parallel large downloads", large_downloads, 500),
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make hostile")
    parser.add_argument("--seconds", type=float, default=3.0, help="for each phase")
    parser.add_argument("--rounds", type=int, default=3, help="alone, and beside the attack, for each")
    parser.add_argument("--only", default="", help="a word of the attack's name")
    asked = parser.parse_args()
    console = Console()
    folder = Path(tempfile.mkdtemp(prefix="strongroom-hostile-"))
    server = Server(folder, {"STRONGROOM_HEADER_SECONDS": str(HEADER_SECONDS)})
    server.start()
    failed = False
    table = Table("attack", "count", "alone/s", "beside/s", "kept", "lowest", "not 200", "new, s", "MiB", "")
    most = BASE_MIB + BODY_MIB + CONNECTIONS_MOST * 128 // 1024
    try:
        run = Run(server, asked.seconds)
        run.alone()  # warm
        for name, attack, count in ATTACKS:
            if asked.only not in name:
                continue
            seen = run.rounds(asked.rounds, attack, count)
            peak = server.peak_mib()
            held = name in CONTROLS or (seen.kept >= LEAST and not seen.others and peak <= most)
            failed |= not held
            rates = (f"{seen.alone:.0f}", f"{seen.beside:.0f}", f"{seen.kept:.0%}", f"{seen.lowest:.0%}")
            table.add_row(
                name,
                str(count),
                *rates,
                str(seen.others),
                f"{seen.newcomer:.2f}",
                f"{peak:.0f}",
                "" if name in CONTROLS else _word(held=held),
            )
    finally:
        server.close()
        shutil.rmtree(folder, ignore_errors=True)
    console.print(table)
    console.print(f"Holds: {LEAST:.0%} of the throughput is kept, every answer is 200, and the worker stays below {most} MiB.")
    return 1 if failed else 0


def _word(*, held: bool) -> str:
    return "holds" if held else "FAILS"


if __name__ == "__main__":
    sys.exit(main())
