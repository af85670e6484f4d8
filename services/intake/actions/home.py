"""What the home page says to whom, from intake's own knowledge."""

from calendar import monthrange
from datetime import datetime, time
from functools import cache
from typing import Any

from services.intake.store import ballots, complaints, visits
from shared.appraisal.calendar.holiday_notices import china
from shared.appraisal.calendar.working_days import WorkCalendar
from shared.appraisal.labels import Role
from shared.foundation.clock import CHINA
from shared.security.policies import Account
from shared.storage.transaction import Transaction


@cache
def _calendar() -> WorkCalendar:
    return china()


def today_in_words(now: datetime) -> str:
    """`11-23（周一，工作日），本月还有 6 个工作日`: what is left of the month is counted from
    tomorrow.
    """
    day, calendar = now.astimezone(CHINA).date(), _calendar()
    kind = "工作日" if calendar.is_workday(day) else "休息日"
    left = calendar.working_days_between(day, day.replace(day=monthrange(day.year, day.month)[1]))
    provisional = "" if calendar.is_known(day) else "（暂定）"
    return f"{day:%m-%d}（周{'一二三四五六日'[day.weekday()]}，{kind}{provisional}），本月还有 {left} 个工作日"


async def tiles(tx: Transaction, user: Account) -> list[dict[str, Any]]:
    """Tiles (label, value, url) for this person; [] for those whose work is in other services."""
    midnight = datetime.combine(tx.now.astimezone(CHINA).date(), time.min, CHINA)
    if user.role is Role.OPERATOR:
        mine, drafts = (
            await complaints.registered_by(tx, user.id, since=midnight),
            await complaints.drafts(tx, user.id),
        )
        return [
            {"label": "今天登记", "value": len(mine), "url": "/intake/desk/mine"},
            {
                "label": "草稿",
                "value": len(drafts),
                "url": "/intake/desk",
                "tone": "warn" if drafts else "",
            },
        ]
    if user.role is Role.INSPECTOR:
        handed_in = await visits.of_inspector(tx, user.id, since=midnight)
        waiting = [visit for visit in handed_in if visit["counted_at"] is None]
        return [
            {"label": "今天提交的检查", "value": len(handed_in), "url": "/intake/field/"},
            {
                "label": "等照片",
                "value": len(waiting),
                "url": "/intake/field/queue",
                "tone": "warn" if waiting else "",
            },
        ]
    if user.role in (Role.REVIEWER, Role.SUPERVISOR, Role.OFFICE, Role.LEADER):
        return await _overview(tx, user, midnight)
    return []


async def _overview(tx: Transaction, user: Account, midnight: datetime) -> list[dict[str, Any]]:
    counted, visited = (
        await complaints.counts_since(tx, midnight),
        await visits.counts_since(tx, midnight),
    )
    reads = user.role in complaints.READERS
    shown = [
        {
            "label": "今天收到的诉求",
            "value": counted["received"],
            "url": "/intake/triage" if reads else "",
        },
        {
            "label": "其中尚未分派",
            "value": counted["waiting"],
            "url": "/intake/triage" if reads else "",
            "tone": "warn" if counted["waiting"] else "",
        },
    ]
    if user.role is Role.OFFICE:
        shown += [
            {"label": "问卷总数", "value": await ballots.total(tx), "url": "/notify/campaigns"},
            {"label": "今天收到的检查", "value": visited["received"], "url": "/intake/field/plans"},
        ]
    return shown
