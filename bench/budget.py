"""``make budget``: what each step of a signed 4 KiB request costs, held to its line in ``budget.toml``.

The rooms and the connections run in this process, 32 requests at a time as wrk keeps them, with a stand-in for the transport.
First nothing is counted but the processor time of whole requests; then the boundaries of counting.py are set and the steps are told apart.
Every number is multiplied by what the reference work should take over what it took beside it, so that a line means the same
on another machine. Ends with 1 if a step breaks its line. Prints a table, or with --json one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import random
import socket
import sys
import tempfile
import time
from collections.abc import Coroutine
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any, Final

import counting
import uvloop
from inprocess import HOST, Rooms
from load import BenchError
from reference import Reference
from rich import box
from rich.console import Console
from rich.table import Table
from servers import ROOT, Account

from strongroom.edge.connection import Connection
from strongroom.edge.listener import Listener
from strongroom.numbers import Numbers
from strongroom.worker import _SWITCH_SECONDS  # as a worker has it

SMALL: Final = 4096
AT_ONCE: Final = 32
_WARMING: Final = 64  # groups before the first that counts: most objects have been asked for once by then
BUCKET: Final = "bench-budget"
OBJECTS: Final = 2_000  # in a bucket, asked for in no order
PRESIGNED: Final = ("get", "put", "get-cold")
#: Kinds of requests, and how the server is set for them. Those with headers are signed there, as SDKs do; of a cold one no row is at hand.
KINDS: Final[dict[str, dict[str, str]]] = {
    "get": {},
    "put": {},
    "get-headers": {},
    "put-headers": {},
    "get-cold": {"row_memory_mib": "0"},
}
TOTAL: Final = "all steps"
_WORTH_A_LINE: Final = 0.5  # µs
_KEYS: Final = [f"key/{number:05d}" for number in range(OBJECTS)]
_BODY: Final = bytes(range(256)) * (SMALL // 256)


@dataclass(frozen=True, slots=True)
class Counted:
    """One kind of request: microseconds a request, on the reference machine."""

    kind: str
    steps: dict[str, float]
    lines: dict[str, float]
    processor_us: float  # of this process, all threads, whole requests that nothing counts within
    thread_us: float  # of that, outside the loop's thread
    reference_us: float  # what the reference work took, as measured

    @property
    def title(self) -> str:
        signed = "presigned" if self.kind in PRESIGNED else "signed in its headers"
        return f"{self.kind[:3].upper()} 4 KiB, {signed}{', no row at hand' if self.kind.endswith('cold') else ''}"

    @property
    def broken(self) -> list[str]:
        return [step for step, line in self.lines.items() if self.steps[step] > line]


# ------------------------------------------------------------------------------------------------------------ a client's part
Signed = tuple[str, dict[str, str]]  # a request's target and its headers


class Transport(asyncio.Transport):
    """Keeps the answer of one request."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""

    def write(self, data: Any) -> None:
        self.sent += data

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 50_000) if name == "peername" else default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """It takes all."""

    def is_closing(self) -> bool:
        return False


class Line(Connection):
    """A connection that is asked again and again. Each answer is a coroutine, so that it can be counted."""

    def __init__(self, listener: Listener) -> None:
        super().__init__(listener)
        self._asked: Any = None
        self.transport = Transport()
        self.connection_made(self.transport)

    def _begin(self, asked: Any) -> None:
        self._asked = asked

    async def answered(self, request: bytes, answer: Answer) -> None:
        self.transport.sent = b""
        self.data_received(request)
        await self._answer(self._asked)
        answer.take(self.transport.sent)


@dataclass(slots=True)
class Answer:
    status: int = 0
    answer: bytes = b""

    def take(self, sent: bytes) -> None:
        self.status, self.answer = int(sent[9:12]), sent.partition(b"\r\n\r\n")[2]


class Worker:
    """The rooms and their face, as in a worker process. Lives until ``close``."""

    def __init__(self, data: Path, account: Account, settings: dict[str, str]) -> None:
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self._rooms = Rooms(data, account, Numbers(), **settings)
        self._runner.run(self._rooms.__aenter__())
        self.signer = self._rooms.signer
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._runner.run(self._listen())
        gc.collect()
        gc.freeze()

    async def _listen(self) -> None:
        self._listener = Listener(self._listening, self._rooms.house.handle)
        self._lines = [Line(self._listener) for _ in range(AT_ONCE)]

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self._runner.run(work)

    def request(self, method: str, signed: Signed, body: bytes = b"", line: int = 0) -> tuple[Coroutine[Any, Any, None], Answer]:
        target, headers = signed
        items = [*headers.items(), ("content-length", str(len(body)))] if body else list(headers.items())
        head = "".join([f"{name}: {value}\r\n" for name, value in items])
        answer = Answer()
        return self._lines[line].answered(f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode() + body, answer), answer

    def group(self, method: str, signed: list[Signed], body: bytes = b"") -> tuple[list[Coroutine[Any, Any, None]], list[Answer]]:
        pairs = [self.request(method, each, body, line) for line, each in enumerate(signed)]
        return [whole for whole, _ in pairs], [answer for _, answer in pairs]

    def presigned(self, method: str, keys: list[str]) -> list[Signed]:
        return [(target, {"host": HOST}) for target in self.signer.presigned(method, BUCKET, keys)]

    def signed(self, kind: str, keys: list[str]) -> list[Signed]:
        method = kind[:3].upper()
        if kind in PRESIGNED:
            return self.presigned(method, keys)
        return [self.signer.signed(method, BUCKET, key, _BODY if method == "PUT" else b"") for key in keys]

    def close(self) -> None:
        for line in self._lines:
            line.connection_lost(None)
        self._runner.run(self._listener.stop())
        self._runner.run(self._rooms.house.close())
        self._listening.close()
        self._runner.close()
        gc.unfreeze()


@dataclass(slots=True)
class Load:
    """Groups of requests of one kind, in an order that is always the same."""

    kind: str
    signed: list[Signed] = field(repr=False)
    order: random.Random = field(default_factory=lambda: random.Random(4))

    @property
    def writes(self) -> bool:
        return self.kind.startswith("put")

    def group(self, worker: Worker) -> tuple[list[Coroutine[Any, Any, None]], list[Answer]]:
        chosen = self.order.sample(self.signed, AT_ONCE)
        return worker.group("PUT", chosen, _BODY) if self.writes else worker.group("GET", chosen)


def checked(load: Load, connections: list[Answer]) -> None:
    expected = b"" if load.writes else _BODY
    for connection in connections:
        if connection.status != 200 or connection.answer != expected:
            raise BenchError(f"{load.kind}: answered {connection.status} {connection.answer[:200]!r}")


async def _all(answers: list[Coroutine[Any, Any, None]]) -> None:
    await asyncio.gather(*answers)


# --------------------------------------------------------------------------------------------------------------- counting
def whole(worker: Worker, load: Load, groups: int, reference: Reference) -> tuple[float, float]:
    """Nanoseconds of processor time a request, and what of it was not in the loop's thread, in the quickest groups."""
    spent: list[tuple[float, float]] = []
    for _ in range(groups):
        answers, connections = load.group(worker)
        mine, all_ = time.thread_time_ns(), time.process_time_ns()
        worker.run(_all(answers))
        all_, mine = time.process_time_ns() - all_, time.thread_time_ns() - mine
        checked(load, connections)
        reference.take()
        spent.append((all_ / AT_ONCE, max(0, all_ - mine) / AT_ONCE))
    quickest = sorted(spent)[: max(1, groups // counting.QUICKEST)]
    return fmean(both for both, _ in quickest), fmean(other for _, other in quickest)


def stepwise(worker: Worker, load: Load, groups: int, reference: Reference, counter: counting.Counter) -> dict[str, float]:
    accounts: list[counting.Account] = []
    shared: list[counting.Account] = []
    for _ in range(groups):
        answers, connections = load.group(worker)
        its, common = worker.run(counting.together(counter, answers))
        checked(load, connections)
        reference.take()
        accounts += its
        shared.append(common)
    return counter.typical(accounts, shared)


def count(folder: Path, kinds: tuple[str, ...], groups: int) -> list[Counted]:
    """Everything, on a data folder below ``folder``. Changes the product's classes in this process: nothing else is measured in it."""
    plan, account, data = counting.Plan.read(), Account(), folder / "budget"
    sys.setswitchinterval(_SWITCH_SECONDS)
    _fill(data, account)
    totals: dict[str, tuple[float, float]] = {}
    for kind in kinds:
        with closing(Worker(data, account, KINDS[kind])) as worker:
            reference, load = Reference(), Load(kind, worker.signed(kind, _KEYS))
            whole(worker, load, _WARMING, reference)
            reference.forget()
            spent, elsewhere = whole(worker, load, groups, reference)
            scale = plan.reference_us / reference.us / 1e3
            totals[kind] = spent * scale, elsewhere * scale

    counter = counting.Counter()
    counter.set_boundaries(plan)
    results: list[Counted] = []
    for kind in kinds:
        with closing(Worker(data, account, KINDS[kind])) as worker:
            reference, load = Reference(), Load(kind, worker.signed(kind, _KEYS))
            stepwise(worker, load, _WARMING, reference, counter)
            reference.forget()
            steps = stepwise(worker, load, groups, reference, counter)
        scale = plan.reference_us / reference.us
        scaled = {step: us * scale for step, us in steps.items()}
        scaled[TOTAL] = sum(scaled.values())
        lines = plan.lines.get(kind, {})
        unknown = set(lines) - set(scaled)
        if unknown:
            raise BenchError(f"budget.toml has lines for steps that nothing begins: {', '.join(sorted(unknown))}")
        results.append(Counted(kind, scaled, lines, *totals[kind], reference.us))
    return results


def _fill(data: Path, account: Account) -> None:
    with closing(Worker(data, account, {})) as worker:
        made = [worker.request("PUT", worker.presigned("PUT", [""])[0])]
        worker.run(_all([answer for answer, _ in made]))
        puts = worker.presigned("PUT", _KEYS)
        for first in range(0, OBJECTS, AT_ONCE):
            answers, connections = worker.group("PUT", puts[first : first + AT_ONCE], _BODY)
            worker.run(_all(answers))
            made += zip(answers, connections, strict=True)
    if any(connection.status != 200 for _, connection in made):
        raise BenchError("the bucket of the budget could not be filled")


# ---------------------------------------------------------------------------------------------------------------- showing
def show(console: Console, results: list[Counted]) -> None:
    wanted = counting.Plan.read().reference_us
    for counted in results:
        console.print(
            f"[bold]{counted.title}[/]: µs a request on the reference machine "
            f"(here and now everything takes {counted.reference_us / wanted:.2f} times as long)",
            highlight=False,
        )
        table = Table(
            box=box.SIMPLE_HEAD,
        )
        table.add_column("step")
        for heading in ("µs", "line", ""):
            table.add_column(heading, justify="right")
        for step, us in counted.steps.items():
            line = counted.lines.get(step)
            if line is None and us < 0.05:
                continue
            verdict = "" if line is None else "[bold red]broken[/]" if us > line else "[green]held[/]"
            table.add_row(step, f"{us:.1f}", "" if line is None else f"{line:.1f}", verdict)
        console.print(table)
        console.print(
            f"  Whole requests that nothing counts within: {counted.processor_us:.1f} µs of processor time, "
            f"{counted.thread_us:.1f} of them outside the loop's thread.\n",
            highlight=False,
        )


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="bench/budget.py", description=__doc__)
    parser.add_argument("--kind", action="append", choices=KINDS, help="only these; may be repeated")
    parser.add_argument("--groups", type=int, default=120, metavar="N", help=f"of {AT_ONCE} requests each (default 120)")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output, and always end with 0")
    parser.add_argument("--folder", type=Path, default=ROOT / "bench" / "results", help="below which the data folder is made")
    parser.add_argument("--draw", type=int, metavar="PERCENT", help="print lines that much above what was found, for budget.toml")
    chosen = parser.parse_args(arguments)
    chosen.folder.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix=".budget-", dir=chosen.folder) as folder:
            results = count(Path(folder), tuple(chosen.kind or KINDS), chosen.groups)
    except BenchError as error:
        print(f"budget: {error}", file=sys.stderr)
        return 2
    if chosen.json:
        print(json.dumps({counted.kind: asdict(counted) for counted in results}))
        return 0
    if chosen.draw is not None:
        for counted in results:
            print(f"\n[lines.{counted.kind}]")
            for step, us in counted.steps.items():
                if us >= _WORTH_A_LINE and step != counting.BETWEEN:
                    print(f"{json.dumps(step) if ' ' in step else step} = {us * (1 + chosen.draw / 100):.1f}")
        return 0
    console = Console(width=None if sys.stdout.isatty() else 130)
    show(console, results)
    broken = [f"{counted.kind} {step}" for counted in results for step in counted.broken]
    if broken:
        console.print(f"[bold red]Over the line:[/] {', '.join(broken)}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
