"""Forms say what is wrong in Chinese, at the field and in the summary, and keep what was typed."""

from typing import Annotated, Literal
from uuid import UUID

import pytest
from pydantic import Field, ValidationError, field_validator
from starlette.datastructures import FormData

from shared.web.forms import Form, Input, check_form, to_field_errors

CANARY = "13812345678"


class Visit(Input):
    unit: str = Field(title="单位")
    count: int = Field(0, title="人数", ge=0, le=50)
    share: float | None = Field(None, title="比例")
    kind: Literal["open", "covert"] = Field("open", title="方式")
    note: Annotated[str, Field(title="说明", min_length=4, max_length=10)] = "没有说明"
    phone: str = Field("", title="电话", pattern=r"^\d{11}$")
    topics: list[str] = Field([], title="方面", max_length=2)
    answers: dict[str, int] = Field({}, title="回答")
    plan: UUID | None = Field(None, title="计划")

    @field_validator("unit")
    @classmethod
    def known(cls, unit: str) -> str:
        if unit == "没有的单位":
            raise ValueError("没有这个单位，请从列表中选择")
        return unit


def sent(**fields: str | list[str]) -> FormData:
    pairs = [
        (name, each)
        for name, values in fields.items()
        for each in ([values] if isinstance(values, str) else values)
    ]
    return FormData([("csrf", "x"), ("idempotency_key", "y"), *pairs])


@pytest.mark.parametrize(
    ("fields", "name", "sentence"),
    [
        ({}, "unit", "请填写“单位”"),
        ({"unit": "   "}, "unit", "请填写“单位”"),
        ({"unit": "没有的单位"}, "unit", "没有这个单位，请从列表中选择"),
        ({"unit": "甲局", "count": "三"}, "count", "“人数”应为整数"),
        ({"unit": "甲局", "count": "-1"}, "count", "“人数”不能小于 0"),
        ({"unit": "甲局", "count": "51"}, "count", "“人数”不能大于 50"),
        ({"unit": "甲局", "share": CANARY + "x"}, "share", "“比例”应为数字"),
        ({"unit": "甲局", "kind": "secret"}, "kind", "“方式”请从列出的选项中选择"),
        ({"unit": "甲局", "note": "短"}, "note", "“说明”至少 4 个字"),
        (
            {"unit": "甲局", "note": "一二三四五六七八九十甲乙"},
            "note",
            "“说明”最多 10 个字，已超出 2 字",
        ),
        ({"unit": "甲局", "phone": CANARY + "9"}, "phone", "“电话”的格式不正确"),
        ({"unit": "甲局", "topics": ["a", "b", "c"]}, "topics", "“方面”最多选 2 项"),
        ({"unit": "甲局", "plan": CANARY}, "plan", "“计划”的编号格式不正确"),
        ({"unit": "甲局", "score": "100"}, "score", "不接受“score”这一项"),
    ],
)
def test_each_mistake_is_named_at_its_field(
    fields: dict[str, str], name: str, sentence: str
) -> None:
    form = check_form(sent(**fields), Visit)

    assert form.cleaned is None
    assert form.error(name) == sentence
    assert CANARY not in "".join(error.sentence for error in form.errors)


def test_a_right_form_gives_the_model() -> None:
    answers = {"answers[Q1]": "4", "answers[Q2]": "1"}
    form = check_form(
        sent(unit=" 甲局 ", count="3", topics=["a", "b"], note="第一行\r\n第二行", **answers), Visit
    )

    assert form.cleaned is not None
    assert (form.cleaned.unit, form.cleaned.count, form.cleaned.topics, form.cleaned.note) == (
        "甲局",
        3,
        ["a", "b"],
        "第一行\n第二行",
    )
    assert form.cleaned.answers == {"Q1": 4, "Q2": 1}


def test_everything_typed_comes_back_after_a_mistake() -> None:
    form = check_form(sent(unit="", count="三", topics=["a", "b"]), Visit)

    assert (form.value("count"), form.values("topics"), form.value("nothing")) == (
        "三",
        ["a", "b"],
        "",
    )
    assert len(form.errors) == 2


def test_the_action_may_add_what_only_it_can_know() -> None:
    form = check_form(sent(unit="甲局"), Visit)

    form.add_error("该单位已停用", "unit")

    assert form.cleaned is None
    assert form.error("unit") == "该单位已停用"


def test_a_fresh_form_starts_from_a_draft() -> None:
    form: Form[Visit] = Form.with_initial(
        {"unit": "甲局", "count": 3, "plan": None, "topics": ["a"]}
    )

    assert (form.value("unit"), form.value("count"), form.value("plan"), form.values("topics")) == (
        "甲局",
        "3",
        "",
        ["a"],
    )


def test_the_name_of_an_unknown_field_is_repeated_only_when_it_is_a_word() -> None:
    with pytest.raises(ValidationError) as error:
        Visit.model_validate({"unit": "甲局", f"<b>{CANARY}": "1"})

    (problem,) = to_field_errors(error.value.errors())
    assert CANARY not in problem.sentence + problem.field
    assert CANARY not in str(error.value.errors(include_input=False)[0]["msg"])
