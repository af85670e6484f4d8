"""The mapping of a file's columns to the fields of an import.

A mapping is a YAML document:

    kind: complaints                    # complaints, ballots, visits or units
    source: messages                    # the same row of the same source is imported once
    id: id                              # a column, or a template such as "{year}-{no}"
    fields:
      complaint_text: content                 # a column
      redacted_summary: "{street}：{event}"   # a template of columns
      received_at: {from: message_time, formats: ["%Y-%m-%d %H:%M"]}
      kind: {from: type, values: {投诉: complaint}, otherwise: inquiry}
      channel: {constant: import}
    answers:                            # ballots only: one column per unit (and item)
      police: {unit: police, item: 1}
    options: {"5": satisfied, "9": unknown}
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

import yaml

from shared.foundation.clock import CHINA
from shared.foundation.safe_yaml import InvalidYaml, load_yaml

KINDS: Final = ("complaints", "ballots", "visits", "units")
DATE_FORMATS: Final = (
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%d %H:%M",
    "%Y/%m/%d %H:%M:%S",
    "%Y/%m/%d %H:%M",
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%Y年%m月%d日",
    "%Y年%m月%d日 %H:%M",
    "%Y.%m.%d",
)
MAPPING_KEYS: Final = frozenset({"kind", "source", "id", "fields", "answers", "options", "note"})
FIELD_KEYS: Final = frozenset(
    {"from", "constant", "values", "otherwise", "formats", "year", "maximum"}
)
LEAP_YEAR: Final = 2000
_PLACEHOLDER: Final = re.compile(r"\{([^{}]+)\}")


class InvalidMapping(ValueError):
    """The mapping cannot be used; the message says what to change."""


@dataclass(frozen=True, slots=True)
class FieldSource:
    """Where the value of a field comes from: a `template` of columns, or a `constant`."""

    template: str = ""
    constant: str | None = None
    values: Mapping[str, str] | None = None
    otherwise: str | None = None
    formats: tuple[str, ...] = ()
    year: int | None = None
    maximum: int | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the template refers to."""
        return tuple(_PLACEHOLDER.findall(self.template))

    def value(self, cells: Mapping[str, str]) -> str | datetime:
        """Return the field's value in a row. Raises ValueError with a sentence."""
        if self.constant is not None:
            return self.constant
        text = self._text(cells)
        if self.formats:
            return parse_instant(text, self.formats, self.year) if text else ""
        if self.values is not None:
            return self._translated(text, self.values)
        return text[: self.maximum]

    def _text(self, cells: Mapping[str, str]) -> str:
        filled = _PLACEHOLDER.sub(lambda match: cells[match[1]], self.template)
        return filled.strip()

    def _translated(self, text: str, values: Mapping[str, str]) -> str:
        translated = values.get(text, self.otherwise)
        if translated is None:
            raise ValueError("这个值没有对应关系，请在映射文件的 values 中补充")
        return translated


@dataclass(frozen=True, slots=True)
class AnswerColumn:
    """A column with the answers about a unit (its id or name) to an item."""

    column: str
    unit: str
    item: int


@dataclass(frozen=True, slots=True)
class RowMapping:
    """A valid mapping."""

    kind: Literal["complaints", "ballots", "visits", "units"]
    source: str
    id: FieldSource
    fields: Mapping[str, FieldSource]
    answers: tuple[AnswerColumn, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def columns(self) -> set[str]:
        """Every column that the file must have."""
        columns = {answer.column for answer in self.answers}
        for source in (self.id, *self.fields.values()):
            columns.update(source.columns)
        return columns

    def column_of(self, name: str) -> str:
        """Return the columns of a field for an error report; a constant has the field's name."""
        source = self.id if name == "id" else self.fields.get(name)
        columns = source.columns if source else ()
        return "、".join(columns) or name


def parse_instant(
    text: str,
    formats: Sequence[str],
    year: int | None,
) -> datetime:
    """Return the instant in a text; without a zone it is China's time.

    A format without a year takes `year`. Raises ValueError.
    """
    for pattern in formats:
        with suppress(ValueError):
            return _in_china(_strptime(text, pattern, year))
    raise ValueError("日期的写法与映射文件的 formats 不符")


def _in_china(parsed: datetime) -> datetime:
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=CHINA)


def _strptime(
    text: str,
    pattern: str,
    year: int | None,
) -> datetime:
    if "%Y" not in pattern and "%y" not in pattern:
        # Without a year, 29 February is only a date in a leap year.
        text = f"{year or LEAP_YEAR} {text}"
        pattern = f"%Y {pattern}"
    return datetime.strptime(text, pattern)  # noqa: DTZ007 (the caller adds the zone)


# ── reading ───────────────────────────────────────────────────────────────────────────────────────


def read_mapping(text: str) -> RowMapping:
    """Return the mapping in a YAML text. Raises InvalidMapping."""
    document = _load(text)
    return RowMapping(
        kind=document["kind"],
        source=document["source"],
        id=_source("id", document["id"]),
        fields=_fields(document.get("fields") or {}),
        answers=_answers(document.get("answers") or {}),
        options=_texts(document.get("options") or {}),
    )


def _fields(specs: Any) -> dict[str, FieldSource]:
    if not isinstance(specs, dict):
        raise InvalidMapping("fields 应是 字段: 来源 的列表")
    return {str(name): _source(str(name), spec) for name, spec in specs.items()}


def _texts(values: Mapping[Any, Any]) -> dict[str, str]:
    return {str(key): str(value) for key, value in values.items()}


def _load(text: str) -> dict[str, Any]:
    try:
        # Everything stays text: a column may be called `no` or `on`, and a value `007`.
        document = load_yaml(text, loader=yaml.BaseLoader)
    except InvalidYaml as error:
        raise InvalidMapping(f"映射文件第 {error.line} 行：{error.sentence}") from error
    if not isinstance(document, dict):
        raise InvalidMapping("映射文件应有 kind、source、id、fields 几项")
    _check_document(document)
    return document


def _check_document(document: Mapping[str, Any]) -> None:
    if (unknown := _unknown(document, MAPPING_KEYS)) is not None:
        raise InvalidMapping(f"映射文件不认识“{unknown}”这一项")
    if document.get("kind") not in KINDS:
        raise InvalidMapping(f"kind 应为 {'、'.join(KINDS)} 之一")
    for name in ("source", "id"):
        value = document.get(name)
        if not isinstance(value, str) or not value.strip():
            raise InvalidMapping(f"请写明 {name}")


def _unknown(given: Mapping[str, Any], known: frozenset[str]) -> str | None:
    """Return the first key that is not known."""
    return min(set(map(str, given)) - known, default=None)


def _source(name: str, spec: Any) -> FieldSource:
    if isinstance(spec, str):
        return FieldSource(template=_template(spec))
    if not isinstance(spec, dict) or len({"from", "constant"} & set(spec)) != 1:
        raise InvalidMapping(f"字段 {name} 应写列名、模板，或含 from（或 constant）的对应关系")
    if (unknown := _unknown(spec, FIELD_KEYS)) is not None:
        raise InvalidMapping(f"字段 {name} 不认识“{unknown}”")
    if "constant" in spec:
        return FieldSource(constant=str(spec["constant"]))
    return _column_source(name, spec)


def _column_source(name: str, spec: Mapping[str, Any]) -> FieldSource:
    otherwise = spec.get("otherwise")
    return FieldSource(
        template=_template(str(spec["from"])),
        values=_texts(spec["values"]) if "values" in spec else None,
        otherwise=None if otherwise is None else str(otherwise),
        formats=_formats(spec),
        year=_int_option(name, spec, "year"),
        maximum=_int_option(name, spec, "maximum"),
    )


def _template(spec: str) -> str:
    return spec if "{" in spec else f"{{{spec}}}"


def _formats(spec: Mapping[str, Any]) -> tuple[str, ...]:
    if "formats" not in spec:
        return ()
    return tuple(spec["formats"] or DATE_FORMATS)


def _int_option(
    name: str,
    spec: Mapping[str, Any],
    key: str,
) -> int | None:
    if key not in spec:
        return None
    text = str(spec[key])
    if not text.isdecimal():
        raise InvalidMapping(f"字段 {name} 的 {key} 应为整数")
    return int(text)


def _answers(columns: Mapping[str, Any]) -> tuple[AnswerColumn, ...]:
    return tuple(_answer(str(column), spec) for column, spec in columns.items())


def _answer(column: str, spec: Any) -> AnswerColumn:
    details = {"unit": spec} if isinstance(spec, str) else spec or {}
    unit = details.get("unit")
    if not unit:
        raise InvalidMapping(f"answers 的 {column} 应写明是哪个单位")
    item = _int_option(column, details, "item")
    return AnswerColumn(column, str(unit), item or 1)
