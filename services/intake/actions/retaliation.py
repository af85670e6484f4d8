"""打击报复: link a report of retaliation to the complaint that it followed.

Both are urgent from then on, and whoever retaliates may neither handle nor see the source any more.
"""

from services.intake.actions.accused import ban_retaliators
from services.intake.domain.complaints import RETALIATION_REASON
from services.intake.domain.query_codes import parse_number
from services.intake.store import complaints, retaliation
from services.intake.store.complaints import StoredComplaint, VisibleComplaint
from shared.appraisal.errors import Rejected
from shared.appraisal.events import ComplaintUrgencyRaised
from shared.appraisal.labels import Urgency
from shared.security.policies import Account
from shared.storage.organisations import hold_register
from shared.storage.transaction import Transaction


async def link_retaliation(
    tx: Transaction,
    *,
    number: str,
    source_number: str,
    by: Account,
) -> None:
    """Record that `number` reports retaliation because of `source_number`.

    Linking twice changes nothing. Raises Rejected: 404, or 422 if there is no such source.
    """
    await hold_register(tx)
    source_number = parse_number(source_number)
    locked = await complaints.lock(tx, {number, source_number})
    complaint = await complaints.get_visible(tx, number, by)
    source = await _visible_source(tx, complaint, source_number, by)
    if not await retaliation.insert(tx, complaint.id, source.id, linked_by=by.id):
        return
    tx.audit("complaint.retaliation_linked", complaint.id, str(by.id), source=str(source.id))
    await ban_retaliators(tx, source, _retaliators(complaint), by=by)
    raised = await retaliation.raise_to_urgent(tx, [complaint.id, source.id], RETALIATION_REASON)
    for each in locked.values():
        if each.id in raised:
            tx.publish(_urgency_raised(tx, each))


def _retaliators(complaint: VisibleComplaint) -> list[str]:
    named = [complaint.unit_id] if complaint.unit_id else []
    return [*named, *complaint.accused_unit_ids]


async def _visible_source(
    tx: Transaction,
    complaint: VisibleComplaint,
    source_number: str,
    by: Account,
) -> VisibleComplaint:
    source = await complaints.find_visible(tx, source_number, by) if source_number else None
    if source is None:
        raise Rejected("没有这个受理编号，请核对", status=422, field="source")
    if source.id == complaint.id:
        raise Rejected("不能关联到这件诉求自己", status=422, field="source")
    return source


def _urgency_raised(tx: Transaction, complaint: StoredComplaint) -> ComplaintUrgencyRaised:
    return ComplaintUrgencyRaised(
        occurred_at=tx.now,
        complaint_id=complaint.id,
        campaign_id=complaint.campaign_id,
        urgency=Urgency.URGENT,
    )
