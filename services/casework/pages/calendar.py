"""C8 工作日历: what is worked, and what another arrangement would move before it is saved."""

from calendar import Calendar
from datetime import date
from typing import Any, Literal

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from services.casework.actions import calendar
from services.casework.actions.calendar import Proposal
from services.casework.pages.words import render_casework_page
from services.casework.store import reference
from shared.appraisal.calendar.deadlines import due_label
from shared.appraisal.calendar.working_days import WorkCalendar, civil_day
from shared.appraisal.errors import Rejected
from shared.appraisal.labels import Role
from shared.security.policies import allow
from shared.storage.transaction import Transaction
from shared.web import CurrentUser, Form, Idempotency, Router, Tx, read_form
from shared.web.forms import Input

router = Router(prefix="/casework")
ADMIN = allow(Role.ADMIN)
DAYS_AHEAD_MIN = 30
SHOWN_MAX = 50


class Change(Input):
    """Either a yearly notice (`text`) or one day (`day`, `worked`, `name`)."""

    text: str | None = Field(None, title="年度安排", max_length=100_000)
    day: date | None = Field(None, title="日期")
    worked: Literal["work", "rest"] | None = Field(None, title="这一天")
    name: str | None = Field(None, title="依据", max_length=200)
    shorten: bool = Field(False, title="缩短的期限也一并调整")

    def proposal(self) -> Proposal:
        """What is proposed. Raises Rejected with what is wrong."""
        if self.text:
            return calendar.yearly(self.text)
        if self.day is None or self.worked is None:
            raise Rejected("请粘贴年度安排，或选定日期并说明是否工作", status=422, field="text")
        return calendar.single_day(self.day, worked=self.worked == "work", name=self.name or "")


@router.get("/calendar", policy=ADMIN)
async def calendar_page(
    request: Request, tx: Tx, user: CurrentUser, month: str = "", day: str = ""
) -> Response:
    return await _render(
        request, tx, month=month, form=Form[Any].with_initial({"day": day} if day else {})
    )


async def _render(
    request: Request,
    tx: Transaction,
    *,
    form: Form[Any],
    month: str = "",
    preview: calendar.Preview | None = None,
    status: int = 200,
) -> Response:
    days = await reference.calendar(tx)
    first = _month(month or form.value("day")[:7], civil_day(tx.now))
    ahead = (days.known_through - civil_day(tx.now)).days
    return render_casework_page(
        request,
        "calendar.html",
        status,
        first=first,
        weeks=_weeks(first, preview.new if preview else days, days),
        before=_shift(first, -1),
        after=_shift(first, 1),
        days=days,
        ahead=ahead,
        ahead_min=DAYS_AHEAD_MIN,
        form=form,
        preview=preview,
        failed=status >= 400,
        amendments=await reference.calendar_amendments(tx),
        moved=_moved(preview),
        shown_max=SHOWN_MAX,
        today=civil_day(tx.now),
        as_of=tx.now,
    )


def _month(text: str, today: date) -> date:
    try:
        return date.fromisoformat(f"{text}-01")
    except ValueError:
        return today.replace(day=1)


def _shift(first: date, months: int) -> str:
    count = first.year * 12 + first.month - 1 + months
    return f"{count // 12:04}-{count % 12 + 1:02}"


def _weeks(
    first: date, shown_days: WorkCalendar, current: WorkCalendar
) -> list[list[dict[str, Any]]]:
    """The weeks of a month, Monday first; a day that the proposal changes is marked."""
    return [
        [
            {
                "day": day,
                "here": day.month == first.month,
                "worked": shown_days.is_workday(day),
                "mark": _mark(shown_days, day),
                "name": shown_days.names.get(day, ""),
                "changed": shown_days.is_workday(day) != current.is_workday(day),
                "known": shown_days.is_known(day),
            }
            for day in week
        ]
        for week in Calendar().monthdatescalendar(first.year, first.month)
    ]


def _mark(days: WorkCalendar, day: date) -> str:
    """休 or 班 where the day is not what its weekday says; letters, never colour alone."""
    if day not in days.days:
        return ""
    worked = days.is_workday(day)
    return "" if worked and day.weekday() < 5 else "班" if worked else "休"


def _moved(preview: calendar.Preview | None) -> list[dict[str, Any]]:
    if preview is None:
        return []
    return [
        {
            "number": row["number"],
            "kind": row["kind"],
            "before": due_label(shift.before, shift.was_provisional),
            "after": due_label(shift.after.at, shift.after.provisional),
            "shortened": shift.shortened,
        }
        for row, shift in preview.concerned[:SHOWN_MAX]
    ]


@router.post("/calendar/preview", policy=ADMIN)
async def preview_change(request: Request, tx: Tx, user: CurrentUser) -> Response:
    """Show what a change would do; nothing is written."""
    form = await read_form(request, Change)
    effect = None
    if form.cleaned is not None:
        try:
            effect = await calendar.preview(tx, form.cleaned.proposal())
        except Rejected as refused:
            form.add_error(refused.sentence, refused.field or "text")
    return await _render(request, tx, form=form, preview=effect, status=200 if effect else 422)


@router.post("/calendar/notices", policy=ADMIN)
async def take_in(
    request: Request, tx: Tx, user: CurrentUser, idempotency: Idempotency
) -> Response:
    form = await read_form(request, Change)
    if form.cleaned is None:
        return await _render(request, tx, form=form, status=422)
    return await idempotency.redirect(
        calendar.take_in(tx, form.cleaned.proposal(), by=user, shorten=form.cleaned.shorten),
        to="/casework/calendar",
    )
