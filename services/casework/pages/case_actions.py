"""C3: the panels of a case, each a form that one action reads.

A form carries the version of the case that it shows. If the case changed meanwhile, the answer is
409 with the same panel, what was typed, and what changed.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from services.casework.actions import (
    assignment,
    extensions,
    handling,
    joint_handling,
    pauses,
    review,
)
from services.casework.domain.review import ACCOUNT_MIN, OPINION_MIN, REPLY_MIN
from services.casework.domain.states import CaseAction, StaleVersion
from services.casework.pages.case import LIST_OF_ROLE, render_case
from services.casework.pages.rendering import Number, may, page_router
from services.casework.tables import Case
from shared.appraisal.calendar.working_days import closing
from shared.appraisal.errors import Rejected
from shared.appraisal.labels import CaseFinding
from shared.security.policies import Account
from shared.storage.transaction import Transaction
from shared.web import CurrentUser, Form, Idempotency, Tx, read_form
from shared.web.forms import Input
from shared.web.idempotency import IdempotentWrite
from shared.web.spoken_dates import UnparsableDate, parse_spoken_date

router = page_router()


class VersionedForm(Input):
    expected_version: int = Field(ge=1, title="版本")


class AssignmentForm(VersionedForm):
    unit_id: str = Field(title="承办单位", max_length=100)
    opinion: str = Field("", title="分办意见", max_length=1000)


class NonAcceptanceForm(VersionedForm):
    reason: str = Field(title="理由", max_length=50)
    explanation: str = Field("", title="告知来件人的理由", max_length=1000)


class ReturnForm(VersionedForm):
    reason: str = Field(title="退回理由", max_length=50)
    basis: str = Field(title="退回依据", min_length=assignment.BASIS_MIN, max_length=2000)
    suggested_unit_id: str | None = Field(None, title="建议承办单位", max_length=100)


class ExtensionForm(VersionedForm):
    amount: int = Field(title="延长", ge=1, le=365)
    reason: str = Field(title="延期理由", min_length=extensions.REASON_MIN, max_length=1000)


class ExtensionApprovalForm(VersionedForm):
    agree: bool = Field(title="审批意见")
    opinion: str = Field("", title="说明", max_length=1000)


class JointHandlingForm(VersionedForm):
    units: str = Field(title="会办单位", min_length=joint_handling.UNITS_MIN, max_length=200)
    reason: str = Field(title="会办事由", min_length=joint_handling.REASON_MIN, max_length=1000)


class SubmissionForm(VersionedForm):
    account: str = Field(title="办理情况", min_length=ACCOUNT_MIN, max_length=20_000)
    finding: CaseFinding = Field(title="反映是否属实")
    measures: str = Field("", title="整改措施", max_length=5000)
    reply: str = Field(title="公开答复", min_length=REPLY_MIN, max_length=5000)


class ApprovalForm(VersionedForm):
    opinion: str = Field("", title="意见", max_length=2000)


class OpinionForm(VersionedForm):
    opinion: str = Field(title="意见", min_length=OPINION_MIN, max_length=2000)


class PauseForm(VersionedForm):
    reason: str = Field(title="暂停理由", max_length=50)
    until: str = Field(title="恢复日期", max_length=40)


class NoteForm(VersionedForm):
    text: str = Field(title="办理记录", min_length=2, max_length=5000)


@dataclass(frozen=True, slots=True)
class SubmittedPanel:
    """A submitted panel of one case."""

    request: Request
    tx: Transaction
    user: Account
    idempotency: IdempotentWrite
    number: str

    async def perform(
        self,
        action: CaseAction,
        model: type[VersionedForm],
        command: Callable[..., Awaitable[Case]],
        *,
        to: str = "",
    ) -> Response:
        """Read the panel, run the command once, and redirect to the case or to `to`.

        What is wrong or out of date is answered with the panel as it was typed.
        """
        form: Form[Any] = await read_form(self.request, model)
        if form.cleaned is None:
            return await self._render(action, form, status=422)
        fields = form.cleaned.model_dump()
        try:
            return await self.idempotency.redirect(
                command(self.tx, number=self.number, by=self.user, **fields),
                to=to or f"/casework/cases/{self.number}",
            )
        except StaleVersion:
            seen_version = fields["expected_version"]
            return await self._render(action, form, status=409, seen_version=seen_version)
        except Rejected as error:
            # Actions check before they change anything, so the transaction has nothing to undo.
            if error.field not in model.model_fields:
                raise
            form.add_error(error.sentence, error.field)
            return await self._render(action, form, status=422)

    async def _render(
        self,
        action: CaseAction,
        form: Form[Any],
        *,
        status: int,
        seen_version: int | None = None,
    ) -> Response:
        return await render_case(
            self.request,
            self.tx,
            self.user,
            self.number,
            act=action,
            form=form,
            status=status,
            seen_version=seen_version,
        )


async def _submitted_panel(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    number: Number,
) -> SubmittedPanel:
    return SubmittedPanel(request, tx, user, idempotency, number)


Panel = Annotated[SubmittedPanel, Depends(_submitted_panel, scope="function")]


def post(path: str, action: CaseAction) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare the route of an action."""
    return router.post(f"/cases/{{number}}/{path}", policy=may(action))


@post("acceptance", CaseAction.ACCEPT)
async def accept(panel: Panel) -> Response:
    return await panel.perform(CaseAction.ACCEPT, VersionedForm, handling.accept_case)


@post("takeover", CaseAction.TAKE_OVER)
async def take_over(panel: Panel) -> Response:
    return await panel.perform(CaseAction.TAKE_OVER, VersionedForm, handling.take_over_case)


@post("return", CaseAction.RETURN)
async def return_case(panel: Panel) -> Response:
    return await panel.perform(
        CaseAction.RETURN, ReturnForm, assignment.return_case, to="/casework/"
    )


@post("extension", CaseAction.REQUEST_EXTENSION)
async def request_extension(panel: Panel) -> Response:
    return await panel.perform(
        CaseAction.REQUEST_EXTENSION, ExtensionForm, extensions.request_extension
    )


@post("extension/approval", CaseAction.DECIDE_EXTENSION)
async def decide_extension(panel: Panel) -> Response:
    return await panel.perform(
        CaseAction.DECIDE_EXTENSION, ExtensionApprovalForm, extensions.decide_extension
    )


@post("joint-handling", CaseAction.START_JOINT_HANDLING)
async def start_joint_handling(panel: Panel) -> Response:
    return await panel.perform(
        CaseAction.START_JOINT_HANDLING, JointHandlingForm, joint_handling.start_joint_handling
    )


@post("joint-handling/end", CaseAction.END_JOINT_HANDLING)
async def end_joint_handling(panel: Panel) -> Response:
    return await panel.perform(
        CaseAction.END_JOINT_HANDLING, VersionedForm, joint_handling.end_joint_handling
    )


@post("submission", CaseAction.SUBMIT)
async def submit(panel: Panel) -> Response:
    return await panel.perform(CaseAction.SUBMIT, SubmissionForm, handling.submit_result)


@post("approval", CaseAction.APPROVE)
async def approve(panel: Panel) -> Response:
    return await panel.perform(CaseAction.APPROVE, ApprovalForm, review.approve_result)


@post("sending-back", CaseAction.SEND_BACK)
async def send_back(panel: Panel) -> Response:
    return await panel.perform(CaseAction.SEND_BACK, OpinionForm, review.send_back_result)


@post("striking-off", CaseAction.STRIKE_OFF)
async def strike_off(panel: Panel) -> Response:
    return await panel.perform(CaseAction.STRIKE_OFF, OpinionForm, review.strike_off_case)


@post("notes", CaseAction.NOTE)
async def note(panel: Panel) -> Response:
    return await panel.perform(CaseAction.NOTE, NoteForm, handling.note_progress)


@post("urging", CaseAction.URGE)
async def urge(panel: Panel) -> Response:
    return await panel.perform(CaseAction.URGE, NoteForm, handling.urge_unit)


@post("pause", CaseAction.PAUSE)
async def pause(panel: Panel) -> Response:
    return await panel.perform(CaseAction.PAUSE, PauseForm, _pause_until_spoken_date)


async def _pause_until_spoken_date(tx: Transaction, *, until: str, **fields: Any) -> Case:
    return await pauses.pause_case(tx, until=_end_of_day(until, tx.now), **fields)


def _end_of_day(text: str, now: datetime) -> datetime:
    """Return the end of the day that a text names. Raises Rejected (422) if it names none."""
    try:
        day = parse_spoken_date(text, now, future=True).at.date()
    except UnparsableDate as error:
        raise Rejected(str(error), status=422, field="until") from error
    return closing(day, "24:00")


@post("resumption", CaseAction.RESUME)
async def resume(panel: Panel) -> Response:
    return await panel.perform(CaseAction.RESUME, VersionedForm, pauses.resume_case)


@post("assignment", CaseAction.ASSIGN)
async def assign(panel: Panel) -> Response:
    return await panel.perform(
        CaseAction.ASSIGN,
        AssignmentForm,
        assignment.assign_case,
        to=LIST_OF_ROLE[panel.user.role],
    )


@post("non-acceptance", CaseAction.REFUSE)
async def refuse(panel: Panel) -> Response:
    return await panel.perform(
        CaseAction.REFUSE, NonAcceptanceForm, assignment.refuse_case, to="/casework/triage"
    )
