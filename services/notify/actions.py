"""The verbs of notify: tell, escalate, send; read, subscribe, write a template."""

import asyncio
from base64 import b64encode
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from services.notify import domain, store
from services.notify.domain import RULES, UNIT_ROLES, Audience, Channel, Draft, Known, channel_of
from services.notify.tables import Subscription
from services.notify.transports import Message, TransportError, Transports, hint_of
from shared.appraisal.calendar.working_days import WorkCalendar
from shared.appraisal.errors import Rejected
from shared.appraisal.events import (
    CampaignPublished,
    CaseOpened,
    Event,
    Meta,
    NotificationDelivered,
    NotificationFailed,
    NotificationIssued,
    ObligationEvent,
    ScoreChanged,
)
from shared.appraisal.schemes import Scheme
from shared.foundation import telemetry
from shared.foundation.failpoints import failpoint
from shared.foundation.telemetry import log
from shared.security.keyring import KeyRing, SealedRecord, VaultError
from shared.security.pii import find_pii
from shared.security.policies import Account
from shared.storage.connections import Database
from shared.storage.transaction import Transaction

CLAIM_MAX: Final = 20
"""Deliveries one sender worker takes at a time."""
LEASE_SECONDS: Final = 120.0
"""A sender worker that has not reported by then is taken for dead, and the same key is sent again. Longer
than any attempt may last.
"""
ESCALATE_MAX: Final = 200
FORGET_MAX: Final = 1000
CHECK_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What notify's actions find at `tx.context`."""

    ring: KeyRing
    calendar: WorkCalendar
    transports: Transports
    public_url: str
    pauses_seconds: tuple[float, ...] = domain.PAUSES_SECONDS
    rest_seconds: float = 30.0
    keep_days: int = 730


# ── tell ──────────────────────────────────────────────────────────────────────────────────────────


async def learn_campaign(tx: Transaction, event: CampaignPublished) -> None:
    """Remember what units and obligations are called."""
    await store.keep_units(tx, {unit.unit_id: unit.name for unit in event.units})
    scheme = Scheme.from_json(event.scheme)
    await store.keep_obligations(
        tx,
        event.campaign_id,
        {obligation.id: obligation.label for obligation in scheme.obligations},
    )


async def tell(tx: Transaction, heard: Sequence[tuple[Event, Meta]]) -> None:
    """Write the notifications that these facts set off, queue them for the world outside, and settle what
    they answer.
    """
    known = await _known(tx, [event for event, _ in heard])
    await _issue(
        tx, [draft for event, meta in heard for draft in domain.drafts(event, meta, known)]
    )
    answers = [answer for event, meta in heard for answer in domain.answers(event, meta)]
    if answers:
        await store.settle(tx, answers)


async def tell_scores(tx: Transaction, heard: Sequence[tuple[ScoreChanged, Meta]]) -> None:
    """Tell the office of units whose running score fell by SCORE_FALL since it was last told."""
    marks = await store.score_marks(tx, {(event.campaign_id, event.unit_id) for event, _ in heard})
    fallen: list[tuple[Event, Meta]] = []
    for event, meta in heard:
        if event.total is not None:
            key = event.campaign_id, event.unit_id
            marks[key], fell = domain.score_mark(marks.get(key), event.total)
            fallen += [(event, meta)] if fell else []
    await store.keep_score_marks(tx, marks)
    await tell(tx, fallen)


async def escalate(tx: Transaction) -> bool:
    """Tell higher up of lapses that nobody answered in time. True: there may be more."""
    claimed, unanswered = await store.claim_unanswered(tx, ESCALATE_MAX)
    if unanswered:
        units, _, _, texts = await store.learn_and_recall(
            tx, {}, units=_units(unanswered), cases=(), campaigns=()
        )
        known = Known(tx.context.calendar, units=units, texts=texts)
        await _issue(
            tx,
            [draft for lapse in unanswered for draft in domain.escalated(lapse, known, now=tx.now)],
        )
    return claimed == ESCALATE_MAX


async def _known(tx: Transaction, events: Sequence[Event]) -> Known:
    """What the words of these events' notifications need, by one question for the whole batch; new cases
    are remembered.
    """
    units, critical, obligations, texts = await store.learn_and_recall(
        tx,
        {event.case_id: event.urgency.value for event in events if isinstance(event, CaseOpened)},
        units=_units(events),
        cases={case for event in events if (case := getattr(event, "case_id", None))},
        campaigns={event.campaign_id for event in events if isinstance(event, ObligationEvent)},
    )
    return Known(
        tx.context.calendar, units=units, obligations=obligations, critical=critical, texts=texts
    )


def _units(about: Iterable[object]) -> set[str]:
    named = (getattr(each, name, None) for each in about for name in ("unit_id", "from_unit_id"))
    return {unit for unit in named if unit}


async def _issue(tx: Transaction, drafts: Sequence[Draft]) -> None:
    if not drafts:
        return
    calendar: WorkCalendar = tx.context.calendar
    leaves = {urgent: domain.leaves_at(tx.now, urgent, calendar) for urgent in (False, True)}
    ordered = sorted(drafts, key=lambda draft: draft.order)
    written = await store.write_notifications(
        tx, [(draft, leaves[draft.urgent]) for draft in ordered]
    )
    for id_, draft in written.items():
        tx.publish(
            NotificationIssued(
                occurred_at=tx.now,
                notification_id=id_,
                kind=draft.kind,
                roles=(draft.role,),
                unit_id=draft.audience_unit,
                subject_id=draft.subject_id,
            )
        )


async def forget_notifications(tx: Transaction) -> bool:
    """Forget what is older than the installation keeps. True: there may be more."""
    return (
        await store.forget_notifications(tx, days=tx.context.keep_days, limit=FORGET_MAX)
        == FORGET_MAX
    )


# ── send ──────────────────────────────────────────────────────────────────────────────────────────


async def send_pending(database: Database, context: Context) -> bool:
    """Send what may leave now: claim in one transaction, send with none open, note each result in
    its own. True: there may be more.
    """
    async with database.transaction(context) as tx:
        claimed = await store.claim_deliveries(tx, limit=CLAIM_MAX, lease_seconds=LEASE_SECONDS)
    failpoint("delivery.claimed")
    results = await asyncio.gather(
        *(_deliver(database, context, each) for each in claimed), return_exceptions=True
    )
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return len(claimed) == CLAIM_MAX


async def _deliver(database: Database, context: Context, claimed: store.Row) -> None:
    trouble = await _attempt(context, claimed)
    # Whoever dies here sends the same key again when the lease is over: at least once, never lost.
    failpoint("delivery.sent")
    async with database.transaction(context) as tx:
        result = await _note(tx, claimed, trouble)
        delay = (tx.now - claimed["occurred_at"]).total_seconds()
    telemetry.notifications_sent.labels(claimed["channel"], result).inc()
    if result == "ok":
        telemetry.notification_delay_seconds.labels(claimed["channel"]).observe(delay)


async def _attempt(context: Context, claimed: store.Row) -> TransportError | None:
    """One attempt; gives what went wrong."""
    subscription_id, sealed = (
        claimed["subscription_id"],
        SealedRecord(claimed["ciphertext"], claimed["wrapped_key"], claimed["key_version"]),
    )
    try:
        address = context.ring.unseal(subscription_id, sealed)["address"]
        await context.transports.send(
            address, _message(context, claimed), subscription_id=subscription_id
        )
    except TransportError as error:
        return error
    except VaultError:
        return TransportError("地址无法解密，请重新填写", permanent=True)
    except Exception as error:
        # Apprise's hundred plugins may raise anything: it counts as an attempt, so that it has a
        # bound.
        log.warning(
            "delivery failed",
            service="notify",
            channel=claimed["channel"],
            **telemetry.describe(error),
        )
        return TransportError("发送时出错")
    return None


def _message(context: Context, claimed: store.Row) -> Message:
    return Message(
        key=claimed["id"],
        kind=claimed["kind"],
        title=RULES[claimed["kind"]].title,
        number=claimed["subject"],
        text=claimed["text"],
        link=context.public_url + claimed["link"],
        due_at=claimed["due_at"],
        occurred_at=claimed["occurred_at"],
    )


async def _note(tx: Transaction, claimed: store.Row, trouble: TransportError | None) -> str:
    """Write down how an attempt ended: ok, error (given up) or retry."""
    said: dict[str, Any] = {
        "occurred_at": tx.now,
        "notification_id": claimed["notification_id"],
        "kind": claimed["kind"],
    }
    said |= {"channel": claimed["channel"], "attempts": claimed["attempts"]}
    if trouble is None:
        if await store.record_delivered(tx, claimed["id"]):
            tx.publish(NotificationDelivered(**said))
        return "ok"
    pause = (
        None
        if trouble.permanent
        else domain.pause_after(claimed["attempts"], tx.context.pauses_seconds)
    )
    if pause is None:
        if await store.record_failed(tx, claimed["id"], trouble.sentence):
            tx.publish(NotificationFailed(**said))
        return "error"
    await store.record_postponed(
        tx,
        claimed["id"],
        trouble.sentence,
        pause_seconds=pause,
        rest_seconds=tx.context.rest_seconds,
    )
    return "retry"


async def send_again(tx: Transaction, *, delivery_id: UUID, by: Account) -> UUID:
    """重发 a delivery that was given up, with the key it had. Raises Rejected when it is not one."""
    if not await store.send_again(tx, delivery_id):
        raise Rejected("只有发送失败、且订阅仍在使用的记录可以重发")
    tx.audit("delivery.resent", delivery_id, str(by.id))
    return delivery_id


# ── read ──────────────────────────────────────────────────────────────────────────────────────────


async def mark_read(
    tx: Transaction,
    *,
    user: Account,
    done: bool,
    ids: Collection[UUID] | None = None,
    subjects: Collection[str] | None = None,
) -> int:
    """Note that this person saw, or dealt with, notifications of theirs: these, those about these
    subjects, or all. Gives how many changed.
    """
    return await store.mark_read(tx, user, done=done, ids=ids, subjects=subjects)


async def open_notification(tx: Transaction, *, user: Account, notification_id: UUID) -> str | None:
    """Where a notification leads, noting that it was seen; None when it is not this person's."""
    link = await store.notification_link(tx, user, notification_id)
    if link is not None:
        await store.mark_read(tx, user, done=False, ids=[notification_id], subjects=None)
    return link


# ── subscribe ─────────────────────────────────────────────────────────────────────────────────────


async def check_subscription(
    tx: Transaction, *, role: Audience, unit_id: str | None, address: str | None
) -> None:
    """Raise Rejected, with the field that is wrong, when notifications for this audience cannot go there."""
    if role in UNIT_ROLES and not unit_id:
        raise Rejected("承办人和单位负责人的订阅须指定单位", status=422, field="unit_id")
    if role not in UNIT_ROLES and unit_id:
        raise Rejected("这个角色接收全部单位的通知，不能指定单位", status=422, field="unit_id")
    if unit_id and unit_id not in await store.unit_names(tx, [unit_id]):
        raise Rejected("没有这个单位，请从列出的单位中选择", status=422, field="unit_id")
    if address is not None:
        await _check_address(tx.context.transports, address)


async def _check_address(transports: Transports, address: str) -> None:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await transports.check(address)
    except TransportError as error:
        raise Rejected(error.sentence, status=422, field="address") from error
    except TimeoutError as error:
        raise Rejected("域名解析超时，请稍后再试", status=422, field="address") from error


async def subscribe(
    tx: Transaction,
    *,
    subscription_id: UUID,
    role: Audience,
    unit_id: str | None,
    kinds: Sequence[str],
    address: str | None,
    by: Account,
) -> Subscription:
    """Set where an audience's notifications go. The same id changes what was set; then `address` None
    keeps the one it has.

    Raises Rejected as `check_subscription`, and for an id that was stopped.
    """
    row = await store.subscription(tx, subscription_id)
    if row and row.stopped_at:
        raise Rejected("这项订阅已停用，请新建")
    if row is None:
        if address is None:
            raise Rejected("请填写接收地址", status=422, field="address")
        row = Subscription(
            id=subscription_id,
            role=role,
            channel="",
            hint="",
            kinds=[],
            ciphertext=b"",
            key_version=0,
            created_at=tx.now,
        )
    await check_subscription(tx, role=role, unit_id=unit_id, address=address)
    row.role, row.unit_id, row.kinds = role, unit_id, list(kinds)
    if address is not None:
        _set_address(tx.context.ring, row, address)
    tx.add(row)
    tx.audit("subscription.set", row.id, str(by.id), role=role, unit=unit_id, channel=row.channel)
    return row


def _set_address(ring: KeyRing, row: Subscription, address: str) -> None:
    sealed = ring.seal(row.id, {"address": address})
    row.channel, row.hint = channel_of(address), hint_of(address)
    row.ciphertext, row.wrapped_key, row.key_version = (
        sealed.ciphertext,
        sealed.wrapped_key,
        sealed.key_version,
    )
    row.failing_since = row.resting_until = None


def webhook_secret(context: Context, row: Subscription) -> str | None:
    """What the receiver checks signatures with, as Standard Webhooks write it; None for other
    channels.
    """
    return (
        f"whsec_{b64encode(context.transports.secret(row.id)).decode()}"
        if row.channel == Channel.WEBHOOK
        else None
    )


async def stop_subscription(tx: Transaction, *, subscription_id: UUID, by: Account) -> UUID:
    """Send nothing there any more, and destroy the key of the address. Stopping twice changes
    nothing. Raises Rejected when unknown.
    """
    row = await store.subscription(tx, subscription_id)
    if row is None:
        raise Rejected("没有这项订阅", status=404)
    if row.stopped_at is None:
        row.stopped_at, row.wrapped_key = tx.now, None
        await store.withdraw_all(tx, subscription_id)
        tx.audit("subscription.stopped", subscription_id, str(by.id))
    return subscription_id


# ── templates ─────────────────────────────────────────────────────────────────────────────────────


def template_problem(text: str) -> str:
    """Why a text cannot be used, as a sentence; "" when it can. Besides the fields, nobody may be
    named or reachable by it.
    """
    found = find_pii(text)
    if found:
        telemetry.personal_data_blocked.labels("notify", "/notify/templates").inc()
    return domain.text_problem(text) or (
        f"模板中含有{found[0].kind.label}，不能保存" if found else ""
    )


async def write_template(
    tx: Transaction, *, kind: str, text: str, based_on: int, by: Account
) -> int:
    """Write the next version of a kind's text; gives its number. Raises Rejected when the text
    cannot be used, or somebody was faster.
    """
    if problem := template_problem(text):
        raise Rejected(problem, status=422, field="text")
    newest = (await store.newest_templates(tx)).get(kind)
    if (newest.version if newest else 1) != based_on or not await store.add_template(
        tx, kind, based_on + 1, text, by.id
    ):
        raise Rejected("模板已被他人修改，请刷新后在新版本上修改")
    tx.audit("template.written", kind, str(by.id), version=based_on + 1)
    return based_on + 1


async def today_count(tx: Transaction) -> int:
    """试运行: how many deliveries that wait now will leave by the end of today."""
    return await store.waiting_until(tx, domain.end_of_day(tx.now) - timedelta(microseconds=1))
