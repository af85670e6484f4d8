"""I10 满意度问卷: one question per page, for everybody, in any browser, without script."""

import hmac
import secrets
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from pydantic import Field
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from services.intake.actions import ballots, form_drafts
from services.intake.domain.ballots import PLACE_SIGNS, read_token
from services.intake.settings import context_of
from services.intake.store.campaigns import KnownCampaign
from shared.appraisal.ballots import Answer
from shared.appraisal.errors import Rejected
from shared.appraisal.events import UnitEntry
from shared.appraisal.schemes import Questionnaire
from shared.appraisal.schemes.questions import AnyQuestion
from shared.security.policies import PUBLIC
from shared.security.rate_limits import RateLimit
from shared.storage.transaction import Transaction
from shared.web import (
    Form,
    Router,
    Tx,
    client_network,
    enforce_rate_limit,
    read_form,
    redirect,
    render_page,
)
from shared.web.forms import Input

router = Router(prefix="/s", include_in_schema=False)
DEVICE_COOKIE: Final = "fengping_device"
DEVICE_DAYS: Final = 180
CODES_A_MINUTE: Final = (60, 60)
"""Codes tried from one address: guessing one of 130 bits is hopeless, asking for a million is not
allowed.
"""
ALL_UNITS_MAX: Final = 12
"""A questionnaire about more units than this lets people choose those they have dealt with: nobody
answers sixty pages.
"""


class Choice(Input):
    option: int = Field(title="答案")


class Units(Input):
    units: list[int] = Field(default_factory=list, title="单位", max_length=200)


@dataclass(frozen=True, slots=True)
class Sheet:
    """A questionnaire being filled in: whose code, about what, what was answered so far."""

    code: str
    campaign: KnownCampaign
    questionnaire: Questionnaire
    token: str
    kept: dict[str, Any]
    device: str

    @property
    def choosing(self) -> bool:
        """Does the visitor first say which units they have dealt with?"""
        return self.questionnaire.units == "chosen" or len(self.campaign.units) > ALL_UNITS_MAX

    @property
    def units(self) -> list[UnitEntry]:
        """The units asked about, in the order of the register."""
        chosen = set(self.kept.get("units", [] if self.choosing else self.campaign.by_number))
        return [unit for number, unit in self.campaign.by_number.items() if number in chosen]

    @property
    def questions(self) -> list[tuple[UnitEntry, AnyQuestion]]:
        """One after the other: all items of the first unit, then of the next."""
        return [(unit, item) for unit in self.units for item in self.questionnaire.items]

    @property
    def answers(self) -> list[Answer]:
        """What was answered of what is asked."""
        kept = self.kept.get("answers", {})
        return [
            (unit.unit_no, item.no, kept[f"{unit.unit_no}-{item.no}"])
            for unit, item in self.questions
            if f"{unit.unit_no}-{item.no}" in kept
        ]


async def _sheet(request: Request, tx: Transaction, code: str) -> Sheet:
    """The questionnaire of a code. Raises Rejected as `open_questionnaire`, TooManyRequests."""
    await enforce_rate_limit(
        request, RateLimit(f"codes/{client_network(request)}", *CODES_A_MINUTE)
    )
    token = read_token(code)
    device = _device(request, tx)
    _, campaign, questionnaire = await ballots.open_questionnaire(tx, code, device=device)
    # Of a code of one use the code itself opens what was typed; a place's code is known to
    # everybody there.
    sitting = token if len(token) > PLACE_SIGNS else f"{token}/{device}"
    return Sheet(
        token, campaign, questionnaire, sitting, await form_drafts.load(tx, sitting), device
    )


def _device(request: Request, tx: Transaction) -> str:
    """This browser's number as far as we gave it one; a number we did not sign counts as none."""
    given, _, signature = request.cookies.get(DEVICE_COOKIE, "").partition(".")
    return given if given and hmac.compare_digest(signature, _signed(tx, given)) else ""


def _signed(tx: Transaction, device: str) -> str:
    return hmac.digest(context_of(tx).ring.derive_key("device"), device.encode(), sha256).hex()[:32]


@router.get("/{code}", policy=PUBLIC)
async def open_sheet(request: Request, tx: Tx, code: str) -> Response:
    if len(read_token(code)) == PLACE_SIGNS and not _device(request, tx):
        return _give_device(request, tx, code)
    try:
        sheet = await _sheet(request, tx, code)
    except Rejected as refused:
        return _ended(request, refused)
    if sheet.choosing and "units" not in sheet.kept:
        return render_page(request, "sheet-units.html", sheet=sheet, form=Form.with_initial())
    return RedirectResponse(
        f"/s/{sheet.code}/{min(len(sheet.answers), len(sheet.questions) - 1) + 1}", 303
    )


def _give_device(request: Request, tx: Transaction, code: str) -> Response:
    """Number this browser, then come again; a browser that keeps no cookies is told so."""
    if "again" in request.query_params:
        return render_page(
            request,
            "sheet-end.html",
            400,
            heading="无法填写",
            sentence="请允许浏览器保存 Cookie 后再扫码。",
        )
    device = secrets.token_hex(12)
    response = RedirectResponse(f"/s/{read_token(code)}?again=1", 303)
    secure = request.app.state.settings.https
    value = f"{device}.{_signed(tx, device)}"
    response.set_cookie(
        DEVICE_COOKIE,
        value,
        max_age=DEVICE_DAYS * 86400,
        httponly=True,
        samesite="lax",
        secure=secure,
        path="/s",
    )
    return response


ENDS: Final = {404: "链接无效", 409: "已经填过", 410: "已截止"}


def _ended(request: Request, refused: Rejected) -> Response:
    heading = ENDS.get(refused.status)
    if heading is None:
        raise refused
    return render_page(
        request, "sheet-end.html", refused.status, heading=heading, sentence=refused.sentence
    )


@router.post("/{code}/units", policy=PUBLIC)
async def choose_units(request: Request, tx: Tx, code: str) -> Response:
    try:
        sheet = await _sheet(request, tx, code)
    except Rejected as refused:
        return _ended(request, refused)
    form = await read_form(request, Units)
    chosen = (
        [number for number in form.cleaned.units if number in sheet.campaign.by_number]
        if form.cleaned
        else []
    )
    if not chosen:
        form.add_error("请至少选一个打过交道的单位", "units")
        return render_page(request, "sheet-units.html", 422, sheet=sheet, form=form, failed=True)
    await form_drafts.save(tx, sheet.token, {**sheet.kept, "units": chosen})
    return redirect(request, f"/s/{sheet.code}/1")


@router.get("/{code}/{place:int}", policy=PUBLIC)
async def question(request: Request, tx: Tx, code: str, place: int) -> Response:
    try:
        sheet = await _sheet(request, tx, code)
    except Rejected as refused:
        return _ended(request, refused)
    if not 1 <= place <= len(sheet.questions) or place > len(sheet.answers) + 1:
        return RedirectResponse(f"/s/{sheet.code}", 303)
    return _question(request, sheet, place, Form.with_initial())


def _question(
    request: Request, sheet: Sheet, place: int, form: Form[Any], status: int = 200
) -> Response:
    unit, item = sheet.questions[place - 1]
    if not form.texts:
        before = sheet.kept.get("answers", {}).get(f"{unit.unit_no}-{item.no}")
        form = Form.with_initial({"option": before}) if before is not None else form
    return render_page(
        request,
        "sheet.html",
        status,
        sheet=sheet,
        unit=unit,
        item=item,
        place=place,
        last=len(sheet.questions),
        form=form,
        options=sheet.campaign.scheme.options,
        failed=status >= 400,
    )


@router.post("/{code}/{place:int}", policy=PUBLIC)
async def answer(request: Request, tx: Tx, code: str, place: int) -> Response:
    """Keep an answer and go on; after the last one the ballot is cast."""
    try:
        sheet = await _sheet(request, tx, code)
    except Rejected as refused:
        # The last page sent twice: what counts is that the ballot is in.
        return (
            render_page(request, "sheet-thanks.html")
            if refused.status == 409 and request.query_params.get("last")
            else _ended(request, refused)
        )
    if not 1 <= place <= len(sheet.questions):
        return RedirectResponse(f"/s/{sheet.code}", 303)
    form = await read_form(request, Choice)
    options = {option.no for option in sheet.campaign.scheme.options}
    if form.cleaned is None or form.cleaned.option not in options:
        form.errors = []
        form.add_error("请选一项；没有接触过可以选“不了解”", "option")
        return _question(request, sheet, place, form, 422)
    unit, item = sheet.questions[place - 1]
    answered = {**sheet.kept.get("answers", {}), f"{unit.unit_no}-{item.no}": form.cleaned.option}
    kept = {**sheet.kept, "answers": answered}
    if place < len(sheet.questions):
        await form_drafts.save(tx, sheet.token, kept)
        return redirect(request, f"/s/{sheet.code}/{place + 1}")
    return await _cast(
        request,
        tx,
        Sheet(sheet.code, sheet.campaign, sheet.questionnaire, sheet.token, kept, sheet.device),
    )


async def _cast(request: Request, tx: Transaction, sheet: Sheet) -> Response:
    if wait := await ballots.place_wait(tx, request.app.state.limiter, sheet.code):
        sentence = f"此处填写的人较多，请 {-(-wait // 60)} 分钟后再提交，已填的答案会保留。"
        return render_page(request, "sheet-end.html", 429, heading="请稍后再试", sentence=sentence)
    try:
        await ballots.cast_ballot(
            tx, code=sheet.code, answers=sheet.answers, key=sheet.token, device=sheet.device
        )
    except Rejected as refused:
        return _ended(request, refused)
    await form_drafts.delete(tx, sheet.token)
    return render_page(request, "sheet-thanks.html")
