"""补充说明: text that staff add to a complaint after its registration."""

from services.intake.domain.complaints import REASON_MIN
from services.intake.settings import context_of
from services.intake.store import complaints as store
from services.intake.store import vault
from shared.appraisal.errors import Rejected
from shared.security.policies import Account
from shared.storage.transaction import Transaction, new_id


async def add_supplement(
    tx: Transaction,
    *,
    number: str,
    text: str,
    by: Account,
) -> None:
    """补充说明: add text to a complaint, encrypted like the complaint text.

    Raises Rejected: 404 if the account may not see the complaint, 422 if the text is too short.
    """
    complaint = await store.get_visible(tx, number, by)
    stripped = text.strip()
    if len(stripped) < REASON_MIN:
        raise Rejected(f"补充说明至少 {REASON_MIN} 个字", status=422, field="text")
    supplement_id = new_id()
    sealed = context_of(tx).ring.seal(supplement_id, {"text": stripped})
    await vault.add_supplement(tx, supplement_id, complaint.id, by=by.id, sealed=sealed)
    tx.audit("complaint.supplemented", complaint.id, str(by.id), supplement=str(supplement_id))
