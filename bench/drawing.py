"""The drawings of docs/performance.md, as SVG with text in it, the same bytes for the same result. Needs matplotlib; never measures."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any, Final

import matplotlib as mpl
from performance import STEPS, TITLES, number, steps_of

mpl.use("svg")
mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "strongroom", "font.size": 9, "font.family": "sans-serif"})

from matplotlib import pyplot as plt  # noqa: E402 - it looks at what is set above

_MET: Final = "#3b7a57"
_MISSED: Final = "#b5533c"
_OURS: Final = "#34568b"
_OTHER: Final = ("#8a8d91", "#b59a57", "#6b8e9e", "#8b6b8b")
_MOST: Final = 4.0  # beyond, a bar tells nothing more


def draw(run: dict[str, Any], folder: Path) -> None:
    if run["measures"]:
        _targets(run, folder / "performance-targets.svg")
    if any(name in run["measures"] for name in STEPS):
        _steps(run, folder / "performance-steps.svg")
    if run["compared"] is not None:
        _endpoints(run, folder / "performance-endpoints.svg")


def _save(figure: Any, file: Path) -> None:
    figure.savefig(file, metadata={"Date": None, "Creator": None}, bbox_inches="tight")
    plt.close(figure)
    file.write_text("\n".join(line.rstrip() for line in file.read_text("utf-8").splitlines()) + "\n", "utf-8")


def _plain(axes: Any) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _targets(run: dict[str, Any], file: Path) -> None:
    """Each measurement as a part of its target: 1 is met, more is better."""
    measures = list(run["measures"].values())[::-1]
    parts = [_part(measure) for measure in measures]
    figure, axes = plt.subplots(figsize=(9, 0.5 + 0.24 * len(measures)))
    axes.barh(
        [measure["title"] for measure in measures],
        [min(part, _MOST) for part in parts],
        color=[_MET if measure["met"] else _MISSED for measure in measures],
        height=0.7,
    )
    for place, part in enumerate(parts):
        axes.text(min(part, _MOST) + 0.04, place, f"{part:.2f}", va="center", fontsize=8)
    axes.axvline(1.0, color="black", linewidth=1)
    axes.set_xlim(0, _MOST + 0.4)
    axes.set_ylim(-0.6, len(measures) - 0.4)
    axes.set_xlabel("part of the target that is reached; right of the line it is met")
    _plain(axes)
    _save(figure, file)


def _part(measure: dict[str, Any]) -> float:
    ratio, target = measure["ratio"], measure["target"]
    if not measure["at_most"]:
        return float(ratio / target)
    return float(target / ratio) if ratio else _MOST


def _steps(run: dict[str, Any], file: Path) -> None:
    kinds = [kind for name, kind in STEPS.items() if name in run["measures"]]
    figure, columns = plt.subplots(1, len(kinds), figsize=(4.5 * len(kinds), 4), squeeze=False)
    for axes, kind in zip(columns[0], kinds, strict=True):
        steps = steps_of(run, kind)[::-1]
        names, spent = [step for step, _, _ in steps], [us for _, us, _ in steps]
        broken = [line is not None and us > line for _, us, line in steps]
        axes.barh(names, spent, color=[_MISSED if each else _OURS for each in broken], height=0.7)
        for place, (_, _, line) in enumerate(steps):
            if line is not None:
                axes.plot([line, line], [place - 0.4, place + 0.4], color="black", linewidth=1.5)
        axes.set_title(TITLES[kind])
        axes.set_xlabel("µs on the reference machine; marks are the lines")
        _plain(axes)
    figure.tight_layout()
    _save(figure, file)


def _endpoints(run: dict[str, Any], file: Path) -> None:
    compared = run["compared"]
    names, operations = compared["endpoints"], list(compared["operations"].values())
    figure, axes = plt.subplots(figsize=(9, 3.5))
    width = 0.8 / len(names)
    for turn, name in enumerate(names):
        rates = [median(samples) if (samples := operation["samples"][name]) else 0 for operation in operations]
        places = [place + turn * width for place in range(len(operations))]
        axes.bar(places, rates, width, label=name, color=_OURS if turn == 0 else _OTHER[(turn - 1) % len(_OTHER)])
        for place, rate in zip(places, rates, strict=True):
            axes.text(place, rate, number(rate) if rate else "failed", ha="center", va="bottom", fontsize=8)
    axes.set_yscale("log")
    axes.set_xticks([place + 0.4 - width / 2 for place in range(len(operations))])
    axes.set_xticklabels([f"{operation['title']}\n{operation['unit']}" for operation in operations])
    axes.set_ylabel("more is better; the scale is logarithmic")
    axes.legend(frameon=False)
    _plain(axes)
    _save(figure, file)
