"""Open the identity of a complainant: requested here, approved by the custodian, shown once."""

from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from services.intake.actions.approval_kinds.identity_opening import (
    IDENTITY_OPENING,
    OpeningPayload,
)
from services.intake.domain.complaints import MAY_REVEAL
from services.intake.domain.identity_openings import OpeningPurpose
from services.intake.settings import context_of
from services.intake.store import complaints, identity_openings, vault
from shared.appraisal.errors import Rejected
from shared.foundation import telemetry
from shared.foundation.failpoints import failpoint
from shared.foundation.telemetry import log
from shared.security.approvals import NewRequest, request_approval
from shared.security.policies import Account
from shared.storage.transaction import Transaction, TransactionFactory

OVER_THE_LIMIT: Final = "一小时内打开来件人身份的次数已达上限，已通知值班人员，请稍后再试"


class OpenedIdentity(msgspec.Struct, frozen=True):
    """Name, phone and address of a complainant, as far as they are known, and when they were
    opened."""

    fields: dict[str, str]
    at: datetime


async def request_opening(
    tx: Transaction,
    *,
    number: str,
    purpose: OpeningPurpose,
    reason: str,
    by: Account,
) -> UUID:
    """Ask the custodian for one opening of an identity. Raises Rejected (403, 404, 409, 422)."""
    complaint = await complaints.get_visible(tx, number, by)
    wanted = NewRequest(
        subject=str(complaint.id), payload=OpeningPayload(number, purpose), reason=reason
    )
    return await request_approval(tx, IDENTITY_OPENING, wanted, by=by)


async def open_identity(
    transactions: TransactionFactory,
    *,
    number: str,
    by: Account,
) -> OpenedIdentity:
    """Return the identity of a complainant, this once.

    The opening is used and audited in a transaction of its own, which commits before anything is
    decrypted: whatever happens then, the audit entry exists.

    Raises Rejected: 403 without an approved opening, 404 unless the account may see the complaint,
    429 beyond the limits per hour.
    """
    async with transactions() as tx:
        complaint = await complaints.get_visible(tx, number, by)
        is_allowed = await _use_opening(tx, complaint.id, by)
    failpoint("identity.after_audit")
    if not is_allowed:
        raise Rejected(OVER_THE_LIMIT, status=429)
    async with transactions() as tx:
        fields = await vault.read_part(tx, context_of(tx).ring, complaint.id, "identity")
        return OpenedIdentity(fields, tx.now)


async def _use_opening(
    tx: Transaction,
    complaint_id: UUID,
    by: Account,
) -> bool:
    """Use the account's opening of this identity; return False if a limit forbids it now.

    Reaching a limit is audited, so this does not raise. Raises Rejected (403) without an opening.
    """
    opening_id = await identity_openings.find_usable(tx, complaint_id, by.id)
    if by.role not in MAY_REVEAL or opening_id is None:
        raise Rejected("打开来件人身份须先由身份保管员批准", status=403)
    counts = await identity_openings.lock_counts(tx, by.id)
    settings = context_of(tx).settings
    if counts.own >= settings.identity_openings_per_hour:
        return _limit(tx, complaint_id, by, "account")
    if counts.total >= settings.identity_openings_per_hour_in_total:
        return _limit(tx, complaint_id, by, "installation")
    if not await identity_openings.mark_opened(tx, opening_id):
        raise Rejected("这次批准已经用过，需要时请重新申请", status=403)
    tx.audit("identity.opened", complaint_id, str(by.id), request=str(opening_id))
    telemetry.identity_reveals.labels(by.role).inc()
    return True


def _limit(
    tx: Transaction,
    complaint_id: UUID,
    by: Account,
    limit: str,
) -> bool:
    """Audit and alert that a limit stopped an opening; return False."""
    log.warning(
        "identity opening stopped by the limit per hour",
        service="intake",
        account=str(by.id),
        role=by.role,
    )
    tx.audit("identity.opening_limited", complaint_id, str(by.id), limit=limit)
    telemetry.identity_openings_limited.labels(limit).inc()
    return False
