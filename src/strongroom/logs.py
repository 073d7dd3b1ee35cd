"""Where log lines go, and in which form. For every process of a server; never knows any room."""

from __future__ import annotations

import sys
from collections.abc import Callable
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
            [structlog.processors.add_log_level, timestamp, structlog.dev.ConsoleRenderer()],
            wrapper,
            logger_factory=structlog.PrintLoggerFactory(sys.stderr),
            cache_logger_on_first_use=True,
        )
        return
    structlog.configure(
        [
            structlog.processors.add_log_level,
            timestamp,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(_json),
        ],
        wrapper,
        logger_factory=structlog.BytesLoggerFactory(sys.stderr.buffer),
        cache_logger_on_first_use=True,
    )


def _json(event: dict[str, Any], default: Callable[[Any], Any], **_: Any) -> bytes:
    return orjson.dumps(event, default=default)
