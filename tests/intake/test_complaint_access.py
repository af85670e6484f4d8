"""Who may read complaints, and for how long."""

import json
import re
from datetime import timedelta
from uuid import uuid4

import pytest

from services.intake.actions.identities import request_opening
from services.intake.domain.identity_openings import OpeningPurpose
from services.intake.store import complaint_lists
from services.intake.views.complaints import complaint_detail
from shared.appraisal.errors import Rejected
from shared.appraisal.labels import Role
from shared.security.policies import Account
from tests.intake.conftest import WORDS, complaint

stack = pytest.mark.stack


@stack
async def test_members_of_the_accused_unit_never_see_a_report(office, key):
    async with await office.signed_in(Role.OPERATOR) as wang:
        number = (
            await wang.post("/intake/api/complaints", json=complaint(kind="report"), headers=key())
        ).json()["number"]
    insider = Account(
        id=uuid4(), name="insider", display_name="内部", role=Role.REVIEWER, unit_id="tcm"
    )
    reviewer = office.person(Role.REVIEWER)

    async with office.transaction() as tx:
        assert await complaint_detail(tx, number, insider) is None
        assert await complaint_detail(tx, number, reviewer) is not None
        assert await complaint_lists.search(tx, number[-6:], insider) == []
        listed = await complaint_lists.received(tx, insider, since=tx.now - timedelta(days=1))
        assert listed == []
        with pytest.raises(Rejected):
            await request_opening(
                tx,
                number=number,
                purpose=OpeningPurpose.CALL_BACK,
                reason="想知道举报我们单位的是哪一个人",
                by=insider,
            )


@stack
@pytest.mark.parametrize(
    "role",
    [
        Role.HANDLER,
        Role.UNIT_HEAD,
        Role.OFFICE,
        Role.INSPECTOR,
        Role.LEADER,
        Role.ADMIN,
        Role.AUDITOR,
        Role.CUSTODIAN,
    ],
)
async def test_other_roles_may_not_read_complaints(office, key, role):
    async with await office.signed_in(Role.OPERATOR) as wang:
        number = (
            await wang.post("/intake/api/complaints", json=complaint(), headers=key())
        ).json()["number"]
    async with await office.signed_in(role) as somebody:
        answers = [
            *[
                await somebody.get(path)
                for path in (f"/intake/tickets/{number}", "/intake/triage", "/intake/palette?q=000")
            ],
            await somebody.post(
                f"/intake/tickets/{number}/identity-openings",
                data={"purpose": "call_back", "reason": "想看一看写信的究竟是谁", **_form()},
            ),
            await somebody.post(f"/intake/tickets/{number}/identity", data=_form()),
        ]
    assert {answer.status_code for answer in answers} == {403}


@stack
async def test_operator_reads_own_complaint_text_for_a_day(office, key, clock):
    async with await office.signed_in(Role.OPERATOR) as wang:
        number = (
            await wang.post("/intake/api/complaints", json=complaint(), headers=key())
        ).json()["number"]
        await office.release(number)
        today = await wang.get(f"/intake/tickets/{number}")
        await clock.advance(hours=25)
        tomorrow = await wang.get(f"/intake/tickets/{number}")
    other = Account(id=uuid4(), name="other", display_name="他人", role=Role.OPERATOR)
    async with office.transaction() as tx:
        assert await complaint_detail(tx, number, other) is None
    assert WORDS in today.text
    assert "13812345678" not in today.text
    assert (
        tomorrow.text.count(WORDS) == 1
    )  # The redacted summary, which is the same here; the complaint text is gone.


@stack
async def test_openapi_document_is_complete(office):
    described = office.service.app.openapi()
    assert described["openapi"].startswith("3.1")
    text = json.dumps(described)
    for reference in re.findall(r'"#/components/schemas/([^"]+)"', text):
        assert reference in described["components"]["schemas"]
    for path, operations in described["paths"].items():
        assert path.startswith("/intake/api/"), path
        for operation in operations.values():
            assert operation["responses"]


def _form():
    return {"idempotency_key": str(uuid4())}
