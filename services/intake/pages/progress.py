"""I7 回执, I8 进度查询, I9 评价: public, without script and without an account."""

from typing import Any, Final
from uuid import UUID

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from services.intake.actions import form_drafts
from services.intake.actions.progress import rate_complaint
from services.intake.domain.query_codes import format_query_code, parse_number
from services.intake.pages.report_cookies import RECEIPT_COOKIE
from services.intake.settings import context_of
from services.intake.store import campaigns
from services.intake.store.campaigns import KnownCampaign
from services.intake.views import progress as views
from services.intake.views.progress import ProgressView
from shared.appraisal.errors import Rejected
from shared.appraisal.labels import CaseStage, ComplaintKind, Urgency
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
    render_page,
)
from shared.web.forms import Input

router = Router(prefix="/p", include_in_schema=False)
ATTEMPTS_PER_NUMBER: Final = (5, 15 * 60)
"""Wrong codes for one number from one network. No limit is shared between networks, so that nobody
can lock a complainant out.
"""
ATTEMPTS_PER_NETWORK: Final = (20, 3600)
"""Wrong codes for any numbers from one network."""
STAGES_ON_RECEIPT: Final = {CaseStage.ASSIGN: "告知是否受理", CaseStage.HANDLE: "办理"}


# ── I7 ────────────────────────────────────────────────────────────────────────────────────────────


@router.get("/receipt", policy=PUBLIC)
async def receipt(request: Request, tx: Tx) -> Response:
    token = request.cookies.get(RECEIPT_COOKIE, "")
    saved = await form_drafts.load_receipt(tx, token)
    if saved is None:
        return render_page(request, "receipt.html", 410, number="", code="", time_limits={})
    campaign = await campaigns.current(tx)
    code = views.query_code_of(context_of(tx).ring, saved.complaint_id)
    return render_page(
        request,
        "receipt.html",
        number=saved.number,
        code=format_query_code(code),
        time_limits=_time_limits(campaign) if campaign else {},
    )


def _time_limits(campaign: KnownCampaign) -> dict[str, str]:
    """Return how long deciding and handling take, in the words of the scheme's rules."""
    rules = campaign.scheme.case_rules
    limits = {
        label: rules.limit(stage, ComplaintKind.COMPLAINT, Urgency.NORMAL)
        for stage, label in STAGES_ON_RECEIPT.items()
    }
    return {label: rule.limit.text for label, rule in limits.items() if rule}


# ── I8, I9 ────────────────────────────────────────────────────────────────────────────────────────


class ProgressQuery(Input):
    number: str = Field(title="编号", max_length=60)
    code: str = Field(title="查询码", max_length=40)


class RatingForm(ProgressQuery):
    option: int = Field(title="评价")
    reason: str = Field("", title="原因", max_length=2000)


@router.get("/query", policy=PUBLIC)
async def query_page(request: Request) -> Response:
    return render_page(request, "query.html", form=Form[ProgressQuery].with_initial())


@router.post("/query", policy=PUBLIC)
async def query_progress(
    request: Request,
    tx: Tx,
    limiter: Limiter,
) -> Response:
    """The progress, for number and code. Neither appears in a URL or stays in the browser."""
    form = await read_form(request, ProgressQuery)
    if form.cleaned is None:
        return _render_query(request, form, 422)
    given = form.cleaned
    try:
        progress = await _find_progress(request, tx, limiter, given.number, given.code)
    except Rejected as rejection:
        form.add_error(rejection.sentence)
        return _render_query(request, form, 404)
    return _render_progress(request, tx, progress, form)


@router.post("/rating", policy=PUBLIC)
async def rate(
    request: Request,
    tx: Tx,
    limiter: Limiter,
) -> Response:
    """I9: rate the handling, once. The form repeats number and code."""
    form = await read_form(request, RatingForm)
    number = form.value("number")
    try:
        progress = await _find_progress(request, tx, limiter, number, form.value("code"))
    except Rejected as rejection:
        query: Form[ProgressQuery] = Form.with_initial({"number": number})
        query.add_error(rejection.sentence)
        return _render_query(request, query, 404)
    complaint_id = progress.row.id
    await _rate(tx, complaint_id, form)
    rated = await views.progress_of(tx, complaint_id)
    status = 200 if form.cleaned is not None else 422
    return _render_progress(request, tx, rated, form, status)


async def _rate(
    tx: Transaction,
    complaint_id: UUID,
    form: Form[RatingForm],
) -> None:
    """Save the rating of a valid form; add an error to the form if it is rejected."""
    given = form.cleaned
    if given is None:
        return
    try:
        await rate_complaint(tx, complaint_id, option=given.option, reason=given.reason)
    except Rejected as rejection:
        form.add_error(rejection.sentence, rejection.field or "")


async def _find_progress(
    request: Request,
    tx: Transaction,
    limiter: Limiter,
    number: str,
    code: str,
) -> ProgressView:
    """Return the progress for number and code; a right code is not counted.

    Raises Rejected (404) and TooManyRequests.
    """
    per_number, per_network = _query_limits(request, number)
    await enforce_rate_limit(request, per_number, per_network)
    progress = await views.query_progress(tx, number=number, code=code)
    await limiter.forget(per_number.key)
    await limiter.undo_hit(per_network.key)
    return progress


def _query_limits(request: Request, number: str) -> tuple[RateLimit, RateLimit]:
    network = client_network(request)
    asked = parse_number(number) or number
    return (
        RateLimit(f"query/{len(asked)}/{asked}/{network}", *ATTEMPTS_PER_NUMBER),
        RateLimit(f"query-from/{network}", *ATTEMPTS_PER_NETWORK),
    )


def _render_query(
    request: Request,
    form: Form[ProgressQuery],
    status: int,
) -> Response:
    return render_page(request, "query.html", status, form=form, failed=True)


def _render_progress(
    request: Request,
    tx: Transaction,
    progress: ProgressView,
    form: Form[Any],
    status: int = 200,
) -> Response:
    return render_page(
        request,
        "progress.html",
        status,
        progress=progress,
        row=progress.row,
        form=form,
        as_of=progress.updated_at(tx.now),
        failed=status >= 400,
    )
