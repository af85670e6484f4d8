"""The rules of scoring on numbers worked out by hand, and what must hold for all numbers."""

import ast
from dataclasses import replace
from decimal import Decimal as D
from fractions import Fraction
from pathlib import Path
from random import Random
from struct import iter_unpack
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.scoring.domain import recount as program
from services.scoring.domain.arithmetic import largest_remainder, rounded
from services.scoring.domain.explanation import explain
from services.scoring.domain.inputs import score_inputs
from services.scoring.domain.ledger import LedgerEntry, ledger_entries
from services.scoring.domain.rank import EarlierResult, RankingEntry, consequences, rank_units
from services.scoring.domain.recount import Recounter
from services.scoring.domain.score import score_unit
from shared.appraisal import ballots
from shared.appraisal.errors import Rejected
from shared.appraisal.events import BallotSubmitted
from shared.appraisal.labels import ComplaintKind
from shared.appraisal.schemes import ScoreSheet, ScoreSheetFormula, Veto
from tests.scoring.factories import UNITS, Case, consumed, j_scheme, late_plan, random_events, visit

J = j_scheme()
NUMBERS = {unit.unit_id: at for at, unit in enumerate(UNITS, start=1)}


def ledger(*events) -> list[LedgerEntry]:
    """Lines of events that come one after the other, each with the next version of its aggregate."""
    versions, lines = {}, []
    for event in events:
        versions[event.key] = versions.get(event.key, 0) + 1
        lines += ledger_entries(
            *consumed(event, version=versions[event.key]), scheme=J, units=NUMBERS
        )
    kinds = {line.subject_id: line.kind for line in lines if line.kind}
    return [_of_kind(line, kinds) for line in lines]


def _of_kind(line: LedgerEntry, kinds: dict[UUID, str]) -> LedgerEntry:
    return replace(line, kind=kinds.get(line.subject_id))


def marked(answer_counts=None, entries=(), scheme=J):
    return score_unit(score_inputs(scheme, answer_counts or {}, entries), 7)


def cities(satisfied=0, fair=0, not_satisfied=0, unknown=0, items=(1, 2, 3, 4, 5)) -> dict:
    numbers = {1: satisfied, 2: fair, 3: not_satisfied, 9: unknown}
    return {
        ("cities", "city_units", item, option): number
        for item in items
        for option, number in numbers.items()
    }


# ── marks by hand ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("answer_counts", "mark", "sample"),
    [
        (
            cities(301, 78, 33, 47),
            "88.20",
            412,
        ),  # (301×100 + 78×80 + 33×0) ÷ 412 = 36340 ÷ 412 = 88.2038…
        (cities(5), "100.00", 5),
        (cities(0, 5), "80.00", 5),
        (cities(4), None, 4),  # four answers, five are needed
        (cities(4, 0, 0, 100), None, 4),  # 不了解 does not make a sample
        (cities(0, 0, 0, 9), None, 0),
        (cities(2, 0, 6), "25.00", 8),
        # item 1: 5 satisfied = 100; item 2: 1 of 5 dissatisfied = 80; mean of the two items = 90
        (
            cities(5, items=(1,))
            | {("cities", "city_units", 2, 1): 4, ("cities", "city_units", 2, 3): 1},
            "90.00",
            5,
        ),
    ],
)
def test_satisfaction_is_the_mean_of_the_counted_answers(answer_counts, mark, sample):
    component = marked(answer_counts).component("cities")

    assert (component.mark, component.sample) == (mark and D(mark), sample)


def test_groups_count_by_weight_however_many_answer():
    answer_counts = {("deputies", "npc", 1, 1): 90, ("deputies", "cppcc", 1, 3): 10}

    assert marked(answer_counts).component("deputies").mark == D("50.00"), (
        "one hundred and nought, weight one each"
    )


@pytest.mark.parametrize(
    ("findings", "mark"),
    [
        ([], "100.00"),
        ([("V01", "ordinary")], "88.00"),
        ([("V01", "minor")], "94.00"),
        ([("V01", "serious"), ("V05", "ordinary")], "68.00"),  # 100 − 12×2 − 8
        (
            [
                ("V01", "serious"),
                ("V02", "serious"),
                ("V03", "serious"),
                ("V04", "serious"),
                ("V09", "serious"),
            ],
            "0.00",
        ),
    ],
)
def test_a_visit_takes_the_items_points_times_the_severity(findings, mark):
    assert marked(entries=ledger(visit("V-1", "U07", *findings))).component("visits").mark == D(
        mark
    )


def test_findings_of_all_visits_add_up():
    lines = ledger(
        visit("V-1", "U07", ("V01", "ordinary")),
        visit("V-2", "U07", ("V01", "ordinary")),
        visit("V-3", "U07"),
    )

    component = marked(entries=lines).component("visits")

    assert (component.mark, component.sample) == (D("76.00"), 3)


def test_handling_weighs_what_has_a_base():
    one, two = Case("1", "U07"), Case("2", "U07")
    kept = ledger(one.opened(), one.accepted(), one.closed())

    assert marked(entries=kept).component("platform").mark == D("100.00")
    # accepted 1 of 2 in time (30), handled 1 of 2 in time (40), nobody rated: (30×50 + 40×50) ÷ 70
    # = 50
    late = kept + ledger(
        two.opened(), two.lapsed("accept"), two.accepted(late=True), two.lapsed("handle")
    )
    assert marked(entries=late).component("platform").mark == D("50.00")
    # rated 基本满意 = 80: (30×50 + 40×50 + 30×80) ÷ 100 = 59
    assert marked(entries=late + ledger(one.rated(2))).component("platform").mark == D("59.00")
    assert marked(entries=late + ledger(one.rated(9))).component("platform").mark == D("50.00")


def test_a_case_that_is_only_assigned_is_no_base_yet():
    component = marked(entries=ledger(Case("1", "U07").opened())).component("platform")

    assert (component.state, component.sample) == ("absent", 0)


# ── points off ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("events", "off"),
    [
        ([Case(str(no), "U07").lapsed("accept") for no in range(3)], "-1.50"),
        ([Case(str(no), "U07").lapsed("accept") for no in range(40)], "-5.00"),  # at most 5
        ([Case(str(no), "U07").lapsed("handle") for no in range(12)], "-10.00"),  # at most 10
        ([Case(str(no), "U07").returned() for no in range(2)], "0.00"),  # the first two are free
        ([Case(str(no), "U07").returned() for no in range(5)], "-1.50"),
        (
            [
                Case("1", "U07").sent_back(),
                Case("1", "U07").sent_back(),
                Case("1", "U07").sent_back(),
            ],
            "-1.00",
        ),
        ([late_plan("U07")], "-1.00"),
        ([visit("V-1", "U07", ("V01", "ordinary"), ("V02", "serious"), ("V03", "minor"))], "-1.20"),
        ([Case("1", "U07").lapsed("review")], "0.00"),
    ],
)
def test_points_off_follow_the_rules_of_j6(events, off):
    assert marked(cities(9), ledger(*events)).adjusted == D(off)


def test_every_line_names_its_event_and_rule_and_the_free_ones_say_why():
    inputs = score_inputs(J, {}, ledger(*(Case(str(no), "U07").returned() for no in range(4))))

    lines = explain(inputs, score_unit(inputs, 7)).adjustments

    assert {line.rule_id for line in lines} == {"J6.returned"}
    assert [(line.amount, line.note) for line in lines] == [(D(0), "前 2 次不计")] * 2 + [
        (D("-0.5"), "")
    ] * 2
    assert len({line.event_id for line in lines}) == 4


def test_a_deduction_for_some_kinds_leaves_the_others_alone():
    rules = tuple(
        msgspec.structs.replace(one, kinds=(ComplaintKind.REPORT,))
        if one.id == "J6.lapse_handle"
        else one
        for one in J.deductions
    )
    scheme = msgspec.structs.replace(J, deductions=rules)
    report, complaint = Case("1", "U07", kind=ComplaintKind.REPORT), Case("2", "U07")

    entries = ledger(report.opened(), report.lapsed(), complaint.opened(), complaint.lapsed())

    assert marked(cities(9), entries, scheme).adjusted == D("-1.00")


# ── the total ─────────────────────────────────────────────────────────────────────────────────────


def test_a_whole_score_of_j_by_hand():
    answer_counts = (
        {
            ("deputies", "npc", 1, 1): 8,
            ("deputies", "npc", 1, 2): 2,
            ("deputies", "cppcc", 1, 2): 5,
        }  # (96 + 80) ÷ 2 = 88
        | {("hall", "applicants", 1, 1): 30, ("hall", "applicants", 1, 3): 10}  # 75
        | cities(301, 78, 33, 47, items=(1,))  # 88.20
        | {("contacts", "contact_leads", 1, 2): 1}  # 80
    )
    case = Case("1", "U07")
    lines = ledger(
        visit("V-1", "U07", ("V01", "ordinary")),
        case.opened(),
        case.accepted(),
        case.closed(),
        case.rated(1),
        late_plan("U07"),
    )

    score = marked(answer_counts, lines)

    # 20×88 + 20×75 + 15×88.20 + 20×88 + 10×80 + 15×100 = 8643 → 86.43; −0.2 for the finding, −1 for
    # the late plan
    assert score.total == D("85.23")
    assert [one.mark for one in score.components] == [
        D("88.00"),
        D("75.00"),
        D("88.20"),
        D("88.00"),
        D("80.00"),
        D("100.00"),
    ]
    assert [one.contribution for one in score.components] == [
        D("17.60"),
        D("15.00"),
        D("13.23"),
        D("17.60"),
        D("8.00"),
        D("15.00"),
    ]
    assert (score.adjusted, score.ranked, score.sample) == (D("-1.20"), True, 468)


def test_what_is_absent_leaves_its_weight_to_the_others():
    score = marked(cities(9) | {("contacts", "contact_leads", 1, 3): 1})

    # 15 and 10 of 25: 60 % of 100 and 40 % of 0
    assert (score.total, score.unranked) == (D("60.00"), "明察暗访尚无结果")
    assert [one.effective_weight for one in score.components if one.mark is not None] == [
        D("60.00"),
        D("40.00"),
    ]


def test_a_total_stays_between_nought_and_a_hundred_and_says_what_that_changed():
    score = marked(cities(0, 0, 9), ledger(late_plan("U07")))

    assert (score.total, score.adjusted, score.clamped) == (D("0.00"), D("-1.00"), D("1.00"))


def test_a_small_sample_has_a_mark_but_no_rank():
    few = marked(cities(29), ledger(visit("V-1", "U07")))
    enough = marked(cities(30), ledger(visit("V-1", "U07")))

    assert (few.ranked, few.unranked, few.total) == (
        False,
        "样本不足（29 份，至少 30 份）",
        D("100.00"),
    )
    assert enough.ranked


def test_a_vetoed_unit_is_struck_from_the_ranking():
    veto = Veto(id="J99", label="拉票", effect="disqualified", measure="取消成绩")
    scheme = msgspec.structs.replace(J, vetoes=(veto,))
    known = {
        "measure": "decision",
        "version": 1,
        "occurred_at": late_plan("U07").occurred_at,
        "detail": "J99",
        "unit_no": 7,
    }
    decision = LedgerEntry(event_id=UUID(int=1), subject_id=UUID(int=2), **known)

    score = marked(cities(30), [*ledger(visit("V-1", "U07")), decision], scheme)

    assert (score.disqualified, score.ranked) == (True, False)


def test_a_scoring_sheet_is_brought_to_a_hundred():
    sheet = ScoreSheet(
        key="leads", label="评分表", by="督查室", items=J.questionnaires[0].items[:2], maximum=D(10)
    )
    component = msgspec.structs.replace(
        J.components[0], formula=ScoreSheetFormula(instrument="leads")
    )
    scheme = msgspec.structs.replace(
        J, instruments=(*J.instruments, sheet), components=(component, *J.components[1:])
    )
    common = {
        "measure": "sheet",
        "subject_id": UUID(int=5),
        "version": 1,
        "occurred_at": late_plan("U07").occurred_at,
        "detail": "leads",
    }
    given = [
        LedgerEntry(event_id=UUID(int=no), item=str(no), points=D(points), **common)
        for no, points in ((1, "8"), (2, "9.5"))
    ]

    assert marked({}, given, scheme).component("deputies").mark == D("87.50")


# ── roundings ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("value", "shown"),
    [("0.125", "0.12"), ("0.135", "0.14"), ("0.1251", "0.13"), ("-0.125", "-0.12"), ("7", "7.00")],
)
def test_rounding_is_half_even(value, shown):
    assert str(rounded(Fraction(value), 2)) == shown


@given(
    st.lists(
        st.fractions(min_value=-50, max_value=100, max_denominator=997), min_size=1, max_size=9
    ),
    st.integers(0, 4),
)
def test_largest_remainder_adds_up_and_moves_nothing_by_a_whole_unit(values, decimals):
    total = rounded(sum(values, Fraction(0)), decimals)

    shown = largest_remainder(values, total, decimals)

    assert sum(shown) == total
    assert all(
        abs(Fraction(one) - value) < Fraction(1, 10**decimals)
        for one, value in zip(shown, values, strict=True)
    )


# ── all of it, for any course of events ───────────────────────────────────────────────────────────


def folded(pairs) -> tuple[dict, dict]:
    """AnswerCounts and lines by unit, as the store would give them."""
    answer_counts = {no: {} for no in NUMBERS.values()}
    lines = []
    for event, meta in pairs:
        if isinstance(event, BallotSubmitted):
            for unit, item, option in event.answers:
                key = (event.instrument, event.group, item, option)
                answer_counts[unit][key] = answer_counts[unit].get(key, 0) + 1
        else:
            lines += ledger_entries(event, meta, scheme=J, units=NUMBERS)
    closed = {line.source_id: line.unit_no for line in lines if line.measure == "case_closed"}
    kinds = {line.subject_id: line.kind for line in lines if line.kind}
    owned = {no: [] for no in NUMBERS.values()}
    for line in lines:
        owner = closed.get(line.subject_id) if line.measure == "rated" else line.unit_no
        if owner:
            owned[owner].append(_of_kind(line, kinds))
    return answer_counts, owned


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.randoms(use_true_random=False))
def test_the_same_events_in_any_order_give_the_same_bytes_and_shown_parts_add_up(seed, rng: Random):
    life = [consumed(event) for event in random_events(seed, events=25)]
    answer_counts, lines = folded(life)
    rng.shuffle(life)
    answer_counts_again, lines_again = folded(life)

    for no in NUMBERS.values():
        inputs, again = (
            score_inputs(J, answer_counts[no], lines[no]),
            score_inputs(J, answer_counts_again[no], lines_again[no]),
        )
        score = score_unit(inputs, no)
        assert msgspec.json.encode(explain(inputs, score)) == msgspec.json.encode(
            explain(again, score_unit(again, no))
        )
        if score.total is not None:
            parts = [one.contribution for one in score.components if one.contribution is not None]
            assert sum(parts) + score.adjusted + score.clamped == score.total
            assert 0 <= score.total <= 100


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000))
def test_the_other_program_gives_the_same_numbers(seed):
    life = [consumed(event) for event in random_events(seed, events=30)]
    count = Recounter(J.to_json(), NUMBERS.values())
    for event, meta in life:
        if isinstance(event, BallotSubmitted):
            count.add_ballot(event.instrument, event.group, ballots.pack(event.answers))
        else:
            for line in ledger_entries(event, meta, scheme=J, units=NUMBERS):
                count.add_row(msgspec.json.decode(msgspec.json.encode(line)))
    answer_counts, lines = folded(life)

    results = count.results()

    for no in NUMBERS.values():
        score = score_unit(score_inputs(J, answer_counts[no], lines[no]), no)
        assert results[no]["total"] == (None if score.total is None else str(score.total))
        assert results[no]["ranked"] == score.ranked
        assert results[no]["marks"] == {
            one.key: None if one.mark is None else str(one.mark) for one in score.components
        }


def test_the_other_program_shares_no_code_with_the_first():
    imports = [
        node
        for node in ast.walk(ast.parse(Path(program.__file__).read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    names = {alias.name for node in imports for alias in node.names} | {
        getattr(node, "module", "") for node in imports
    }
    assert not any(str(name).startswith(("services", "shared")) for name in names)


# ── ballots ───────────────────────────────────────────────────────────────────────────────────────


@given(
    st.lists(
        st.tuples(st.integers(1, 65535), st.integers(0, 255), st.integers(0, 255)), max_size=100
    )
)
def test_a_packed_ballot_is_four_bytes_an_answer_and_reads_back(answers):
    packed = ballots.pack(answers)

    assert len(packed) == 4 * len(answers)
    assert list(iter_unpack("<HBB", packed)) == answers


def test_a_question_answered_twice_is_seen():
    def twice(*answers):
        return ballots.has_duplicate_answers(ballots.packed_numbers(ballots.pack(answers)))

    assert not twice((1, 1, 1), (1, 2, 1), (2, 1, 1))
    assert twice((1, 1, 1), (2, 1, 1), (1, 1, 3))


@given(
    st.lists(
        st.tuples(st.integers(0, 65_535), st.integers(0, 255), st.integers(0, 255)), max_size=90
    )
)
def test_a_packed_answer_is_read_as_it_was_given(answers):
    assert [
        ballots.answer_of(number) for number in ballots.packed_numbers(ballots.pack(answers))
    ] == answers


@pytest.mark.parametrize("answer", [(65_536, 1, 1), (1, 256, 1), (1, 1, 256), (-1, 1, 1)])
def test_an_answer_that_does_not_fit_is_refused(answer):
    with pytest.raises(Rejected):
        ballots.pack([answer])


def test_an_item_that_is_on_no_checklist_is_refused():
    with pytest.raises(Rejected):
        ledger(visit("V-1", "U07", ("V77", "minor")))


# ── ranked and what follows ───────────────────────────────────────────────────────────────────────


def standings(*totals, ties=None) -> list[RankingEntry]:
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
def test_ranks_go_by_total_then_by_tie_and_equals_share(totals, ties, ranks):
    ranked = {unit.entry.unit_no: unit.rank for unit in rank_units(standings(*totals, ties=ties))}

    assert [ranked[no] for no in sorted(ranked)] == ranks


def test_units_without_a_rank_come_last_and_keep_their_reason():
    weak = RankingEntry(
        unit_no=9,
        unit_id="U9",
        category="party",
        total=D(99),
        unranked="样本不足（3 份，至少 30 份）",
    )

    ranked = rank_units([weak, *standings("50")])

    assert [(unit.entry.unit_no, unit.rank) for unit in ranked] == [(1, 1), (9, None)]


def found(ranked, earlier=None, year=2020):
    return {
        (one.unit_id, one.rule_id, one.open)
        for one in consequences(J, ranked, year=year, earlier=earlier or {})
    }


def test_the_last_two_are_tracked_and_without_last_year_a_person_looks():
    ranked = rank_units(standings("90", "80", "70", "60", "50"))

    assert found(ranked) == {
        ("U4", "J8", False),
        ("U5", "J8", False),
        ("U4", "J9", True),
        ("U5", "J9", True),
    }


def test_two_years_running_is_a_circular_once_is_not():
    ranked = rank_units(standings("90", "80", "70", "60", "50"))
    earlier = {2019: {"U5": EarlierResult(2, None), "U4": EarlierResult(3, None)}}

    assert found(ranked, earlier) == {("U4", "J8", False), ("U5", "J8", False), ("U5", "J9", False)}


def test_equals_at_the_border_are_all_among_the_last():
    ranked = rank_units(standings("90", "80", "60", "60", "50"))

    assert {unit for unit, rule, _ in found(ranked) if rule == "J8"} == {"U3", "U4", "U5"}


def test_in_a_category_of_fewer_than_five_a_person_decides():
    assert found(rank_units(standings("90", "80", "70", "60")), {2019: {}}) == {
        ("U3", "J8", True),
        ("U4", "J8", True),
    }


def test_a_decided_measure_stands_whatever_the_place():
    first = standings("90", "80", "70", "60", "50")[0]
    ranked = rank_units(
        [replace(first, decided=("J10",)), *standings("90", "80", "70", "60", "50")[1:]]
    )

    assert ("U1", "J10", False) in found(ranked)
