"""How a run is shown and kept. Never knows how anything was measured."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median

from counting import Plan
from endpoints import MOTO, OPERATIONS, Compared
from measures import MEMORY_LIMIT, Measure, Sample
from rich import box
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Machine:
    cores: int
    usable_cores: int
    processor: str
    python: str
    granian: str
    kernel: str
    memory_gib: int
    file_system: str
    load_before: float

    @classmethod
    def here(cls, folder: Path) -> Machine:
        cores = os.cpu_count() or 1
        usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores
        memory = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)
        programs = platform.python_version(), version("granian"), platform.release().partition("-")[0]
        return cls(cores, usable, _processor(), *programs, memory, _file_system(folder), os.getloadavg()[0])

    def line(self) -> str:
        busy = (
            f"; [yellow]load was {self.load_before:.1f} before the run: others are at work[/]" if self.load_before > 0.5 else ""
        )
        cores = f"{self.usable_cores} of {self.cores}" if self.usable_cores != self.cores else str(self.cores)
        return f"{cores} cores ({self.processor}), Python {self.python}, granian {self.granian}, data on {self.file_system}{busy}"


@dataclass(slots=True)
class Outcome:
    """All of a run."""

    results: dict[Measure, list[Sample]] = field(default_factory=dict[Measure, list[Sample]])
    memory_peak_mib: float | None = None
    compared: Compared | None = None
    spent_s: dict[str, float] = field(default_factory=dict[str, float])  # on each measurement, its preparation included
    left_out: list[str] = field(default_factory=list[str])  # measurements that need wrk, where it is missing
    seconds: float = 0.0


def show(console: Console, machine: Machine, outcome: Outcome, *, judged: bool = True) -> None:
    if outcome.results or outcome.memory_peak_mib is not None:
        _show_measures(console, machine, outcome.results, outcome.memory_peak_mib, judged=judged)
    if outcome.compared is not None:
        _show_compared(console, outcome.compared)
    if outcome.left_out:
        console.print(f"[yellow]left out, since wrk is missing:[/] {', '.join(outcome.left_out)}", highlight=False)


def _show_compared(console: Console, compared: Compared) -> None:
    title = f"The same requests by the same client, by turns; medians of {compared.rounds}"
    table = Table(title=title, box=box.SIMPLE_HEAD)
    table.add_column("")
    for name in compared.endpoints:
        table.add_column(name, justify="right", no_wrap=True)
    for operation in OPERATIONS:
        samples = compared.samples[operation.name]
        values = [_number(median(samples[name])) if samples[name] else "[red]failed[/]" for name in compared.endpoints]
        table.add_row(f"{operation.title}, {operation.unit}", *values)
    console.print(table)
    for operation, reasons in compared.failed.items():
        for name, reason in reasons.items():
            console.print(f"  {operation}, {name}: {reason}", highlight=False)
    if MOTO in compared.endpoints:
        console.print(
            "  What an endpoint promises is not told by its rate: moto keeps objects in memory and checks no signature."
        )


def _show_measures(
    console: Console, machine: Machine, results: dict[Measure, list[Sample]], peak: float | None, *, judged: bool
) -> None:
    rounds = max((len(samples) for samples in results.values()), default=0)
    table = Table(
        title=f"One worker, 32 connections, SSE-S3 unless said otherwise, every write on disk before its answer; medians of {rounds}",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("", overflow="fold")
    for heading in ("Strongroom", "yardstick", "ratio (least to most)", "target", ""):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    for measure, samples in results.items():
        ratios = [sample.ratio for sample in samples]
        ours, yardstick = median(sample.ours for sample in samples), median(sample.yardstick for sample in samples)
        table.add_row(
            f"{measure.title}, {measure.unit}\n[dim]  beside {measure.yardstick}[/]",
            _number(ours),
            _number(yardstick),
            f"{_ratio(samples):.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
            f"{'≤' if measure.at_most else '≥'} {measure.target:.2f}",
            _verdict(measure.met(_ratio(samples))) if judged else "",
        )
    if peak is not None:
        title = "memory at its peak, MiB\n[dim]  of the worker, 4 uploads and 4 downloads of 256 MiB at once[/]"
        table.add_row(title, _number(peak), "", "", f"< {MEMORY_LIMIT:.0f}", _verdict(peak < MEMORY_LIMIT))
    console.print(table)
    if not judged:
        console.print("  It all runs, and answers rightly. Times were not judged.")
    for measure, samples in results.items():
        if samples[0].notes:
            notes = ", ".join(f"{name} {_number(median(sample.notes[name] for sample in samples))}" for name in samples[0].notes)
            console.print(f"  {measure.title}: {notes}", highlight=False)
    console.print(
        "  No request failed. Small requests by wrk, 1 thread; large bodies by sendfile and recv_into of 1 MiB on one socket each."
    )
    if machine.usable_cores < 4:
        console.print(
            f"  On {machine.usable_cores} cores the load generator and both threads of a worker share them, for both sides alike."
        )


def save(folder: Path, machine: Machine, options: dict[str, object], outcome: Outcome) -> Path:
    """The run as JSON: what docs/performance.md is written from."""
    now, plan = datetime.now(UTC), Plan.read()
    document = {
        "at": now.isoformat(timespec="seconds"),
        "strongroom": version("strongroom"),
        "seconds": round(outcome.seconds),
        "machine": asdict(machine),
        "options": {name: value for name, value in options.items() if name != "folder"},
        "measures": {
            measure.name: {
                "title": measure.title,
                "unit": measure.unit,
                "yardstick": measure.yardstick,
                "target": measure.target,
                "at_most": measure.at_most,
                "ratio": _ratio(samples),
                "met": measure.met(_ratio(samples)),
                "spent_s": round(outcome.spent_s[measure.name], 1),
                "samples": [asdict(sample) | {"ratio": sample.ratio} for sample in samples],
            }
            for measure, samples in outcome.results.items()
        },
        "memory_peak_mib": outcome.memory_peak_mib,
        "memory_limit_mib": MEMORY_LIMIT,
        "budget": {"lines": plan.lines, "reference_us": plan.reference_us},
        "compared": None if outcome.compared is None else _compared(outcome.compared),
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{now:%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps(document, indent=2) + "\n", "utf-8")
    return path


def _compared(compared: Compared) -> dict[str, object]:
    """Names and rates; neither addresses nor credentials."""
    return {
        "endpoints": compared.endpoints,
        "failed": compared.failed,
        "operations": {
            operation.name: {
                "title": operation.title,
                "unit": operation.unit,
                "samples": compared.samples[operation.name],
            }
            for operation in OPERATIONS
        },
    }


def _ratio(samples: list[Sample]) -> float:
    return median(sample.ratio for sample in samples)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def _verdict(met: bool) -> str:
    return "[green]met[/]" if met else "[bold red]missed[/]"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _file_system(folder: Path) -> str:
    """Type of the file system that holds the folder: durability costs nothing on tmpfs."""
    try:
        mounts = [line.split() for line in Path("/proc/mounts").read_text("utf-8").splitlines()]
    except OSError:
        return "an unknown file system"
    inside = [mount for mount in mounts if folder.resolve().is_relative_to(mount[1])]
    return max(inside, key=lambda mount: len(mount[1]))[2] if inside else "an unknown file system"
