"""``make bench``: what Strongroom reaches beside a bare granian worker on the same machine, at the same time.

Everything is a ratio inside one run, a median over rounds in which the two take turns. Traffic stays on the loopback interface.

    make bench                          the whole of it, about twenty minutes on a quiet machine
    make bench BENCH="--quick"          a look, some minutes
    make bench BENCH="--main --rounds 3"    what a small machine is judged by, under ten minutes
    make bench BENCH="--only get --only put --rounds 9"
    make bench BENCH=--smoke            whether it all runs and answers rightly, under a minute; times are not judged
    make bench ENDPOINTS="moto;other=http://127.0.0.1:9001,KEY,SECRET"    other servers beside Strongroom, by the same requests
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import endpoints
import load
import measures
import measures_budget
import measures_catalog
import measures_encryption
import measures_large
import measures_lifecycle
import measures_policies
import measures_rooms
import measures_workers
import report
import servers
from load import BenchError
from measures import MEMORY, Run
from rich.console import Console

RESULTS = servers.ROOT / "bench" / "results"  # not kept in git; on the disk of the repository, which is not a tmpfs
COMPARISON = "endpoints"
MEASURES = (
    *measures.MEASURES,
    *measures_workers.MEASURES,
    *measures_large.MEASURES,
    *measures_budget.MEASURES,
    *measures_encryption.MEASURES,
    *measures_rooms.MEASURES,
    *measures_policies.MEASURES,
    *measures_lifecycle.MEASURES,
    *measures_catalog.MEASURES,
)
SMOKE = (
    "get",
    "put",
    "get-64k",
    "large-get",
    "listing",
    "tail-put-two",
    "budget-cold",
    "budget-put",
    "judge",
    "list-keys",
    "start",
    "delete-many",
    COMPARISON,
)
MAIN = (
    "get",
    "get-cold",
    "put",
    "get-64k",
    "large-get",
    "tail-put",
    "tail-put-two",
    "two-get",
    "two-put",
    "parts",
    "parts-two",
    "start",
    "budget-get",
    "budget-cold",
    "budget-put",
    "processor-get",
    "processor-put",
)
NAMES = (*(measure.name for measure in MEASURES), MEMORY, COMPARISON)


def options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench/run.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="samples of each measurement (default 5)")
    parser.add_argument(
        "--seconds", type=int, default=3, metavar="N", help="of load for one sample of small requests (default 3)"
    )
    parser.add_argument(
        "--only", action="append", choices=NAMES, metavar="NAME", help=f"one of {', '.join(NAMES)}; may be repeated"
    )
    parser.add_argument("--quick", action="store_true", help="2 rounds of 1 second, and smaller buckets")
    parser.add_argument("--main", action="store_true", help="what a small machine is judged by, five minutes or ten")
    parser.add_argument("--whole", action="store_true", help="everything, though ENDPOINTS names others")
    parser.add_argument("--smoke", action="store_true", help="1 round of 1 second of what is quick, with few objects; see above")
    parser.add_argument("--folder", type=Path, default=RESULTS, help="below which the run makes its data folder")
    chosen = parser.parse_args(arguments)
    if chosen.quick:
        chosen.rounds, chosen.seconds = 2, 1
    if chosen.smoke:
        chosen.rounds, chosen.seconds, chosen.only = 1, 1, chosen.only or list(SMOKE)
    if chosen.main:
        chosen.only = [*(chosen.only or ()), *MAIN]
    if chosen.rounds < 1 or chosen.seconds < 1:
        parser.error("--rounds and --seconds must be at least 1")
    return chosen


def chosen_names(chosen: argparse.Namespace, endpoints: str) -> set[str]:
    """What is to be measured. Others are measured when they are named, and then nothing else is unless it is asked for."""
    others = {COMPARISON} if endpoints.strip() else set[str]()
    if chosen.only:
        return set(chosen.only) | others
    if others and not chosen.whole:
        return others
    return set(NAMES) - {COMPARISON} | others


def main(arguments: list[str]) -> int:
    chosen = options(arguments)
    console = Console(width=None if sys.stdout.isatty() else 130)
    endpoints_text = os.environ.get(endpoints.VARIABLE, "")
    wanted = chosen_names(chosen, endpoints_text)
    started = time.monotonic()
    outcome = report.Outcome()
    try:
        if not chosen.smoke:
            load.require_wrk()
        endpoints.parse(endpoints_text)
        chosen.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".bench-", dir=chosen.folder) as name, console.status("starting") as status:
            folder = Path(name)
            machine = report.Machine.here(folder)
            console.print(machine.line())
            if wanted != {COMPARISON}:
                _measure(chosen, wanted, folder, status.update, outcome)
            if COMPARISON in wanted:
                (folder / COMPARISON).mkdir()
                outcome.compared = endpoints.compare(
                    endpoints_text, folder / COMPARISON, chosen.rounds, chosen.seconds, status.update
                )
    except BenchError as error:
        console.print(f"[bold red]bench failed:[/] {error}", soft_wrap=True, highlight=False)
        return 1
    outcome.seconds = time.monotonic() - started
    report.show(console, machine, outcome, judged=not chosen.smoke)
    path = report.save(RESULTS, machine, vars(chosen), outcome)
    console.print(f"{outcome.seconds:.0f} s; details in {path.relative_to(servers.ROOT)}")
    return 0


def _sizes(chosen: argparse.Namespace) -> tuple[tuple[int, int], tuple[int, int], int]:
    """Of listed buckets over a socket, and of those in this process: few and many. And objects of which none is at hand."""
    if chosen.smoke:
        return (150, 1_000), (2_000, 4_000), 1_000
    return ((500, 10_000), (10_000, 40_000), 10_000) if chosen.quick else (measures.LISTED, measures.CATALOG, measures.COLD)


def _measure(
    chosen: argparse.Namespace, wanted: set[str], folder: Path, say: Callable[[str], None], outcome: report.Outcome
) -> None:
    account = servers.Account()
    with ExitStack() as stack:
        bare = stack.enter_context(servers.bare(folder))
        with _failing_with_log(servers.strongroom(folder, account)) as ours:
            run = Run(folder, bare, ours, account, chosen.seconds, *_sizes(chosen), say, stack)
            samplers = {}
            for measure in MEASURES:
                if measure.name in wanted:
                    say(f"{measure.title}: preparing")
                    began = time.monotonic()
                    try:
                        samplers[measure] = measure.prepare(run)
                    except load.NoWrk:
                        outcome.left_out.append(measure.name)
                    outcome.spent_s[measure.name] = time.monotonic() - began
            for number in range(chosen.rounds):
                for measure, sampler in samplers.items():
                    say(f"round {number + 1} of {chosen.rounds}: {measure.title}")
                    began = time.monotonic()
                    outcome.results.setdefault(measure, []).append(sampler())
                    outcome.spent_s[measure.name] += time.monotonic() - began
        if MEMORY not in wanted:
            return
        say("memory: eight transfers at once")
        with _failing_with_log(servers.strongroom(folder, account)) as fresh:
            outcome.memory_peak_mib = measures.memory(replace(run, our_server=fresh))


class _failing_with_log:  # noqa: N801 - reads like the context manager it is
    """A server as a context; what its log ends with is added to a failure."""

    def __init__(self, server: servers.Server) -> None:
        self._server = server

    def __enter__(self) -> servers.Server:
        return self._server.__enter__()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._server.stop()
        if isinstance(error, BenchError):
            raise BenchError(f"{error}\nThe server's log ends with:\n{self._server.tail()}") from None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
