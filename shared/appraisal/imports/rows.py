"""Pass the rows of a table through a mapping."""

import csv
import io
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from shared.appraisal.imports.mapping import InvalidMapping, RowMapping
from shared.appraisal.imports.tables import Table
from shared.foundation.input_rules import text_problem, value_problem

CELL_MAX: Final = 50_000
COLUMNS_SHOWN_MAX: Final = 20
FORMULA_STARTS: Final = frozenset("=+-@\t\r\0＝＋－＠")


@dataclass(frozen=True, slots=True)
class RowError:
    """A rejected row: line of the file, column (or ""), and the reason."""

    line: int
    column: str
    reason: str


@dataclass(frozen=True, slots=True)
class MappedRow:
    """A mapped row: `values` by field, and for ballots `answers` as (unit, item, option)."""

    line: int
    id: str
    values: dict[str, str | datetime] = field(repr=False)
    answers: tuple[tuple[str, int, str], ...] = field(default=(), repr=False)

    def text(self, name: str) -> str:
        """Return a field as text; "" if it is not mapped."""
        value = self.values.get(name, "")
        return value if isinstance(value, str) else value.isoformat()

    def instant(self, name: str) -> datetime | None:
        """Return a field as an instant; None if it is empty or not mapped."""
        value = self.values.get(name)
        return value if isinstance(value, datetime) else None


class _Rejection(Exception):
    def __init__(self, column: str, reason: str) -> None:
        super().__init__(reason)
        self.column = column
        self.reason = reason


def map_rows(table: Table, mapping: RowMapping) -> Iterator[MappedRow | RowError]:
    """Yield every row of the table through the mapping.

    Raises InvalidMapping if the file lacks a column.
    """
    _check_columns(table, mapping)
    ids: set[str] = set()
    for number, texts in table.rows:
        cells = _cells(texts, table.columns)
        try:
            row = _map_row(number, cells, mapping, ids)
        except _Rejection as rejection:
            yield RowError(number, rejection.column, rejection.reason)
        else:
            ids.add(row.id)
            yield row


def _check_columns(table: Table, mapping: RowMapping) -> None:
    missing = mapping.columns - set(table.columns)
    if missing:
        columns = "、".join(table.columns[:COLUMNS_SHOWN_MAX])
        raise InvalidMapping(f"文件里没有“{min(missing)}”这一列；文件的列有：{columns}")


def _cells(texts: Sequence[str], columns: Sequence[str]) -> dict[str, str]:
    """Return the cells by column; a line that is too short has empty ones."""
    padding = [""] * len(columns)
    return dict(zip(columns, [*texts, *padding], strict=False))


def _map_row(
    number: int,
    cells: dict[str, str],
    mapping: RowMapping,
    ids: Container[str],
) -> MappedRow:
    _check_cells(cells)
    row_id = _row_id(cells, mapping)
    row = MappedRow(number, row_id, _values(cells, mapping), _answers(cells, mapping))
    if row_id in ids:
        raise _Rejection(mapping.column_of("id"), "同一文件中前面已有这个编号")
    return row


def _check_cells(cells: dict[str, str]) -> None:
    for column, text in cells.items():
        if len(text) > CELL_MAX:
            raise _Rejection(column, f"内容超过 {CELL_MAX} 个字")
        if problem := text_problem(text):
            raise _Rejection(column, problem)


def _row_id(cells: dict[str, str], mapping: RowMapping) -> str:
    row_id = mapping.id.value(cells)
    if not isinstance(row_id, str) or not row_id:
        raise _Rejection("、".join(mapping.id.columns), "缺少编号")
    return row_id


def _values(cells: dict[str, str], mapping: RowMapping) -> dict[str, str | datetime]:
    values: dict[str, str | datetime] = {}
    for name, source in mapping.fields.items():
        try:
            values[name] = source.value(cells)
        except ValueError as error:
            raise _Rejection(mapping.column_of(name), str(error)) from error
        if problem := value_problem(values[name]):
            raise _Rejection(mapping.column_of(name), problem)
    return values


def _answers(cells: dict[str, str], mapping: RowMapping) -> tuple[tuple[str, int, str], ...]:
    answers = []
    for answer in mapping.answers:
        text = cells[answer.column].strip()
        if text:
            option = _option(text, answer.column, mapping)
            answers.append((answer.unit, answer.item, option))
    return tuple(answers)


def _option(
    text: str,
    column: str,
    mapping: RowMapping,
) -> str:
    option = mapping.options.get(text)
    if option is None:
        raise _Rejection(column, "这个答案没有对应的选项，请在映射文件的 options 中补充")
    return option


def report_csv(errors: Sequence[tuple[int, str, str]]) -> bytes:
    """Return rejected rows (line, column, reason) as CSV for a spreadsheet.

    No cell can be taken for a formula.
    """
    written = io.StringIO()
    writer = csv.writer(written)
    writer.writerow(("行", "列", "原因"))
    for line, column, reason in errors:
        writer.writerow((line, escape_formula(column), escape_formula(reason)))
    return ("\ufeff" + written.getvalue()).encode()


def escape_formula(text: str) -> str:
    """Return the text so that a spreadsheet does not take it for a formula."""
    return f"'{text}" if text[:1] in FORMULA_STARTS else text
