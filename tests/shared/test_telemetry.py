"""A log line says which request it belongs to, and nothing that a stranger wrote."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from shared.foundation.telemetry import child_of, configure_logging, log, trace_parent

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    stream = io.StringIO()
    configure_logging(stream=stream)
    yield stream
    structlog.reset_defaults()


def test_every_line_carries_the_number_of_its_request(lines: io.StringIO) -> None:
    token = trace_parent.set(PARENT)
    log.info("within", service="intake")
    trace_parent.reset(token)
    log.info("without", service="intake")

    within, without = map(json.loads, lines.getvalue().splitlines())
    assert within["request_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert "request_id" not in without


def test_fields_nobody_allowed_are_left_out(lines: io.StringIO) -> None:
    log.info("registered", service="intake", phone="13800138000")

    assert "13800138000" not in lines.getvalue()


def test_a_trace_goes_on_under_its_own_number() -> None:
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
def test_what_is_no_trace_begins_a_new_one(foreign: str | None) -> None:
    begun = child_of(foreign)

    assert child_of(begun).split("-")[1] == begun.split("-")[1]
    assert begun.split("-")[1] not in (foreign or "")
