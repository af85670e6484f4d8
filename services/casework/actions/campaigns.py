"""Campaigns as scoring publishes them, and the obligations that they impose on every unit."""

from datetime import datetime

import msgspec

from services.casework.actions.deadlines import end_deadline
from services.casework.domain.deadlines import (
    DeadlineFields,
    DeadlineKind,
    DeadlineState,
    DeadlineTerms,
)
from services.casework.domain.obligations import obligation_deadline, reminders
from services.casework.store import calendar, campaigns, obligations
from services.casework.store.obligations import ObligationRow
from services.casework.tables import Deadline, Obligation
from shared.appraisal.calendar.deadlines import TimeLimit
from shared.appraisal.calendar.working_days import WorkCalendar
from shared.appraisal.events import CampaignPublished
from shared.appraisal.schemes import ObligationRule, Scheme
from shared.storage.transaction import Transaction, new_id


async def store_campaign(tx: Transaction, event: CampaignPublished) -> None:
    """Store a campaign and its register, and bring the obligations of its units up to date."""
    await campaigns.save(tx, event)
    await _sync_obligations(tx, event, Scheme.from_json(event.scheme))


async def _sync_obligations(
    tx: Transaction,
    event: CampaignPublished,
    scheme: Scheme,
) -> None:
    """Add new obligations, move those that the scheme moved, cancel those that it dropped.

    Obligations that were fulfilled or have lapsed stay as they are.
    """
    work_calendar = await calendar.current(tx)
    existing = await obligations.lock_of_campaign(tx, event.campaign_id)
    wanted = _wanted(event, scheme)
    new = {key: rule for key, rule in wanted.items() if key not in existing}
    await _add(tx, event, new, work_calendar)
    for key in existing.keys() & wanted.keys():
        _move(existing[key].deadline, wanted[key], work_calendar, event.scheme_version, tx.now)
    for key in existing.keys() - wanted.keys():
        _cancel(tx, existing[key])


def _wanted(event: CampaignPublished, scheme: Scheme) -> dict[tuple[str, str], ObligationRule]:
    """The obligations that the scheme imposes, by unit and rule."""
    return {(unit.unit_id, rule.id): rule for unit in event.units for rule in scheme.obligations}


async def _add(
    tx: Transaction,
    event: CampaignPublished,
    new: dict[tuple[str, str], ObligationRule],
    work_calendar: WorkCalendar,
) -> None:
    added = [(rule, _obligation(event, unit_id, rule)) for (unit_id, _), rule in new.items()]
    for _, obligation in added:
        tx.add(obligation)
    await tx.flush()
    for rule, obligation in added:
        fields = _deadline_fields(event, obligation, rule, work_calendar, tx.now)
        tx.add(Deadline(**msgspec.structs.asdict(fields)))


def _obligation(
    event: CampaignPublished,
    unit_id: str,
    rule: ObligationRule,
) -> Obligation:
    return Obligation(
        id=new_id(),
        campaign_id=event.campaign_id,
        unit_id=unit_id,
        obligation_rule_id=rule.id,
        label=rule.label,
        deliverable=rule.deliverable,
    )


def _deadline_fields(
    event: CampaignPublished,
    obligation: Obligation,
    rule: ObligationRule,
    work_calendar: WorkCalendar,
    now: datetime,
) -> DeadlineFields:
    times = obligation_deadline(rule, work_calendar)
    warnings = _warnings(rule, work_calendar, now, until=times.at)
    return DeadlineFields(
        id=new_id(),
        obligation_id=obligation.id,
        unit_id=obligation.unit_id,
        kind=DeadlineKind.OBLIGATION,
        starts_at=now,
        terms=DeadlineTerms(TimeLimit(1, "d", rule.closes)).to_json(),
        due_at=times.at,
        warn_at=times.warn_at,
        severe_at=times.severe_at,
        provisional=False,
        rule_id=rule.id,
        scheme_version=event.scheme_version,
        calendar_version=times.calendar_version,
        next_warn_at=warnings[0] if warnings else None,
        later_warns=warnings[1:],
    )


def _warnings(
    rule: ObligationRule,
    work_calendar: WorkCalendar,
    now: datetime,
    *,
    until: datetime,
) -> list[datetime]:
    """The reminders that are still to come."""
    return [at for at in reminders(rule, work_calendar) if now <= at < until]


def _move(
    row: Deadline,
    rule: ObligationRule,
    work_calendar: WorkCalendar,
    scheme_version: str,
    now: datetime,
) -> None:
    # A later version of the rules does not take a lapse back.
    times = obligation_deadline(rule, work_calendar)
    if row.state != DeadlineState.RUNNING or row.due_at == times.at:
        return
    warnings = _warnings(rule, work_calendar, now, until=times.at)
    row.due_at = times.at
    row.warn_at = times.warn_at
    row.severe_at = times.severe_at
    row.scheme_version = scheme_version
    row.calendar_version = times.calendar_version
    row.next_warn_at = warnings[0] if warnings else None
    row.later_warns = warnings[1:]


def _cancel(tx: Transaction, row: ObligationRow) -> None:
    if row.deadline.state in (DeadlineState.RUNNING, DeadlineState.LAPSED):
        end_deadline(tx, row.deadline, DeadlineState.CANCELLED, row.obligation)
