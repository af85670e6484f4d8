"""Registering complaints: once per key, encrypted, published without personal data."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest

from shared.appraisal.labels import Role
from tests.intake.conftest import CAMPAIGN, WORDS, complaint, look_up
from tests.organisations import body, know

stack = pytest.mark.stack


@stack
async def test_registered_complaint_is_published_once(office, key):
    async with await office.signed_in(Role.OPERATOR) as wang:
        answer = await wang.post("/intake/api/complaints", json=complaint(), headers=key())

    assert answer.status_code == 201, answer.text
    body = answer.json()
    assert body["number"].startswith("ZT2026-")
    assert len(body["query_code"]) == 12
    [(name, event)] = await office.events()
    assert (name, event["number"], event["unit_id"], event["real_name"]) == (
        "complaint.registered.v1",
        body["number"],
        "tcm",
        False,
    )
    assert body["redacted_summary"] == "", "a reviewer releases it first"
    assert WORDS not in str(event)


@stack
async def test_repeated_key_returns_the_same_complaint_and_code(office, key):
    headers = key()
    async with await office.signed_in(Role.OPERATOR) as wang:
        first, second = [
            await wang.post("/intake/api/complaints", json=complaint(), headers=headers)
            for _ in range(2)
        ]

    assert first.json() == second.json()
    assert second.headers["idempotency-replayed"] == "true"
    assert len(await office.events()) == 1


@stack
async def test_concurrent_requests_with_one_key_register_one_complaint(office, key):
    headers = key()
    async with await office.signed_in(Role.OPERATOR) as wang:
        answers = await asyncio.gather(
            *(
                wang.post("/intake/api/complaints", json=complaint(), headers=headers)
                for _ in range(20)
            )
        )

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["number"] for answer in answers}) == 1
    assert len(await office.events()) == 1


@stack
async def test_request_waiting_for_a_lock_fails_alone_and_soon(office, key):
    """It shares a transaction with the others, which must neither fail nor wait for long.

    A 举报 waits while the register changes: whom it bans follows from the register.
    """
    async with await office.signed_in(Role.OPERATOR) as wang, office.transaction() as tx:
        await know(tx, body("tcm", "省中医药局"), version=2)
        started = asyncio.get_running_loop().time()
        bodies = [complaint(kind="report" if n == 3 else "complaint") for n in range(10)]
        answers = await asyncio.gather(
            *(wang.post("/intake/api/complaints", json=each, headers=key()) for each in bodies)
        )
        took = asyncio.get_running_loop().time() - started

    assert [answer.status_code for answer in answers] == [503 if n == 3 else 201 for n in range(10)]
    assert took < 12


@stack
@pytest.mark.parametrize(
    "redacted_summary",
    [
        "请回电 138-1234-5678",
        "来电人欧阳晓春称窗口推诿",
        "家住长春市人民大街1号2单元",
        "身份证 11010519491231002X 办不了",
        "第一行\n第二行：1 3 9 0 0 0 0 1 1 1 1",
    ],
)
async def test_personal_data_in_the_summary_is_rejected_but_not_repeated(
    office, key, redacted_summary
):
    async with await office.signed_in(Role.OPERATOR) as wang:
        answer = await wang.post(
            "/intake/api/complaints",
            json=complaint(redacted_summary=redacted_summary),
            headers=key(),
        )

    assert answer.status_code == 422
    problem = answer.json()
    assert problem["errors"][0]["field"] == "redacted_summary"
    assert "转办摘要第" in problem["detail"]
    assert redacted_summary[-8:] not in answer.text
    assert await office.events() == []


@stack
async def test_missing_summary_is_drafted_without_personal_data(office, key):
    complaint_text = WORDS + "我叫欧阳晓春，电话13812345678，请尽快回复。"
    async with await office.signed_in(Role.OPERATOR) as wang:
        answer = await wang.post(
            "/intake/api/complaints", json=complaint(complaint_text=complaint_text), headers=key()
        )

    async with await office.signed_in(Role.REVIEWER) as zhang:
        draft = await zhang.get(f"/intake/api/releases/{answer.json()['number']}")
    assert (
        draft.json()["redacted_summary"]
        == WORDS + "我叫［来件人信息］，电话［来件人信息］，请尽快回复。"
    )


@stack
async def test_no_table_contains_complainant_data_in_plain_text(office, key):
    canaries = ["欧阳晓春", "13812345678", "人民大街 1 号", "一直在玩手机的那个人戴眼镜"]
    given = complaint(
        complaint_text=WORDS + "一直在玩手机的那个人戴眼镜",
        redacted_summary="窗口人员玩手机，让群众次日再来",
        place="人民大街 1 号大厅",
    )
    async with await office.signed_in(Role.OPERATOR) as wang:
        answer = await wang.post("/intake/api/complaints", json=given, headers=key())
        await wang.post(
            "/intake/desk/drafts",
            data={
                "draft_id": str(uuid4()),
                "phone": "13812345678",
                "complaint_text": given["complaint_text"],
            },
        )
        await wang.post(
            "/intake/api/complaints",
            json=given | {"redacted_summary": "请找欧阳晓春 13812345678", "extra": "欧阳晓春"},
            headers=key(),
        )
    assert answer.status_code == 201

    async with office.transaction() as tx:
        tables = await tx.fetch(
            "select tablename from pg_tables where schemaname = 'intake' "
            "and tablename not like '%_part_%'"
        )
        for table in tables:
            rows = await tx.fetch(
                f'select t::text as row, to_jsonb(t)::text as json from "{table["tablename"]}" t'
            )
            for row in rows:
                for canary in canaries:
                    assert canary not in row["row"], table["tablename"]
                    assert canary not in row["json"], table["tablename"]
                    assert canary.encode().hex() not in row["row"], table["tablename"]


def _form():
    return {"idempotency_key": str(uuid4())}


@stack
async def test_anonymous_complaint_stores_no_identity_and_no_fingerprint(office, key):
    async with await office.signed_in(Role.OPERATOR) as wang:
        for _ in range(2):
            answer = await wang.post(
                "/intake/api/complaints",
                json=complaint(identity="anonymous", name="", address=""),
                headers=key(),
            )
            assert answer.status_code == 201, answer.text

    async with office.transaction() as tx:
        assert await tx.fetchval("select count(*) from vault where part = 'identity'") == 0
        assert await tx.fetchval("select count(complainant_fingerprint) from complaints") == 0
    assert await look_up(office, "+86 138-1234-5678") == []


@stack
async def test_operator_finds_no_report_that_another_person_registered(office, key):
    async with await office.signed_in(Role.REVIEWER) as reviewer:
        answer = await reviewer.post(
            "/intake/api/complaints", json=complaint(kind="report"), headers=key()
        )
        assert answer.status_code == 201, answer.text

    assert await look_up(office, "13812345678") == []


@stack
async def test_only_the_office_may_backdate_a_complaint(office, key):
    async with office.transaction() as tx:
        earlier = (tx.now - timedelta(days=40)).isoformat()

    async with (
        await office.signed_in(Role.OPERATOR) as wang,
        await office.signed_in(Role.OFFICE) as chen,
    ):
        forbidden = await wang.post(
            "/intake/api/complaints", json=complaint(received_at=earlier), headers=key()
        )
        accepted = await chen.post(
            "/intake/api/complaints", json=complaint(received_at=earlier), headers=key()
        )

    assert (forbidden.status_code, accepted.status_code) == (403, 201)
    [(_, event)] = await office.events()
    assert event["received_at"][:10] == earlier[:10]


@stack
async def test_similar_complaint_about_the_same_unit_is_found(office, key):
    async with await office.signed_in(Role.OPERATOR) as wang:
        first = (await wang.post("/intake/api/complaints", json=complaint(), headers=key())).json()
        await office.release(first["number"])
        alike = await wang.get(
            "/intake/api/complaints/similar",
            params={
                "campaign_id": CAMPAIGN,
                "unit_id": "tcm",
                "redacted_summary": WORDS.replace("三次", "两次"),
            },
        )
        other = await wang.get(
            "/intake/api/complaints/similar",
            params={"campaign_id": CAMPAIGN, "unit_id": "edu", "redacted_summary": WORDS},
        )

    assert [found["number"] for found in alike.json()] == [first["number"]]
    assert alike.json()[0]["likeness"] > 0.8
    assert other.json() == []


@stack
@pytest.mark.parametrize("role", [Role.HANDLER, Role.UNIT_HEAD, Role.INSPECTOR, Role.LEADER])
async def test_other_roles_may_not_register_complaints(office, key, role):
    async with await office.signed_in(role) as somebody:
        answer = await somebody.post("/intake/api/complaints", json=complaint(), headers=key())
    assert answer.status_code == 403


@stack
async def test_unknown_fields_are_rejected(office, key):
    async with await office.signed_in(Role.OPERATOR) as wang:
        for field in ("id", "number", "status", "score", "registered_by"):
            answer = await wang.post(
                "/intake/api/complaints", json=complaint() | {field: "x"}, headers=key()
            )
            assert answer.status_code == 422
    assert await office.events() == []


@stack
async def test_draft_is_registered_once_and_deleted(office):
    draft = str(uuid4())
    fields = {
        "draft_id": draft,
        "campaign_id": CAMPAIGN,
        "identity": "confidential",
        "kind": "complaint",
        "urgency": "normal",
        "unit": "省教育厅",
        "problem": "不确定",
        "complaint_text": WORDS,
        "redacted_summary": "窗口人员玩手机",
        "phone": "",
    }
    async with await office.signed_in(Role.OPERATOR) as wang:
        saved = await wang.post("/intake/desk/drafts", data=fields)
        first, second = [await wang.post("/intake/desk", data=fields | _form()) for _ in range(2)]
        late = await wang.post("/intake/desk/drafts", data=fields)

    assert (saved.status_code, first.status_code, second.status_code, late.status_code) == (
        200,
        303,
        409,
        404,
    )
    assert [name for name, _ in await office.events()] == [
        "complaint.registered.v1",
        "complaint.summary_released.v1",
    ]
    async with office.transaction() as tx:
        assert await tx.fetchval("select count(*) from hotline_drafts") == 0


@stack
async def test_all_missing_fields_are_reported_at_once(office):
    async with await office.signed_in(Role.OPERATOR) as wang:
        fields = {
            "draft_id": str(uuid4()),
            "campaign_id": CAMPAIGN,
            "identity": "confidential",
            "kind": "complaint",
            "urgency": "critical",
        }
        answer = await wang.post("/intake/desk", data=fields | _form())
    assert answer.status_code == 422
    for name in ("urgency_reason", "unit", "problem", "complaint_text", "redacted_summary"):
        assert f'href="#f-{name}"' in answer.text
