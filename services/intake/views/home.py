"""The home page: the day, and figures for the role of the account."""

from calendar import monthrange
from dataclasses import dataclass
from datetime import date, datetime, time
from functools import cache

from services.intake.domain.complaints import READS_ALL
from services.intake.domain.identity_openings import APPROVAL_KEY
from services.intake.store import (
    ballots,
    complaint_lists,
    hotline_drafts,
    integrity,
    summaries,
    visits,
)
from shared.appraisal.calendar.holiday_notices import china
from shared.appraisal.calendar.working_days import WorkCalendar, civil_day
from shared.appraisal.labels import Role
from shared.foundation.clock import CHINA
from shared.security.approvals.store import pending
from shared.security.policies import Account
from shared.storage.transaction import Transaction


@dataclass(frozen=True, slots=True)
class Tile:
    """A figure on the home page, a link if `url` is set."""

    label: str
    value: int
    url: str = ""
    tone: str = ""


@cache
def _calendar() -> WorkCalendar:
    return china()


def today_in_words(now: datetime) -> str:
    """Return `11-23（周一，工作日），本月还有 6 个工作日`.

    The rest of the month starts tomorrow.
    """
    day = civil_day(now)
    calendar = _calendar()
    weekday = "一二三四五六日"[day.weekday()]
    kind = "工作日" if calendar.is_workday(day) else "休息日"
    provisional = "" if calendar.is_known(day) else "（暂定）"
    left = calendar.working_days_between(day, _last_of_month(day))
    return f"{day:%m-%d}（周{weekday}，{kind}{provisional}），本月还有 {left} 个工作日"


def _last_of_month(day: date) -> date:
    _, days = monthrange(day.year, day.month)
    return day.replace(day=days)


async def tiles(tx: Transaction, user: Account) -> list[Tile]:
    """Return the figures for this account; [] if its work is in other services."""
    today = civil_day(tx.now)
    midnight = datetime.combine(today, time.min, CHINA)
    match user.role:
        case Role.OPERATOR:
            return await _operator_tiles(tx, user, midnight)
        case Role.INSPECTOR:
            return await _inspector_tiles(tx, user, midnight)
        case Role.OFFICE:
            overview = await _overview_tiles(tx, user, midnight)
            office = await _office_tiles(tx, midnight)
            return [*overview, *office, await _integrity_tile(tx)]
        case Role.REVIEWER:
            overview = await _overview_tiles(tx, user, midnight)
            return [await _release_tile(tx, user), *overview, await _integrity_tile(tx)]
        case Role.CUSTODIAN:
            return [await _approval_tile(tx)]
        case Role.SUPERVISOR | Role.LEADER:
            return await _overview_tiles(tx, user, midnight)
        case _:
            return []


async def _approval_tile(tx: Transaction) -> Tile:
    waiting = len(await pending(tx, [APPROVAL_KEY]))
    return Tile("待我审批", waiting, "/intake/dual-approvals", tone="warn" if waiting else "")


async def _operator_tiles(
    tx: Transaction,
    user: Account,
    midnight: datetime,
) -> list[Tile]:
    registered = await complaint_lists.registered_by(tx, user.id, since=midnight)
    drafts = await hotline_drafts.count_for(tx, user.id)
    tone = "warn" if drafts else ""
    return [
        Tile("今天登记", len(registered), "/intake/desk/mine"),
        Tile("草稿", drafts, "/intake/desk", tone=tone),
    ]


async def _inspector_tiles(
    tx: Transaction,
    user: Account,
    midnight: datetime,
) -> list[Tile]:
    counts = await visits.counts_since(tx, midnight, inspector_id=user.id)
    tone = "warn" if counts.waiting else ""
    return [
        Tile("今天提交的检查", counts.received, "/intake/field/"),
        Tile("等照片", counts.waiting, "/intake/field/queue", tone=tone),
    ]


async def _release_tile(tx: Transaction, user: Account) -> Tile:
    waiting = await summaries.count_queue(tx, user)
    return Tile("待审核摘要", waiting, "/intake/releases", tone="warn" if waiting else "")


async def _integrity_tile(tx: Transaction) -> Tile:
    undecided = await integrity.count_open(tx)
    return Tile("疑似异常待处理", undecided, "/intake/integrity", tone="warn" if undecided else "")


async def _overview_tiles(
    tx: Transaction,
    user: Account,
    midnight: datetime,
) -> list[Tile]:
    counts = await complaint_lists.counts_since(tx, midnight)
    url = "/intake/triage" if user.role in READS_ALL else ""
    tone = "warn" if counts.waiting else ""
    return [
        Tile("今天收到的诉求", counts.received, url),
        Tile("其中尚未分派", counts.waiting, url, tone=tone),
    ]


async def _office_tiles(tx: Transaction, midnight: datetime) -> list[Tile]:
    ballot_count = await ballots.count_in_newest_campaign(tx)
    visit_counts = await visits.counts_since(tx, midnight)
    return [
        Tile("问卷总数", ballot_count, "/notify/campaigns"),
        Tile("今天收到的检查", visit_counts.received, "/intake/field/plans"),
    ]
