"""A visit counts once, when all its photos are stored; photos are shown without metadata."""

import hashlib
import io
import random
from datetime import timedelta
from uuid import uuid4

import pytest
from PIL import Image

from services.intake.domain.images import media_type_of, without_metadata
from services.intake.domain.visits import (
    CheckedItem,
    ReportedFinding,
    check_items,
    findings_of,
    passed_items,
)
from shared.appraisal.errors import Rejected
from shared.appraisal.labels import Role
from shared.appraisal.schemes import load_scheme
from tests.intake.conftest import CAMPAIGN

CHECKLIST = load_scheme("J", 2026).checklists[0]
IDS = [item.id for item in CHECKLIST.items]


def picture(seed: int = 0, *, size: tuple[int, int] = (640, 480), gps: bool = True) -> bytes:
    """Return a photo of noise whose metadata names place and person."""
    drawn = Image.frombytes("RGB", size, random.Random(seed).randbytes(size[0] * size[1] * 3))
    exif = Image.Exif()
    if gps:
        exif[0x010E] = "CANARY description"
        exif[0x013B] = "CANARY inspector"
        exif.get_ifd(0x8825)[2] = (43.0, 52.0, 30.0)
    written = io.BytesIO()
    drawn.save(written, "JPEG", exif=exif, quality=60, comment=b"CANARY comment")
    return written.getvalue()


def sha(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


# ── rules ─────────────────────────────────────────────────────────────────────────────────────────


def all_passed(*but: CheckedItem) -> list[CheckedItem]:
    changed = {item.item_id: item for item in but}
    return [changed.get(id, CheckedItem(id, "pass")) for id in IDS]


def test_every_item_must_be_answered():
    with pytest.raises(Rejected, match="还没有填写"):
        check_items(CHECKLIST, all_passed()[1:], 0)


def test_failed_item_needs_a_note_or_a_photo():
    failed = all_passed(CheckedItem(IDS[0], "fail", "空"))
    with pytest.raises(Rejected, match="写明情况"):
        check_items(CHECKLIST, failed, 0)
    check_items(CHECKLIST, failed, 1)


def test_every_failed_item_becomes_one_finding():
    items = all_passed(
        CheckedItem(IDS[0], "fail", "窗口无人在岗"), CheckedItem(IDS[1], "fail", "无告知单公示")
    )
    found = findings_of(CHECKLIST, items, [ReportedFinding(IDS[0], "serious", "三个窗口无人")])
    assert [(f.item_id, f.severity) for f in found] == [(IDS[0], "serious"), (IDS[1], "ordinary")]
    assert set(passed_items(items)) == set(IDS[2:])


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"%PDF-1.7", "application/pdf"),
        (b"RIFF....WEBP", "image/webp"),
        (b"RIFF....WAVE", ""),
        (b"<svg xmlns=", ""),
        (b"GIF89a", ""),
        (b"PK\x03\x04", ""),
        (b"MZ", ""),
        (b"", ""),
    ],
)
def test_media_type_is_read_from_the_first_bytes(body, kind):
    assert media_type_of(body) == kind


def test_copy_contains_no_metadata():
    copy = without_metadata(picture(size=(2400, 1800)))
    assert b"CANARY" not in copy
    with Image.open(io.BytesIO(copy)) as opened:
        assert opened.size == (1600, 1200)
        assert not opened.getexif()
        assert "comment" not in opened.info


@pytest.mark.parametrize(
    "body", [picture()[:400], b"\xff\xd8\xff" + b"\0" * 100, b"\x89PNG\r\n\x1a\n" + b"x" * 50]
)
def test_damaged_pictures_are_rejected(body):
    with pytest.raises(Rejected):
        without_metadata(body)


def test_oversized_picture_is_rejected_before_decoding():
    written = io.BytesIO()
    Image.new("L", (6_000, 6_000)).save(written, "PNG", compress_level=1)
    with pytest.raises(Rejected, match="像素"):
        without_metadata(written.getvalue())


# ── actions and API ─────────────────────────────────────────────────────────────────────────────

stack = pytest.mark.stack
FAILED = {"item_id": IDS[0], "result": "fail", "note": "窗口无人，电话 13812345678 无人接"}


async def report(office, photos=(), **changes):
    async with office.transaction() as tx:
        now = tx.now
    given = {
        "campaign_id": CAMPAIGN,
        "unit_id": "tcm",
        "mode": "announced",
        "visited_at": (now - timedelta(hours=1)).isoformat(),
        "device_at": now.isoformat(),
        "position": {"latitude": 43.88, "longitude": 125.32, "accuracy_metres": 12},
        "items": [{"item_id": i, "result": "pass"} if i != IDS[0] else FAILED for i in IDS],
        "photos": [sha(body) for body in photos],
    }
    return given | changes


@stack
async def test_findings_reach_the_reviewers_when_the_last_photo_is_stored(office):
    visit, photos = uuid4(), [picture(1), picture(2)]
    given = await report(office, photos)
    async with await office.signed_in(Role.INSPECTOR) as phone:
        await phone.put(f"/intake/api/visits/{visit}/photos/{sha(photos[0])}", content=photos[0])
        first = await phone.post(f"/intake/api/visits/{visit}/commit", json=given)
        before = await office.events("visit%")
        await phone.put(f"/intake/api/visits/{visit}/photos/{sha(photos[1])}", content=photos[1])
        again = await phone.post(f"/intake/api/visits/{visit}/commit", json=given)

    assert (first.status_code, first.json()["missing"]) == (201, [sha(photos[1])])
    assert before == []
    assert (again.status_code, again.json()["missing"], again.json()["id"]) == (200, [], str(visit))
    [(name, event)] = await office.events()
    assert name == "finding.registered.v1"
    assert "13812345678" not in str(event)
    assert str(office.person(Role.INSPECTOR).id) not in str(event)


@stack
async def test_repeated_uploads_are_one_visit(office):
    visit, photo = uuid4(), picture(3)
    given = await report(office, [photo])
    async with await office.signed_in(Role.INSPECTOR) as phone:
        for _ in range(5):
            put = await phone.put(f"/intake/api/visits/{visit}/photos/{sha(photo)}", content=photo)
            commit = await phone.post(f"/intake/api/visits/{visit}/commit", json=given)

    assert (put.status_code, commit.status_code) == (200, 200)
    assert len(await office.events("finding.registered%")) == 1
    async with office.transaction() as tx:
        assert await tx.fetchval("select count(*) from files") == 1


@stack
async def test_submitted_visit_cannot_be_changed(office):
    visit = uuid4()
    async with await office.signed_in(Role.INSPECTOR) as phone:
        await phone.post(f"/intake/api/visits/{visit}/commit", json=await report(office))
        changed = await phone.post(
            f"/intake/api/visits/{visit}/commit", json=await report(office, unit_id="edu")
        )
    assert changed.status_code == 409
    assert len(await office.events("finding.registered%")) == 1


@stack
async def test_photos_are_encrypted_and_the_copy_has_no_metadata(office, settings):
    visit, photo = uuid4(), picture(4)
    async with await office.signed_in(Role.INSPECTOR) as phone:
        await phone.put(f"/intake/api/visits/{visit}/photos/{sha(photo)}", content=photo)
        async with office.transaction() as tx:
            file_id = await tx.fetchval("select id from files")
        shown = await phone.get(f"/intake/api/photos/{file_id}")
    async with await office.signed_in(Role.HANDLER) as unit:
        hidden = await unit.get(f"/intake/api/photos/{file_id}")

    stored = b"".join(
        path.read_bytes() for path in (settings.data_folder / "intake").rglob("*") if path.is_file()
    )
    assert len(stored) > len(photo)
    assert b"CANARY" not in stored
    assert photo[:64] not in stored
    assert shown.status_code == 200
    assert b"CANARY" not in shown.content
    assert hidden.status_code == 403


@stack
@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"<svg onload=alert(1)>", 415),
        (b"%PDF-1.7 x", 415),
        (picture()[:300], 422),
        (b"\xff\xd8\xff" + bytes(11 * 1024 * 1024), 413),
    ],
)
async def test_hostile_files_are_rejected(office, body, status):
    async with await office.signed_in(Role.INSPECTOR) as phone:
        answer = await phone.put(f"/intake/api/visits/{uuid4()}/photos/{sha(body)}", content=body)
    assert answer.status_code == status
    async with office.transaction() as tx:
        assert await tx.fetchval("select count(*) from files") == 0


@stack
async def test_photo_that_does_not_match_its_digest_is_rejected(office):
    async with await office.signed_in(Role.INSPECTOR) as phone:
        answer = await phone.put(
            f"/intake/api/visits/{uuid4()}/photos/{sha(picture(5))}", content=picture(6)
        )
    assert answer.status_code == 422


@stack
async def test_visit_of_another_inspector_is_not_found(office):
    visit, photo = uuid4(), picture(7)
    async with (
        await office.signed_in(Role.INSPECTOR) as phone,
        await office.signed_in(Role.OFFICE) as other,
    ):
        await phone.put(f"/intake/api/visits/{visit}/photos/{sha(photo)}", content=photo)
        stolen = await other.post(
            f"/intake/api/visits/{visit}/commit", json=await report(office, [photo])
        )
    assert stolen.status_code == 404


@stack
async def test_old_positions_and_times_are_coarsened(office, clock):
    """After 30 days nobody can put together where an inspector went, and when."""
    from services.intake.actions.retention import delete_tracks

    async with await office.signed_in(Role.INSPECTOR) as phone:
        given = await report(
            office, position={"latitude": 43.881234, "longitude": 125.324567, "accuracy_metres": 12}
        )
        await phone.post(f"/intake/api/visits/{uuid4()}/commit", json=given)
        await phone.post(
            f"/intake/api/visits/{uuid4()}/commit", json=await report(office, position=None)
        )
    await clock.advance(days=31)

    async with office.transaction() as tx:
        await delete_tracks(tx)
        assert not await delete_tracks(tx), "nothing is left to coarsen"
        rows = await tx.fetch(
            "select latitude, longitude, device_at, "
            "(visited_at at time zone 'Asia/Shanghai')::time::text as time from visits "
            "order by latitude"
        )
    assert [tuple(row) for row in rows] == [
        (43.88, 125.32, None, "00:00:00"),
        (None, None, None, "00:00:00"),
    ]


@stack
async def test_reading_where_an_inspector_was_is_recorded(office):
    async with await office.signed_in(Role.INSPECTOR) as phone:
        visit = uuid4()
        await phone.post(f"/intake/api/visits/{visit}/commit", json=await report(office))
    async with await office.signed_in(Role.OFFICE) as reader:
        shown = await reader.get(f"/intake/field/plans/{visit}")
    assert "43.8800" in shown.text
    async with office.transaction() as tx:
        readers = await tx.fetchval(
            "select count(*) from audit where action = 'visit.read' and subject = $1",
            str(visit),
        )
    assert readers == 1
