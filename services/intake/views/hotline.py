"""What the hotline desk shows: drafts, own tickets, the ticket just registered, suggestions."""

from datetime import datetime, time, timedelta
from uuid import UUID

import msgspec

from services.intake.domain.complaints import OWN_CODE_SHOWN
from services.intake.domain.query_codes import format_query_code
from services.intake.settings import context_of
from services.intake.store import complaint_lists, complaints, hotline_drafts
from services.intake.store.complaint_lists import OwnComplaint
from services.intake.store.hotline_drafts import SealedDraft
from services.intake.views.progress import query_code_of
from shared.appraisal.calendar.working_days import civil_day
from shared.foundation.clock import CHINA
from shared.security.keyring import KeyRing
from shared.security.listed_reports import audit_listed_reports
from shared.security.policies import Account
from shared.storage.transaction import Transaction


class HotlineDraftView(msgspec.Struct, frozen=True):
    """A draft of a hotline ticket, decrypted."""

    id: UUID
    saved_at: datetime
    fields: dict[str, str]

    @property
    def title(self) -> str:
        """What identifies the draft in a list."""
        texts = (self.fields.get(name) for name in ("redacted_summary", "unit", "place"))
        return next((text for text in texts if text), "还没有摘要")


class RegisteredTicket(msgspec.Struct, frozen=True):
    """The ticket just registered, to be read to the complainant."""

    number: str
    query_code: str


async def drafts_of(tx: Transaction, account: Account) -> list[HotlineDraftView]:
    """Return the drafts of an account, oldest first."""
    ring = context_of(tx).ring
    drafts = await hotline_drafts.list_for(tx, account.id)
    return [_draft_view(ring, draft) for draft in drafts]


def _draft_view(ring: KeyRing, draft: SealedDraft) -> HotlineDraftView:
    fields = ring.unseal(f"draft/{draft.id}", draft.sealed)
    return HotlineDraftView(draft.id, draft.saved_at, fields)


async def own_tickets(
    tx: Transaction,
    account: Account,
    *,
    days: int,
) -> list[OwnComplaint]:
    """Return what an account registered today and on the days before."""
    since = _midnight(tx.now) - timedelta(days=days - 1)
    registered = await complaint_lists.registered_by(tx, account.id, since=since)
    await audit_listed_reports(tx, account, ((each.kind, each.id) for each in registered))
    return registered


def _midnight(now: datetime) -> datetime:
    today = civil_day(now)
    return datetime.combine(today, time.min, CHINA)


async def just_registered(
    tx: Transaction,
    number: str,
    account: Account,
) -> RegisteredTicket | None:
    """Return the ticket of that number if this account registered it a moment ago."""
    complaint = await complaints.find_visible(tx, number, account) if number else None
    if complaint is None or complaint.registered_by != account.id:
        return None
    if complaint.registered_at < tx.now - OWN_CODE_SHOWN:
        return None
    code = query_code_of(context_of(tx).ring, complaint.id)
    return RegisteredTicket(number, format_query_code(code))
