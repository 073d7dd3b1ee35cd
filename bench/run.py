"""``make bench``: what Strongroom reaches beside a bare granian worker on the same machine, at the same time.

Everything is a ratio inside one run, a median over rounds in which the two take turns. Traffic stays on the loopback interface.

    make bench                          the whole of it, about a quarter of an hour
    make bench BENCH="--quick"          a look, one minute or two
    make bench BENCH="--only get --only put --rounds 9"
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

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
from measures import MEMORY, Measure, Run, Sample
from rich.console import Console

RESULTS = servers.ROOT / "bench" / "results"  # not kept in git; on the disk of the repository, which is not a tmpfs
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
NAMES = (*(measure.name for measure in MEASURES), MEMORY)


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
    parser.add_argument("--folder", type=Path, default=RESULTS, help="below which the run makes its data folder")
    chosen = parser.parse_args(arguments)
    if chosen.quick:
        chosen.rounds, chosen.seconds = 2, 1
    if chosen.rounds < 1 or chosen.seconds < 1:
        parser.error("--rounds and --seconds must be at least 1")
    return chosen


def main(arguments: list[str]) -> int:
    chosen = options(arguments)
    console = Console(width=None if sys.stdout.isatty() else 130)
    wanted = set(chosen.only or NAMES)
    started = time.monotonic()
    try:
        load.require_wrk()
        chosen.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".bench-", dir=chosen.folder) as folder:
            machine = report.Machine.here(Path(folder))
            console.print(machine.line())
            results, peak = _measured(chosen, wanted, Path(folder), console)
    except BenchError as error:
        console.print(f"[bold red]bench failed:[/] {error}", soft_wrap=True, highlight=False)
        return 1
    report.show(console, machine, results, peak)
    path = report.save(RESULTS, machine, vars(chosen), results, peak)
    console.print(f"{time.monotonic() - started:.0f} s; details in {path.relative_to(servers.ROOT)}")
    return 0


def _measured(
    chosen: argparse.Namespace, wanted: set[str], folder: Path, console: Console
) -> tuple[dict[Measure, list[Sample]], float | None]:
    account = servers.Account()
    results: dict[Measure, list[Sample]] = {}
    with ExitStack() as stack:
        bare = stack.enter_context(servers.bare(folder))
        status = stack.enter_context(console.status("starting"))
        listed = (500, 10_000) if chosen.quick else measures.LISTED
        catalog = (10_000, 40_000) if chosen.quick else measures.CATALOG
        with _failing_with_log(servers.strongroom(folder, account)) as ours:
            run = Run(folder, bare, ours, account, chosen.seconds, listed, catalog, status.update, stack)
            samplers = {}
            for measure in MEASURES:
                if measure.name in wanted:
                    status.update(f"{measure.title}: preparing")
                    samplers[measure] = measure.prepare(run)
            for number in range(chosen.rounds):
                for measure, sampler in samplers.items():
                    status.update(f"round {number + 1} of {chosen.rounds}: {measure.title}")
                    results.setdefault(measure, []).append(sampler())
        if MEMORY not in wanted:
            return results, None
        status.update("memory: eight transfers at once")
        with _failing_with_log(servers.strongroom(folder, account)) as fresh:
            return results, measures.memory(replace(run, our_server=fresh))


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
