"""Errors of single fields as sentences in official Chinese, which repeat nothing of the input."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel

NON_FIELD: Final = ""
"""Field name of an error that concerns the form as a whole."""
_SAFE_NAME: Final = re.compile(r"(?!.*\d{5})[a-z_][\w.-]{0,59}", re.ASCII | re.IGNORECASE)
"""A field name that an error may repeat: an undeclared key is input too, possibly a phone number.
"""
_HAN: Final = re.compile(r"[\u4e00-\u9fff]")


@dataclass(frozen=True, slots=True)
class FieldError:
    """An error of one field as a sentence. `field` is NON_FIELD if it concerns the whole form."""

    field: str
    sentence: str


def located_error(name: str, problem: str) -> FieldError:
    """Return the error of a field; `problem` is the predicate of a sentence about it.

    A name that is unsafe to repeat is replaced.
    """
    if not name:
        return FieldError(NON_FIELD, f"{_WHOLE}{problem}")
    if not _SAFE_NAME.fullmatch(name):
        return FieldError(_OTHER, f"{_OTHER}{problem}")
    return FieldError(name, f"“{name}”{problem}")


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
    """Return Pydantic's errors as sentences, which repeat nothing of the input but safe field
    names.

    `model` provides the labels (`Field(title="被反映单位")`); with `texts` a sentence says by how
    much a text is too long.
    """
    return [_field_error(error, model, texts or {}) for error in errors]


def _field_error(
    error: Mapping[str, Any],
    model: type[BaseModel] | None,
    texts: Mapping[str, list[str]],
) -> FieldError:
    location = _location(error, has_model=model is not None)
    name = ".".join(location)
    if not name:
        return FieldError(NON_FIELD, _sentence(error, _WHOLE, _OTHER, length=0))
    safe_name = name if _SAFE_NAME.fullmatch(name) else _OTHER
    label = _label(location, model)
    length = _length(texts.get(location[0]))
    return FieldError(safe_name, _sentence(error, label, safe_name, length=length))


_WHOLE: Final = "内容"
_OTHER: Final = "其他内容"


def _location(error: Mapping[str, Any], *, has_model: bool) -> list[str]:
    """Return the path to the field, without FastAPI's prefix for the part of the request."""
    location = [str(part) for part in error.get("loc", ())]
    if not has_model and location and location[0] in _REQUEST_PARTS:
        return location[1:]
    return location


_REQUEST_PARTS: Final = frozenset({"body", "query", "path", "header", "cookie"})


def _sentence(
    error: Mapping[str, Any],
    label: str,
    name: str,
    *,
    length: int,
) -> str:
    kind = str(error.get("type", ""))
    context = error.get("ctx") or {}
    own_sentence = _own_sentence(error, kind, context)
    if kind not in _MESSAGES and _HAN.search(own_sentence):
        return own_sentence
    over = _over(length, context) if kind == "string_too_long" else ""
    words = {**context, "label": label, "name": name, "over": over}
    return _MESSAGES.get(kind, _DEFAULT_MESSAGE).format(**words)


def _own_sentence(
    error: Mapping[str, Any],
    kind: str,
    context: Mapping[str, Any],
) -> str:
    """Return the sentence of a validator of ours, if that is what failed."""
    if kind in ("value_error", "assertion_error"):
        return str(context.get("error", ""))
    return str(error.get("msg", ""))


def _over(length: int, context: Mapping[str, Any]) -> str:
    excess = length - int(context["max_length"])
    return f"，已超出 {excess} 字" if excess > 0 else ""


def _label(location: Sequence[str], model: type[BaseModel] | None) -> str:
    model_field = model.model_fields.get(location[0]) if model else None
    if model_field is not None and model_field.title:
        return f"“{model_field.title}”"
    return f"“{location[-1]}”" if _SAFE_NAME.fullmatch(location[-1]) else _WHOLE


def _length(texts: Sequence[str] | None) -> int:
    return len(texts[0].strip()) if texts else 0
