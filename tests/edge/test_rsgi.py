"""The RSGI face over connections that are none: what it takes of refused bodies while others do the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

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
        self._go = go

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for _ in range(4):
            await self._go.wait()
            self.taken += self.size // 4
            yield bytes(self.size // 4)

    def response_bytes(self, status: int, _headers: Any, _body: bytes) -> None:
        self.status = status


def scope(length: str) -> Any:
    return SimpleNamespace(
        method="PUT",
        path="/bucket/key",
        query_string="",
        scheme="http",
        client="127.0.0.1:1",
        authority=None,
        headers=Headers({"host": "h", **({"content-length": length} if length else {"transfer-encoding": "chunked"})}),
    )


async def refuse(_head: Head, _raw: RawBody) -> Reply:
    return Reply(400, [], b"no")


async def app() -> RsgiApp:
    async def opened() -> Handle:
        return refuse

    async def closed() -> None: ...

    made = RsgiApp(opened, closed)
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
