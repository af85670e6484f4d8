"""What time brings in intake: sealing the audit log, and forgetting what has had its time."""

from services.intake.actions import retention
from services.intake.settings import context_of
from shared.audit import Signer, seal
from shared.database import Transaction
from shared.ticks import Ticks
from shared.web.once import forget_keys

every = Ticks()


@every(seconds=5)
async def seal_audit(tx: Transaction) -> bool:
    signer = Signer(f"fengping/{tx.service}", context_of(tx).ring.signing_key(f"audit/{tx.service}"))
    return await seal(tx, signer) is not None


@every(seconds=3600)
async def forget_answers(tx: Transaction) -> bool:
    return await forget_keys(tx)


@every(seconds=300)
async def forget_abandoned(tx: Transaction) -> bool:
    return await retention.forget_abandoned(tx)


@every(seconds=3600)
async def forget_tracks(tx: Transaction) -> bool:
    return await retention.forget_tracks(tx)
