"""I1 工单登记 and I2 我的登记: the hotline desk."""

from typing import Annotated, Final
from uuid import UUID

from fastapi import Query
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from services.intake.actions import hotline_drafts
from services.intake.actions.caller_history import forget_lookup
from services.intake.actions.complaints import RegisteredComplaint, register_complaints
from services.intake.domain.complaints import REDACTED_SUMMARY_MAX
from services.intake.domain.identities import Identity
from services.intake.pages.hotline_ticket import (
    DRAFT_FIELDS,
    INITIAL,
    KINDS_OFFERED,
    TYPED_FIELDS,
    HotlineTicket,
    complete_ticket,
)
from services.intake.store import campaigns
from services.intake.views import hotline as views
from services.intake.views.hotline import HotlineDraftView, RegisteredTicket
from shared.appraisal.errors import Rejected
from shared.appraisal.labels import Role, Urgency
from shared.security.policies import Account, allow
from shared.storage.transaction import Transaction, new_id
from shared.web import (
    CoalescedIdempotency,
    CurrentUser,
    Form,
    Limiter,
    Router,
    Transactions,
    Tx,
    read_form,
    redirect,
    render_page,
)
from shared.web.rendering import format_time

router = Router(prefix="/intake/desk", include_in_schema=False)
OPERATORS: Final = allow(Role.OPERATOR)
DRAFT_FIELD_MAX: Final = 4 * REDACTED_SUMMARY_MAX
FIELD_ON_PAGE: Final = {"unit_id": "unit", "problem_item": "problem"}
"""Field of a complaint → the field of the form that shows its errors."""
TABS: Final = [("今天", "/intake/desk/mine", None), ("近 7 天", "/intake/desk/mine?days=7", None)]


@router.get("", policy=OPERATORS)
async def desk(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    draft: UUID | None = None,
    done: Annotated[str, Query(max_length=50)] = "",
) -> Response:
    drafts = await views.drafts_of(tx, user)
    form = _form_of(drafts, draft)
    registered = await views.just_registered(tx, done, user)
    return await _render_desk(request, tx, form, drafts=drafts, registered=registered)


def _form_of(drafts: list[HotlineDraftView], draft_id: UUID | None) -> Form[HotlineTicket]:
    """Return the form with the fields of this draft, or of a new draft if there is none."""
    fields = next((draft.fields for draft in drafts if draft.id == draft_id), {})
    shown_id = draft_id if fields else new_id()
    return Form.with_initial({**INITIAL, **fields, "draft_id": shown_id})


async def _render_desk(
    request: Request,
    tx: Transaction,
    form: Form[HotlineTicket],
    status: int = 200,
    *,
    drafts: list[HotlineDraftView],
    registered: RegisteredTicket | None = None,
) -> Response:
    campaign = await campaigns.current(tx)
    if campaign is None:
        return render_page(request, "no-campaign.html", 200)
    if not form.value("campaign_id"):
        form.texts["campaign_id"] = [campaign.id]
    return render_page(
        request,
        "desk.html",
        status,
        form=form,
        drafts=drafts,
        registered=registered,
        identities=Identity.choices(),
        kinds=KINDS_OFFERED,
        urgencies=Urgency.choices(),
        failed=status >= 400,
    )


@router.post("", policy=OPERATORS)
async def register_ticket(
    request: Request,
    user: CurrentUser,
    transactions: Transactions,
    idempotency: CoalescedIdempotency,
    limiter: Limiter,
) -> Response:
    form = await read_form(request, HotlineTicket)
    async with transactions() as tx:
        campaign = await campaigns.current(tx)
        if campaign is not None:
            complete_ticket(form, campaign, tx.now)
        if form.cleaned is None:
            return await _render_errors(request, tx, user, form, 422)
    registration = form.cleaned.registration(by=user)
    try:
        answer = await idempotency.redirect(register_complaints, registration, _desk_url)
        await forget_lookup(limiter, ticket_id=form.cleaned.draft_id, account=user)
        return answer
    except Rejected as rejection:
        field = rejection.field or ""
        form.add_error(rejection.sentence, FIELD_ON_PAGE.get(field, field))
        async with transactions() as tx:
            return await _render_errors(request, tx, user, form, rejection.status)


async def _render_errors(
    request: Request,
    tx: Transaction,
    user: Account,
    form: Form[HotlineTicket],
    status: int,
) -> Response:
    drafts = await views.drafts_of(tx, user)
    return await _render_desk(request, tx, form, status, drafts=drafts)


def _desk_url(registered: RegisteredComplaint) -> str:
    return f"/intake/desk?done={registered.number}"


# ── drafts ────────────────────────────────────────────────────────────────────────────────────────


@router.post("/drafts", policy=OPERATORS)
async def save_draft(
    request: Request,
    tx: Tx,
    user: CurrentUser,
) -> Response:
    """Save the draft; return the sentence that the page shows."""
    sent = await request.form()
    draft_id = draft_id_of(sent)
    fields = _draft_fields(sent)
    if not any(fields[name] for name in TYPED_FIELDS):
        return PlainTextResponse("")
    saved_at = await hotline_drafts.save_draft(tx, draft_id, fields, by=user)
    return PlainTextResponse(f"草稿已保存 {format_time(saved_at).striptags()}")


def draft_id_of(sent: FormData) -> UUID:
    """Return the id of the ticket in a form. Raises Rejected (422)."""
    try:
        return UUID(str(sent.get("draft_id", "")))
    except ValueError as error:
        raise Rejected("草稿的编号不正确，请刷新页面", status=422, field="draft_id") from error


def _draft_fields(sent: FormData) -> dict[str, str]:
    return {name: str(sent.get(name) or "")[:DRAFT_FIELD_MAX] for name in DRAFT_FIELDS}


@router.post("/drafts/{draft_id}/removal", policy=OPERATORS)
async def delete_draft(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    draft_id: UUID,
) -> Response:
    await hotline_drafts.delete_draft(tx, draft_id, by=user)
    return redirect(request, "/intake/desk/mine")


# ── I2 我的登记 ───────────────────────────────────────────────────────────────────────────────────


@router.get("/mine", policy=OPERATORS)
async def own_tickets(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    days: Annotated[int, Query(ge=1, le=7)] = 1,
) -> Response:
    _, here, _ = TABS[days == 7]
    return render_page(
        request,
        "mine.html",
        complaints=await views.own_tickets(tx, user, days=days),
        drafts=await views.drafts_of(tx, user),
        campaign=await campaigns.current(tx),
        tabs=TABS,
        here=here,
        as_of=tx.now,
    )
