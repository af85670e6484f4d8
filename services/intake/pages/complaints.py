"""I1 工单登记, I2 我的登记, I3 受理详情, and the list from which reviewers come to it."""

from datetime import datetime, time, timedelta
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response

from services.intake.actions import attachments, complaints
from services.intake.actions.complaints import Registered, code_of
from services.intake.domain.complaints import (
    COMPLAINT_TEXT_MIN,
    OWN_EDIT,
    REASON_MIN,
    REDACTED_SUMMARY_MAX,
    Report,
    spoken,
)
from services.intake.pages.words import KINDS, WORDS
from services.intake.settings import context_of
from services.intake.store import campaigns, files
from services.intake.store import complaints as store
from services.intake.store.campaigns import KnownCampaign
from shared.appraisal.errors import Rejected
from shared.appraisal.labels import ComplaintChannel, ComplaintKind, Role, Urgency
from shared.foundation.clock import CHINA
from shared.security.policies import Account, allow
from shared.storage.transaction import Transaction, new_id
from shared.web import (
    CoalescedIdempotency,
    CurrentUser,
    Form,
    Idempotency,
    NotFound,
    PaletteResult,
    Router,
    Transactions,
    Tx,
    matches_search,
    palette_results,
    read_form,
    redirect,
    render_page,
    search_terms,
)
from shared.web.forms import Input
from shared.web.rendering import format_time
from shared.web.spoken_dates import UnparsableDate, parse_spoken_date

router = Router(prefix="/intake", include_in_schema=False)
OPERATORS: Final = allow(Role.OPERATOR)
READERS: Final = allow(Role.OPERATOR, Role.REVIEWER, Role.SUPERVISOR)
REVIEWERS: Final = allow(Role.REVIEWER, Role.SUPERVISOR)
UNSURE: Final = "不确定"
REVEALED_SECONDS: Final = 60
Typed = Annotated[str, Query(max_length=50)]


class Ticket(Input):
    """The desk's form. `unit` and `problem` are what was typed, `…_id` what was chosen."""

    draft_id: UUID
    campaign_id: str = Field(max_length=100)
    phone: str = Field("", title="来电号码", max_length=30)
    name: str = Field("", title="来电人", max_length=50)
    identity: str = Field(title="身份", pattern="^(real_name|confidential|anonymous)$")
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
    merge_into: str = Field("", max_length=20)

    def report(self) -> Report:
        """As the actions take it."""
        return Report(
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
        )

    def entry(self, *, by: Account) -> complaints.Entry:
        """Return the complaint to register; it takes the place of the draft."""
        return complaints.Entry(
            report=self.report(), by=by, merge_into=self.merge_into, draft_id=self.draft_id
        )


BLANK: Final = {"identity": "confidential", "kind": "complaint", "urgency": "normal"}
DRAFT_FIELDS: Final = tuple(name for name in Ticket.model_fields if name != "draft_id")


# ── I1 工单登记 ───────────────────────────────────────────────────────────────────────────────────


@router.get("/desk", policy=OPERATORS)
async def desk(
    request: Request, tx: Tx, user: CurrentUser, draft: UUID | None = None, done: Typed = ""
) -> Response:
    drafts = await complaints.drafts_of(tx, user)
    fields = next((kept for draft_id, _, kept in drafts if draft_id == draft), None)
    form: Form[Ticket] = Form.with_initial(
        {**BLANK, **(fields or {}), "draft_id": draft if fields else new_id()}
    )
    return await _desk(
        request, tx, user, form, drafts=drafts, done=await _just_registered(tx, user, done)
    )


async def _desk(
    request: Request, tx: Tx, user: Account, form: Form[Ticket], status: int = 200, **more: Any
) -> Response:
    campaign = await campaigns.current(tx)
    if campaign is None:
        return render_page(request, "no-campaign.html", 200)
    if not form.value("campaign_id"):
        form.texts["campaign_id"] = [campaign.id]
    context = {
        "drafts": await complaints.drafts_of(tx, user)
        if "drafts" not in more
        else more.pop("drafts"),
        "done": None,
        **more,
    }
    return render_page(
        request,
        "desk.html",
        status,
        form=form,
        campaign=campaign,
        failed=status >= 400,
        **WORDS,
        **context,
    )


async def _just_registered(tx: Transaction, user: Account, number: str) -> dict[str, Any] | None:
    """Number and code of what this operator registered a moment ago, to be read to the complainant."""
    row = await store.visible(tx, number, user) if number else None
    if row is None or row["registered_by"] != user.id or row["registered_at"] < tx.now - OWN_EDIT:
        return None
    return {
        "number": number,
        "code": spoken(code_of(context_of(tx).ring, row["id"])),
        "merged": row["merged_number"],
    }


@router.post("/desk", policy=OPERATORS)
async def register(
    request: Request,
    user: CurrentUser,
    transactions: Transactions,
    idempotency: CoalescedIdempotency,
) -> Response:
    form = await read_form(request, Ticket)
    async with transactions() as tx:
        campaign = await campaigns.current(tx)
        if form.cleaned is not None and campaign is not None:
            _complete(form, form.cleaned, campaign, tx.now)
        if form.cleaned is None:
            return await _desk(request, tx, user, form, 422)
    entry = form.cleaned.entry(by=user)
    try:
        return await idempotency.redirect(complaints.register_complaints, entry, _desk_url)
    except Rejected as rejection:
        field = rejection.field or ""
        form.add_error(rejection.sentence, DESK_FIELDS.get(field, field))
        async with transactions() as tx:
            return await _desk(request, tx, user, form, rejection.status)


DESK_FIELDS: Final = {"unit_id": "unit", "problem_item": "problem"}
"""Field of a report → the field of the desk's form that shows its errors."""


def _desk_url(registered: Registered) -> str:
    return f"/intake/desk?done={registered.number}"


def _complete(form: Form[Ticket], ticket: Ticket, campaign: KnownCampaign, now: datetime) -> None:
    """Find what was typed but not chosen (always so without JavaScript), and what a desk must ask
    for.
    """
    problems = []
    if ticket.urgency is not Urgency.NORMAL and len(ticket.urgency_reason.strip()) < REASON_MIN:
        problems.append(("urgency_reason", f"紧急、特急请写明理由，至少 {REASON_MIN} 个字"))
    if not ticket.unit_id and ticket.unit and ticket.unit != UNSURE:
        found = campaign.search(ticket.unit)
        exact = [
            unit for unit in found if ticket.unit in (unit.name, unit.unit_id, *unit.aliases)
        ] or found
        if len(exact) == 1:
            ticket.unit_id = exact[0].unit_id
        else:
            problems.append(("unit", "请从列表中选择被反映单位，或填“不确定”"))
    elif not ticket.unit_id and not ticket.unit and ticket.kind is not ComplaintKind.INQUIRY:
        problems.append(("unit", "请选择被反映单位，或填“不确定”"))
    if not ticket.problem_id and ticket.problem != UNSURE:
        items = problem_items(campaign, ticket.problem) if ticket.problem else []
        if len(items) == 1:
            ticket.problem_id = items[0]["value"]
        else:
            problems.append(("problem", "请从列表中选择问题分类，或填“不确定”"))
    if ticket.occurred and (wrong := _moment_trouble(ticket.occurred, now)):
        problems.append(("occurred", wrong))
    if len(ticket.complaint_text) < COMPLAINT_TEXT_MIN:
        problems.append(("complaint_text", f"请填写“诉求原文”，至少 {COMPLAINT_TEXT_MIN} 个字"))
    if not ticket.redacted_summary:
        problems.append(("redacted_summary", "请填写“转办摘要”，或由原文生成草稿"))
    if len(ticket.redacted_summary) > REDACTED_SUMMARY_MAX:
        problems.append(
            (
                "redacted_summary",
                f"“转办摘要”最多 {REDACTED_SUMMARY_MAX} 个字，已超出 {len(ticket.redacted_summary) - REDACTED_SUMMARY_MAX} 字",
            )
        )
    for name, sentence in problems:
        form.add_error(sentence, name)


def _moment_trouble(text: str, now: datetime) -> str:
    try:
        parsed = parse_spoken_date(text, now)
    except UnparsableDate as error:
        return str(error)
    return "发生时间不能晚于现在" if parsed.at > now else ""


@router.post("/desk/drafts", policy=OPERATORS)
async def save_draft(request: Request, tx: Tx, user: CurrentUser) -> Response:
    """Keep what is typed; the answer is the sentence to show."""
    sent = await request.form()
    draft_id = UUID(str(sent.get("draft_id", "")))
    fields = {name: str(sent.get(name) or "")[: 4 * REDACTED_SUMMARY_MAX] for name in DRAFT_FIELDS}
    if not any(
        fields[name]
        for name in (
            "phone",
            "name",
            "unit",
            "problem",
            "place",
            "complaint_text",
            "redacted_summary",
        )
    ):
        return PlainTextResponse("")
    saved_at = await complaints.save_draft(tx, draft_id, fields, by=user)
    return PlainTextResponse(f"草稿已保存 {format_time(saved_at).striptags()}")


@router.post("/desk/drafts/{draft_id}/removal", policy=OPERATORS)
async def remove_draft(request: Request, tx: Tx, user: CurrentUser, draft_id: UUID) -> Response:
    await complaints.drop_draft(tx, draft_id, by=user)
    return redirect(request, "/intake/desk/mine")


# ── what the desk asks while somebody types ───────────────────────────────────────────────────────


@router.get("/desk/units", policy=allow(Role.OPERATOR, Role.REVIEWER, Role.OFFICE))
async def unit_options(tx: Tx, q: Typed = "") -> Response:
    """Units for the combobox, by 汉字, 全拼, 首字母, 编码 or alias."""
    campaign = await campaigns.current(tx)
    found = (
        campaign.search(q)
        if campaign and q.strip()
        else list(campaign.units.values())[:10]
        if campaign
        else []
    )
    labels = (
        {category.key: category.label for category in campaign.scheme.categories}
        if campaign
        else {}
    )
    options = [
        {"value": unit.unit_id, "text": unit.name, "hint": labels.get(unit.category, "")}
        for unit in found
    ]
    return JSONResponse(
        [
            *options,
            *(
                [{"value": "", "text": UNSURE, "hint": "交受理审核确定"}]
                if not q or matches_search(q, search_terms(UNSURE))
                else []
            ),
        ]
    )


@router.get("/desk/problems", policy=allow(Role.OPERATOR, Role.REVIEWER, Role.OFFICE))
async def problem_options(tx: Tx, q: Typed = "") -> Response:
    """Items of the catalogue for the combobox, by number, keyword, 全拼 or 首字母."""
    campaign = await campaigns.current(tx)
    return JSONResponse(
        [*problem_items(campaign, q), {"value": "", "text": UNSURE, "hint": "交受理审核确定"}]
        if campaign
        else []
    )


def problem_items(campaign: KnownCampaign, typed: str) -> list[dict[str, str]]:
    """Items of the problem catalogue that fit what was typed; all when nothing was."""
    wanted = typed.strip()
    number = wanted.split(" ", 1)[0].zfill(2) if wanted[:1].isdigit() else ""
    listed = [(head, item) for head in campaign.scheme.catalogue.heads for item in head.items]
    return [
        {"value": item.id, "text": f"{item.id} {item.label}", "hint": head.label}
        for head, item in listed
        if (
            item.id == number
            if number
            else not wanted
            or matches_search(wanted, search_terms(item.label))
            or matches_search(wanted, search_terms(head.label))
        )
    ]


@router.get("/desk/moment", policy=OPERATORS)
async def moment_read(tx: Tx, occurred: Annotated[str, Query(max_length=100)] = "") -> Response:
    """What was understood of a time as told."""
    if not occurred.strip():
        return HTMLResponse("")
    trouble = _moment_trouble(occurred, tx.now)
    return PlainTextResponse(
        trouble or str(parse_spoken_date(occurred, tx.now)), media_type="text/html"
    )


@router.post("/desk/draft-summary", policy=OPERATORS)
async def draft_redacted_summary(request: Request) -> Response:
    """由原文生成草稿: the complaint text with everything personal masked, as text for the field."""
    sent = await request.form()
    known = tuple(text for name in ("name", "phone") if (text := str(sent.get(name) or "").strip()))
    return PlainTextResponse(
        complaints.draft_redacted_summary(
            str(sent.get("complaint_text") or "")[:REDACTED_SUMMARY_MAX], known
        )
    )


@router.post("/desk/history", policy=OPERATORS)
async def history(request: Request, tx: Tx, user: CurrentUser) -> Response:
    """该号码历史, for the number in the body: a number never stands in an address."""
    phone = str((await request.form()).get("phone") or "")
    rows = await complaints.complainant_history(tx, phone=phone, by=user)
    return render_page(
        request,
        "desk-history.html",
        rows=rows,
        phone=bool(phone),
        mine=user.id,
        campaign=await campaigns.current(tx),
        **WORDS,
    )


@router.post("/desk/similar", policy=OPERATORS)
async def similar(request: Request, tx: Tx, user: CurrentUser) -> Response:
    """疑似重复, for the unit and the texts in the body."""
    sent = {
        name: str(value) for name, value in (await request.form()).items() if isinstance(value, str)
    }
    redacted_summary, unit_id = (
        sent.get("redacted_summary", "").strip()
        or complaints.draft_redacted_summary(sent.get("complaint_text", "")),
        sent.get("unit_id", ""),
    )
    ready = bool(unit_id) and len(redacted_summary) >= 2 * REASON_MIN
    rows = (
        await complaints.similar_complaints(
            tx,
            campaign_id=sent.get("campaign_id", ""),
            unit_id=unit_id,
            redacted_summary=redacted_summary[:REDACTED_SUMMARY_MAX],
            user=user,
        )
        if ready
        else []
    )
    return render_page(
        request,
        "desk-similar.html",
        rows=rows,
        ready=ready,
        chosen=sent.get("merge_into", ""),
        **WORDS,
    )


# ── I2 我的登记 ───────────────────────────────────────────────────────────────────────────────────


@router.get("/desk/mine", policy=OPERATORS)
async def mine(
    request: Request, tx: Tx, user: CurrentUser, days: Annotated[int, Query(ge=1, le=7)] = 1
) -> Response:
    midnight = datetime.combine(tx.now.astimezone(CHINA).date(), time.min, CHINA)
    rows = await store.registered_by(tx, user.id, since=midnight - timedelta(days=days - 1))
    drafts = await complaints.drafts_of(tx, user)
    tabs = [("今天", "/intake/desk/mine", None), ("近 7 天", "/intake/desk/mine?days=7", None)]
    return render_page(
        request,
        "mine.html",
        rows=rows,
        drafts=drafts,
        campaign=await campaigns.current(tx),
        tabs=tabs,
        here=tabs[days == 7][1],
        as_of=tx.now,
        **WORDS,
    )


# ── the reviewers' list ───────────────────────────────────────────────────────────────────────────

LISTS: Final = {"waiting": "尚未分派", "unsure": "不确定单位", "all": "近 7 天"}


@router.get("/triage", policy=REVIEWERS)
async def triage(request: Request, tx: Tx, user: CurrentUser, show: Typed = "waiting") -> Response:
    """受理审核: what came in and nobody is responsible for yet. It is dispatched in casework; here
    stand the complainant's own words.
    """
    show = show if show in LISTS else "waiting"
    rows = await store.received(
        tx,
        user,
        since=tx.now - timedelta(days=7),
        waiting=show == "waiting",
        unsure=show == "unsure",
    )
    tabs = [(label, f"/intake/triage?show={key}", None) for key, label in LISTS.items()]
    return render_page(
        request,
        "triage.html",
        rows=rows,
        tabs=tabs,
        here=f"/intake/triage?show={show}",
        campaign=await campaigns.current(tx),
        as_of=tx.now,
        **WORDS,
    )


# ── I3 受理详情 ───────────────────────────────────────────────────────────────────────────────────


@router.get("/tickets/{number}", policy=READERS)
async def ticket(request: Request, tx: Tx, user: CurrentUser, number: str) -> Response:
    return await _ticket(request, tx, user, number, Form.with_initial())


async def _ticket(
    request: Request, tx: Tx, user: Account, number: str, form: Form[Any], status: int = 200
) -> Response:
    reading = await complaints.read_complaint(tx, number, user)
    if reading is None:
        raise NotFound
    progress = await complaints.progress_of(tx, reading.row["id"])
    campaign = await campaigns.get(tx, reading.row["campaign_id"])
    attached = await files.list_for(tx, reading.row["id"])
    alike = await complaints.alike(tx, reading.row, user)
    return render_page(
        request,
        "ticket.html",
        status,
        reading=reading,
        row=reading.row,
        progress=progress,
        campaign=campaign,
        files=attached,
        alike=alike,
        form=form,
        may_merge=user.role is Role.REVIEWER,
        failed=status >= 400,
        **WORDS,
    )


@router.post("/tickets/{number}/identity", policy=REVIEWERS)
async def identity(request: Request, tx: Tx, user: CurrentUser, number: str) -> Response:
    """查看联系方式: shown for a minute, in this answer only. The audit leaf is committed before the
    answer leaves.
    """
    reason = str((await request.form()).get("reason") or "")
    shown = await complaints.reveal_identity(tx, number=number, reason=reason, by=user)
    return render_page(
        request, "identity.html", shown=shown, number=number, seconds=REVEALED_SECONDS, at=tx.now
    )


class Supplement(Input):
    text: str = Field(title="补充说明", min_length=REASON_MIN, max_length=REDACTED_SUMMARY_MAX)


@router.post("/tickets/{number}/supplements", policy=READERS)
async def supplement(
    request: Request, tx: Tx, user: CurrentUser, idempotency: Idempotency, number: str
) -> Response:
    form = await read_form(request, Supplement)
    if form.cleaned is None:
        return await _ticket(request, tx, user, number, form, 422)
    return await idempotency.redirect(
        complaints.add_supplement(tx, number=number, text=form.cleaned.text, by=user),
        f"/intake/tickets/{number}",
    )


class Merger(Input):
    into: str = Field(title="并入", max_length=20)


@router.post("/tickets/{number}/merger", policy=allow(Role.REVIEWER))
async def merge(
    request: Request, tx: Tx, user: CurrentUser, idempotency: Idempotency, number: str
) -> Response:
    form = await read_form(request, Merger)
    if form.cleaned is None:
        return await _ticket(request, tx, user, number, form, 422)
    return await idempotency.redirect(
        complaints.merge_complaint(tx, number=number, into=form.cleaned.into, by=user),
        f"/intake/tickets/{number}",
    )


@router.get("/tickets/{number}/files/{file_id}", policy=REVIEWERS)
async def attachment(tx: Tx, user: CurrentUser, number: str, file_id: UUID) -> Response:
    """An attachment: the picture without its metadata, or the sealed document as a download."""
    body, media_type = await attachments.read(tx, number, file_id, by=user)
    kind = "inline" if media_type == "image/jpeg" else "attachment"
    return Response(
        body, media_type=media_type, headers={"Content-Disposition": f"{kind}; filename=attachment"}
    )


@router.post("/tickets/{number}/files/{file_id}/release", policy=allow(Role.REVIEWER))
async def release(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    number: str,
    file_id: UUID,
) -> Response:
    """发布给承办单位."""
    return await idempotency.redirect(
        attachments.release(tx, number, file_id, by=user), f"/intake/tickets/{number}"
    )


@router.get("/palette", policy=READERS)
async def palette(tx: Tx, user: CurrentUser, q: Typed = "") -> Response:
    """Complaints by number and units by name, for the command palette. Nothing of a person can be
    found here.
    """
    typed, campaign = q.strip().upper(), await campaigns.current(tx)
    rows = (
        await store.search(tx, typed.removeprefix("ZT"), user)
        if len(typed.removeprefix("ZT")) >= 3 and typed[-1].isdigit()
        else []
    )
    found = [
        PaletteResult(
            "工单",
            f"{row['number']} {campaign.name_of(row['unit_id']) if campaign else ''}",
            f"/intake/tickets/{row['number']}",
            KINDS[row["kind"]],
        )
        for row in rows
    ]
    return JSONResponse(palette_results(found))
