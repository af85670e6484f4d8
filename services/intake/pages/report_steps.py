"""The steps of the public report wizard: what each asks, and what it adds to the draft."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from pydantic import Field
from starlette.datastructures import UploadFile

from services.intake.actions import attachments, form_drafts
from services.intake.domain.complaints import (
    COMPLAINT_TEXT_MAX,
    COMPLAINT_TEXT_MIN,
    WITHHOLD_MAX,
    NewComplaint,
    check_phone,
)
from services.intake.domain.identities import Identity
from services.intake.store.campaigns import KnownCampaign
from services.intake.store.encrypted_files import Upload
from services.intake.views.suggestions import matching_units
from shared.appraisal.errors import Rejected
from shared.appraisal.labels import ComplaintChannel, ComplaintKind
from shared.appraisal.schemes import ProblemItem
from shared.storage.transaction import Transaction
from shared.web.forms import Input
from shared.web.spoken_dates import UnparsableDate, parse_spoken_date

UNSURE: Final = "unsure"
"""Value of the choice 说不清."""
KIND_CHOICES: Final = [
    (ComplaintKind.COMPLAINT, "投诉", "办理、态度、效率让我不满意"),
    (ComplaintKind.REPORT, "举报", "有人违反纪律、以权谋私"),
    (ComplaintKind.SUGGESTION, "建议", "可以怎样改进"),
    (ComplaintKind.INQUIRY, "咨询", "想问清楚一件事"),
    (ComplaintKind.PRAISE, "表扬", "有人做得好"),
]
IDENTITY_CHOICES: Final = [
    (Identity.CONFIDENTIAL, "保密", "只有受理人员知道您是谁，需要时会联系您核实"),
    (Identity.REAL_NAME, "实名", "受理人员会与您联系，并当面或电话答复"),
    (Identity.ANONYMOUS, "匿名", "不留姓名电话，只能凭查询码看进度"),
]
STEP_OF_FIELD: Final = {
    "unit_id": 1,
    "problem_item": 2,
    "complaint_text": 3,
    "name": 5,
    "phone": 5,
}
"""Field of a complaint → the step that asks for it."""


class ReportDraft(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was entered so far. `chosen`: the unit's id, or UNSURE; `unit`: its name."""

    chosen: str = ""
    unit: str = ""
    kind: ComplaintKind | None = None
    head: str = ""
    item: str = ""
    complaint_text: str = ""
    occurred: str = ""
    place: str = ""
    identity: Identity | None = None
    name: str = ""
    phone: str = ""

    def missing_step(self, before: int) -> int:
        """Return the first incomplete step before `before`, or 0."""
        complete = {
            1: bool(self.chosen),
            2: self.kind is not None,
            3: bool(self.complaint_text),
            5: self.identity is not None,
        }
        incomplete = [step for step, done in complete.items() if step < before and not done]
        return min(incomplete, default=0)

    def complaint(
        self,
        campaign: KnownCampaign,
        *,
        withhold: str = "",
        retaliation_for: str = "",
    ) -> NewComplaint:
        """Return the complaint of a complete draft, with what was added when it was submitted."""
        assert self.kind is not None, "step 2 is complete"
        assert self.identity is not None, "step 5 is complete"
        return NewComplaint(
            campaign_id=campaign.id,
            channel=ComplaintChannel.ONLINE,
            kind=self.kind,
            unit_id=self.chosen if self.chosen in campaign.units else None,
            problem_item=self.item or None,
            complaint_text=self.complaint_text,
            identity=self.identity,
            name=self.name,
            phone=self.phone,
            place=self.place,
            occurred=self.occurred,
            withhold=withhold,
            retaliation_for=retaliation_for,
        )


@dataclass(frozen=True, slots=True)
class WizardState:
    """The wizard of one browser: the token of its draft and what was entered so far."""

    token: str
    draft: ReportDraft | None
    uploads: Sequence[Upload] = ()
    """Files that were sent with the step."""

    @property
    def fields(self) -> dict[str, Any]:
        """The draft as initial values of a form."""
        fields: dict[str, Any] = msgspec.to_builtins(self.draft) if self.draft else {}
        return fields

    @property
    def file_subject(self) -> UUID:
        """The id under which the files of the draft are stored."""
        return form_drafts.file_subject(self.token)


@dataclass(frozen=True, slots=True)
class StepResult:
    """The fields to save, and whether the step is complete."""

    fields: Mapping[str, Any]
    complete: bool = True


class WizardStep(Input):
    """The form of one step."""

    async def prepare(self) -> list[Upload]:
        """Return the checked files of the step, before a transaction is opened. Raises Rejected."""
        return []

    async def apply(
        self,
        tx: Transaction,
        campaign: KnownCampaign,
        state: WizardState,
    ) -> StepResult:
        """Return what the step adds to the draft. Raises Rejected with the field."""
        raise NotImplementedError


class UnitStep(WizardStep):
    unit: str = Field("", title="单位名称", max_length=100)
    unit_id: str = Field("", max_length=100)
    chosen: str = Field("", max_length=100)

    async def apply(
        self,
        tx: Transaction,
        campaign: KnownCampaign,
        state: WizardState,
    ) -> StepResult:
        selected = self.chosen or self.unit_id
        if selected in campaign.units:
            return _unit_result(campaign, selected)
        if self.chosen == UNSURE:
            return StepResult({"chosen": UNSURE, "unit": ""})
        return _unit_result(campaign, self._find(campaign))

    def _find(self, campaign: KnownCampaign) -> str:
        """Return the id of the unit that was typed. Raises Rejected unless exactly one fits."""
        if not self.unit:
            raise _invalid("unit", "请写单位名称，或选“说不清是哪个单位”")
        found = matching_units(campaign, self.unit)
        if not found:
            raise _unknown_unit(self.unit)
        if len(found) > 1:
            raise _invalid("chosen", "找到几个单位，请选一个")
        return found[0].unit_id


def _unknown_unit(typed: str) -> Rejected:
    sentence = f"没有找到“{typed[:30]}”。试试单位简称，或选“说不清是哪个单位”"
    return _invalid("unit", sentence)


def _unit_result(campaign: KnownCampaign, unit_id: str) -> StepResult:
    return StepResult({"chosen": unit_id, "unit": campaign.units[unit_id].name})


class ProblemStep(WizardStep):
    kind: ComplaintKind = Field(title="您要")
    head: str = Field("", title="哪一类", max_length=50)
    item: str = Field("", title="哪一项", max_length=20)

    async def apply(
        self,
        tx: Transaction,
        campaign: KnownCampaign,
        state: WizardState,
    ) -> StepResult:
        if self.kind is ComplaintKind.FINDING:
            raise _invalid("kind", "请从列出的选项中选择")
        fields = {"kind": self.kind.value, "head": self.head, "item": self.item}
        if self.head in ("", UNSURE) or self.item == UNSURE:
            return StepResult(fields | {"item": ""}, complete=bool(self.head))
        offered = {item.id for item in problem_items(campaign, self.head)}
        return StepResult(fields, complete=self.item in offered)


def problem_items(campaign: KnownCampaign, head_key: str) -> list[ProblemItem]:
    """Return the items under one head of the problem catalogue."""
    return [
        item
        for head in campaign.scheme.catalogue.heads
        if head.key == head_key
        for item in head.items
    ]


class TextStep(WizardStep):
    complaint_text: str = Field(
        title="发生了什么", min_length=COMPLAINT_TEXT_MIN, max_length=COMPLAINT_TEXT_MAX
    )
    occurred: str = Field("", title="什么时候", max_length=100)
    place: str = Field("", title="在哪里", max_length=200)

    async def apply(
        self,
        tx: Transaction,
        campaign: KnownCampaign,
        state: WizardState,
    ) -> StepResult:
        if self.occurred:
            _check_not_future(self.occurred, tx.now)
        return StepResult(self.model_dump())


def _check_not_future(occurred: str, now: datetime) -> None:
    """Raise Rejected for a time in the future. Words that are no date are kept as they are."""
    try:
        parsed = parse_spoken_date(occurred, now)
    except UnparsableDate:
        return
    if parsed.at > now:
        raise _invalid("occurred", "时间不能晚于现在")


class FilesStep(WizardStep):
    files: list[UploadFile] = Field(default_factory=list, title="照片或文件")
    drop: UUID | None = None

    async def prepare(self) -> list[Upload]:
        chosen = self.files[: attachments.FILES_MAX + 1]
        return [await attachments.prepare(await file.read()) for file in chosen]

    async def apply(
        self,
        tx: Transaction,
        campaign: KnownCampaign,
        state: WizardState,
    ) -> StepResult:
        if self.drop:
            await attachments.delete(tx, state.file_subject, self.drop)
            return StepResult({}, complete=False)
        for upload in state.uploads:
            await attachments.upload(tx, state.file_subject, upload)
        return StepResult({}, complete=not self.files)


class ContactStep(WizardStep):
    identity: Identity = Field(title="怎样联系您")
    name: str = Field("", title="姓名", max_length=50)
    phone: str = Field("", title="电话", max_length=30)

    async def apply(
        self,
        tx: Transaction,
        campaign: KnownCampaign,
        state: WizardState,
    ) -> StepResult:
        if self.identity is Identity.REAL_NAME and not self.name:
            raise _invalid("name", "选择实名时，请填写姓名")
        if self.phone:
            check_phone(self.phone)
        fields = {"identity": self.identity.value, "name": self.name, "phone": self.phone}
        if self.identity is Identity.ANONYMOUS:
            fields |= {"name": "", "phone": ""}
        return StepResult(fields)


class SubmitForm(Input):
    website: str = Field("", max_length=200)
    """Hidden from people; a program that fills in every field reveals itself."""
    withhold: str = Field("", title="不要转出的内容", max_length=WITHHOLD_MAX)
    retaliation_for: str = Field("", title="原受理编号", max_length=20)


def _invalid(field: str, sentence: str) -> Rejected:
    return Rejected(sentence, status=422, field=field)


STEPS: Final[dict[int, type[WizardStep]]] = {
    1: UnitStep,
    2: ProblemStep,
    3: TextStep,
    4: FilesStep,
    5: ContactStep,
}
TITLES: Final = (
    "反映哪个单位",
    "是哪一类问题",
    "事情经过",
    "照片或文件",
    "怎样联系您",
    "核对并提交",
)
FILES: Final = 4
LAST: Final = len(TITLES)
