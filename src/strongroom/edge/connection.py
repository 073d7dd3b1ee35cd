"""One connection of a client, HTTP/1.1: its requests one after the other, each answered before the next is looked at.

What arrives is parsed by llhttp (``httptools``); the bytes of a long body whose length was declared pass the parser by. What comes
before its turn (pipelining) waits, and while something waits nothing more is read. Never knows what a request means.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, cast

import structlog
from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from strongroom.edge.arriving import NOTHING, ArrivingBody
from strongroom.edge.head import Head, Reply
from strongroom.edge.http1 import CONTINUE, HEAD_MOST, LINES_MOST, BadRequest, answer_head, head_of, refusal, too_large
from strongroom.edge.limits import DRAIN_MOST, INLINE_MOST

if TYPE_CHECKING:
    from strongroom.api.operation import BodyPart
    from strongroom.edge.pages import Handle

WRITE_AHEAD: Final = 64 << 10  # bytes of an answer that the system has not taken yet, beyond which no more are made ready
_LINGER_SECONDS: Final = 2.0  # at most, for a client that is to be told that it sent no request
_BEGINS: Final = -1
_WAITING_MOST: Final = 64  # requests that came before their turn
_JOINED_MOST: Final = 64 << 10  # bytes of a body that is copied behind its head, to be sent with it at once
_LOG = structlog.get_logger("strongroom.edge")


class Site(Protocol):
    """What all connections of a worker share."""

    handle: Handle
    scheme: str
    refusals: int  # as many in a row end a connection; 0: none do
    drain_seconds: float  # how long the rest of a refused body is waited for
    stopping: bool

    def date(self) -> str: ...
    def now(self) -> float: ...
    def opened(self, line: Connection) -> None: ...
    def closed(self, line: Connection) -> None: ...
    def begin_drain(self) -> bool: ...
    def end_drain(self) -> None: ...


@dataclass(slots=True)
class _Asked:
    """A request whose head has come, or what is no request."""

    head: Head
    body: ArrivingBody
    has_body: bool
    keeps: bool  # the client may ask again on this connection
    version: str
    bad: BadRequest | None = None


class Connection(asyncio.Protocol):
    """Made by a listener for each connection. ``since``: when it began to rest or to send a head, by the loop's clock."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._transport: asyncio.Transport | None = None
        self._client_ip = ""
        self._parser: HttpRequestParser | None = None
        self._target = b""
        self._lines: list[tuple[bytes, bytes]] = []
        self._in_head = False
        self._head_size = _BEGINS  # bytes of it, less those that came with its first
        self._arriving: _Asked | None = None  # whose body is still to come
        self._passing = 0  # bytes of a long body that are still to come, past the parser
        self._deaf = False  # whatever comes, it is no request
        self._half_closed = False
        self._held = False  # by the body that arrives
        self._waiting: deque[_Asked] = deque()
        self._task: asyncio.Task[None] | None = None  # answers a request
        self._thrown_away = 0  # bytes that came when nothing was listened to any more
        self._can_write = True
        self._writable: asyncio.Future[None] | None = None
        self._refused = 0  # times in a row
        self.since = 0.0
        self.closing = False

    @property
    def rests(self) -> bool:
        """No request of it is being answered."""
        return self._task is None

    # ------------------------------------------------------------------------------------------------ called by the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(WRITE_AHEAD)
        peer = transport.get_extra_info("peername")
        self._client_ip = str(peer[0]) if peer else ""
        self.since = self._site.now()
        self._site.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - however it ended
        self._transport = None
        self._parser = None
        self._deaf = True
        self._cut()
        self._waiting.clear()
        self.resume_writing()
        self._site.closed(self)

    def eof_received(self) -> bool:
        """Half closed: what has come is answered. Whether the transport stays open for that."""
        self._half_closed = True
        self._cut()
        return self._task is not None and self._site.scheme == "http"

    def pause_writing(self) -> None:
        self._can_write = False

    def resume_writing(self) -> None:
        self._can_write = True
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    def data_received(self, data: bytes) -> None:
        if self._passing:
            data = self._pass(data)
            if not data:
                return
        if self._deaf:
            self._throw_away(data)
            return
        if self._parser is None:
            self._parser = HttpRequestParser(self)
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            self._deaf = True  # no other protocol is spoken here: that request is the last
        except HttpParserError as error:
            reason = error.__context__
            if not isinstance(reason, BadRequest):
                reason = BadRequest(400, "BadRequest", "An error occurred when parsing the HTTP request.")
            self._refuse(reason)
            return
        if self._in_head:
            self._head_size = 0 if self._head_size == _BEGINS else self._head_size + len(data)
            if self._head_size > HEAD_MOST:
                self._refuse(too_large())
        elif self._arriving is not None:
            self._bypass(self._arriving)
        if self._waiting:
            self._pace()

    # ---------------------------------------------------------------------------------------------------- called by the parser

    def on_message_begin(self) -> None:
        self._in_head, self._head_size = True, _BEGINS
        self._target, self._lines = b"", []
        self.since = self._site.now()

    def on_url(self, part: bytes) -> None:
        self._target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # and not among the trailers of a chunked body
            self._lines.append((name, value))
            if len(self._lines) > LINES_MOST:
                raise too_large()

    def on_headers_complete(self) -> None:
        parser = self._parser
        if parser is None:
            return
        self._in_head = False
        if len(self._waiting) >= _WAITING_MOST:
            raise BadRequest(400, "BadRequest", "Too many requests were sent before their turn.")
        head = head_of(parser.get_method().decode(), self._target, self._lines, self._site.scheme, self._client_ip)
        headers = head.headers
        has_body = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
        if has_body and headers.get("transfer-encoding", "chunked").lower() != "chunked":
            raise BadRequest(501, "NotImplemented", "A header you provided implies functionality that is not implemented.")
        version = parser.get_http_version()
        keeps = parser.should_keep_alive() and not parser.should_upgrade()
        asked = _Asked(head, NOTHING, has_body, keeps, version)
        if has_body:
            body = asked.body = ArrivingBody(self)
            body.expects = version == "1.1" and headers.get("expect", "").lower() == "100-continue"
            self._arriving = asked
        self._take(asked)

    def on_body(self, data: bytes) -> None:
        if self._arriving is not None:
            self._arriving.body.put(data)

    def on_message_complete(self) -> None:
        if self._arriving is not None:
            self._arriving.body.end()
            self._arriving = None

    # ------------------------------------------------------------------------------------------------------ what has arrived

    def _bypass(self, asked: _Asked) -> None:
        """From here on a long body of a declared length passes the parser by; what follows it begins with a new one."""
        length = asked.head.headers.get("content-length", "")
        if len(length) > 4 and "transfer-encoding" not in asked.head.headers:
            left = int(length) - asked.body.received
            if left > INLINE_MOST:
                self._passing = left
                self._parser = None

    def _pass(self, data: bytes) -> bytes:
        """Put it into the long body; what is beyond it."""
        asked = self._arriving
        rest = b""
        if len(data) > self._passing:
            data, rest = data[: self._passing], data[self._passing :]
        self._passing -= len(data)
        if asked is not None:
            asked.body.put(data)
            if not self._passing:
                self.on_message_complete()
        return rest

    def _refuse(self, reason: BadRequest) -> None:
        """What came is no request: it is told so when its turn has come, and nothing more is listened to."""
        self._deaf = True
        self._in_head = False
        self._cut()
        head = Head("GET", "/", None, "", {}, self._site.scheme, self._client_ip)
        asked = _Asked(head, NOTHING, has_body=False, keeps=False, version="1.1", bad=reason)
        self._take(asked)

    def _throw_away(self, data: bytes) -> None:
        self._thrown_away += len(data)
        if self._thrown_away > DRAIN_MOST and self._transport is not None:
            self._transport.close() if self.closing else self._transport.pause_reading()

    def _cut(self) -> None:
        asked, self._arriving = self._arriving, None
        self._passing = 0
        if asked is not None:
            asked.body.end(came=False)

    # ------------------------------------------------------------------------------------------------------- asked by a body

    def invite(self) -> None:
        if self._transport is not None:
            self._transport.write(CONTINUE)

    def hold(self) -> None:
        self._held = True
        self._pace()

    def go_on(self) -> None:
        self._held = False
        self._pace()

    def _pace(self) -> None:
        """Read from the connection, or do not."""
        transport = self._transport
        if transport is not None and not transport.is_closing():
            if self._held or self._waiting:
                transport.pause_reading()
            else:
                transport.resume_reading()

    # ------------------------------------------------------------------------------------------------------------- answering

    def _take(self, asked: _Asked) -> None:
        if self._task is None:
            self._begin(asked)
        else:
            self._waiting.append(asked)

    def _begin(self, asked: _Asked) -> None:
        self._task = asyncio.get_running_loop().create_task(self._answer(asked))

    async def _answer(self, asked: _Asked) -> None:
        """Answer a request, and begin with the next one that waits."""
        goes_on = False
        try:
            if asked.bad is not None:
                headers, text = refusal(asked.bad)
                reply = Reply(asked.bad.status, headers, text)
            else:
                reply = await self._site.handle(asked.head, asked.body)
            ends = self._ends(asked, reply)
            if not self._send_head(asked, reply, ends=ends):
                ends = True
            elif not isinstance(reply.body, bytes):
                ends = not await self._send(reply, reply.body) or ends
            if asked.has_body and not asked.body.over and _is_coming(asked, reply):
                await self._drain(asked)
            goes_on = not ends and not (asked.has_body and not asked.body.came)
        except Exception as error:  # noqa: BLE001 - whatever it was, this connection has told all it can
            _LOG.error("connection ended", exc_info=error)
        finally:
            asked.body.release()
            self._task = None
            self.since = self._site.now()
            if not goes_on:
                self.close(lingers=asked.bad is not None)
            elif self._waiting:
                self._begin(self._waiting.popleft())
                if not self._waiting:
                    self._pace()

    def _ends(self, asked: _Asked, reply: Reply) -> bool:
        """Whether the connection ends with this answer."""
        if reply.refused:  # who does nothing but be refused must begin anew
            self._refused += 1
            if self._refused == self._site.refusals:
                return True
        else:
            self._refused = 0
        if not asked.keeps or self._site.stopping or ("connection", "close") in reply.headers:
            return True
        if self._half_closed and not self._waiting:
            return True
        if asked.has_body and asked.body.over and not asked.body.came:
            return True
        # When the body was never asked for, the client need not send it: what follows on this connection could be read as that
        # body by one side and as the next request by the other.
        return asked.has_body and not asked.body.started and "expect" in asked.head.headers

    def _send_head(self, asked: _Asked, reply: Reply, *, ends: bool) -> bool:
        """And the body, if there is no more to do for it than to send it. Whether the answer is as it was meant to be."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return True
        connection = "close" if ends else "keep-alive" if asked.version == "1.0" else ""
        body = reply.body if isinstance(reply.body, bytes) else b""
        length = None if body is not reply.body or asked.head.method == "HEAD" else len(body)
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

    async def _send(self, reply: Reply, body: AsyncIterator[BodyPart]) -> bool:
        """Stream an answer; whether all of it was sent. If not, the connection must end, and so be seen to be cut off."""
        left = reply.length or 0
        try:
            async for piece in body:
                transport = self._transport
                left -= len(piece)
                if left < 0 or transport is None or transport.is_closing():
                    break
                # It is kept until the system has taken it, and a view may be of something that is used again.
                transport.write(bytes(piece) if isinstance(piece, memoryview) else piece)
                if not self._can_write:
                    await self._until_writable()
            if left and self._transport is not None:
                _LOG.error("answer cut off: its length is not what was said", request_id=_request_id(reply), left=left)
        except Exception as error:  # noqa: BLE001 - the status is out: all that is left is to cut the connection off
            _LOG.error("answer cut off", request_id=_request_id(reply), exc_info=error)
            return False
        finally:
            close = getattr(body, "aclose", None)
            if close is not None:
                await close()
        return not left

    async def _until_writable(self) -> None:
        self._writable = asyncio.get_running_loop().create_future()
        try:
            await self._writable
        finally:
            self._writable = None

    async def _drain(self, asked: _Asked) -> None:
        """Take what the client still sends of a refused body, within bounds.

        What is taken of a long one is lost work, since its connection is ended all the same, and makes its sender send more: few at
        a time are heard out. The others can read their answer as well, but from a client that reads none while it sends.
        """
        site = self._site
        if _is_short(asked.head):
            await _drain(asked.body, site.drain_seconds)
        elif site.begin_drain():
            try:
                await _drain(asked.body, site.drain_seconds)
            finally:
                site.end_drain()

    # --------------------------------------------------------------------------------------------------------------- ending

    def close(self, *, lingers: bool = False) -> None:
        """What was written is still sent. ``lingers``: to a client that may still be sending, and would be told of that in place of its
        answer: so for a moment what comes is thrown away.
        """
        self._deaf = True
        transport = self._transport
        if transport is None or self.closing:
            return
        self.closing = True
        if lingers and not self._half_closed and transport.can_write_eof():
            self._thrown_away = 0
            transport.write_eof()
            asyncio.get_running_loop().call_later(_LINGER_SECONDS, transport.close)
        else:
            transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def stop(self) -> None:
        """The worker stops: end it if it rests, else with the answer."""
        if self._task is None and not self._in_head:
            self.close()


def _is_coming(asked: _Asked, reply: Reply) -> bool:
    """Whether the client is likely to send the rest of its body, and to use the connection again."""
    return ("connection", "close") not in reply.headers and (asked.body.started or "expect" not in asked.head.headers)


def _is_short(head: Head) -> bool:
    length = head.headers.get("content-length", "")
    return length.isascii() and length.isdigit() and len(length) < 10 and int(length) <= DRAIN_MOST


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
