"""The budget of a small request: each step held to its line (``budget.py``, in a process of its own), and over a socket what the
processor spends on a request beyond what it spends on one to the bare worker. Never knows how results are shown.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import load
import servers
from load import BenchError, Targets
from measures import OBJECTS, PUT_KEYS, SMALL, Measure, Run, Sample

BUDGET_US: Final = {"GET": 110.0, "PUT": 150.0}  # of a signed 4 KiB request, beside the bare server's own
_GROUPS: Final = 20  # for each second that wrk takes for a sample
_PATIENCE: Final = 300.0  # seconds


def _steps(kind: str, run: Run) -> Callable[[], Sample]:
    command = [
        sys.executable,
        str(Path(__file__).with_name("budget.py")),
        "--json",
        "--kind",
        kind,
        "--groups",
        str(_GROUPS * run.seconds),
    ]
    command += ["--folder", str(run.folder)]

    def sample() -> Sample:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=False)
        if ran.returncode:
            raise BenchError(f"budget.py failed: {ran.stderr.strip()[-600:]}")
        counted: dict[str, Any] = json.loads(ran.stdout)[kind]
        steps, lines = counted["steps"], counted["lines"]
        worst = max(lines, key=lambda step: steps[step] / lines[step])
        return Sample(
            steps[worst], lines[worst], {**steps, "whole": counted["processor_us"], "reference": counted["reference_us"]}
        )

    return sample


def _processor(method: str, run: Run) -> Callable[[], Sample]:
    """Processor time of all processes of each server while wrk asks it, a request."""
    size = SMALL if method == "PUT" else 0
    bucket = f"bench-processor-{method.lower()}"
    keys = [f"key/{number:05d}" for number in range(PUT_KEYS if size else OBJECTS)]
    run.create_bucket(bucket)
    targets = run.targets(bucket, method, bucket, keys)
    if not size:
        load.fill(run.ours, run.targets(f"{bucket}-fill", "PUT", bucket, keys), SMALL)
    cursor = 0

    def spent_us(server: servers.Server, targets: Targets, first: int) -> tuple[float, load.Rate]:
        before = server.processor_seconds()
        rate = load.wrk(server.host, targets, run.seconds, method=method, first=first, size=size)
        return (server.processor_seconds() - before) / rate.requests * 1e6, rate

    def sample() -> Sample:
        nonlocal cursor
        bare, bare_rate = spent_us(run.bare_server, targets, 0)
        ours, rate = spent_us(run.our_server, targets, cursor)
        cursor += rate.requests
        notes = {"ours_us": ours, "bare_us": bare, "per_second": rate.per_second, "bare_per_second": bare_rate.per_second}
        return Sample(ours - bare, BUDGET_US[method], notes)

    load.wrk(run.bare, targets, 1, method=method, size=size)
    load.wrk(run.ours, targets, 1, method=method, size=size)
    return sample


MEASURES: Final = (
    Measure("budget-get", "GET 4 KiB, the step nearest its line", "µs", "its line", 1.0, partial(_steps, "get"), at_most=True),
    Measure("budget-put", "PUT 4 KiB, the step nearest its line", "µs", "its line", 1.0, partial(_steps, "put"), at_most=True),
    Measure(
        "budget-cold",
        "GET 4 KiB with no row at hand, the step nearest its line",
        "µs",
        "its line",
        1.0,
        partial(_steps, "get-cold"),
        at_most=True,
    ),
    Measure(
        "processor-get",
        "processor time of a GET 4 KiB, beyond a bare worker's",
        "µs",
        "the budget",
        1.0,
        partial(_processor, "GET"),
        at_most=True,
    ),
    Measure(
        "processor-put",
        "processor time of a PUT 4 KiB, beyond a bare worker's",
        "µs",
        "the budget",
        1.0,
        partial(_processor, "PUT"),
        at_most=True,
    ),
)
