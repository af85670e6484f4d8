"""What a complaint may be merged into."""

from services.intake.store import complaint_lists
from services.intake.store.complaint_lists import SimilarComplaint
from services.intake.store.complaints import VisibleComplaint
from services.intake.views.vault import summary_draft_of
from shared.appraisal.labels import Role
from shared.security.listed_reports import audit_listed_reports
from shared.security.policies import Account
from shared.storage.transaction import Transaction


async def merge_candidates(
    tx: Transaction,
    complaint: VisibleComplaint,
    account: Account,
) -> list[SimilarComplaint]:
    """Return similar complaints of the same kind for a reviewer, who may merge this one into them.

    Reports among them are recorded in the audit log.
    """
    is_merged = complaint.merged_into is not None
    if account.role is not Role.REVIEWER or complaint.unit_id is None or is_merged:
        return []
    summary = complaint.redacted_summary or await summary_draft_of(tx, complaint.id)
    found = await complaint_lists.similar(
        tx,
        campaign_id=complaint.campaign_id,
        unit_id=complaint.unit_id,
        redacted_summary=summary,
        exclude=complaint.id,
    )
    candidates = [each for each in found if each.kind is complaint.kind]
    await audit_listed_reports(tx, account, ((each.kind, each.id) for each in candidates))
    return candidates
