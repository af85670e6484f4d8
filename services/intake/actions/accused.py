"""被举报单位登记: a person records whom a 举报 accuses, before the case can be assigned.

It can be recorded again at any time: the case follows at once.
"""

from collections.abc import Collection
from dataclasses import dataclass

from services.intake.domain.complaints import REASON_MIN, RETALIATION_REASON
from services.intake.settings import context_of
from services.intake.store import accused, campaigns, complaints, retaliation
from services.intake.store.complaints import VisibleComplaint
from shared.appraisal.errors import Rejected
from shared.appraisal.events import ComplaintAccusedRecorded
from shared.appraisal.organisations import OrganisationRegister, normalise_code
from shared.security.pii import mask_pii_async
from shared.security.policies import Account
from shared.storage.organisations import excluded_bodies, hold_register, known_register
from shared.storage.transaction import Transaction

ACCUSED_MAX = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAccusedRecord:
    """Whom a person found accused. `seen`: the last record that the page showed, 0 for none.

    `reason` is needed if nobody can be named, and if a body is removed.
    """

    unit_ids: Collection[str]
    reason: str
    seen: int


@dataclass(frozen=True, slots=True)
class RecordedAccused:
    """Whom a complaint accuses, in record `record`."""

    number: str
    record: int
    unit_ids: tuple[str, ...]


class StaleAccused(Rejected):
    """Another person recorded the accused since they were shown."""

    def __init__(self) -> None:
        super().__init__("被举报单位已由他人登记，本次操作没有生效。请核对后再提交")


async def record_accused(
    tx: Transaction,
    *,
    number: str,
    given: NewAccusedRecord,
    by: Account,
) -> RecordedAccused:
    """Record whom a 举报 accuses, or that no body of the register can be named.

    Raises Rejected: 404 if there is no such complaint for this person, 409 if another person
    recorded them meanwhile (StaleAccused), 422 for a kind that accuses nobody, an unknown body or a
    missing reason.
    """
    await hold_register(tx)
    sources = await retaliation.source_numbers(tx, number)
    await complaints.lock(tx, {number, *sources})
    complaint = await complaints.get_visible(tx, number, by)
    rules = (await campaigns.get(tx, complaint.campaign_id)).scheme.case_rules
    if not rules.excludes_accused(complaint.kind):
        raise Rejected("只有举报件登记被举报单位", status=422)
    if given.seen != await accused.last_record(tx, complaint.id):
        raise StaleAccused
    unit_ids = tuple(dict.fromkeys(given.unit_ids))
    await _check_bodies(tx, unit_ids)
    _check_reason(complaint, unit_ids, given.reason)
    recorded = await _store(tx, complaint, unit_ids, reason=given.reason, by=by)
    for source in sources:
        await ban_retaliators(tx, await complaints.get_visible(tx, source, by), unit_ids, by=by)
    return recorded


async def ban_retaliators(
    tx: Transaction,
    source: VisibleComplaint,
    unit_ids: Collection[str],
    *,
    by: Account,
) -> None:
    """Exclude bodies from a complaint, of whatever kind, whose complainant they retaliate against.

    The complaint is locked. Bodies that it accuses already change nothing.
    """
    added = [id for id in dict.fromkeys(unit_ids) if id not in source.accused_unit_ids]
    if added:
        everybody = (*source.accused_unit_ids, *added)
        await _store(tx, source, everybody, reason=RETALIATION_REASON, by=by)


async def _store(
    tx: Transaction,
    complaint: VisibleComplaint,
    unit_ids: tuple[str, ...],
    *,
    reason: str,
    by: Account,
) -> RecordedAccused:
    """Store a record with what follows from it, and publish it."""
    record = await accused.last_record(tx, complaint.id) + 1
    masked = await mask_pii_async(reason.strip())
    await accused.add_record(tx, complaint.id, record, unit_ids=unit_ids, reason=masked, by=by.id)
    rules = (await campaigns.get(tx, complaint.campaign_id)).scheme.case_rules
    excluded = await excluded_bodies(tx, context_of(tx).organisations, unit_ids, rules)
    await accused.set_excluded(tx, complaint.id, excluded, accused=unit_ids)
    _publish(tx, complaint, record, unit_ids, by)
    return RecordedAccused(complaint.number, record, unit_ids)


async def bodies_named(tx: Transaction, text: str) -> list[str]:
    """Return the ids of the bodies that the lines of a text name.

    A line is the current name, an alias or the official code of one body. Raises Rejected (422) for
    every other line.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    register = await known_register(tx, context_of(tx).organisations)
    return [_body_named(register, line) for line in lines]


def _body_named(register: OrganisationRegister, line: str) -> str:
    code = normalise_code(line)
    found = [
        each.id
        for each in register.by_id.values()
        if each.official_code == code or each.is_called(line)
    ]
    if len(found) > 1:
        raise _invalid("others", f"名册中有几个单位叫“{line}”，请改填代码")
    if not found:
        raise _invalid("others", f"单位名册中没有“{line}”，请先登记")
    return found[0]


async def _check_bodies(tx: Transaction, unit_ids: Collection[str]) -> None:
    if len(unit_ids) > ACCUSED_MAX:
        raise _invalid("unit_ids", f"一件举报最多登记 {ACCUSED_MAX} 个被举报单位")
    register = await known_register(tx, context_of(tx).organisations)
    if any(register.find(id) is None for id in unit_ids):
        raise _invalid("unit_ids", "单位名册中没有这个单位，请先登记")


def _check_reason(
    complaint: VisibleComplaint,
    unit_ids: Collection[str],
    reason: str,
) -> None:
    removed = set(complaint.accused_unit_ids) - set(unit_ids)
    if unit_ids and not removed:
        return
    if len(reason.strip()) < REASON_MIN:
        needed = "去掉单位" if removed else "无法指明被举报单位"
        raise _invalid("reason", f"{needed}的，请写明理由，至少 {REASON_MIN} 个字")


def _invalid(field: str, sentence: str) -> Rejected:
    return Rejected(sentence, status=422, field=field)


def _publish(
    tx: Transaction,
    complaint: VisibleComplaint,
    record: int,
    unit_ids: tuple[str, ...],
    by: Account,
) -> None:
    tx.audit(
        "complaint.accused_recorded",
        complaint.id,
        str(by.id),
        record=record,
        unit_ids=list(unit_ids),
    )
    tx.publish(
        ComplaintAccusedRecorded(
            occurred_at=tx.now,
            complaint_id=complaint.id,
            campaign_id=complaint.campaign_id,
            record=record,
            unit_ids=unit_ids,
        )
    )
