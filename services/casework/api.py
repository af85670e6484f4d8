"""Casework for programs: JSON under /casework/api, errors as problem+json, `Idempotency-Key` on
every write.

Who may do what is `domain.MAY`; which cases somebody finds is decided by the query, so that the
forbidden is simply not there (404).
"""

from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Path, Query
from pydantic import BaseModel, Field
from starlette.responses import Response

from services.casework.actions import calendar, dispatch, duties, extensions, handling, reading
from services.casework.domain import MAY, READERS, DeadlineState, State, Verb
from services.casework.store.cases import Filter
from services.casework.tables import Case
from shared.appraisal.calendar.working_days import closing
from shared.appraisal.labels import ComplaintKind, Role, Urgency
from shared.security.policies import Policy, allow
from shared.storage.transaction import Transaction
from shared.web import CurrentUser, Idempotency, Router, Tx
from shared.web.forms import Input

router = Router(prefix="/casework/api", tags=["办理"])
READ = allow(*map(Role, READERS))
ADMIN = allow(Role.ADMIN)
Number = Annotated[str, Path(pattern=r"^ZF\d{4}-\d{6,}$", description="办件编号，如 ZF2026-004512")]


def may(verb: Verb) -> Policy:
    """The policy of a verb."""
    return allow(*map(Role, MAY[verb]))


# ── what is read ──────────────────────────────────────────────────────────────────────────────────


class DeadlineOut(BaseModel):
    """A deadline. `deadline_status`: normal, warning, late, severe, paused, closed; `badge` as pages show
    it.
    """

    kind: str
    label: str
    state: str
    starts_at: datetime
    due_at: datetime
    provisional: bool
    deadline_status: str
    badge: str
    terms: str
    rule_id: str
    scheme_version: str
    calendar_version: str
    lapsed_at: datetime | None
    ended_at: datetime | None


class CaseRow(BaseModel):
    """A case in a list; `deadline_status` and `due_at` are those of its foremost deadline."""

    number: str
    kind: ComplaintKind
    urgency: Urgency
    state: State
    redacted_summary: str
    unit_id: str | None
    unit_name: str | None
    handler_name: str | None
    version: int
    received_on: date
    deadline_status: str | None
    badge: str | None
    due_at: datetime | None


class CasePage(BaseModel):
    """`page` counts from 1."""

    cases: list[CaseRow]
    total: int
    page: int
    pages: int


class StepOut(BaseModel):
    """An act in the history of a case, newest first."""

    at: datetime
    verb: str
    state: str
    by: str
    unit_name: str | None
    text: str


class ResultOut(BaseModel):
    """A result sent for review."""

    no: int
    at: datetime
    by: str
    account: str
    finding: str
    measures: str
    reply: str
    late: bool
    decision: str | None
    opinion: str | None


class OriginOut(BaseModel):
    """Where the case came from; never given to a unit."""

    source: str
    source_number: str
    channel: str | None
    real_name: bool
    named_unit_id: str | None
    received_at: datetime | None


class CaseOut(BaseModel):
    """A case as this person may see it. Give `version` back as `expected_version` with a write: 409 when
    somebody was faster.
    """

    id: UUID
    number: str
    campaign_id: str
    kind: ComplaintKind
    urgency: Urgency
    state: State
    version: int
    redacted_summary: str
    problem_item: str | None
    unit_id: str | None
    unit_name: str | None
    handler_name: str | None
    received_on: date
    opened_at: datetime
    assigned_at: datetime | None
    accepted_at: datetime | None
    closed_at: datetime | None
    finding: str | None
    late: bool
    returns: int
    repeats: int
    urges: int
    origin: OriginOut | None
    deadlines: list[DeadlineOut]
    steps: list[StepOut]
    results: list[ResultOut]
    verbs: list[Verb]


class Done(BaseModel):
    """What a write answers."""

    number: str
    state: State
    version: int
    unit_id: str | None


@router.get("/cases", policy=READ, response_model=CasePage)
async def list_cases(
    tx: Tx,
    user: CurrentUser,
    state: Annotated[list[State] | None, Query()] = None,
    unit: str | None = None,
    campaign: str | None = None,
    kind: ComplaintKind | None = None,
    source: Literal["complaint", "visit"] | None = None,
    deadline_status: Literal["late", "soon"] | None = None,
    q: Annotated[str, Query(max_length=100)] = "",
    page: Annotated[int, Query(ge=1, le=100_000)] = 1,
    size: Annotated[int, Query(ge=1, le=200)] = 50,
) -> CasePage:
    """办件列表, most urgent first."""
    wanted = Filter(
        states=tuple(state or ()),
        unit_id=unit,
        campaign_id=campaign,
        kind=kind,
        source=source,
        deadline_status=deadline_status,
        q=q.strip(),
    )
    found = await reading.case_list(tx, user, wanted, page=page, rows=size)
    return CasePage(
        cases=[_row(one) for one in found.rows], total=found.total, page=page, pages=found.last
    )


def _row(one: reading.Row) -> CaseRow:
    return CaseRow(
        number=one.number,
        kind=one.kind,
        urgency=one.urgency,
        state=one.state,
        redacted_summary=one.redacted_summary,
        unit_id=one.unit_id,
        unit_name=one.unit_name,
        handler_name=one.handler_name,
        version=one.version,
        received_on=one.received_on,
        deadline_status=one.progress.status.value if one.progress else None,
        badge=one.progress.badge if one.progress else None,
        due_at=one.due_at,
    )


@router.get("/cases/{number}", policy=READ, response_model=CaseOut)
async def get_case(tx: Tx, user: CurrentUser, number: Number) -> CaseOut:
    """办件详情."""
    view = await reading.case_view(tx, number, user)
    same = (
        "id",
        "number",
        "kind",
        "urgency",
        "state",
        "version",
        "redacted_summary",
        "unit_id",
        "unit_name",
        "handler_name",
        "received_on",
        "opened_at",
        "assigned_at",
        "accepted_at",
        "closed_at",
        "finding",
        "late",
        "returns",
        "repeats",
        "urges",
        "verbs",
    )
    origin = OriginOut.model_validate(view.origin, from_attributes=True) if view.origin else None
    return CaseOut(
        **{name: getattr(view, name) for name in same},
        campaign_id=view.campaign.id,
        problem_item=view.problem,
        origin=origin,
        deadlines=[_deadline(one) for one in view.deadlines],
        results=[_result(one) for one in view.submissions],
        steps=[StepOut.model_validate(one, from_attributes=True) for one in view.steps],
    )


def _deadline(one: reading.DeadlineView) -> DeadlineOut:
    same = (
        "kind",
        "label",
        "state",
        "starts_at",
        "due_at",
        "provisional",
        "terms",
        "rule_id",
        "scheme_version",
        "calendar_version",
        "lapsed_at",
        "ended_at",
    )
    return DeadlineOut(
        **{name: getattr(one, name) for name in same},
        deadline_status=one.progress.status.value,
        badge=one.progress.badge,
    )


def _result(one: Any) -> ResultOut:
    same = ("no", "at", "account", "finding", "measures", "reply", "late", "decision", "opinion")
    return ResultOut(**{name: getattr(one, name) for name in same}, by=one.by_name)


class OwedOut(BaseModel):
    """A deadline of a case (`number`) or of an obligation (`obligation_id`, `label`)."""

    id: UUID
    kind: str
    number: str | None
    obligation_id: UUID | None
    label: str | None
    unit_id: str | None
    state: DeadlineState
    starts_at: datetime
    due_at: datetime
    warn_at: datetime
    provisional: bool
    rule_id: str
    scheme_version: str
    calendar_version: str
    warned_at: datetime | None
    lapsed_at: datetime | None
    ended_at: datetime | None


@router.get("/deadlines", policy=READ, response_model=list[OwedOut])
async def list_deadlines(
    tx: Tx,
    user: CurrentUser,
    state: DeadlineState | None = None,
    kind: Annotated[str | None, Query(max_length=20)] = None,
    before: datetime | None = None,
    size: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> list[OwedOut]:
    """期限, in order of time."""
    if before is not None and before.tzinfo is None:
        before = before.replace(tzinfo=UTC)
    return [
        OwedOut(**dict(row))
        for row in await reading.deadline_list(
            tx, user, state=state, kind=kind, before=before, limit=size
        )
    ]


# ── what is done ──────────────────────────────────────────────────────────────────────────────────


class VersionedInput(Input):
    """`expected_version`: the version of the case this was decided on; left out, the write goes through
    whatever happened since.
    """

    expected_version: int | None = Field(None, ge=1)


class AssignmentIn(VersionedInput):
    unit_id: str = Field(min_length=1, max_length=100)
    opinion: str = Field("", max_length=1000)


class RefusalIn(VersionedInput):
    reason: str = Field(max_length=50)
    explanation: str = Field("", max_length=1000)


class ReturnIn(VersionedInput):
    reason: str = Field(max_length=50)
    basis: str = Field(min_length=dispatch.TEXT_MIN, max_length=2000)
    suggested_unit_id: str | None = Field(None, max_length=100)


class NoteIn(Input):
    text: str = Field(min_length=1, max_length=5000)


class ExtensionIn(VersionedInput):
    amount: int = Field(ge=1, le=365)
    reason: str = Field(min_length=extensions.REASON_MIN, max_length=1000)


class DecisionIn(VersionedInput):
    agree: bool
    opinion: str = Field("", max_length=1000)


class ResultIn(VersionedInput):
    account: str = Field(min_length=handling.ACCOUNT_MIN, max_length=20_000)
    finding: handling.CaseFinding
    measures: str = Field("", max_length=5000)
    reply: str = Field(min_length=handling.REPLY_MIN, max_length=5000)


class ReviewIn(VersionedInput):
    approve: bool
    opinion: str = Field("", max_length=2000)


class OpinionIn(VersionedInput):
    opinion: str = Field(min_length=handling.OPINION_MIN, max_length=2000)


class PauseIn(VersionedInput):
    reason: str = Field(max_length=50)
    until: date


async def _done(act: Callable[..., Awaitable[Case]], tx: Transaction, **said: Any) -> Done:
    case = await act(tx, **said)
    return Done(
        number=case.number, state=State(case.state), version=case.version, unit_id=case.unit_id
    )


@router.post(
    "/cases/{number}/assignment", policy=may(Verb.ASSIGN), status_code=201, response_model=Done
)
async def assign(
    tx: Tx, user: CurrentUser, idempotency: Idempotency, number: Number, body: AssignmentIn
) -> Response:
    """分办（改派）. A 举报 never goes to the unit it accuses (422)."""
    return await idempotency.respond(
        201, _done(dispatch.assign_case, tx, number=number, by=user, **body.model_dump())
    )


@router.post(
    "/cases/{number}/non-acceptance", policy=may(Verb.REFUSE), status_code=201, response_model=Done
)
async def refuse(
    tx: Tx, user: CurrentUser, idempotency: Idempotency, number: Number, body: RefusalIn
) -> Response:
    """不予受理."""
    return await idempotency.respond(
        201, _done(dispatch.refuse_case, tx, number=number, by=user, **body.model_dump())
    )


@router.post(
    "/cases/{number}/acceptance", policy=may(Verb.ACCEPT), status_code=201, response_model=Done
)
async def accept(
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    number: Number,
    body: VersionedInput | None = None,
) -> Response:
    """签收."""
    return await idempotency.respond(
        201,
        _done(
            handling.accept_case,
            tx,
            number=number,
            by=user,
            expected_version=body.expected_version if body else None,
        ),
    )


@router.post(
    "/cases/{number}/takeover", policy=may(Verb.TAKE_OVER), status_code=201, response_model=Done
)
async def take_over(
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    number: Number,
    body: VersionedInput | None = None,
) -> Response:
    """接办."""
    return await idempotency.respond(
        201,
        _done(
            handling.take_case_over,
            tx,
            number=number,
            by=user,
            expected_version=body.expected_version if body else None,
        ),
    )


@router.post(
    "/cases/{number}/return", policy=may(Verb.RETURN), status_code=201, response_model=Done
)
async def give_back(
    tx: Tx, user: CurrentUser, idempotency: Idempotency, number: Number, body: ReturnIn
) -> Response:
    """退回."""
    return await idempotency.respond(
        201, _done(dispatch.return_case, tx, number=number, by=user, **body.model_dump())
    )


@router.post("/cases/{number}/notes", policy=may(Verb.NOTE), status_code=201, response_model=Done)
async def note(
    tx: Tx, user: CurrentUser, idempotency: Idempotency, number: Number, body: NoteIn
) -> Response:
    """办理记录."""
    return await idempotency.respond(
        201, _done(handling.note_progress, tx, number=number, text=body.text, by=user)
    )


@router.post(
    "/cases/{number}/extension",
    policy=may(Verb.ASK_EXTENSION),
    status_code=201,
    response_model=Done,
)
async def ask_extension(
    tx: Tx, user: CurrentUser, idempotency: Idempotency, number: Number, body: ExtensionIn
) -> Response:
    """申请延期."""
    return await idempotency.respond(
        201, _done(extensions.ask_extension, tx, number=number, by=user, **body.model_dump())
    )


@router.post(
    "/cases/{number}/extension/approval",
    policy=may(Verb.DECIDE_EXTENSION),
    status_code=201,
    response_model=Done,
)
async def decide_extension(
    tx: Tx, user: CurrentUser, idempotency: Idempotency, number: Number, body: DecisionIn
) -> Response:
    """审批延期. Every role the scheme names has to agree; one refusal ends the request."""
    return await idempotency.respond(
        201, _done(extensions.decide_extension, tx, number=number, by=user, **body.model_dump())
    )


@router.post("/cases/{number}/pause", policy=may(Verb.PAUSE), status_code=201, response_model=Done)
async def pause(
    tx: Tx, user: CurrentUser, idempotency: Idempotency, number: Number, body: PauseIn
) -> Response:
    """暂停计时 until the end of a day."""
    until = closing(body.until, "24:00")
    return await idempotency.respond(
        201,
        _done(
            handling.pause_case,
            tx,
            number=number,
            reason=body.reason,
            until=until,
            by=user,
            expected_version=body.expected_version,
        ),
    )


@router.post(
    "/cases/{number}/resumption", policy=may(Verb.RESUME), status_code=201, response_model=Done
)
async def resume(
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    number: Number,
    body: VersionedInput | None = None,
) -> Response:
    """恢复计时."""
    return await idempotency.respond(
        201,
        _done(
            handling.resume_case,
            tx,
            number=number,
            by=user,
            expected_version=body.expected_version if body else None,
        ),
    )


@router.post(
    "/cases/{number}/submission", policy=may(Verb.SUBMIT), status_code=201, response_model=Done
)
async def submit(
    tx: Tx, user: CurrentUser, idempotency: Idempotency, number: Number, body: ResultIn
) -> Response:
    """办结送审."""
    return await idempotency.respond(
        201, _done(handling.submit_result, tx, number=number, by=user, **body.model_dump())
    )


@router.post(
    "/cases/{number}/review", policy=may(Verb.APPROVE), status_code=201, response_model=Done
)
async def review(
    tx: Tx, user: CurrentUser, idempotency: Idempotency, number: Number, body: ReviewIn
) -> Response:
    """审核: approve (办结) or send back."""
    act = handling.approve_result if body.approve else handling.send_result_back
    return await idempotency.respond(
        201,
        _done(
            act,
            tx,
            number=number,
            opinion=body.opinion,
            by=user,
            expected_version=body.expected_version,
        ),
    )


@router.post(
    "/cases/{number}/striking-off",
    policy=may(Verb.STRIKE_OFF),
    status_code=201,
    response_model=Done,
)
async def strike_off(
    tx: Tx, user: CurrentUser, idempotency: Idempotency, number: Number, body: OpinionIn
) -> Response:
    """销号."""
    return await idempotency.respond(
        201,
        _done(
            handling.strike_off,
            tx,
            number=number,
            opinion=body.opinion,
            by=user,
            expected_version=body.expected_version,
        ),
    )


@router.post("/cases/{number}/urging", policy=may(Verb.URGE), status_code=201, response_model=Done)
async def urge(
    tx: Tx, user: CurrentUser, idempotency: Idempotency, number: Number, body: NoteIn
) -> Response:
    """催办."""
    return await idempotency.respond(
        201, _done(handling.urge_unit, tx, number=number, text=body.text, by=user)
    )


# ── obligations and the calendar ───────────────────────────────────────────────────────────────────────


class ObligationOut(BaseModel):
    """An obligation of a unit."""

    id: UUID
    campaign_id: str
    unit_id: str
    unit_name: str | None
    obligation_rule_id: str
    label: str
    deliverable: str
    due_at: datetime
    state: DeadlineState
    lapsed_at: datetime | None
    fulfilled_at: datetime | None
    document: str | None


class FulfilmentIn(Input):
    document: str = Field(min_length=duties.DOCUMENT_MIN, max_length=500)


class Fulfilled(BaseModel):
    id: UUID
    fulfilled_at: datetime


@router.get("/obligations", policy=READ, response_model=list[ObligationOut])
async def list_obligations(tx: Tx, user: CurrentUser) -> list[ObligationOut]:
    """单位任务（方案、自评报告 …）."""
    return [ObligationOut.model_validate(dict(row)) for row in await duties.listed(tx, user)]


@router.post(
    "/obligations/{id}/fulfilment",
    policy=allow(Role.HANDLER, Role.UNIT_HEAD),
    status_code=201,
    response_model=Fulfilled,
)
async def fulfil(
    tx: Tx, user: CurrentUser, idempotency: Idempotency, id: UUID, body: FulfilmentIn
) -> Response:
    """报送."""

    async def act() -> Fulfilled:
        obligation = await duties.fulfil_obligation(
            tx, obligation_id=id, document=body.document, by=user
        )
        assert obligation.fulfilled_at is not None, "an obligation that was fulfilled has its time"
        return Fulfilled(id=obligation.id, fulfilled_at=obligation.fulfilled_at)

    return await idempotency.respond(201, act())


class HolidayNoticeIn(Input):
    """`text`: a yearly notice as YAML or CSV. `shorten`: also apply what would end earlier than
    announced.
    """

    text: str = Field(min_length=1, max_length=100_000)
    shorten: bool = False


class HolidayNoticeEffect(BaseModel):
    """What a notice moves: deadlines concerned, those of them that move, those that become shorter."""

    calendar_version: str
    concerned: int
    moved: int
    shortened: int
    cases: list[str]


def _effect(preview: calendar.Preview) -> HolidayNoticeEffect:
    return HolidayNoticeEffect(
        calendar_version=preview.new.version,
        concerned=len(preview.concerned),
        moved=sum(shift.moved for _, shift in preview.shifts),
        shortened=preview.shortened,
        cases=sorted({row["number"] for row, _ in preview.concerned}),
    )


@router.post("/calendar/preview", policy=ADMIN, response_model=HolidayNoticeEffect)
async def preview_notice(tx: Tx, body: HolidayNoticeIn) -> HolidayNoticeEffect:
    """What a yearly notice would move. Nothing is written."""
    return _effect(await calendar.preview(tx, calendar.yearly(body.text)))


@router.post("/calendar/notices", policy=ADMIN, status_code=201, response_model=HolidayNoticeEffect)
async def import_notice(
    tx: Tx, user: CurrentUser, idempotency: Idempotency, body: HolidayNoticeIn
) -> Response:
    """导入年度安排."""

    async def act() -> HolidayNoticeEffect:
        return _effect(
            await calendar.take_in(tx, calendar.yearly(body.text), by=user, shorten=body.shorten)
        )

    return await idempotency.respond(201, act())
