"""I5 公众首页, I6 反映问题向导, I7 回执, I8 进度查询, I9 评价: for everybody, without script,
without an account.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import Path
from pydantic import Field
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from services.intake.actions import attachments, form_drafts, tracking
from services.intake.actions.complaints import code_of
from services.intake.actions.public_reports import (
    RECEIPT_SHOWN,
    PublicReport,
    register_public_reports,
)
from services.intake.domain.complaints import (
    COMPLAINT_TEXT_MIN,
    Report,
    is_phone,
    read_number,
    spoken,
)
from services.intake.pages.words import FINDING_LABELS, WORDS
from services.intake.settings import context_of
from services.intake.store import campaigns, files
from services.intake.store.campaigns import KnownCampaign
from services.intake.store.encrypted_files import FILE_MAX_BYTES
from shared.appraisal.errors import Rejected
from shared.appraisal.labels import ComplaintChannel, ComplaintKind, Urgency
from shared.security.policies import PUBLIC
from shared.security.rate_limits import RateLimit
from shared.storage.transaction import Transaction
from shared.web import (
    CoalescedIdempotency,
    Form,
    Router,
    Transactions,
    Tx,
    client_network,
    enforce_rate_limit,
    read_form,
    redirect,
    render_page,
)
from shared.web.forms import Input
from shared.web.spoken_dates import UnparsableDate, parse_spoken_date

router = Router(prefix="/p", include_in_schema=False)
COOKIE: Final = "fengping_report"
RECEIPT_COOKIE: Final = "fengping_receipt"
SITTING_SECONDS: Final = 2 * 3600
REPORTS_AN_HOUR: Final = (10, 3600)
"""From one address."""
REPORTS_OF_ALL: Final = (600, 3600)
"""From everywhere together: beyond this somebody floods us, and the desk's telephone is still
there.
"""
STEPS_AN_HOUR: Final = (200, 3600)
"""From one address: ten reports, each with its steps, corrections and ways back."""
UPLOADS_AN_HOUR: Final = (30, 3600)
"""From one address: forms that may bring files."""
UPLOADS_OF_ALL: Final = (600, 3600)
TRIES_OF_NUMBER: Final = (5, 15 * 60)
TRIES_OF_ADDRESS: Final = (30, 3600)
STEPS: Final = (
    "反映哪个单位",
    "是哪一类问题",
    "事情经过",
    "照片或文件",
    "怎样联系您",
    "核对并提交",
)
LAST: Final = len(STEPS)
Step = Annotated[int, Path(ge=1, le=LAST)]


# ── what each step asks ───────────────────────────────────────────────────────────────────────────


class WhichUnit(Input):
    unit: str = Field("", title="单位名称", max_length=100)
    unit_id: str = Field("", max_length=100)
    chosen: str = Field("", max_length=100)


class WhichProblem(Input):
    kind: ComplaintKind = Field(title="您要")
    head: str = Field("", title="哪一类", max_length=50)
    item: str = Field("", title="哪一项", max_length=20)


class WhatHappened(Input):
    complaint_text: str = Field(
        title="发生了什么", min_length=COMPLAINT_TEXT_MIN, max_length=20_000
    )
    occurred: str = Field("", title="什么时候", max_length=100)
    place: str = Field("", title="在哪里", max_length=200)


class Files(Input):
    files: list[UploadFile] = Field(default_factory=list, title="照片或文件")
    drop: str = Field("", max_length=40)


class HowToReach(Input):
    identity: str = Field(title="怎样联系您", pattern="^(real_name|confidential|anonymous)$")
    name: str = Field("", title="姓名", max_length=50)
    phone: str = Field("", title="电话", max_length=30)


class Send(Input):
    website: str = Field("", max_length=200)
    """Nobody sees this field; only programs fill it in."""


MODELS: Final[Mapping[int, type[Input]]] = {
    1: WhichUnit,
    2: WhichProblem,
    3: WhatHappened,
    4: Files,
    5: HowToReach,
    6: Send,
}


@dataclass(frozen=True, slots=True)
class Sitting:
    """A visitor's wizard: the token of their cookie and what they typed so far."""

    token: str
    typed: dict[str, Any]


async def _sitting(request: Request, tx: Transaction) -> Sitting:
    token = request.cookies.get(COOKIE, "")
    return Sitting(token, await form_drafts.load(tx, token))


# ── I5 ────────────────────────────────────────────────────────────────────────────────────────────


@router.get("/", policy=PUBLIC)
async def entrance(request: Request, tx: Tx) -> Response:
    return render_page(request, "public-home.html", campaign=await campaigns.current(tx))


@router.get("/units/{unit_id}", policy=PUBLIC)
async def unit_profile(request: Request, tx: Tx, unit_id: str) -> Response:
    """A unit that is appraised: its name, its category, and how to say something about it (J12)."""
    campaign = await campaigns.current(tx)
    unit = campaign.units.get(unit_id) if campaign else None
    if campaign is None or unit is None:
        raise Rejected("本次评议没有这个单位", status=404)
    category = campaign.scheme.category(unit.category)
    return render_page(
        request,
        "public-unit.html",
        unit=unit,
        campaign=campaign,
        category=category.label if category else "",
    )


@router.get("/units", policy=PUBLIC)
async def units(request: Request, tx: Tx, q: str = "") -> Response:
    campaign = await campaigns.current(tx)
    found = (
        campaign.search(q[:50])
        if campaign and q.strip()
        else list(campaign.units.values())
        if campaign
        else []
    )
    return render_page(request, "public-units.html", units=found, q=q[:50], campaign=campaign)


# ── I6 ────────────────────────────────────────────────────────────────────────────────────────────


@router.get("/report", policy=PUBLIC)
async def begin() -> Response:
    return RedirectResponse("/p/report/1", 303)


@router.get("/report/{step}", policy=PUBLIC)
async def step_page(request: Request, tx: Tx, step: Step, unit: str = "") -> Response:
    sitting = await _sitting(request, tx)
    typed = sitting.typed or ({"chosen": unit} if unit else {})
    if step > 1 and (gap := _first_gap(typed, step)):
        return RedirectResponse(f"/p/report/{gap}", 303)
    return await _step(request, tx, step, Form.with_initial(typed), sitting)


def _first_gap(typed: Mapping[str, Any], step: int) -> int:
    """The first step before this one that is not done; 0 when all are."""
    needed = {1: "named", 2: "kind", 3: "complaint_text", 5: "identity"}
    return next(
        (before for before in range(1, step) if before in needed and needed[before] not in typed), 0
    )


async def _step(
    request: Request,
    tx: Transaction,
    step: int,
    form: Form[Any],
    sitting: Sitting,
    status: int = 200,
) -> Response:
    campaign = await campaigns.current(tx)
    if campaign is None:
        return render_page(request, "public-closed.html", 200)
    found = campaign.search(form.value("unit")) if form.value("unit") else []
    context: dict[str, Any] = {"choices": [(unit.unit_id, unit.name) for unit in found]}
    if step in (4, LAST):
        context["files"] = (
            await files.list_for(tx, form_drafts.file_subject(sitting.token))
            if sitting.token
            else []
        )
    return render_page(
        request,
        f"report-{step}.html",
        status,
        form=form,
        campaign=campaign,
        step=step,
        steps=STEPS,
        heads=campaign.scheme.catalogue.heads,
        items=_items(campaign, form.value("head")),
        failed=status >= 400,
        typed=sitting.typed,
        **WORDS,
        **context,
    )


def _items(campaign: KnownCampaign, head: str) -> list[Any]:
    return [
        item for each in campaign.scheme.catalogue.heads if each.key == head for item in each.items
    ]


def _step_rate_limits(request: Request) -> list[RateLimit]:
    """What a stranger may send to the wizard, whatever becomes of it."""
    source = client_network(request)
    limits = [RateLimit(f"report-step/{source}", *STEPS_AN_HOUR)]
    if request.headers.get("content-type", "").lower().startswith("multipart/"):
        limits.append(RateLimit(f"report-files/{source}", *UPLOADS_AN_HOUR))
    return limits


@router.post(
    "/report/{step}",
    policy=PUBLIC,
    body_max=(FILE_MAX_BYTES + 64 * 1024) * attachments.FILES_MAX,
    rate_limits=_step_rate_limits,
)
async def take_step(request: Request, tx: Tx, step: Step) -> Response:
    """Keep what this step asked and go on to the next."""
    if step == LAST:
        return RedirectResponse("/p/report/6", 303)
    sitting = await _sitting(request, tx)
    fresh = sitting if sitting.token else Sitting(form_drafts.new_token(), {})
    form = await read_form(request, MODELS[step])
    campaign = await campaigns.current(tx)
    if form.cleaned is None or campaign is None:
        return await _step(request, tx, step, form, fresh, 422)
    if isinstance(form.cleaned, Files) and form.cleaned.files:
        await enforce_rate_limit(request, RateLimit("report-files/all", *UPLOADS_OF_ALL))
    try:
        typed, onward = await TAKERS[step](tx, campaign, form.cleaned, fresh)
    except Rejected as refused:
        form.add_error(refused.sentence, refused.field or "")
        return await _step(request, tx, step, form, fresh, refused.status)
    await form_drafts.save(tx, fresh.token, fresh.typed | typed)
    response = redirect(request, f"/p/report/{step + 1 if onward else step}")
    _set(request, response, COOKIE, fresh.token, SITTING_SECONDS, path="/p/report")
    return response


def _set(
    request: Request, response: Response, name: str, value: str, seconds: int, *, path: str
) -> None:
    secure = request.app.state.settings.https
    response.set_cookie(
        name, value, max_age=seconds, httponly=True, samesite="lax", secure=secure, path=path
    )


Taken = tuple[dict[str, Any], bool]
"""What to keep, and whether the step is done."""


async def _take_unit(
    tx: Transaction, campaign: KnownCampaign, given: Any, sitting: Sitting
) -> Taken:
    chosen = given.chosen or given.unit_id
    if chosen in campaign.units:
        return {"named": True, "chosen": chosen, "unit": campaign.units[chosen].name}, True
    if given.chosen == "unsure":
        return {"named": True, "chosen": "unsure", "unit": ""}, True
    if not given.unit:
        raise Rejected("请写单位名称，或选“说不清是哪个单位”", status=422, field="unit")
    found = campaign.search(given.unit)
    exact = [unit for unit in found if given.unit in (unit.name, *unit.aliases)] or found
    if len(exact) == 1:
        return {"named": True, "chosen": exact[0].unit_id, "unit": exact[0].name}, True
    if not found:
        raise Rejected(
            f"没有找到“{given.unit[:30]}”。试试单位简称，或选“说不清是哪个单位”",
            status=422,
            field="unit",
        )
    raise Rejected("找到几个单位，请选一个", status=422, field="chosen")


async def _take_problem(
    tx: Transaction, campaign: KnownCampaign, given: Any, sitting: Sitting
) -> Taken:
    if given.kind is ComplaintKind.FINDING:
        raise Rejected("请从列出的选项中选择", status=422, field="kind")
    kept = {"kind": given.kind.value, "head": given.head, "item": given.item}
    items = {item.id for item in _items(campaign, given.head)}
    if given.head in ("", "unsure") or given.item == "unsure":
        return kept | {"item": ""}, bool(given.head)
    return kept, given.item in items


async def _take_story(
    tx: Transaction, campaign: KnownCampaign, given: Any, sitting: Sitting
) -> Taken:
    if given.occurred:
        try:
            if parse_spoken_date(given.occurred, tx.now).at > tx.now:
                raise Rejected("时间不能晚于现在", status=422, field="occurred")
        except UnparsableDate:
            pass  # A complainant may say it as they like: the words are kept as they are.
    return {
        "complaint_text": given.complaint_text,
        "occurred": given.occurred,
        "place": given.place,
    }, True


async def _take_files(
    tx: Transaction, campaign: KnownCampaign, given: Any, sitting: Sitting
) -> Taken:
    subject = form_drafts.file_subject(sitting.token)
    if given.drop:
        await attachments.delete(tx, subject, UUID(given.drop))
        return {}, False
    for file in given.files[: attachments.FILES_MAX + 1]:
        await attachments.upload(tx, subject, await file.read())
    return {}, not given.files


async def _take_contact(
    tx: Transaction, campaign: KnownCampaign, given: Any, sitting: Sitting
) -> Taken:
    if given.identity == "real_name" and not given.name:
        raise Rejected("选择实名时，请填写姓名", status=422, field="name")
    if given.phone and not is_phone(given.phone):
        raise Rejected(
            "电话号码不正确，请填写 11 位手机号或带区号的固定电话", status=422, field="phone"
        )
    nobody = given.identity == "anonymous"
    return {
        "identity": given.identity,
        "name": "" if nobody else given.name,
        "phone": "" if nobody else given.phone,
    }, True


TAKERS: Final = {1: _take_unit, 2: _take_problem, 3: _take_story, 4: _take_files, 5: _take_contact}


@router.post("/report", policy=PUBLIC)
async def send(
    request: Request, transactions: Transactions, idempotency: CoalescedIdempotency
) -> Response:
    """核对并提交: register the complaint with its files and show the receipt once."""
    async with transactions() as tx:
        sitting = await _sitting(request, tx)
        campaign = await campaigns.current(tx)
    form = await read_form(request, Send)
    if form.cleaned is None or form.cleaned.website:
        return RedirectResponse("/p/", 303)
    if not sitting.typed:
        # Sent a second time, or two hours later: the receipt says which.
        return RedirectResponse(
            "/p/receipt" if request.cookies.get(RECEIPT_COOKIE) else "/p/report/1", 303
        )
    if gap := _first_gap(sitting.typed, LAST):
        return RedirectResponse(f"/p/report/{gap}", 303)
    await enforce_rate_limit(
        request,
        RateLimit(f"report/{client_network(request)}", *REPORTS_AN_HOUR),
        RateLimit("report/all", *REPORTS_OF_ALL),
    )
    if campaign is None:
        return render_page(request, "public-closed.html", 200)
    token = form_drafts.new_token()
    submission = PublicReport(_report(sitting.typed, campaign), draft=sitting.token, receipt=token)
    try:
        response = await idempotency.redirect(register_public_reports, submission, "/p/receipt")
    except Rejected as rejection:
        step = STEP_OF_FIELD.get(rejection.field or "", LAST)
        form.add_error(rejection.sentence, rejection.field or "")
        shown = Form.with_initial(sitting.typed) if step < LAST else form
        async with transactions() as tx:
            return await _step(request, tx, step, shown, sitting, rejection.status)
    _set(
        request,
        response,
        RECEIPT_COOKIE,
        token,
        int(RECEIPT_SHOWN.total_seconds()),
        path="/p/receipt",
    )
    response.delete_cookie(COOKIE, path="/p/report")
    return response


STEP_OF_FIELD: Final = {
    "complaint_text": 3,
    "name": 5,
    "phone": 5,
    "unit_id": 1,
    "problem_item": 2,
}
"""Field of a report → the step that asks for it."""


def _report(typed: Mapping[str, Any], campaign: KnownCampaign) -> Report:
    return Report(
        campaign_id=campaign.id,
        channel=ComplaintChannel.ONLINE,
        kind=ComplaintKind(typed["kind"]),
        urgency=Urgency.NORMAL,
        unit_id=typed["chosen"] if typed["chosen"] in campaign.units else None,
        problem_item=typed.get("item") or None,
        complaint_text=typed["complaint_text"],
        identity=typed["identity"],
        name=typed.get("name", ""),
        phone=typed.get("phone", ""),
        place=typed.get("place", ""),
        occurred=typed.get("occurred", ""),
    )


# ── I7 ────────────────────────────────────────────────────────────────────────────────────────────


@router.get("/receipt", policy=PUBLIC)
async def receipt(request: Request, tx: Tx) -> Response:
    kept = await form_drafts.load(tx, request.cookies.get(RECEIPT_COOKIE, ""))
    if not kept or datetime.fromisoformat(kept["until"]) < tx.now:
        return render_page(request, "receipt.html", 410, number="", code="", limits=None)
    campaign = await campaigns.current(tx)
    code = spoken(code_of(context_of(tx).ring, UUID(kept["complaint"])))
    return render_page(
        request,
        "receipt.html",
        number=kept["number"],
        code=code,
        limits=_limits(campaign) if campaign else None,
    )


def _limits(campaign: KnownCampaign) -> dict[str, str]:
    """How long deciding and handling take, in the words of the scheme's own rules."""
    stages = {"assign": "告知是否受理", "handle": "办理"}
    found = {
        word: campaign.scheme.case_rules.limit(
            stage,
            ComplaintKind.COMPLAINT,
            Urgency.NORMAL,
        )
        for stage, word in stages.items()
    }
    return {word: limit.limit.text for word, limit in found.items() if limit}


# ── I8, I9 ────────────────────────────────────────────────────────────────────────────────────────


class Question(Input):
    number: str = Field(title="编号", max_length=60)
    code: str = Field(title="查询码", max_length=40)


class RatingGiven(Question):
    option: int = Field(title="评价")
    reason: str = Field("", title="原因", max_length=2000)


@router.get("/query", policy=PUBLIC)
async def query_page(request: Request) -> Response:
    return render_page(request, "query.html", form=Form[Question].with_initial())


@router.post("/query", policy=PUBLIC)
async def query(request: Request, tx: Tx) -> Response:
    """The progress, for number and code. Neither stands in an address; nothing is kept in the
    browser.
    """
    form = await read_form(request, Question)
    if form.cleaned is None:
        return render_page(request, "query.html", 422, form=form, failed=True)
    try:
        answer = await _ask(request, tx, form.cleaned)
    except Rejected as refused:
        form.add_error(refused.sentence)
        return render_page(request, "query.html", 404, form=form, failed=True)
    return _progress(request, tx, answer, form)


async def _ask(request: Request, tx: Transaction, given: Question) -> tracking.Answer:
    number = read_number(given.number) or given.number
    of_number = RateLimit(f"query/{number}", *TRIES_OF_NUMBER)
    await enforce_rate_limit(
        request, of_number, RateLimit(f"query-from/{client_network(request)}", *TRIES_OF_ADDRESS)
    )
    answer = await tracking.ask_progress(tx, number=given.number, code=given.code)
    await request.app.state.limiter.forget(of_number.key)
    return answer


def _progress(
    request: Request, tx: Transaction, answer: tracking.Answer, form: Form[Any], status: int = 200
) -> Response:
    return render_page(
        request,
        "progress.html",
        status,
        answer=answer,
        row=answer.row,
        form=form,
        finding_labels=FINDING_LABELS,
        as_of=answer.row["updated_at"] or tx.now,
        failed=status >= 400,
    )


@router.post("/rating", policy=PUBLIC)
async def rate(request: Request, tx: Tx) -> Response:
    """I9: how the handling was, once. Number and code come again with the form."""
    form = await read_form(request, RatingGiven)
    try:
        answer = await _ask(
            request,
            tx,
            Question.model_construct(number=form.value("number"), code=form.value("code")),
        )
    except Rejected as refused:
        asked: Form[Question] = Form.with_initial({"number": form.value("number")})
        asked.add_error(refused.sentence)
        return render_page(request, "query.html", 404, form=asked, failed=True)
    if form.cleaned is not None:
        try:
            await tracking.rate(
                tx, answer.row["id"], option=form.cleaned.option, reason=form.cleaned.reason
            )
        except Rejected as refused:
            form.add_error(refused.sentence, refused.field or "")
    status = 200 if form.cleaned is not None else 422
    return _progress(request, tx, await tracking.progress_of(tx, answer.row["id"]), form, status)
