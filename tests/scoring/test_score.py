"""Marks, adjustments and totals, calculated by hand."""

from decimal import Decimal as D
from fractions import Fraction
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scoring.domain.arithmetic import largest_remainder, rounded
from services.scoring.domain.explanation import explain, explain_unit, redact_for_unit
from services.scoring.domain.inputs import score_inputs
from services.scoring.domain.ledger import LedgerEntry
from services.scoring.domain.score import score_unit
from shared.appraisal.labels import ComplaintKind
from shared.appraisal.schemes import ScoreSheet, ScoreSheetFormula, Veto
from tests.scoring.factories import Case, late_plan, visit
from tests.scoring.inputs import J, cities, ledger, marked

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
def test_satisfaction_is_the_mean_of_counted_answers(answer_counts, mark, sample):
    component = marked(answer_counts).component("cities")

    assert (component.mark, component.sample) == (mark and D(mark), sample)


def test_groups_count_by_weight_not_by_number_of_answers():
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
def test_finding_costs_the_points_of_its_item_times_severity(findings, mark):
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


def test_handling_ignores_rates_without_cases():
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


def test_breakdown_names_how_many_handled_cases_were_paused_and_no_mark_changes():
    one, two, open_case = Case("1", "U07"), Case("2", "U07"), Case("3", "U07")
    closed = [one.accepted(), one.closed(), two.accepted(), two.closed()]
    pauses = [one.paused(), one.paused(), open_case.paused()]
    entries = ledger(*closed, *pauses)

    explanation = explain_unit(score_inputs(J, {}, entries), 7)

    platform = next(each for each in explanation.components if each.key == "platform")
    notes = {row.label: row.note for row in platform.breakdown}
    assert notes == {"按期签收": "", "按期办结": "其中 1 件曾经批准暂停计时", "来件人评价": ""}
    assert explanation.score == marked(entries=ledger(*closed))


def test_assigned_case_does_not_count_yet():
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
def test_deductions_follow_the_rules_of_j6(events, off):
    assert marked(cities(9), ledger(*events)).adjusted == D(off)


def test_every_adjustment_names_event_and_rule_and_explains_exemptions():
    inputs = score_inputs(J, {}, ledger(*(Case(str(no), "U07").returned() for no in range(4))))

    lines = explain(inputs, score_unit(inputs, 7)).adjustments

    assert {line.rule_id for line in lines} == {"J6.returned"}
    assert [(line.amount, line.note) for line in lines] == [(D(0), "前 2 次不计")] * 2 + [
        (D("-0.5"), "")
    ] * 2
    assert len({line.event_id for line in lines}) == 4


def test_deduction_for_one_kind_of_case_ignores_other_kinds():
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


def test_complete_score_of_j_matches_a_calculation_by_hand():
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


def test_absent_component_leaves_its_weight_to_the_others():
    score = marked(cities(9) | {("contacts", "contact_leads", 1, 3): 1})

    # 15 and 10 of 25: 60 % of 100 and 40 % of 0
    assert (score.total, score.unranked) == (D("60.00"), "明察暗访尚无结果")
    assert [one.effective_weight for one in score.components if one.mark is not None] == [
        D("60.00"),
        D("40.00"),
    ]


def test_total_is_limited_to_0_to_100_and_shows_the_difference():
    score = marked(cities(0, 0, 9), ledger(late_plan("U07")))

    assert (score.total, score.adjusted, score.clamped) == (D("0.00"), D("-1.00"), D("1.00"))


def test_small_sample_has_a_mark_but_no_rank():
    few = marked(cities(29), ledger(visit("V-1", "U07")))
    enough = marked(cities(30), ledger(visit("V-1", "U07")))

    assert (few.ranked, few.unranked, few.total) == (
        False,
        "样本不足（29 份，至少 30 份）",
        D("100.00"),
    )
    assert enough.ranked


def test_vetoed_unit_is_disqualified():
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


def test_score_sheet_is_scaled_to_100():
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
def test_largest_remainder_adds_up_and_changes_values_by_less_than_a_digit(values, decimals):
    total = rounded(sum(values, Fraction(0)), decimals)

    shown = largest_remainder(values, total, decimals)

    assert sum(shown) == total
    assert all(
        abs(Fraction(one) - value) < Fraction(1, 10**decimals)
        for one, value in zip(shown, values, strict=True)
    )


def test_a_unit_sees_its_ballots_in_steps_and_no_small_cell():
    given = score_inputs(J, cities(satisfied=41, not_satisfied=9, unknown=12), [])
    shown = redact_for_unit(explain_unit(given, 7))

    rows = [row for component in shown.components for row in component.breakdown if row.group]
    assert rows
    for row in rows:
        assert {count.code: count.number for count in row.counts} == {
            "satisfied": 40,
            "fairly_satisfied": None,
            "dissatisfied": None,
            "unknown": None,
        }
        assert row.base is None
        assert row.formula == ""
    assert shown.score.sample == 50
    assert "50" not in shown.score.unranked
    assert shown.score.ties == ()


def test_a_unit_does_not_see_an_answer_of_fewer_than_ten():
    given = score_inputs(J, cities(satisfied=5, fair=2), [])
    shown = redact_for_unit(explain_unit(given, 7))

    rows = [row for component in shown.components for row in component.breakdown if row.group]
    assert rows
    assert all(row.mark is None and row.base is None for row in rows)
