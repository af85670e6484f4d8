"""What strangers send to the public wizard is measured before it is read, and holds nothing up
while it comes.
"""

import asyncio
from uuid import uuid4

import pytest

from services.intake.pages import report_wizard
from services.intake.views import releases
from shared.appraisal.labels import Role

pytestmark = pytest.mark.stack
BOUNDARY = "----fengping"
PHOTO_STEP = (
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="files"; filename="a.jpg"\r\nContent-Type: image/jpeg\r\n\r\nno picture\r\n'
    f"--{BOUNDARY}--\r\n"
).encode()


async def send(app, path, receive, *, kind=f"multipart/form-data; boundary={BOUNDARY}"):
    """Send an anonymous POST whose body comes from `receive`; return the status."""
    sent = []

    async def answer(message):
        sent.append(message)

    headers = [
        (b"host", b"intake.test"),
        (b"content-type", kind.encode()),
        (b"sec-fetch-site", b"same-origin"),
    ]
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": ("203.0.113.9", 1),
        "server": ("intake.test", 80),
    }
    await app(scope, receive, answer)
    return sent[0]["status"]


async def whole():
    return {"type": "http.request", "body": PHOTO_STEP, "more_body": False}


async def test_beyond_the_measure_a_body_is_not_even_read(office, monkeypatch):
    monkeypatch.setattr(report_wizard, "UPLOADS_PER_HOUR", (3, 3600))
    app = office.service.app

    async def unwanted():
        raise AssertionError("the body was read")

    before = [
        await send(app, path, whole) for path in ("/p/report/4", "/p/report/04", "/p/report/1")
    ]
    after = [
        await send(app, path, unwanted) for path in ("/p/report/4", "/p/report/%204", "/p/report/2")
    ]

    assert 429 not in before
    assert after == [429, 429, 429]


async def test_one_address_takes_so_many_steps_an_hour(office, monkeypatch):
    monkeypatch.setattr(report_wizard, "STEPS_PER_HOUR", (5, 3600))

    async def typed():
        return {"type": "http.request", "body": b"unit=", "more_body": False}

    answers = [
        await send(
            office.service.app, "/p/report/1", typed, kind="application/x-www-form-urlencoded"
        )
        for _ in range(7)
    ]

    assert [answer == 429 for answer in answers] == [False] * 5 + [True] * 2


async def test_who_sends_slowly_holds_no_connection_to_the_database(office):
    half, rest = asyncio.Event(), asyncio.Event()
    parts = [PHOTO_STEP[:40], PHOTO_STEP[40:]]

    async def slowly():
        if len(parts) == 1:
            half.set()
            await rest.wait()
        return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

    sending = asyncio.create_task(send(office.service.app, "/p/report/4", slowly))
    await half.wait()
    await asyncio.sleep(0.2)
    in_use, _ = office.database.connections
    rest.set()

    assert await sending in (303, 415, 422)
    assert in_use == 0


async def test_the_complainant_sees_the_proposed_text_and_says_what_to_withhold(office):
    text = "我叫欧阳晓春，电话 13812345678，当时带着双胞胎女儿，窗口没人理睬。"
    async with office.client() as browser:
        await browser.post("/p/report/1", data={"chosen": "tcm"})
        await browser.post("/p/report/2", data={"kind": "complaint", "head": "unsure"})
        await browser.post("/p/report/3", data={"complaint_text": text})
        await browser.post("/p/report/4", data={})
        await browser.post(
            "/p/report/5",
            data={"identity": "real_name", "name": "欧阳晓春", "phone": "13812345678"},
        )
        last = await browser.get("/p/report/6")
        too_long = await browser.post(
            "/p/report", data={"idempotency_key": str(uuid4()), "withhold": "长" * 501}
        )
        sent = await browser.post(
            "/p/report", data={"idempotency_key": str(uuid4()), "withhold": "双胞胎女儿"}
        )

    reviewer = office.person(Role.REVIEWER)
    async with office.transaction() as tx:
        [waiting] = await releases.queue(tx, reviewer)
        panel = await releases.release_panel(tx, waiting.row.number, reviewer)
    proposal = last.text.partition('id="proposal-h"')[2].partition("</section>")[0]
    assert sent.status_code == 303
    assert too_long.status_code == 422
    assert "双胞胎女儿，窗口没人理睬" in proposal
    assert not [secret for secret in ("欧阳晓春", "13812345678") if secret in proposal]
    assert panel.withhold == "双胞胎女儿"
    assert "双胞胎女儿" not in panel.draft, "what must not be passed on is masked as well"
    assert await office.events("complaint.summary_released.v1") == []
