"""受理审核 and I3 受理详情: what reviewers, supervisors and operators see of complaints."""

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from services.intake.actions import attachments
from services.intake.actions.identities import open_identity, request_opening
from services.intake.actions.mergers import merge_complaint, undo_merger
from services.intake.actions.retaliation import link_retaliation
from services.intake.actions.supplements import add_supplement
from services.intake.domain.complaints import REASON_MIN, REDACTED_SUMMARY_MAX
from services.intake.domain.identity_openings import OPENED_SECONDS, OpeningPurpose
from services.intake.store import campaigns
from services.intake.store.campaigns import KnownCampaign
from services.intake.store.complaint_lists import ComplaintMatch
from services.intake.views import complaints as views
from services.intake.views.complaints import TriageList
from services.intake.views.vault import contact_fields
from shared.appraisal.errors import Rejected
from shared.appraisal.labels import Role
from shared.security.approvals.domain import REASON_MAX
from shared.security.policies import Account, allow
from shared.storage.transaction import Transaction
from shared.web import (
    CurrentUser,
    Form,
    Idempotency,
    NotFound,
    PaletteResult,
    Router,
    Transactions,
    Tx,
    palette_results,
    read_form,
    render_page,
)
from shared.web.forms import Input

router = Router(prefix="/intake", include_in_schema=False)
READERS: Final = allow(Role.OPERATOR, Role.REVIEWER, Role.SUPERVISOR)
REVIEWERS: Final = allow(Role.REVIEWER, Role.SUPERVISOR)
SearchText = Annotated[str, Query(max_length=50)]


# ── 受理审核 ──────────────────────────────────────────────────────────────────────────────────────


@router.get("/triage", policy=REVIEWERS)
async def triage(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    show: SearchText = TriageList.WAITING,
) -> Response:
    """Complaints to review. They are assigned in casework; the complaint text is only here."""
    selected = TriageList(show) if show in set(TriageList) else TriageList.WAITING
    return render_page(
        request,
        "triage.html",
        complaints=await views.triage(tx, selected, user),
        campaign=await campaigns.current(tx),
        tabs=[(each.label, _triage_url(each), None) for each in TriageList],
        here=_triage_url(selected),
        as_of=tx.now,
    )


def _triage_url(selected: TriageList) -> str:
    return f"/intake/triage?show={selected}"


@router.get("/palette", policy=READERS)
async def palette(
    tx: Tx,
    user: CurrentUser,
    q: SearchText = "",
) -> Response:
    """Complaints by number, for the command palette. No personal data can be searched."""
    campaign = await campaigns.current(tx)
    found = await views.search_by_number(tx, q, user)
    results = [_palette_result(complaint, campaign) for complaint in found]
    return JSONResponse(palette_results(results))


def _palette_result(complaint: ComplaintMatch, campaign: KnownCampaign | None) -> PaletteResult:
    unit = campaign.name_of(complaint.unit_id) if campaign else ""
    title = f"{complaint.number} {unit}"
    return PaletteResult("工单", title, _complaint_url(complaint.number), complaint.kind.label)


# ── I3 受理详情 ───────────────────────────────────────────────────────────────────────────────────


def _complaint_url(number: str) -> str:
    return f"/intake/tickets/{number}"


@router.get("/tickets/{number}", policy=READERS)
async def complaint_detail(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    number: str,
) -> Response:
    return await _render_detail(request, tx, user, number, Form.with_initial())


async def _render_detail(
    request: Request,
    tx: Transaction,
    user: Account,
    number: str,
    form: Form[Any],
    status: int = 200,
) -> Response:
    detail = await views.complaint_detail(tx, number, user)
    if detail is None:
        raise NotFound
    return render_page(
        request,
        "ticket.html",
        status,
        detail=detail,
        complaint=detail.complaint,
        form=form,
        purposes=OpeningPurpose.choices(),
        seconds=OPENED_SECONDS,
        failed=status >= 400,
    )


class OpeningForm(Input):
    """A request to open the identity of a complainant."""

    purpose: OpeningPurpose = Field(title="用途")
    reason: str = Field(title="申请理由", max_length=REASON_MAX)


@router.post("/tickets/{number}/identity-openings", policy=REVIEWERS)
async def request_identity(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    number: str,
) -> Response:
    """申请打开来件人身份: the custodian decides."""
    form = await read_form(request, OpeningForm)
    if form.cleaned is None:
        return await _render_detail(request, tx, user, number, form, 422)
    action = request_opening(
        tx, number=number, purpose=form.cleaned.purpose, reason=form.cleaned.reason, by=user
    )
    try:
        return await idempotency.redirect(action, _complaint_url(number))
    except Rejected as error:
        if error.status != 422:
            raise
        form.add_error(error.sentence, error.field or "")
        return await _render_detail(request, tx, user, number, form, 422)


@router.post("/tickets/{number}/identity", policy=REVIEWERS)
async def identity(
    request: Request,
    transactions: Transactions,
    user: CurrentUser,
    number: str,
) -> Response:
    """打开来件人身份: shown once, for OPENED_SECONDS. A page without script leaves by itself."""
    opened = await open_identity(transactions, number=number, by=user)
    page = render_page(
        request,
        "identity.html",
        contact=contact_fields(opened.fields),
        number=number,
        seconds=OPENED_SECONDS,
        at=opened.at,
    )
    page.headers["Refresh"] = f"{OPENED_SECONDS}; url={_complaint_url(number)}"
    return page


class SupplementForm(Input):
    text: str = Field(title="补充说明", min_length=REASON_MIN, max_length=REDACTED_SUMMARY_MAX)


@router.post("/tickets/{number}/supplements", policy=READERS)
async def supplement(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    number: str,
) -> Response:
    form = await read_form(request, SupplementForm)
    if form.cleaned is None:
        return await _render_detail(request, tx, user, number, form, 422)
    return await idempotency.redirect(
        add_supplement(tx, number=number, text=form.cleaned.text, by=user), _complaint_url(number)
    )


class MergeForm(Input):
    into: str = Field(title="并入", max_length=20)


@router.post("/tickets/{number}/merger", policy=allow(Role.REVIEWER))
async def merge(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    number: str,
) -> Response:
    form = await read_form(request, MergeForm)
    if form.cleaned is None:
        return await _render_detail(request, tx, user, number, form, 422)
    return await idempotency.redirect(
        merge_complaint(tx, number=number, into=form.cleaned.into, by=user),
        _complaint_url(number),
    )


class UnmergeForm(Input):
    reason: str = Field(title="撤销理由", min_length=REASON_MIN, max_length=500)


@router.post("/tickets/{number}/merger/undoing", policy=allow(Role.REVIEWER))
async def unmerge(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    number: str,
) -> Response:
    """撤销并入."""
    form = await read_form(request, UnmergeForm)
    if form.cleaned is None:
        return await _render_detail(request, tx, user, number, form, 422)
    return await idempotency.redirect(
        undo_merger(tx, number=number, reason=form.cleaned.reason, by=user),
        _complaint_url(number),
    )


class RetaliationForm(Input):
    source: str = Field(title="原受理编号", max_length=20)


@router.post("/tickets/{number}/retaliation", policy=allow(Role.REVIEWER))
async def link_to_source(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    number: str,
) -> Response:
    """关联原件: this complaint reports retaliation because of another."""
    form = await read_form(request, RetaliationForm)
    if form.cleaned is None:
        return await _render_detail(request, tx, user, number, form, 422)
    return await idempotency.redirect(
        link_retaliation(tx, number=number, source_number=form.cleaned.source, by=user),
        _complaint_url(number),
    )


# ── attachments ───────────────────────────────────────────────────────────────────────────────────


@router.get("/tickets/{number}/files/{file_id}", policy=REVIEWERS)
async def attachment(
    tx: Tx,
    user: CurrentUser,
    number: str,
    file_id: UUID,
) -> Response:
    """The picture without its metadata, or the document as a download."""
    body, media_type = await attachments.read(tx, number, file_id, by=user)
    disposition = "inline" if media_type == "image/jpeg" else "attachment"
    headers = {"Content-Disposition": f"{disposition}; filename=attachment"}
    return Response(body, media_type=media_type, headers=headers)


@router.post("/tickets/{number}/files/{file_id}/release", policy=allow(Role.REVIEWER))
async def release_attachment(
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    number: str,
    file_id: UUID,
) -> Response:
    """发布给承办单位."""
    return await idempotency.redirect(
        attachments.release(tx, number, file_id, by=user), _complaint_url(number)
    )
