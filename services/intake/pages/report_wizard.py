"""I6 反映问题向导: public, without script and without an account."""

from dataclasses import replace
from typing import Annotated, Any, Final

import msgspec
from fastapi import Path
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from services.intake.actions import attachments, form_drafts
from services.intake.actions.complaints import Registration, register_complaints
from services.intake.actions.redaction import draft_redacted_summary
from services.intake.pages.report_cookies import (
    DRAFT_COOKIE,
    RECEIPT_COOKIE,
    replace_with_receipt,
    set_draft_cookie,
)
from services.intake.pages.report_steps import (
    FILES,
    IDENTITY_CHOICES,
    KIND_CHOICES,
    LAST,
    STEP_OF_FIELD,
    STEPS,
    TITLES,
    UNSURE,
    FilesStep,
    ReportDraft,
    StepResult,
    SubmitForm,
    WizardState,
    WizardStep,
    problem_items,
)
from services.intake.store import campaigns, files
from services.intake.store.campaigns import KnownCampaign
from services.intake.store.encrypted_files import FILE_MAX_BYTES, Upload
from services.intake.store.files import FileRow
from shared.appraisal.errors import Rejected
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

router = Router(prefix="/p", include_in_schema=False)
FORM_OVERHEAD_BYTES: Final = 64 * 1024
REPORTS_PER_HOUR: Final = (10, 3600)
"""From one address."""
ALL_REPORTS_PER_HOUR: Final = (600, 3600)
"""From all addresses together. Beyond it the site is being flooded; the hotline stays open."""
STEPS_PER_HOUR: Final = (200, 3600)
"""From one address: ten reports with their steps, corrections and ways back."""
UPLOADS_PER_HOUR: Final = (30, 3600)
"""From one address: forms that may contain files."""
ALL_UPLOADS_PER_HOUR: Final = (600, 3600)
Step = Annotated[int, Path(ge=1, le=LAST)]
Choice = tuple[str, str]
"""Value and label of a radio button."""


async def _load_state(request: Request, tx: Transaction) -> WizardState:
    token = request.cookies.get(DRAFT_COOKIE, "")
    fields = await form_drafts.load(tx, token)
    return WizardState(token, msgspec.convert(fields, ReportDraft) if fields else None)


async def _load_or_start(request: Request, tx: Transaction) -> WizardState:
    state = await _load_state(request, tx)
    return state if state.token else WizardState(form_drafts.new_token(), None)


def _step_url(step: int) -> str:
    return f"/p/report/{step}"


# ── showing a step ────────────────────────────────────────────────────────────────────────────────


@router.get("/report", policy=PUBLIC)
async def start() -> Response:
    return RedirectResponse(_step_url(1), 303)


@router.get("/report/{step}", policy=PUBLIC)
async def step_page(
    request: Request,
    tx: Tx,
    step: Step,
    unit: str = "",
) -> Response:
    """One step. `unit`: the unit to report about, from its profile page."""
    state = await _load_state(request, tx)
    missing = (state.draft or ReportDraft()).missing_step(before=step)
    if missing:
        return RedirectResponse(_step_url(missing), 303)
    campaign = await campaigns.current(tx)
    initial = state.fields or _preselected(campaign, unit)
    return await _render_step(request, tx, step, Form.with_initial(initial), state)


def _preselected(campaign: KnownCampaign | None, unit_id: str) -> dict[str, str]:
    unit = campaign.units.get(unit_id) if campaign else None
    return {"unit": unit.name} if unit else {}


async def _render_step(
    request: Request,
    tx: Transaction,
    step: int,
    form: Form[Any],
    state: WizardState,
    status: int = 200,
) -> Response:
    campaign = await campaigns.current(tx)
    if campaign is None:
        return render_page(request, "public-closed.html", 200)
    return render_page(
        request,
        f"report-{step}.html",
        status,
        form=form,
        campaign=campaign,
        step=step,
        titles=TITLES,
        draft=state.draft or ReportDraft(),
        files=await _files(tx, step, state),
        proposal=await _proposal(step, campaign, state),
        failed=status >= 400,
        **_choices(campaign, form),
    )


async def _proposal(
    step: int,
    campaign: KnownCampaign,
    state: WizardState,
) -> str:
    """Return the draft of the redacted summary: what the unit may read after the review."""
    if step != LAST or state.draft is None or state.draft.missing_step(before=LAST):
        return ""
    complaint = state.draft.complaint(campaign)
    return await draft_redacted_summary(complaint.complaint_text, complaint.known_values)


async def _files(
    tx: Transaction,
    step: int,
    state: WizardState,
) -> list[FileRow]:
    if step not in (FILES, LAST) or not state.token:
        return []
    return await files.list_for(tx, state.file_subject)


def _choices(campaign: KnownCampaign, form: Form[Any]) -> dict[str, list[Any]]:
    """Return the options of the radio buttons of all steps."""
    return {
        "unit_choices": _unit_choices(campaign, form.value("unit")),
        "kind_choices": KIND_CHOICES,
        "head_choices": _head_choices(campaign),
        "item_choices": _item_choices(campaign, form.value("head")),
        "identity_choices": IDENTITY_CHOICES,
    }


def _unit_choices(campaign: KnownCampaign, typed: str) -> list[Choice]:
    found = campaign.search(typed) if typed else []
    return [(unit.unit_id, unit.name) for unit in found]


def _head_choices(campaign: KnownCampaign) -> list[Choice]:
    heads = [(head.key, head.label) for head in campaign.scheme.catalogue.heads]
    return [*heads, (UNSURE, "说不清")]


def _item_choices(campaign: KnownCampaign, head: str) -> list[Choice]:
    """Return the items of a head, or [] if it has none."""
    items = [(item.id, item.label) for item in problem_items(campaign, head)]
    return [*items, (UNSURE, "都不像，说不清")] if items else []


# ── saving a step ─────────────────────────────────────────────────────────────────────────────────


def _step_rate_limits(request: Request) -> list[RateLimit]:
    """Limits that apply before the body is read."""
    source = client_network(request)
    limits = [RateLimit(f"report-step/{source}", *STEPS_PER_HOUR)]
    content_type = request.headers.get("content-type", "").lower()
    if content_type.startswith("multipart/"):
        limits.append(RateLimit(f"report-files/{source}", *UPLOADS_PER_HOUR))
    return limits


@router.post(
    "/report/{step}",
    policy=PUBLIC,
    body_max=(FILE_MAX_BYTES + FORM_OVERHEAD_BYTES) * attachments.FILES_MAX,
    rate_limits=_step_rate_limits,
)
async def save_step(
    request: Request,
    transactions: Transactions,
    step: Step,
) -> Response:
    """Save what the step asked and go on to the next."""
    if step == LAST:
        return RedirectResponse(_step_url(LAST), 303)
    form: Form[WizardStep] = await read_form(request, STEPS[step])
    uploads, status = await _prepare(request, form)
    async with transactions() as tx:
        state = replace(await _load_or_start(request, tx), uploads=uploads)
        return await _save_step(request, tx, step, form, state, status)


async def _prepare(request: Request, form: Form[WizardStep]) -> tuple[list[Upload], int]:
    """Return the checked files of a valid form, and 200 or the status of its rejection."""
    if form.cleaned is None:
        return [], 422
    await _limit_uploads(request, form.cleaned)
    try:
        return await form.cleaned.prepare(), 200
    except Rejected as rejection:
        form.add_error(rejection.sentence, rejection.field or "")
        return [], rejection.status


async def _save_step(
    request: Request,
    tx: Transaction,
    step: int,
    form: Form[WizardStep],
    state: WizardState,
    status: int,
) -> Response:
    campaign = await campaigns.current(tx)
    if form.cleaned is None or campaign is None:
        return await _render_step(request, tx, step, form, state, max(status, 422))
    try:
        result = await form.cleaned.apply(tx, campaign, state)
    except Rejected as rejection:
        form.add_error(rejection.sentence, rejection.field or "")
        return await _render_step(request, tx, step, form, state, rejection.status)
    await form_drafts.save(tx, state.token, {**state.fields, **result.fields})
    response = redirect(request, _step_url(_next_step(step, result)))
    set_draft_cookie(request, response, state.token)
    return response


async def _limit_uploads(request: Request, step: WizardStep) -> None:
    """Count one upload from all addresses. Raises TooManyRequests."""
    if isinstance(step, FilesStep) and step.files:
        limit = RateLimit("report-files/all", *ALL_UPLOADS_PER_HOUR)
        await enforce_rate_limit(request, limit)


def _next_step(step: int, result: StepResult) -> int:
    return step + 1 if result.complete else step


# ── submitting ────────────────────────────────────────────────────────────────────────────────────


@router.post("/report", policy=PUBLIC)
async def submit(
    request: Request,
    transactions: Transactions,
    idempotency: CoalescedIdempotency,
) -> Response:
    """核对并提交: register the complaint with its files and show the receipt once."""
    async with transactions() as tx:
        state = await _load_state(request, tx)
        campaign = await campaigns.current(tx)
    form = await read_form(request, SubmitForm)
    if form.value("website"):
        return RedirectResponse("/p/", 303)
    if state.draft is None:
        return _redirect_without_draft(request)
    missing = state.draft.missing_step(before=LAST)
    if missing:
        return RedirectResponse(_step_url(missing), 303)
    if form.cleaned is None:
        async with transactions() as tx:
            return await _render_step(request, tx, LAST, form, state, 422)
    await _limit_reports(request)
    if campaign is None:
        return render_page(request, "public-closed.html", 200)
    tokens = form_drafts.WizardTokens(draft=state.token, receipt=form_drafts.new_token())
    complaint = state.draft.complaint(
        campaign,
        withhold=form.cleaned.withhold,
        retaliation_for=form.cleaned.retaliation_for,
    )
    registration = Registration(complaint=complaint, by=None, form=tokens)
    try:
        response = await idempotency.redirect(register_complaints, registration, "/p/receipt")
    except Rejected as rejection:
        async with transactions() as tx:
            return await _render_rejection(request, tx, form, state, rejection)
    replace_with_receipt(request, response, tokens.receipt)
    return response


def _redirect_without_draft(request: Request) -> Response:
    """The report was submitted already, or the draft expired: the receipt page tells which."""
    has_receipt = bool(request.cookies.get(RECEIPT_COOKIE))
    return RedirectResponse("/p/receipt" if has_receipt else _step_url(1), 303)


async def _limit_reports(request: Request) -> None:
    """Count one report from this address and from all. Raises TooManyRequests."""
    await enforce_rate_limit(
        request,
        RateLimit(f"report/{client_network(request)}", *REPORTS_PER_HOUR),
        RateLimit("report/all", *ALL_REPORTS_PER_HOUR),
    )


async def _render_rejection(
    request: Request,
    tx: Transaction,
    form: Form[SubmitForm],
    state: WizardState,
    rejection: Rejected,
) -> Response:
    """Show the step that asks for the rejected field."""
    step = STEP_OF_FIELD.get(rejection.field or "", LAST)
    form.add_error(rejection.sentence, rejection.field or "")
    shown: Form[Any] = Form.with_initial(state.fields) if step < LAST else form
    return await _render_step(request, tx, step, shown, state, rejection.status)
