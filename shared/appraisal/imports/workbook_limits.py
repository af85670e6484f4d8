"""Check what a workbook describes before a reader allocates it.

A workbook of one kilobyte can name the cell XFD1048576, and a reader allocates everything up to it.
The parts of the archive are therefore read as streams first: their sizes, their cells, and the
outermost row and column.
"""

import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Final
from xml.parsers import expat

MEBIBYTE: Final = 1024 * 1024
PARTS_MAX: Final = 500
SHEETS_MAX: Final = 50
UNPACKED_MAX_BYTES: Final = 256 * MEBIBYTE
RATIO_MAX: Final = 200
"""Unpacked to packed bytes of one part: spreadsheets of real offices stay below 60."""
RATIO_EXEMPT_BYTES: Final = MEBIBYTE
ROWS_MAX: Final = 100_000
COLUMNS_MAX: Final = 500
CELLS_MAX: Final = 2_000_000
SHARED_STRINGS_MAX: Final = 1_000_000
CHUNK_BYTES: Final = 64 * 1024
_CELL: Final = re.compile(r"([A-Z]{1,3})([0-9]{1,7})")
_SHEET: Final = re.compile(r"xl/worksheets/[^/]+\.xml")
_StartHandler = Callable[[str, dict[str, str]], None]
"""Takes the name and the attributes of an element."""


class TooLarge(ValueError):
    """The workbook exceeds a limit; the message is a sentence for its sender."""


@dataclass(slots=True)
class _Extent:
    """The cells of one sheet: their number and the outermost row and column."""

    rows: int = 0
    columns: int = 0
    cells: int = 0
    row: int = 0
    column: int = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """Take an element of the sheet. Raises TooLarge."""
        tag = name.rpartition(":")[2]
        if tag == "row":
            self.row = _position(attributes.get("r"), self.row + 1)
            self.column = 0
        elif tag == "c":
            self._cell(attributes.get("r", ""))
        else:
            return
        self.rows = max(self.rows, self.row)
        self.columns = max(self.columns, self.column)
        self._check()

    def _cell(self, reference: str) -> None:
        self.cells += 1
        named = _CELL.fullmatch(reference)
        self.column = _column(named[1]) if named else self.column + 1
        self.row = int(named[2]) if named else max(self.row, 1)

    def _check(self) -> None:
        if self.rows > ROWS_MAX or self.columns > COLUMNS_MAX:
            raise TooLarge(
                f"工作表最多 {ROWS_MAX} 行、{COLUMNS_MAX} 列，"
                "请删除右侧和下方的空行空列，另存后再传"
            )
        if max(self.cells, self.rows * self.columns) > CELLS_MAX:
            raise TooLarge(f"工作表最多 {CELLS_MAX // 10_000} 万个单元格，请分成几个文件")


def _position(text: str | None, otherwise: int) -> int:
    return int(text) if text and text.isdecimal() and len(text) < 10 else otherwise


def _column(name: str) -> int:
    number = 0
    for letter in name:
        number = number * 26 + ord(letter) - ord("A") + 1
    return number


def check_workbook(file: IO[bytes]) -> None:
    """Raise TooLarge for a workbook beyond a limit, BadZipFile or ExpatError for a damaged one."""
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        _check_archive(entries)
        for entry in entries:
            if _SHEET.fullmatch(entry.filename):
                _parse(archive, entry, _Extent().start)
            elif entry.filename == "xl/sharedStrings.xml":
                _parse(archive, entry, _count_strings())


def _check_archive(entries: list[zipfile.ZipInfo]) -> None:
    sheets = [entry for entry in entries if _SHEET.fullmatch(entry.filename)]
    if len(entries) > PARTS_MAX or len(sheets) > SHEETS_MAX:
        raise TooLarge(f"工作簿最多 {SHEETS_MAX} 张工作表，请只保留要导入的一张")
    if sum(entry.file_size for entry in entries) > UNPACKED_MAX_BYTES:
        raise TooLarge("工作簿展开后过大，请分成几个文件")
    for entry in entries:
        bound = max(RATIO_EXEMPT_BYTES, entry.compress_size * RATIO_MAX)
        if entry.file_size > bound:
            raise TooLarge("工作簿的压缩比异常，请另存为新的 XLSX 文件后再传")


def _count_strings() -> _StartHandler:
    count = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal count
        count += name.rpartition(":")[2] == "si"
        if count > SHARED_STRINGS_MAX:
            raise TooLarge("工作簿中不同的文字过多，请分成几个文件")

    return start


def _parse(
    archive: zipfile.ZipFile,
    entry: zipfile.ZipInfo,
    start: _StartHandler,
) -> None:
    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    parser.StartDoctypeDeclHandler = _reject_doctype
    with archive.open(entry) as part:
        for chunk in _chunks(part, entry.file_size):
            parser.Parse(chunk, False)
    parser.Parse(b"", True)


def _reject_doctype(*_: object) -> None:
    raise TooLarge("工作簿含有不允许的 XML 声明，请另存为新的 XLSX 文件后再传")


def _chunks(part: IO[bytes], size: int) -> Iterator[bytes]:
    """Yield a part of the archive, at most as much as its header announces."""
    read = 0
    while chunk := part.read(CHUNK_BYTES):
        read += len(chunk)
        if read > size:
            raise TooLarge("工作簿已损坏：内容比声明的大")
        yield chunk
