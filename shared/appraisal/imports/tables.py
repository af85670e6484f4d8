"""Read CSV and XLSX files as tables of text."""

import csv
import io
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from typing import Any, Final

from python_calamine import CalamineWorkbook

MEBIBYTE: Final = 1024 * 1024
FILE_MAX_BYTES: Final = 64 * MEBIBYTE
UNPACKED_MAX_BYTES: Final = 512 * MEBIBYTE
COLUMNS_MAX: Final = 500
XLSX_MAGIC: Final = b"PK\x03\x04"
NOT_XLSX: Final = "不是可以读取的 XLSX 工作簿"

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


def read_table(name: str, content: bytes) -> Table:
    """Return the table in a CSV (UTF-8 or GB 18030; comma, semicolon or tab) or XLSX file.

    Raises InvalidFile.
    """
    if len(content) > FILE_MAX_BYTES:
        raise InvalidFile(f"文件超过 {FILE_MAX_BYTES // MEBIBYTE} MB，请分成几个文件")
    read = _xlsx_lines if content.startswith(XLSX_MAGIC) else _csv_lines
    return _table(name, read(content))


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
        unpacked_bytes = _unpacked_bytes(content)
    except Exception as error:
        raise InvalidFile(NOT_XLSX) from error
    if unpacked_bytes > UNPACKED_MAX_BYTES:
        raise InvalidFile("工作簿展开后过大，请分成几个文件")
    for line, cells in enumerate(_first_sheet(content), start=1):
        yield line, [_cell_text(cell) for cell in cells]


def _first_sheet(content: bytes) -> list[list[Any]]:
    try:
        workbook = CalamineWorkbook.from_filelike(io.BytesIO(content))
        return workbook.get_sheet_by_index(0).to_python(skip_empty_area=False)
    except Exception as error:
        raise InvalidFile(NOT_XLSX) from error


def _unpacked_bytes(content: bytes) -> int:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return sum(entry.file_size for entry in archive.infolist())


def _cell_text(cell: object) -> str:
    """Return a cell as a CSV file would hold it: integers without `.0`, dates in ISO format."""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, datetime | date | time):
        return cell.isoformat()
    return str(cell)
