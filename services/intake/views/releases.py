"""摘要审核: what awaits its release, and one complaint with its original beside the draft."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from services.intake.domain.summaries import SummaryVersion, TextSegment, marked_text
from services.intake.settings import context_of
from services.intake.store import campaigns, complaints, summaries, vault
from services.intake.store import progress as progress_store
from services.intake.store.campaigns import KnownCampaign
from services.intake.store.complaint_lists import SimilarComplaint
from services.intake.store.complaints import VisibleComplaint
from services.intake.store.summaries import QueuedSummary, SummaryReleaseRow
from services.intake.views.accused import AccusedPanel, accused_of
from services.intake.views.mergers import merge_candidates
from services.intake.views.vault import SupplementView, supplements_of, unsealed_draft
from shared.security.listed_reports import audit_listed_reports
from shared.security.pii import PiiHit, PiiKind, certain_hits, find_pii_async
from shared.security.policies import Account
from shared.storage.transaction import Transaction

ONE_HOUR = timedelta(hours=1)
ONE_DAY = timedelta(days=1)


class WaitingSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the queue. `age`: how long it has waited, in words."""

    row: QueuedSummary
    unit_name: str
    age: str
    is_late: bool


class ReleasePanel(msgspec.Struct, frozen=True, kw_only=True):
    """A complaint whose summary can be released or corrected.

    `draft`: the text to start from. `kinds`: the kinds of personal data that it
    certainly holds.
    """

    complaint: VisibleComplaint
    campaign: KnownCampaign
    original: list[TextSegment]
    occurred: str
    place: str
    withhold: str
    supplements: list[SupplementView]
    draft: str
    marked_draft: list[TextSegment]
    kinds: list[PiiKind]
    seen: SummaryVersion
    author_id: str
    awaits_release: bool
    due_at: datetime | None
    original_version: int
    releases: list[SummaryReleaseRow]
    accused: AccusedPanel
    similar: list[SimilarComplaint]


class DraftMarks(msgspec.Struct, frozen=True):
    """Personal data in a text that is being edited."""

    segments: list[TextSegment]
    kinds: list[PiiKind]


async def queue(tx: Transaction, account: Account) -> list[WaitingSummary]:
    """Return what awaits its release: critical complaints first, then the oldest."""
    rows = await summaries.queue(tx, account)
    await audit_listed_reports(tx, account, ((row.kind, row.id) for row in rows))
    return [await _waiting(tx, row) for row in rows]


async def _waiting(tx: Transaction, row: QueuedSummary) -> WaitingSummary:
    campaign = await campaigns.get(tx, row.campaign_id)
    return WaitingSummary(
        row=row,
        unit_name=campaign.name_of(row.unit_id),
        age=age_text(tx.now - row.registered_at),
        is_late=row.release_due_at is not None and row.release_due_at <= tx.now,
    )


def age_text(age: timedelta) -> str:
    """Return `12 分钟`, `3 小时` or `2 天`."""
    if age >= ONE_DAY:
        return f"{age.days} 天"
    if age >= ONE_HOUR:
        return f"{age // ONE_HOUR} 小时"
    return f"{max(age, timedelta()) // timedelta(minutes=1)} 分钟"


def next_number(waiting: Sequence[WaitingSummary], after: str = "") -> str:
    """Return the complaint to open: the first, or the one that follows `after`; "" if none."""
    numbers = [each.row.number for each in waiting]
    position = numbers.index(after) + 1 if after in numbers else 0
    following = numbers[position:] or numbers
    return following[0] if following else ""


async def release_panel(
    tx: Transaction,
    number: str,
    account: Account,
) -> ReleasePanel | None:
    """Return the complaint of that number if the account may see it.

    Reading is recorded in the audit log.
    """
    complaint = await complaints.find_visible(tx, number, account)
    if complaint is None:
        return None
    tx.audit("complaint.read", complaint.id, str(account.id), statement=True)
    return await _panel(tx, complaint, account)


async def _panel(
    tx: Transaction,
    complaint: VisibleComplaint,
    account: Account,
) -> ReleasePanel:
    ring = context_of(tx).ring
    statement = await vault.read_part(tx, ring, complaint.id, "statement")
    draft = await summaries.find_draft(tx, complaint.id)
    progress = await progress_store.get(tx, complaint.id)
    released = await summaries.releases(tx, complaint.id)
    known = await vault.known_values(tx, context_of(tx).ring, complaint.id)
    original = statement.get("complaint_text", "")
    draft_text = unsealed_draft(tx, draft) if draft else complaint.redacted_summary
    matches = await find_pii_async(draft_text, known)
    return ReleasePanel(
        complaint=complaint,
        campaign=await campaigns.get(tx, complaint.campaign_id),
        original=marked_text(original, await find_pii_async(original, known)),
        occurred=statement.get("occurred", ""),
        place=statement.get("place", ""),
        withhold=statement.get("withhold", ""),
        supplements=await supplements_of(tx, complaint.id),
        draft=draft_text,
        marked_draft=marked_text(draft_text, matches),
        kinds=_kinds(matches),
        seen=SummaryVersion(draft=draft.version if draft else 0, release=len(released)),
        author_id=str(draft.author_id or "") if draft else "",
        awaits_release=draft is not None and complaint.merged_into is None,
        due_at=progress.release_due_at,
        original_version=await summaries.original_version(tx, complaint.id),
        releases=released,
        accused=await accused_of(tx, complaint),
        similar=await merge_candidates(tx, complaint, account),
    )


def _kinds(matches: Sequence[PiiHit]) -> list[PiiKind]:
    return list(dict.fromkeys(match.kind for match in certain_hits(matches)))


async def marks_of(
    tx: Transaction,
    number: str,
    text: str,
    account: Account,
) -> DraftMarks:
    """Return the personal data in a text for this complaint. Raises Rejected (404)."""
    complaint = await complaints.get_visible(tx, number, account)
    matches = await find_pii_async(
        text, await vault.known_values(tx, context_of(tx).ring, complaint.id)
    )
    return DraftMarks(marked_text(text, matches), _kinds(matches))
