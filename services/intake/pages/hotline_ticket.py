"""The form of a hotline ticket and what the desk requires beyond the rules of a complaint."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final
from uuid import UUID

from pydantic import Field

from services.intake.actions.complaints import Registration
from services.intake.domain.complaints import (
    COMPLAINT_TEXT_MIN,
    REASON_MIN,
    REDACTED_SUMMARY_MAX,
    WITHHOLD_MAX,
    NewComplaint,
)
from services.intake.domain.identities import Identity
from services.intake.store.campaigns import KnownCampaign
from services.intake.views.suggestions import UNSURE, matching_units, suggest_problems
from shared.appraisal.labels import ComplaintChannel, ComplaintKind, Urgency
from shared.security.policies import Account
from shared.web import Form
from shared.web.forms import Input
from shared.web.spoken_dates import UnparsableDate, parse_spoken_date


class HotlineTicket(Input):
    """A hotline ticket. `unit` and `problem` are what was typed, `…_id` what was selected."""

    draft_id: UUID
    campaign_id: str = Field(max_length=100)
    phone: str = Field("", title="来电号码", max_length=30)
    name: str = Field("", title="来电人", max_length=50)
    identity: Identity = Field(title="身份")
    kind: ComplaintKind = Field(title="诉求类型")
    urgency: Urgency = Field(title="紧急程度")
    urgency_reason: str = Field("", title="紧急理由", max_length=200)
    unit: str = Field("", title="被反映单位", max_length=100)
    unit_id: str = Field("", max_length=100)
    problem: str = Field("", title="问题分类", max_length=100)
    problem_id: str = Field("", max_length=20)
    occurred: str = Field("", title="发生时间", max_length=100)
    place: str = Field("", title="发生地点", max_length=200)
    complaint_text: str = Field("", title="诉求原文")
    redacted_summary: str = Field("", title="转办摘要")
    withhold: str = Field("", title="不能转出的内容", max_length=WITHHOLD_MAX)
    retaliation_for: str = Field("", title="打击报复", max_length=20)

    def registration(self, *, by: Account) -> Registration:
        """Return the complaint to register; it replaces the draft."""
        return Registration(
            complaint=self._complaint(),
            by=by,
            draft_id=self.draft_id,
            at_desk=True,
        )

    def _complaint(self) -> NewComplaint:
        return NewComplaint(
            campaign_id=self.campaign_id,
            channel=ComplaintChannel.HOTLINE,
            kind=self.kind,
            urgency=self.urgency,
            urgency_reason=self.urgency_reason,
            unit_id=self.unit_id or None,
            problem_item=self.problem_id or None,
            complaint_text=self.complaint_text,
            redacted_summary=self.redacted_summary,
            identity=self.identity,
            name=self.name,
            phone=self.phone,
            place=self.place,
            occurred=self.occurred,
            withhold=self.withhold,
            retaliation_for=self.retaliation_for,
        )


INITIAL: Final = {
    "identity": Identity.CONFIDENTIAL,
    "kind": ComplaintKind.COMPLAINT,
    "urgency": Urgency.NORMAL,
}
DRAFT_FIELDS: Final = tuple(name for name in HotlineTicket.model_fields if name != "draft_id")
TYPED_FIELDS: Final = (
    "phone",
    "name",
    "unit",
    "problem",
    "place",
    "complaint_text",
    "redacted_summary",
    "withhold",
)
"""Fields of which one must be filled in before a draft is saved."""
KINDS_OFFERED: Final = [choice for choice in ComplaintKind.choices() if choice[0] != "finding"]
FieldProblem = tuple[str, str]
"""A field and the sentence that says what is wrong."""


def complete_ticket(
    form: Form[HotlineTicket],
    campaign: KnownCampaign,
    now: datetime,
) -> None:
    """Resolve a unit and a problem that were typed but not selected; add errors to the form.

    Without JavaScript nothing is ever selected.
    """
    if form.cleaned is None:
        return
    for field, sentence in list(_problems(form.cleaned, campaign, now)):
        form.add_error(sentence, field)


def _problems(
    ticket: HotlineTicket,
    campaign: KnownCampaign,
    now: datetime,
) -> Iterator[FieldProblem]:
    yield from _urgency_problems(ticket)
    yield from _resolve_unit(ticket, campaign)
    yield from _resolve_problem(ticket, campaign)
    yield from _date_problems(ticket, now)
    yield from _text_problems(ticket)


def _urgency_problems(ticket: HotlineTicket) -> Iterator[FieldProblem]:
    reason_too_short = len(ticket.urgency_reason.strip()) < REASON_MIN
    if ticket.urgency is not Urgency.NORMAL and reason_too_short:
        yield "urgency_reason", f"紧急、特急请写明理由，至少 {REASON_MIN} 个字"


def _date_problems(ticket: HotlineTicket, now: datetime) -> Iterator[FieldProblem]:
    problem = spoken_date_problem(ticket.occurred, now) if ticket.occurred else ""
    if problem:
        yield "occurred", problem


def _resolve_unit(ticket: HotlineTicket, campaign: KnownCampaign) -> Iterator[FieldProblem]:
    if ticket.unit_id or ticket.unit == UNSURE:
        return
    if not ticket.unit:
        if ticket.kind is not ComplaintKind.INQUIRY:
            yield "unit", "请选择被反映单位，或填“不确定”"
        return
    found = matching_units(campaign, ticket.unit)
    if len(found) == 1:
        ticket.unit_id = found[0].unit_id
    else:
        yield "unit", "请从列表中选择被反映单位，或填“不确定”"


def _resolve_problem(ticket: HotlineTicket, campaign: KnownCampaign) -> Iterator[FieldProblem]:
    if ticket.problem_id or ticket.problem == UNSURE:
        return
    found = suggest_problems(campaign, ticket.problem) if ticket.problem else []
    if len(found) == 1:
        ticket.problem_id = found[0].value
    else:
        yield "problem", "请从列表中选择问题分类，或填“不确定”"


def _text_problems(ticket: HotlineTicket) -> Iterator[FieldProblem]:
    if len(ticket.complaint_text) < COMPLAINT_TEXT_MIN:
        yield "complaint_text", f"请填写“诉求原文”，至少 {COMPLAINT_TEXT_MIN} 个字"
    if not ticket.redacted_summary:
        yield "redacted_summary", "请填写“转办摘要”，或由原文生成草稿"
    excess = len(ticket.redacted_summary) - REDACTED_SUMMARY_MAX
    if excess > 0:
        sentence = f"“转办摘要”最多 {REDACTED_SUMMARY_MAX} 个字，已超出 {excess} 字"
        yield "redacted_summary", sentence


def spoken_date_problem(text: str, now: datetime) -> str:
    """Return what is wrong with a time as spoken, or ""."""
    try:
        parsed = parse_spoken_date(text, now)
    except UnparsableDate as error:
        return str(error)
    return "发生时间不能晚于现在" if parsed.at > now else ""
