"""往年结果: final results of earlier years; corrections are new lines beside the old ones."""

from decimal import Decimal
from typing import Annotated, Any, Final

from fastapi import Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from services.scoring.actions.approval_kinds.outcomes import OutcomesPayload, request_outcomes
from services.scoring.pages.requests import request_url
from services.scoring.store.outcomes import OutcomeRow
from services.scoring.views.campaigns import current_campaign
from services.scoring.views.organisations import organisation_choices
from services.scoring.views.outcomes import earlier_outcomes
from shared.appraisal.errors import Rejected
from shared.appraisal.labels import Role
from shared.appraisal.schemes import scheme_ids
from shared.foundation.clock import CHINA
from shared.security.approvals.domain import REASON_MAX
from shared.security.policies import Account, allow
from shared.storage.transaction import Transaction
from shared.web import CurrentUser, Form, Idempotency, Router, Tx, read_form, render_page
from shared.web.forms import Input

router = Router(prefix="/scoring/outcomes", include_in_schema=False)
OFFICE: Final = allow(Role.OFFICE)
BOARD: Final = allow(Role.OFFICE, Role.LEADER)
FIRST_YEAR, LAST_YEAR = 2000, 2100


class OutcomeForm(Input):
    """The final result of one unit in an earlier year."""

    scheme: str = Field(title="评议方案", max_length=10)
    year: int = Field(title="年度", ge=FIRST_YEAR, le=LAST_YEAR)
    unit_id: str = Field(title="单位", min_length=1, max_length=40)
    category: str = Field(title="类别", min_length=1, max_length=40)
    total: Decimal | None = Field(None, title="得分", ge=0, le=100)
    rank: int | None = Field(None, title="名次", ge=1, le=10_000)
    from_bottom: int | None = Field(None, title="倒数名次", ge=1, le=10_000)
    grade: str | None = Field(None, title="等次", max_length=40)
    reason: str = Field(title="申请理由", max_length=REASON_MAX)

    @property
    def payload(self) -> OutcomesPayload:
        row = OutcomeRow(
            unit_id=self.unit_id,
            category=self.category,
            total=self.total,
            rank=self.rank,
            from_bottom=self.from_bottom,
            grade=self.grade,
        )
        return OutcomesPayload(self.scheme, self.year, (row,))


@router.get("", policy=BOARD)
async def outcomes_page(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    scheme: Annotated[str, Query(max_length=10)] = "",
    year: Annotated[int | None, Query(ge=FIRST_YEAR, le=LAST_YEAR)] = None,
) -> Response:
    """The results of one year; by default of the year before the newest campaign."""
    campaign = await current_campaign(tx)
    known = campaign.scheme.id if campaign else scheme_ids()[0]
    last_year = (campaign.year if campaign else tx.now.astimezone(CHINA).year) - 1
    scheme, year = scheme or known, year or last_year
    form = Form[Any].with_initial({"scheme": scheme, "year": year})
    return await _render(request, tx, user, form, scheme=scheme, year=year)


async def _render(
    request: Request,
    tx: Transaction,
    user: Account,
    form: Form[Any],
    *,
    scheme: str,
    year: int,
    status: int = 200,
) -> Response:
    return render_page(
        request,
        "outcomes.html",
        status,
        lines=await earlier_outcomes(tx, scheme, year),
        schemes=[(id, id) for id in scheme_ids()],
        units=await organisation_choices(tx),
        scheme=scheme,
        year=year,
        form=form,
        may_request=OFFICE.allows(user),
        failed=status >= 400,
    )


@router.post("", policy=OFFICE)
async def request_outcome(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
) -> Response:
    """申请登记或更正: a second person approves."""
    form = await read_form(request, OutcomeForm)
    given = form.cleaned
    if given is None:
        year = form.value("year")
        shown = int(year) if year.isdecimal() and len(year) == len("2026") else FIRST_YEAR
        scheme = form.value("scheme")
        return await _render(request, tx, user, form, scheme=scheme, year=shown, status=422)
    try:
        action = request_outcomes(tx, given.payload, reason=given.reason, by=user)
        return await idempotency.redirect(action, to=request_url)
    except Rejected as error:
        if error.status != 422:
            raise
        form.add_error(error.sentence, error.field or "")
        return await _render(
            request, tx, user, form, scheme=given.scheme, year=given.year, status=422
        )
