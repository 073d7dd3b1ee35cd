"""The second face: ASGI 3, for tests and other servers. Thin; never knows what a request means.

A streamed answer that fails raises, which makes ASGI servers cut the connection off.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

from strongroom.edge.head import Head, Reply, fold_headers
from strongroom.edge.pages import Handle

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class AsgiBody:
    """A ``RawBody``. A client that has gone ends it, like one that was cut."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._ended = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while not self._ended:
            message = await self._receive()
            self._ended = message["type"] != "http.request" or not message.get("more_body", False)
            part = bytes(message.get("body", b""))
            if part:
                return part
        raise StopAsyncIteration

    async def whole(self) -> bytes:
        return b"".join([part async for part in self])


class AsgiApp:
    """``open_`` builds the rooms at the first request or at the lifespan's start, ``close`` ends them with the lifespan."""

    def __init__(self, open_: Callable[[], Awaitable[Handle]], close: Callable[[], Awaitable[None]]) -> None:
        self._open = open_
        self._close = close
        self._handle: Handle | None = None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        if scope["type"] != "http":
            raise RuntimeError(f"no face for {scope['type']}")
        if self._handle is None:
            self._handle = await self._open()
        reply = await self._handle(head_of(scope), AsgiBody(receive))
        await _send(send, reply)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self._handle = await self._open()
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                await self._close()
                await send({"type": "lifespan.shutdown.complete"})
                return


def head_of(scope: Message) -> Head:
    items = [
        (bytes(name).decode("latin-1").lower(), bytes(value).decode("latin-1").strip(" \t")) for name, value in scope["headers"]
    ]
    headers, repeated = fold_headers(items)
    raw = scope.get("raw_path")
    client = scope.get("client")
    return Head(
        scope["method"],
        scope["path"],
        bytes(raw).decode("latin-1").partition("?")[0] if raw is not None else None,
        bytes(scope.get("query_string", b"")).decode("latin-1"),
        headers,
        scope.get("scheme", "http"),
        client[0] if client else "",
        repeated,
    )


async def _send(send: Send, reply: Reply) -> None:
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in reply.headers]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    if isinstance(reply.body, bytes):
        await send({"type": "http.response.body", "body": reply.body})
        return
    left = reply.length or 0
    async for piece in reply.body:
        left -= len(piece)
        if left < 0:
            raise RuntimeError("a streamed answer is longer than its length")
        await send({"type": "http.response.body", "body": bytes(piece), "more_body": True})
    if left:
        raise RuntimeError("a streamed answer is shorter than its length")
    await send({"type": "http.response.body", "body": b""})
