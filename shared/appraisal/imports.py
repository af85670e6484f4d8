"""Files of other systems, read row by row through a mapping that an office can write itself.

    mapping = read_mapping(Path("deploy/imports/messages.yaml").read_text())
    table = read_table("messages.csv", content)
    for row in map_rows(table, mapping):          # MappedRow or RowError, in the order of the file

A mapping (YAML) says what the file is and where each field comes from:

    kind: complaints                    # complaints, ballots or visits
    source: messages                    # rows are remembered under it: the same row of the same source goes in once
    id: id                              # column, or template such as "{year}-{no}"
    fields:
      complaint_text: content                 # a column
      redacted_summary: "{street}：{event}"      # a template of columns
      received_at: {from: message_time, formats: ["%Y-%m-%d %H:%M"]}
      kind: {from: type, values: {投诉: complaint}, otherwise: inquiry}
      channel: {constant: import}
    answers:                            # ballots only: one column for each unit (and item)
      police: {unit: police, item: 1}
    options: {"5": satisfied, "9": unknown}

Nothing of a row's content stands in a mistake: it names the line, the column and what is wrong.
"""

import csv
import io
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from typing import Any, Final, Literal

import yaml
from python_calamine import CalamineWorkbook

from shared.foundation.clock import CHINA

FILE_MAX_BYTES: Final = 64 * 1024 * 1024
UNPACKED_MAX_BYTES: Final = 512 * 1024 * 1024
CELL_MAX: Final = 50_000
COLUMNS_MAX: Final = 500
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
_PLACEHOLDER: Final = re.compile(r"\{([^{}]+)\}")


class InvalidFile(ValueError):
    """The file cannot be read as a table; the message is a sentence for whoever sent it."""


class InvalidMapping(ValueError):
    """The mapping cannot be used; the message says what to change."""


# ── tables ────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Table:
    """A file's header and its rows; `rows` are (line in the file, cells as text)."""

    name: str
    columns: tuple[str, ...]
    rows: list[tuple[int, list[str]]] = field(repr=False)


def read_table(name: str, content: bytes) -> Table:
    """The table in a CSV (UTF-8 or GB 18030; comma, semicolon or tab) or XLSX file. Raises InvalidFile."""
    if len(content) > FILE_MAX_BYTES:
        raise InvalidFile(f"文件超过 {FILE_MAX_BYTES // 1024 // 1024} MB，请分成几个文件")
    lines = _xlsx(content) if content[:4] == b"PK\x03\x04" else _csv(content)
    header = next(lines, (0, []))[1]
    columns = tuple(cell.strip() for cell in header)
    if not any(columns) or len(columns) > COLUMNS_MAX:
        raise InvalidFile(f"第一行应是列名，最多 {COLUMNS_MAX} 列")
    if duplicates := sorted({column for column in columns if column and columns.count(column) > 1}):
        raise InvalidFile(f"列名“{duplicates[0]}”重复")
    return Table(
        name,
        columns,
        [(line, cells) for line, cells in lines if any(cell.strip() for cell in cells)],
    )


def _csv(content: bytes) -> Iterator[tuple[int, list[str]]]:
    text = _decode(content)
    head = text[: text.find("\n")] if "\n" in text else text
    delimiter = max(",;\t", key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    line = 1
    try:
        for cells in reader:
            yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise InvalidFile(f"第 {line} 行不是正确的 CSV") from error


def _decode(content: bytes) -> str:
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" in text:
            break
        return text
    raise InvalidFile("文件不是 UTF-8 或 GB 18030 编码的文本，也不是 XLSX 工作簿")


def _xlsx(content: bytes) -> Iterator[tuple[int, list[str]]]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > UNPACKED_MAX_BYTES:
            raise InvalidFile("工作簿展开后过大，请分成几个文件")
        rows = (
            CalamineWorkbook.from_filelike(io.BytesIO(content))
            .get_sheet_by_index(0)
            .to_python(skip_empty_area=False)
        )
    except InvalidFile:
        raise
    except Exception as error:
        raise InvalidFile("不是可以读取的 XLSX 工作簿") from error
    return ((line, [_cell(cell) for cell in cells]) for line, cells in enumerate(rows, start=1))


def _cell(cell: object) -> str:
    """A cell as it would stand in a CSV file: whole numbers without `.0`, dates in ISO form."""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return cell.isoformat() if isinstance(cell, datetime | date | time) else str(cell)


# ── mappings ──────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class FieldSource:
    """Where a field comes from: a `template` of columns, or nothing but `constant`."""

    template: str = ""
    constant: str | None = None
    values: Mapping[str, str] | None = None
    otherwise: str | None = None
    formats: tuple[str, ...] = ()
    year: int | None = None
    maximum: int | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(_PLACEHOLDER.findall(self.template))

    def value(self, cells: Mapping[str, str]) -> str | datetime:
        """The field's value in a row. Raises ValueError with a sentence."""
        if self.constant is not None:
            return self.constant
        text = _PLACEHOLDER.sub(lambda found: cells[found[1]], self.template).strip()
        if self.formats:
            return _parse_instant(text, self.formats, self.year) if text else ""
        if self.values is not None:
            if text in self.values:
                return self.values[text]
            if self.otherwise is None:
                raise ValueError("这个值没有对应关系，请在映射文件的 values 中补充")
            return self.otherwise
        return text[: self.maximum]


@dataclass(frozen=True, slots=True)
class AnswerColumn:
    """A column of a questionnaire: about which unit (its id or name), which item."""

    column: str
    unit: str
    item: int


@dataclass(frozen=True, slots=True)
class RowMapping:
    """A mapping, checked."""

    kind: Literal["complaints", "ballots", "visits", "units"]
    source: str
    id: FieldSource
    fields: Mapping[str, FieldSource]
    answers: tuple[AnswerColumn, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def columns(self) -> set[str]:
        """Every column that the file must have."""
        named = [
            *self.id.columns,
            *(column for source in self.fields.values() for column in source.columns),
        ]
        return {*named, *(answer.column for answer in self.answers)}

    def column_of(self, name: str) -> str:
        """The column a field comes from, for a mistake's report; the field's own name when it is a
        constant.
        """
        source = self.id if name == "id" else self.fields.get(name)
        return "、".join(source.columns) or name if source else name


def read_mapping(text: str) -> RowMapping:
    """The mapping in a YAML text. Raises InvalidMapping with what to change."""
    try:
        # Everything stays text: a column may be called `no` or `on`, and a value `007`.
        document = yaml.load(text, Loader=yaml.BaseLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise InvalidMapping(
            f"映射文件第 {mark.line + 1 if mark else 1} 行不是正确的 YAML"
        ) from error
    if not isinstance(document, dict):
        raise InvalidMapping("映射文件应有 kind、source、id、fields 几项")
    if unknown := sorted(
        set(map(str, document)) - {"kind", "source", "id", "fields", "answers", "options", "note"}
    ):
        raise InvalidMapping(f"映射文件不认识“{unknown[0]}”这一项")
    if document.get("kind") not in KINDS:
        raise InvalidMapping(f"kind 应为 {'、'.join(KINDS)} 之一")
    for name in ("source", "id"):
        if not isinstance(document.get(name), str) or not document[name].strip():
            raise InvalidMapping(f"请写明 {name}")
    fields = document.get("fields") or {}
    if not isinstance(fields, dict):
        raise InvalidMapping("fields 应是 字段: 来源 的列表")
    options = {str(value): str(option) for value, option in (document.get("options") or {}).items()}
    read = {str(name): _source(str(name), spec) for name, spec in fields.items()}
    return RowMapping(
        document["kind"],
        document["source"],
        _source("id", document["id"]),
        read,
        _answers(document.get("answers") or {}),
        options,
    )


def _source(name: str, spec: Any) -> FieldSource:
    if isinstance(spec, str):
        return FieldSource(template=spec if "{" in spec else f"{{{spec}}}")
    if not isinstance(spec, dict) or len({"from", "constant"} & set(spec)) != 1:
        raise InvalidMapping(f"字段 {name} 应写列名、模板，或含 from（或 constant）的对应关系")
    if unknown := sorted(
        set(map(str, spec))
        - {"from", "constant", "values", "otherwise", "formats", "year", "maximum"}
    ):
        raise InvalidMapping(f"字段 {name} 不认识“{unknown[0]}”")
    if "constant" in spec:
        return FieldSource(constant=str(spec["constant"]))
    return FieldSource(
        template=_source(name, str(spec["from"])).template,
        values={str(key): str(value) for key, value in spec["values"].items()}
        if "values" in spec
        else None,
        otherwise=str(spec["otherwise"]) if spec.get("otherwise") is not None else None,
        formats=tuple(spec.get("formats") or (DATE_FORMATS if "formats" in spec else ())),
        year=_int_option(name, spec, "year"),
        maximum=_int_option(name, spec, "maximum"),
    )


def _int_option(name: str, spec: Mapping[str, Any], key: str) -> int | None:
    if key not in spec:
        return None
    if not str(spec[key]).isdecimal():
        raise InvalidMapping(f"字段 {name} 的 {key} 应为整数")
    return int(spec[key])


def _answers(columns: Mapping[str, Any]) -> tuple[AnswerColumn, ...]:
    answers = []
    for column, spec in columns.items():
        unit = spec if isinstance(spec, str) else (spec or {}).get("unit")
        if not unit:
            raise InvalidMapping(f"answers 的 {column} 应写明是哪个单位")
        answers.append(
            AnswerColumn(
                str(column),
                str(unit),
                1 if isinstance(spec, str) else _int_option(str(column), spec, "item") or 1,
            )
        )
    return tuple(answers)


def _parse_instant(text: str, formats: Sequence[str], year: int | None) -> datetime:
    """The instant in a text; without a zone it is China's. A format without a year takes `year`.
    Raises ValueError.
    """
    for pattern in formats:
        # A day without a year is read in a leap year, so that 29 February is one.
        dated = (
            (f"{year or 2000} {text}", f"%Y {pattern}")
            if "%Y" not in pattern and "%y" not in pattern
            else (text, pattern)
        )
        try:
            found = datetime.strptime(*dated)  # noqa: DTZ007 (the zone is added below)
        except ValueError:
            continue
        return found if found.tzinfo else found.replace(tzinfo=CHINA)
    raise ValueError("日期的写法与映射文件的 formats 不符")


# ── rows ──────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class RowError:
    """A row that cannot go in: line of the file, column (or ""), and what is wrong."""

    line: int
    column: str
    reason: str


@dataclass(frozen=True, slots=True)
class MappedRow:
    """A row through its mapping: `values` by field; `answers` as (unit, item, option) for ballots."""

    line: int
    id: str
    values: dict[str, str | datetime] = field(repr=False)
    answers: tuple[tuple[str, int, str], ...] = field(default=(), repr=False)

    def text(self, name: str) -> str:
        """A field as text, "" when it is not mapped."""
        value = self.values.get(name, "")
        return value if isinstance(value, str) else value.isoformat()

    def instant(self, name: str) -> datetime | None:
        """A field as an instant; None when it is empty or not mapped."""
        value = self.values.get(name)
        return value if isinstance(value, datetime) else None


def map_rows(table: Table, mapping: RowMapping) -> Iterator[MappedRow | RowError]:
    """Every row of the table through the mapping. Raises InvalidMapping when the file lacks a column."""
    if missing := sorted(mapping.columns - set(table.columns)):
        raise InvalidMapping(
            f"文件里没有“{missing[0]}”这一列；文件的列有：{'、'.join(table.columns[:20])}"
        )
    ids: set[str] = set()
    for line, cells in table.rows:
        row = _map_row(
            line,
            dict(zip(table.columns, [*cells, *[""] * len(table.columns)], strict=False)),
            mapping,
        )
        if isinstance(row, MappedRow):
            if row.id in ids:
                row = RowError(line, mapping.column_of("id"), "同一文件中前面已有这个编号")
            else:
                ids.add(row.id)
        yield row


def _map_row(line: int, cells: dict[str, str], mapping: RowMapping) -> MappedRow | RowError:
    if long := next((name for name, text in cells.items() if len(text) > CELL_MAX), None):
        return RowError(line, long, f"内容超过 {CELL_MAX} 个字")
    row_id = mapping.id.value(cells)
    if not isinstance(row_id, str) or not row_id:
        return RowError(line, "、".join(mapping.id.columns), "缺少编号")
    values: dict[str, str | datetime] = {}
    for name, source in mapping.fields.items():
        try:
            values[name] = source.value(cells)
        except ValueError as error:
            return RowError(line, mapping.column_of(name), str(error))
    answers = []
    for answer in mapping.answers:
        text = cells[answer.column].strip()
        if not text:
            continue
        if text not in mapping.options:
            return RowError(
                line, answer.column, "这个答案没有对应的选项，请在映射文件的 options 中补充"
            )
        answers.append((answer.unit, answer.item, mapping.options[text]))
    return MappedRow(line, row_id, values, tuple(answers))


def report_csv(errors: Sequence[tuple[int, str, str]]) -> bytes:
    """The refused rows as CSV that a spreadsheet opens: 行, 列, 原因. No cell can be taken for a
    formula.
    """
    written = io.StringIO()
    writer = csv.writer(written)
    writer.writerow(("行", "列", "原因"))
    writer.writerows(
        (line, _escape_formula(column), _escape_formula(reason)) for line, column, reason in errors
    )
    return ("\ufeff" + written.getvalue()).encode()


def _escape_formula(text: str) -> str:
    return (
        f"'{text}"
        if text[:1] in ("=", "+", "-", "@", "\t", "\r", "\0", "＝", "＋", "－", "＠")
        else text
    )
