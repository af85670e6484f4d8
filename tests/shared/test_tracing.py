"""One trace follows an event from the HTTP request through Kafka to the handler."""

import asyncio
from uuid import uuid4

import httpx2 as httpx
import pytest

from shared.appraisal.events import ComplaintRated
from shared.foundation import tracing
from shared.messaging import Bus, Handlers, prepare_kafka
from tests.shared.test_unavailable import rating_service

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE_ID}-b7ad6b7169203331-01"
OTHER_TRACEPARENT = "00-11111111111111111111111111111111-2222222222222222-01"


@pytest.mark.stack
async def test_one_trace_from_request_through_kafka_to_handler(core, tmp_path, exporter):
    settings, open_schema = core
    await open_schema("intake")
    await prepare_kafka(settings)
    handled: asyncio.Queue[str | None] = asyncio.Queue()
    on = Handlers()

    @on(ComplaintRated)
    async def record(tx, event, meta):
        handled.put_nowait(tracing.current_trace_id())

    publishing = rating_service(settings, tmp_path)
    consuming = Bus(await open_schema("casework"), on, settings, context=None)
    for bus in (publishing.bus, consuming):
        bus.start()
    transport = httpx.ASGITransport(app=publishing.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://intake.test") as client:
        answer = await client.post(f"/ratings/api/{uuid4()}", headers={"traceparent": TRACEPARENT})
    trace_id = await asyncio.wait_for(handled.get(), 30)
    await asyncio.gather(publishing.bus.stop(), consuming.stop())
    await publishing.close()

    assert answer.status_code == 200
    assert trace_id == TRACE_ID
    names = {span.name for span in exporter.get_finished_spans() if _trace_id(span) == TRACE_ID}
    assert {
        "POST /ratings/api/{complaint_id}",
        "publish",
        "consume batch",
        "handle complaint.rated.v1",
    } <= names


def test_batch_span_continues_the_last_trace_and_links_the_others(exporter):
    with tracing.batch_span("consume batch", [OTHER_TRACEPARENT, None, TRACEPARENT]):
        pass

    [span] = exporter.get_finished_spans()
    assert _trace_id(span) == TRACE_ID
    assert [f"{link.context.trace_id:032x}" for link in span.links] == ["1" * 32]


def test_failed_span_records_the_type_of_the_error_and_never_its_text(exporter):
    with pytest.raises(ValueError, match="13800138000"), tracing.span("handle"):
        raise ValueError("13800138000")

    [span] = exporter.get_finished_spans()
    assert span.status.description == "ValueError"
    assert "13800138000" not in span.to_json()


def test_without_sdk_a_request_still_has_a_trace_id():
    with tracing.span("request"):
        outer = tracing.current_trace_id()
        with tracing.span("inner"):
            inner = tracing.current_trace_id()

    assert outer == inner
    assert outer is not None
    assert tracing.current_trace_id() is None


def _trace_id(span):
    return f"{span.context.trace_id:032x}"
