"""Ranks and their consequences."""

from dataclasses import replace
from decimal import Decimal as D

import pytest

from services.scoring.domain.rank import EarlierResult, RankingEntry, consequences, rank_units
from tests.scoring.inputs import J


def ranking_entries(*totals, ties=None) -> list[RankingEntry]:
    return [
        RankingEntry(
            unit_no=no,
            unit_id=f"U{no}",
            category="party",
            total=D(total),
            ties=(D((ties or {}).get(no, 0)),),
        )
        for no, total in enumerate(totals, start=1)
    ]


@pytest.mark.parametrize(
    ("totals", "ties", "ranks"),
    [
        (("90", "80", "70"), {}, [1, 2, 3]),
        (("90", "90", "70"), {}, [1, 1, 3]),
        (("90", "90", "70"), {1: 5, 2: 3}, [2, 1, 3]),
        (("70", "90", "90", "60"), {}, [3, 1, 1, 4]),
    ],
)
def test_ranks_follow_total_then_ties_and_equal_units_share_a_rank(totals, ties, ranks):
    ranked = {
        unit.entry.unit_no: unit.rank for unit in rank_units(ranking_entries(*totals, ties=ties))
    }

    assert [ranked[no] for no in sorted(ranked)] == ranks


def test_unranked_units_come_last_with_their_reason():
    weak = RankingEntry(
        unit_no=9,
        unit_id="U9",
        category="party",
        total=D(99),
        unranked="样本不足（3 份，至少 30 份）",
    )

    ranked = rank_units([weak, *ranking_entries("50")])

    assert [(unit.entry.unit_no, unit.rank) for unit in ranked] == [(1, 1), (9, None)]


def found(ranked, earlier=None, year=2020):
    return {
        (one.unit_id, one.rule_id, one.open)
        for one in consequences(J, ranked, year=year, earlier=earlier or {})
    }


def test_last_two_units_are_tracked_and_missing_results_need_a_person():
    ranked = rank_units(ranking_entries("90", "80", "70", "60", "50"))

    assert found(ranked) == {
        ("U4", "J8", False),
        ("U5", "J8", False),
        ("U4", "J9", True),
        ("U5", "J9", True),
    }


def test_consequence_over_two_years_needs_both_years():
    ranked = rank_units(ranking_entries("90", "80", "70", "60", "50"))
    earlier = {2019: {"U5": EarlierResult(2, None), "U4": EarlierResult(3, None)}}

    assert found(ranked, earlier) == {("U4", "J8", False), ("U5", "J8", False), ("U5", "J9", False)}


def test_equal_units_at_the_border_all_count_as_last():
    ranked = rank_units(ranking_entries("90", "80", "60", "60", "50"))

    assert {unit for unit, rule, _ in found(ranked) if rule == "J8"} == {"U3", "U4", "U5"}


def test_person_decides_in_a_category_of_fewer_than_five():
    assert found(rank_units(ranking_entries("90", "80", "70", "60")), {2019: {}}) == {
        ("U3", "J8", True),
        ("U4", "J8", True),
    }


def test_decided_consequence_applies_at_any_rank():
    first = ranking_entries("90", "80", "70", "60", "50")[0]
    ranked = rank_units(
        [replace(first, decided=("J10",)), *ranking_entries("90", "80", "70", "60", "50")[1:]]
    )

    assert ("U1", "J10", False) in found(ranked)
