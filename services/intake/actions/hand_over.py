"""移交: visits count and units learn of them, once a person released every text.

Visits of a covert round stay in intake until the round has ended. Then the reviewers get their
findings, and when the last text is released all visits leave together, in random order, so that
neither the time nor the order of a hand-over tells when a unit was visited.
"""

import secrets
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Final
from uuid import UUID

from services.intake.actions.drafts import new_draft
from services.intake.domain.visits import passed_items
from services.intake.settings import context_of
from services.intake.store import campaigns, findings, summaries
from services.intake.store import visits as store
from services.intake.store.findings import Finding
from services.intake.store.visits import DUE_MAX, Visit
from shared.appraisal.calendar.working_days import civil_day
from shared.appraisal.events import (
    FindingRegistered,
    FindingSummaryReleased,
    VisitFinding,
    VisitHandedOver,
)
from shared.foundation import telemetry
from shared.security.pii import mask_pii_async
from shared.storage.transaction import Transaction

Findings = Mapping[UUID, list[Finding]]
_random: Final = secrets.SystemRandom()


async def hand_over_due(tx: Transaction) -> bool:
    """Hand over what can be handed over now. Returns True if there may be more."""
    batches = await store.due_batches(tx, _today(tx))
    for batch_id in batches:
        await advance(tx, batch_id)
    return len(batches) == DUE_MAX


async def advance(tx: Transaction, batch_id: UUID) -> None:
    """Give the findings of a batch to the reviewers, or hand the batch over if none waits.

    Does nothing before the covert round has ended.
    """
    if not await store.batch_may_leave(tx, batch_id, _today(tx)):
        return
    visits = await store.lock_batch(tx, batch_id)
    shuffled = _random.sample(visits, len(visits))
    by_visit = await findings.of_visits(tx, [visit.id for visit in visits])
    await _register(tx, [visit for visit in shuffled if visit.registered_at is None], by_visit)
    if shuffled and not await store.batch_awaits_release(tx, batch_id):
        await _hand_over(tx, shuffled, by_visit)


def _today(tx: Transaction) -> date:
    return civil_day(tx.now)


# ── to the reviewers ──────────────────────────────────────────────────────────────────────────────


async def _register(tx: Transaction, visits: Sequence[Visit], by_visit: Findings) -> None:
    for visit in visits:
        for finding in by_visit[visit.id]:
            await _await_release(tx, visit, finding)
    await store.mark_registered(tx, [visit.id for visit in visits])


async def _await_release(tx: Transaction, visit: Visit, finding: Finding) -> None:
    """Draft the text with personal data masked, for a reviewer to release."""
    ring = context_of(tx).ring
    text = await mask_pii_async(finding.original(ring))
    await summaries.add_drafts(tx, [new_draft(ring, finding.id, text)])
    tx.publish(
        FindingRegistered(
            occurred_at=tx.now,
            visit_id=visit.id,
            campaign_id=visit.campaign_id,
            finding_id=finding.id,
            number=finding.number,
            unit_id=visit.unit_id,
            item_id=finding.item_id,
            severity=finding.severity,
        )
    )


# ── to everybody else ─────────────────────────────────────────────────────────────────────────────


async def _hand_over(tx: Transaction, visits: Sequence[Visit], by_visit: Findings) -> None:
    ring = context_of(tx).ring
    for visit in visits:
        received_on = await shown_day(tx, visit)
        for finding in by_visit[visit.id]:
            if finding.release:
                tx.publish(released_event(tx, finding, received_on))
        passed = passed_items(visit.content(ring).items)
        tx.publish(_handed_over(tx, visit, passed, by_visit[visit.id]))
        tx.audit("visit.handed_over", visit.id, "system", number=visit.number)
    await store.mark_handed_over(tx, [visit.id for visit in visits])
    telemetry.visit_uploads.labels("handed_over").inc(len(visits))


async def shown_day(tx: Transaction, visit: Visit) -> date:
    """Return the day that a unit is shown: of the hand-over, or of the visit by the scheme."""
    campaign = await campaigns.get(tx, visit.campaign_id)
    if campaign.checklist.shows_visit_day:
        return civil_day(visit.visited_at)
    return civil_day(visit.handed_over_at or tx.now)


def released_event(
    tx: Transaction,
    finding: Finding,
    received_on: date,
) -> FindingSummaryReleased:
    """Return the event of the text that was released last."""
    return FindingSummaryReleased(
        occurred_at=tx.now,
        visit_id=finding.visit_id,
        campaign_id=finding.campaign_id,
        finding_id=finding.id,
        release=finding.release,
        redacted_summary=finding.redacted_summary,
        received_on=received_on,
    )


def _handed_over(
    tx: Transaction,
    visit: Visit,
    passed: tuple[str, ...],
    found: Sequence[Finding],
) -> VisitHandedOver:
    scored = [
        VisitFinding(finding_id=each.id, item_id=each.item_id, severity=each.severity)
        for each in found
    ]
    return VisitHandedOver(
        occurred_at=tx.now,
        visit_id=visit.id,
        campaign_id=visit.campaign_id,
        number=visit.number,
        unit_id=visit.unit_id,
        mode=visit.mode,
        passed=passed,
        findings=tuple(scored),
        photos=len(visit.photos),
    )
