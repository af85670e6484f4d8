"""受理详情 and the lists from which reviewers and operators reach it."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from services.intake.domain.complaints import (
    COUNTS_REPEATED_REPORTS,
    MAY_REVEAL,
    OWN_TEXT_READABLE,
    READS_ALL,
    REASON_MIN,
)
from services.intake.settings import context_of
from services.intake.store import campaigns, complaint_lists, files, retaliation, vault
from services.intake.store import complaints as store
from services.intake.store import progress as progress_store
from services.intake.store.campaigns import KnownCampaign
from services.intake.store.complaint_lists import (
    ComplaintMatch,
    ReceivedComplaint,
    SimilarComplaint,
)
from services.intake.store.complaints import VisibleComplaint
from services.intake.store.files import FileRow
from services.intake.store.progress import ProgressRow
from services.intake.store.retaliation import LinkedComplaint
from services.intake.views.accused import AccusedPanel, accused_of
from services.intake.views.identity_openings import OpeningState, opening_state
from services.intake.views.mergers import merge_candidates
from services.intake.views.timeline import TimelineEntry
from services.intake.views.vault import (
    ContactField,
    SupplementView,
    masked_contact,
    supplements_of,
)
from shared.appraisal.labels import ComplaintKind, LabelledEnum, Role
from shared.security.listed_reports import audit_listed_reports
from shared.security.policies import Account
from shared.storage.transaction import Transaction

TRIAGE_PERIOD = timedelta(days=7)
SEARCH_DIGITS_MIN = 3


class ComplaintDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A complaint as one account may see it.

    `statement` is None if the account may not read the complaint text (any more), and {} if the
    text was erased.
    """

    complaint: VisibleComplaint
    campaign: KnownCampaign
    statement: dict[str, str] | None
    supplements: list[SupplementView]
    contact: list[ContactField]
    progress: ProgressRow
    files: list[FileRow]
    similar: list[SimilarComplaint]
    linked: list[LinkedComplaint]
    opening: OpeningState
    may_merge: bool
    accused: AccusedPanel | None

    @property
    def timeline(self) -> list[TimelineEntry]:
        """The stages reached, and the handling deadline of an open case."""
        entries = [TimelineEntry(at, title) for at, title in self._stages if at]
        if self.progress.open_due_at:
            entries.append(TimelineEntry(self.progress.open_due_at, "办理期限", "to"))
        return entries

    @property
    def _stages(self) -> tuple[tuple[datetime | None, str], ...]:
        progress = self.progress
        return (
            (self.complaint.registered_at, "登记"),
            (progress.opened_at, "立案"),
            (progress.assigned_at, "转办"),
            (progress.accepted_at, "签收"),
            (progress.refused_at, "不予受理"),
            (progress.closed_at, "办结"),
        )


async def complaint_detail(
    tx: Transaction,
    number: str,
    account: Account,
) -> ComplaintDetail | None:
    """Return the complaint of that number if the account may see it.

    Reading is recorded in the audit log.
    """
    complaint = await store.find_visible(tx, number, account)
    if complaint is None:
        return None
    complaint = _without_repetition(complaint, account)
    readable = _is_readable(complaint, account, tx.now)
    tx.audit("complaint.read", complaint.id, str(account.id), statement=readable)
    return ComplaintDetail(
        complaint=complaint,
        campaign=await campaigns.get(tx, complaint.campaign_id),
        statement=await _statement(tx, complaint) if readable else None,
        supplements=await supplements_of(tx, complaint.id) if readable else [],
        contact=await masked_contact(tx, complaint.id),
        progress=await progress_store.get(tx, complaint.id),
        files=await files.list_for(tx, complaint.id),
        similar=await merge_candidates(tx, complaint, account),
        linked=await _linked(tx, complaint, account),
        opening=await opening_state(tx, complaint.id, account),
        may_merge=account.role is Role.REVIEWER,
        accused=await accused_of(tx, complaint) if account.role in READS_ALL else None,
    )


def _without_repetition(complaint: VisibleComplaint, account: Account) -> VisibleComplaint:
    """Return the complaint as the account may know it: an operator learns of no other 举报."""
    hidden = complaint.kind is ComplaintKind.REPORT and account.role not in COUNTS_REPEATED_REPORTS
    if not hidden:
        return complaint
    return msgspec.structs.replace(complaint, repeats=0, merged_into=None, merged_number=None)


def _is_readable(
    complaint: VisibleComplaint,
    account: Account,
    now: datetime,
) -> bool:
    """Return whether the account may read the complaint text."""
    return account.role in MAY_REVEAL or complaint.registered_at > now - OWN_TEXT_READABLE


async def _linked(
    tx: Transaction,
    complaint: VisibleComplaint,
    account: Account,
) -> list[LinkedComplaint]:
    """Return the reports of retaliation and their sources for whoever reads every complaint."""
    if account.role not in READS_ALL:
        return []
    linked = await retaliation.linked_to(tx, complaint.id)
    await audit_listed_reports(tx, account, ((each.kind, each.id) for each in linked))
    return linked


async def _statement(tx: Transaction, complaint: VisibleComplaint) -> dict[str, str]:
    return await vault.read_part(tx, context_of(tx).ring, complaint.id, "statement")


async def _audited_similar(
    tx: Transaction, account: Account, **wanted: Any
) -> list[SimilarComplaint]:
    found = await complaint_lists.similar(tx, **wanted)
    await audit_listed_reports(tx, account, ((each.kind, each.id) for each in found))
    return found


async def similar_complaints(
    tx: Transaction,
    *,
    campaign_id: str,
    unit_id: str,
    redacted_summary: str,
    account: Account,
) -> list[SimilarComplaint]:
    """疑似重复: return recent similar complaints about the same unit, most similar first."""
    summary = redacted_summary.strip()
    if unit_id in account.unit_ids or len(summary) < REASON_MIN:
        return []
    return await _audited_similar(
        tx,
        account,
        campaign_id=campaign_id,
        unit_id=unit_id,
        redacted_summary=summary,
        operator_id=_operator_id(account),
    )


def _operator_id(account: Account) -> UUID | None:
    """Return the id of an operator, who never finds a 举报 that another person registered."""
    return account.id if account.role is Role.OPERATOR else None


class TriageList(LabelledEnum):
    """The tabs of 受理审核."""

    WAITING = "waiting", "尚未分派"
    UNSURE = "unsure", "不确定单位"
    ALL = "all", "近 7 天"


async def triage(
    tx: Transaction,
    selected: TriageList,
    account: Account,
) -> list[ReceivedComplaint]:
    """Return what was received recently, as far as it belongs to the selected list."""
    listed = await complaint_lists.received(
        tx,
        account,
        since=tx.now - TRIAGE_PERIOD,
        only_waiting=selected is TriageList.WAITING,
        only_without_unit=selected is TriageList.UNSURE,
    )
    await audit_listed_reports(tx, account, ((each.kind, each.id) for each in listed))
    return listed


async def search_by_number(
    tx: Transaction,
    text: str,
    account: Account,
) -> list[ComplaintMatch]:
    """Return complaints by part of their number; [] if the text is no part of a number."""
    digits = text.strip().upper().removeprefix("ZT")
    if len(digits) < SEARCH_DIGITS_MIN or not digits[-1].isdigit():
        return []
    matches = await complaint_lists.search(tx, digits, account)
    await audit_listed_reports(tx, account, ((match.kind, match.id) for match in matches))
    return matches
