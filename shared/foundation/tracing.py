"""Distributed tracing with OpenTelemetry: one trace from an HTTP request to the last notification.

This module uses the OpenTelemetry API only. Run a service under `opentelemetry-instrument`
(package `opentelemetry-distro`) with `OTEL_TRACES_EXPORTER` set, and its spans are exported.
Without an SDK nothing is recorded; every request still has a trace id, which is its request id in
logs, responses and events.

Spans never record an exception's text, because texts of libraries quote their input.
"""

import random
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context, get_current
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    format_span_id,
    format_trace_id,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

__all__ = [
    "SpanKind",
    "batch_span",
    "current_trace_id",
    "current_traceparent",
    "ensure_trace",
    "span",
]

LINKS_MAX = 128
"""Links of one batch span to the traces of its events."""

_tracer = trace.get_tracer("fengping")
_propagator = TraceContextTextMapPropagator()


def current_traceparent() -> str | None:
    """Return the W3C `traceparent` of the current span; None outside of a trace."""
    context = trace.get_current_span().get_span_context()
    return _traceparent(context) if context.is_valid else None


def current_trace_id() -> str | None:
    """Return the current trace id, 32 hexadecimal digits; None outside of a trace."""
    context = trace.get_current_span().get_span_context()
    return format_trace_id(context.trace_id) if context.is_valid else None


@contextmanager
def span(
    name: str,
    *,
    parent: str | None = None,
    kind: SpanKind = SpanKind.INTERNAL,
    attributes: Mapping[str, Any] | None = None,
) -> Iterator[Span]:
    """Run the block in a span.

    The span is a child of `parent`, a W3C `traceparent`; of the current span when `parent` is
    None; and begins a new trace when there is neither or `parent` is malformed.
    """
    context = _context_of(parent) if parent else get_current()
    parent_context = trace.get_current_span(context).get_span_context()
    started = _tracer.start_span(
        name, context=context, kind=kind, attributes=dict(attributes or {})
    )
    if started.get_span_context().span_id == parent_context.span_id:
        started = _unrecorded_child(parent_context)  # no SDK is configured
    with trace.use_span(
        started, end_on_exit=True, record_exception=False, set_status_on_exception=False
    ):
        try:
            yield started
        except Exception as error:
            started.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise


@contextmanager
def ensure_trace(parent: str | None) -> Iterator[str]:
    """Run the block in the current trace, or in a new span; yield the trace id."""
    trace_id = current_trace_id()
    if trace_id:
        yield trace_id
        return
    with span("request", parent=parent, kind=SpanKind.SERVER) as started:
        yield format_trace_id(started.get_span_context().trace_id)


@contextmanager
def batch_span(
    name: str,
    traces: Iterable[str | None],
    *,
    kind: SpanKind = SpanKind.INTERNAL,
) -> Iterator[Span]:
    """Run the block in a span for several events: a child of the last trace, linked to the others.

    Links are computed only when the span is recorded.
    """
    parents = [parent for parent in traces if parent]
    with span(name, parent=parents[-1] if parents else None, kind=kind) as started:
        if started.is_recording():
            for linked in islice(dict.fromkeys(parents[:-1]), LINKS_MAX):
                linked_span = trace.get_current_span(_context_of(linked))
                started.add_link(linked_span.get_span_context())
        yield started


def _context_of(traceparent: str) -> Context:
    return _propagator.extract({"traceparent": traceparent})


def _unrecorded_child(parent: SpanContext) -> Span:
    """Return a span that only carries a context: the parent's trace, or a new one."""
    # Ids must be unique, not secret.
    context = SpanContext(
        trace_id=parent.trace_id or random.getrandbits(128),
        span_id=random.getrandbits(64) or 1,
        is_remote=False,
        trace_flags=parent.trace_flags if parent.is_valid else TraceFlags(TraceFlags.SAMPLED),
    )
    return NonRecordingSpan(context)


def _traceparent(context: SpanContext) -> str:
    trace_id = format_trace_id(context.trace_id)
    return f"00-{trace_id}-{format_span_id(context.span_id)}-{context.trace_flags:02x}"
