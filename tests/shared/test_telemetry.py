"""Log lines carry their request id and only allowed fields; traces continue across processes."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from shared.foundation import tracing
from shared.foundation.telemetry import configure_logging, log

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    stream = io.StringIO()
    configure_logging(stream=stream)
    yield stream
    structlog.reset_defaults()


def test_log_line_carries_its_request_id(lines: io.StringIO) -> None:
    with tracing.span("request", parent=PARENT):
        log.info("within", service="intake")
    log.info("without", service="intake")

    within, without = map(json.loads, lines.getvalue().splitlines())
    assert within["request_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert "request_id" not in without


def test_unlisted_fields_are_dropped(lines: io.StringIO) -> None:
    log.info("registered", service="intake", phone="13800138000")

    assert "13800138000" not in lines.getvalue()


def child_of(parent: str | None) -> str:
    with tracing.span("child", parent=parent):
        traceparent = tracing.current_traceparent()
    assert traceparent
    return traceparent


def test_child_span_keeps_the_trace_id() -> None:
    child = child_of(PARENT)

    assert child != PARENT
    assert child.split("-")[:2] == PARENT.split("-")[:2]


@pytest.mark.parametrize(
    "foreign",
    [
        None,
        "",
        "x" * 55,
        PARENT.upper(),
        PARENT + "0",
        PARENT.replace("7", "\u200b", 1),
        "00-电-话-13800138000",
    ],
)
def test_malformed_traceparent_begins_a_new_trace(foreign: str | None) -> None:
    begun = child_of(foreign)

    assert child_of(begun).split("-")[1] == begun.split("-")[1]
    assert begun.split("-")[1] not in (foreign or "")
