"""Hostile files cost a child process; afterwards the memory is back and the service answers."""

import asyncio
import hashlib
import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from uuid import uuid4

import pytest
import xlsxwriter
from PIL import Image

from services.intake.store import encrypted_files
from services.intake.store.encrypted_files import prepare_upload
from shared.appraisal.calendar.working_days import CalendarError
from shared.appraisal.errors import Rejected
from shared.appraisal.imports import (
    InvalidFile,
    InvalidMapping,
    load_table,
    map_rows,
    read_mapping,
    read_table,
    workbook_limits,
)
from shared.appraisal.imports.rows import RowError
from shared.appraisal.labels import Role
from shared.foundation.limited_process import (
    MEBIBYTE,
    DecoderBusy,
    DecoderPool,
    DecodingFailed,
    LimitExceeded,
    Limits,
)
from tests.intake.conftest import CAMPAIGN
from tests.intake.decoders import allocate, compute, environment, write_file

MAPPING = "kind: complaints\nsource: s\nid: no\nfields: {complaint_text: text}\n"


def memory_bytes() -> int:
    """Return the resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def flood(side: int = 12_000) -> bytes:
    """Return a PNG of 144 million pixels in 140 KB."""
    written = io.BytesIO()
    Image.new("1", (side, side)).save(written, "PNG")
    return written.getvalue()


def workbook(sheet: str, **parts: str) -> bytes:
    """Return a workbook with this XML as its only sheet."""
    made = io.BytesIO()
    book = xlsxwriter.Workbook(made)
    book.add_worksheet().write(0, 0, "x")
    book.close()
    written = io.BytesIO()
    with zipfile.ZipFile(made) as old, zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "xl/worksheets/sheet1.xml":
                content = SHEET.format(sheet).encode()
            new.writestr(name, parts.get(name, content))
    return written.getvalue()


SHEET = (
    '<?xml version="1.0"?><worksheet xmlns='
    '"http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
    "<sheetData>{}</sheetData></worksheet>"
)
FAR_CELL = (
    '<row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'
)


async def test_pixel_floods_leave_the_memory_alone_and_the_service_answering(office):
    body, before = flood(), memory_bytes()
    assert len(body) < 150_000

    async def send() -> int:
        digest = hashlib.sha256(body).hexdigest()
        async with await office.signed_in(Role.INSPECTOR) as phone:
            path = f"/intake/api/visits/{uuid4()}/photos/{digest}"
            return (await phone.put(path, content=body)).status_code

    statuses = await asyncio.gather(*(send() for _ in range(4)))
    async with office.client() as visitor:
        page = await visitor.get("/p/")

    assert statuses == [422] * 4
    assert page.status_code == 200
    assert memory_bytes() - before < 100 * MEBIBYTE


async def test_no_connection_is_held_while_a_picture_is_decoded(office, monkeypatch):
    in_use = []
    real = encrypted_files._redrawn

    async def redrawn(body):
        in_use.append(office.database.connections[0])
        return await real(body)

    monkeypatch.setattr(encrypted_files, "_redrawn", redrawn)
    written = io.BytesIO()
    Image.new("RGB", (40, 30)).save(written, "JPEG")
    async with await office.signed_in(Role.INSPECTOR) as phone:
        digest = hashlib.sha256(written.getvalue()).hexdigest()
        path = f"/intake/api/visits/{uuid4()}/photos/{digest}"
        stored = await phone.put(path, content=written.getvalue())
    async with office.client() as visitor:
        await visitor.post("/p/report/4", files={"files": ("a.jpg", written.getvalue())})

    assert (stored.status_code, in_use) == (201, [0, 0])


async def test_picture_beyond_the_memory_of_its_process_is_rejected(monkeypatch):
    limits = Limits(memory_bytes=160 * MEBIBYTE, cpu_seconds=10, result_max_bytes=MEBIBYTE)
    pool = DecoderPool(limits, at_once=1, waiting_max=1)
    monkeypatch.setattr(encrypted_files, "_pictures", pool)
    written = io.BytesIO()
    Image.new("RGB", (5_000, 4_900)).save(written, "PNG")

    with pytest.raises(Rejected, match="请缩小后再传"):
        await prepare_upload(written.getvalue())


# ── the child process ─────────────────────────────────────────────────────────────────────────────


def pool(**changes: int) -> DecoderPool:
    limits = Limits(memory_bytes=200 * MEBIBYTE, cpu_seconds=2, result_max_bytes=MEBIBYTE)
    return DecoderPool(limits, at_once=changes.get("at_once", 1), waiting_max=0)


async def test_child_may_allocate_and_compute_only_so_much():
    with pytest.raises(LimitExceeded):
        await pool().decode(allocate, str(400 * MEBIBYTE).encode())
    with pytest.raises(LimitExceeded):
        await pool().decode(allocate, str(2 * MEBIBYTE).encode())
    with pytest.raises(LimitExceeded):
        await pool().decode(compute, b"")
    assert await pool().decode(allocate, b"3") == b"\0\0\0"


async def test_child_knows_no_secrets_and_writes_no_files(monkeypatch, tmp_path):
    monkeypatch.setenv("FENGPING_DATABASE_URL", "postgresql://secret")
    seen = await pool().decode(environment, b"")
    assert b"FENGPING" not in seen
    target = tmp_path / "file"
    with pytest.raises((DecodingFailed, LimitExceeded)):
        await pool().decode(write_file, str(target).encode())
    assert not target.exists() or target.read_bytes() == b""


async def test_decoder_pool_refuses_more_than_may_wait():
    busy = pool()
    first = asyncio.create_task(busy.decode(compute, b""))
    await asyncio.sleep(0)
    with pytest.raises(DecoderBusy):
        await busy.decode(allocate, b"1")
    with pytest.raises(LimitExceeded):
        await first
    assert await busy.decode(allocate, b"1") == b"\0"


# ── workbooks ─────────────────────────────────────────────────────────────────────────────────────


async def test_cell_at_the_end_of_a_sheet_is_refused_and_the_service_answers(office):
    content, before = workbook(FAR_CELL), memory_bytes()
    assert len(content) < 8_000
    async with await office.signed_in(Role.OFFICE) as chen:
        refused = await chen.post(
            "/intake/api/imports",
            data={"campaign_id": CAMPAIGN},
            files={"file": ("a.xlsx", content), "mapping": ("m.yaml", MAPPING.encode())},
        )
        page = await chen.get("/intake/api/imports")

    assert (refused.status_code, page.status_code) == (422, 200)
    assert "行" in refused.json()["detail"]
    assert memory_bytes() - before < 50 * MEBIBYTE


def test_far_cell_does_not_reach_the_reader():
    """In a process of its own: where the check is missing, the reader aborts the process."""
    script = (
        "import resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))\n"
        "from shared.appraisal.imports import InvalidFile, read_table\n"
        "try:\n    read_table('a', sys.stdin.buffer.read())\n"
        "except InvalidFile as error:\n    sys.exit(3 if '空行空列' in str(error) else 4)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], input=workbook(FAR_CELL), stderr=subprocess.DEVNULL
    )
    assert ended.returncode == 3


ROWS_WITHOUT_NUMBERS = "<row><c><v>1</v></c></row>" * 300


@pytest.mark.parametrize(
    ("sheet", "limits", "reason"),
    [
        (ROWS_WITHOUT_NUMBERS, {"ROWS_MAX": 299}, "最多 299 行"),
        ("<row>" + "<c><v>1</v></c>" * 30 + "</row>", {"COLUMNS_MAX": 29}, "29 列"),
        ('<row r="100"><c r="CV100"><v>1</v></c></row>', {"CELLS_MAX": 9_999}, "单元格"),
        ("<row>" + "<c><v>1</v></c>" * 30 + "</row>", {"UNPACKED_MAX_BYTES": 1_000}, "展开后过大"),
        ("<row>" + " " * 3_000_000 + "</row>", {}, "压缩比异常"),
        ("", {"SHEETS_MAX": 0}, "张工作表"),
    ],
)
def test_workbook_beyond_a_limit_says_what_to_do(monkeypatch, sheet, limits, reason):
    for name, value in limits.items():
        monkeypatch.setattr(workbook_limits, name, value)
    with pytest.raises(InvalidFile, match=reason):
        read_table("a.xlsx", workbook(sheet))


def test_workbook_with_a_document_type_is_refused():
    evil = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><sst/>'
    content = workbook("", **{"xl/sharedStrings.xml": evil})
    with pytest.raises(InvalidFile, match="XML 声明"):
        read_table("a.xlsx", content)


def test_old_workbooks_are_refused_with_the_way_out():
    with pytest.raises(InvalidFile, match="另存为 XLSX"):
        read_table("a.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600)


async def test_large_file_is_read_in_a_child_and_comes_back_whole():
    lines = "\n".join(f"{number},文字{number}" for number in range(20_000))
    table = await load_table("a.csv", f"no,text\n{lines}\n".encode())

    assert table.columns == ("no", "text")
    assert (len(table.rows), table.rows[-1]) == (20_000, (20_001, ["19999", "文字19999"]))


def test_file_with_too_many_rows_is_refused():
    content = b"a\n" + b"1\n" * (workbook_limits.ROWS_MAX + 1)
    with pytest.raises(InvalidFile, match="分成几个文件"):
        read_table("a.csv", content)


def test_cells_with_control_characters_and_year_one_are_rejected_by_row():
    mapping = read_mapping(
        "kind: visits\nsource: s\nid: no\nfields: {place: text, visited_at: {from: at, formats: }}"
    )
    content = "no,text,at\n1,甲\x1b乙,2026-11-22\n2,甲,0001-01-01\n3,甲,2026-11-22\n"
    first, second, third = map_rows(read_table("a.csv", content.encode()), mapping)

    assert isinstance(first, RowError)
    assert "控制字符" in first.reason
    assert isinstance(second, RowError)
    assert (second.column, "1900" in second.reason) == ("at", True)
    assert not isinstance(third, RowError)


# ── YAML ──────────────────────────────────────────────────────────────────────────────────────────

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "text", [LAUGHS, "a: " + "[" * 30 + "]" * 30, "a: [" + "1, " * 60_000 + "]", "a: x" * 100_000]
)
def test_mapping_that_explodes_is_refused(text):
    with pytest.raises(InvalidMapping):
        read_mapping(text)


async def test_notice_and_scheme_that_explode_are_refused():
    from shared.appraisal.calendar.holiday_notices import read_notice
    from shared.appraisal.schemes.files import SchemeError, read_scheme

    with pytest.raises(CalendarError, match="内容太多"):
        read_notice(LAUGHS)
    with pytest.raises(SchemeError, match="内容太多"):
        read_scheme(LAUGHS, name="a.yaml", year=2026)
    with pytest.raises(CalendarError, match="包含了自己"):
        read_notice("a: &a [*a]")
