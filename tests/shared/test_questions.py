"""Kinds of questions: what each accepts, offers and says about its tally."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.appraisal.errors import Rejected
from shared.appraisal.schemes import check, load_scheme
from shared.appraisal.schemes.questions import AnyQuestion
from shared.appraisal.schemes.scheme import Scheme

J = load_scheme("J", 2026)


def question(**fields: object) -> AnyQuestion:
    """Return a question as a scheme document spells it."""
    return msgspec.convert({"no": 2, "label": "办事效率"} | fields, AnyQuestion, strict=False)


SINGLE = question(kind="single_choice")
SCALE = question(kind="scale")
SEVERAL = question(
    kind="multiple_choice",
    options=[{"no": 1, "label": "窗口"}, {"no": 2, "label": "网上"}, {"no": 3, "label": "电话"}],
    at_most=2,
)
REASON = question(kind="reason", at_most=2)
TEXT = question(kind="free_text", length_max=10)


def with_question(added: AnyQuestion) -> Scheme:
    """Return scheme J with a further question on its first questionnaire."""
    first, *others = J.instruments
    items = (*first.items, msgspec.structs.replace(added, no=len(first.items) + 1))
    changed = msgspec.structs.replace(first, items=items)
    return msgspec.structs.replace(J, instruments=(changed, *others))


@pytest.mark.parametrize(
    ("asked", "entered", "numbers"),
    [
        (SINGLE, ["1"], (1,)),
        (SCALE, ["10"], (10,)),
        (SCALE, ["0"], (0,)),
        (SEVERAL, ["1", "3"], (1, 3)),
        (REASON, [], ()),
        (REASON, ["1", "2"], (1, 2)),
    ],
)
def test_an_answer_of_its_kind_is_read_as_numbers(asked, entered, numbers):
    assert asked.read(entered, J) == numbers


@pytest.mark.parametrize(
    ("asked", "entered", "sentence"),
    [
        (SINGLE, [], "请选一项"),
        (SINGLE, ["1", "2"], "请选一项"),
        (SINGLE, ["77"], "请选一项"),
        (SCALE, ["11"], "请选一项"),
        (SCALE, ["满意"], "请选一项"),
        (SEVERAL, [], "请至少选一项"),
        (SEVERAL, ["1", "1"], "请至少选一项"),
        (SEVERAL, ["1", "2", "3"], "最多可以选 2 项"),
        (REASON, ["1", "2", "3"], "最多可以选 2 项"),
        (REASON, ["250"], "请从问题目录中选择"),
        (TEXT, ["1"], "请用文字回答"),
    ],
)
def test_an_answer_that_does_not_fit_its_kind_is_rejected(asked, entered, sentence):
    with pytest.raises(Rejected, match=sentence) as rejected:
        asked.read(entered, J)

    assert rejected.value.status == 422


def test_a_text_is_trimmed_and_bounded():
    assert TEXT.read_text("  窗口太少 ") == "窗口太少"
    with pytest.raises(Rejected, match="最多 10 字，现有 11 字"):
        TEXT.read_text("一" * 11)


@given(highest=st.sampled_from([5, 10, 100]))
def test_points_of_a_scale_rise_evenly_to_a_hundred(highest):
    choices = question(kind="scale", highest=highest).choices(J)
    points = [choice.points for choice in choices if choice.counts]

    assert points == [Decimal(100) * number / highest for number in range(1, highest + 1)]
    assert choices[-1].label == "不了解"
    assert not choices[-1].counts


def test_only_single_choice_and_scale_enter_the_score():
    kinds = (SINGLE, SCALE, SEVERAL, REASON, TEXT)

    assert [asked.scored for asked in kinds] == [True, True, False, False, False]


def test_reasons_are_the_entries_of_the_catalogue_in_order():
    labels = [item.label for heading in J.catalogue.heads for item in heading.items]

    assert [choice.label for choice in REASON.choices(J)] == labels


@pytest.mark.parametrize(
    ("asked", "tally", "words"),
    [
        (SINGLE, {1: 3, 2: 1}, "满意 3，基本满意 1"),
        (SCALE, {8: 1, 9: 1, 0: 4}, "平均 8.5 分（满分 10 分，2 份）"),
        (SCALE, {0: 4}, "没有评分"),
        (SEVERAL, {1: 2, 3: 5}, "窗口 2，电话 5"),
    ],
)
def test_a_tally_is_explained_in_words(asked, tally, words):
    assert asked.explain(tally, J) == words


@pytest.mark.parametrize("asked", [SINGLE, SCALE, SEVERAL, REASON, TEXT], ids=lambda q: q.template)
def test_a_scheme_with_the_question_is_valid_and_survives_the_wire(asked):
    scheme = with_question(asked)

    assert check(scheme) == []
    assert Scheme.from_json(scheme.to_json()) == scheme


@pytest.mark.parametrize(
    ("asked", "path"),
    [
        (question(kind="scale", highest=7), "highest"),
        (question(kind="free_text", length_max=0), "length_max"),
        (question(kind="multiple_choice", options=[{"no": 1, "label": "窗口"}]), "options"),
        (question(kind="reason", at_most=0), "at_most"),
    ],
)
def test_a_question_that_cannot_work_is_refused_with_its_field(asked, path):
    paths = [found for found, _ in check(with_question(asked))]

    assert [found.rpartition(".")[2] for found in paths] == [path]


def test_the_overall_question_must_be_a_single_choice():
    first, *others = J.instruments
    items = (msgspec.structs.replace(SCALE, no=1), *first.items[1:])
    changed = msgspec.structs.replace(first, items=items)
    scheme = msgspec.structs.replace(J, instruments=(changed, *others))

    assert [sentence for _, sentence in check(scheme)] == [
        "第一题是总体评价，应为单选题：样本量和不满意率按它计算"
    ]
