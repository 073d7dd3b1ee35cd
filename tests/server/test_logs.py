"""What the log never shows, wherever its lines go."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator

import pytest
import structlog

from strongroom.logs import configure_log


class Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.mark.parametrize("kind", [Terminal, io.TextIOWrapper])
def test_a_traceback_holds_no_values(kind: type[io.TextIOWrapper], monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stderr", kind(raw, encoding="utf-8", write_through=True))
    configure_log("info")
    secret = bytes(range(65, 97))

    def unwrap(key: bytes) -> None:
        raise RuntimeError(f"{len(key)} bytes")

    try:
        unwrap(secret)
    except RuntimeError as error:
        structlog.get_logger("test").error("internal error", exc_info=error)
    shown = raw.getvalue().decode()
    for part in ("internal error", "Traceback", "in unwrap", "RuntimeError: 32 bytes"):
        assert part in shown
    assert secret.decode("latin-1")[:16] not in shown
