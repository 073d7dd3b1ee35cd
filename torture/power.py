"""``make powercut``: what is left when the power goes, from a recording of every write and every fsync of a server at work.

The server runs once, under ``strace``, while clients write. Then for many moments of that time the data folder is built as a disk may have
it that lost what was not synced (``disk.py``): all of it, some of it, none of it. A server is started on each such folder, and
everything that was acknowledged before that moment must be there. Needs strace, and permission to trace one's own children.

    make powercut                                   40 moments
    make powercut POWERCUT="--moments 6 --seed 7"
"""

from __future__ import annotations

import argparse
import random
import secrets
import shutil
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from tests.clients.house import Server
from torture import checks, trace
from torture.disk import Disk
from torture.ledger import Current, State, digest
from torture.writers import KEYS, PLAIN, SIZES

KEPT: Final = (0.0, 0.5, 0.9, 1.0)  # how much of what was not synced is there
ACTS: Final = 40  # of each client


@dataclass(frozen=True, slots=True)
class Act:
    """One request: from ``sent`` on it may have happened, from ``acknowledged`` on it must have."""

    bucket: str
    key: str
    state: State
    sent: float
    acknowledged: float


@dataclass(slots=True)
class Client:
    """Writes small and large objects, deletes some; each has keys of its own."""

    s3: Any
    number: int
    chance: random.Random
    acts: list[Act] = field(default_factory=list)

    def work(self) -> None:
        for _ in range(ACTS):
            bucket, key = self.chance.choice(PLAIN), f"{self.number}/{self.chance.randrange(KEYS)}"
            body = None if self.chance.random() < 0.2 else self.chance.randbytes(self.chance.choice(SIZES))
            sent = time.time()
            if body is None:
                self.s3.delete_object(Bucket=bucket, Key=key)
            else:
                self.s3.put_object(Bucket=bucket, Key=key, Body=body)
            self.acts.append(Act(bucket, key, digest(body), sent, time.time()))


def expected(acts: list[Act], moment: float) -> Current:
    """What may be found after a cut at ``moment``; ``acts`` in the order of each key."""
    current = Current()
    for act in acts:
        if act.acknowledged <= moment:
            current.done(act.bucket, act.key, act.state)
        elif act.sent <= moment:
            current.under_way(act.bucket, act.key, act.state)
    return current


def record(server: Server, seed: int) -> tuple[list[Act], float]:
    """Let clients work on a traced server; returns what they did, and when it began."""
    server.start("strace", *trace.OPTIONS, "-e", f"trace={trace.CALLS}", "-o", str(server.folder / "trace"))
    s3 = server.client("s3", max_pool_connections=16)
    for bucket, algorithm in zip(PLAIN, ("AES256", "aws:kms", "aws:kms:dsse"), strict=True):
        s3.create_bucket(Bucket=bucket)
        rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": algorithm}}
        s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
    began = time.time()
    clients = [Client(s3, number, random.Random(seed + number)) for number in range(3)]
    threads = [threading.Thread(target=client.work) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    s3.close()
    server.kill()
    return [act for client in clients for act in client.acts], began


def look(server: Server, acts: list[Act], moment: float) -> list[str]:
    """Start a server on what is left, and hold it to what was acknowledged by then."""
    current = expected(acts, moment)
    server.start()
    s3 = server.client("s3", max_pool_connections=16)
    try:
        faults = [
            fault
            for bucket, key in sorted({(act.bucket, act.key) for act in acts})
            if (fault := current.fault(bucket, key, digest(checks.content(s3, bucket, key)))) is not None
        ]
    finally:
        s3.close()
    return faults + checks.tools(server, bodies=True)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="make powercut", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--moments", type=int, default=40, metavar="N", help="at which the power goes (default 40)")
    parser.add_argument("--seed", type=int, default=secrets.randbits(32), metavar="N", help="default: a new one")
    parser.add_argument("--keep", action="store_true", help="keep everything when something was found")
    chosen = parser.parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else 130, highlight=False)
    console.print(f"seed {chosen.seed}")
    if shutil.which("strace") is None:
        console.print("strace is missing: run  apt-get install strace")
        return 2
    folder = Path(tempfile.mkdtemp(prefix="strongroom-powercut-"))
    chance, started, faults = random.Random(chosen.seed), time.monotonic(), []
    server = Server(folder)
    try:
        acts, began = record(server, chosen.seed)
        events = trace.events(folder / "trace", server.data)
        disk = Disk(server.data, events)
        shutil.rmtree(server.data)
        ends = [act.acknowledged for act in acts]
        console.print(f"{len(acts)} acknowledged writes, {len(events):,} calls that change the disk")
        for number in range(chosen.moments):
            # Every other cut comes just after an acknowledgement, when least is on its way.
            moment = chance.choice(ends) if number % 2 else chance.uniform(began, max(ends))
            kept = KEPT[number // 2 % len(KEPT)]
            disk.image(moment, server.data, random.Random(chance.getrandbits(64)), kept)
            found = look(server, acts, moment)
            faults += [f"cut at {moment - began:.3f} s, {kept:.0%} of the rest kept: {fault}" for fault in found]
            server.kill()
            if found and chosen.keep:
                break
            shutil.rmtree(server.data)
    finally:
        server.close()
    for fault in faults:
        console.print(f"fault: {fault}", markup=False)
    console.print(f"seed {chosen.seed}: {chosen.moments} power cuts in {time.monotonic() - started:,.0f} s, {len(faults)} faults")
    if faults and chosen.keep:
        console.print(f"kept: {folder}", markup=False)
    else:
        shutil.rmtree(folder)
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
