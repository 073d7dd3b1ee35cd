"""The answering half of a connection, HTTP/1.1: a request that was heard goes to the handler, and its answer to the client.

Asked by connection.py, and asks nothing of it. Never knows the parser, how bytes arrive, which request is next, or what one means.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import structlog

from strongroom.edge.arriving import ArrivingBody
from strongroom.edge.handing_on import give_up
from strongroom.edge.head import Head, Reply
from strongroom.edge.http1 import BODILESS, CONTINUE, BadRequest, answer_head, refusal
from strongroom.edge.limits import DRAIN_MOST

if TYPE_CHECKING:
    from strongroom.api.operation import BodyPart
    from strongroom.edge.pages import Handle

WRITE_AHEAD: Final = 64 << 10  # bytes of an answer that the system has not taken yet, beyond which no more are made ready
_JOINED_MOST: Final = 64 << 10  # bytes of a body that is copied behind its head, to be sent with it at once
_UNKNOWN: Final = -1
_LOG = structlog.get_logger("strongroom.edge")


class Site(Protocol):
    """What all connections of a worker answer with."""

    handle: Handle
    refusals: int  # as many in a row end a connection; 0: none do
    drain_seconds: float  # how long the rest of a refused body is waited for
    stopping: bool

    def date(self) -> str: ...
    def begin_drain(self) -> bool: ...
    def end_drain(self) -> None: ...


@dataclass(slots=True)
class Asked:
    """A request whose head has come, or what is no request."""

    head: Head
    body: ArrivingBody
    length: int | None  # declared bytes of the body; 0: there is none, None: it comes in chunks
    keeps: bool  # the client may ask again on this connection
    version: str
    bad: BadRequest | None = None

    def may_keep_back(self) -> bool:
        """Nobody asked for the body, so the client need not send it."""
        return not self.body.started and "expect" in self.head.headers


class Answering:
    """The answers of one connection, one at a time."""

    __slots__ = ("_can_write", "_refused", "_site", "_transport", "_unread", "_unread_since", "_writable")

    def __init__(self, site: Site, transport: asyncio.Transport) -> None:
        self._site = site
        self._transport: asyncio.Transport | None = transport
        self._refused = 0  # times in a row
        self._can_write = True
        self._writable: asyncio.Future[None] | None = None
        self._unread = _UNKNOWN  # bytes that waited for the client when that was last looked at
        self._unread_since = 0.0  # as many
        transport.set_write_buffer_limits(WRITE_AHEAD)

    # ------------------------------------------------------------------------------------------------ told by the transport

    def pause(self) -> None:
        self._can_write = False

    def resume(self) -> None:
        self._can_write = True
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    def lost(self) -> None:
        """Nobody is there any more."""
        self._transport = None
        self.resume()

    # ------------------------------------------------------------------------------------------------------------- answering

    async def answer(self, asked: Asked) -> bool:
        """Answer a request. Whether the connection goes on. Raises what the handler raises: then there is nothing to tell."""
        if asked.bad is not None:
            headers, text = refusal(asked.bad)
            reply = Reply(asked.bad.status, headers, text)
        else:
            reply = await self._site.handle(asked.head, asked.body)
        ends = self._ends(asked, reply)
        if isinstance(reply.body, bytes):
            whole = self._send_head(asked, reply, reply.body, ends=ends)
        else:
            whole = await self._send(asked, reply, reply.body, ends=ends)
        if not asked.body.over and _is_coming(asked, reply):
            await self._drain(asked)
        if ends or not whole or not asked.body.came:
            return False
        if not self._can_write:  # of short answers, too, no more are made ready than are taken
            await self._until_writable()
        return asked.keeps  # the client may have said so meanwhile

    def _ends(self, asked: Asked, reply: Reply) -> bool:
        """Whether the connection ends with this answer."""
        if reply.refused:  # who does nothing but be refused must begin anew
            self._refused += 1
            if self._refused == self._site.refusals:
                return True
        else:
            self._refused = 0
        if not asked.keeps or self._site.stopping or ("connection", "close") in reply.headers:
            return True
        if asked.length == 0:
            return False
        if asked.body.over and not asked.body.came:
            return True
        # When the body was never asked for, the client need not send it: what follows on this connection could be read as that
        # body by one side and as the next request by the other.
        return asked.may_keep_back()

    def _send_head(self, asked: Asked, reply: Reply, body: bytes, *, ends: bool) -> bool:
        """And the body, as far as it is here already. Whether the answer is as it was meant to be."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return False
        connection = "close" if ends else "keep-alive" if asked.version == "1.0" else ""
        length = len(body) if body is reply.body else None
        if _is_bodiless(asked, reply):
            body, length = b"", None
        date = self._site.date()
        try:
            head = answer_head(reply.status, reply.headers, date, length, connection)
        except ValueError as error:
            _LOG.error("answer replaced", request_id=_request_id(reply), exc_info=error)
            headers, body = refusal(BadRequest(500, "InternalError", "We encountered an internal error. Please try again."))
            transport.write(answer_head(500, headers, date, len(body), "close") + body)
            return False
        if len(body) > _JOINED_MOST:
            transport.writelines((head, body))
        else:
            transport.write(head + body)
        return True

    async def _send(self, asked: Asked, reply: Reply, body: AsyncIterator[BodyPart], *, ends: bool) -> bool:
        """Stream an answer; whether all of it was sent. If not, the connection must end, and so be seen to be cut off."""
        try:
            if not self._send_head(asked, reply, b"", ends=ends):
                return False
            if _is_bodiless(asked, reply):
                return True
            return await self._stream(reply, body)
        except Exception as error:  # noqa: BLE001 - the status is out: all that is left is to cut the connection off
            _LOG.error("answer cut off", request_id=_request_id(reply), exc_info=error)
            return False
        finally:
            await give_up(body)

    async def _stream(self, reply: Reply, body: AsyncIterator[BodyPart]) -> bool:
        left = reply.length or 0
        async for piece in body:
            left -= len(piece)
            if left < 0:
                break
            transport = self._transport
            if transport is None or transport.is_closing():
                return False
            # It is kept until the system has taken it, and a view may be of something that is used again.
            transport.write(bytes(piece) if isinstance(piece, memoryview) else piece)
            if not self._can_write:
                await self._until_writable()
        if left:
            _LOG.error("answer cut off: its length is not what was said", request_id=_request_id(reply), left=left)
        return not left

    async def _drain(self, asked: Asked) -> None:
        """Take what the client still sends of a refused body, within bounds.

        What is taken of a long one is lost work, since its connection is ended all the same, and makes its sender send more: few at
        a time are heard out. The others can read their answer as well, but from a client that reads none while it sends.
        """
        site = self._site
        if asked.length is not None and asked.length <= DRAIN_MOST:
            await _drain(asked.body, site.drain_seconds)
        elif site.begin_drain():
            try:
                await _drain(asked.body, site.drain_seconds)
            finally:
                site.end_drain()

    # ------------------------------------------------------------------------------------------- what the client does not take

    async def _until_writable(self) -> None:
        self._writable = asyncio.get_running_loop().create_future()
        self._unread = _UNKNOWN
        try:
            await self._writable
        finally:
            self._writable = None

    def unread_since(self, now: float) -> float:
        """Since when the client has taken nothing of what holds the answer up, as far as this was asked; ``now``: nothing does."""
        if self._writable is None or self._transport is None:
            return now
        unread = self._transport.get_write_buffer_size()
        if unread != self._unread:
            self._unread, self._unread_since = unread, now
        return self._unread_since

    def invite(self) -> None:
        """Tell the client to send the body of the request that is being answered."""
        if self._transport is not None:
            self._transport.write(CONTINUE)


def _is_bodiless(asked: Asked, reply: Reply) -> bool:
    """Whatever came behind the head of such an answer would be read as the next one."""
    return asked.head.method == "HEAD" or reply.status in BODILESS


def _is_coming(asked: Asked, reply: Reply) -> bool:
    """Whether the client is likely to send the rest of its body, and to use the connection again."""
    return ("connection", "close") not in reply.headers and not asked.may_keep_back()


async def _drain(body: ArrivingBody, seconds: float) -> None:
    received = 0
    try:
        async with asyncio.timeout(seconds):
            async for part in body:
                received += len(part)
                if received > DRAIN_MOST:
                    return
    except TimeoutError:
        return


def _request_id(reply: Reply) -> str:
    return next((value for name, value in reply.headers if name in {"x-amz-request-id", "x-amzn-requestid"}), "")
