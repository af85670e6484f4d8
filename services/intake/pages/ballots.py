"""I10 满意度问卷: one question per page, for every browser, without JavaScript."""

import hmac
import secrets
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final, Self

from pydantic import Field
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from services.intake.actions import ballots, form_drafts, opinions
from services.intake.domain.ballots import is_place_code, read_token, source_of
from services.intake.domain.questionnaires import QuestionnaireForm, UnitQuestion
from services.intake.settings import context_of
from shared.appraisal.errors import Rejected
from shared.appraisal.schemes import Scheme
from shared.appraisal.schemes.questions.free_text import FreeTextQuestion
from shared.security.policies import PUBLIC
from shared.security.rate_limits import RateLimit
from shared.storage.transaction import Transaction
from shared.web import (
    Form,
    Limiter,
    Router,
    Tx,
    client_network,
    enforce_rate_limit,
    read_form,
    redirect,
    render_page,
)
from shared.web.app_state import app_state
from shared.web.forms import Input

router = Router(prefix="/s", include_in_schema=False)
DEVICE_COOKIE: Final = "fengping_device"
DEVICE_DAYS: Final = 180
CODES_PER_MINUTE: Final = (60, 60)
"""Codes that one network may try. A code of 130 bits cannot be guessed; this stops the attempts."""
QUESTIONS_PER_MINUTE: Final = 4
END_HEADINGS: Final = {404: "链接无效", 409: "已经填过", 410: "已截止"}


class AnswerForm(Input):
    option: list[str] = Field(default_factory=list, title="答案", max_length=300)
    text: str = Field("", title="文字意见", max_length=20_000)


class UnitsForm(Input):
    units: list[int] = Field(default_factory=list, title="单位", max_length=200)


@dataclass(frozen=True, slots=True)
class QuestionnaireSession:
    """A code that a respondent opened, and the questionnaire filled in so far."""

    code: str
    device: str
    form: QuestionnaireForm
    scheme: Scheme

    @property
    def draft_token(self) -> str:
        """The token of the form draft. A place's code is public, so it takes the device as well."""
        return f"{self.code}/{self.device}" if is_place_code(self.code) else self.code

    @property
    def last_place(self) -> int:
        return len(self.form.questions)

    def has(self, place: int) -> bool:
        return 1 <= place <= self.last_place

    def url(self, place: int) -> str:
        return f"/s/{self.code}/{place}"

    def with_form(self, form: QuestionnaireForm) -> Self:
        return replace(self, form=form)


async def _open(
    request: Request,
    tx: Transaction,
    code: str,
) -> QuestionnaireSession:
    """Return the session of a code. Raises Rejected (404, 409, 410), TooManyRequests.

    Only codes that cannot be opened count against the limit: many people in one hall answer many
    questions each.
    """
    limit = RateLimit(f"codes/{client_network(request)}", *CODES_PER_MINUTE)
    await enforce_rate_limit(request, limit)
    device = _device(request, tx)
    opened = await ballots.open_questionnaire(tx, code, device=device)
    await app_state(request).limiter.undo_hit(limit.key)
    session = _new_session(opened, code, device)
    return await _with_draft(tx, session)


def _new_session(
    opened: ballots.OpenQuestionnaire,
    code: str,
    device: str,
) -> QuestionnaireSession:
    units = tuple(opened.campaign.by_number.values())
    return QuestionnaireSession(
        code=read_token(code),
        device=device,
        form=QuestionnaireForm(opened.questionnaire, units),
        scheme=opened.campaign.scheme,
    )


async def _with_draft(tx: Transaction, session: QuestionnaireSession) -> QuestionnaireSession:
    draft = await form_drafts.load(tx, session.draft_token)
    return session.with_form(session.form.with_draft(draft))


async def _save(tx: Transaction, session: QuestionnaireSession) -> None:
    await form_drafts.save(tx, session.draft_token, session.form.to_draft())


def _device(request: Request, tx: Transaction) -> str:
    """Return the id of this browser, or "" if it has none that this service signed."""
    id, _, signature = request.cookies.get(DEVICE_COOKIE, "").partition(".")
    is_signed = hmac.compare_digest(signature, _sign_device(tx, id))
    return id if id and is_signed else ""


def _sign_device(tx: Transaction, device: str) -> str:
    key = context_of(tx).ring.derive_key("device")
    return hmac.digest(key, device.encode(), sha256).hex()[:32]


@router.get("/{code}", policy=PUBLIC)
async def open_questionnaire(
    request: Request,
    tx: Tx,
    code: str,
) -> Response:
    if is_place_code(read_token(code)) and not _device(request, tx):
        return _assign_device(request, tx, code)
    try:
        session = await _open(request, tx, code)
    except Rejected as error:
        return _end_page(request, error)
    if session.form.needs_unit_selection:
        return _units_page(request, session, Form.with_initial())
    return RedirectResponse(session.url(session.form.next_place), 303)


def _assign_device(
    request: Request,
    tx: Transaction,
    code: str,
) -> Response:
    """Set a device id and redirect to the same page; explain if the browser rejected the cookie."""
    if "again" in request.query_params:
        sentence = "请允许浏览器保存 Cookie 后再扫码。"
        return _message(request, 400, "无法填写", sentence)
    device = secrets.token_hex(12)
    signed = f"{device}.{_sign_device(tx, device)}"
    response = RedirectResponse(f"/s/{read_token(code)}?again=1", 303)
    _set_device_cookie(request, response, signed)
    return response


def _set_device_cookie(
    request: Request,
    response: Response,
    value: str,
) -> None:
    response.set_cookie(
        DEVICE_COOKIE,
        value,
        max_age=DEVICE_DAYS * 86400,
        httponly=True,
        samesite="lax",
        secure=request.app.state.settings.https,
        path="/s",
    )


def _end_page(request: Request, error: Rejected) -> Response:
    """Explain why a code cannot be used."""
    heading = END_HEADINGS.get(error.status)
    if heading is None:
        raise error
    return _message(request, error.status, heading, error.sentence)


def _message(
    request: Request,
    status: int,
    heading: str,
    sentence: str,
) -> Response:
    return render_page(
        request,
        "questionnaire-end.html",
        status,
        heading=heading,
        sentence=sentence,
    )


def _thanks(request: Request) -> Response:
    return render_page(request, "questionnaire-thanks.html")


def _units_page(
    request: Request,
    session: QuestionnaireSession,
    form: Form[UnitsForm],
    status: int = 200,
) -> Response:
    choices = [(unit.unit_no, unit.name) for unit in session.form.units]
    return render_page(
        request,
        "questionnaire-units.html",
        status,
        code=session.code,
        questionnaire=session.form.questionnaire,
        choices=choices,
        form=form,
        failed=status >= 400,
    )


@router.post("/{code}/units", policy=PUBLIC)
async def choose_units(
    request: Request,
    tx: Tx,
    code: str,
) -> Response:
    try:
        session = await _open(request, tx, code)
    except Rejected as error:
        return _end_page(request, error)
    form = await read_form(request, UnitsForm)
    given = set(form.cleaned.units) if form.cleaned else set()
    unit_nos = [unit.unit_no for unit in session.form.units if unit.unit_no in given]
    if not unit_nos:
        form.add_error("请至少选一个打过交道的单位", "units")
        return _units_page(request, session, form, 422)
    await _save(tx, session.with_form(session.form.select_units(unit_nos)))
    return redirect(request, session.url(1))


@router.get("/{code}/{place:int}", policy=PUBLIC)
async def question_page(
    request: Request,
    tx: Tx,
    code: str,
    place: int,
) -> Response:
    try:
        session = await _open(request, tx, code)
    except Rejected as error:
        return _end_page(request, error)
    if not session.has(place) or place > session.form.next_place:
        return RedirectResponse(f"/s/{session.code}", 303)
    question = session.form.questions[place - 1]
    given = {
        "option": session.form.numbers.get(question.key, ()),
        "text": session.form.texts.get(question.key, ""),
    }
    form = Form[AnswerForm].with_initial(given)
    return _question_page(request, session, place, form)


def _question_page(
    request: Request,
    session: QuestionnaireSession,
    place: int,
    form: Form[AnswerForm],
    status: int = 200,
) -> Response:
    question = session.form.questions[place - 1]
    return render_page(
        request,
        "questionnaire.html",
        status,
        code=session.code,
        question=question,
        place=place,
        last=session.last_place,
        minutes=-(-session.last_place // QUESTIONS_PER_MINUTE),
        choices=question.item.choices(session.scheme),
        form=form,
        failed=status >= 400,
    )


@router.post("/{code}/{place:int}", policy=PUBLIC)
async def answer_question(
    request: Request,
    tx: Tx,
    limiter: Limiter,
    code: str,
    place: int,
) -> Response:
    """Save an answer and go to the next question; after the last one, cast the ballot."""
    try:
        session = await _open(request, tx, code)
    except Rejected as error:
        return _rejected_answer(request, error)
    if not session.has(place):
        return RedirectResponse(f"/s/{session.code}", 303)
    form = await read_form(request, AnswerForm)
    try:
        answered = _answered(session, session.form.questions[place - 1], form)
    except Rejected as error:
        form.errors = []
        form.add_error(error.sentence, error.field or "option")
        return _question_page(request, session, place, form, 422)
    session = session.with_form(answered)
    if place == session.last_place:
        return await _cast(request, tx, limiter, session)
    await _save(tx, session)
    return redirect(request, session.url(place + 1))


def _rejected_answer(request: Request, error: Rejected) -> Response:
    # The last page was sent twice: the ballot is stored.
    if error.status == 409 and request.query_params.get("last"):
        return _thanks(request)
    return _end_page(request, error)


def _answered(
    session: QuestionnaireSession,
    question: UnitQuestion,
    form: Form[AnswerForm],
) -> QuestionnaireForm:
    """Return the questionnaire with this answer. Raises Rejected (422) with what to correct."""
    item = question.item
    if isinstance(item, FreeTextQuestion):
        text = opinions.check_text(item, form.cleaned.text if form.cleaned else "")
        return session.form.write(question, text)
    entered = form.cleaned.option if form.cleaned else []
    return session.form.answer(question, item.read(entered, session.scheme))


async def _cast(
    request: Request,
    tx: Transaction,
    limiter: Limiter,
    session: QuestionnaireSession,
) -> Response:
    wait_seconds = await ballots.place_wait_seconds(
        tx, limiter, session.code, network=client_network(request)
    )
    if wait_seconds:
        return _wait_page(request, wait_seconds)
    try:
        await ballots.cast_ballot(
            tx,
            code=session.code,
            answers=session.form.answers,
            written=session.form.written_answers,
            key=session.draft_token,
            device=session.device,
            source=source_of(client_network(request), request.headers.get("user-agent", "")),
        )
    except Rejected as error:
        return _end_page(request, error)
    await form_drafts.delete(tx, session.draft_token)
    return _thanks(request)


def _wait_page(request: Request, wait_seconds: int) -> Response:
    minutes = -(-wait_seconds // 60)
    sentence = f"同一网络一分钟只收一份问卷，请 {minutes} 分钟后再提交，已填的答案会保留。"
    return _message(request, 429, "请稍后再试", sentence)
