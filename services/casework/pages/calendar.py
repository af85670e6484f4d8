"""C8 工作日历: which days are worked, and what an amendment would move before it is saved."""

from dataclasses import dataclass
from datetime import date
from typing import Any, Final, Literal

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from services.casework.actions.calendar import (
    AmendmentPreview,
    ShiftedDeadline,
    amend_calendar,
    preview_amendment,
)
from services.casework.domain.calendar import Amendment
from services.casework.pages.rendering import page_router, render_casework_page
from services.casework.views.calendar import current_calendar, list_amendments, month_weeks
from shared.appraisal.calendar.deadlines import due_label
from shared.appraisal.calendar.working_days import civil_day
from shared.appraisal.errors import Rejected
from shared.appraisal.labels import Role
from shared.foundation.input_rules import value_problem
from shared.security.policies import allow
from shared.storage.transaction import Transaction
from shared.web import CurrentUser, Form, Idempotency, Router, Tx, read_form
from shared.web.forms import Input

router: Router = page_router()
ADMIN = allow(Role.ADMIN)
DAYS_AHEAD_MIN: Final = 30
AFFECTED_MAX: Final = 50


class AmendmentForm(Input):
    """Either a yearly notice (`text`) or one day (`day`, `worked`, `name`)."""

    text: str | None = Field(None, title="年度安排", max_length=100_000)
    day: date | None = Field(None, title="日期")
    worked: Literal["work", "rest"] | None = Field(None, title="这一天")
    name: str | None = Field(None, title="依据", max_length=200)
    shorten: bool = Field(False, title="缩短的期限也一并调整")

    def amendment(self) -> Amendment:
        """Return what is proposed. Raises Rejected (422) with what is wrong."""
        if self.text:
            return Amendment.from_notice(self.text)
        return self._day_amendment()

    def _day_amendment(self) -> Amendment:
        if self.day is None or self.worked is None:
            raise Rejected("请粘贴年度安排，或选定日期并说明是否工作", status=422, field="text")
        return Amendment.for_day(self.day, worked=self.worked == "work", name=self.name or "")


@dataclass(frozen=True, slots=True)
class AffectedCase:
    """A deadline that an amendment affects, as the page lists it."""

    number: str
    before: str
    after: str
    shortened: bool


@router.get("/calendar", policy=ADMIN)
async def calendar_page(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    month: str = "",
    day: str = "",
) -> Response:
    form = Form[Any].with_initial({"day": day} if day else {})
    return await _render(request, tx, month=month, form=form)


async def _render(
    request: Request,
    tx: Transaction,
    *,
    form: Form[Any],
    month: str = "",
    preview: AmendmentPreview | None = None,
    status: int = 200,
) -> Response:
    calendar = await current_calendar(tx)
    shown = preview.new if preview else calendar
    today = civil_day(tx.now)
    first = _first_day(month or form.value("day")[:7], today)
    return render_casework_page(
        request,
        "calendar.html",
        status,
        first=first,
        month=f"{first:%Y-%m}",
        weeks=month_weeks(first, shown, calendar),
        before=_other_month(first, -1),
        after=_other_month(first, 1),
        calendar=calendar,
        ahead=calendar.days_ahead(tx.now),
        ahead_min=DAYS_AHEAD_MIN,
        form=form,
        preview=preview,
        failed=status >= 400,
        amendments=await list_amendments(tx),
        affected=_affected_cases(preview),
        affected_max=AFFECTED_MAX,
        today=today,
        as_of=tx.now,
    )


def _first_day(month: str, today: date) -> date:
    try:
        first = date.fromisoformat(f"{month}-01")
    except ValueError:
        return today.replace(day=1)
    return today.replace(day=1) if value_problem(first) else first


def _other_month(first: date, months: int) -> str:
    count = first.year * 12 + first.month - 1 + months
    return f"{count // 12:04}-{count % 12 + 1:02}"


def _affected_cases(preview: AmendmentPreview | None) -> list[AffectedCase]:
    if preview is None:
        return []
    return [_affected_case(each) for each in preview.affected[:AFFECTED_MAX]]


def _affected_case(deadline: ShiftedDeadline) -> AffectedCase:
    shift = deadline.shift
    return AffectedCase(
        number=deadline.row.number,
        before=due_label(shift.before, shift.was_provisional),
        after=due_label(shift.after.at, shift.after.provisional),
        shortened=shift.shortened,
    )


@router.post("/calendar/preview", policy=ADMIN)
async def preview_page(
    request: Request,
    tx: Tx,
    user: CurrentUser,
) -> Response:
    """Show what an amendment would do; nothing is written."""
    form = await read_form(request, AmendmentForm)
    preview = await _preview(tx, form)
    return await _render(request, tx, form=form, preview=preview, status=200 if preview else 422)


async def _preview(tx: Transaction, form: Form[AmendmentForm]) -> AmendmentPreview | None:
    if form.cleaned is None:
        return None
    try:
        return await preview_amendment(tx, form.cleaned.amendment())
    except Rejected as error:
        form.add_error(error.sentence, error.field or "text")
        return None


@router.post("/calendar/notices", policy=ADMIN)
async def amend(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
) -> Response:
    form = await read_form(request, AmendmentForm)
    if form.cleaned is None:
        return await _render(request, tx, form=form, status=422)
    amendment = form.cleaned.amendment()
    return await idempotency.redirect(
        amend_calendar(tx, amendment, by=user, shorten=form.cleaned.shorten),
        to="/casework/calendar",
    )
