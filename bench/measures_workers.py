"""One worker and two: how far the slowest requests are from the usual ones, and what a second worker adds.

Two workers are compared by what they would answer if the load came from elsewhere. On a machine of two cores wrk takes part of one:
beside one worker that is nobody's, beside two it is theirs. So the rate of two is multiplied by the cores over what wrk left of them; its
share is the processor time it was billed. Nothing is added for time in which a core was idle: workers waited for each other then, or for
the disk. The plain rate, and what a request costs each of them in processor time, are told beside it. On more cores the rate counts as it is.

Never knows how results are shown.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final

import load
import servers
from measures import OBJECTS, PUT_KEYS, SMALL, Measure, Run, Sample

FEW_CORES: Final = 2  # up to here the load takes from what two workers could use


def two_workers(run: Run) -> Run:
    """The run, on a server of two workers with a data folder of its own."""
    if "two" not in run.made:
        folder = run.folder / "two"
        folder.mkdir()
        run.made["two"] = run.servers.enter_context(servers.strongroom(folder, run.account, workers=2))
    return replace(run, our_server=run.made["two"])


def _tail(workers: int, run: Run) -> Callable[[], Sample]:
    """p99 and median of PUTs over 32 connections."""
    its = run if workers == 1 else two_workers(run)
    bucket = f"bench-tail-{workers}"
    its.create_bucket(bucket)
    targets = its.targets(bucket, "PUT", bucket, [f"put/{number:05d}" for number in range(PUT_KEYS)])
    cursor = 0

    def sample() -> Sample:
        nonlocal cursor
        rate = load.wrk(its.ours, targets, run.seconds, method="PUT", first=cursor, size=SMALL)
        cursor += rate.requests
        return Sample(rate.p99_ms, rate.p50_ms, {"per_second": rate.per_second})

    load.wrk(its.ours, targets, 1, method="PUT", size=SMALL)
    return sample


def _scaling(method: str, run: Run) -> Callable[[], Sample]:
    size = SMALL if method == "PUT" else 0
    bucket = f"bench-scale-{method.lower()}"
    keys = [f"key/{number:05d}" for number in range(PUT_KEYS if size else OBJECTS)]
    both = [(its, its.targets(f"{bucket}-{its.ours[-5:]}", method, bucket, keys)) for its in (run, two_workers(run))]
    for its, targets in both:
        its.create_bucket(bucket)
        if not size:
            load.fill(its.ours, its.targets(f"{bucket}-fill", "PUT", bucket, keys), SMALL)
        load.wrk(its.ours, targets, 1, method=method, size=size)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    cursor = 0

    def sample() -> Sample:
        nonlocal cursor
        rates: list[load.Rate] = []
        spent: list[float] = []
        for its, targets in both:
            before = its.our_server.processor_seconds()
            rate = load.wrk(its.ours, targets, run.seconds, method=method, first=cursor, size=size)
            spent.append((its.our_server.processor_seconds() - before) / rate.requests * 1e6)
            rates.append(rate)
        one, two = rates
        cursor += two.requests
        given_back = cores / (cores - min(two.generator_cores, 1.0)) if cores <= FEW_CORES else 1.0
        notes = {"plain": two.per_second, "wrk_cores": two.generator_cores, "one_us": spent[0], "two_us": spent[1]}
        return Sample(two.per_second * given_back, one.per_second, notes)

    return sample


MEASURES: Final = (
    Measure("tail-put", "p99 of PUT 4 KiB, one worker", "ms", "its median", 6.0, partial(_tail, 1), at_most=True),
    Measure("tail-put-two", "p99 of PUT 4 KiB, two workers", "ms", "its median", 6.0, partial(_tail, 2), at_most=True),
    Measure("two-get", "GET 4 KiB, two workers, wrk's share given back", "req/s", "one worker", 1.7, partial(_scaling, "GET")),
    Measure("two-put", "PUT 4 KiB, two workers, wrk's share given back", "req/s", "one worker", 1.7, partial(_scaling, "PUT")),
)
