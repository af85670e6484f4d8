"""Register complaints."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from uuid import UUID

from services.intake.actions import attachments, form_drafts
from services.intake.actions.redaction import summary_of
from services.intake.actions.summaries import (
    RegisteredSummary,
    publish_own_release,
    store_summaries,
)
from services.intake.domain.complaints import (
    MAY_BACKDATE,
    NewComplaint,
    check_new_complaint,
    named_accused,
    with_priority,
)
from services.intake.domain.identities import Identity
from services.intake.domain.summaries import NewSummary
from services.intake.settings import context_of
from services.intake.store import campaigns, hotline_drafts
from services.intake.store import complaints as store
from services.intake.store.campaigns import KnownCampaign
from services.intake.store.complaints import SealedComplaint
from shared.appraisal.errors import Rejected
from shared.appraisal.events import ComplaintRegistered
from shared.appraisal.labels import ComplaintKind
from shared.foundation import telemetry
from shared.foundation.tracing import current_traceparent
from shared.security.keyring import KeyRing, SealedRecord
from shared.security.policies import Account
from shared.storage.organisations import excluded_bodies, hold_register
from shared.storage.transaction import Transaction, new_id

PUBLIC_ACTOR = "public"


@dataclass(frozen=True, slots=True)
class RegisteredComplaint:
    """A complaint after registration.

    `redacted_summary` is empty unless a person released it with the registration: responses are
    stored, and a draft may hold personal data.
    """

    id: UUID
    number: str
    campaign_id: str
    unit_id: str | None
    redacted_summary: str
    received_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """A complaint to register.

    `by` None: the complainant used the public wizard. `draft_id`: the hotline draft, whose id
    becomes the complaint's id, so that a draft is registered once. `at_desk`: an operator at the
    hotline desk wrote the redacted summary and releases it in the same act, unless the scheme
    requires a reviewer. `form`: the wizard's draft, whose files go to the complaint.
    """

    complaint: NewComplaint
    by: Account | None
    draft_id: UUID | None = None
    at_desk: bool = False
    form: form_drafts.WizardTokens | None = None
    trace: str | None = field(default_factory=current_traceparent)
    """Trace of the request; several requests may share the transaction."""

    @property
    def actor(self) -> str:
        """The actor in the audit log."""
        return str(self.by.id) if self.by else PUBLIC_ACTOR


async def register_complaints(
    tx: Transaction, registrations: Sequence[Registration]
) -> list[RegisteredComplaint | Rejected]:
    """Register complaints: encrypt text and complainant, draft or release the redacted summary.

    Returns for each the registered complaint, or the Rejected that explains why nothing of it was
    written. The API, the hotline desk, the public wizard and imports all register through here.
    """
    registrations = [
        replace(each, complaint=with_priority(each.complaint)) for each in registrations
    ]
    if any(each.complaint.kind is ComplaintKind.REPORT for each in registrations):
        await hold_register(tx)
    prepared = [await _prepare_or_reject(tx, registration) for registration in registrations]
    accepted = [each for each in prepared if isinstance(each, SealedComplaint)]
    numbers = await store.register(tx, accepted)
    await store_summaries(tx, _summaries(registrations, prepared))
    results: list[RegisteredComplaint | Rejected] = []
    for registration, each in zip(registrations, prepared, strict=True):
        if isinstance(each, SealedComplaint):
            registered = _registered(each, numbers[each.id])
            results.append(await _complete(tx, registration, registered))
            if each.summary.is_released:
                publish_own_release(tx, _registered_summary(registration, each))
        else:
            results.append(each)
    return results


def _registered(sealed: SealedComplaint, number: str) -> RegisteredComplaint:
    return RegisteredComplaint(
        id=sealed.id,
        number=number,
        campaign_id=sealed.complaint.campaign_id,
        unit_id=sealed.complaint.unit_id,
        redacted_summary=sealed.summary.released_text,
        received_at=sealed.received_at,
    )


def _summaries(
    registrations: Sequence[Registration],
    prepared: Sequence[SealedComplaint | Rejected],
) -> list[RegisteredSummary]:
    pairs = zip(registrations, prepared, strict=True)
    return [
        _registered_summary(registration, each)
        for registration, each in pairs
        if isinstance(each, SealedComplaint)
    ]


def _registered_summary(registration: Registration, each: SealedComplaint) -> RegisteredSummary:
    return RegisteredSummary(
        complaint_id=each.id,
        campaign_id=each.complaint.campaign_id,
        summary=each.summary,
        by=registration.by,
        trace=registration.trace,
    )


async def _prepare_or_reject(
    tx: Transaction,
    registration: Registration,
) -> SealedComplaint | Rejected:
    try:
        return await _prepare(tx, registration)
    except Rejected as rejection:
        telemetry.complaint_submits.labels(registration.complaint.channel, "refused").inc()
        return rejection


async def _prepare(tx: Transaction, registration: Registration) -> SealedComplaint:
    """Return the complaint, checked and encrypted. Raises Rejected."""
    complaint = registration.complaint
    summary = await check_complaint(tx, complaint, by=registration.by, at_desk=registration.at_desk)
    await _check_draft_is_unregistered(tx, registration.draft_id)
    ring = context_of(tx).ring
    rules = (await campaigns.get(tx, complaint.campaign_id)).scheme.case_rules
    accused = named_accused(complaint, rules)
    complaint_id = registration.draft_id or new_id()
    return SealedComplaint(
        id=complaint_id,
        complaint=complaint,
        summary=summary,
        received_at=(complaint.received_at or tx.now).astimezone(UTC),
        registered_by=registration.by.id if registration.by else None,
        complainant_fingerprint=_fingerprint(ring, complaint),
        sealed=_seal(ring, complaint_id, complaint),
        accused_unit_ids=accused,
        excluded_unit_ids=await excluded_bodies(tx, context_of(tx).organisations, accused, rules),
    )


async def _check_draft_is_unregistered(tx: Transaction, draft_id: UUID | None) -> None:
    if draft_id is not None and await store.exists(tx, draft_id):
        raise Rejected("这份草稿已经登记，请在“我的登记”中查看")


def _fingerprint(ring: KeyRing, complaint: NewComplaint) -> bytes | None:
    """Return what finds the number again; None for an anonymous caller, who stays unlinked."""
    if complaint.identity is Identity.ANONYMOUS or not complaint.phone:
        return None
    return ring.fingerprint(complaint.phone)


def _seal(
    ring: KeyRing,
    complaint_id: UUID,
    complaint: NewComplaint,
) -> dict[str, SealedRecord]:
    return {
        part: ring.seal(f"{complaint_id}/{part}", fields)
        for part, fields in complaint.vault_parts.items()
    }


async def check_complaint(
    tx: Transaction,
    complaint: NewComplaint,
    *,
    by: Account | None,
    at_desk: bool = False,
) -> NewSummary:
    """Return the redacted summary of a complaint that may be registered; write nothing.

    Raises Rejected with the field that is wrong.
    """
    campaign = await campaigns.get(tx, complaint.campaign_id)
    check_new_complaint(complaint, tx.now)
    _check_backdating(complaint, by)
    _check_references(complaint, campaign)
    return await summary_of(complaint, campaign.scheme.case_rules, at_desk=at_desk)


def _check_references(complaint: NewComplaint, campaign: KnownCampaign) -> None:
    """Raise Rejected if the campaign has no such unit or problem item."""
    if complaint.unit_id is not None:
        campaign.unit(complaint.unit_id)
    if complaint.problem_item is not None:
        campaign.problem(complaint.problem_item)


def _check_backdating(complaint: NewComplaint, by: Account | None) -> None:
    may_backdate = by is not None and by.role in MAY_BACKDATE
    if complaint.received_at is not None and not may_backdate:
        raise Rejected("只有评议办和管理员可以补录过去收到的诉求", status=403, field="received_at")


async def _complete(
    tx: Transaction,
    registration: Registration,
    registered: RegisteredComplaint,
) -> RegisteredComplaint:
    """Publish and audit a registration, and end the draft it was made from."""
    _audit_registration(tx, registration, registered)
    await _end_draft(tx, registration, registered)
    event = _registered_event(tx, registered, registration.complaint)
    tx.publish(event, trace=registration.trace)
    return registered


def _audit_registration(
    tx: Transaction,
    registration: Registration,
    registered: RegisteredComplaint,
) -> None:
    complaint = registration.complaint
    tx.audit(
        "complaint.registered",
        registered.id,
        registration.actor,
        number=registered.number,
        channel=complaint.channel,
        kind=complaint.kind,
        identity=complaint.identity,
    )
    telemetry.complaint_submits.labels(complaint.channel, "registered").inc()


async def _end_draft(
    tx: Transaction,
    registration: Registration,
    registered: RegisteredComplaint,
) -> None:
    """Delete the hotline draft, or turn the wizard's draft into attachments and a receipt."""
    if registration.draft_id is not None and registration.by is not None:
        await hotline_drafts.delete(tx, registration.draft_id, registration.by.id)
    if registration.form is not None:
        await _finish_form(tx, registration.form, registered)


async def _finish_form(
    tx: Transaction,
    tokens: form_drafts.WizardTokens,
    registered: RegisteredComplaint,
) -> None:
    subject = form_drafts.file_subject(tokens.draft)
    await attachments.attach(tx, subject, registered.id, number=registered.number, by=PUBLIC_ACTOR)
    receipt = form_drafts.Receipt(
        complaint_id=registered.id,
        number=registered.number,
        shown_until=tx.now + form_drafts.RECEIPT_SHOWN,
    )
    await form_drafts.finish(tx, tokens, receipt)


def _registered_event(
    tx: Transaction,
    registered: RegisteredComplaint,
    complaint: NewComplaint,
) -> ComplaintRegistered:
    return ComplaintRegistered(
        occurred_at=tx.now,
        complaint_id=registered.id,
        number=registered.number,
        campaign_id=registered.campaign_id,
        channel=complaint.channel,
        kind=complaint.kind,
        urgency=complaint.urgency,
        unit_id=complaint.unit_id,
        problem_item=complaint.problem_item,
        real_name=complaint.identity is Identity.REAL_NAME,
        received_at=registered.received_at,
    )
