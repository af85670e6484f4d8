"""Campaigns as scoring publishes them, and the obligations that they lay on every unit (方案、自评报告
…).
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from services.casework.actions.deadlines import end, obligation_keys
from services.casework.domain import (
    UNIT_ROLES,
    DeadlineState,
    DeadlineTerms,
    obligation_deadline,
    reminders,
)
from services.casework.store import cases, deadlines, reference
from services.casework.tables import Deadline, Obligation
from shared.appraisal.calendar.deadlines import TimeLimit
from shared.appraisal.calendar.working_days import WorkCalendar
from shared.appraisal.errors import Rejected
from shared.appraisal.events import CampaignPublished, ObligationFulfilled
from shared.appraisal.schemes import ObligationRule, Scheme
from shared.security.policies import Account
from shared.storage.transaction import Transaction, new_id

DOCUMENT_MIN = 4


async def keep_campaign(tx: Transaction, event: CampaignPublished) -> None:
    """Keep a campaign and its register, and let the obligations of its units be those of its scheme."""
    await reference.keep_campaign(tx, event)
    await _sync_obligations(tx, event, Scheme.from_json(event.scheme))


async def _sync_obligations(tx: Transaction, event: CampaignPublished, scheme: Scheme) -> None:
    """Lay what is new on the units, move what the scheme moved, void what it dropped. What was met
    or has lapsed stays as it was.
    """
    days = await reference.calendar(tx)
    existing = await deadlines.obligations_of(tx, event.campaign_id)
    wanted = {(unit.unit_id, rule.id): rule for unit in event.units for rule in scheme.obligations}
    laid = [
        (rule, _lay(tx, event, unit_id, rule))
        for (unit_id, id), rule in wanted.items()
        if (unit_id, id) not in existing
    ]
    await tx.flush()
    for rule, obligation in laid:
        tx.add(_deadline(tx, event, obligation, rule, days))
    for key in existing.keys() & wanted.keys():
        _move(existing[key][1], wanted[key], days, event.scheme_version, tx.now)
    for key in existing.keys() - wanted.keys():
        obligation, row = existing[key]
        if row.state in (DeadlineState.RUNNING, DeadlineState.LAPSED):
            end(tx, row, DeadlineState.CANCELLED, obligation)


def _lay(
    tx: Transaction, event: CampaignPublished, unit_id: str, rule: ObligationRule
) -> Obligation:
    obligation = Obligation(
        id=new_id(),
        campaign_id=event.campaign_id,
        unit_id=unit_id,
        obligation_rule_id=rule.id,
        label=rule.label,
        deliverable=rule.deliverable,
    )
    tx.add(obligation)
    return obligation


def _deadline(
    tx: Transaction,
    event: CampaignPublished,
    obligation: Obligation,
    rule: ObligationRule,
    days: WorkCalendar,
) -> Deadline:
    row = Deadline(
        id=new_id(),
        obligation_id=obligation.id,
        unit_id=obligation.unit_id,
        kind="obligation",
        starts_at=tx.now,
        rule_id=rule.id,
        state=DeadlineState.RUNNING,
        terms=DeadlineTerms(TimeLimit(1, "d", rule.closes)).to_json(),
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
    row: Deadline, rule: ObligationRule, days: WorkCalendar, scheme_version: str, now: datetime
) -> None:
    # A version of the rules that came after a lapse does not take the lapse back.
    if row.state == DeadlineState.RUNNING and row.due_at != obligation_deadline(rule, days).at:
        row.scheme_version = scheme_version
        _set(row, rule, days, now)


def _set(row: Deadline, rule: ObligationRule, days: WorkCalendar, now: datetime) -> None:
    made = obligation_deadline(rule, days)
    to_come = [moment for moment in reminders(rule, days) if now <= moment < made.at]
    row.due_at, row.warn_at, row.severe_at, row.calendar_version = (
        made.at,
        made.warn_at,
        made.severe_at,
        made.calendar_version,
    )
    row.next_warn_at, row.later_warns = (to_come[0] if to_come else None), to_come[1:]


async def fulfil_obligation(
    tx: Transaction, *, obligation_id: UUID, document: str, by: Account
) -> Obligation:
    """报送: the unit hands in what it owes; `document` says what (title, number). Doing it twice
    changes nothing.
    """
    found = await deadlines.obligation_to_change(
        tx, obligation_id, by.unit_id or "" if by.role in UNIT_ROLES else None
    )
    if found is None or found[1].state == DeadlineState.CANCELLED:
        raise Rejected("没有找到这项任务", status=404)
    obligation, row = found
    if obligation.fulfilled_at:
        return obligation
    if len(document.strip()) < DOCUMENT_MIN:
        raise Rejected("请写明报送文件的标题和文号", status=422, field="document")
    end(tx, row, DeadlineState.COMPLETED, obligation)
    obligation.fulfilled_at, obligation.fulfilled_by_name, obligation.document = (
        tx.now,
        by.display_name,
        document.strip(),
    )
    tx.audit(
        "obligation.fulfil",
        obligation.id,
        str(by.id),
        obligation_rule_id=obligation.obligation_rule_id,
        unit=obligation.unit_id,
    )
    tx.publish(
        ObligationFulfilled(
            occurred_at=tx.now,
            due_at=row.due_at,
            late=row.lapsed_at is not None,
            **obligation_keys(obligation),
        )
    )
    return obligation


async def listed(tx: Transaction, user: Account) -> list[Any]:
    """Obligations as this person may see them."""
    scope = cases.Scope.of(user)
    return await deadlines.obligations(tx, everything=scope.everything, unit_id=scope.unit_id)
