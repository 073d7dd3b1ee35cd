"""``make torture``: clients write, the server is killed at a random moment, started again, and everything is looked at; again and again.

Everything random follows from one seed, which is printed; when a request is cut off depends on the machine as well. Traffic stays
on the loopback interface, and a run ends by itself after its rounds or its minutes.

    make torture                                    100 rounds
    make torture TORTURE="--rounds 5"               a short one, as CI has it
    make torture TORTURE="--seed 7 --keep"          another one; the data folder stays when something was found
"""

from __future__ import annotations

import argparse
import json
import random
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from tests.clients.house import Server
from torture import checks
from torture.drill import Drill
from torture.guarded import EXPIRING, LOCKED, later, rules
from torture.writers import PLAIN, VERSIONED, Writer

JOIN: Final = 60.0  # seconds until a writer whose server is gone has noticed
TOOL: Final = 120.0  # and until one of the operator's tools has ended


@dataclass(slots=True)
class Summary:
    """What a run did and found."""

    seed: int
    rounds: int = 0
    kills: int = 0
    stops: int = 0
    tools_killed: int = 0
    backups: int = 0
    backups_killed: int = 0
    drills: int = 0
    scrubs: int = 0
    seconds: float = 0.0
    requests: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def text(self) -> str:
        acts = ", ".join(f"{name} {count:,}" for name, count in sorted(self.requests.items()))
        return (
            f"seed {self.seed}: {self.rounds} rounds ({self.kills} SIGKILL, {self.stops} SIGTERM; rewrap, lifecycle and scrub killed "
            f"{self.tools_killed} times; {self.scrubs} scrubs; {self.backups} backups, {self.backups_killed} more killed, {self.drills} restored) "
            f"in {self.seconds:,.0f} s; {sum(self.requests.values()):,} acknowledged acts ({acts}); {len(self.faults)} faults"
        )


class Torture:
    """One server on one folder, from its first start to the last look at what is left."""

    def __init__(self, folder: Path, seed: int, *, writers: int, workers: int, longest: float, drill: int) -> None:
        """``drill``: a backup is restored in every so many rounds; 0: never."""
        self.summary = Summary(seed)
        self._random = random.Random(seed)
        # Discarded blobs go at once, so that killing meets their deletion too; a shared data key lives for a second.
        quick = {f"STRONGROOM_{name}_SECONDS": "1" for name in ("DISCARD_GRACE", "BUCKET_KEY", "LIFECYCLE")}
        self._server = Server(folder, quick, workers=workers)
        self._drill = Drill(self._server)
        self._every = drill
        self._longest = longest
        self._s3: Any = None
        self._keys: list[str] = []
        self._writers: list[Writer] = []
        self._count = writers

    def run(self, rounds: int, minutes: float, console: Console) -> Summary:
        started = time.monotonic()
        self._server.start()
        self._s3 = self._server.client("s3", max_pool_connections=64)
        self._furnish()
        try:
            while self.summary.rounds < rounds and not self.summary.faults and time.monotonic() - started < minutes * 60:
                self._round()
                self.summary.seconds = time.monotonic() - started
                console.print(
                    f"round {self.summary.rounds}: {sum(self.summary.requests.values()):,} acts, {len(self.summary.faults)} faults"
                )
            if not self.summary.faults:
                self._server.stop()
                self.summary.faults += checks.leftovers(self._server)
        finally:
            self._server.close()
        self.summary.seconds = time.monotonic() - started
        return self.summary

    def _furnish(self) -> None:
        """Buckets under every mode that needs nothing of the client, and two keys to move between."""
        kms = self._server.client("kms")
        self._keys = [kms.create_key()["KeyMetadata"]["Arn"] for _ in range(2)]
        kms.close()
        for bucket in (*PLAIN, VERSIONED, EXPIRING):
            self._s3.create_bucket(Bucket=bucket)
        self._s3.create_bucket(Bucket=LOCKED, ObjectLockEnabledForBucket=True)
        for bucket, algorithm in (("under-kms", "aws:kms"), ("dsse", "aws:kms:dsse"), (VERSIONED, "aws:kms")):
            default = {"SSEAlgorithm": algorithm, "KMSMasterKeyID": self._keys[0]}
            rule = {"ApplyServerSideEncryptionByDefault": default, "BucketKeyEnabled": bucket == VERSIONED}
            self._s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
        self._s3.put_bucket_versioning(Bucket=VERSIONED, VersioningConfiguration={"Status": "Enabled"})
        self._writers = [Writer(number, self._keys[1]) for number in range(self._count)]

    def _round(self) -> None:
        summary, chance = self.summary, self._random
        summary.rounds += 1
        dying, stopping = threading.Event(), threading.Event()
        if chance.random() < 0.7:
            configuration = rules(summary.rounds)
            self._s3.put_bucket_lifecycle_configuration(Bucket=EXPIRING, LifecycleConfiguration=configuration)
        drilled = self._every > 0 and summary.rounds % self._every == 0
        if drilled:
            for writer in self._writers:
                writer.mark()
        threads = [writer.begin(self._s3, chance.getrandbits(64), dying, stopping) for writer in self._writers]
        tool = self._rewrap() if chance.random() < 0.5 else None
        backup = self._tool(*self._drill.command()) if drilled or chance.random() < 0.3 else None
        scrub = self._tool("scrub", "run", "--now", "--json", "--data", str(self._server.data)) if chance.random() < 0.3 else None
        time.sleep(chance.uniform(0.1, self._longest))
        dying.set()
        if chance.random() < 0.8:
            self._server.kill()
            summary.kills += 1
        else:
            self._server.stop()
            summary.stops += 1
        stopping.set()
        if tool is not None:
            summary.faults += self._end(tool)
        if scrub is not None:
            summary.faults += self._end_scrub(scrub)
        if backup is not None:
            summary.faults += self._end_backup(backup, whole=drilled)
        for thread in threads:
            thread.join(JOIN)
            if thread.is_alive():
                summary.faults.append(f"{thread.name} hangs")
        summary.requests = sum((writer.done for writer in self._writers), Counter())
        summary.faults += [fault for writer in self._writers for fault in writer.faults]
        if chance.random() < 0.3:
            summary.faults += self._expire()
        self._server.start()
        summary.faults += checks.reads(self._s3, self._writers)
        summary.faults += checks.tools(self._server, bodies=summary.rounds % 10 == 0)
        if drilled and not summary.faults:
            summary.faults += self._drill.restore(self._writers)
            summary.drills = self._drill.restored

    def _rewrap(self) -> subprocess.Popen[str]:
        words = ("rewrap", "--bucket", self._random.choice(("under-kms", VERSIONED)), "--to-key", self._random.choice(self._keys))
        return self._tool(*words, "--json", "--data", str(self._server.data))

    def _expire(self) -> list[str]:
        """The operator's lifecycle, three days on, which needs that no server runs; half of the times it is killed."""
        tool = self._tool("lifecycle", "run", "--now", later(), "--bucket", EXPIRING, "--data", str(self._server.data))
        try:
            tool.wait(self._random.uniform(0.3, 2.0) if self._random.random() < 0.5 else TOOL)
        except subprocess.TimeoutExpired:
            return self._end(tool)
        said, _ = tool.communicate()
        return [f"lifecycle run ended with {tool.returncode}: {said[-500:]}"] if tool.returncode else []

    def _end_backup(self, tool: subprocess.Popen[str], *, whole: bool) -> list[str]:
        """One that is to be restored goes on while the server is dead, and must end well; another is killed if it is still at work."""
        if not whole and tool.poll() is None:
            tool.kill()
            tool.communicate()
            self.summary.backups_killed += 1
            return []
        said, _ = tool.communicate(timeout=TOOL)
        self.summary.backups += 1
        return [f"backup ended with {tool.returncode}: {said[-1500:]}"] if tool.returncode else []

    def _end_scrub(self, tool: subprocess.Popen[str]) -> list[str]:
        """Writers, deletes and kills beside it look like no damage; half of the times it is killed, else it goes on without a server."""
        if tool.poll() is None and self._random.random() < 0.5:
            tool.kill()
            tool.communicate()
            self.summary.tools_killed += 1
            return []
        said, _ = tool.communicate(timeout=TOOL)
        self.summary.scrubs += 1
        # A server that was killed leaves blobs without a row, which upkeep sweeps.
        damage = [line for line in said.splitlines() if line.startswith('{"kind": ') and json.loads(line)["kind"] != "orphaned"]
        if damage or tool.returncode not in {0, 1}:
            return [f"scrub ended with {tool.returncode}: {said[-1500:]}"]
        return []

    def _tool(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*self._server.command, *words],
            env=self._server.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def _end(self, tool: subprocess.Popen[str]) -> list[str]:
        """SIGKILL for a tool that is still at work; one that has ended must not have failed."""
        if tool.poll() is None:
            tool.kill()
            self.summary.tools_killed += 1
        said, _ = tool.communicate()
        return [f"a tool ended with {tool.returncode}: {said[-500:]}"] if tool.returncode not in {0, 1, -9} else []


def options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make torture", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=100, metavar="N", help="how often it is killed or stopped (default 100)")
    parser.add_argument("--minutes", type=float, default=30.0, metavar="N", help="no round begins after so many (default 30)")
    parser.add_argument("--seed", type=int, default=secrets.randbits(32), metavar="N", help="default: a new one")
    parser.add_argument("--writers", type=int, default=4, metavar="N", help="clients that write at once (default 4)")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="worker processes of the server (default 2)")
    parser.add_argument(
        "--longest", type=float, default=2.0, metavar="S", help="seconds of load before a kill, at most (default 2)"
    )
    parser.add_argument(
        "--drill", type=int, default=5, metavar="N", help="restore a backup in every N-th round (default 5; 0: never)"
    )
    parser.add_argument("--keep", action="store_true", help="keep the data folder and the log when something was found")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the summary there too")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    chosen = options(arguments)
    console = Console(width=None if sys.stdout.isatty() else 130, highlight=False)
    console.print(f"seed {chosen.seed}")
    folder = Path(tempfile.mkdtemp(prefix="strongroom-torture-"))
    torture = Torture(
        folder, chosen.seed, writers=chosen.writers, workers=chosen.workers, longest=chosen.longest, drill=chosen.drill
    )
    summary = torture.run(chosen.rounds, chosen.minutes, console)
    for fault in summary.faults:
        console.print(f"[red]fault[/] {fault}", markup=True)
    console.print(summary.text(), markup=False)
    if chosen.json is not None:
        shown = {name: getattr(summary, name) for name in Summary.__slots__}
        chosen.json.write_text(json.dumps(shown, indent=1) + "\n", "utf-8")
    if summary.faults and chosen.keep:
        console.print(f"kept: {folder}", markup=False)
    else:
        shutil.rmtree(folder)
    return 1 if summary.faults else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
