"""The body of one request on its way: filled by its connection as bytes come, emptied by whoever answers. Never knows HTTP.

What nobody has read yet is bounded: beyond that the connection is not read from, which holds the client up.
"""

from __future__ import annotations

from asyncio import Future, get_running_loop
from collections import deque
from typing import Final, Protocol

READ_AHEAD: Final = 256 << 10  # bytes that wait to be read, beside one more reading of the socket (256 KB)
_PART: Final = 64  # bytes of memory that a part takes beside its own, of which small chunks have many


class Source(Protocol):
    """What a body asks of its connection."""

    def invite(self) -> None:
        """Tell the client to send the body."""
        ...

    def hold(self) -> None:
        """Read no more for now."""
        ...

    def go_on(self) -> None: ...


class ArrivingBody:
    """A ``RawBody``. A connection that is gone ends it, like one that was cut: whoever reads must count."""

    __slots__ = ("_held", "_holds", "_parts", "_source", "_waiter", "came", "expects", "over", "received", "started")

    def __init__(self, source: Source | None) -> None:
        """``source``: None when nothing comes."""
        self._source = source
        self._parts: deque[bytes] = deque()
        self._held = 0  # bytes of memory that ``_parts`` takes
        self._holds = False  # the connection is held up by this
        self._waiter: Future[None] | None = None
        self.received = 0  # bytes that came
        self.expects = False  # its client waits to be told to send it
        self.over = False  # nothing more comes
        self.came = False  # all of it
        self.started = False  # somebody asked for it

    # ----------------------------------------------------------------------------------------------------- the connection's

    def put(self, data: bytes) -> None:
        self.received += len(data)
        if self._source is None:
            return  # nobody wants it any more
        self._parts.append(data)
        self._held += len(data) + _PART
        if self._held > READ_AHEAD and not self._holds:
            self._holds = True
            self._source.hold()
        self._wake()

    def end(self, *, came: bool = True) -> None:
        """Nothing more comes; ``came``: since that was all."""
        self.over, self.came = True, came
        self._wake()

    def release(self) -> None:
        """Whoever answered needs it no more, whoever still holds it: what comes now is thrown away."""
        source, self._source = self._source, None
        self._parts.clear()
        self._held = 0
        if self._holds and source is not None:
            self._holds = False
            source.go_on()

    # ------------------------------------------------------------------------------------------------------------- readers'

    def __aiter__(self) -> ArrivingBody:
        return self

    async def __anext__(self) -> bytes:
        self.started = True
        while not self._parts:
            if self.over or self._source is None:
                raise StopAsyncIteration
            if self.expects:
                self.expects = False
                if not self.received:
                    self._source.invite()
            await self._more()
        part = self._parts.popleft()
        self._held -= len(part) + _PART
        if self._holds and self._held <= READ_AHEAD // 2 and self._source is not None:
            self._holds = False
            self._source.go_on()
        return part

    async def whole(self) -> bytes:
        self.started = True
        if not self.over or self._holds:
            return b"".join([part async for part in self])
        parts = self._parts
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        self._held = 0
        return data

    async def _more(self) -> None:
        self._waiter = get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


#: The body of a request that has none, the same for all of them.
NOTHING: Final = ArrivingBody(None)
NOTHING.end()
