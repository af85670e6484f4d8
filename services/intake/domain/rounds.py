"""检查轮次: who visits which units between which days, announced or covert."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec

from shared.appraisal.calendar.working_days import civil_day
from shared.appraisal.errors import Rejected
from shared.appraisal.labels import LabelledEnum, VisitMode

NAME_MAX: Final = 50
DAYS_MAX: Final = 366
PHONES_SEE_DAYS_BEFORE: Final = 3
"""How long before its first day the phones of the team get a round. A lost phone holds no more."""


class RoundState(LabelledEnum):
    """Where a round stands."""

    PLANNED = "planned", "未开始"
    RUNNING = "running", "进行中"
    ENDED = "ended", "已结束"
    WITHDRAWN = "withdrawn", "已撤销"


class RoundPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What the office decides. `ends_on` is the last day. No units: all of the campaign."""

    campaign_id: str
    name: str
    mode: VisitMode
    begins_on: date
    ends_on: date
    team: tuple[UUID, ...]
    units: tuple[str, ...] = ()


class Round(RoundPlan, frozen=True, kw_only=True):
    """A stored round. `closed_at`: the office ended it before its last day."""

    id: UUID
    created_at: datetime
    closed_at: datetime | None

    @property
    def is_covert(self) -> bool:
        return self.mode is VisitMode.COVERT

    def state_on(self, day: date) -> RoundState:
        """Return where the round stands on a civil day."""
        if self.closed_at is not None:
            is_withdrawn = civil_day(self.closed_at) < self.begins_on
            return RoundState.WITHDRAWN if is_withdrawn else RoundState.ENDED
        if day > self.ends_on:
            return RoundState.ENDED
        return RoundState.PLANNED if day < self.begins_on else RoundState.RUNNING

    def has_ended(self, day: date) -> bool:
        """Return whether nobody visits for this round any more."""
        return self.state_on(day) in (RoundState.ENDED, RoundState.WITHDRAWN)

    @property
    def last_day(self) -> date:
        """The last civil day on which a visit belongs to this round."""
        if self.closed_at is None:
            return self.ends_on
        return min(self.ends_on, civil_day(self.closed_at))


def check_plan(
    plan: RoundPlan,
    *,
    today: date,
    units: Sequence[str],
    inspectors: Sequence[UUID],
) -> None:
    """Raise Rejected (422) for a plan that cannot be carried out.

    `units`: those of the campaign. `inspectors`: the accounts that may be in a team.
    """
    if not plan.name.strip() or len(plan.name) > NAME_MAX:
        raise _invalid("name", f"请填写轮次名称，最多 {NAME_MAX} 个字")
    if plan.begins_on < today:
        raise _invalid("begins_on", "开始日期不能早于今天")
    if plan.ends_on < plan.begins_on:
        raise _invalid("ends_on", "结束日期不能早于开始日期")
    if plan.ends_on - plan.begins_on > timedelta(days=DAYS_MAX):
        raise _invalid("ends_on", f"一个轮次最长 {DAYS_MAX} 天")
    if not plan.team:
        raise _invalid("team", "请至少选择一名巡查员")
    if set(plan.team) - set(inspectors):
        raise _invalid("team", "所选人员不是在用的巡查员账号")
    if set(plan.units) - set(units):
        raise _invalid("units", "本次评议没有所选的单位")


def check_planned(chosen: Round, today: date) -> None:
    """Raise Rejected (409) unless the round may still be changed."""
    if chosen.state_on(today) is not RoundState.PLANNED:
        raise Rejected("轮次已经开始或结束，不能修改，可提前结束后另建轮次")


def check_visit(
    chosen: Round | None,
    *,
    unit_id: str,
    mode: VisitMode,
    visited_at: datetime,
    by_office: bool,
) -> None:
    """Raise Rejected (422) unless the visit fits its round.

    Without a round an inspector records announced visits only; what the office records later on is
    not bound to one.
    """
    if chosen is None:
        if mode is VisitMode.COVERT and not by_office:
            raise _invalid("round_id", "暗访须选择所属的检查轮次")
        return
    visited_on = civil_day(visited_at)
    if mode is not chosen.mode:
        raise _invalid("mode", f"这个轮次是{chosen.mode.label}，请改选方式或轮次")
    if chosen.units and unit_id not in chosen.units:
        raise _invalid("unit_id", "这个轮次不检查该单位")
    if not chosen.begins_on <= visited_on <= chosen.last_day:
        raise _invalid("visited_at", "到访日期不在轮次期间内")


def _invalid(field: str, sentence: str) -> Rejected:
    return Rejected(sentence, status=422, field=field)
