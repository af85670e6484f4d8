"""Reveal the identity of a complainant."""

from datetime import timedelta
from typing import Final

from services.intake.domain.complaints import MAY_REVEAL, REASON_MIN
from services.intake.settings import context_of
from services.intake.store import complaints, vault
from shared.appraisal.errors import Rejected
from shared.foundation import telemetry
from shared.foundation.telemetry import log
from shared.security.pii import mask_pii
from shared.security.policies import Account
from shared.storage.transaction import Transaction

REVEALS_PER_HOUR: Final = 10
"""From this many reveals by one account within an hour, a warning goes to the duty officer."""


async def reveal_identity(
    tx: Transaction,
    *,
    number: str,
    reason: str,
    by: Account,
) -> dict[str, str]:
    """Return name, phone and address of a complainant; the audit entry commits with it.

    Raises Rejected (403, 404, 422). `reason` has at least REASON_MIN characters.
    """
    _check_reveal(by, reason)
    complaint = await complaints.get_visible(tx, number, by)
    tx.audit("identity.revealed", complaint.id, str(by.id), reason=mask_pii(reason.strip()))
    telemetry.identity_reveals.labels(by.role).inc()
    await _warn_about_many_reveals(tx, by)
    return await vault.read_part(tx, context_of(tx).ring, complaint.id, "identity")


def _check_reveal(by: Account, reason: str) -> None:
    if by.role not in MAY_REVEAL:
        raise Rejected("您没有查阅身份信息的权限", status=403)
    if len(reason.strip()) < REASON_MIN:
        raise Rejected(f"请写明查阅理由，至少 {REASON_MIN} 个字", status=422, field="reason")


async def _warn_about_many_reveals(tx: Transaction, by: Account) -> None:
    hour_ago = tx.now - timedelta(hours=1)
    if await vault.reveals_since(tx, by.id, hour_ago) < REVEALS_PER_HOUR:
        return
    log.warning(
        "many identities revealed by one account",
        service="intake",
        account=str(by.id),
        role=by.role,
    )
    tx.audit("identity.reveal_threshold_exceeded", by.id, "system")
