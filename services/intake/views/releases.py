"""摘要审核: what awaits its release, and one complaint or finding with its original beside the
draft.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec

from services.intake.domain.summaries import SummaryVersion, TextSegment, marked_text
from services.intake.domain.visits import FINDING_NUMBER
from services.intake.settings import context_of
from services.intake.store import campaigns, complaints, findings, summaries, vault
from services.intake.store import progress as progress_store
from services.intake.store.complaint_lists import SimilarComplaint
from services.intake.store.complaints import VisibleComplaint
from services.intake.store.summaries import QueuedSummary, SummaryReleaseRow
from services.intake.views.accused import AccusedPanel, accused_of
from services.intake.views.mergers import merge_candidates
from services.intake.views.vault import SupplementView, supplements_of, unsealed_draft
from shared.appraisal.labels import ComplaintKind
from shared.security.listed_reports import audit_listed_reports
from shared.security.pii import PiiHit, PiiKind, certain_hits, find_pii_async
from shared.security.policies import Account
from shared.storage.transaction import Transaction

ONE_HOUR = timedelta(hours=1)
ONE_DAY = timedelta(days=1)
CORRECTED: Final = "更正后承办单位立即看到新的摘要"
COMPLAINT_RELEASED: Final = "放行后投诉直接转给所指单位，举报和未指明单位的转去分派"
FINDING_RELEASED: Final = "同批检查的摘要全部放行后，一起移交所查单位"


class WaitingSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the queue. `age`: how long it has waited, in words."""

    row: QueuedSummary
    unit_name: str
    age: str
    is_late: bool


class LabelledText(msgspec.Struct, frozen=True):
    """Something that helps to judge a text, with its label."""

    label: str
    text: str


class ReleasePanel(msgspec.Struct, frozen=True, kw_only=True):
    """A complaint or finding whose summary can be released or corrected.

    `original_label`: what the original is and who sees it. `about`: kind, channel and urgency.
    `draft`: the text to start from. `kinds`: the kinds of personal data that it certainly holds.
    `details_url`: its own page, "" if it has none for reviewers.
    """

    number: str
    original_label: str
    original: list[TextSegment]
    facts: list[LabelledText]
    withhold: str = ""
    supplements: list[SupplementView] = []
    about: str
    unit_name: str
    draft: str
    marked_draft: list[TextSegment]
    kinds: list[PiiKind]
    seen: SummaryVersion
    awaits_release: bool
    due_at: datetime | None
    original_version: int = 1
    releases: list[SummaryReleaseRow]
    accused: AccusedPanel | None = None
    similar: list[SimilarComplaint] = []
    redacted_summary: str
    details_url: str = ""
    consequence: str


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
    """Return the number to open: the first, or the one that follows `after`; "" if none."""
    numbers = [each.row.number for each in waiting]
    position = numbers.index(after) + 1 if after in numbers else 0
    following = numbers[position:] or numbers
    return following[0] if following else ""


async def release_panel(
    tx: Transaction,
    number: str,
    account: Account,
) -> ReleasePanel | None:
    """Return the complaint or finding of that number if the account may see it.

    Reading is recorded in the audit log.
    """
    if FINDING_NUMBER.fullmatch(number):
        return await _finding_panel(tx, number, account)
    complaint = await complaints.find_visible(tx, number, account)
    if complaint is None:
        return None
    tx.audit("complaint.read", complaint.id, str(account.id), statement=True)
    return await _complaint_panel(tx, complaint, account)


async def _complaint_panel(
    tx: Transaction,
    complaint: VisibleComplaint,
    account: Account,
) -> ReleasePanel:
    ring = context_of(tx).ring
    statement = await vault.read_part(tx, ring, complaint.id, "statement")
    progress = await progress_store.get(tx, complaint.id)
    known = await vault.known_values(tx, ring, complaint.id)
    original = statement.get("complaint_text", "")
    campaign = await campaigns.get(tx, complaint.campaign_id)
    about = (complaint.kind.label, complaint.channel.label, complaint.urgency.label)
    when_and_where = f"{statement.get('occurred', '')} {statement.get('place', '')}".strip()
    draft = await _draft_of(tx, complaint.id, complaint.redacted_summary, known)
    return ReleasePanel(
        number=complaint.number,
        original_label="诉求原文（仅受理、督办可见）",
        original=marked_text(original, await find_pii_async(original, known)),
        facts=[LabelledText("时间地点", when_and_where)] if when_and_where else [],
        withhold=statement.get("withhold", ""),
        supplements=await supplements_of(tx, complaint.id),
        about=" · ".join(about),
        unit_name=campaign.name_of(complaint.unit_id),
        due_at=progress.release_due_at,
        original_version=await summaries.original_version(tx, complaint.id),
        redacted_summary=complaint.redacted_summary,
        details_url=f"/intake/tickets/{complaint.number}",
        accused=await accused_of(tx, complaint),
        similar=await merge_candidates(tx, complaint, account),
        consequence=CORRECTED if draft.releases else COMPLAINT_RELEASED,
        **msgspec.structs.asdict(draft) | _awaiting(draft, complaint),
    )


def _awaiting(draft: "_Draft", complaint: VisibleComplaint) -> dict[str, bool]:
    """A complaint that was merged keeps its draft for an undo, and awaits nothing."""
    return {"awaits_release": draft.awaits_release and complaint.merged_into is None}


async def _finding_panel(
    tx: Transaction,
    number: str,
    account: Account,
) -> ReleasePanel | None:
    finding = await findings.find_registered(tx, number, hidden_units=account.unit_ids)
    if finding is None:
        return None
    tx.audit("finding.read", finding.id, str(account.id))
    original = finding.original(context_of(tx).ring)
    campaign = await campaigns.get(tx, finding.campaign_id)
    item = campaign.checklist.item(finding.item_id)
    draft = await _draft_of(tx, finding.id, finding.redacted_summary, ())
    return ReleasePanel(
        number=finding.number,
        original_label="巡查员所写（仅受理审核、评议办可见）",
        original=marked_text(original, await find_pii_async(original)),
        facts=[LabelledText("检查项目", item.label if item else finding.item_id)],
        about=f"{ComplaintKind.FINDING.label} · {finding.severity.label}",
        consequence=CORRECTED if finding.handed_over_at else FINDING_RELEASED,
        unit_name=campaign.name_of(finding.unit_id),
        due_at=finding.release_due_at,
        redacted_summary=finding.redacted_summary,
        **msgspec.structs.asdict(draft),
    )


class _Draft(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a panel that is the same whatever the summary is about."""

    draft: str
    marked_draft: list[TextSegment]
    kinds: list[PiiKind]
    seen: SummaryVersion
    awaits_release: bool
    releases: list[SummaryReleaseRow]


async def _draft_of(
    tx: Transaction,
    subject_id: UUID,
    current: str,
    known: Iterable[str],
) -> _Draft:
    """Return the draft, or the text that was released last, with its history."""
    draft = await summaries.find_draft(tx, subject_id)
    released = await summaries.releases(tx, subject_id)
    text = unsealed_draft(tx, draft) if draft else current
    matches = await find_pii_async(text, known)
    return _Draft(
        draft=text,
        marked_draft=marked_text(text, matches),
        kinds=_kinds(matches),
        seen=SummaryVersion(draft=draft.version if draft else 0, release=len(released)),
        awaits_release=draft is not None,
        releases=released,
    )


def _kinds(matches: Sequence[PiiHit]) -> list[PiiKind]:
    return list(dict.fromkeys(match.kind for match in certain_hits(matches)))


async def marks_of(
    tx: Transaction,
    number: str,
    text: str,
    account: Account,
) -> DraftMarks:
    """Return the personal data in a text about this complaint or finding. Raises Rejected (404)."""
    matches = await find_pii_async(text, await _known_values(tx, number, account))
    return DraftMarks(marked_text(text, matches), _kinds(matches))


async def _known_values(tx: Transaction, number: str, account: Account) -> Iterable[str]:
    if FINDING_NUMBER.fullmatch(number):
        return ()
    complaint = await complaints.get_visible(tx, number, account)
    return await vault.known_values(tx, context_of(tx).ring, complaint.id)
