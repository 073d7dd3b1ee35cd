"""Where a worker listens: its socket, all its connections, and the clock that ends those which rest too long.

The socket is the worker's parent's and outlives everything here, so that a pause in accepting, another certificate or another
worker loses no connection: those that come meanwhile wait in the system's queue. Never knows what is said on a connection.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from email.utils import formatdate
from socket import socket
from typing import TYPE_CHECKING, Final

import structlog

from strongroom.edge.connection import Connection
from strongroom.edge.limits import LONG_DRAINS

if TYPE_CHECKING:
    from strongroom.edge.pages import Handle

BACKLOG: Final = 1024  # connections that wait to be taken
_LOG = structlog.get_logger("strongroom.edge")
_LOOK: Final = 1.0  # seconds between two looks at connections that rest, at most
TAKING_MOST: Final = 300.0  # seconds in which a client must take something of an answer, or all of its connection's last
_TLS_END: Final = 5.0  # seconds for a client's goodbye


class Listener:
    """One a worker; the ``Site`` of its connections."""

    def __init__(
        self,
        listening: socket,
        handle: Handle,
        *,
        rest: float = 20.0,
        connections: int = 2048,
        refusals: int = 0,
        drain_seconds: float = 5.0,
    ) -> None:
        """``listening``: bound, not yet read from by anybody else. ``rest``: seconds in which a head must come, and which a connection
        may rest between two. ``connections``: kept open; beyond that none is accepted. ``refusals``: as many in a row end one; 0: none.
        """
        self.handle = handle
        self.refusals = refusals
        self.drain_seconds = drain_seconds
        self.stopping = False
        self.scheme = "http"
        self.now = asyncio.get_running_loop().time
        self._listening = listening
        self._rest = rest
        self._most = connections
        self._context: ssl.SSLContext | None = None
        self._server: asyncio.Server | None = None
        self._lines: set[Connection] = set()
        self._left: set[Connection] = set()  # by their clients, while what these asked for is still being done
        self._gone = asyncio.Event()
        self._long_drains = 0
        self._second = 0
        self._date = ""
        self._looking = asyncio.create_task(self._look())

    async def listen(self, context: ssl.SSLContext | None = None) -> None:
        """Accept connections. Again with another context: for those that are opened from now on."""
        self._context = context
        self.scheme = "http" if context is None else "https"
        before = self._server
        self._server = await self._accept()
        if before is not None:
            before.close()

    async def _accept(self) -> asyncio.Server:
        secure = self._context is not None
        return await asyncio.get_running_loop().create_server(
            lambda: Connection(self),
            sock=self._listening.dup(),
            backlog=BACKLOG,
            ssl=self._context,
            ssl_handshake_timeout=self._rest if secure else None,
            ssl_shutdown_timeout=_TLS_END if secure else None,
        )

    async def stop(self) -> None:
        """Accept no more, end what rests, and return when all others have been answered, or would have been."""
        self.stopping = True
        if self._server is not None:
            self._server.close()
        for line in list(self._lines):
            line.stop()
        while self._lines or self._left:
            self._gone.clear()
            await self._gone.wait()
        self._looking.cancel()

    async def _look(self) -> None:
        every = min(_LOOK, self._rest / 8)
        while True:
            await asyncio.sleep(every)
            now = self.now()
            for line in list(self._lines):
                if line.closing:
                    if now - line.since > TAKING_MOST:
                        line.abort()
                elif not line.rests:
                    if now - line.unread_since(now) > TAKING_MOST:
                        line.abort()
                elif now - line.since > self._rest:
                    line.close()
            if self._server is None and not self.stopping and len(self._lines) < self._most:
                try:
                    self._server = await self._accept()
                except OSError as error:  # no open file is left, say
                    _LOG.warning("no connection is accepted", exc_info=error)

    # ------------------------------------------------------------------------------------------------- asked by connections

    def date(self) -> str:
        """Now, as a header has it."""
        second = int(time.time())
        if second != self._second:
            self._second, self._date = second, formatdate(second, usegmt=True)
        return self._date

    def opened(self, line: Connection) -> None:
        self._lines.add(line)
        if self.stopping:  # it was accepted just before
            line.stop()
        if len(self._lines) >= self._most and self._server is not None:
            self._server.close()
            self._server = None
        if len(self._lines) > self._most + BACKLOG // 4:  # more than were there to be taken at once
            line.abort()

    def closed(self, line: Connection) -> None:
        self._lines.discard(line)
        if not line.rests:
            self._left.add(line)
        self._gone.set()

    def done(self, line: Connection) -> None:
        """What the client of a closed connection had asked for is done."""
        self._left.discard(line)
        self._gone.set()

    def begin_drain(self) -> bool:
        """Whether a long body may be heard out now; ``end_drain`` if so."""
        if self._long_drains >= LONG_DRAINS:
            return False
        self._long_drains += 1
        return True

    def end_drain(self) -> None:
        self._long_drains -= 1
