"""What ``make budget`` counts, by a clock of the test's own: every moment goes to one step, and waiting goes to none."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import counting
import pytest
from load import BenchError

if TYPE_CHECKING:
    from collections.abc import Callable


class Clock:
    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(counting, "_clock", clock)
    return clock


async def _counted(counter: counting.Counter, *requests: Any) -> dict[str, float]:
    accounts, shared = await counting.together(counter, list(requests))
    return {name: us * 1e3 for name, us in counter.typical(accounts, [shared]).items()}


async def test_the_time_of_a_callable_is_its_steps_and_not_that_of_its_surroundings(clock: Clock) -> None:
    counter = counting.Counter()

    def inner() -> None:
        clock.now += 5

    def outer(inner: Callable[[], None]) -> None:
        clock.now += 10
        inner()
        clock.now += 3

    wrapped_inner, wrapped_outer = counter.wrapped(inner, "inner"), counter.wrapped(outer, "outer")

    async def request() -> None:
        clock.now += 1
        wrapped_outer(wrapped_inner)
        clock.now += 1

    assert await _counted(counter, request()) == {counting.BETWEEN: 2, "inner": 5, "outer": 13}


async def test_the_clock_of_a_request_that_waits_stands_still_while_others_go_on(clock: Clock) -> None:
    counter = counting.Counter()

    async def waiting(gate: asyncio.Event) -> None:
        clock.now += 4
        await gate.wait()
        clock.now += 4

    async def opening(gate: asyncio.Event) -> None:
        clock.now += 100
        gate.set()

    gate = asyncio.Event()
    waits, opens = counter.wrapped(waiting, "waits"), counter.wrapped(opening, "opens")
    accounts, _ = await counting.together(counter, [waits(gate), opens(gate)])
    waits_at, opens_at = counter.index("waits"), counter.index("opens")
    assert [(account.spent[waits_at], account.spent[opens_at]) for account in accounts] == [(8, 0), (0, 100)]


async def test_what_one_request_does_for_all_is_shared_by_all(clock: Clock) -> None:
    counter = counting.Counter()

    def commit() -> None:
        clock.now += 40

    together = counter.counted_apart(commit, "commit")

    async def request(*, last: bool) -> None:
        clock.now += 2
        if last:
            together()

    counted = await _counted(counter, *[request(last=number == 3) for number in range(4)])
    assert counted == {counting.BETWEEN: 2, "commit": 10}


async def test_an_error_of_a_request_is_its_own_and_gives_the_step_back(clock: Clock) -> None:
    counter = counting.Counter()

    async def failing() -> None:
        clock.now += 5
        raise ValueError

    wrapped = counter.wrapped(failing, "failing")

    async def request() -> None:
        with pytest.raises(ValueError):
            await wrapped()
        clock.now += 7

    assert await _counted(counter, request()) == {counting.BETWEEN: 7, "failing": 5}


def test_every_name_of_the_budget_is_there_and_every_line_is_of_a_step() -> None:
    plan = counting.Plan.read()
    steps = {step for name in plan.marked for step in counting.steps_of(counting.located(name)[3])}
    for named in (plan.steps, plan.shared):
        for step, names in named.items():
            steps.add(step)
            assert all(callable(getattr(counting.located(name)[3], "__func__", counting.located(name)[3])) for name in names)
    for lines in plan.lines.values():
        assert set(lines) - {"all steps"} <= steps


def test_a_name_that_is_gone_is_told() -> None:
    with pytest.raises(BenchError, match=r"strongroom\.edge\.gate:Gate\.gone, which is not there"):
        counting.located("strongroom.edge.gate:Gate.gone")
