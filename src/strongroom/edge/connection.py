"""One connection of a client, HTTP/1.1, and its hearing half: what arrives becomes requests, answered one after the other.

What arrives is parsed by llhttp (``httptools``); the bytes of a long body whose length was declared pass the parser by. What comes
before its turn (pipelining) waits, and while something waits nothing more is read. Never knows what a request means, nor how
an answer is sent: that is answering.py's.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final, Protocol, cast

import structlog
from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpRequestParser

from strongroom.edge import answering
from strongroom.edge.answering import Answering, Asked
from strongroom.edge.arriving import NOTHING, ArrivingBody
from strongroom.edge.head import Head
from strongroom.edge.http1 import HEAD_MOST, LINES_MOST, BadRequest, body_length, head_of, not_implemented, too_large
from strongroom.edge.limits import DRAIN_MOST, INLINE_MOST

_LINGER_SECONDS: Final = 2.0  # at most, for a client that is to be told that it sent no request
_BEGINS: Final = -1
_WAITING_MOST: Final = 64  # requests that came before their turn
_LOG = structlog.get_logger("strongroom.edge")


class Site(answering.Site, Protocol):
    """What all connections of a worker share."""

    scheme: str

    def now(self) -> float: ...
    def opened(self, line: Connection) -> None: ...
    def closed(self, line: Connection) -> None: ...
    def done(self, line: Connection) -> None: ...


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
        self._words = _BEGINS  # bytes of a head, less those that came with its first; or since the last byte of a body
        self._arriving: Asked | None = None  # whose body is still to come
        self._passing = 0  # bytes of a body that are still to come, past the parser
        self._deaf = False  # whatever comes, it is no request
        self._half_closed = False
        self._held = False  # by the body that arrives
        self._waiting: deque[Asked] = deque()
        self._answers: Answering
        self._answered: Asked | None = None  # the request that is being answered
        self._task: asyncio.Task[None] | None = None  # does so
        self._thrown_away = 0  # bytes that came when nothing was listened to any more
        self.since = 0.0
        self.closing = False

    @property
    def rests(self) -> bool:
        """No request of it is being answered."""
        return self._task is None

    # ------------------------------------------------------------------------------------------------ called by the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._answers = Answering(self._site, self._transport)
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
        self._answers.lost()
        self._site.closed(self)

    def eof_received(self) -> bool:
        """Half closed: what has come is answered. Whether the transport stays open for that."""
        self._half_closed = True
        self._cut()
        last = self._waiting[-1] if self._waiting else self._answered
        if last is not None:
            last.keeps = False
        return self._task is not None and self._site.scheme == "http"

    def pause_writing(self) -> None:
        self._answers.pause()

    def resume_writing(self) -> None:
        self._answers.resume()

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
        except HttpParserUpgrade as ended:
            self._deaf = True  # no other protocol is spoken here: that request is the last
            offset: int = ended.args[0]
            if self._passing and offset < len(data):  # of its body, which the parser takes for that protocol
                self._pass(data[offset:])
        except HttpParserError as error:
            self._refuse(_reason(error))
            return
        if self._in_head or self._arriving is not None:
            self._words = 0 if self._words == _BEGINS else self._words + len(data)
            if self._words > HEAD_MOST:
                self._refuse(too_large())
            elif self._arriving is not None and not self._in_head:
                self._bypass(self._arriving)
        if self._waiting:
            self._pace()

    # ---------------------------------------------------------------------------------------------------- called by the parser

    def on_message_begin(self) -> None:
        self._in_head, self._words = True, _BEGINS
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
        version, upgrades = parser.get_http_version(), parser.should_upgrade()
        headers = head.headers
        length = body_length(headers, version)
        asked = Asked(head, NOTHING, length, parser.should_keep_alive() and not upgrades, version)
        if length != 0:
            if upgrades:  # the parser takes all that follows for another protocol, and cannot be told that it is a body
                if length is None:
                    raise not_implemented()
                self._passing = length
            body = asked.body = ArrivingBody(self)
            body.expects = "expect" in headers and version == "1.1" and headers["expect"].lower() == "100-continue"
            self._arriving = asked
            self._words = _BEGINS
        self._take(asked)

    def on_body(self, data: bytes) -> None:
        self._words = _BEGINS
        if self._arriving is not None:
            self._arriving.body.put(data)

    def on_message_complete(self) -> None:
        if self._arriving is not None and not self._passing:
            self._arriving.body.end()
            self._arriving = None

    # ------------------------------------------------------------------------------------------------------ what has arrived

    def _bypass(self, asked: Asked) -> None:
        """From here on a long body of a declared length passes the parser by; what follows it begins with a new one."""
        if asked.length is not None:
            left = asked.length - asked.body.received
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
        self._take(Asked(head, NOTHING, length=0, keeps=False, version="1.1", bad=reason))

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
        self._answers.invite()

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

    # --------------------------------------------------------------------------------------------------------- taking turns

    def _take(self, asked: Asked) -> None:
        if self._task is None:
            self._begin(asked)
        else:
            self._waiting.append(asked)

    def _begin(self, asked: Asked) -> None:
        self._answered = asked
        self._task = asyncio.get_running_loop().create_task(self._answer(asked))

    async def _answer(self, asked: Asked) -> None:
        """Have a request answered, and begin with the next one that waits."""
        goes_on = False
        try:
            goes_on = await self._answers.answer(asked)
        except Exception as error:  # noqa: BLE001 - whatever it was, this connection has told all it can
            _LOG.error("connection ended", exc_info=error)
        finally:
            if asked.length != 0:
                asked.body.release()
            self._task = self._answered = None
            self.since = self._site.now()
            if self._transport is None:
                self._site.done(self)
            elif not goes_on:
                self.close(lingers=asked.bad is not None)
            elif self._waiting:
                self._begin(self._waiting.popleft())
                if not self._waiting:
                    self._pace()

    def unread_since(self, now: float) -> float:
        """Since when its client has taken nothing of an answer, as far as this was asked; ``now`` if nothing waits to be taken."""
        return self._answers.unread_since(now)

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


def _reason(error: HttpParserError) -> BadRequest:
    """Why what came is no request."""
    cause = error.__context__
    if isinstance(cause, BadRequest):
        return cause
    if isinstance(error, HttpParserCallbackError):  # it is we who failed
        _LOG.error("a request was not taken", exc_info=cause)
    return BadRequest(400, "BadRequest", "An error occurred when parsing the HTTP request.")
