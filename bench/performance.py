"""``make performance``: docs/performance.md and its drawings, from what a run of ``make bench`` has left in bench/results.

The result is kept as docs/performance.json, and the page says what is in it and nothing else. Runs in the environment of
``requirements/bench.txt``, which can draw; with ``--kept`` nothing is drawn, and it needs nothing but Python. Never measures.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
RESULTS: Final = ROOT / "bench" / "results"
DOCS: Final = ROOT / "docs"
KEPT: Final = DOCS / "performance.json"
PAGE: Final = DOCS / "performance.md"
STEPS: Final = {"budget-get": "get", "budget-cold": "get-cold", "budget-put": "put"}  # measurement -> kind of request
TITLES: Final = {"get": "GET 4 KiB", "get-cold": "GET 4 KiB, no row at hand", "put": "PUT 4 KiB"}
_NO_STEPS: Final = {"whole", "reference", "all steps"}
_DECISIONS: Final = ("0004", "0008", "0009")  # where profiles are

_HEAD: Final = """# Performance

Written by `make performance` from one run of `make bench`, whose numbers are in [performance.json](performance.json);
nothing here is typed by hand. To have your own: `make bench ENDPOINTS=moto BENCH=--whole`, then `make performance`.
"""

_METHOD: Final = """## Method

- Everything runs on one machine, over the loopback interface: the servers, and what loads them. Where there are two cores,
  the load and the threads of a worker share them, for both sides alike.
- A number counts beside a yardstick that is measured in the same run, directly before or after it, by turns over {rounds}
  rounds. What is told is the median of the rounds, and of the ratios the least and the most. The yardstick of small requests
  is a *bare worker*: granian, a fast HTTP server in Rust, answering a fixed body from Python and doing nothing else.
- Small requests are presigned (Signature Version 4) and come from `wrk` over 32 connections, {seconds} seconds a sample,
  2,000 objects read and 10,000 keys written by turns; one failed request ends the run. Large bodies move by `sendfile` and
  `recv_into` on one socket each. What is read is compared with what was written before anything is measured.
- Strongroom is as an operator gets it: SSE-S3, one worker unless said otherwise, every write on the disk (`fsync`) before
  its answer, every signature checked. A worker remembers rows that it read lately, sealed as they are (`row_memory_mib`), and
  the 2,000 objects are among them; *none asked for again soon* reads 50,000 objects by turns, of which none is.
- *Two workers* on two cores: `wrk` takes part of a core, which beside two workers is theirs. Their rate is multiplied by the
  cores over what `wrk` left of them, by the processor time it was billed. Time in which a core was idle is not given back.
  The plain rate is in the notes.
- *Start to ready* is from the command to its line `ready`, on a data folder of that many objects.
- *Processor time of a request* is user and system time of all the server's processes while `wrk` asks it, over the requests
  answered, less the same of the bare worker. Under `wrk` the caches are shared with it, so this is more than the steps below
  add up to.
"""

_STEPS_TEXT: Final = """## Step by step

What each step of a signed 4 KiB request costs, in microseconds on the reference machine, and the line that `make budget`
holds it to (`bench/budget.toml`). The rooms and the connections run in one process, with a stand-in for the socket, 32 requests at a time. The
steps are those of the gate, by its own comments, and the callables named in the table of `budget.toml`; boundaries are put
around them from outside, and their own cost is measured and taken off. Told are the means of the quickest tenth of the
requests, multiplied by what a fixed reference work should take over what it took beside them: so a line means much the same
on another machine, or on a busy one.
"""

_OTHERS_TEXT: Final = """## Beside other servers

The same requests by the same client, by turns (`make bench ENDPOINTS=…`). A rate says nothing of what stands behind it:
*moto* is a mock for tests, which keeps objects in memory, encrypts nothing and checks no signature; Strongroom does all that
before it answers.
"""


def page(run: dict[str, Any]) -> str:
    """docs/performance.md of a result."""
    rounds = max((len(measure["samples"]) for measure in run["measures"].values()), default=0)
    parts = [_HEAD, "\n".join(_machine(run)) + "\n"]
    parts.append(_METHOD.format(rounds=rounds or run["options"]["rounds"], seconds=run["options"]["seconds"]))
    if run["measures"]:
        parts.append("\n".join(_results(run)) + "\n")
    steps = [kind for name, kind in STEPS.items() if name in run["measures"]]
    if steps:
        parts.append("\n".join([_STEPS_TEXT, "![What each step costs](performance-steps.svg)", *_steps(run)]) + "\n")
    if run["compared"] is not None:
        parts.append(
            "\n".join([_OTHERS_TEXT, "![Rates of several servers](performance-endpoints.svg)", "", *_others(run)]) + "\n"
        )
    parts.append("\n".join(_profile()) + "\n")
    return "\n".join(parts)


def _machine(run: dict[str, Any]) -> Iterator[str]:
    machine = run["machine"]
    yield "## Machine"
    yield ""
    hardware = f"{machine['cores']} cores ({machine['processor']}), {machine['memory_gib']} GiB"
    programs = f"Python {machine['python']}, granian {machine['granian']}, Strongroom {run['strongroom']}"
    yield f"{hardware}, Linux {machine['kernel']}, data on {machine['file_system']}. {programs}."
    yield f"Measured on {run['at'][:10]} in {run['seconds'] // 60} minutes."
    if machine["load_before"] > 0.5:
        yield ""
        yield f"**Others were at work**: the load was {machine['load_before']:.1f} before the run. Ratios suffer less by that than numbers."


def _results(run: dict[str, Any]) -> Iterator[str]:
    yield "## Results"
    yield ""
    yield "![How near each target is](performance-targets.svg)"
    yield ""
    yield "| | Strongroom | yardstick | ratio (least to most) | target | |"
    yield "|---|---:|---:|---:|---:|---|"
    for measure in run["measures"].values():
        ratios = [sample["ratio"] for sample in measure["samples"]]
        ours, yardstick = (number(median(sample[side] for sample in measure["samples"])) for side in ("ours", "yardstick"))
        unit = f" {measure['unit']}" if measure["unit"] and not measure["unit"].startswith("/") else measure["unit"]
        yield (
            f"| {measure['title']}, beside {measure['yardstick']} | {ours}{unit} | {yardstick}{unit} "
            f"| {measure['ratio']:.2f} ({min(ratios):.2f} to {max(ratios):.2f}) | {'≤' if measure['at_most'] else '≥'} {measure['target']:.2f} "
            f"| {'met' if measure['met'] else '**missed**'} |"
        )
    if (peak := run["memory_peak_mib"]) is not None:
        met = "met" if peak < run["memory_limit_mib"] else "**missed**"
        title = "memory of the worker at its peak, 4 uploads and 4 downloads of 256 MiB at once"
        yield f"| {title} | {number(peak)} MiB | | | < {run['memory_limit_mib']:.0f} | {met} |"
    yield ""
    yield "What was seen beside it (medians):"
    yield ""
    for name, measure in run["measures"].items():
        notes = measure["samples"][0]["notes"]
        if notes and name not in STEPS:
            seen = ", ".join(f"{note} {number(median(each['notes'][note] for each in measure['samples']))}" for note in notes)
            yield f"- {measure['title']}: {seen}"


def steps_of(run: dict[str, Any], kind: str) -> list[tuple[str, float, float | None]]:
    """(step, µs, line) in the order of a request; steps that this kind of request does not take are left out."""
    samples = next(run["measures"][name]["samples"] for name, its in STEPS.items() if its == kind)
    lines = run["budget"]["lines"][kind]
    found = {step: median(sample["notes"][step] for sample in samples) for step in samples[0]["notes"] if step not in _NO_STEPS}
    ordered = [step for step in lines if step in found] + [step for step in found if step not in lines]
    return [(step, found[step], lines.get(step)) for step in ordered if step in lines or found[step] >= 0.1]


def _steps(run: dict[str, Any]) -> Iterator[str]:
    for name, kind in STEPS.items():
        if name not in run["measures"]:
            continue
        samples = run["measures"][name]["samples"]
        steps = steps_of(run, kind)
        whole = median(sample["notes"]["all steps"] for sample in samples)
        yield ""
        yield f"| {TITLES[kind]} | µs | line |"
        yield "|---|---:|---:|"
        for step, us, line in steps:
            yield f"| {step} | {us:.1f} | {'' if line is None else f'{line:.1f}'} |"
        line = run["budget"]["lines"][kind].get("all steps")
        yield f"| **all steps** | {whole:.1f} | {'' if line is None else f'{line:.1f}'} |"
        took = median(sample["notes"]["reference"] for sample in samples)
        yield ""
        yield f"The reference work took {took:.0f} µs where the reference machine takes {run['budget']['reference_us']:.0f}."


def _others(run: dict[str, Any]) -> Iterator[str]:
    compared = run["compared"]
    names = compared["endpoints"]
    yield f"| | {' | '.join(names)} |"
    yield f"|---|{'---:|' * len(names)}"
    for operation in compared["operations"].values():
        values = [number(median(samples)) if (samples := operation["samples"][name]) else "failed" for name in names]
        yield f"| {operation['title']}, {operation['unit']} | {' | '.join(values)} |"


def _profile() -> Iterator[str]:
    yield "## Profile"
    yield ""
    yield "Where the time goes, what was changed for it, and what that gave:"
    yield ""
    for number_ in _DECISIONS:
        for note in sorted((DOCS / "decisions").glob(f"{number_}-*.md")):
            title = note.read_text("utf-8").splitlines()[0].removeprefix("# ").removeprefix(number_).lstrip(": ")
            yield f"- [{number_}: {title}](decisions/{note.name})"


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def newest() -> Path:
    """The newest result in which the steps were counted, and not by a look or a smoke."""
    for file in sorted(RESULTS.glob("*.json"), reverse=True):
        run = json.loads(file.read_text("utf-8"))
        if "budget-get" in run["measures"] and not run["options"].get("smoke") and not run["options"].get("quick"):
            return file
    sys.exit("performance: there is no result of a whole run: make bench ENDPOINTS=moto BENCH=--whole")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="bench/performance.py", description=__doc__)
    parser.add_argument("result", nargs="?", type=Path, help="a result; without it the newest whole one of bench/results")
    parser.add_argument("--kept", action="store_true", help="write the page anew from docs/performance.json, as make docs does")
    chosen = parser.parse_args(arguments)
    if chosen.kept:
        PAGE.write_text(page(json.loads(KEPT.read_text("utf-8"))), "utf-8")
        return 0
    source = chosen.result or newest()
    run = json.loads(source.read_text("utf-8"))
    import drawing

    KEPT.write_text(json.dumps(run, indent=1) + "\n", "utf-8")
    PAGE.write_text(page(run), "utf-8")
    drawing.draw(run, DOCS)
    print(f"docs/performance.md and its drawings, from {source.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
