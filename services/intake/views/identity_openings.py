"""What an account may do about the identity of a complainant, and what the complainant sees."""

from uuid import UUID

import msgspec

from services.intake.domain.complaints import MAY_REVEAL
from services.intake.domain.identity_openings import APPROVAL_KEY
from services.intake.store import identity_openings as store
from shared.appraisal.calendar.working_days import civil_day
from shared.appraisal.labels import LabelledEnum
from shared.security.approvals.domain import ApprovalState
from shared.security.approvals.store import last_of
from shared.security.policies import Account
from shared.storage.transaction import Transaction


class OpeningState(LabelledEnum):
    """How far an account is with opening one identity."""

    NOT_ALLOWED = "not_allowed", "无权打开"
    REQUESTABLE = "requestable", "可以申请"
    PENDING = "pending", "等待身份保管员批准"
    OPENABLE = "openable", "已批准"


class IdentityRecord(msgspec.Struct, frozen=True):
    """An opening as the complainant reads it: the day and what it was for."""

    day: str
    purpose: str


async def opening_state(
    tx: Transaction,
    complaint_id: UUID,
    account: Account,
) -> OpeningState:
    """Return what the account may do about the identity of this complaint."""
    if account.role not in MAY_REVEAL:
        return OpeningState.NOT_ALLOWED
    if await store.find_usable(tx, complaint_id, account.id):
        return OpeningState.OPENABLE
    last = await last_of(tx, kind=APPROVAL_KEY, subject=str(complaint_id), requested_by=account.id)
    is_waiting = last is not None and last.state is ApprovalState.PENDING
    return OpeningState.PENDING if is_waiting else OpeningState.REQUESTABLE


async def identity_records(tx: Transaction, complaint_id: UUID) -> list[IdentityRecord]:
    """Return every opening of an identity, oldest first, without who opened it."""
    openings = await store.openings_of(tx, complaint_id)
    return [
        IdentityRecord(civil_day(opening.opened_at).isoformat(), opening.purpose.label)
        for opening in openings
    ]
