"""Notifications leave the house: at least once, with one key, by one sender worker at a time, never at night
unless it is urgent.
"""

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest

from services.notify import actions, store
from services.notify.domain import Audience
from shared.appraisal.errors import Rejected
from shared.foundation.failpoints import failpoint
from shared.foundation.telemetry import notifications_sent
from shared.security.keyring import KeyDestroyed
from tests.notify.conftest import LIU, WEDNESDAY, ZHENG, Case
from tests.notify.listeners import HttpListener, MailListener, listening

pytestmark = pytest.mark.stack


async def subscribe(notify, address, *, role=Audience.SUPERVISOR, unit_id=None, kinds=(), id_=None):
    async with notify.database.transaction(notify.context) as tx:
        facts = {"role": role, "unit_id": unit_id, "kinds": kinds, "address": address}
        row = await actions.subscribe(tx, subscription_id=id_ or uuid4(), by=ZHENG, **facts)
    return row.id


async def deliveries(notify):
    return await notify.ask("select * from deliveries order by id")


async def outcome(notify):
    return [(row["state"], row["attempts"], row["reason"]) for row in await deliveries(notify)]


async def said(notify):
    return [
        row["type"]
        for row in await notify.ask(
            "select type from outbox where type <> 'notification.issued.v1' order by id"
        )
    ]


async def test_a_lapse_reaches_the_supervisors_webhook_once(notify):
    async with listening(hook := HttpListener()):
        await subscribe(notify, hook.url)
        before = notifications_sent.labels("webhook", "ok")._value.get()
        await notify.tell(Case().lapsed())
        await notify.send()
        await notify.send()

    assert len(hook.heard) == 1
    assert await outcome(notify) == [("delivered", 1, None)]
    assert await said(notify) == ["notification.delivered.v1"]
    assert notifications_sent.labels("webhook", "ok")._value.get() == before + 1


async def test_after_a_500_it_is_tried_again_with_the_same_key(notify):
    async with listening(hook := HttpListener([500, 503, 200])):
        await subscribe(notify, hook.url)
        await notify.tell(Case().lapsed())
        for _ in range(3):
            await notify.send()

    assert len({request.headers["webhook-id"] for request in hook.heard}) == 1
    assert len(hook.heard) == 3
    assert await outcome(notify) == [("delivered", 3, None)]
    assert await said(notify) == ["notification.delivered.v1"]


async def test_after_the_last_attempt_it_is_given_up_and_said_so(notify):
    async with listening(hook := HttpListener([500])):
        await subscribe(notify, hook.url)
        await notify.tell(Case().lapsed())
        for _ in range(5):
            await notify.send()

    assert len(hook.heard) == 3
    assert await outcome(notify) == [("failed", 3, "对方返回 500")]
    assert await said(notify) == ["notification.failed.v1"]


async def test_a_410_is_not_tried_again(notify):
    async with listening(hook := HttpListener([410])):
        await subscribe(notify, hook.url)
        await notify.tell(Case().lapsed())
        await notify.send()
        await notify.send()

    assert len(hook.heard) == 1
    assert await outcome(notify) == [("failed", 1, "对方返回 410")]


async def test_a_failed_delivery_sent_again_keeps_its_key(notify):
    async with listening(hook := HttpListener([410, 200])):
        await subscribe(notify, hook.url)
        await notify.tell(Case().lapsed())
        await notify.send()
        [row] = await deliveries(notify)
        async with notify.database.transaction(notify.context) as tx:
            await actions.send_again(tx, delivery_id=row["id"], by=ZHENG)
        await notify.send()

    assert [request.headers["webhook-id"] for request in hook.heard] == [str(row["id"])] * 2
    assert await outcome(notify) == [("delivered", 1, None)]
    with pytest.raises(Rejected):
        async with notify.database.transaction(notify.context) as tx:
            await actions.send_again(tx, delivery_id=row["id"], by=ZHENG)


class Killed(BaseException):
    """The process is gone."""


@pytest.mark.parametrize(("place", "calls"), [("delivery.claimed", 1), ("delivery.sent", 2)])
async def test_a_sender_worker_that_dies_loses_nothing_and_repeats_with_the_same_key(
    notify, monkeypatch, place, calls
):
    """Dying after the call and before the note is the one place where the other side hears twice."""
    monkeypatch.setattr(actions, "LEASE_SECONDS", 0.2)

    def die():
        raise Killed

    async with listening(hook := HttpListener()):
        await subscribe(notify, hook.url)
        await notify.tell(Case().lapsed())
        failpoint.armed[place] = die
        with pytest.raises(Killed):
            await actions.send_pending(notify.database, notify.context)
        failpoint.armed.clear()
        await notify.send()
        assert await outcome(notify) == [
            ("waiting", 1, None)
        ]  # the lease of the dead sender worker
        await asyncio.sleep(0.25)
        await notify.send()

    assert len(hook.heard) == calls
    assert len({request.headers["webhook-id"] for request in hook.heard}) == 1
    assert await outcome(notify) == [("delivered", 2, None)]


async def test_four_sender_workers_never_send_the_same_notification_twice(notify):
    async with listening(hook := HttpListener(delay=0.01)):
        await subscribe(notify, hook.url)
        await notify.tell(*(Case(f"ZF2026-{n:06}").lapsed() for n in range(120)))
        await asyncio.gather(*(notify.send() for _ in range(4)))
        await notify.send()

    keys = [request.headers["webhook-id"] for request in hook.heard]
    assert len(keys) == len(set(keys)) == 120
    assert {row["state"] for row in await deliveries(notify)} == {"delivered"}


async def test_what_is_due_first_leaves_first(notify):
    async with listening(hook := HttpListener()):
        await subscribe(notify, hook.url)
        await notify.tell(
            *(
                Case(f"ZF2026-{n:06}").lapsed(due_at=WEDNESDAY - timedelta(minutes=(n * 7) % 20))
                for n in range(20)
            )
        )

    queued = await notify.ask(
        "select n.due_at from deliveries d join notifications n on n.id = d.notification_id order by d.id"
    )
    assert [row["due_at"] for row in queued] == sorted(row["due_at"] for row in queued)


async def test_at_night_a_warning_waits_for_the_morning_and_a_lapse_does_not(notify):
    await notify.clock.set(WEDNESDAY + timedelta(hours=12), rate=0)  # 22:00
    async with listening(hook := HttpListener()):
        await subscribe(notify, hook.url)
        await notify.tell(
            Case("ZF2026-000001").warned("review"), Case("ZF2026-000002").lapsed("review")
        )
        await notify.send()
        assert [b"ZF2026-000002" in request.body for request in hook.heard] == [True]
        await notify.clock.set(WEDNESDAY + timedelta(hours=22), rate=0)
        await notify.send()

    assert len(hook.heard) == 2


async def test_a_matter_settled_before_the_morning_is_not_sent_any_more(notify):
    await notify.clock.set(WEDNESDAY + timedelta(hours=12), rate=0)
    case = Case()
    async with listening(hook := HttpListener()):
        await subscribe(
            notify, hook.url, role=Audience.HANDLER, unit_id="tax", kinds=("case_assigned",)
        )
        await notify.tell(case.opened(), case.assigned())
        await notify.tell(case.accepted())
        await notify.clock.set(WEDNESDAY + timedelta(hours=22), rate=0)
        await notify.send()

    assert hook.heard == []
    assert [row["state"] for row in await deliveries(notify)] == ["withdrawn"]


async def test_a_units_address_hears_of_its_own_cases_and_of_the_kinds_it_asked_for(notify):
    async with listening(hook := HttpListener()):
        await subscribe(
            notify, hook.url, role=Audience.HANDLER, unit_id="tax", kinds=("deadline_lapsed",)
        )
        await notify.tell(
            Case("ZF2026-000001").lapsed(),
            Case("ZF2026-000002", unit="health").lapsed(),
            Case("ZF2026-000003").warned(),
        )
        await notify.send()

    assert [b"ZF2026-000001" in request.body for request in hook.heard] == [True]


async def test_an_address_that_fails_is_left_alone_for_a_while_and_says_since_when(
    notify, settings, own
):
    from services.notify.app import context_of

    context = context_of(settings, own.model_copy(update={"rest_seconds": 60}))
    async with listening(hook := HttpListener([500])):
        await subscribe(notify, hook.url)
        await notify.tell(*(Case(f"ZF2026-{n:06}").lapsed() for n in range(40)))
        await actions.send_pending(notify.database, context)
        await actions.send_pending(notify.database, context)

    assert len(hook.heard) == 20
    [row] = await notify.ask("select failing_since from subscriptions")
    assert row["failing_since"] == WEDNESDAY


async def test_a_wait_that_a_jumped_clock_set_is_over_when_the_clock_is_right_again(notify):
    async with listening(hook := HttpListener()):
        await subscribe(notify, hook.url)
        await notify.tell(Case().lapsed())
        await notify.ask(
            "update deliveries set free_at = clock_timestamp() + interval '40 days' returning 1"
        )
        await notify.ask(
            "update subscriptions set resting_until = clock_timestamp() + interval '40 days' returning 1"
        )
        await notify.send()

    assert await outcome(notify) == [("delivered", 1, None)]


async def test_mail_goes_through_the_mail_server(notify, settings, own):
    from services.notify.app import context_of

    async with listening(server := MailListener()):
        mail = {
            "smtp_host": "127.0.0.1",
            "smtp_port": server.port,
            "smtp_security": "none",
            "smtp_sender": "fengping@zf.example.cn",
        }
        notify.context = context_of(settings, own.model_copy(update=mail))
        await subscribe(notify, "mailto:zhou@zf.example.cn")
        await notify.tell(Case().lapsed())
        await actions.send_pending(notify.database, notify.context)

    [letter] = server.letters
    assert letter["to"] == "zhou@zf.example.cn"
    assert await outcome(notify) == [("delivered", 1, None)]


async def test_apprise_carries_what_has_no_way_of_its_own(notify):
    async with listening(hook := HttpListener([500, 200])):
        await subscribe(notify, f"json://127.0.0.1:{hook.port}/hook")
        await notify.tell(Case().lapsed())
        await notify.send()
        await notify.send()

    assert len({request.headers["idempotency-key"] for request in hook.heard}) == 1
    assert await outcome(notify) == [("delivered", 2, None)]


async def test_an_address_lies_sealed_and_is_destroyed_when_it_is_stopped(notify):
    id_ = await subscribe(notify, "https://93.184.216.34/secret-path")
    [row] = await notify.ask("select * from subscriptions")
    assert b"secret-path" not in row["ciphertext"]
    assert row["hint"] == "93.184.216.34"

    await notify.tell(Case().lapsed())
    async with notify.database.transaction(notify.context) as tx:
        await actions.stop_subscription(tx, subscription_id=id_, by=ZHENG)
        await actions.stop_subscription(tx, subscription_id=id_, by=ZHENG)

    [row] = await notify.ask("select * from subscriptions")
    with pytest.raises(KeyDestroyed):
        notify.context.ring.unseal(
            id_, actions.SealedRecord(row["ciphertext"], row["wrapped_key"], row["key_version"])
        )
    assert [row["state"] for row in await deliveries(notify)] == ["withdrawn"]


@pytest.mark.parametrize("status", [204, 500])
async def test_who_stops_an_address_and_a_sender_worker_on_its_way_do_not_wait_for_each_other(
    notify, status
):
    id_ = await subscribe(notify, "https://93.184.216.34/secret-path")
    await notify.tell(Case().lapsed())
    [row] = await deliveries(notify)

    async def sender_worker_comes_back() -> None:
        async with notify.database.transaction(notify.context) as tx:
            if status == 204:
                await store.record_delivered(tx, row["id"])
            else:
                await store.record_postponed(
                    tx, row["id"], "服务器返回 500", pause_seconds=1, rest_seconds=1
                )

    async with notify.database.transaction(notify.context) as tx:
        assert await store.subscription(tx, id_), "whoever stops it holds it"
        coming = asyncio.create_task(sender_worker_comes_back())
        await asyncio.sleep(0.3)
        assert not coming.done()
        await store.withdraw_all(tx, id_)
    await coming

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
async def test_a_subscription_that_cannot_work_is_refused_at_its_field(
    notify, role, unit_id, address, field
):
    with pytest.raises(Rejected) as refusal:
        await subscribe(notify, address, role=role, unit_id=unit_id)

    assert (refusal.value.status, refusal.value.field) == (422, field)


async def test_notifications_older_than_the_house_keeps_are_forgotten_with_all_that_hangs_on_them(
    notify,
):
    await subscribe(notify, "https://93.184.216.34/")
    await notify.tell(Case().lapsed())
    async with notify.database.transaction(notify.context) as tx:
        await actions.mark_read(tx, user=LIU, ids=None, done=True)

    await notify.clock.advance(days=731)
    async with notify.database.transaction(notify.context) as tx:
        assert not await actions.forget_notifications(tx)

    assert await notify.inbox(LIU) == []
    assert await deliveries(notify) == []
