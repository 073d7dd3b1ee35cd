"""The RSGI face over connections that are none: what it takes of refused bodies while others do the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from strongroom.edge import rsgi
from strongroom.edge.head import Head, RawBody, Reply
from strongroom.edge.limits import DRAIN_MOST, LONG_DRAINS
from strongroom.edge.pages import Handle
from strongroom.edge.rsgi import RsgiApp


class Headers(dict[str, str]):
    def items(self) -> list[tuple[str, str]]:  # type: ignore[override]
        return list(super().items())

    def keys(self) -> list[str]:  # type: ignore[override]
        return list(super().keys())


class Connection:
    """A client that sends ``size`` bytes in four parts when ``go`` is set."""

    def __init__(self, size: int, go: asyncio.Event) -> None:
        self.size = size
        self.taken = 0
        self.status = 0
        self.closes = False
        self._go = go

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for _ in range(4):
            await self._go.wait()
            self.taken += self.size // 4
            yield bytes(self.size // 4)

    def response_bytes(self, status: int, headers: Any, _body: bytes) -> None:
        self.status = status
        self.closes = ("connection", "close") in headers


def scope(length: str, port: int = 1) -> Any:
    return SimpleNamespace(
        method="PUT",
        path="/bucket/key",
        query_string="",
        scheme="http",
        client=f"127.0.0.1:{port}",
        authority=None,
        headers=Headers({"host": "h", **({"content-length": length} if length else {"transfer-encoding": "chunked"})}),
    )


async def refuse(_head: Head, _raw: RawBody) -> Reply:
    return Reply(400, [], b"no")


async def app(handle: Handle = refuse, refusals: int = 0) -> RsgiApp:
    async def opened() -> Handle:
        return handle

    async def closed() -> None: ...

    made = RsgiApp(opened, closed, refusals=refusals)
    made._handle = await made._opened()
    return made


@pytest.mark.parametrize("declared", [True, False])
async def test_few_long_refused_bodies_are_received_at_a_time_and_all_are_answered(*, declared: bool) -> None:
    server, go, size = await app(), asyncio.Event(), DRAIN_MOST + 4
    lines = [Connection(size, go) for _ in range(LONG_DRAINS + 3)]
    tasks = [asyncio.create_task(server.__rsgi__(scope(str(size) if declared else ""), line)) for line in lines]
    await asyncio.sleep(0.01)
    assert [task.done() for task in tasks] == [False] * LONG_DRAINS + [True] * 3
    assert {line.status for line in lines} == {400}
    go.set()
    await asyncio.gather(*tasks)
    assert [line.taken for line in lines] == [size] * LONG_DRAINS + [0] * 3
    later = Connection(size, go)
    await server.__rsgi__(scope(str(size)), later)
    assert later.taken == size


async def test_short_refused_bodies_are_always_received_so_that_their_connections_live() -> None:
    server, go = await app(), asyncio.Event()
    go.set()
    lines = [Connection(DRAIN_MOST, go) for _ in range(LONG_DRAINS + 3)]
    await asyncio.gather(*(server.__rsgi__(scope(str(DRAIN_MOST)), line) for line in lines))
    assert {line.taken for line in lines} == {DRAIN_MOST}


class Answers:
    """Answers of a gate: refused, or not."""

    def __init__(self) -> None:
        self.refused = True

    async def handle(self, _head: Head, _raw: RawBody) -> Reply:
        return Reply(403, [], b"no", refused=True) if self.refused else Reply(403, [], b"no rights")


async def closes(server: RsgiApp, port: int) -> bool:
    line = Connection(0, asyncio.Event())
    await server.__rsgi__(scope("0", port), line)
    return line.closes


async def test_so_many_refusals_in_a_row_end_a_connection() -> None:
    answers = Answers()
    server = await app(answers.handle, 3)
    assert [await closes(server, 1) for _ in range(3)] == [False, False, True]
    assert [await closes(server, 1) for _ in range(2)] == [False, False]  # another one, from the same port
    assert not await closes(server, 2)
    answers.refused = False
    assert not await closes(server, 1)  # who it is was proved: the row is over
    answers.refused = True
    assert [await closes(server, 1) for _ in range(3)] == [False, False, True]
    assert [await closes(server, 2) for _ in range(2)] == [False, True]


async def test_no_number_of_refusals_ends_a_connection_where_none_is_set() -> None:
    server = await app(Answers().handle, 0)
    assert not any([await closes(server, 1) for _ in range(100)])


async def test_connections_that_went_away_while_they_were_refused_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rsgi, "_ROWS_MOST", 10)
    server = await app(Answers().handle, 2)
    for port in range(25):
        await closes(server, port)
    assert len(server._rows) <= 10
