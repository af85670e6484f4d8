"""Order of the units inside a category, and the consequences of a rank."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from services.scoring.domain.campaign import CampaignUnit
from services.scoring.domain.score import UnitScore
from shared.appraisal.schemes import Consequence, Scheme

SMALL_CATEGORY: Final = 5
"""With fewer ranked units, "the last two" would be half of the category: a person decides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RankingEntry:
    """What a unit is ranked by. `unranked`: why it has no rank, "" when it is ranked."""

    unit_no: int
    unit_id: str
    category: str
    total: Decimal | None
    ties: tuple[Decimal, ...] = ()
    unranked: str = ""
    grade: str | None = None
    decided: tuple[str, ...] = ()

    @property
    def ranked(self) -> bool:
        return self.total is not None and not self.unranked

    @property
    def sort_key(self) -> tuple[Decimal, ...]:
        """Highest total first, then smallest tie values."""
        assert self.total is not None, "only ranked units are compared"
        return (-self.total, *self.ties)


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedUnit:
    """A unit with its rank.

    `rank`: from 1, shared by equal units (1, 2, 2, 4), None for unranked units. `from_bottom`: 1
    when no unit is worse.
    """

    entry: RankingEntry
    rank: int | None
    from_bottom: int | None

    @property
    def result(self) -> "EarlierResult":
        """The unit's present result in the form of an earlier one."""
        grade = self.entry.grade if self.rank else None
        return EarlierResult(self.from_bottom, grade)


@dataclass(frozen=True, slots=True)
class EarlierResult:
    """A unit's result in an earlier campaign of the same scheme."""

    from_bottom: int | None
    grade: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitConsequence:
    """A consequence that applies to a unit.

    `open`: the rules do not decide it; `why` says what a person has to examine.
    """

    unit_id: str
    rule_id: str
    label: str
    measure: str
    open: bool = False
    why: str = ""

    @property
    def mark(self) -> str:
        """The label on a board; consequences that a person has to decide say so."""
        return f"{self.label}（待认定）" if self.open else self.label


EarlierResults = Mapping[int, Mapping[str, EarlierResult]]
"""Year → unit id → result. Years without any recorded result are missing."""


def ranking_entry(unit: CampaignUnit, score: UnitScore | None) -> RankingEntry:
    """Return what a unit is ranked by. `score` None: it was never scored."""
    if score is None:
        return RankingEntry(
            unit_no=unit.unit_no,
            unit_id=unit.unit_id,
            category=unit.category,
            total=None,
            unranked="尚无计分数据",
        )
    return RankingEntry(
        unit_no=unit.unit_no,
        unit_id=unit.unit_id,
        category=unit.category,
        total=score.total,
        ties=score.ties,
        unranked=score.unranked,
        grade=score.grade,
        decided=score.decided,
    )


def rank_units(entries: Sequence[RankingEntry]) -> list[RankedUnit]:
    """Rank the units of one category, by total, then by ties; unranked units follow by number.

    Units equal in all of it share a rank, and the next rank is skipped.
    """
    by_number = sorted(entries, key=lambda entry: entry.unit_no)
    ranked = [entry for entry in by_number if entry.ranked]
    ranked.sort(key=lambda entry: entry.sort_key)
    keys = [entry.sort_key for entry in ranked]
    in_order = [_ranked_unit(entry, keys) for entry in ranked]
    return in_order + [_unranked_unit(entry) for entry in by_number if not entry.ranked]


def _unranked_unit(entry: RankingEntry) -> RankedUnit:
    return RankedUnit(entry=entry, rank=None, from_bottom=None)


def _ranked_unit(entry: RankingEntry, keys: Sequence[tuple[Decimal, ...]]) -> RankedUnit:
    better = bisect_left(keys, entry.sort_key)
    not_worse = bisect_right(keys, entry.sort_key)
    return RankedUnit(entry=entry, rank=better + 1, from_bottom=len(keys) - not_worse + 1)


# ── consequences ──────────────────────────────────────────────────────────────────────────────────


def consequences(
    scheme: Scheme,
    units: Sequence[RankedUnit],
    *,
    year: int,
    earlier: EarlierResults,
) -> list[UnitConsequence]:
    """Return the consequences for the units of one category.

    All units equal at the border count as last. `units`: from `rank_units`. `earlier`: recorded
    results of the years before.
    """
    ranked = sum(unit.rank is not None for unit in units)
    found: list[UnitConsequence] = []
    for unit in units:
        found += _consequences(scheme, unit, ranked=ranked, year=year, earlier=earlier)
    return found


def _consequences(
    scheme: Scheme,
    unit: RankedUnit,
    *,
    ranked: int,
    year: int,
    earlier: EarlierResults,
) -> Iterator[UnitConsequence]:
    for rule in scheme.consequences:
        consequence = _consequence(rule, unit)
        if rule.id in unit.entry.decided:
            yield consequence
        elif _applies_now(rule, unit):
            before = [earlier.get(year - back) for back in range(1, rule.years)]
            known = [results.get(unit.entry.unit_id) for results in before if results is not None]
            if all(_applied(rule, result) for result in known):
                why = _reason_open(rule, ranked=ranked, complete=len(known) == len(before))
                yield replace(consequence, open=bool(why), why=why)


def _consequence(rule: Consequence, unit: RankedUnit) -> UnitConsequence:
    return UnitConsequence(
        unit_id=unit.entry.unit_id,
        rule_id=rule.id,
        label=rule.label,
        measure=rule.measure,
    )


def _applies_now(rule: Consequence, unit: RankedUnit) -> bool:
    return not rule.by_decision and _applies(rule, unit.result)


def _applied(rule: Consequence, result: EarlierResult | None) -> bool:
    return result is not None and _applies(rule, result)


def _applies(rule: Consequence, result: EarlierResult) -> bool:
    if rule.last is not None:
        return result.from_bottom is not None and result.from_bottom <= rule.last
    return rule.grade is not None and result.grade == rule.grade


def _reason_open(
    rule: Consequence,
    *,
    ranked: int,
    complete: bool,
) -> str:
    """Return why a person has to decide, "" when the rules decide."""
    if not complete:
        return "缺少上一年度结果，须核对后认定"
    if rule.last is not None and ranked < SMALL_CATEGORY:
        return f"该类参加排名的单位不足 {SMALL_CATEGORY} 家，须由评议办认定"
    return ""
