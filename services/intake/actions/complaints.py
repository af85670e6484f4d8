"""Registering complaints, finding earlier ones, reading them, opening identities."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from services.intake.domain.complaints import (
    OWN_STATEMENT_READABLE,
    REASON_MIN,
    REDACTED_SUMMARY_MAX,
    Report,
    check_report,
    is_phone,
    query_code,
)
from services.intake.settings import context_of
from services.intake.store import campaigns, tracking
from services.intake.store import complaints as store
from shared.appraisal.errors import Rejected
from shared.appraisal.events import ComplaintRegistered, ComplaintRepeated
from shared.appraisal.labels import Role
from shared.foundation import telemetry
from shared.foundation.telemetry import log
from shared.foundation.tracing import current_traceparent
from shared.security.keyring import KeyDestroyed, KeyRing, SealedRecord
from shared.security.masking import mask_name, mask_phone
from shared.security.pii import find_pii, mask_pii
from shared.security.policies import Account
from shared.storage.transaction import Transaction, new_id

MAY_BACKDATE: Final = frozenset({Role.OFFICE, Role.ADMIN})
MAY_REVEAL: Final = frozenset({Role.REVIEWER, Role.SUPERVISOR})
REVEALS_AN_HOUR: Final = 10
"""More than this many identities opened by one person in an hour is reported to the duty officer.
"""
DRAFTS_KEPT: Final = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Registered:
    """A complaint that was just written down."""

    id: UUID
    number: str
    campaign_id: str
    unit_id: str | None
    redacted_summary: str
    received_at: datetime
    merged_into: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A complaint to be written down.

    `by` None: the complainant themself, on the public pages. With `merge_into` (a number) it repeats
    that one: both texts are kept, no second case is opened. `draft_id`: the desk's draft; it
    becomes the complaint's id, so that one draft is never registered twice.
    """

    report: Report
    by: Account | None
    merge_into: str = ""
    draft_id: UUID | None = None
    trace: str | None = field(default_factory=current_traceparent)
    """Of the request that brought it."""

    @property
    def who(self) -> str:
        """As the audit log names who wrote it down."""
        return str(self.by.id) if self.by else "public"


async def register_complaints(
    tx: Transaction, entries: Sequence[Entry]
) -> list[Registered | Rejected]:
    """Write complaints down: their words and complainants sealed, their redacted summaries told to the
    others.

    Gives for each what was written, or why it was not: whatever is wrong with one is found before
    anything of it is written.
    """
    targets = await store.locked(tx, {entry.merge_into for entry in entries if entry.merge_into})
    rows: list[store.Row | Rejected] = []
    for entry in entries:
        try:
            rows.append(await _row(tx, entry, targets.get(entry.merge_into)))
        except Rejected as refused:
            telemetry.complaint_submits.labels(entry.report.channel, "refused").inc()
            rows.append(refused)
    numbers = await store.register(tx, [row for row in rows if isinstance(row, store.Row)])
    return [
        row
        if isinstance(row, Rejected)
        else await _tell(tx, entry, row, numbers[row.id], targets.get(entry.merge_into))
        for entry, row in zip(entries, rows, strict=True)
    ]


async def _row(tx: Transaction, entry: Entry, target: Any) -> store.Row:
    """What is to be written. Raises Rejected."""
    report, ring = entry.report, context_of(tx).ring
    redacted_summary = await check_complaint(tx, report, by=entry.by)
    if entry.merge_into:
        _check_target(target, report.campaign_id)
    if entry.draft_id is not None and await store.exists(tx, entry.draft_id):
        raise Rejected("这份草稿已经登记，请在“我的登记”中查看")
    complaint_id = entry.draft_id or new_id()
    return store.Row(
        id=complaint_id,
        report=report,
        redacted_summary=redacted_summary,
        received_at=(report.received_at or tx.now).astimezone(UTC),
        by=entry.by.id if entry.by else None,
        complainant_fingerprint=ring.fingerprint(report.phone) if report.phone else None,
        sealed=_sealed(ring, complaint_id, report),
    )


async def _tell(
    tx: Transaction, entry: Entry, row: store.Row, number: str, target: Any
) -> Registered:
    """Say and record that a complaint was written down."""
    report, registered = (
        row.report,
        Registered(
            row.id,
            number,
            row.report.campaign_id,
            row.report.unit_id,
            row.redacted_summary,
            row.received_at,
        ),
    )
    facts = {
        "number": number,
        "channel": report.channel,
        "kind": report.kind,
        "identity": report.identity,
    }
    tx.audit("complaint.registered", row.id, entry.who, **facts)
    if entry.draft_id is not None and entry.by is not None:
        await drop_draft(tx, entry.draft_id, by=entry.by)
    telemetry.complaint_submits.labels(
        report.channel, "merged" if entry.merge_into else "registered"
    ).inc()
    if entry.merge_into:
        await _merge(tx, row.id, target, by=entry.who)
        return replace(registered, merged_into=entry.merge_into)
    tx.publish(_fact(tx, registered, report), trace=entry.trace)
    return registered


async def check_complaint(tx: Transaction, report: Report, *, by: Account | None) -> str:
    """Would this complaint be taken? Gives its redacted summary, writes nothing. Raises Rejected with
    the field that is wrong.
    """
    campaign = await campaigns.get(tx, report.campaign_id)
    check_report(report, tx.now)
    if report.received_at is not None and (by is None or by.role not in MAY_BACKDATE):
        raise Rejected("只有评议办和管理员可以补录过去收到的诉求", status=403, field="received_at")
    if report.unit_id is not None:
        campaign.unit(report.unit_id)
    if report.problem_item is not None:
        campaign.problem(report.problem_item)
    return _redacted_summary(report)


def _redacted_summary(report: Report) -> str:
    """转办摘要: as given, refused while it shows anything personal; or drafted from the complaint text by
    masking.
    """
    redacted_summary = (report.redacted_summary or "").strip() or mask_pii(
        report.complaint_text, report.known
    )[:REDACTED_SUMMARY_MAX].strip()
    refuse_personal_data(redacted_summary, report.known, field="redacted_summary", name="转办摘要")
    return redacted_summary


def refuse_personal_data(text: str, known: tuple[str, ...] = (), *, field: str, name: str) -> None:
    """Raise Rejected (422) that names the place and kind of the first personal data in a text, never
    the data itself.
    """
    found = find_pii(text, known)
    if not found:
        return
    telemetry.personal_data_blocked.labels("intake", field).inc()
    hit = found[0]
    line_start = text.rfind("\n", 0, hit.start) + 1
    line, place = text.count("\n", 0, hit.start) + 1, hit.start - line_start + 1
    also = f"（共 {len(found)} 处）" if len(found) > 1 else ""
    raise Rejected(
        f"{name}第 {line} 行第 {place} 个字起含{hit.kind.label}{also}，承办单位不应看到，请删去或遮盖",
        status=422,
        field=field,
    )


def draft_redacted_summary(complaint_text: str, known: tuple[str, ...] = ()) -> str:
    """由原文生成草稿: the complaint text with everything personal replaced by its kind."""
    return mask_pii(complaint_text.strip(), known)[:REDACTED_SUMMARY_MAX]


def _sealed(ring: KeyRing, complaint_id: UUID, report: Report) -> dict[str, SealedRecord]:
    record, parts = str(complaint_id), {"identity": report.who, "statement": report.statement}
    return {part: ring.seal(f"{record}/{part}", fields) for part, fields in parts.items() if fields}


def _fact(tx: Transaction, registered: Registered, report: Report) -> ComplaintRegistered:
    return ComplaintRegistered(
        occurred_at=tx.now,
        complaint_id=registered.id,
        number=registered.number,
        campaign_id=registered.campaign_id,
        channel=report.channel,
        kind=report.kind,
        urgency=report.urgency,
        unit_id=report.unit_id,
        problem_item=report.problem_item,
        redacted_summary=registered.redacted_summary,
        real_name=report.identity == "real_name",
        received_at=registered.received_at,
    )


async def merge_complaint(tx: Transaction, *, number: str, into: str, by: Account) -> Registered:
    """并入: this complaint repeats another one. Doing it again changes nothing. Raises Rejected."""
    found = await store.locked(tx, {number, into})
    row, target = found.get(number), found.get(into)
    if row is None or await store.visible(tx, number, by) is None:
        raise Rejected("没有这件诉求", status=404)
    if row["merged_into"] is None:
        _check_target(target, row["campaign_id"], besides=row["id"])
        await _merge(tx, row["id"], target, by=str(by.id))
    return Registered(
        row["id"],
        number,
        row["campaign_id"],
        row["unit_id"],
        row["redacted_summary"],
        row["received_at"],
        into,
    )


def _check_target(target: Any, campaign_id: str, *, besides: UUID | None = None) -> None:
    if target is None or target["campaign_id"] != campaign_id:
        raise Rejected("要并入的诉求不存在，或不属于本次评议", status=422, field="merge_into")
    if target["id"] == besides or target["merged_into"] is not None:
        raise Rejected(
            "要并入的诉求本身已并入别的诉求，请选择最早的一件", status=422, field="merge_into"
        )


async def _merge(tx: Transaction, complaint_id: UUID, target: Any, *, by: str) -> None:
    repeats = await store.merge(tx, complaint_id, into=target["id"])
    tx.audit("complaint.merged", complaint_id, by, into=str(target["id"]))
    tx.publish(
        ComplaintRepeated(
            occurred_at=tx.now,
            complaint_id=target["id"],
            campaign_id=target["campaign_id"],
            repeats=repeats,
        )
    )


async def similar_complaints(
    tx: Transaction, *, campaign_id: str, unit_id: str, redacted_summary: str, user: Account
) -> list[dict[str, Any]]:
    """疑似重复: complaints about the same unit within seven days whose texts are alike, the most
    alike first.
    """
    if user.unit_id == unit_id or len(redacted_summary.strip()) < REASON_MIN:
        return []
    return [
        dict(row)
        for row in await store.similar(
            tx, campaign_id=campaign_id, unit_id=unit_id, redacted_summary=redacted_summary.strip()
        )
    ]


async def alike(tx: Transaction, row: Any, user: Account) -> list[dict[str, Any]]:
    """Complaints like this one, for whoever may merge it; [] when nobody is named or it is merged
    already.
    """
    if user.role is not Role.REVIEWER or row["unit_id"] is None or row["merged_into"] is not None:
        return []
    found = await store.similar(
        tx,
        campaign_id=row["campaign_id"],
        unit_id=row["unit_id"],
        redacted_summary=row["redacted_summary"],
        besides=row["id"],
    )
    return [dict(each) for each in found]


async def complainant_history(tx: Transaction, *, phone: str, by: Account) -> list[dict[str, Any]]:
    """该号码历史: earlier complaints from exactly this number. Who asks is recorded, the number is
    not.
    """
    if not is_phone(phone):
        return []
    complainant_fingerprint = context_of(tx).ring.fingerprint(phone)
    rows = await store.of_complainant(tx, complainant_fingerprint)
    tx.audit(
        "complainant.looked_up", complainant_fingerprint.hex()[:16], str(by.id), found=len(rows)
    )
    return [dict(row) for row in rows]


# ── reading ───────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Reading:
    """A complaint for the person who reads it. `statement` is None when they may not see it (any
    more).
    """

    row: Any
    statement: dict[str, str] | None
    masked: dict[str, str]
    supplements: list[tuple[datetime, str, str]]
    may_reveal: bool


async def read_complaint(tx: Transaction, number: str, user: Account) -> Reading | None:
    """The complaint of that number as this person may see it, or None. Reading somebody's words
    leaves a mark in the audit log.
    """
    row = await store.visible(tx, number, user)
    if row is None:
        return None
    entitled = user.role in MAY_REVEAL or row["registered_at"] > tx.now - OWN_STATEMENT_READABLE
    tx.audit("complaint.read", row["id"], str(user.id), statement=entitled)
    statement = await _opened(tx, row["id"], "statement") if entitled else None
    supplements = await _supplements(tx, row["id"]) if entitled else []
    return Reading(
        row, statement, await _masked(tx, row["id"]), supplements, user.role in MAY_REVEAL
    )


async def _opened(tx: Transaction, complaint_id: UUID, part: str) -> dict[str, str]:
    sealed = await store.sealed_part(tx, complaint_id, part)
    if sealed is None:
        return {}
    try:
        return context_of(tx).ring.unseal(f"{complaint_id}/{part}", sealed)
    except KeyDestroyed:
        return {}


async def _masked(tx: Transaction, complaint_id: UUID) -> dict[str, str]:
    identity = await _opened(tx, complaint_id, "identity")
    shown = {
        "name": mask_name(identity.get("name", "")),
        "phone": mask_phone(identity["phone"]) if "phone" in identity else "",
    }
    return {field: text for field, text in shown.items() if text} | (
        {"address": "（已登记）"} if "address" in identity else {}
    )


async def _supplements(tx: Transaction, complaint_id: UUID) -> list[tuple[datetime, str, str]]:
    ring = context_of(tx).ring
    rows = await store.supplements(tx, complaint_id)
    kept = [row for row in rows if row["wrapped_key"] is not None]
    return [
        (
            row["at"],
            row["display_name"] or "",
            ring.unseal(row["id"], store.sealed_of(row)).get("text", ""),
        )
        for row in kept
    ]


async def add_supplement(tx: Transaction, *, number: str, text: str, by: Account) -> None:
    """补充说明, sealed like the statement. Raises Rejected when the complaint is not this person's to
    see.
    """
    row = await store.visible(tx, number, by)
    if row is None:
        raise Rejected("没有这件诉求", status=404)
    if len(text.strip()) < REASON_MIN:
        raise Rejected(f"补充说明至少 {REASON_MIN} 个字", status=422, field="text")
    supplement_id = new_id()
    sealed = context_of(tx).ring.seal(supplement_id, {"text": text.strip()})
    await store.add_supplement(tx, supplement_id, row["id"], by=by.id, sealed=sealed)
    tx.audit("complaint.supplemented", row["id"], str(by.id))


async def reveal_identity(
    tx: Transaction, *, number: str, reason: str, by: Account
) -> dict[str, str]:
    """Open who a complaint is from. The audit leaf is committed before anything is shown; without
    it nothing is.

    `reason` at least five characters. Raises Rejected (403, 404, 422).
    """
    if by.role not in MAY_REVEAL:
        raise Rejected("您没有查阅身份信息的权限", status=403)
    if len(reason.strip()) < REASON_MIN:
        raise Rejected(f"请写明查阅理由，至少 {REASON_MIN} 个字", status=422, field="reason")
    row = await store.visible(tx, number, by)
    if row is None:
        raise Rejected("没有这件诉求", status=404)
    tx.audit("identity.revealed", row["id"], str(by.id), reason=mask_pii(reason.strip()))
    telemetry.identity_reveals.labels(by.role).inc()
    if await store.reveals_since(tx, by.id, tx.now - timedelta(hours=1)) >= REVEALS_AN_HOUR:
        log.warning(
            "many identities opened by one account",
            service="intake",
            account=str(by.id),
            role=by.role,
        )
        tx.audit("identity.reveal_threshold_exceeded", by.id, "system")
    return await _opened(tx, row["id"], "identity")


def code_of(ring: KeyRing, complaint_id: UUID) -> str:
    """查询码 of a complaint."""
    return query_code(ring.derive_key("query-code"), complaint_id)


async def progress_of(tx: Transaction, complaint_id: UUID) -> Any:
    """What casework told about it, and how its complainant rated it."""
    return await tracking.progress(tx, complaint_id)


# ── drafts ────────────────────────────────────────────────────────────────────────────────────────


async def save_draft(
    tx: Transaction, draft_id: UUID, fields: dict[str, str], *, by: Account
) -> datetime:
    """Keep what is typed at the desk; gives when. Raises Rejected (404) for somebody else's draft,
    or one that was registered.
    """
    sealed = context_of(tx).ring.seal(f"draft/{draft_id}", fields)
    if not await store.save_draft(tx, draft_id, by.id, sealed):
        raise Rejected("没有这份草稿，或它已经登记", status=404)
    return tx.now


async def drafts_of(tx: Transaction, by: Account) -> list[tuple[UUID, datetime, dict[str, str]]]:
    """(id, when saved, fields) of each draft, the oldest first."""
    ring, rows = context_of(tx).ring, await store.drafts(tx, by.id)
    return [
        (row["id"], row["saved_at"], ring.unseal(f"draft/{row['id']}", store.sealed_of(row)))
        for row in rows
    ]


async def drop_draft(tx: Transaction, draft_id: UUID, *, by: Account) -> None:
    """Remove a draft; one that is not there changes nothing."""
    await store.drop_draft(tx, draft_id, by.id)
