"""报送: a unit fulfils an obligation of its campaign."""

from uuid import UUID

from services.casework.actions.deadlines import end_deadline, obligation_event_fields
from services.casework.domain.deadlines import DeadlineState
from services.casework.store import obligations
from services.casework.store.obligations import ObligationRow
from services.casework.tables import Obligation
from shared.appraisal.errors import Rejected
from shared.appraisal.events import ObligationFulfilled
from shared.security.policies import Account
from shared.storage.transaction import Transaction

DOCUMENT_MIN = 4


async def fulfil_obligation(
    tx: Transaction,
    *,
    obligation_id: UUID,
    document: str,
    by: Account,
) -> Obligation:
    """报送: record the document (title, number) that a unit hands in. A repetition changes nothing.

    Raises Rejected: 404 if the person may not find the obligation, 422 without a document.
    """
    row = await obligations.lock(tx, obligation_id, by)
    if row is None or row.deadline.state == DeadlineState.CANCELLED:
        raise Rejected("没有找到这项任务", status=404)
    obligation = row.obligation
    if obligation.fulfilled_at:
        return obligation
    _check_document(document)
    end_deadline(tx, row.deadline, DeadlineState.COMPLETED, obligation)
    obligation.fulfilled_at = tx.now
    obligation.fulfilled_by_name = by.display_name
    obligation.document = document.strip()
    tx.audit(
        "obligation.fulfil",
        obligation.id,
        str(by.id),
        obligation_rule_id=obligation.obligation_rule_id,
        unit=obligation.unit_id,
    )
    tx.publish(_fulfilled(tx, row))
    return obligation


def _check_document(document: str) -> None:
    if len(document.strip()) < DOCUMENT_MIN:
        raise Rejected("请写明报送文件的标题和文号", status=422, field="document")


def _fulfilled(tx: Transaction, row: ObligationRow) -> ObligationFulfilled:
    return ObligationFulfilled(
        occurred_at=tx.now,
        due_at=row.deadline.due_at,
        late=row.deadline.lapsed_at is not None,
        **obligation_event_fields(row.obligation),
    )
