"""Decrypted parts of complaints."""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

import msgspec

from services.intake.settings import context_of
from services.intake.store import summaries
from services.intake.store import vault as store
from services.intake.store.summaries import SealedSummaryDraft
from services.intake.store.vault import SealedSupplement
from shared.security.keyring import KeyDestroyed, KeyRing
from shared.security.masking import mask_name, mask_phone
from shared.storage.transaction import Transaction


class SupplementView(msgspec.Struct, frozen=True):
    """补充说明, decrypted. `display_name`: of the account that added it."""

    at: datetime
    display_name: str
    text: str


class ContactField(msgspec.Struct, frozen=True):
    """One contact detail of a complainant, with its label."""

    label: str
    text: str


async def supplements_of(tx: Transaction, complaint_id: UUID) -> list[SupplementView]:
    """Return the supplements of a complaint, oldest first."""
    ring = context_of(tx).ring
    rows = await store.supplements(tx, complaint_id)
    return [_supplement_view(ring, row) for row in rows]


def _supplement_view(ring: KeyRing, row: SealedSupplement) -> SupplementView:
    fields = ring.unseal(row.id, row.sealed)
    return SupplementView(row.at, row.display_name or "", fields.get("text", ""))


async def summary_draft_of(tx: Transaction, complaint_id: UUID) -> str:
    """Return the text of a redacted summary that awaits its release; "" if there is none."""
    draft = await summaries.find_draft(tx, complaint_id)
    return unsealed_draft(tx, draft) if draft else ""


def unsealed_draft(tx: Transaction, draft: SealedSummaryDraft) -> str:
    """Return the text of a draft; "" if its key was destroyed."""
    try:
        fields = context_of(tx).ring.unseal(f"{draft.subject_id}/draft", draft.sealed)
    except KeyDestroyed:
        return ""
    return fields["redacted_summary"]


async def masked_contact(tx: Transaction, complaint_id: UUID) -> list[ContactField]:
    """Return the contact details of a complainant, masked; [] if there are none."""
    ring = context_of(tx).ring
    identity = await store.read_part(tx, ring, complaint_id, "identity")
    masked = {name: mask(identity[name]) for name, mask in _MASKS.items() if name in identity}
    return contact_fields(masked)


def contact_fields(identity: dict[str, str]) -> list[ContactField]:
    """Return contact details with their labels, in the order of the page."""
    return [
        ContactField(label, identity[name])
        for name, label in _CONTACT_LABELS.items()
        if identity.get(name)
    ]


_MASKS: dict[str, Callable[[str], str]] = {
    "name": mask_name,
    "phone": mask_phone,
    "address": lambda _: "（已登记）",
}
_CONTACT_LABELS = {"name": "姓名", "phone": "电话", "address": "住址"}
