"""What comes with an extra of the package, and is asked for by a setting: whether it is there. Never imports it."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

from strongroom.startup import StartError

OTEL: Final = ("opentelemetry.sdk.trace.export", "opentelemetry.exporter.otlp.proto.http.trace_exporter")


def require_traces() -> None:
    """Raises StartError unless the extra ``otel`` is installed."""
    for name in OTEL:
        try:
            found = find_spec(name)
        except (ModuleNotFoundError, ValueError):
            found = None
        if found is None:
            raise StartError(
                "traces is set, but OpenTelemetry is not installed: pip install 'strongroom[otel]', or set traces to off"
            )
