"""Import complaints."""

from collections.abc import Sequence

from services.intake.actions import complaints
from services.intake.actions.imports.rows import ImportJob, RejectedRow, choice_of, unit_of
from services.intake.domain.complaints import NewComplaint
from services.intake.domain.identities import Identity
from services.intake.store import campaigns
from services.intake.store.campaigns import KnownCampaign
from shared.appraisal.errors import Rejected
from shared.appraisal.imports import MappedRow
from shared.appraisal.labels import ComplaintChannel, ComplaintKind, Urgency
from shared.storage.transaction import Transaction

_ValidRow = tuple[MappedRow, NewComplaint]


async def import_complaints(
    tx: Transaction,
    job: ImportJob,
    rows: Sequence[MappedRow],
) -> list[RejectedRow]:
    campaign = await campaigns.get(tx, job.campaign_id)
    rejected: list[RejectedRow] = []
    valid: list[_ValidRow] = []
    for row in rows:
        try:
            complaint = await _checked_complaint(tx, job, row, campaign)
            valid.append((row, complaint))
        except Rejected as error:
            rejected.append((row, error))
    if not job.dry_run:
        rejected += await _register(tx, job, valid)
    return rejected


async def _checked_complaint(
    tx: Transaction,
    job: ImportJob,
    row: MappedRow,
    campaign: KnownCampaign,
) -> NewComplaint:
    complaint = _new_complaint(row, campaign)
    if job.dry_run:
        await complaints.check_complaint(tx, complaint, by=job.by)
    return complaint


async def _register(
    tx: Transaction,
    job: ImportJob,
    valid: Sequence[_ValidRow],
) -> list[RejectedRow]:
    registrations = [
        complaints.Registration(complaint=complaint, by=job.by) for _, complaint in valid
    ]
    results = await complaints.register_complaints(tx, registrations)
    return [
        (row, result)
        for (row, _), result in zip(valid, results, strict=True)
        if isinstance(result, Rejected)
    ]


def _new_complaint(row: MappedRow, campaign: KnownCampaign) -> NewComplaint:
    return NewComplaint(
        campaign_id=campaign.id,
        channel=choice_of(ComplaintChannel, row, "channel", ComplaintChannel.IMPORT),
        kind=choice_of(ComplaintKind, row, "kind", ComplaintKind.COMPLAINT),
        urgency=choice_of(Urgency, row, "urgency", Urgency.NORMAL),
        unit_id=unit_of(row, campaign),
        problem_item=row.text("problem_item") or None,
        complaint_text=row.text("complaint_text"),
        redacted_summary=row.text("redacted_summary") or None,
        identity=choice_of(Identity, row, "identity", Identity.ANONYMOUS),
        name=row.text("name"),
        phone=row.text("phone"),
        address=row.text("address"),
        place=row.text("place"),
        occurred=row.text("occurred_at"),
        received_at=row.instant("received_at"),
    )
