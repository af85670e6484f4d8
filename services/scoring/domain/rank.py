"""Order of the units inside a category, and what follows from a place."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from shared.appraisal.schemes import Consequence, Scheme

SMALL_CATEGORY: Final = 5
"""Below so many ranked units "the last two" would be half of them: such a measure is not found by
machine but decided by a person.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a unit goes into the ranking with. `unranked`: why it is listed apart ("" = it is
    ranked).
    """

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A unit's place. `rank`: from 1, shared by equals (1, 2, 2, 4), None for those listed apart.
    `from_bottom`: 1 = nobody is worse.
    """

    standing: Standing
    rank: int | None
    from_bottom: int | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """A unit's place in an earlier campaign of the same scheme."""

    from_bottom: int | None
    grade: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A consequence that befalls a unit. `open`: the machine does not decide it; `why` says what a
    person has to look at.
    """

    unit_id: str
    rule_id: str
    label: str
    measure: str
    open: bool = False
    why: str = ""


Earlier = Mapping[int, Mapping[str, Outcome]]
"""Year → unit id → outcome; years of which nothing is known are missing."""


def rank_units(standings: Sequence[Standing]) -> list[Place]:
    """Places of the units of one category: ranked ones by total, highest first, then by tie values,
    smallest first; the others after them, by number. Units equal in all of it share a rank, and the
    next rank is skipped.
    """
    ranked = sorted(
        (one for one in standings if one.ranked), key=lambda one: (_order(one), one.unit_no)
    )
    better = {one.unit_no: sum(_order(other) < _order(one) for other in ranked) for one in ranked}
    worse = {one.unit_no: sum(_order(other) > _order(one) for other in ranked) for one in ranked}
    apart = sorted((one for one in standings if not one.ranked), key=lambda one: one.unit_no)
    places = [
        Place(standing=one, rank=better[one.unit_no] + 1, from_bottom=worse[one.unit_no] + 1)
        for one in ranked
    ]
    return places + [Place(standing=one, rank=None, from_bottom=None) for one in apart]


def _order(standing: Standing) -> tuple[Decimal, ...]:
    assert standing.total is not None, "only ranked units are compared"
    return (-standing.total, *standing.ties)


def consequences(
    scheme: Scheme, places: Sequence[Place], *, year: int, earlier: Earlier
) -> list[Finding]:
    """What befalls the units of one category, by the scheme's rules; units equal at the border all
    count as last.

    `places`: of one category, from `rank_units`. `earlier`: outcomes of the years before, as far as
    they are known.
    """
    return [
        finding
        for place in places
        for rule in scheme.consequences
        if (
            finding := _consequence(
                rule, place, sum(one.rank is not None for one in places), year, earlier
            )
        )
    ]


def _consequence(
    rule: Consequence, place: Place, ranked: int, year: int, earlier: Earlier
) -> Finding | None:
    unit = place.standing
    finding = Finding(unit_id=unit.unit_id, rule_id=rule.id, label=rule.label, measure=rule.measure)
    if rule.id in unit.decided:
        return finding
    if rule.by_decision or not _hit(
        rule, Outcome(place.from_bottom, unit.grade if place.rank else None)
    ):
        return None
    before = [earlier.get(year - back) for back in range(1, rule.years)]
    known = [outcomes.get(unit.unit_id) for outcomes in before if outcomes is not None]
    if any(one is None or not _hit(rule, one) for one in known):
        return None
    if len(known) < len(before):
        return _left_open(finding, "缺少上一年度结果，须核对后认定")
    if rule.last is not None and ranked < SMALL_CATEGORY:
        return _left_open(finding, f"该类参加排名的单位不足 {SMALL_CATEGORY} 家，须由评议办认定")
    return finding


def _hit(rule: Consequence, outcome: Outcome) -> bool:
    if rule.last is not None:
        return outcome.from_bottom is not None and outcome.from_bottom <= rule.last
    return rule.grade is not None and outcome.grade == rule.grade


def _left_open(finding: Finding, why: str) -> Finding:
    return Finding(
        unit_id=finding.unit_id,
        rule_id=finding.rule_id,
        label=finding.label,
        measure=finding.measure,
        open=True,
        why=why,
    )
