"""Where log lines go, and in which form. For every process of a server; never knows any room."""

from __future__ import annotations

import sys
from collections.abc import Callable, MutableMapping
from typing import Any, Final

import orjson
import structlog

_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def configure_log(level: str) -> None:
    """Lines for people on a terminal, one JSON object a line elsewhere."""
    timestamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    wrapper = structlog.make_filtering_bound_logger(_LEVELS[level])
    if sys.stderr.isatty():
        structlog.configure(
            [_tell_error, structlog.processors.add_log_level, timestamp, _console()],
            wrapper,
            logger_factory=structlog.PrintLoggerFactory(sys.stderr),
            cache_logger_on_first_use=True,
        )
        return
    structlog.configure(
        [
            _tell_error,
            structlog.processors.add_log_level,
            timestamp,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(_json),
        ],
        wrapper,
        logger_factory=structlog.BytesLoggerFactory(sys.stderr.buffer),
        cache_logger_on_first_use=True,
    )


def _console() -> structlog.dev.ConsoleRenderer:
    """Tracebacks as Python prints them: what structlog prefers where Rich is installed shows the local variables too, and so keys."""
    return structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)


def _json(event: dict[str, Any], default: Callable[[Any], Any], **_: Any) -> bytes:
    return orjson.dumps(event, default=default)


_told: Callable[[str, str, str], None] | None = None  # of this process, as the log's configuration is


def tell_errors(tell: Callable[[str, str, str], None]) -> None:
    """``tell`` is told of each warning and error that is logged: its level, its event, and what kind of thing it was ("": none)."""
    global _told  # noqa: PLW0603 - as the log's configuration is
    _told = tell


def _tell_error(_logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if _told is not None and method in {"warning", "error", "critical"}:
        error = event.get("exc_info")
        kind = type(error).__name__ if isinstance(error, BaseException) else str(event.get("error") or event.get("kind") or "")
        _told(method, str(event.get("event")), kind if kind.replace("-", "_").isidentifier() else "")
    return event
