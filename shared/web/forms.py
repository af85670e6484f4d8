"""Forms: what was typed, checked by a model, with every mistake named in official Chinese and
nothing typed ever lost.

A form's model is a class of inputs (`Input`), never of a table: unknown fields are refused. A door
does

    form = await read_form(request, NewTicket)
    if form.cleaned is None:
        return render_page(request, "desk.html", 422, form=form, failed=True)

and the template asks the form for `value(name)` and `error(name)`. The same words stand at the
field and in the summary above.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import UnionType
from typing import Any, Final, Generic, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request

INTERNAL_FIELDS: Final = frozenset({"csrf", "idempotency_key"})
"""Fields that every form of ours carries and no model knows."""
NON_FIELD: Final = ""
"""Field name of a problem that concerns the form as a whole."""
_KEYED_FIELD: Final = re.compile(r"([a-z_]\w*)\[([^\]]{1,80})\]", re.ASCII)
_SAFE_NAME: Final = re.compile(r"(?!.*\d{5})[a-z_][\w.]{0,59}", re.ASCII | re.IGNORECASE)
"""A name of a field that may be repeated in an error: a key that nobody declared is input too, and
may be a telephone number.
"""
_HAN: Final = re.compile(r"[\u4e00-\u9fff]")


class Input(BaseModel):
    """Base of every model that reads what people or programs send."""

    model_config = ConfigDict(
        extra="forbid",
        hide_input_in_errors=True,
        str_strip_whitespace=True,
        arbitrary_types_allowed=True,
    )


ModelT = TypeVar("ModelT", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field, in a sentence. `field` is "" when it concerns the whole form."""

    field: str
    sentence: str


@dataclass(slots=True)
class Form(Generic[ModelT]):
    """What was typed into a form. `cleaned` is the validated model, None while there are errors (or
    nothing was sent yet).
    """

    texts: dict[str, list[str]] = field(default_factory=dict)
    errors: list[FieldError] = field(default_factory=list)
    cleaned: ModelT | None = None

    @classmethod
    def with_initial(cls, initial: Mapping[str, Any] | None = None) -> "Form[ModelT]":
        """A form not sent yet, with what it starts from: a draft, a default, the version being
        edited.
        """
        texts = {
            name: _texts(value) for name, value in (initial or {}).items() if value is not None
        }
        return cls(texts)

    def value(self, name: str, default: str = "") -> str:
        """The text in a field."""
        return (self.texts.get(name) or [default])[0]

    def values(self, name: str) -> list[str]:
        """The choices ticked."""
        return self.texts.get(name, [])

    def error(self, name: str) -> str:
        """The first problem of a field, or ""."""
        return next((each.sentence for each in self.errors if each.field == name), "")

    def add_error(self, sentence: str, name: str = NON_FIELD) -> None:
        """Add a problem that only the action could find (`Rejected.sentence`, `Rejected.field`); the
        form has no value any more.
        """
        self.errors.append(FieldError(name, sentence))
        self.cleaned = None


async def read_form(request: Request, model: type[ModelT]) -> Form[ModelT]:
    """Read and check a form. Empty fields count as not filled in; `name[key]` fields make a
    dictionary.
    """
    return check_form(await request.form(), model)


def check_form(submitted: FormData, model: type[ModelT]) -> Form[ModelT]:
    """As `read_form`, for data at hand."""
    form = Form[ModelT](_submitted_texts(submitted))
    try:
        form.cleaned = model.model_validate(_model_values(submitted, model))
    except ValidationError as error:
        form.errors = to_field_errors(error.errors(include_url=False), model, form.texts)
    return form


def _submitted_texts(submitted: FormData) -> dict[str, list[str]]:
    texts: dict[str, list[str]] = {}
    for name, value in submitted.multi_items():
        if isinstance(value, str) and name not in INTERNAL_FIELDS:
            texts.setdefault(name, []).append(value.replace("\r\n", "\n"))
    return texts


def _model_values(submitted: FormData, model: type[BaseModel]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in submitted.multi_items():
        if name in INTERNAL_FIELDS or _is_empty(value):
            continue
        item = value.replace("\r\n", "\n") if isinstance(value, str) else value
        keyed = _KEYED_FIELD.fullmatch(name)
        if keyed:
            values.setdefault(keyed[1], {})[keyed[2]] = item
        elif _is_multi_valued(model, name):
            values.setdefault(name, []).append(item)
        else:
            values[name] = item
    return values


def _is_empty(value: str | UploadFile) -> bool:
    return not value.strip() if isinstance(value, str) else not value.filename


def _is_multi_valued(model: type[BaseModel], name: str) -> bool:
    model_field = model.model_fields.get(name)
    return model_field is not None and _is_collection(model_field.annotation)


def _is_collection(annotation: Any) -> bool:
    origin = get_origin(annotation)
    if origin in (Union, UnionType):
        return any(_is_collection(part) for part in get_args(annotation))
    return origin in (list, tuple, set, frozenset) or annotation in (list, tuple, set, frozenset)


def _texts(value: Any) -> list[str]:
    return (
        [str(each) for each in value]
        if isinstance(value, list | tuple | set | frozenset)
        else [str(value)]
    )


# ── mistakes in words ─────────────────────────────────────────────────────────────────────────────

_MESSAGES: Final[Mapping[str, str]] = {
    "missing": "请填写{label}",
    "string_type": "{label}应为文字",
    "string_too_short": "{label}至少 {min_length} 个字",
    "string_too_long": "{label}最多 {max_length} 个字{over}",
    "string_pattern_mismatch": "{label}的格式不正确",
    "int_parsing": "{label}应为整数",
    "int_type": "{label}应为整数",
    "int_from_float": "{label}应为整数",
    "float_parsing": "{label}应为数字",
    "float_type": "{label}应为数字",
    "finite_number": "{label}应为有限的数字",
    "decimal_parsing": "{label}应为数字",
    "decimal_type": "{label}应为数字",
    "decimal_max_places": "{label}最多 {decimal_places} 位小数",
    "decimal_max_digits": "{label}最多 {max_digits} 位数字",
    "decimal_whole_digits": "{label}的整数部分最多 {whole_digits} 位",
    "bool_parsing": "{label}请选“是”或“否”",
    "bool_type": "{label}请选“是”或“否”",
    "enum": "{label}请从列出的选项中选择",
    "literal_error": "{label}请从列出的选项中选择",
    "greater_than": "{label}应大于 {gt}",
    "greater_than_equal": "{label}不能小于 {ge}",
    "less_than": "{label}应小于 {lt}",
    "less_than_equal": "{label}不能大于 {le}",
    "multiple_of": "{label}应为 {multiple_of} 的倍数",
    "too_short": "{label}至少选 {min_length} 项",
    "too_long": "{label}最多选 {max_length} 项",
    "date_parsing": "{label}应为日期，例如 2026-11-22",
    "date_from_datetime_parsing": "{label}应为日期，例如 2026-11-22",
    "date_type": "{label}应为日期，例如 2026-11-22",
    "date_past": "{label}应早于今天",
    "date_future": "{label}应晚于今天",
    "time_parsing": "{label}应为时间，例如 09:30",
    "datetime_parsing": "{label}应为日期和时间，例如 2026-11-22 09:30",
    "datetime_from_date_parsing": "{label}应为日期和时间，例如 2026-11-22 09:30",
    "datetime_type": "{label}应为日期和时间，例如 2026-11-22 09:30",
    "timezone_aware": "{label}应带时区，例如 2026-11-22T09:30:00+08:00",
    "uuid_parsing": "{label}的编号格式不正确",
    "uuid_type": "{label}的编号格式不正确",
    "list_type": "{label}应为列表",
    "dict_type": "{label}应为对象",
    "model_type": "{label}应为对象",
    "model_attributes_type": "{label}应为对象",
    "json_invalid": "内容不是正确的 JSON",
    "extra_forbidden": "不接受“{name}”这一项",
    "is_instance_of": "{label}的类型不正确",
}
_DEFAULT_MESSAGE: Final = "{label}填写有误"


def to_field_errors(
    errors: Sequence[Any],
    model: type[BaseModel] | None = None,
    texts: Mapping[str, list[str]] | None = None,
) -> list[FieldError]:
    """Pydantic's errors as sentences. Nothing of the input is in them, except the name of an
    unknown field.

    `model` gives the labels (`Field(title="被反映单位")`); `texts` lets a sentence say by how much
    a text is too long.
    """
    return [_field_error(error, model, texts or {}) for error in errors]


def _field_error(
    error: Mapping[str, Any], model: type[BaseModel] | None, texts: Mapping[str, list[str]]
) -> FieldError:
    location = [str(part) for part in error.get("loc", ())]
    if model is None and location and location[0] in ("body", "query", "path", "header", "cookie"):
        location = location[1:]
    name = ".".join(location)
    safe_name = name if _SAFE_NAME.fullmatch(name) else "其他内容"
    return FieldError(
        safe_name if name else NON_FIELD,
        _sentence(error, _label(location, model), safe_name, _length(location, texts)),
    )


def _sentence(error: Mapping[str, Any], label: str, name: str, length: int) -> str:
    kind, context = str(error.get("type", "")), error.get("ctx") or {}
    custom = (
        str(context.get("error", ""))
        if kind in ("value_error", "assertion_error")
        else str(error.get("msg", ""))
    )
    if kind not in _MESSAGES and _HAN.search(custom):
        return custom
    over = (
        f"，已超出 {length - context['max_length']} 字"
        if kind == "string_too_long" and length > context["max_length"]
        else ""
    )
    return _MESSAGES.get(kind, _DEFAULT_MESSAGE).format(
        **{**context, "label": label, "name": name, "over": over}
    )


def _label(location: Sequence[str], model: type[BaseModel] | None) -> str:
    if not location:
        return "内容"
    model_field = model.model_fields.get(location[0]) if model else None
    if model_field is not None and model_field.title:
        return f"“{model_field.title}”"
    return f"“{location[-1]}”" if _SAFE_NAME.fullmatch(location[-1]) else "内容"


def _length(location: Sequence[str], texts: Mapping[str, list[str]]) -> int:
    return len((texts.get(location[0]) or [""])[0].strip()) if location else 0
