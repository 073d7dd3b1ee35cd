"""A listener over a real socket before a handler made for the case, and a client that speaks to it in bytes."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from strongroom.edge.head import Head, RawBody, Reply
from strongroom.edge.listener import Listener

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"


class Client:
    """A connection to a listener, spoken to in bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 10)
        first, *lines = head.decode().split("\r\n")[:-2]
        assert first.startswith("HTTP/1.1 ")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        return int(first.split()[1]), headers, await self.reader.readexactly(int(headers.get("content-length", "0")))

    async def is_ended(self) -> bool:
        try:
            return await asyncio.wait_for(self.reader.read(1), 10) == b""
        except ConnectionResetError:
            return True


Connect = Callable[[], Awaitable[Client]]


@asynccontextmanager
async def serving(
    handle: Callable[[Head, RawBody], Awaitable[Reply]], context: ssl.SSLContext | None = None, **settings: Any
) -> AsyncIterator[tuple[Connect, Listener]]:
    clients: list[Client] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listener = Listener(listening, handle, **settings)
        await listener.listen(context)

        async def connect() -> Client:
            clients.append(Client(*await asyncio.open_connection(*listening.getsockname())))
            return clients[-1]

        try:
            yield connect, listener
        finally:
            for client in clients:
                client.writer.close()
            await asyncio.wait_for(listener.stop(), 20)


async def fine(head: Head, _raw: RawBody) -> Reply:
    return Reply(200, [("x-path", head.path), ("x-query", head.query)], b"fine")
