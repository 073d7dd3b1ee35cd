"""What the server counts, over all workers together, as a page for Prometheus.

A count is an addition to a plain table of this worker. Once a second, and when the page is asked for, each worker writes its tables
to a file of its own; the page adds the files up. So counting costs a request a microsecond, and nothing is shared that could
be waited for. Never knows what a number means.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import orjson
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

Labels = tuple[str, ...]
COUNTS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)  # the same, where things are counted and not seconds
F = TypeVar("F", CounterMetricFamily, GaugeMetricFamily)
FLUSH_SECONDS: Final = 1.0  # how old what other workers counted may be on the page
#: Upper bounds, in seconds, of the classes that durations are counted in; one more class has no bound.
BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


def _filled(family: F, values: Mapping[Labels, float]) -> F:
    for labels, value in sorted(values.items()):
        family.add_metric(labels, value)
    return family


@dataclass(slots=True)
class Counter:
    """Events by labels; it only grows. On the page its name ends in ``_total``."""

    name: str
    about: str
    labels: Labels
    values: dict[Labels, float] = field(default_factory=dict[Labels, float])

    def add(self, labels: Labels, amount: float = 1) -> None:
        """``labels``: the values, in the order of the names."""
        self.values[labels] = self.values.get(labels, 0) + amount

    merge = add

    def fresh(self) -> Counter:
        return Counter(self.name, self.about, self.labels)

    def family(self) -> CounterMetricFamily:
        return _filled(CounterMetricFamily(self.name, self.about, labels=self.labels), self.values)


@dataclass(slots=True)
class Gauge:
    """How much there is now, over all workers that live: ``look`` tells it for this one."""

    name: str
    about: str
    labels: Labels = ()
    values: dict[Labels, float] = field(default_factory=dict[Labels, float])
    look: Callable[[], float] | None = None

    def fresh(self) -> Gauge:
        return Gauge(self.name, self.about, self.labels)

    def merge(self, labels: Labels, amount: float) -> None:
        self.values[labels] = self.values.get(labels, 0) + amount

    def family(self) -> GaugeMetricFamily:
        return _filled(GaugeMetricFamily(self.name, self.about, labels=self.labels), self.values)


@dataclass(slots=True)
class Latest:
    """When something happened last, in Unix time, by labels, in whichever worker."""

    name: str
    about: str
    labels: Labels
    values: dict[Labels, float] = field(default_factory=dict[Labels, float])

    def show(self, labels: Labels, at: float) -> None:
        self.values[labels] = max(at, self.values.get(labels, 0))

    merge = show

    def fresh(self) -> Latest:
        return Latest(self.name, self.about, self.labels)

    def family(self) -> GaugeMetricFamily:
        return _filled(GaugeMetricFamily(self.name, self.about, labels=self.labels), self.values)


@dataclass(slots=True)
class State:
    """What is so now, as the worker that is asked for the page knows it: nothing is added up."""

    name: str
    about: str
    value: float | None = None

    def show(self, value: float) -> None:
        self.value = value

    def family(self) -> GaugeMetricFamily:
        return GaugeMetricFamily(self.name, self.about, value=self.value)


@dataclass(slots=True)
class Durations:
    """Durations in seconds (or other quantities, with bounds of their own) by labels, counted in classes (a Prometheus histogram)."""

    name: str
    about: str
    labels: Labels
    #: A count for each class, then the sum of all durations.
    values: dict[Labels, list[float]] = field(default_factory=dict[Labels, "list[float]"])
    bounds: tuple[float, ...] = BOUNDS

    def add(self, labels: Labels, seconds: float) -> None:
        counts = self.values.get(labels)
        if counts is None:
            counts = self.values[labels] = [0.0] * (len(self.bounds) + 2)
        counts[bisect_left(self.bounds, seconds)] += 1
        counts[-1] += seconds

    def merge(self, labels: Labels, value: list[float]) -> None:
        counts = self.values.setdefault(labels, [0.0] * len(value))
        for place, count in enumerate(value):
            counts[place] += count

    def fresh(self) -> Durations:
        return Durations(self.name, self.about, self.labels, bounds=self.bounds)

    def family(self) -> HistogramMetricFamily:
        family = HistogramMetricFamily(self.name, self.about, labels=self.labels)
        for labels, counts in sorted(self.values.items()):
            classes: list[tuple[str, float]] = []
            so_far = 0.0
            for bound, count in zip((*map(str, self.bounds), "+Inf"), counts, strict=False):
                so_far += count
                classes.append((bound, so_far))
            family.add_metric(labels, classes, counts[-1])
        return family


Table = Counter | Gauge | Latest | Durations
Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily


class Numbers(Collector):
    """The tables of one worker. Whoever counts asks for a table once and adds to it; ``flush`` is called once a second."""

    def __init__(self, folder: Path | None = None) -> None:
        """``folder``: where all workers of a server leave their tables; None: this process is alone."""
        self._folder = folder
        self._tables: dict[str, Table] = {}
        self._states: list[State] = []

    def counter(self, name: str, about: str, *labels: str) -> Counter:
        table = self._tables[name] = Counter(name, about, labels)
        return table

    def durations(self, name: str, about: str, *labels: str) -> Durations:
        table = self._tables[name] = Durations(name, about, labels)
        return table

    def sizes(self, name: str, about: str, *labels: str) -> Durations:
        """As ``durations``, of things that are counted."""
        table = self._tables[name] = Durations(name, about, labels, bounds=COUNTS)
        return table

    def latest(self, name: str, about: str, *labels: str) -> Latest:
        table = self._tables[name] = Latest(name, about, labels)
        return table

    def gauge(self, name: str, about: str, look: Callable[[], float]) -> None:
        self._tables[name] = Gauge(name, about, look=look)

    def state(self, name: str, about: str) -> State:
        state = State(name, about)
        self._states.append(state)
        return state

    def flush(self) -> None:
        """Leave the tables where the other workers find them, whole or not at all."""
        for table in self._tables.values():
            if isinstance(table, Gauge) and table.look is not None:
                table.values = {(): table.look()}
        if self._folder is None:
            return
        path = self._folder / f"{os.getpid()}.json"
        fresh = path.with_suffix(".new")
        fresh.write_bytes(orjson.dumps({name: list(table.values.items()) for name, table in self._tables.items()}))
        fresh.replace(path)

    def page(self) -> bytes:
        """In the text format of Prometheus, version 0.0.4."""
        self.flush()
        registry = CollectorRegistry()
        registry.register(self)
        return generate_latest(registry)

    def families(self) -> list[tuple[Family, Labels]]:
        """Every metric that there may be, without a value, with the names of its labels."""
        states = [(state.family(), ()) for state in self._states]
        return [*states, *((table.fresh().family(), table.labels) for table in self._tables.values())]

    def collect(self) -> Iterator[Family]:
        yield from (state.family() for state in self._states if state.value is not None)
        sums: dict[str, Table] = {name: table.fresh() for name, table in self._tables.items()}
        for name, rows in self._everybody():
            table = sums.get(name)
            if table is not None:
                for labels, value in rows:
                    table.merge(tuple(labels), value)
        for table in sums.values():
            yield table.family()

    def _everybody(self) -> Iterator[tuple[str, Iterable[tuple[Labels, Any]]]]:
        if self._folder is None:
            yield from ((name, list(table.values.items())) for name, table in self._tables.items())
            return
        for path in sorted(self._folder.glob("*.json")):
            gone = not _lives(int(path.stem))
            for name, rows in orjson.loads(path.read_bytes()).items():
                if not (gone and isinstance(self._tables.get(name), Gauge)):  # its counts stay, but it has nothing now
                    yield name, rows


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
