"""The server's own pages below ``/-/``: no bucket name can begin with a hyphen. They are answered before the gate."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import structlog

from strongroom.edge.head import Head, RawBody, Reply

PREFIX: Final = "/-/"
Handle = Callable[[Head, RawBody], Awaitable[Reply]]
#: A page: its content type and its text, or None when the server is not in the state the page asks for (503).
Page = Callable[[], Awaitable[tuple[str, bytes] | None]]
_TEXT: Final = "text/plain; charset=utf-8"
_LOG = structlog.get_logger("strongroom.edge")


async def _live() -> tuple[str, bytes]:
    return _TEXT, b"live\n"


class Pages:
    """Wraps the gate: what is below ``/-/`` is a page, all else goes on to the gate."""

    def __init__(self, handle: Handle, ready: Callable[[], Awaitable[bool]], more: Mapping[str, Page] | None = None) -> None:
        """``ready``: whether requests can be served now. ``more``: further pages by name, such as ``metrics``."""
        self._handle = handle
        self._is_ready = ready
        self._pages: dict[str, Page] = {"live": _live, "ready": self._ready, **(more or {})}

    def handle(self, head: Head, raw: RawBody) -> Awaitable[Reply]:
        return self._shown(head) if head.path.startswith(PREFIX) else self._handle(head, raw)

    async def _shown(self, head: Head) -> Reply:
        page = self._pages.get(head.path[len(PREFIX) :])
        if page is None:
            return _reply(404, _TEXT, b"not found\n", head)
        if head.method not in {"GET", "HEAD"}:
            return _reply(405, _TEXT, b"method not allowed\n", head)
        try:
            shown = await page()
        except Exception as error:  # noqa: BLE001 - a page that fails says so, and the log says why
            _LOG.error("page failed", path=head.path, exc_info=error)
            shown = None
        return _reply(503, _TEXT, b"not ready\n", head) if shown is None else _reply(200, *shown, head)

    async def _ready(self) -> tuple[str, bytes] | None:
        return (_TEXT, b"ready\n") if await self._is_ready() else None


def _reply(status: int, content_type: str, body: bytes, head: Head) -> Reply:
    headers = [
        ("content-type", content_type),
        ("content-length", str(len(body))),
        ("cache-control", "no-store"),
        ("server", "Strongroom"),
    ]
    return Reply(status, headers, b"" if head.method == "HEAD" else body)
