"""并入 and its undoing: a reviewer finds that a complaint repeats another one.

Both texts are kept. The case of the repetition ends in casework and goes on if the merger is
undone. A 举报 is merged with nothing but another 举报.
"""

from dataclasses import dataclass

from services.intake.actions.accused import NewAccusedRecord, record_accused
from services.intake.domain.complaints import REASON_MIN
from services.intake.store import accused, campaigns, complaints
from services.intake.store import progress as progress_store
from services.intake.store.complaints import VisibleComplaint
from shared.appraisal.errors import Rejected
from shared.appraisal.events import ComplaintMerged, ComplaintRepeated, ComplaintUnmerged
from shared.appraisal.labels import Role
from shared.security.pii import mask_pii_async
from shared.security.policies import Account
from shared.storage.organisations import hold_register
from shared.storage.transaction import Transaction


@dataclass(frozen=True, slots=True)
class MergedComplaint:
    """A complaint and the one that it was merged into; None after the merger was undone."""

    number: str
    merged_into: str | None


async def merge_complaint(
    tx: Transaction,
    *,
    number: str,
    into: str,
    by: Account,
) -> MergedComplaint:
    """并入: record that this complaint repeats `into`. Merging twice changes nothing.

    Raises Rejected: 403 for everybody but a reviewer, 404 if the reviewer may not see one of them,
    422 if they cannot be one matter.
    """
    _check_reviewer(by)
    await hold_register(tx)
    await complaints.lock(tx, {number, into})
    complaint = await complaints.get_visible(tx, number, by)
    target = await complaints.get_visible(tx, into, by)
    if complaint.merged_into == target.id:
        return MergedComplaint(number, into)
    await _check_mergeable(tx, complaint, target)
    repeats = await complaints.merge(tx, complaint.id, into=target.id)
    tx.audit("complaint.merged", complaint.id, str(by.id), into=str(target.id))
    tx.publish(
        ComplaintMerged(
            occurred_at=tx.now,
            complaint_id=complaint.id,
            campaign_id=complaint.campaign_id,
            into_id=target.id,
        )
    )
    _publish_repeats(tx, target, repeats)
    await _accuse_all(tx, complaint, target, by)
    return MergedComplaint(number, into)


def _check_reviewer(by: Account) -> None:
    if by.role is not Role.REVIEWER:
        raise Rejected("只有受理审核可以并入诉求或撤销并入", status=403)


async def _check_mergeable(
    tx: Transaction,
    complaint: VisibleComplaint,
    target: VisibleComplaint,
) -> None:
    if target.id == complaint.id or target.merged_into is not None:
        raise _invalid("要并入的诉求本身已并入别的诉求，请选择最早的一件")
    if complaint.merged_into is not None or complaint.repeats:
        raise _invalid("本件已并入或并有别的诉求，请先撤销并入")
    if target.campaign_id != complaint.campaign_id:
        raise _invalid("要并入的诉求不属于本次评议")
    if target.kind is not complaint.kind:
        raise _invalid("只能并入同一类型的诉求；举报不与其他类型合并")
    rules = (await campaigns.get(tx, complaint.campaign_id)).scheme.case_rules
    for each in (complaint, target):
        if rules.excludes_accused(each.kind) and not await accused.last_record(tx, each.id):
            raise _invalid(f"请先登记 {each.number} 的被举报单位，再合并")
        progress = await progress_store.get(tx, each.id)
        if progress.closed_at or progress.refused_at:
            raise _invalid(f"{each.number} 已经办结或不予受理，不能合并")


def _invalid(sentence: str) -> Rejected:
    return Rejected(sentence, status=422, field="into")


async def _accuse_all(
    tx: Transaction,
    complaint: VisibleComplaint,
    target: VisibleComplaint,
    by: Account,
) -> None:
    """Ban from the joint matter also whom only the repetition accuses."""
    added = set(complaint.accused_unit_ids) - set(target.accused_unit_ids)
    if not added:
        return
    given = NewAccusedRecord(
        unit_ids=[*target.accused_unit_ids, *sorted(added)],
        reason=f"{complaint.number} 并入",
        seen=await accused.last_record(tx, target.id),
    )
    await record_accused(tx, number=target.number, given=given, by=by)


async def undo_merger(
    tx: Transaction,
    *,
    number: str,
    reason: str,
    by: Account,
) -> MergedComplaint:
    """撤销并入: the complaint is a matter of its own again, with the state and clocks it had.

    Whom it accuses stays recorded with the other one, until a person removes it there. Raises
    Rejected: 403 for everybody but a reviewer, 404, 409 if it is not merged, 422 without a reason.
    """
    _check_reviewer(by)
    if len(reason.strip()) < REASON_MIN:
        sentence = f"请写明撤销并入的理由，至少 {REASON_MIN} 个字"
        raise Rejected(sentence, status=422, field="reason")
    into = (await complaints.get_visible(tx, number, by)).merged_number
    if into is None:
        raise Rejected("本件没有并入别的诉求")
    await complaints.lock(tx, {number, into})
    complaint = await complaints.get_visible(tx, number, by)
    if complaint.merged_number != into:
        raise Rejected("本件的并入情况已由他人更改，请核对后再操作")
    target = await complaints.get_visible(tx, into, by)
    repeats = await complaints.undo_merger(tx, complaint.id, into=target.id)
    masked = await mask_pii_async(reason.strip())
    tx.audit("complaint.unmerged", complaint.id, str(by.id), into=str(target.id), reason=masked)
    tx.publish(
        ComplaintUnmerged(
            occurred_at=tx.now, complaint_id=complaint.id, campaign_id=complaint.campaign_id
        )
    )
    _publish_repeats(tx, target, repeats)
    return MergedComplaint(number, None)


def _publish_repeats(
    tx: Transaction,
    target: VisibleComplaint,
    repeats: int,
) -> None:
    tx.publish(
        ComplaintRepeated(
            occurred_at=tx.now,
            complaint_id=target.id,
            campaign_id=target.campaign_id,
            repeats=repeats,
        )
    )
