"""Draft, save, release and correct redacted summaries (转办摘要)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.intake.actions.drafts import new_draft, seal_draft
from services.intake.actions.release_subjects import ReleaseSubject, lock_subject
from services.intake.domain.summaries import (
    NewSummary,
    StaleSummary,
    SummaryEdit,
    SummaryVersion,
    checked_text,
    confirmed_kinds,
)
from services.intake.settings import context_of
from services.intake.store import summaries
from services.intake.store.summaries import NewDraft, NewRelease, SealedSummaryDraft
from shared.appraisal.errors import Rejected
from shared.appraisal.events import ComplaintSummaryReleased
from shared.security.keyring import KeyRing
from shared.security.pii import find_pii_async, mask_pii_async
from shared.security.policies import Account
from shared.storage.transaction import Transaction


@dataclass(frozen=True, slots=True)
class ReleasedSummary:
    """A released text. `release` counts from 1."""

    number: str
    release: int
    redacted_summary: str


@dataclass(frozen=True, slots=True)
class RegisteredSummary:
    """The summary of a complaint that was just registered, and by whom (None: the public)."""

    complaint_id: UUID
    campaign_id: str
    summary: NewSummary
    by: Account | None
    trace: str | None


# ── with the registration ─────────────────────────────────────────────────────────────────────────


async def store_summaries(tx: Transaction, registered: Sequence[RegisteredSummary]) -> None:
    """Store the summaries of new complaints: released ones, and drafts for the reviewers."""
    ring = context_of(tx).ring
    drafts = [_new_draft(ring, each) for each in registered if each.summary.awaits_release]
    await summaries.add_drafts(tx, drafts)
    released = [_own_release(each) for each in registered if each.summary.is_released]
    await summaries.add_releases(tx, released)


def _new_draft(ring: KeyRing, each: RegisteredSummary) -> NewDraft:
    author = each.by if each.summary.is_own else None
    author_id = author.id if author else None
    return new_draft(ring, each.complaint_id, each.summary.text, author_id=author_id)


def _own_release(each: RegisteredSummary) -> NewRelease:
    assert each.by is not None, "only a signed-in operator releases with the registration"
    return NewRelease(
        subject_id=each.complaint_id,
        redacted_summary=each.summary.text,
        author_id=each.by.id,
        released_by=each.by.id,
    )


def publish_own_release(tx: Transaction, each: RegisteredSummary) -> None:
    """Publish and audit the summary that an operator released with the ticket."""
    assert each.by is not None, "only a signed-in operator releases with the registration"
    tx.audit("summary.released", each.complaint_id, str(each.by.id), release=1, original_version=1)
    event = ComplaintSummaryReleased(
        occurred_at=tx.now,
        complaint_id=each.complaint_id,
        campaign_id=each.campaign_id,
        release=1,
        redacted_summary=each.summary.text,
    )
    tx.publish(event, trace=each.trace)


# ── by a reviewer ─────────────────────────────────────────────────────────────────────────────────


async def save_draft(
    tx: Transaction,
    *,
    number: str,
    text: str,
    seen: SummaryVersion,
    by: Account,
) -> datetime:
    """Save a draft and return when.

    Raises Rejected: 404 if there is no such text for this person, 409 if it awaits no release
    or another person changed the draft (StaleSummary).
    """
    subject = await lock_subject(tx, number, by)
    draft = await summaries.find_draft(tx, subject.id)
    last = await summaries.last_release(tx, subject.id)
    if draft is None or not _is_current(seen, draft, last, by):
        raise StaleSummary
    sealed = seal_draft(context_of(tx).ring, subject.id, text)
    await summaries.save_draft(tx, draft, author_id=by.id, sealed=sealed)
    return tx.now


async def release_summary(
    tx: Transaction,
    *,
    number: str,
    edit: SummaryEdit,
    by: Account,
) -> ReleasedSummary:
    """放行, or a later 更正: this text is what the unit reads from now on.

    Raises Rejected: 404 if there is no such text for this person, 409 if another person
    changed or released it (StaleSummary) or it awaits no release, 422 for a text that is empty or
    holds personal data without a reason (UnconfirmedPii).
    """
    subject = await lock_subject(tx, number, by)
    draft = await summaries.find_draft(tx, subject.id)
    last = await summaries.last_release(tx, subject.id)
    _check_releasable(subject, draft, last)
    if not _is_current(edit.seen, draft, last, by):
        raise StaleSummary
    text = checked_text(edit.text)
    matches = await find_pii_async(text, subject.known)
    confirmed = confirmed_kinds(matches, edit.confirmed)
    release = NewRelease(
        subject_id=subject.id,
        release=last + 1,
        redacted_summary=text,
        author_id=by.id,
        released_by=by.id,
        original_version=subject.original_version,
        confirmed={kind: await mask_pii_async(reason) for kind, reason in confirmed.items()},
    )
    await summaries.add_releases(tx, [release])
    await summaries.delete_drafts(tx, [subject.id])
    _audit_release(tx, release, by)
    await subject.publish(tx, release)
    return ReleasedSummary(number, release.release, text)


def _check_releasable(
    subject: ReleaseSubject,
    draft: SealedSummaryDraft | None,
    last: int,
) -> None:
    if subject.blocked:
        raise Rejected(subject.blocked)
    if draft is None and not last:
        raise Rejected("本件不转办，没有待放行的摘要")


def _is_current(
    seen: SummaryVersion,
    draft: SealedSummaryDraft | None,
    last: int,
    by: Account,
) -> bool:
    """Whether nobody else changed or released the summary since this person saw it."""
    if seen.release != last:
        return False
    return draft is None or seen.draft == draft.version or draft.author_id == by.id


def _audit_release(tx: Transaction, release: NewRelease, by: Account) -> None:
    tx.audit(
        "summary.released",
        release.subject_id,
        str(by.id),
        release=release.release,
        original_version=release.original_version,
        confirmed=dict(release.confirmed),
    )
