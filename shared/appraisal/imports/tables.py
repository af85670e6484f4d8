"""Read CSV and XLSX files as tables of text.

`load_table` reads a file in a child process with limits, for pages, API and command alike.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from typing import Any, Final

import msgspec
from python_calamine import CalamineWorkbook

from shared.appraisal.imports.workbook_limits import (
    CELLS_MAX,
    COLUMNS_MAX,
    ROWS_MAX,
    TooLarge,
    check_workbook,
)
from shared.foundation.limited_process import (
    MEBIBYTE,
    DecoderPool,
    DecodingFailed,
    LimitExceeded,
    Limits,
)

FILE_MAX_BYTES: Final = 64 * MEBIBYTE
FILE_LIMITS: Final = Limits(
    memory_bytes=512 * MEBIBYTE,
    cpu_seconds=60,
    result_max_bytes=2 * FILE_MAX_BYTES,
)
_files: Final = DecoderPool(FILE_LIMITS, at_once=1, waiting_max=4)
XLSX_MAGIC: Final = b"PK\x03\x04"
XLS_MAGIC: Final = b"\xd0\xcf\x11\xe0"
NOT_XLSX: Final = "不是可以读取的 XLSX 工作簿"
NOT_READABLE: Final = "文件已损坏，无法读取，请另存为新文件后再传"

Line = tuple[int, list[str]]
"""(line number in the file, cells as text)."""


class InvalidFile(ValueError):
    """The file cannot be read as a table; the message is a sentence for its sender."""


@dataclass(frozen=True, slots=True)
class Table:
    """The header and the rows of a file."""

    name: str
    columns: tuple[str, ...]
    rows: list[Line] = field(repr=False)


class _Content(msgspec.Struct, frozen=True):
    """A table on its way out of the child process."""

    columns: tuple[str, ...]
    rows: list[Line]


async def load_table(name: str, content: bytes) -> Table:
    """Return the table in a file, read in a child process with limits; as `read_table`.

    Takes seconds for a large file: call it before a transaction is opened. Raises InvalidFile,
    DecoderBusy.
    """
    _check_size(content)
    try:
        packed = await _files.decode(pack_table, content)
    except DecodingFailed as failure:
        is_ours = failure.kind == InvalidFile.__name__
        raise InvalidFile(failure.sentence if is_ours else NOT_READABLE) from failure
    except LimitExceeded as excess:
        raise InvalidFile("文件太大，无法处理，请分成几个文件") from excess
    decoded = msgspec.msgpack.decode(packed, type=_Content)
    return Table(name, decoded.columns, decoded.rows)


def pack_table(content: bytes) -> bytes:
    """Return the packed table in a file. Raises InvalidFile."""
    table = read_table("", content)
    return msgspec.msgpack.encode(_Content(table.columns, table.rows))


def _check_size(content: bytes) -> None:
    if len(content) > FILE_MAX_BYTES:
        raise InvalidFile(f"文件超过 {FILE_MAX_BYTES // MEBIBYTE} MB，请分成几个文件")


def read_table(name: str, content: bytes) -> Table:
    """Return the table in a CSV (UTF-8 or GB 18030; comma, semicolon or tab) or XLSX file.

    Raises InvalidFile.
    """
    _check_size(content)
    if content.startswith(XLS_MAGIC):
        raise InvalidFile("不支持旧的 XLS 格式，请在表格软件中另存为 XLSX 或 CSV 后再传")
    read = _xlsx_lines if content.startswith(XLSX_MAGIC) else _csv_lines
    return _table(name, _bounded(read(content)))


def _bounded(lines: Iterator[Line]) -> Iterator[Line]:
    """Yield lines while they are within the limits. Raises InvalidFile."""
    cells = 0
    for count, line in enumerate(lines, start=1):
        cells += len(line[1])
        if count > ROWS_MAX or cells > CELLS_MAX:
            raise InvalidFile(f"文件最多 {ROWS_MAX} 行、{CELLS_MAX} 个单元格，请分成几个文件")
        yield line


def _table(name: str, lines: Iterator[Line]) -> Table:
    _, header = next(lines, (0, []))
    columns = tuple(cell.strip() for cell in header)
    _check_columns(columns)
    return Table(name, columns, [line for line in lines if not _is_blank(line)])


def _check_columns(columns: Sequence[str]) -> None:
    if not any(columns) or len(columns) > COLUMNS_MAX:
        raise InvalidFile(f"第一行应是列名，最多 {COLUMNS_MAX} 列")
    duplicates = {column for column in columns if column and columns.count(column) > 1}
    if duplicates:
        raise InvalidFile(f"列名“{min(duplicates)}”重复")


def _is_blank(line: Line) -> bool:
    _, cells = line
    return not any(cell.strip() for cell in cells)


def _csv_lines(content: bytes) -> Iterator[Line]:
    text = _decode(content)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text))
    line = 1
    try:
        for cells in reader:
            yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise InvalidFile(f"第 {line} 行不是正确的 CSV") from error


def _delimiter(text: str) -> str:
    header, _, _ = text.partition("\n")
    return max(",;\t", key=header.count)


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


def _xlsx_lines(content: bytes) -> Iterator[Line]:
    try:
        check_workbook(io.BytesIO(content))
    except TooLarge as error:
        raise InvalidFile(str(error)) from error
    except Exception as error:
        raise InvalidFile(NOT_XLSX) from error
    for line, cells in enumerate(_first_sheet(content), start=1):
        yield line, [_cell_text(cell) for cell in cells]


def _first_sheet(content: bytes) -> list[list[Any]]:
    try:
        workbook = CalamineWorkbook.from_filelike(io.BytesIO(content))
        return workbook.get_sheet_by_index(0).to_python(skip_empty_area=False)
    except Exception as error:
        raise InvalidFile(NOT_XLSX) from error


def _cell_text(cell: object) -> str:
    """Return a cell as a CSV file would hold it: integers without `.0`, dates in ISO format."""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, datetime | date | time):
        return cell.isoformat()
    return str(cell)
