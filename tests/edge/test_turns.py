"""Turns of long bodies: few at once, callers evenly, and rest while others are served."""

from __future__ import annotations

import asyncio

import pytest

from strongroom.edge import turns as module
from strongroom.edge.turns import MOVING, Mover, Turn, Turns

MIB = 1 << 20
LONG = 2 * MIB  # more than a slice of work


async def settle() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


class Line:
    """Bodies of some callers that want a turn each; ``order`` is that in which they had one."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.order: list[str] = []
        self.tasks: list[asyncio.Task[None]] = []

    def ask(self, mover: Mover, size: int = 0) -> asyncio.Task[None]:
        async def move() -> None:
            began = await self.turns.take(mover)
            self.order.append(mover.name)
            self.turns.give(mover, began, size)

        task = asyncio.create_task(move())
        self.tasks.append(task)
        return task


def serve(turns: Turns, mover: Mover, count: int = 1) -> None:
    """Short requests of a caller are answered."""
    mover.short += count
    turns.short += count


async def filled(turns: Turns, mover: Mover) -> list[float]:
    return [await turns.take(mover) for _ in range(MOVING)]


async def test_so_many_move_at_once_and_no_more() -> None:
    turns, one = Turns(), Mover("one")
    began = await filled(turns, one)
    more = asyncio.create_task(turns.take(one))
    await settle()
    assert (turns.moving, turns.waiting, more.done()) == (MOVING, 1, False)
    turns.give(one, began.pop(), 0)
    assert await more >= began[0]
    assert (turns.moving, turns.waiting) == (MOVING, 0)


async def test_callers_come_round_evenly_however_many_bodies_they_have() -> None:
    turns, many, two, one = Turns(), Mover("many"), Mover("two"), Mover("one")
    began = await filled(turns, many)
    line = Line(turns)
    for mover in (many, many, many, many, two, one, two):
        line.ask(mover)
    await settle()
    turns.give(many, began[0], 0)
    await asyncio.gather(*line.tasks)
    assert line.order == ["many", "two", "one", "many", "two", "many", "many"]


async def test_who_comes_later_stands_behind_those_who_wait() -> None:
    turns, one, other = Turns(), Mover("one"), Mover("other")
    began = await filled(turns, one)
    line = Line(turns)
    line.ask(one)
    await settle()
    turns.give(one, began[0], 0)
    line.ask(other)
    await asyncio.gather(*line.tasks)
    assert line.order == ["one", "other"]


async def test_nobody_rests_while_nobody_else_is_served() -> None:
    turns, one = Turns(), Mover("one")
    for _ in range(20):
        serve(turns, one)  # its own small requests
        turns.give(one, await turns.take(one), LONG)
        task = asyncio.create_task(turns.take(one))
        await asyncio.sleep(0)
        assert task.done()
        turns.give(one, task.result(), 0)


async def test_long_bodies_rest_after_a_slice_of_work_while_others_are_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WORTH", 0.02)
    monkeypatch.setattr(module, "REST", 1e9)
    turns, one, other, small = Turns(), Mover("one"), Mover("other"), Mover("small")
    loop = asyncio.get_running_loop()
    serve(turns, small, 3)
    turns.give(one, await turns.take(one), MIB // 8)  # a slice is not over yet
    turns.give(one, await turns.take(one), LONG)
    started = loop.time()
    line = Line(turns)
    line.ask(one)
    line.ask(other)  # rests, too: neither is who is served
    await asyncio.gather(*line.tasks)
    assert loop.time() - started >= 0.055
    assert line.order == ["one", "other"]


async def test_rest_is_no_longer_than_so_many_times_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WORTH", 30.0)
    turns, one, small = Turns(), Mover("one"), Mover("small")
    serve(turns, small, 1000)
    turns.give(one, await turns.take(one), LONG)
    async with asyncio.timeout(5):
        await turns.take(one)


async def test_in_company_one_moves_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REST", 0.0)
    turns, one, small = Turns(), Mover("one"), Mover("small")
    serve(turns, small)
    turns.give(one, await turns.take(one), LONG)
    await asyncio.sleep(0.002)
    began = await turns.take(one)
    waits = asyncio.create_task(turns.take(one))
    await settle()
    assert not waits.done()
    turns.give(one, began, 0)
    await waits
    monkeypatch.setattr(module, "COMPANY", 0.0)
    serve(turns, small)
    turns.give(one, waits.result(), LONG)
    await asyncio.sleep(0.002)
    await filled(turns, one)  # the others have gone


async def test_who_is_cancelled_holds_up_nobody() -> None:
    turns, one = Turns(), Mover("one")
    began = await filled(turns, one)
    line = Line(turns)
    gone, stays = line.ask(one), line.ask(one)
    await settle()
    gone.cancel()
    await settle()
    turns.give(one, began[0], 0)
    await stays
    assert (turns.waiting, turns.moving) == (0, MOVING - 1)


async def test_a_turn_that_comes_to_one_just_cancelled_goes_to_the_next() -> None:
    turns, one = Turns(), Mover("one")
    began = await filled(turns, one)
    line = Line(turns)
    gone, stays = line.ask(one), line.ask(one)
    await settle()
    turns.give(one, began[0], 0)  # to the first, which does not know it yet
    gone.cancel()
    async with asyncio.timeout(5):
        await stays
    assert line.order == ["one"]
    assert turns.moving == MOVING - 1


async def test_a_turn_is_given_back_once() -> None:
    turns = Turns()
    turn = Turn(turns, Mover("one"))
    turn.give(1)
    await turn.take()
    assert turns.moving == 1
    turn.give(1)
    turn.give(1)
    assert turns.moving == 0
