"""Campaigns as scoring publishes them, and the duties that they lay on every unit (方案、自评报告
…).
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from services.casework.actions.deadlines import duty_keys, end
from services.casework.domain import UNIT_ROLES, Clock, Term, duty_deadline, reminders
from services.casework.store import cases, deadlines, reference
from services.casework.tables import Deadline, Duty
from shared.appraisal.calendar.deadlines import Limit
from shared.appraisal.calendar.working_days import WorkCalendar
from shared.appraisal.events import CampaignPublished, ObligationMet, Refused
from shared.appraisal.schemes import Obligation, Scheme
from shared.security.policies import Account
from shared.storage.transaction import Transaction, new_id

DOCUMENT_MIN = 4


async def keep_campaign(tx: Transaction, event: CampaignPublished) -> None:
    """Keep a campaign and its register, and let the duties of its units be those of its scheme."""
    await reference.keep_campaign(tx, event)
    await _settle_duties(tx, event, Scheme.from_json(event.scheme))


async def _settle_duties(tx: Transaction, event: CampaignPublished, scheme: Scheme) -> None:
    """Lay what is new on the units, move what the scheme moved, void what it dropped. What was met
    or has lapsed stays as it was.
    """
    days = await reference.calendar(tx)
    existing = await deadlines.duties_of(tx, event.campaign_id)
    wanted = {(unit.unit_id, rule.id): rule for unit in event.units for rule in scheme.obligations}
    laid = [
        (rule, _lay(tx, event, unit_id, rule))
        for (unit_id, id), rule in wanted.items()
        if (unit_id, id) not in existing
    ]
    await tx.flush()
    for rule, duty in laid:
        tx.add(_deadline(tx, event, duty, rule, days))
    for key in existing.keys() & wanted.keys():
        _move(existing[key][1], wanted[key], days, event.scheme_version, tx.now)
    for key in existing.keys() - wanted.keys():
        duty, row = existing[key]
        if row.state in (Clock.ARMED, Clock.LAPSED):
            end(tx, row, Clock.VOID, duty)


def _lay(tx: Transaction, event: CampaignPublished, unit_id: str, rule: Obligation) -> Duty:
    duty = Duty(
        id=new_id(),
        campaign_id=event.campaign_id,
        unit_id=unit_id,
        obligation=rule.id,
        label=rule.label,
        deliverable=rule.deliverable,
    )
    tx.add(duty)
    return duty


def _deadline(
    tx: Transaction, event: CampaignPublished, duty: Duty, rule: Obligation, days: WorkCalendar
) -> Deadline:
    row = Deadline(
        id=new_id(),
        duty_id=duty.id,
        unit_id=duty.unit_id,
        kind="obligation",
        starts_at=tx.now,
        rule_id=rule.id,
        state=Clock.ARMED,
        term=Term(Limit(1, "d", rule.closes)).to_json(),
        due_at=tx.now,
        warn_at=tx.now,
        severe_at=tx.now,
        provisional=False,
        scheme_version=event.scheme_version,
        calendar_version=days.version,
    )
    _set(row, rule, days, tx.now)
    return row


def _move(
    row: Deadline, rule: Obligation, days: WorkCalendar, scheme_version: str, now: datetime
) -> None:
    # A version of the rules that came after a lapse does not take the lapse back.
    if row.state == Clock.ARMED and row.due_at != duty_deadline(rule, days).at:
        row.scheme_version = scheme_version
        _set(row, rule, days, now)


def _set(row: Deadline, rule: Obligation, days: WorkCalendar, now: datetime) -> None:
    made = duty_deadline(rule, days)
    to_come = [moment for moment in reminders(rule, days) if now <= moment < made.at]
    row.due_at, row.warn_at, row.severe_at, row.calendar_version = (
        made.at,
        made.warn_at,
        made.severe_at,
        made.calendar_version,
    )
    row.next_warn_at, row.later_warns = (to_come[0] if to_come else None), to_come[1:]


async def fulfil_duty(tx: Transaction, *, duty_id: UUID, document: str, by: Account) -> Duty:
    """报送: the unit hands in what it owes; `document` says what (title, number). Doing it twice
    changes nothing.
    """
    found = await deadlines.duty_to_change(
        tx, duty_id, by.unit_id or "" if by.role in UNIT_ROLES else None
    )
    if found is None or found[1].state == Clock.VOID:
        raise Refused("没有找到这项任务", status=404)
    duty, row = found
    if duty.met_at:
        return duty
    if len(document.strip()) < DOCUMENT_MIN:
        raise Refused("请写明报送文件的标题和文号", status=422, field="document")
    end(tx, row, Clock.MET, duty)
    duty.met_at, duty.met_by_name, duty.document = tx.now, by.display_name, document.strip()
    tx.audit(
        "obligation.fulfil", duty.id, str(by.id), obligation=duty.obligation, unit=duty.unit_id
    )
    tx.publish(
        ObligationMet(
            occurred_at=tx.now, due_at=row.due_at, late=row.lapsed_at is not None, **duty_keys(duty)
        )
    )
    return duty


async def listed(tx: Transaction, user: Account) -> list[Any]:
    """Duties as this person may see them."""
    scope = cases.Scope.of(user)
    return await deadlines.duties(tx, everything=scope.everything, unit_id=scope.unit_id)
