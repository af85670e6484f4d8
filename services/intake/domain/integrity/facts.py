"""What detectors know about a batch of codes: counts, and never who cast which ballot."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from services.intake.domain.token_batches import TokenUse

Evidence = Mapping[str, int]
"""Counts by the keys of `EVIDENCE_LABELS`."""
EVIDENCE_LABELS: Final[Mapping[str, str]] = {
    "ballots": "本批答卷",
    "expected": "应有份数",
    "in_window": "四分钟内填写",
    "window_limit": "正常上限",
    "identical": "答案完全相同",
    "group_percent": "其他批次同样答案的比例（%）",
    "from_source": "来自最集中的一个来源",
    "recent": "同一时段的答卷",
    "from_staff": "来自工作人员登录过的设备",
    "about_own_unit": "评价本单位的答卷",
    "top_percent": "其中最高档评价（%）",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RecentCasts:
    """Ballots of a batch by time and source, as counted in Redis for a short time.

    `in_window`: in the last four minutes. `recent` and `largest_source`: in the last ten to twenty
    minutes, and how many of them came from the most frequent source. `by_staff`: unit → ballots of
    a day from a device where its staff had signed in ("" for staff of no unit).
    """

    in_window: int = 0
    recent: int = 0
    largest_source: int = 0
    by_staff: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerPattern:
    """The most frequent pattern of answers of a batch.

    `answers`: how many answers it consists of. `ballots` of `batch_ballots` have it; in the other
    batches of the same group it is `others` of `other_ballots`.
    """

    answers: int
    ballots: int
    batch_ballots: int
    others: int = 0
    other_ballots: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitRatings:
    """How the ballots of a batch rate a unit. `top_answers`: those with the most points."""

    ballots: int
    answers: int
    top_answers: int

    @property
    def top_percent(self) -> int:
        return 100 * self.top_answers // self.answers if self.answers else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchFacts:
    """A batch at one moment.

    `expected`: the ballots that may be cast with it, None for paper forms. `pattern` None: too few
    ballots came since the answers were last compared. `ratings`: unit → ratings in this batch, for
    the units whose staff devices cast ballots of it.
    """

    use: TokenUse
    ballots: int
    expected: int | None
    recent: RecentCasts = RecentCasts()
    pattern: AnswerPattern | None = None
    ratings: Mapping[str, UnitRatings] = field(default_factory=dict)
