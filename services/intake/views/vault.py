"""Decrypted parts of complaints."""

from datetime import datetime
from uuid import UUID

import msgspec

from services.intake.settings import context_of
from services.intake.store import vault as store
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
    return [
        SupplementView(
            at=row.at,
            display_name=row.display_name or "",
            text=ring.unseal(row.id, row.sealed).get("text", ""),
        )
        for row in await store.supplements(tx, complaint_id)
    ]


async def masked_contact(tx: Transaction, complaint_id: UUID) -> list[ContactField]:
    """Return the contact details of a complainant, masked; [] if there are none."""
    ring = context_of(tx).ring
    identity = await store.read_part(tx, ring, complaint_id, "identity")
    masked: dict[str, str] = {}
    if "name" in identity:
        masked["name"] = mask_name(identity["name"])
    if "phone" in identity:
        masked["phone"] = mask_phone(identity["phone"])
    if "address" in identity:
        masked["address"] = "（已登记）"
    return contact_fields(masked)


def contact_fields(identity: dict[str, str]) -> list[ContactField]:
    """Return contact details with their labels, in the order of the page."""
    return [
        ContactField(label, identity[name])
        for name, label in _CONTACT_LABELS.items()
        if identity.get(name)
    ]


_CONTACT_LABELS = {"name": "姓名", "phone": "电话", "address": "住址"}
