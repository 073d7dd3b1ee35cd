"""Traces for OpenTelemetry, by OTLP over HTTP: a span for each request, in it one for each call to KMS, commit, and blob that is read or written.

Off, nothing of this is between the rooms; on, it stands around their doors. The libraries come with the extra ``otel`` and are imported
where traces are on. Spans name operations, codes, sizes and request ids: never a caller, a bucket, an object, a header or a key.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import Any, Final

import structlog

from strongroom import __version__
from strongroom.api.errors import ApiError
from strongroom.edge.gate import Seen
from strongroom.edge.handing_on import HandedOn
from strongroom.edge.head import Head, RawBody, Reply
from strongroom.edge.pages import Handle
from strongroom.startup.extras import OTEL, require_traces

_CONTEXT: Final = ("traceparent", "tracestate")  # W3C Trace Context
_CLOSE_SECONDS: Final = 5.0  # that what is left may take to be sent when the server stops
_TOLD_EVERY: Final = 60.0  # seconds between lines about a collector that takes nothing
_log = structlog.get_logger("strongroom.server")

_Call = Callable[..., Awaitable[Any]]


class Tracing:
    """Of one worker. ``endpoint``: where a collector takes OTLP over HTTP. ``percent`` of all requests leave a trace.
    Raises StartError when the extra is not installed.

    The variables of OpenTelemetry's own (``OTEL_EXPORTER_OTLP_HEADERS``, ``OTEL_BSP_SCHEDULE_DELAY`` and so on) hold as well.
    """

    def __init__(self, endpoint: str, percent: int) -> None:
        require_traces()
        _listen_to_failures()
        sdk, sampling = import_module("opentelemetry.sdk.trace"), import_module("opentelemetry.sdk.trace.sampling")
        resources = import_module("opentelemetry.sdk.resources")
        exporter = import_module(OTEL[1]).OTLPSpanExporter(endpoint=endpoint)
        about = {"service.name": "strongroom", "service.version": __version__, "service.instance.id": str(os.getpid())}
        share = sampling.TraceIdRatioBased(percent / 100)
        # A client's word on what is to be traced counts for nothing: its trace is gone on with, as often as any other is begun.
        sampler = sampling.ParentBased(share, remote_parent_sampled=share, remote_parent_not_sampled=share)
        self._provider: Any = sdk.TracerProvider(
            sampler=sampler, resource=resources.Resource.create(about), shutdown_on_exit=False
        )
        self._provider.add_span_processor(import_module(OTEL[0]).BatchSpanProcessor(exporter))
        self._tracer: Any = self._provider.get_tracer("strongroom", __version__)
        self._trace: Any = import_module("opentelemetry.trace")
        self._context: Any = import_module("opentelemetry.context")
        self._read: Any = import_module("opentelemetry.trace.propagation.tracecontext").TraceContextTextMapPropagator().extract

    # ---- requests

    def around(self, handle: Handle) -> Handle:
        """``handle`` with a span for each request, which ends when the answer has been handed on."""
        trace = self._trace

        async def traced(head: Head, raw: RawBody) -> Reply:
            caller = self._read({name: head.headers[name] for name in _CONTEXT if name in head.headers}, self._context.Context())
            span = self._tracer.start_span(
                "request",
                caller,
                kind=trace.SpanKind.SERVER,
                attributes={"http.request.method": head.method, "url.scheme": head.scheme},
            )
            # Each request has a task of its own, and with it a context, in which an answer is streamed as well.
            self._context.attach(trace.set_span_in_context(span, self._context.Context()))
            try:
                reply = await handle(head, raw)
            except BaseException as error:
                _fail(span, error)
                span.end()
                raise
            if isinstance(reply.body, bytes):
                span.end()
            else:
                reply.body = HandedOn(reply.body, lambda sent: _sent(span, sent, whole=sent == reply.length))
            return reply

        return traced

    def observe(self, seen: Seen, _reply: Reply) -> None:
        """What the gate knows of the request under way."""
        span = self._trace.get_current_span()
        if not span.is_recording():
            return
        span.update_name(f"{seen.service} {seen.operation}" if seen.operation else "request")
        span.set_attributes(
            {
                "strongroom.service": seen.service,
                "strongroom.operation": seen.operation,
                "aws.request_id": seen.request_id,
                "http.response.status_code": seen.status,
                "http.request.body.size": seen.received or 0,
                "http.response.body.size": seen.sent or 0,
            }
        )
        if seen.code:
            span.set_attribute("error.type", seen.code)
        if seen.status >= 500:
            span.set_status(self._trace.StatusCode.ERROR)

    # ---- what a request does

    def stand_at(self, owner: object, **doors: str) -> None:
        """From now on each call of a method of ``owner`` leaves a span of that name, if it is part of a request that leaves one."""
        for method, name in doors.items():
            setattr(owner, method, self._spanned(name, getattr(owner, method)))

    def stand_at_blobs(self, blobs: Any) -> None:
        """Blobs are read in one call, and written between two."""
        self.stand_at(blobs, read="blob read", read_with="blob read")
        create: _Call = blobs.create

        async def created() -> Any:
            began = time.time_ns()
            writer = await create()
            if self._trace.get_current_span().is_recording():
                self._stand_at_writer(writer, began)
            return writer

        blobs.create = created

    def _stand_at_writer(self, writer: Any, began: int) -> None:
        span = self._tracer.start_span("blob write", start_time=began)

        def until(call: _Call) -> _Call:
            async def ended() -> None:
                try:
                    await call()
                except BaseException as error:
                    _fail(span, error)
                    raise
                finally:
                    if span.is_recording():
                        span.end()

            return ended

        writer.commit, writer.abort = until(writer.commit), until(writer.abort)

    def _spanned(self, name: str, call: _Call) -> _Call:
        trace, start = self._trace, self._tracer.start_span

        async def spanned(*args: Any, **given: Any) -> Any:
            if not trace.get_current_span().is_recording():
                return await call(*args, **given)
            span = start(name)
            try:
                return await call(*args, **given)
            except BaseException as error:
                _fail(span, error)
                raise
            finally:
                span.end()

        return spanned

    async def close(self) -> None:
        """Send what is left, within bounds."""
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await asyncio.to_thread(self._provider.shutdown)
        except TimeoutError:
            _log.warning("traces were not sent to their end")


def _sent(span: Any, sent: int, *, whole: bool) -> None:
    span.set_attribute("http.response.body.size", sent)
    if not whole:
        span.set_attribute("error.type", "cut off")
    span.end()


def _fail(span: Any, error: BaseException) -> None:
    """Its kind alone: a text may hold what is no affair of a collector's."""
    span.set_attribute("error.type", error.code if isinstance(error, ApiError) else type(error).__name__)


def _listen_to_failures() -> None:
    """What OpenTelemetry has to say goes to the log, and not once for each batch that a collector did not take."""
    logger = logging.getLogger("opentelemetry")
    logger.propagate = False
    logger.handlers = [_Failures()]


class _Failures(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._next = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _TOLD_EVERY
            _log.warning("traces are not taken", why=record.getMessage()[:300])
