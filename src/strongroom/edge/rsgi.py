"""The production face: granian's RSGI. Thin; never knows what a request means.

What granian does, and this makes good: a header that is not ASCII vanishes from its items (refused here), a body cut short ends
without an error (counted by ``body``), an answer before the body was read closes the connection if much of it is still to come
(a bounded rest of it is taken first, so that the client reads the answer), and a streamed answer that ends short of its
content-length is cut off, as it must be. Needs granian's task implementation ``asyncio`` (its default).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

import structlog
from granian._granian import RSGIProtocolClosed as ProtocolClosed

from strongroom.edge.head import Head, Reply, fold_headers
from strongroom.edge.limits import DRAIN_MOST, LONG_DRAINS
from strongroom.edge.pages import Handle

if TYPE_CHECKING:
    from strongroom.api.operation import BodyPart

_LOG = structlog.get_logger("strongroom.edge")
_ROWS_MOST: Final = 10_000


class _Headers(Protocol):
    def items(self) -> list[tuple[str, str]]: ...
    def __len__(self) -> int: ...  # of different names


class _Scope(Protocol):
    method: str
    path: str
    query_string: str
    scheme: str
    client: str
    authority: str | None

    @property
    def headers(self) -> _Headers: ...


class _Transport(Protocol):
    async def send_bytes(self, data: bytes | bytearray) -> None: ...


class _Connection(Protocol):
    def __call__(self) -> Awaitable[bytes]: ...
    def __aiter__(self) -> AsyncIterator[bytes]: ...
    def response_bytes(self, status: int, headers: Sequence[tuple[str, str]], body: bytes) -> None: ...
    def response_empty(self, status: int, headers: Sequence[tuple[str, str]]) -> None: ...
    def response_stream(self, status: int, headers: Sequence[tuple[str, str]]) -> _Transport: ...


class RsgiBody:
    """A ``RawBody``. A connection that is gone ends it, like one that was cut."""

    __slots__ = ("_connection", "_iterator", "ended", "started")

    def __init__(self, connection: _Connection) -> None:
        self._connection: _Connection | None = connection
        self._iterator: AsyncIterator[bytes] | None = None
        self.started = False
        self.ended = False

    def release(self) -> None:
        """Let granian's objects go, whoever still holds this one."""
        self._connection = self._iterator = None

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        self.started = True
        if self._iterator is None:
            if self._connection is None:
                raise StopAsyncIteration
            self._iterator = self._connection.__aiter__()
        try:
            return await self._iterator.__anext__()
        except (StopAsyncIteration, ProtocolClosed):
            self.ended = True
            raise StopAsyncIteration from None

    async def whole(self) -> bytes:
        if self._iterator is not None or self._connection is None:
            return b"".join([part async for part in self])
        self.started = self.ended = True
        try:
            return await self._connection()
        except ProtocolClosed:
            return b""


class RsgiApp:
    """What granian is given. ``open_`` builds the rooms when a worker starts, ``close`` ends them when it stops."""

    def __init__(
        self,
        open_: Callable[[], Awaitable[Handle]],
        close: Callable[[], Awaitable[None]],
        *,
        drain_seconds: float = 5.0,
        refusals: int = 0,
    ) -> None:
        """``drain_seconds``: how long the rest of a refused body is waited for. ``refusals``: as many in a row end a connection;
        0: none do.
        """
        self._drain_seconds = drain_seconds
        self._long_drains = 0
        self._refusals = refusals
        self._rows: dict[str, int] = {}  # by connection (the client's address and port): how often it was refused in a row
        self._open = open_
        self._close = close
        self._handle: Handle | None = None

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._handle = loop.run_until_complete(self._opened())

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.run_until_complete(self._closed())

    async def _opened(self) -> Handle:
        return await self._open()

    async def _closed(self) -> None:
        await self._close()

    async def __rsgi__(self, scope: Any, connection: Any) -> None:
        handle = self._handle
        if handle is None:
            raise RuntimeError("a request before the worker was initialised")
        body = RsgiBody(connection)
        head = head_of(scope)
        if head is None:
            reply = Reply(
                400,
                [("server", "Strongroom"), ("content-type", "text/plain"), ("content-length", str(len(_NOT_ASCII)))],
                _NOT_ASCII,
            )
        else:
            reply = await handle(head, body)
        if head is not None and not body.started and "expect" in head.headers and _has_body(head):
            # The body was never asked for, so the client need not send it: what follows on this connection could be read as
            # that body by one side and as the next request by the other.
            reply.headers.append(("connection", "close"))
        if reply.refused:
            self._count(scope.client, reply)
        elif self._rows:
            self._rows.pop(scope.client, None)
        if isinstance(reply.body, bytes):
            if reply.body:
                connection.response_bytes(reply.status, reply.headers, reply.body)
            else:
                connection.response_empty(reply.status, reply.headers)
        else:
            await _send(_Stream(connection.response_stream(reply.status, reply.headers)), reply, reply.body)
        if head is not None and not body.ended and _is_coming(head, body, reply):
            await self._drain(head, body)
        body.release()

    def _count(self, connection: str, reply: Reply) -> None:
        """End a connection that does nothing but be refused: whoever guesses must begin anew."""
        row = self._rows.pop(connection, 0) + 1
        if row == self._refusals:
            reply.headers.append(("connection", "close"))
        elif self._refusals:
            if len(self._rows) >= _ROWS_MOST:  # of connections that are gone, most of them
                self._rows.clear()
            self._rows[connection] = row

    async def _drain(self, head: Head, body: RsgiBody) -> None:
        """Take what the client still sends of a refused body, within bounds.

        What is taken of a long one is lost work, since its connection is ended all the same, and makes its sender send more: few at
        a time are heard out. The others can read their answer as well, but from a client that reads none while it sends.
        """
        if _is_short(head):
            await _drain(body, self._drain_seconds)
        elif self._long_drains < LONG_DRAINS:
            self._long_drains += 1
            try:
                await _drain(body, self._drain_seconds)
            finally:
                self._long_drains -= 1


_NOT_ASCII: Final = b"Header value cannot be represented in ASCII.\n"


def head_of(scope: _Scope) -> Head | None:
    """The head of a request; None when a header's value is not ASCII, which granian gives no sight of."""
    own = scope.headers
    headers, repeated = fold_headers(own.items())
    if len(own) > len(headers):
        return None
    if scope.authority is not None and "host" not in headers:
        headers["host"] = scope.authority
    client = scope.client.rpartition(":")[0].strip("[]")
    return Head(scope.method, scope.path, None, scope.query_string, headers, scope.scheme, client, repeated)


def _is_coming(head: Head, body: RsgiBody, reply: Reply) -> bool:
    """Whether the client is likely to send the rest of its body, and to use the connection again."""
    if not _has_body(head) or ("connection", "close") in reply.headers:
        return False
    return body.started or "expect" not in head.headers


def _has_body(head: Head) -> bool:
    return head.headers.get("content-length", "0") != "0" or "transfer-encoding" in head.headers


def _is_short(head: Head) -> bool:
    length = head.headers.get("content-length", "")
    return length.isascii() and length.isdigit() and len(length) < 10 and int(length) <= DRAIN_MOST


class _Stream:
    """Holds granian's transport so that it can be let go: the connection is ended when nothing refers to it any more, and a
    traceback that somebody keeps would.
    """

    __slots__ = ("transport",)

    def __init__(self, transport: _Transport) -> None:
        self.transport: _Transport | None = transport


async def _send(stream: _Stream, reply: Reply, body: AsyncIterator[BodyPart]) -> None:
    """Stream an answer. If it fails or falls short nothing more is sent, and granian cuts the connection off."""
    left = reply.length or 0
    try:
        async for piece in body:
            left -= len(piece)
            if left < 0 or stream.transport is None:
                break
            # It is copied at once, and a bytearray not once more.
            await stream.transport.send_bytes(bytes(piece) if isinstance(piece, memoryview) else piece)
        if left:
            _LOG.error("answer cut off: its length is not what was said", request_id=_request_id(reply), left=left)
    except ProtocolClosed:
        pass  # the client has gone
    except Exception as error:  # noqa: BLE001 - the status is out: all that is left is to cut the connection off
        _LOG.error("answer cut off", request_id=_request_id(reply), exc_info=error)
    finally:
        stream.transport = None
        close = getattr(body, "aclose", None)
        if close is not None:
            await close()


def _request_id(reply: Reply) -> str:
    return next((value for name, value in reply.headers if name in {"x-amz-request-id", "x-amzn-requestid"}), "")


async def _drain(body: RsgiBody, seconds: float) -> None:
    received = 0
    try:
        async with asyncio.timeout(seconds):
            async for part in body:
                received += len(part)
                if received > DRAIN_MOST:
                    return
    except TimeoutError:
        return
