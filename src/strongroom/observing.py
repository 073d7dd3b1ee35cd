"""What the server tells about itself: log lines on standard error and numbers for Prometheus, over all workers together.

Never knows what a request meant beyond what the gate says of it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, Final

import orjson
import structlog

from strongroom.edge.gate import Seen
from strongroom.edge.pages import Page

#: Where the workers keep their numbers for each other; prometheus-client reads it when it is imported.
NUMBERS_FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"
_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


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


class Numbers:
    """Counts what the gate saw. One per worker; ``page`` shows the sum over all workers."""

    def __init__(self) -> None:
        # Imported only here, in the worker: the import settles whether numbers are shared between processes.
        from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
        from prometheus_client.multiprocess import MultiProcessCollector

        own = CollectorRegistry()
        requests = Counter("strongroom_requests", "Answered requests", ("service", "operation", "status", "code"), registry=own)
        seconds = Histogram(
            "strongroom_request_seconds",
            "Time until the answer was ready to be sent",
            ("service", "operation"),
            buckets=_BUCKETS,
            registry=own,
        )
        received = Counter("strongroom_received_bytes", "Declared bytes of payload", ("service", "operation"), registry=own)
        known: dict[tuple[str, str, int, str], tuple[Counter, Histogram, Counter]] = {}

        def observe(seen: Seen) -> None:
            labels = (seen.service, seen.operation, seen.status, seen.code)
            found = known.get(labels)
            if found is None:
                found = known[labels] = (
                    requests.labels(seen.service, seen.operation, str(seen.status), seen.code),
                    seconds.labels(seen.service, seen.operation),
                    received.labels(seen.service, seen.operation),
                )
            found[0].inc()
            found[1].observe(seen.seconds)
            if seen.received:
                found[2].inc(seen.received)

        async def page() -> tuple[str, bytes]:
            shown = own
            if NUMBERS_FOLDER in os.environ:
                shown = CollectorRegistry()
                MultiProcessCollector(shown)  # type: ignore[no-untyped-call]
            return "text/plain; version=0.0.4; charset=utf-8", generate_latest(shown)

        self.observe: Callable[[Seen], None] = observe
        self.page: Page = page
