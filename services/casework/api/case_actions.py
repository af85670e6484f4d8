"""Actions on a case, each a noun below its address."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any

from fastapi import Depends
from pydantic import BaseModel, Field
from starlette.responses import Response

from services.casework.actions import (
    assignment,
    extensions,
    handling,
    joint_handling,
    pauses,
    review,
)
from services.casework.api.routing import Number, api_router, may
from services.casework.domain.review import ACCOUNT_MIN, OPINION_MIN, REPLY_MIN
from services.casework.domain.states import CaseAction, CaseState
from services.casework.tables import Case
from shared.appraisal.calendar.working_days import closing
from shared.appraisal.labels import CaseFinding
from shared.security.policies import Account
from shared.storage.transaction import Transaction
from shared.web import CurrentUser, Idempotency, Tx
from shared.web.forms import Input
from shared.web.idempotency import IdempotentWrite

router = api_router()


class CaseActionResponse(BaseModel):
    """The case after an action."""

    number: str
    state: CaseState
    version: int
    unit_id: str | None


@dataclass(frozen=True, slots=True)
class CaseActionCall:
    """A request to act on one case."""

    tx: Transaction
    user: Account
    idempotency: IdempotentWrite
    number: str

    async def respond(self, action: Callable[..., Awaitable[Case]], **fields: Any) -> Response:
        """Run the action once, and answer 201 with the case after it."""
        return await self.idempotency.respond(201, self._run(action, fields))

    async def _run(
        self, action: Callable[..., Awaitable[Case]], fields: dict[str, Any]
    ) -> CaseActionResponse:
        case = await action(self.tx, number=self.number, by=self.user, **fields)
        return CaseActionResponse(
            number=case.number,
            state=CaseState(case.state),
            version=case.version,
            unit_id=case.unit_id,
        )


async def _case_action_call(
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    number: Number,
) -> CaseActionCall:
    return CaseActionCall(tx, user, idempotency, number)


Call = Annotated[CaseActionCall, Depends(_case_action_call, scope="function")]


def post(path: str, action: CaseAction) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare the route of an action."""
    return router.post(
        f"/cases/{{number}}/{path}",
        policy=may(action),
        status_code=201,
        response_model=CaseActionResponse,
    )


class VersionedRequest(Input):
    """`expected_version` is the version of the case on which the decision was made.

    Without it the action is taken whatever happened since.
    """

    expected_version: int | None = Field(None, ge=1)


class AssignmentRequest(VersionedRequest):
    unit_id: str = Field(min_length=1, max_length=100)
    opinion: str = Field("", max_length=1000)


class NonAcceptanceRequest(VersionedRequest):
    reason: str = Field(max_length=50)
    explanation: str = Field("", max_length=1000)


class ReturnRequest(VersionedRequest):
    reason: str = Field(max_length=50)
    basis: str = Field(min_length=assignment.BASIS_MIN, max_length=2000)
    suggested_unit_id: str | None = Field(None, max_length=100)


class NoteRequest(Input):
    text: str = Field(min_length=1, max_length=5000)


class ExtensionRequest(VersionedRequest):
    amount: int = Field(ge=1, le=365)
    reason: str = Field(min_length=extensions.REASON_MIN, max_length=1000)


class ExtensionApprovalRequest(VersionedRequest):
    agree: bool
    opinion: str = Field("", max_length=1000)


class JointHandlingRequest(VersionedRequest):
    units: str = Field(min_length=joint_handling.UNITS_MIN, max_length=200)
    reason: str = Field(min_length=joint_handling.REASON_MIN, max_length=1000)


class SubmissionRequest(VersionedRequest):
    account: str = Field(min_length=ACCOUNT_MIN, max_length=20_000)
    finding: CaseFinding
    measures: str = Field("", max_length=5000)
    reply: str = Field(min_length=REPLY_MIN, max_length=5000)


class ReviewRequest(VersionedRequest):
    approve: bool
    opinion: str = Field("", max_length=2000)


class OpinionRequest(VersionedRequest):
    opinion: str = Field(min_length=OPINION_MIN, max_length=2000)


class PauseRequest(VersionedRequest):
    reason: str = Field(max_length=50)
    until: date


@post("assignment", CaseAction.ASSIGN)
async def assign(call: Call, body: AssignmentRequest) -> Response:
    """分办（改派）. A 举报 never goes to the unit it accuses (422)."""
    return await call.respond(assignment.assign_case, **body.model_dump())


@post("non-acceptance", CaseAction.REFUSE)
async def refuse(call: Call, body: NonAcceptanceRequest) -> Response:
    """不予受理."""
    return await call.respond(assignment.refuse_case, **body.model_dump())


@post("return", CaseAction.RETURN)
async def return_case(call: Call, body: ReturnRequest) -> Response:
    """退回."""
    return await call.respond(assignment.return_case, **body.model_dump())


@post("acceptance", CaseAction.ACCEPT)
async def accept(call: Call, body: VersionedRequest | None = None) -> Response:
    """签收."""
    return await call.respond(handling.accept_case, **_version(body))


@post("takeover", CaseAction.TAKE_OVER)
async def take_over(call: Call, body: VersionedRequest | None = None) -> Response:
    """接办."""
    return await call.respond(handling.take_over_case, **_version(body))


def _version(body: VersionedRequest | None) -> dict[str, Any]:
    return body.model_dump() if body else {}


@post("notes", CaseAction.NOTE)
async def note(call: Call, body: NoteRequest) -> Response:
    """办理记录."""
    return await call.respond(handling.note_progress, **body.model_dump())


@post("urging", CaseAction.URGE)
async def urge(call: Call, body: NoteRequest) -> Response:
    """催办."""
    return await call.respond(handling.urge_unit, **body.model_dump())


@post("extension", CaseAction.REQUEST_EXTENSION)
async def request_extension(call: Call, body: ExtensionRequest) -> Response:
    """申请延期."""
    return await call.respond(extensions.request_extension, **body.model_dump())


@post("extension/approval", CaseAction.DECIDE_EXTENSION)
async def decide_extension(call: Call, body: ExtensionApprovalRequest) -> Response:
    """审批延期. Every role that the scheme names has to agree; one refusal ends the request."""
    return await call.respond(extensions.decide_extension, **body.model_dump())


@post("pause", CaseAction.PAUSE)
async def pause(call: Call, body: PauseRequest) -> Response:
    """暂停计时 until the end of a day."""
    fields = body.model_dump() | {"until": closing(body.until, "24:00")}
    return await call.respond(pauses.pause_case, **fields)


@post("resumption", CaseAction.RESUME)
async def resume(call: Call, body: VersionedRequest | None = None) -> Response:
    """恢复计时."""
    return await call.respond(pauses.resume_case, **_version(body))


@post("joint-handling", CaseAction.START_JOINT_HANDLING)
async def start_joint_handling(call: Call, body: JointHandlingRequest) -> Response:
    """会办 with other units. No deadline moves."""
    return await call.respond(joint_handling.start_joint_handling, **body.model_dump())


@post("joint-handling/end", CaseAction.END_JOINT_HANDLING)
async def end_joint_handling(call: Call, body: VersionedRequest | None = None) -> Response:
    """结束会办."""
    return await call.respond(joint_handling.end_joint_handling, **_version(body))


@post("submission", CaseAction.SUBMIT)
async def submit(call: Call, body: SubmissionRequest) -> Response:
    """办结送审."""
    return await call.respond(handling.submit_result, **body.model_dump())


@post("review", CaseAction.APPROVE)
async def review_result(call: Call, body: ReviewRequest) -> Response:
    """审核: approve (办结) or send back."""
    action = review.approve_result if body.approve else review.send_back_result
    return await call.respond(action, **body.model_dump(exclude={"approve"}))


@post("striking-off", CaseAction.STRIKE_OFF)
async def strike_off(call: Call, body: OpinionRequest) -> Response:
    """销号."""
    return await call.respond(review.strike_off_case, **body.model_dump())
