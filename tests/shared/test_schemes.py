"""The shipped schemes, and the rejection of invalid edits."""

from datetime import date
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import shared.appraisal.schemes
from shared.appraisal.labels import ComplaintKind, Urgency
from shared.appraisal.schemes import (
    HandlingFormula,
    InspectionFormula,
    SatisfactionFormula,
    Scheme,
    SchemeError,
    check,
    load_scheme,
    parts,
    read_scheme,
    scheme_ids,
)

FOLDER = Path(shared.appraisal.schemes.__file__).parent
J_TEXT = (FOLDER / "j.yaml").read_text(encoding="utf-8")
J = load_scheme("J", 2020)


def line_of(text: str, marker: str) -> int:
    (number,) = [n for n, line in enumerate(text.splitlines(), start=1) if marker in line]
    return number


# ── J, row by row ─────────────────────────────────────────────────────────────────────────────────


def test_j1_has_four_separately_ranked_categories() -> None:
    assert [one.label for one in J.categories] == [
        "党群工作部门",
        "省政府工作部门",
        "企事业单位",
        "中直单位",
    ]
    assert "法院" in J.categories[0].includes
    assert J.ranking.label == "分类排名"


def test_j2_has_a_period_and_two_obligations() -> None:
    assert (J.period.begins.month, J.period.ends.month) == (8, 12)
    assert [(one.label, one.due) for one in J.obligations] == [
        ("报送实施方案", date(2020, 9, 1)),
        ("报送自评报告", date(2020, 11, 30)),
    ]
    assert [one.id for one in J.deductions if one.event == "obligation_lapsed"] == ["J2.late"]


def test_j3_self_appraisal_has_six_channels() -> None:
    assert J.self_appraisal is not None
    assert [one.label for one in J.self_appraisal.channels] == [
        "门户网站",
        "客户端",
        "走访",
        "座谈",
        "实地调研",
        "投诉窗口",
    ]


@pytest.mark.parametrize(
    ("id", "key", "formula", "instruments"),
    [
        ("J4.1", "deputies", SatisfactionFormula, ("deputies",)),
        ("J4.2", "hall", SatisfactionFormula, ("hall",)),
        ("J4.3", "cities", SatisfactionFormula, ("cities",)),
        ("J4.4", "visits", InspectionFormula, ("visits",)),
        ("J4.5", "contacts", SatisfactionFormula, ("contacts",)),
        ("J4.6", "platform", HandlingFormula, ()),
    ],
)
def test_j4_has_six_external_appraisals(
    id: str, key: str, formula: type, instruments: tuple[str, ...]
) -> None:
    component = J.component(key)

    assert component is not None
    assert (component.id, type(component.formula)) == (id, formula)
    named = getattr(component.formula, "instruments", None) or (
        getattr(component.formula, "instrument", ""),
    )
    assert tuple(filter(None, named)) == instruments
    assert component.ours, "the document gives no weight"


def test_j4_weights_add_up_to_100() -> None:
    assert sum(one.weight for one in J.components) == 100


def test_j5_every_stage_of_a_case_has_a_limit() -> None:
    for stage in ("assign", "accept", "handle", "review"):
        for kind in ComplaintKind:
            for urgency in Urgency:
                assert J.case_rules.limit(stage, kind, urgency) is not None


@pytest.mark.parametrize(
    ("kind", "urgency", "limit", "source"),
    [
        (ComplaintKind.COMPLAINT, Urgency.NORMAL, "5wd", "HP-JN"),
        (ComplaintKind.COMPLAINT, Urgency.URGENT, "3wd", "ZF-A"),
        (ComplaintKind.COMPLAINT, Urgency.CRITICAL, "1wd", "ZF-A"),
        (ComplaintKind.REPORT, Urgency.NORMAL, "30wd", "XN-30"),
        (ComplaintKind.INQUIRY, Urgency.NORMAL, "5wd", "ZF-D"),
    ],
)
def test_j5_handling_limits_name_their_legal_basis(
    kind: ComplaintKind, urgency: Urgency, limit: str, source: str
) -> None:
    rule = J.case_rules.limit("handle", kind, urgency)

    assert rule is not None
    assert (str(rule.limit), rule.source) == (limit, source)


def test_j5_reports_are_not_assigned_to_the_accused_unit() -> None:
    assert J.case_rules.not_by_accused == (ComplaintKind.REPORT,)


def test_j6_deducts_for_lapses_and_findings_with_evidence() -> None:
    assert {(one.event, one.deadline or one.severity, one.evidence) for one in J.deductions} >= {
        ("deadline_lapsed", "accept", "case"),
        ("deadline_lapsed", "handle", "case"),
        ("finding", "serious", "visit"),
        ("case_returned", None, "case"),
    }


def test_j7_to_j10_define_the_use_of_results() -> None:
    assert J.publication.approver == "leader"
    assert J.publication.uses == ("年度绩效考核", "机关党建考核")
    assert [
        (one.id, one.label, one.last, one.years, one.by_decision) for one in J.consequences
    ] == [
        ("J8", "重点跟踪对象", 2, 1, False),
        ("J9", "通报", 2, 2, False),
        ("J10", "问责", None, 1, True),
    ]
    assert (J.ranking.ties, J.ranking.minimum_sample) == (("dissatisfaction_rate",), 30)


def test_j11_has_contents_and_the_catalogue_of_28_items_under_six_heads() -> None:
    assert len(J.contents) == 5
    assert len(J.catalogue.heads) == 6
    assert [item.id for head in J.catalogue.heads for item in head.items] == [
        f"{n:02}" for n in range(1, 29)
    ]
    problem = J.problem("08")
    assert problem is not None
    assert problem.label == "窗口态度差效率低、热线网站僵尸化"


def test_answer_unknown_is_not_counted() -> None:
    assert [(one.no, one.label, one.points) for one in J.options] == [
        (1, "满意", Decimal(100)),
        (2, "基本满意", Decimal(80)),
        (3, "不满意", Decimal(0)),
        (9, "不了解", None),
    ]
    assert [one.counts for one in J.options] == [True, True, True, False]


def test_values_left_open_by_the_document_are_marked() -> None:
    open_values = {place for place, _ in J.undecided()}

    assert {
        "period",
        "options[0]",
        "J4.1",
        "J6.lapse_accept",
        "J5.handle_complaint",
        "J7.ranking",
    } <= open_values
    assert not {"J2.plan", "J2.report", "J8", "J9", "J10"} & open_values


def test_rule_is_found_by_id() -> None:
    rule = J.rule("J6.lapse_handle")

    assert rule is not None
    assert rule.label == "逾期未办结"
    assert J.rule("J99") is None


# ── the other four founding documents ─────────────────────────────────────────────────────────────


def test_t_is_a_campaign_within_that_of_j() -> None:
    t = load_scheme("T", 2020)

    assert t.parent == "J"
    assert [obligation.due for obligation in t.obligations] == [
        obligation.due for obligation in J.obligations
    ]
    assert len(t.components) == 5
    assert t.component("cities") is None
    assert [item.id for head in t.catalogue.heads for item in head.items] == [
        f"{n:02}" for n in range(1, 29)
    ]
    assert "cadres" in [one.key for one in t.objects]


def test_l_runs_over_two_years_with_80_units_in_two_categories() -> None:
    scheme = load_scheme("L", 2012)

    assert (scheme.period.begins, scheme.period.ends) == (date(2012, 6, 1), date(2013, 11, 30))
    assert [stage.ends for stage in scheme.stages] == [
        date(2012, 7, 31),
        date(2013, 7, 31),
        date(2013, 11, 30),
    ]
    assert [unit.category for unit in scheme.listed_units].count("government") == 53
    assert [unit.category for unit in scheme.listed_units].count("service") == 27
    assert (materials := scheme.obligation("L5.materials")) is not None
    assert materials.due == date(2013, 10, 20)


def test_l_has_a_vote_grades_and_consequences() -> None:
    scheme = load_scheme("L", 2012)

    assert {one.key: one.quota for one in scheme.questionnaires if one.quota} == {
        "opinions": 2500,
        "vote": 10000,
    }
    assert len(scheme.components) == 7
    assert [one.label for one in scheme.grades] == ["优", "良", "中", "差"]
    assert {one.category: one.first for one in scheme.awards} == {"government": 20, "service": 10}
    assert [(one.grade, one.years) for one in scheme.consequences if one.grade] == [
        ("poor", 1),
        ("poor", 2),
    ]
    assert [one.effect for one in scheme.vetoes] == ["disqualified"]
    assert scheme.representatives is not None
    assert scheme.representatives.one_new_in == 3


def test_s_has_five_appraisals_and_a_ladder_for_persons() -> None:
    scheme = load_scheme("S", 2010)

    assert [one.label for one in scheme.components] == [
        "自评",
        "互评",
        "抽查评议",
        "社会评议",
        "群众测评",
    ]
    assert [(one.times, one.measure) for one in scheme.person_ladder] == [
        (1, "诫勉谈话"),
        (2, "通报批评"),
        (3, "交流换岗"),
    ]
    assert [obligation.due for obligation in scheme.obligations[:3]] == [
        date(2010, 6, 30),
        date(2010, 9, 30),
        date(2010, 11, 15),
    ]
    assert [one.last for one in scheme.consequences if one.last] == [1]
    assert [one.effect for one in scheme.vetoes] == ["no_award"]


def test_c_has_five_phases_three_lists_and_the_ten_nots() -> None:
    scheme = load_scheme("C", 2017)

    assert len(scheme.stages) == 5
    assert [obligation.deliverable for obligation in scheme.obligations[:3]] == [
        "整改清单",
        "责任清单",
        "制度清单",
    ]
    assert len(scheme.catalogue.heads[1].items) == 10
    assert {one.id for one in scheme.deductions if one.event == "decision"} == {
        "C5.pushed_up",
        "C8.exposed",
    }
    assert [one.effect for one in scheme.vetoes] == ["not_best_grade"]


# ── every shipped scheme ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("id", scheme_ids())
@pytest.mark.parametrize("year", [2010, 2020, 2026, 2028])
def test_shipped_schemes_load_for_any_year_and_round_trip(id: str, year: int) -> None:
    scheme = load_scheme(id, year)
    copy = Scheme.from_json(scheme.to_json())

    assert (scheme.id, scheme.year, scheme.period.begins.year) == (id, year, year)
    assert copy == scheme
    assert copy.to_json() == scheme.to_json()
    assert copy.fingerprint == scheme.fingerprint
    assert check(scheme) == []


def test_scheme_json_is_byte_stable() -> None:
    assert J.to_json() == load_scheme(FOLDER / "j.yaml", 2020).to_json()
    assert J.fingerprint != load_scheme("J", 2021).fingerprint


def test_unknown_field_in_json_is_ignored() -> None:
    newer = msgspec.json.decode(J.to_json()) | {"invented_later": 1}

    assert Scheme.from_json(msgspec.json.encode(newer)) == J


def test_unknown_scheme_id_is_not_found() -> None:
    with pytest.raises(FileNotFoundError):
        load_scheme("Q", 2020)


# ── wrong edits ───────────────────────────────────────────────────────────────────────────────────

WRONG_EDITS = [
    # old, new, where the mistake is seen (a piece of its line after the edit), what is sentence
    ("id: J4.1\n", "id: K4.1\n", "id: K4.1", "规则编号"),
    ("id: J4.2\n", "id: J4.1 \n", "id: J4.1 ", "重复"),
    ("weight: 10\n", "weight: 11\n", "components:", "合计应为 100，现为 101"),
    ("weight: 10\n", "weight: ten\n", "weight: ten", "应为数字"),
    ("weight: 10\n", "weight: -10\n", "weight: -10", "权重应大于 0"),
    ("weight: 10\n", "wieght: 10\n", "id: J4.5", "缺少 weight"),
    (
        "units: chosen\n    units_note: 在省",
        "unit: chosen\n    units_note: 在省",
        "unit: chosen",
        "不认识“unit”",
    ),
    ("due: 09-01", "due: 09-31", "due: 09-31", "没有 09-31"),
    ("due: 09-01", "due: 2020-09-01", "due: 2020-09-01", "写法不对"),
    ("due: 09-01", "due: 07-01", "due: 07-01", "不在评议期"),
    (
        "ends: 12-10, ours: true}\n\ncat",
        "ends: 08-01, ours: true}\n\ncat",
        "period:",
        "应晚于开始日期",
    ),
    ("begins: 12-01, ends: 12-10", "begins: 12-09, ends: 12-08", "begins: 12-09", "早于开始日期"),
    ("ends: 09-01, ours: true}", "ends: +1 09-01, ours: true}", "+1 09-01", "超出评议期"),
    (
        "code: satisfied, label: 满意, points: 100",
        "code: satisfied, label: 满意, points: 101",
        "points: 101",
        "0 至 100",
    ),
    ("no: 2, code: fairly", "no: 1, code: fairly", "code: fairly", "重复"),
    ("code: dissatisfied", "code: bad", "options:", "不满意率"),
    ("instruments: [cities]", "instruments: [city]", "instruments: [city]", "没有名为“city”的问卷"),
    (
        "    key: contacts\n    label: 党建联系片负责部门评议\n    units",
        "    key: hall\n    label: 党建\n    units",
        "key: hall\n    label: 党建\n",
        "“hall”重复",
    ),
    ("instrument: visits", "instrument: hall", "instrument: hall", "检查表"),
    ("kind: inspection", "kind: guesswork", "kind: guesswork", "不是允许的取值"),
    ("spread: sum", "spread: average", "spread: average", "不是允许的取值"),
    ("serious: 2}", "serious: 0.5}", "serious: 0.5}", "轻微不高于一般"),
    ("handled_on_time: 40", "handled_on_time: 50", "handled_on_time: 50", "合计应为 100，现为 110"),
    ('problem: "20"', 'problem: "29"', 'problem: "29"', "问题目录中没有“29”"),
    ('id: "28"', 'id: "27"', "下基层超标准用餐", "重复"),
    ("amount: 4, problem", "amount: 0, problem", "amount: 0, problem", "扣分应大于 0"),
    ("amount: 1\n    cap: 10", "amount: 1\n    cap: 0.5", "cap: 0.5", "低于单次分值"),
    ("deadline: handle", "deadline: handel", "deadline: handel", "没有“handel”这个环节"),
    ("    severity: serious\n", "", "event: finding\n    amount", "severity"),
    ("limit: 30wd", "limit: 30 days", "limit: 30 days", "时限“30 days”写法不对"),
    ("limit: 30wd", "limit: 0wd", "limit: 0wd", "1 至 3650"),
    ("kinds: [report], limit", "kinds: [gossip], limit", "kinds: [gossip]", "不是允许的取值"),
    ("stage: review, limit", "stage: rectify, limit", "  limits:", "环节 review 没有规定"),
    (
        "stage: handle, kinds: [complaint], limit",
        "stage: handle, limit",
        "J5.handle_inquiry",
        "永远用不到",
    ),
    (
        "approvers: [unit_head, supervisor]",
        "approvers: [boss]",
        "approvers: [boss]",
        "没有“boss”这个角色",
    ),
    ("approvers: [unit_head, supervisor]", "approvers: []", "approvers: []", "至少要有一个批准人"),
    ("times: 1\n", "times: once\n", "times: once", "应为整数"),
    ("minimum_sample: 30", "minimum_sample: -1", "minimum_sample: -1", "不能为负数"),
    ("by_decision: true", "by_decision: perhaps", "by_decision: perhaps", "true 或 false"),
    ("by_decision: true", "last: 0", "last: 0", "不小于 1"),
    ("ours: true  # 申诉", "ours: true\n  ours: true  # 申诉", "# 申诉", "写了两次"),
    ("categories:  # J1", "categories: []\nspare:", "categories: []", "不能为空"),
    ("name: 省直机关", "name: [省直机关", "", "不是有效的 YAML"),
    (
        "stages: [J2.stage_2]\n    ours: true\n    groups:\n      - {key: npc",
        "stages: [J2.x]\n    groups:\n      - {key: npc",
        "stages: [J2.x]",
        "没有编号为“J2.x”的阶段",
    ),
]


@pytest.mark.parametrize(
    ("old", "new", "seen", "sentence"),
    WRONG_EDITS,
    ids=[f"{n:02}" for n in range(len(WRONG_EDITS))],
)
def test_invalid_edit_is_rejected_with_line_and_correction(
    old: str, new: str, seen: str, sentence: str
) -> None:
    assert J_TEXT.count(old) >= 1, "the file no longer says this"
    edited = J_TEXT.replace(old, new, 1)

    with pytest.raises(SchemeError, match=sentence) as refused:
        read_scheme(edited, 2020, "方案.yaml")

    lines = [mistake.line for mistake in refused.value.mistakes if sentence in mistake.sentence]
    at = edited.index(seen, edited.index(new.rstrip()) if seen in new else 0) if seen else None
    if at is not None:
        assert edited[:at].count("\n") + 1 in lines, str(refused.value)
    assert str(refused.value).startswith("方案.yaml 第 ")


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "- a\n- b\n", "hello", "\x00", "id: J\n\tname: x\n"]
)
def test_file_that_is_no_scheme_is_rejected(text: str) -> None:
    with pytest.raises(SchemeError):
        read_scheme(text, 2020)


def test_all_violations_are_reported_at_once() -> None:
    edited = J_TEXT.replace("weight: 10\n", "weight: 11\n").replace(
        "minimum_sample: 30", "minimum_sample: -1"
    )

    with pytest.raises(SchemeError) as refused:
        read_scheme(edited, 2020)

    assert len(refused.value.mistakes) == 2


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 200))
def test_reported_lines_are_those_of_the_file(blank: int) -> None:
    edited = "\n" * blank + J_TEXT.replace("minimum_sample: 30", "minimum_sample: -1")

    with pytest.raises(SchemeError) as refused:
        read_scheme(edited, 2020)

    assert refused.value.mistakes[0].line == line_of(edited, "minimum_sample: -1")


# ── properties ────────────────────────────────────────────────────────────────────────────────────


def with_weights(weights: list[Decimal]) -> Scheme:
    components = (
        msgspec.structs.replace(one, weight=weight)
        for one, weight in zip(J.components, weights, strict=True)
    )
    return msgspec.structs.replace(J, components=tuple(components))


@settings(deadline=None)
@given(st.lists(st.integers(1, 9999), min_size=5, max_size=5, unique=True))
def test_weights_with_two_decimals_that_add_up_to_100_are_accepted(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), 10000]
    weights = [Decimal(b - a) / 100 for a, b in pairwise(edges)]

    assert check(with_weights(weights)) == []


@settings(deadline=None)
@given(
    st.lists(st.decimals(0, 100, places=2), min_size=6, max_size=6).filter(
        lambda weights: sum(weights) != 100
    )
)
def test_weights_that_do_not_add_up_to_100_are_rejected(weights: list[Decimal]) -> None:
    assert any("合计应为 100" in sentence for _, sentence in check(with_weights(weights)))


@settings(deadline=None)
@given(st.lists(st.decimals(0, 100, places=2), min_size=6, max_size=6))
def test_scheme_keeps_the_digits_of_decimals(weights: list[Decimal]) -> None:
    scheme = with_weights(weights)

    assert Scheme.from_json(scheme.to_json()).to_json() == scheme.to_json()


@settings(deadline=None, max_examples=20)
@given(st.integers(1950, 2100))
def test_dates_follow_the_year_of_the_campaign(year: int) -> None:
    scheme = load_scheme("J", year)

    assert {obligation.due.year for obligation in scheme.obligations} == {year}
    assert (
        msgspec.structs.replace(load_scheme("J", 2020), year=year).case_rules == scheme.case_rules
    )


def test_paths_of_parts_are_unique() -> None:
    paths = [path for path, _ in parts(J)]

    assert len(paths) == len(set(paths))
