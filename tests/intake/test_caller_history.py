"""该号码历史: for the call at hand, limited, and with an audit entry that never names the caller."""

from uuid import uuid4

import pytest

from shared.appraisal.labels import Role
from tests.intake.conftest import WORDS, complaint

pytestmark = pytest.mark.stack
PHONE = "13812345678"


async def look_up(client, phone=PHONE, ticket=None):
    sent = {"draft_id": str(ticket or uuid4()), "phone": phone}
    answer = await client.post("/intake/desk/history", data=sent)
    assert answer.status_code == 200, answer.text
    return answer.text


def ticket_form(draft_id):
    return {
        "draft_id": str(draft_id),
        "campaign_id": "j-2026",
        "phone": PHONE,
        "name": "欧阳晓春",
        "identity": "confidential",
        "kind": "complaint",
        "urgency": "normal",
        "unit_id": "tcm",
        "unit": "省中医药管理局",
        "problem_id": "08",
        "problem": "08",
        "complaint_text": WORDS,
        "redacted_summary": WORDS,
    }


async def test_operator_sees_earlier_calls_and_the_auditor_sees_which(office, key):
    async with await office.signed_in(Role.OPERATOR) as operator:
        registered = await operator.post("/intake/api/complaints", json=complaint(), headers=key())
        ticket = uuid4()
        panel = await look_up(operator, ticket=ticket)

    number = registered.json()["number"]
    assert number in panel
    async with office.transaction() as tx:
        entries = await tx.fetch("select * from audit where action = 'complainant.looked_up'")
    assert [entry["subject"] for entry in entries] == [str(ticket)]
    assert entries[0]["details"] == {"shown": [number]}
    fingerprint = office.context.ring.fingerprint(PHONE).hex()
    assert not any(fingerprint[:16] in str(dict(entry)) for entry in entries)


async def test_one_ticket_shows_the_history_of_a_number_and_its_corrections(office):
    ticket = uuid4()
    async with await office.signed_in(Role.OPERATOR) as operator:
        for last in "123":
            assert "没有来电记录" in await look_up(operator, f"1381234567{last}", ticket)
        assert "查询次数已到上限" in await look_up(operator, "13812345674", ticket)
        assert "没有来电记录" in await look_up(operator, "13812345671", ticket), "as before"


async def test_who_registers_no_ticket_soon_has_to_wait(office):
    async with await office.signed_in(Role.OPERATOR) as curious:
        for last in range(10):
            assert "没有来电记录" in await look_up(curious, f"1391234567{last}")
        assert "查询次数已到上限" in await look_up(curious, PHONE)


async def test_registered_tickets_do_not_count(office, key):
    async with await office.signed_in(Role.OPERATOR) as busy:
        for _ in range(12):
            ticket = uuid4()
            assert "查询次数已到上限" not in await look_up(busy, ticket=ticket)
            answer = await busy.post("/intake/desk", data=ticket_form(ticket), headers=key())
            assert answer.status_code == 303, answer.text
        assert "这份工单已经登记" in await look_up(busy, ticket=ticket)
