"""Pass the rows of a table through a mapping."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from shared.appraisal.imports.mapping import InvalidMapping, RowMapping
from shared.appraisal.imports.tables import Line, Table

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
    if missing := sorted(mapping.columns - set(table.columns)):
        columns = "、".join(table.columns[:COLUMNS_SHOWN_MAX])
        raise InvalidMapping(f"文件里没有“{missing[0]}”这一列；文件的列有：{columns}")
    ids: set[str] = set()
    for line in table.rows:
        yield _map_row(line, table.columns, mapping, ids)


def _map_row(
    line: Line, columns: Sequence[str], mapping: RowMapping, ids: set[str]
) -> MappedRow | RowError:
    number, texts = line
    padding = [""] * len(columns)
    cells = dict(zip(columns, [*texts, *padding], strict=False))
    try:
        _check_lengths(cells)
        row_id = _row_id(cells, mapping)
        row = MappedRow(number, row_id, _values(cells, mapping), _answers(cells, mapping))
        if row_id in ids:
            raise _Rejection(mapping.column_of("id"), "同一文件中前面已有这个编号")
    except _Rejection as rejection:
        return RowError(number, rejection.column, rejection.reason)
    ids.add(row_id)
    return row


def _check_lengths(cells: dict[str, str]) -> None:
    for column, text in cells.items():
        if len(text) > CELL_MAX:
            raise _Rejection(column, f"内容超过 {CELL_MAX} 个字")


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
    return values


def _answers(cells: dict[str, str], mapping: RowMapping) -> tuple[tuple[str, int, str], ...]:
    answers = []
    for answer in mapping.answers:
        text = cells[answer.column].strip()
        if not text:
            continue
        option = mapping.options.get(text)
        if option is None:
            reason = "这个答案没有对应的选项，请在映射文件的 options 中补充"
            raise _Rejection(answer.column, reason)
        answers.append((answer.unit, answer.item, option))
    return tuple(answers)


def report_csv(errors: Sequence[tuple[int, str, str]]) -> bytes:
    """Return rejected rows (line, column, reason) as CSV for a spreadsheet.

    No cell can be taken for a formula.
    """
    written = io.StringIO()
    writer = csv.writer(written)
    writer.writerow(("行", "列", "原因"))
    for line, column, reason in errors:
        writer.writerow((line, _escape_formula(column), _escape_formula(reason)))
    return ("\ufeff" + written.getvalue()).encode()


def _escape_formula(text: str) -> str:
    return f"'{text}" if text[:1] in FORMULA_STARTS else text
