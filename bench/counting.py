"""Counts what each step of a request costs, without a hook in the product: ``budget.toml`` names the steps.

Two kinds of boundaries are put around the product's code when the rooms are not yet built: in the functions it calls marked, each comment
``# 3. caller`` becomes a call that begins that step; and a named callable becomes one that begins its step when it is called and
gives back the surrounding one when it returns. At each boundary a clock is read, and the time since the last one goes to the step
that ends. So every nanosecond goes to exactly one step. A request that waits is left, and its clock stands still; what works for many requests at
once (a commit) is counted apart. What the boundaries themselves cost is measured with functions that do nothing, and taken off.

The clock goes on while somebody else has the core. So the result is that of the quickest tenth of many requests, whole ones, so that the
steps add up: it is the tenth that was disturbed least, and much steadier on a busy machine than a median.
Never knows what a step does.
"""

from __future__ import annotations
import __future__

import asyncio
import functools
import importlib
import inspect
import re
import textwrap
import time
import tomllib
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any, Final

from load import BenchError

FILE: Final = Path(__file__).with_name("budget.toml")
BETWEEN: Final = "between"  # the loop's own work, and all that is in no step
QUICKEST: Final = 10  # one in so many is looked at: those that nobody disturbed
_COMMENT: Final = re.compile(r"^( *)# \d+\. (\w[\w ]*?) *$", re.MULTILINE)
_clock = time.perf_counter_ns


@dataclass(frozen=True, slots=True)
class Plan:
    """``budget.toml``."""

    reference_us: float
    marked: list[str]
    steps: dict[str, list[str]]
    shared: dict[str, list[str]]
    lines: dict[str, dict[str, float]]  # of a kind of request: step -> µs

    @classmethod
    def read(cls, file: Path = FILE) -> Plan:
        return cls(**tomllib.loads(file.read_text("utf-8")))


class Account:
    """What one request has spent so far, in nanoseconds by step, and how often each step was ended."""

    __slots__ = ("ends", "spent", "step", "wraps")

    def __init__(self, steps: int) -> None:
        self.spent = [0] * steps
        self.ends = [0] * steps
        self.wraps = [0] * steps  # calls of named callables out of this step
        self.step = 0


@dataclass(slots=True)
class Cost:
    """Nanoseconds that counting itself adds."""

    end: float = 0.0  # to a step, each time it ends
    wrap: float = 0.0  # to the surrounding step, beyond that, for each callable it calls


class Counter:
    """All accounts of one run. Everything happens on one thread."""

    __slots__ = ("_current", "_last", "_outside", "cost", "names", "shared")

    def __init__(self) -> None:
        self.names = [BETWEEN]
        self.cost = Cost()
        self._outside = self._current = self.shared = Account(0)
        self._last = _clock()

    def index(self, name: str) -> int:
        if name not in self.names:
            self.names.append(name)
        return self.names.index(name)

    def begin(self) -> None:
        """For each group of requests: what is shared is counted from here."""
        self._outside = self._current = Account(len(self.names))
        self.shared = Account(len(self.names))
        self._last = _clock()

    # ---------------------------------------------------------------------------------------------------- the boundaries

    def mark(self, step: int) -> int:
        """End the step that is under way and begin another; which one ended."""
        now = _clock()
        account = self._current
        before = account.step
        account.spent[before] += now - self._last
        account.ends[before] += 1
        account.step = step
        self._last = _clock()
        return before

    def change(self, account: Account) -> Account:
        """Go on with another account, in the step it was left in; whose turn ended."""
        now = _clock()
        before = self._current
        before.spent[before.step] += now - self._last
        before.ends[before.step] += 1
        self._current = account
        self._last = _clock()
        return before

    @types.coroutine
    def request(self, answer: Coroutine[Any, Any, Any], account: Account) -> Generator[Any, Any, Any]:
        """Awaits ``answer`` on that account: the clock stands still whenever it waits."""
        value: Any = None
        error: BaseException | None = None
        while True:
            outside = self.change(account)
            try:
                waited = answer.send(value) if error is None else answer.throw(error)
            except StopIteration as ended:
                return ended.value
            finally:
                self.change(outside)
            value = error = None
            try:
                value = yield waited
            except BaseException as thrown:  # noqa: BLE001 - it is the request's
                error = thrown

    # ------------------------------------------------------------------------------------------------- setting boundaries

    def wrapped(self, function: Callable[..., Any], step: str) -> Callable[..., Any]:
        index, mark = self.index(step), self.mark

        def enter() -> int:
            account = self._current
            account.wraps[account.step] += 1
            return mark(index)

        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def waiting(*args: Any, **named: Any) -> Any:
                before = enter()
                try:
                    return await function(*args, **named)
                finally:
                    mark(before)

            return waiting

        @functools.wraps(function)
        def calling(*args: Any, **named: Any) -> Any:
            before = enter()
            try:
                return function(*args, **named)
            finally:
                mark(before)

        return calling

    def counted_apart(self, function: Callable[..., Any], step: str) -> Callable[..., Any]:
        """``function`` is not a coroutine: it works for many requests, whoever's turn it is."""
        index = self.index(step)

        @functools.wraps(function)
        def calling(*args: Any, **named: Any) -> Any:
            outside = self.change(self.shared)
            before = self.mark(index)
            try:
                return function(*args, **named)
            finally:
                self.mark(before)
                self.change(outside)

        return calling

    def set_boundaries(self, plan: Plan) -> None:
        """Raises BenchError for a name that is not there."""
        for name in plan.marked:
            steps_of(located(name)[3])
            _replace(name, functools.partial(_with_marks, self))
        for step, places in plan.steps.items():
            for name in places:
                _replace(name, lambda function, _, step=step: self.wrapped(function, step))
        for step, places in plan.shared.items():
            for name in places:
                _replace(name, lambda function, _, step=step: self.counted_apart(function, step))
        self.cost = _cost()
        self.begin()

    # ------------------------------------------------------------------------------------------------------------- results

    def typical(self, accounts: list[Account], shared: list[Account]) -> dict[str, float]:
        """Microseconds of each step: those of the quickest requests, and of what a group of requests shares, each one's part."""
        own, common = self._quickest(accounts), self._quickest(shared)
        requests = len(accounts) / len(shared)
        return {name: (own[index] + common[index] / requests) / 1e3 for index, name in enumerate(self.names)}

    def _quickest(self, accounts: list[Account]) -> list[float]:
        net = [[self._net(account, index) for index in range(len(self.names))] for account in accounts]
        chosen = sorted(net, key=sum)[: max(1, len(net) // QUICKEST)]
        return [max(0.0, fmean(column)) for column in zip(*chosen, strict=True)]

    def _net(self, account: Account, index: int) -> float:
        return account.spent[index] - account.ends[index] * self.cost.end - account.wraps[index] * self.cost.wrap


def steps_of(function: Callable[..., Any]) -> list[str]:
    """The steps that a function's comments begin. Raises BenchError when there are none."""
    found = [comment[2] for comment in _COMMENT.finditer(_source(function))]
    if not found:
        raise BenchError(f"budget.toml: {function.__qualname__} has no comment like '# 3. caller'")
    return found


def _source(function: Callable[..., Any]) -> str:
    return textwrap.dedent(inspect.getsource(function))


def _with_marks(counter: Counter, function: Callable[..., Any], module: types.ModuleType) -> Callable[..., Any]:
    """The same function, compiled anew with a call where a comment begins a step; whoever called it gets its own step back."""
    marked = _COMMENT.sub(lambda found: f"{found[1]}_step_begins({counter.index(found[2])})", _source(function))
    setattr(module, "_step_begins", counter.mark)  # noqa: B010 - no checker knows this name
    made: dict[str, Any] = {}
    flags = __future__.annotations.compiler_flag
    exec(compile(marked, f"<{function.__qualname__}, marked>", "exec", flags, dont_inherit=True), module.__dict__, made)  # noqa: S102
    again: Callable[..., Any] = made[function.__name__]

    if inspect.iscoroutinefunction(again):

        @functools.wraps(function)
        async def waiting(*args: Any, **named: Any) -> Any:
            before = counter._current.step  # noqa: SLF001 - one thing in two parts
            try:
                return await again(*args, **named)
            finally:
                counter.mark(before)

        return waiting

    @functools.wraps(function)
    def calling(*args: Any, **named: Any) -> Any:
        before = counter._current.step  # noqa: SLF001 - as above
        try:
            return again(*args, **named)
        finally:
            counter.mark(before)

    return calling


def located(name: str) -> tuple[types.ModuleType, Any, str, Any]:
    """``module:name``: the module, who holds the last part, that part, and what is there. Raises BenchError when it is not there."""
    place, _, path = name.partition(":")
    *owners, last = path.split(".")
    try:
        module = importlib.import_module(place)
        owner: Any = functools.reduce(getattr, owners, module)
        return module, owner, last, vars(owner)[last]
    except (ImportError, AttributeError, KeyError):
        raise BenchError(f"budget.toml names {name}, which is not there: follow it where it went") from None


def _replace(name: str, change: Callable[[Callable[..., Any], types.ModuleType], Callable[..., Any]]) -> None:
    """Put what ``change`` makes of a function in its place. Raises BenchError when it is not there."""
    module, owner, last, found = located(name)
    if isinstance(found, staticmethod | classmethod):
        setattr(owner, last, type(found)(change(found.__func__, module)))
    else:
        setattr(owner, last, change(found, module))


def _cost() -> Cost:
    """What an empty step, and an empty callable, is counted as."""
    counter = Counter()
    step = counter.index("empty")
    counter.begin()
    account = Account(2)
    counter.change(account)
    samples: list[int] = []
    for _ in range(4_000):
        before = account.spent[0]
        counter.mark(0)
        samples.append(account.spent[0] - before)
    end = median(samples)

    def nothing() -> None:
        pass

    wrapped = counter.wrapped(nothing, "empty")
    counter.mark(0)
    bare, around = [], []
    for _ in range(4_000):
        started = _clock()
        nothing()
        bare.append(_clock() - started)
        before = account.spent[0], account.spent[step]
        counter.mark(0)
        before = account.spent[0]
        wrapped()
        counter.mark(0)
        around.append(account.spent[0] - before)
    return Cost(end, max(0.0, median(around) - 2 * end - (median(bare) - end)))


async def together(counter: Counter, answers: list[Coroutine[Any, Any, Any]]) -> tuple[list[Account], Account]:
    """Answers a group of requests at once; the account of each, and what they share."""
    counter.begin()
    accounts = [Account(len(counter.names)) for _ in answers]
    waiting: list[Awaitable[Any]] = [
        asyncio.ensure_future(_awaited(counter, answer, account)) for answer, account in zip(answers, accounts, strict=True)
    ]
    await asyncio.gather(*waiting)
    return accounts, counter.shared


async def _awaited(counter: Counter, answer: Coroutine[Any, Any, Any], account: Account) -> None:
    await counter.request(answer, account)
