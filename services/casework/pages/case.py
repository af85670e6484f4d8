"""C2 办理详情, with the panels of what can be done (C3). A panel is part of the page: it works
without JavaScript.

A form carries the version of the case it was made from. When somebody was faster the answer is 409
with the same panel, what was typed, and what has changed since.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Any, TypeVar

from fastapi import Path
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from services.casework.actions import dispatch, extensions, handling, reading
from services.casework.actions.cases import load
from services.casework.domain import MAY, READERS, State, Verb
from services.casework.pages.words import render_casework_page
from services.casework.store import reference
from services.casework.tables import Case
from shared.appraisal.calendar.deadlines import due_label
from shared.appraisal.calendar.working_days import closing
from shared.appraisal.errors import Rejected
from shared.appraisal.labels import Role
from shared.security.pii import find_pii
from shared.security.policies import Account, Policy, allow
from shared.storage.transaction import Transaction
from shared.web import CurrentUser, Form, Idempotency, Router, Tx, read_form
from shared.web.forms import Input
from shared.web.spoken_dates import UnparsableDate, parse_spoken_date

router = Router(prefix="/casework")
Number = Annotated[str, Path(pattern=r"^ZF\d{4}-\d{6,}$")]
ModelT = TypeVar("ModelT", bound="VersionedForm")
KEYS = {
    Verb.ACCEPT: "a",
    Verb.RETURN: "r",
    Verb.ASK_EXTENSION: "t",
    Verb.SUBMIT: "f",
    Verb.NOTE: "e",
}
LEAVES_THE_HOUSE = ("account", "measures", "reply", "explanation", "text", "opinion", "basis")


def may(verb: Verb) -> Policy:
    """The policy of a verb."""
    return allow(*map(Role, MAY[verb]))


class VersionedForm(Input):
    expected_version: int = Field(ge=1, title="版本")


class Assignment(VersionedForm):
    unit_id: str = Field(title="承办单位", max_length=100)
    opinion: str = Field("", title="分办意见", max_length=1000)


class Refusal(VersionedForm):
    reason: str = Field(title="理由", max_length=50)
    explanation: str = Field("", title="告知来件人的理由", max_length=1000)


class Giving(VersionedForm):
    reason: str = Field(title="退回理由", max_length=50)
    basis: str = Field(title="退回依据", min_length=dispatch.TEXT_MIN, max_length=2000)
    suggested_unit_id: str | None = Field(None, title="建议承办单位", max_length=100)


class Extending(VersionedForm):
    amount: int = Field(title="延长", ge=1, le=365)
    reason: str = Field(title="延期理由", min_length=extensions.REASON_MIN, max_length=1000)


class Decision(VersionedForm):
    agree: bool = Field(title="审批意见")
    opinion: str = Field("", title="说明", max_length=1000)


class Result(VersionedForm):
    account: str = Field(title="办理情况", min_length=handling.ACCOUNT_MIN, max_length=20_000)
    finding: handling.CaseFinding = Field(title="反映是否属实")
    measures: str = Field("", title="整改措施", max_length=5000)
    reply: str = Field(title="公开答复", min_length=handling.REPLY_MIN, max_length=5000)


class Opinion(VersionedForm):
    opinion: str = Field(title="意见", min_length=handling.OPINION_MIN, max_length=2000)


class Agreement(VersionedForm):
    opinion: str = Field("", title="意见", max_length=2000)


class Pausing(VersionedForm):
    reason: str = Field(title="暂停理由", max_length=50)
    until: str = Field(title="恢复日期", max_length=40)


class Note(VersionedForm):
    text: str = Field(title="办理记录", min_length=2, max_length=5000)


@router.get("/cases/{number}", policy=allow(*map(Role, READERS)))
async def case_page(
    request: Request, tx: Tx, user: CurrentUser, number: Number, act: str = ""
) -> Response:
    return await render(request, tx, user, number, act=act)


async def render(
    request: Request,
    tx: Transaction,
    user: Account,
    number: str,
    *,
    act: str = "",
    form: Form[Any] | None = None,
    status: int = 200,
    changes: list[reading.StepView] | None = None,
) -> Response:
    """The page of a case with the panel of `act` open, when this person can do that now."""
    view = await reading.case_view(tx, number, user)
    opened = next((verb for verb in view.verbs if verb == act), None)
    if opened is None and len(view.verbs) == 1 and view.verbs[0] is not Verb.NOTE:
        opened = view.verbs[0]
    typed = form or Form[Any].with_initial(
        {"expected_version": view.version} | _defaults(view, opened)
    )
    if changes is not None:
        typed.texts["expected_version"] = [str(view.version)]
    taken = (view.unit_id, view.excluded_unit_id)
    units = [
        (one["unit_id"], one["name"])
        for one in await reference.units(tx, view.campaign.id)
        if one["unit_id"] not in taken
    ]
    return render_casework_page(
        request,
        "case.html",
        status,
        case=view,
        act=opened,
        form=typed,
        keys=KEYS,
        units=units,
        rules=view.campaign.scheme.case_rules,
        changes=changes,
        failed=status >= 400,
        now=tx.now,
        Verb=Verb,
        State=State,
        consequence=_consequence(view, opened, tx.now),
        as_of=tx.now,
        role_words={role.value: role.label for role in Role},
    )


def _defaults(view: reading.CaseView, act: Verb | None) -> dict[str, Any]:
    """What a panel starts from: a result that was sent back is improved, not written again."""
    if act is Verb.SUBMIT and view.submissions:
        last = view.submissions[0]
        return {
            "account": last.account,
            "finding": last.finding,
            "measures": last.measures,
            "reply": last.reply,
        }
    if (
        act is Verb.ASSIGN
        and view.origin
        and view.origin.named_unit_id not in (None, view.excluded_unit_id)
    ):
        return {"unit_id": view.origin.named_unit_id}
    return {}


def _consequence(view: reading.CaseView, act: Verb | None, now: datetime) -> str:
    """What the button of a panel will do, in the words of whom it concerns."""
    handle, rules = view.active("handle"), view.campaign.scheme.case_rules
    end = handle.due_text if handle else ""
    approvers = "、".join(Role(role).label for role in rules.extension.approvers)
    until = due_label(view.returnable_until) if view.returnable_until else ""
    return (
        {
            Verb.ACCEPT: f"签收后由您承办，最迟 {end} 办结（{handle.terms if handle else ''}，自分办起算）",
            Verb.RETURN: f"退回后由受理审核重新分派；最迟 {until} 前可以退回。异议不成立的，原期限继续计算",
            Verb.ASK_EXTENSION: f"需{approvers}同意，批准前仍按 {end} 计算",
            Verb.DECIDE_EXTENSION: "各审批人全部同意后期限顺延，并告知来件人；任何一人不同意，申请即告终止",
            Verb.SUBMIT: "送审后停止计时；被退回修改的，原期限继续计算。公开答复审核通过后原文告知来件人，并请其评价",
            Verb.APPROVE: "通过即办结，公开答复原文告知来件人",
            Verb.SEND_BACK: f"退回后继续办理，原期限不变（{_end_of_handling(view)}）",
            Verb.STRIKE_OFF: "销号后本件不再列入整改台账",
            Verb.REFUSE: "理由会原文告知来件人，本件不再办理",
            Verb.PAUSE: f"暂停期间不计时，到期自动恢复；现截止 {end}",
            Verb.RESUME: "立即恢复计时，暂停的工作日顺延",
            Verb.ASSIGN: "分办后即开始计算签收和办结期限",
            Verb.URGE: "催办意见显示在办件最上方，并记入办理过程；不影响期限",
            Verb.TAKE_OVER: "由您接办，期限不变",
        }.get(act, "")
        if act
        else ""
    )


def _end_of_handling(view: reading.CaseView) -> str:
    ended = [one for one in view.deadlines if one.kind == "handle"]
    return ended[-1].due_text if ended else ""


async def perform(
    request: Request,
    tx: Transaction,
    user: Account,
    idempotency: Idempotency,
    number: str,
    verb: Verb,
    model: type[ModelT],
    do: Callable[[ModelT], Awaitable[Case]],
    to: str = "",
) -> Response:
    """Read a panel, do what it asks, and show the case again; what is wrong or out of date comes
    back as it was typed.
    """
    form = await read_form(request, model)
    if form.cleaned is None:
        return await render(request, tx, user, number, act=verb, form=form, status=422)
    _guard(form)
    if form.cleaned is None:
        return await render(request, tx, user, number, act=verb, form=form, status=422)
    case = await load(tx, number, verb, user)
    if verb is not Verb.NOTE and case.version != form.cleaned.expected_version:
        changes = await _since(tx, user, number, form.cleaned.expected_version)
        return await render(
            request, tx, user, number, act=verb, form=form, status=409, changes=changes
        )
    return await idempotency.redirect(do(form.cleaned), to=to or f"/casework/cases/{number}")


def _guard(form: Form[Any]) -> None:
    """Stop personal data at the field where it was typed."""
    for name in LEAVES_THE_HOUSE:
        if found := find_pii(form.value(name)):
            kinds = "、".join(dict.fromkeys(hit.kind.label for hit in found))
            form.add_error(f"这里有个人信息（{kinds}），请删去后再提交", name)


async def _since(
    tx: Transaction, user: Account, number: str, expected_version: int
) -> list[reading.StepView]:
    """What was done since a version: every act but notes and urging counts one up."""
    view = await reading.case_view(tx, number, user)
    counted = [step for step in view.steps if step.verb not in ("note", "urge")]
    return counted[: max(view.version - expected_version, 0)]


@router.post("/cases/{number}/acceptance", policy=may(Verb.ACCEPT))
async def accept(
    request: Request, tx: Tx, user: CurrentUser, idempotency: Idempotency, number: Number
) -> Response:
    return await perform(
        request,
        tx,
        user,
        idempotency,
        number,
        Verb.ACCEPT,
        VersionedForm,
        lambda _: handling.accept_case(tx, number=number, by=user),
    )


@router.post("/cases/{number}/takeover", policy=may(Verb.TAKE_OVER))
async def take_over(
    request: Request, tx: Tx, user: CurrentUser, idempotency: Idempotency, number: Number
) -> Response:
    return await perform(
        request,
        tx,
        user,
        idempotency,
        number,
        Verb.TAKE_OVER,
        VersionedForm,
        lambda _: handling.take_case_over(tx, number=number, by=user),
    )


@router.post("/cases/{number}/return", policy=may(Verb.RETURN))
async def give_back(
    request: Request, tx: Tx, user: CurrentUser, idempotency: Idempotency, number: Number
) -> Response:
    def do(said: Giving) -> Awaitable[Case]:
        return dispatch.return_case(tx, number=number, by=user, **said.model_dump())

    return await perform(
        request, tx, user, idempotency, number, Verb.RETURN, Giving, do, to="/casework/"
    )


@router.post("/cases/{number}/extension", policy=may(Verb.ASK_EXTENSION))
async def ask_extension(
    request: Request, tx: Tx, user: CurrentUser, idempotency: Idempotency, number: Number
) -> Response:
    def do(said: Extending) -> Awaitable[Case]:
        return extensions.ask_extension(tx, number=number, by=user, **said.model_dump())

    return await perform(request, tx, user, idempotency, number, Verb.ASK_EXTENSION, Extending, do)


@router.post("/cases/{number}/extension/approval", policy=may(Verb.DECIDE_EXTENSION))
async def decide_extension(
    request: Request, tx: Tx, user: CurrentUser, idempotency: Idempotency, number: Number
) -> Response:
    def do(said: Decision) -> Awaitable[Case]:
        return extensions.decide_extension(tx, number=number, by=user, **said.model_dump())

    return await perform(
        request, tx, user, idempotency, number, Verb.DECIDE_EXTENSION, Decision, do
    )


@router.post("/cases/{number}/submission", policy=may(Verb.SUBMIT))
async def submit(
    request: Request, tx: Tx, user: CurrentUser, idempotency: Idempotency, number: Number
) -> Response:
    def do(said: Result) -> Awaitable[Case]:
        return handling.submit_result(tx, number=number, by=user, **said.model_dump())

    return await perform(request, tx, user, idempotency, number, Verb.SUBMIT, Result, do)


@router.post("/cases/{number}/approval", policy=may(Verb.APPROVE))
async def approve(
    request: Request, tx: Tx, user: CurrentUser, idempotency: Idempotency, number: Number
) -> Response:
    def do(said: Agreement) -> Awaitable[Case]:
        return handling.approve_result(tx, number=number, by=user, **said.model_dump())

    return await perform(request, tx, user, idempotency, number, Verb.APPROVE, Agreement, do)


@router.post("/cases/{number}/sending-back", policy=may(Verb.SEND_BACK))
async def send_back(
    request: Request, tx: Tx, user: CurrentUser, idempotency: Idempotency, number: Number
) -> Response:
    def do(said: Opinion) -> Awaitable[Case]:
        return handling.send_result_back(tx, number=number, by=user, **said.model_dump())

    return await perform(request, tx, user, idempotency, number, Verb.SEND_BACK, Opinion, do)


@router.post("/cases/{number}/striking-off", policy=may(Verb.STRIKE_OFF))
async def strike_off(
    request: Request, tx: Tx, user: CurrentUser, idempotency: Idempotency, number: Number
) -> Response:
    def do(said: Opinion) -> Awaitable[Case]:
        return handling.strike_off(tx, number=number, by=user, **said.model_dump())

    return await perform(request, tx, user, idempotency, number, Verb.STRIKE_OFF, Opinion, do)


@router.post("/cases/{number}/notes", policy=may(Verb.NOTE))
async def note(
    request: Request, tx: Tx, user: CurrentUser, idempotency: Idempotency, number: Number
) -> Response:
    def do(said: Note) -> Awaitable[Case]:
        return handling.note_progress(tx, number=number, text=said.text, by=user)

    return await perform(request, tx, user, idempotency, number, Verb.NOTE, Note, do)


@router.post("/cases/{number}/urging", policy=may(Verb.URGE))
async def urge(
    request: Request, tx: Tx, user: CurrentUser, idempotency: Idempotency, number: Number
) -> Response:
    def do(said: Note) -> Awaitable[Case]:
        return handling.urge_unit(tx, number=number, text=said.text, by=user)

    return await perform(request, tx, user, idempotency, number, Verb.URGE, Note, do)


@router.post("/cases/{number}/pause", policy=may(Verb.PAUSE))
async def pause(
    request: Request, tx: Tx, user: CurrentUser, idempotency: Idempotency, number: Number
) -> Response:
    def do(said: Pausing) -> Awaitable[Case]:
        return handling.pause_case(
            tx,
            number=number,
            reason=said.reason,
            until=_end_of(said.until, tx.now),
            by=user,
            expected_version=said.expected_version,
        )

    return await perform(request, tx, user, idempotency, number, Verb.PAUSE, Pausing, do)


def _end_of(text: str, now: datetime) -> datetime:
    """The end of the day that the text names. Raises Rejected with a sentence when it names none."""
    try:
        return closing(parse_spoken_date(text, now, future=True).at.date(), "24:00")
    except UnparsableDate as error:
        raise Rejected(str(error), status=422, field="until") from error


@router.post("/cases/{number}/resumption", policy=may(Verb.RESUME))
async def resume(
    request: Request, tx: Tx, user: CurrentUser, idempotency: Idempotency, number: Number
) -> Response:
    return await perform(
        request,
        tx,
        user,
        idempotency,
        number,
        Verb.RESUME,
        VersionedForm,
        lambda _: handling.resume_case(tx, number=number, by=user),
    )


@router.post("/cases/{number}/assignment", policy=may(Verb.ASSIGN))
async def assign(
    request: Request, tx: Tx, user: CurrentUser, idempotency: Idempotency, number: Number
) -> Response:
    def do(said: Assignment) -> Awaitable[Case]:
        return dispatch.assign_case(tx, number=number, by=user, **said.model_dump())

    return await perform(
        request, tx, user, idempotency, number, Verb.ASSIGN, Assignment, do, to="/casework/triage"
    )


@router.post("/cases/{number}/non-acceptance", policy=may(Verb.REFUSE))
async def refuse(
    request: Request, tx: Tx, user: CurrentUser, idempotency: Idempotency, number: Number
) -> Response:
    def do(said: Refusal) -> Awaitable[Case]:
        return dispatch.refuse_case(tx, number=number, by=user, **said.model_dump())

    return await perform(
        request, tx, user, idempotency, number, Verb.REFUSE, Refusal, do, to="/casework/triage"
    )
