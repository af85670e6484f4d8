"""Deliveries: at least once, with one key, by one sender worker at a time; quiet hours."""

import asyncio
from datetime import timedelta

import pytest

from services.notify.actions import delivery, inbox, retention, subscriptions
from services.notify.app import build_context
from services.notify.domain.audience import Audience
from services.notify.store import deliveries as delivery_store
from services.notify.store import subscriptions as subscription_store
from shared.appraisal.errors import Rejected
from shared.foundation import tracing
from shared.foundation.failpoints import failpoint
from shared.foundation.telemetry import notifications_sent
from shared.security.keyring import KeyDestroyed, SealedRecord
from tests.notify.conftest import LIU, WEDNESDAY, ZHENG, CaseEvents
from tests.notify.listeners import HttpListener, MailListener, listening

pytestmark = pytest.mark.stack


async def deliveries(notify):
    return await notify.fetch("select * from deliveries order by id")


async def outcome(notify):
    return [(row["state"], row["attempts"], row["reason"]) for row in await deliveries(notify)]


async def published(notify):
    return [
        row["type"]
        for row in await notify.fetch(
            "select type from outbox where type <> 'notification.issued.v1' order by id"
        )
    ]


async def test_lapse_is_delivered_to_the_webhook_once(notify):
    async with listening(hook := HttpListener()):
        await notify.subscribe(hook.url)
        before = notifications_sent.labels("webhook", "ok")._value.get()
        await notify.consume(CaseEvents().lapsed())
        await notify.send()
        await notify.send()

    assert len(hook.requests) == 1
    assert await outcome(notify) == [("delivered", 1, None)]
    assert await published(notify) == ["notification.delivered.v1"]
    assert notifications_sent.labels("webhook", "ok")._value.get() == before + 1


async def test_delivery_continues_the_trace_of_its_event(notify, exporter):
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with listening(hook := HttpListener()):
        await notify.subscribe(hook.url)
        with tracing.span("consume", parent=traceparent):
            await notify.consume(CaseEvents().lapsed())
        await notify.send()

    spans = {span.name: span for span in exporter.get_finished_spans()}
    delivered = spans["deliver notification"].context
    assert f"{delivered.trace_id:032x}" == "0af7651916cd43dd8448eb211c80319c"


async def test_attempt_after_a_500_uses_the_same_key(notify):
    async with listening(hook := HttpListener([500, 503, 200])):
        await notify.subscribe(hook.url)
        await notify.consume(CaseEvents().lapsed())
        for _ in range(3):
            await notify.send()

    assert len({request.headers["webhook-id"] for request in hook.requests}) == 1
    assert len(hook.requests) == 3
    assert await outcome(notify) == [("delivered", 3, None)]
    assert await published(notify) == ["notification.delivered.v1"]


async def test_delivery_fails_after_the_last_attempt(notify):
    async with listening(hook := HttpListener([500])):
        await notify.subscribe(hook.url)
        await notify.consume(CaseEvents().lapsed())
        for _ in range(5):
            await notify.send()

    assert len(hook.requests) == 3
    assert await outcome(notify) == [("failed", 3, "对方返回 500")]
    assert await published(notify) == ["notification.failed.v1"]


async def test_410_is_not_retried(notify):
    async with listening(hook := HttpListener([410])):
        await notify.subscribe(hook.url)
        await notify.consume(CaseEvents().lapsed())
        await notify.send()
        await notify.send()

    assert len(hook.requests) == 1
    assert await outcome(notify) == [("failed", 1, "对方返回 410")]


async def test_resent_delivery_keeps_its_key(notify):
    async with listening(hook := HttpListener([410, 200])):
        await notify.subscribe(hook.url)
        await notify.consume(CaseEvents().lapsed())
        await notify.send()
        [row] = await deliveries(notify)
        async with notify.transaction() as tx:
            await delivery.resend(tx, delivery_id=row["id"], by=ZHENG)
        await notify.send()

    assert [request.headers["webhook-id"] for request in hook.requests] == [str(row["id"])] * 2
    assert await outcome(notify) == [("delivered", 1, None)]
    with pytest.raises(Rejected):
        async with notify.transaction() as tx:
            await delivery.resend(tx, delivery_id=row["id"], by=ZHENG)


class Killed(BaseException):
    """The process died."""


@pytest.mark.parametrize(("place", "calls"), [("delivery.claimed", 1), ("delivery.sent", 2)])
async def test_delivery_of_a_dead_worker_is_sent_again_with_the_same_key(
    notify, monkeypatch, place, calls
):
    """Only death between the call and the record of its result sends twice."""
    monkeypatch.setattr(delivery, "LEASE_SECONDS", 0.2)

    def die():
        raise Killed

    async with listening(hook := HttpListener()):
        await notify.subscribe(hook.url)
        await notify.consume(CaseEvents().lapsed())
        failpoint.armed[place] = die
        with pytest.raises(Killed):
            await delivery.send_pending(notify.database, notify.context)
        failpoint.armed.clear()
        await notify.send()
        assert await outcome(notify) == [
            ("waiting", 1, None)
        ]  # the lease of the dead sender worker
        await asyncio.sleep(0.25)
        await notify.send()

    assert len(hook.requests) == calls
    assert len({request.headers["webhook-id"] for request in hook.requests}) == 1
    assert await outcome(notify) == [("delivered", 2, None)]


async def test_four_sender_workers_never_send_the_same_notification_twice(notify):
    async with listening(hook := HttpListener(delay=0.01)):
        await notify.subscribe(hook.url)
        await notify.consume(*(CaseEvents(f"ZF2026-{n:06}").lapsed() for n in range(120)))
        await asyncio.gather(*(notify.send() for _ in range(4)))
        await notify.send()

    keys = [request.headers["webhook-id"] for request in hook.requests]
    assert len(keys) == len(set(keys)) == 120
    assert {row["state"] for row in await deliveries(notify)} == {"delivered"}


async def test_deliveries_are_queued_in_due_order(notify):
    async with listening(hook := HttpListener()):
        await notify.subscribe(hook.url)
        await notify.consume(
            *(
                CaseEvents(f"ZF2026-{n:06}").lapsed(
                    due_at=WEDNESDAY - timedelta(minutes=(n * 7) % 20)
                )
                for n in range(20)
            )
        )

    queued = await notify.fetch(
        "select n.due_at from deliveries d "
        "join notifications n on n.id = d.notification_id order by d.id"
    )
    assert [row["due_at"] for row in queued] == sorted(row["due_at"] for row in queued)


async def test_quiet_hours_delay_a_warning_but_not_a_lapse(notify):
    await notify.clock.set(WEDNESDAY + timedelta(hours=12), rate=0)  # 22:00
    async with listening(hook := HttpListener()):
        await notify.subscribe(hook.url)
        await notify.consume(
            CaseEvents("ZF2026-000001").warned("review"),
            CaseEvents("ZF2026-000002").lapsed("review"),
        )
        await notify.send()
        assert [b"ZF2026-000002" in request.body for request in hook.requests] == [True]
        await notify.clock.set(WEDNESDAY + timedelta(hours=22), rate=0)
        await notify.send()

    assert len(hook.requests) == 2


async def test_delivery_is_withdrawn_if_resolved_before_the_morning(notify):
    await notify.clock.set(WEDNESDAY + timedelta(hours=12), rate=0)
    case = CaseEvents()
    async with listening(hook := HttpListener()):
        await notify.subscribe(
            hook.url, role=Audience.HANDLER, unit_id="tax", kinds=("case_assigned",)
        )
        await notify.consume(case.opened(), case.assigned())
        await notify.consume(case.accepted())
        await notify.clock.set(WEDNESDAY + timedelta(hours=22), rate=0)
        await notify.send()

    assert hook.requests == []
    assert [row["state"] for row in await deliveries(notify)] == ["withdrawn"]


async def test_unit_subscription_receives_its_own_cases_and_chosen_kinds(notify):
    async with listening(hook := HttpListener()):
        await notify.subscribe(
            hook.url, role=Audience.HANDLER, unit_id="tax", kinds=("deadline_lapsed",)
        )
        await notify.consume(
            CaseEvents("ZF2026-000001").lapsed(),
            CaseEvents("ZF2026-000002", unit="health").lapsed(),
            CaseEvents("ZF2026-000003").warned(),
        )
        await notify.send()

    assert [b"ZF2026-000001" in request.body for request in hook.requests] == [True]


async def test_failing_subscription_is_paused_and_shows_since_when(notify, settings, own):
    context = build_context(settings, own.model_copy(update={"failure_cooldown_seconds": 60}))
    async with listening(hook := HttpListener([500])):
        await notify.subscribe(hook.url)
        await notify.consume(*(CaseEvents(f"ZF2026-{n:06}").lapsed() for n in range(40)))
        await delivery.send_pending(notify.database, context)
        await delivery.send_pending(notify.database, context)

    assert len(hook.requests) == 20
    [row] = await notify.fetch("select failing_since from subscriptions")
    assert row["failing_since"] == WEDNESDAY


async def test_wait_set_by_a_jumped_clock_is_ignored(notify):
    async with listening(hook := HttpListener()):
        await notify.subscribe(hook.url)
        await notify.consume(CaseEvents().lapsed())
        await notify.fetch(
            "update deliveries "
            "set next_attempt_at = clock_timestamp() + interval '40 days' returning 1"
        )
        await notify.fetch(
            "update subscriptions "
            "set paused_until = clock_timestamp() + interval '40 days' returning 1"
        )
        await notify.send()

    assert await outcome(notify) == [("delivered", 1, None)]


async def test_mail_is_delivered_through_the_smtp_server(notify, settings, own):
    async with listening(server := MailListener()):
        mail = {
            "smtp_host": "127.0.0.1",
            "smtp_port": server.port,
            "smtp_security": "none",
            "smtp_sender": "fengping@zf.example.cn",
        }
        notify.context = build_context(settings, own.model_copy(update=mail))
        await notify.subscribe("mailto:zhou@zf.example.cn")
        await notify.consume(CaseEvents().lapsed())
        await delivery.send_pending(notify.database, notify.context)

    [email] = server.messages
    assert email["to"] == "zhou@zf.example.cn"
    assert await outcome(notify) == [("delivered", 1, None)]


async def test_other_addresses_are_delivered_by_apprise(notify):
    async with listening(hook := HttpListener([500, 200])):
        await notify.subscribe(f"json://127.0.0.1:{hook.port}/hook")
        await notify.consume(CaseEvents().lapsed())
        await notify.send()
        await notify.send()

    assert len({request.headers["idempotency-key"] for request in hook.requests}) == 1
    assert await outcome(notify) == [("delivered", 2, None)]


async def test_address_is_sealed_and_destroyed_when_stopped(notify):
    id_ = await notify.subscribe("https://93.184.216.34/secret-path")
    [row] = await notify.fetch("select * from subscriptions")
    assert b"secret-path" not in row["ciphertext"]
    assert row["redacted_address"] == "93.184.216.34"

    await notify.consume(CaseEvents().lapsed())
    async with notify.transaction() as tx:
        await subscriptions.stop_subscription(tx, subscription_id=id_, by=ZHENG)
        await subscriptions.stop_subscription(tx, subscription_id=id_, by=ZHENG)

    [row] = await notify.fetch("select * from subscriptions")
    with pytest.raises(KeyDestroyed):
        notify.context.ring.unseal(
            id_, SealedRecord(row["ciphertext"], row["wrapped_key"], row["key_version"])
        )
    assert [row["state"] for row in await deliveries(notify)] == ["withdrawn"]


@pytest.mark.parametrize("status", [204, 500])
async def test_stopping_a_subscription_does_not_deadlock_with_a_worker(notify, status):
    id_ = await notify.subscribe("https://93.184.216.34/secret-path")
    await notify.consume(CaseEvents().lapsed())
    [row] = await deliveries(notify)

    async def record_result() -> None:
        async with notify.transaction() as tx:
            if status == 204:
                await delivery_store.mark_delivered(tx, row["id"])
            else:
                await delivery_store.schedule_retry(
                    tx, row["id"], "服务器返回 500", delay_seconds=1, cooldown_seconds=1
                )

    async with notify.transaction() as tx:
        assert await subscription_store.lock(tx, id_), "stopping locks the subscription"
        recording = asyncio.create_task(record_result())
        await asyncio.sleep(0.3)
        assert not recording.done()
        await delivery_store.withdraw_for_subscription(tx, id_)
    await recording

    assert [row["state"] for row in await deliveries(notify)] == ["withdrawn"]


@pytest.mark.parametrize(
    ("role", "unit_id", "address", "field"),
    [
        (Audience.HANDLER, None, "https://93.184.216.34/", "unit_id"),
        (Audience.SUPERVISOR, "tax", "https://93.184.216.34/", "unit_id"),
        (Audience.HANDLER, "no-such-unit", "https://93.184.216.34/", "unit_id"),
        (Audience.SUPERVISOR, None, "ftp://93.184.216.34/", "address"),
        (Audience.SUPERVISOR, None, "mailto:zhou@zf.example.cn", "address"),
        (Audience.SUPERVISOR, None, None, "address"),
    ],
)
async def test_invalid_subscription_is_rejected_at_its_field(notify, role, unit_id, address, field):
    with pytest.raises(Rejected) as rejected:
        await notify.subscribe(address, role=role, unit_id=unit_id)

    assert (rejected.value.status, rejected.value.field) == (422, field)


async def test_expired_notifications_are_deleted_with_receipts_and_deliveries(
    notify,
):
    await notify.subscribe("https://93.184.216.34/")
    await notify.consume(CaseEvents().lapsed())
    async with notify.transaction() as tx:
        await inbox.mark_read(tx, by=LIU, done=True)

    await notify.clock.advance(days=731)
    async with notify.transaction() as tx:
        assert not await retention.delete_expired(tx)

    assert await notify.inbox(LIU) == []
    assert await deliveries(notify) == []
