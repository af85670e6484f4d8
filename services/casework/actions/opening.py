"""立案: one case for each complaint and each negative finding, many in few statements."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from services.casework.domain.assignment import case_number, named_accused
from services.casework.domain.campaigns import CampaignRules
from services.casework.domain.opening import (
    SYSTEM_ROLE,
    CaseOrigin,
    NewCase,
    build_case,
    origin_of_complaint,
    origin_of_finding,
)
from services.casework.store import calendar, context_of, opening
from shared.appraisal.calendar.working_days import WorkCalendar
from shared.appraisal.errors import DependencyMissing
from shared.appraisal.events import ComplaintRegistered, FindingRegistered
from shared.storage.organisations import excluded_bodies
from shared.storage.transaction import Transaction, new_id


async def open_for_complaints(
    tx: Transaction,
    events: Sequence[ComplaintRegistered],
    summaries: Mapping[UUID, str] | None = None,
) -> int:
    """Open a case for each complaint whose kind gets one; return how many were opened.

    `summaries`: the redacted summaries that are released already, by complaint. A case without one
    belongs to no unit until the release.
    """
    released = summaries or {}
    campaigns, work_calendar = await _rules(tx, {event.campaign_id for event in events})
    origins = [
        origin_of_complaint(event, released.get(event.complaint_id))
        for event in events
        if event.kind not in campaigns[event.campaign_id].case_rules.no_case
    ]
    return await open_cases(tx, origins, campaigns, work_calendar)


async def open_for_findings(tx: Transaction, events: Sequence[FindingRegistered]) -> int:
    """Open a case for each finding; return how many were opened.

    It belongs to no unit until the release of its text.
    """
    campaigns, work_calendar = await _rules(tx, {event.campaign_id for event in events})
    origins = [origin_of_finding(event, campaigns[event.campaign_id]) for event in events]
    return await open_cases(tx, origins, campaigns, work_calendar)


async def _rules(
    tx: Transaction, campaign_ids: set[str]
) -> tuple[dict[str, CampaignRules], WorkCalendar]:
    """Return campaigns and calendar. Raises DependencyMissing if a campaign has not arrived."""
    campaigns, work_calendar = await calendar.rules_for_opening(tx, sorted(campaign_ids))
    _check_arrived(campaign_ids - campaigns.keys())
    return campaigns, work_calendar


def _check_arrived(missing: set[str]) -> None:
    if missing:
        raise DependencyMissing(f"campaign {min(missing)} has not arrived yet")


async def open_cases(
    tx: Transaction,
    origins: Sequence[CaseOrigin],
    campaigns: Mapping[str, CampaignRules],
    work_calendar: WorkCalendar,
) -> int:
    """Open the cases that are not open yet, in two statements; return how many were opened.

    A complaint or finding has one case for ever: the id of its source is unique.
    """
    if not origins:
        return 0
    years = [campaigns[origin.campaign_id].year for origin in origins]
    sequences = await opening.reserve_numbers(tx, origins, years)
    unopened = {origin.source_key: origin for origin in origins if origin.source_key in sequences}
    new_cases = [
        await _build(tx, origin, campaigns[origin.campaign_id], work_calendar, sequences[key])
        for key, origin in unopened.items()
    ]
    if new_cases:
        await _write(tx, new_cases)
    return len(new_cases)


async def _build(
    tx: Transaction,
    origin: CaseOrigin,
    campaign: CampaignRules,
    work_calendar: WorkCalendar,
    sequence: int,
) -> NewCase:
    number = case_number(campaign.year, sequence)
    rules = campaign.case_rules
    accused = named_accused(origin.kind, origin.named_unit_id, rules)
    return build_case(
        origin,
        campaign,
        work_calendar,
        number=number,
        now=tx.now,
        new_id=new_id,
        excluded=await excluded_bodies(tx, context_of(tx).organisations, accused, rules),
    )


async def _write(tx: Transaction, new_cases: Sequence[NewCase]) -> None:
    await opening.insert_cases(tx, new_cases)
    for new in new_cases:
        for event in new.events:
            tx.publish(event)
        tx.audit(
            "case.open",
            new.case.number,
            SYSTEM_ROLE,
            source=new.case.source,
            source_id=str(new.case.source_id),
        )
