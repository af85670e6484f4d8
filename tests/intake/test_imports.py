"""A file is imported row by row, each row once, whatever is wrong with the other rows."""

import asyncio
import csv
import io
from pathlib import Path

import pytest
import xlsxwriter

from services.intake.actions.ballot_release import release_ballots
from services.intake.actions.imports import read_job, run_import, start_import
from services.intake.store import campaigns
from services.intake.store.campaigns import new_cache
from shared.appraisal.errors import Rejected
from shared.appraisal.events import UnitEntry
from shared.appraisal.imports import (
    InvalidFile,
    InvalidMapping,
    MappedRow,
    RowError,
    map_rows,
    read_mapping,
    read_table,
    report_csv,
)
from shared.appraisal.labels import Role
from tests.intake.conftest import CAMPAIGN, published

ROOT = Path(__file__).parent.parent.parent
INPUTS = ROOT.parent / "shared" / "inputs"
MAPPING = """
kind: complaints
source: letters
id: no
fields:
  complaint_text: text
  unit: unit
  kind: {from: type, values: {投诉: complaint, 建议: suggestion}}
  received_at: {from: day, formats: ["%Y-%m-%d"]}
  channel: {constant: letter}
"""
HEAD = "no,text,unit,type,day"
ROWS = [
    "1,窗口人员午休时间提前离岗无人接待群众,省中医药管理局,投诉,2026-09-01",
    "2,太短,省中医药管理局,投诉,2026-09-01",
    "3,建议大厅增设老年人专窗并安排志愿者引导,国税局,建议,2026-09-02",
    "4,材料反复退回三次每次理由都不一样耽误了时间,某不存在的局,投诉,2026-09-02",
    "5,办事指南与窗口要求不一致网上查到的材料不全,省教育厅,其他,2026-09-03",
    "6,投诉电话连续三天无人接听希望有人管一管,省教育厅,投诉,九月三日",
    "1,与第一行同号的另一件诉求应当被指出来,省教育厅,投诉,2026-09-03",
]
FILE = "\n".join([HEAD, *ROWS]).encode()


# ── reading ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_text_files_are_read_in_any_encoding_and_delimiter(encoding, delimiter):
    table = read_table("a.csv", FILE.decode().replace(",", delimiter).encode(encoding))
    assert table.columns == ("no", "text", "unit", "type", "day")
    assert [line for line, _ in table.rows] == list(range(2, 9))


def test_workbooks_are_read_with_whole_numbers_and_dates():
    from datetime import datetime

    written = io.BytesIO()
    book = xlsxwriter.Workbook(written)
    sheet, day = book.add_worksheet(), book.add_format({"num_format": "yyyy-mm-dd"})
    sheet.write_row(0, 0, ["编号", "日期", "内容"])
    sheet.write(1, 0, 17)
    sheet.write_datetime(1, 1, datetime(2026, 9, 1), day)
    sheet.write_string(1, 2, "=1+1 不是公式")
    book.close()

    [(line, cells)] = read_table("a.xlsx", written.getvalue()).rows

    assert (line, cells[0], cells[1][:10], cells[2]) == (2, "17", "2026-09-01", "=1+1 不是公式")


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe\x00\x01binary\x00", b"PK\x03\x04broken", b"a,a\n1,2"]
)
def test_file_that_is_no_table_is_rejected(content):
    with pytest.raises(InvalidFile):
        read_table("x", content)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "kind: cases\nsource: a\nid: b",
        "kind: ballots\nid: b",
        "kind: ballots\nsource: a\nid: b\nfoo: 1",
        ":\n- x: [",
        "- 1",
        "kind: complaints\nsource: a\nid: b\nfields: {complaint_text: {column: x}}",
        "kind: complaints\nsource: a\nid: b\nfields: {complaint_text: {from: x, to: y}}",
    ],
)
def test_invalid_mapping_is_rejected(text):
    with pytest.raises(InvalidMapping):
        read_mapping(text)


def test_row_is_mapped_or_reported_without_its_content():
    rows = list(map_rows(read_table("a.csv", FILE), read_mapping(MAPPING)))

    assert [type(row) for row in rows] == [
        MappedRow,
        MappedRow,
        MappedRow,
        MappedRow,
        RowError,
        RowError,
        RowError,
    ]
    assert [(row.line, row.column) for row in rows if isinstance(row, RowError)] == [
        (6, "type"),
        (7, "day"),
        (8, "no"),
    ]
    assert not any("九月" in row.reason for row in rows if isinstance(row, RowError))


def test_file_without_a_mapped_column_is_rejected():
    with pytest.raises(InvalidMapping, match="day"):
        next(map_rows(read_table("a.csv", b"no,text,unit,type\n1,a,b,c"), read_mapping(MAPPING)))


def test_report_contains_no_formulas():
    report = list(
        csv.reader(
            io.StringIO(report_csv([(2, "=cmd", "+1"), (3, "列", "原因")]).decode("utf-8-sig"))
        )
    )
    assert report[1:] == [["2", "'=cmd", "'+1"], ["3", "列", "原因"]]


@pytest.mark.parametrize(
    "path", sorted((ROOT / "deploy" / "imports").glob("*.yaml")), ids=lambda path: path.stem
)
def test_shipped_mappings_are_valid(path):
    assert read_mapping(path.read_text(encoding="utf-8")).columns


# ── importing ─────────────────────────────────────────────────────────────────────────────────────

stack = pytest.mark.stack


async def import_file(
    office, content=FILE, mapping=MAPPING, *, dry_run=False, on_progress=lambda progress: None
):
    job = await read_job(
        file_name="a.csv",
        content=content,
        mapping=mapping,
        campaign_id=CAMPAIGN,
        dry_run=dry_run,
        by=office.person(Role.OFFICE),
    )
    async with office.transaction() as tx:
        import_id = await start_import(tx, job)
    return await run_import(
        office.database, office.context, import_id, job, on_progress=on_progress
    )


@stack
async def test_valid_rows_are_imported_and_invalid_ones_reported(office):
    progress = await import_file(office)

    assert (progress.total, progress.done, progress.repeated, progress.rejected) == (7, 2, 0, 5)
    assert [
        (error.line, error.column)
        for error in sorted(progress.errors, key=lambda error: error.line)
    ] == [
        (3, "text"),
        (5, "unit"),
        (6, "type"),
        (7, "day"),
        (8, "no"),
    ]
    events = await office.events("complaint%")
    assert [(e["unit_id"], e["channel"], e["received_at"][:10]) for _, e in events] == [
        ("tcm", "letter", "2026-08-31"),
        ("tax", "letter", "2026-09-01"),
    ]


@stack
async def test_dry_run_reports_the_same_errors_and_writes_nothing(office):
    progress = await import_file(office, dry_run=True)
    assert (progress.done, progress.rejected) == (2, 5)
    assert await office.events() == []
    assert (await import_file(office)).done == 2


@stack
async def test_importing_the_same_file_again_changes_nothing(office):
    await import_file(office)
    again = await import_file(office)
    assert (again.done, again.repeated, again.rejected) == (0, 2, 5)
    assert len(await office.events()) == 2


@stack
async def test_corrected_row_is_imported_later(office):
    await import_file(office)
    corrected = FILE.decode().replace("2,太短", "2,这一次写得足够长可以登记了").encode()
    assert (await import_file(office, corrected)).done == 1


@stack
async def test_stopped_import_continues_where_it_stopped(office):
    many = "\n".join(
        [
            HEAD,
            *(
                f"{n},第 {n} 件：窗口人员离岗无人接待群众,省教育厅,投诉,2026-09-01"
                for n in range(500)
            ),
        ]
    ).encode()

    class Killed(BaseException):
        pass

    def kill(progress):
        if progress.done >= 200:
            raise Killed

    with pytest.raises(Killed):
        await import_file(office, many, on_progress=kill)
    rest = await import_file(office, many)

    assert (rest.repeated, rest.done) == (200, 300)
    assert len({e["number"] for _, e in await office.events()}) == 500


@stack
async def test_concurrent_imports_of_one_file_import_each_row_once(office):
    many = "\n".join(
        [
            HEAD,
            *(
                f"{n},第 {n} 件：窗口人员离岗无人接待群众,省教育厅,投诉,2026-09-01"
                for n in range(300)
            ),
        ]
    ).encode()
    one, two = await asyncio.gather(import_file(office, many), import_file(office, many))
    assert one.done + two.done == 300
    assert one.repeated + two.repeated == 300
    assert len(await office.events()) == 300


@stack
async def test_import_by_api_reports_progress_and_errors(office):
    async with (
        await office.signed_in(Role.OFFICE) as chen,
        await office.signed_in(Role.OPERATOR) as wang,
    ):
        upload = {
            "files": {"file": ("信件.csv", FILE), "mapping": ("m.yaml", MAPPING.encode())},
            "data": {"campaign_id": CAMPAIGN},
        }
        started = await chen.post("/intake/api/imports", **upload)
        rejected = await wang.post("/intake/api/imports", **upload)
        for _ in range(100):
            progress = (await chen.get(started.headers["location"])).json()
            if progress["state"] == "finished":
                break
            await asyncio.sleep(0.05)
        report = await chen.get(started.headers["location"] + "/report.csv")

    assert (started.status_code, rejected.status_code) == (202, 403)
    assert (progress["done"], progress["rejected"]) == (2, 5)
    assert len(report.text.splitlines()) == 6


@stack
async def test_invalid_mapping_is_rejected_before_the_import_starts(office):
    with pytest.raises(Rejected, match="kind"):
        await read_job(
            file_name="a",
            content=FILE,
            mapping="kind: x",
            campaign_id=CAMPAIGN,
            dry_run=False,
            by=office.person(Role.OFFICE),
        )


@stack
@pytest.mark.skipif(not INPUTS.exists(), reason="the real files are not available")
@pytest.mark.parametrize(
    ("mapping", "name", "units", "done", "event"),
    [
        ("messages", "taidi-messages-open.csv", None, 3024, "complaint%"),
        ("district-events", "pingshan-events-open.csv", ("unit_id", "unit"), 6969, "complaint%"),
        ("resident-survey", "kcmo-survey-open.csv", "answers", 1406, "ballots.released.v1"),
        ("covert-visits", "covert-visits-open.csv", ("unit", "unit"), 100, "visit.handed_over.v1"),
    ],
)
async def test_real_files_are_imported(office, mapping, name, units, done, event):
    content, text = (
        (INPUTS / name).read_bytes(),
        (ROOT / "deploy" / "imports" / f"{mapping}.yaml").read_text(encoding="utf-8"),
    )
    await publish_units_of(office, content, units, text)

    progress = await import_file(office, content, text)

    print(
        f"\n{name}: {progress.total} rows, {progress.done} imported, {progress.rejected} rejected",
        {error.reason for error in progress.errors},
    )
    assert progress.done >= 0.8 * progress.total
    assert await published_count(office, event) == progress.done


async def published_count(office, event):
    """Return how many rows were published: each as an event, a ballot as a part of a release.

    A visit with findings is published when their texts are released.
    """
    if event == "visit.handed_over.v1":
        return len(await office.events(event)) + await visits_with_unreleased_texts(office)
    if event != "ballots.released.v1":
        return len(await office.events(event))
    while True:
        async with office.transaction() as tx:
            if not await release_ballots(tx):
                break
    return sum(len(release["ballots"]) for _, release in await office.events(event))


async def visits_with_unreleased_texts(office):
    async with office.transaction() as tx:
        return await tx.fetchval(
            """
            select count(distinct f.visit_id) from findings f
              join summary_drafts d on d.subject_id = f.id
            """
        )


async def publish_units_of(office, content, units, mapping):
    """Publish a campaign with the units that the file names."""
    if units is None:
        return
    rows = csv.DictReader(io.StringIO(content.decode("utf-8-sig")))
    names = dict(
        ((answer.unit, answer.unit) for answer in read_mapping(mapping).answers)
        if units == "answers"
        else ((r[units[0]], r[units[1]]) for r in rows)
    )
    listed = tuple(
        UnitEntry(unit_id=unit_id, unit_no=number, name=name, category="government")
        for number, (unit_id, name) in enumerate(((i, n) for i, n in names.items() if i), start=1)
    )
    async with office.transaction() as tx:
        await campaigns.save(tx, published(tx.now, listed), 2)
    office.context.campaigns = new_cache()
