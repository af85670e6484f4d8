"""A complaint is written down once, its complainant sealed, and only what is free of personal data
goes on.
"""

import asyncio
import json
import re
from contextlib import suppress
from datetime import timedelta
from uuid import NAMESPACE_OID, UUID, uuid4, uuid5

import pytest

from services.intake.actions import attachments
from services.intake.actions.complaints import merge_complaint
from services.intake.actions.identities import reveal_identity
from services.intake.actions.retention import erase_complainant_data
from services.intake.domain.complaints import (
    NewComplaint,
    check_new_complaint,
    is_phone,
)
from services.intake.domain.identities import Identity
from services.intake.domain.query_codes import parse_number, parse_query_code, query_code
from services.intake.store import complaint_lists, complaints, files, vault
from services.intake.views.complaints import complainant_history, complaint_detail
from shared.appraisal.errors import Rejected
from shared.appraisal.labels import ComplaintChannel, ComplaintKind, Role
from shared.runtime.clock_guard import ClockGuardActive
from shared.security.keyring import KeyDestroyed, SealedRecord
from shared.security.policies import Account
from tests.intake.conftest import CAMPAIGN, WORDS, complaint
from tests.intake.test_visits import picture

# ── rules ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("typed", "number"),
    [
        ("ZT2026-000123", "ZT2026-000123"),
        ("zt2026000123", "ZT2026-000123"),
        ("ＺＴ２０２６ 000 123", "ZT2026-000123"),
        ("ZT2026-1234567", "ZT2026-1234567"),
        ("ZT2026-12", ""),
        ("", ""),
        ("XC2026-000123", ""),
        ("ZT2026-000123'--", ""),
    ],
)
def test_numbers_are_read_as_people_type_them(typed, number):
    assert parse_number(typed) == number


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("4821 0937", "48210937"),
        ("４８２１-０９３７", "48210937"),
        ("482109", ""),
        ("四八二一零九三七", ""),
    ],
)
def test_codes_are_read_as_people_type_them(typed, code):
    assert parse_query_code(typed) == code


@pytest.mark.parametrize(
    ("text", "yes"),
    [
        ("13812345678", True),
        ("+86 138 1234 5678", True),
        ("0431-88886666", True),
        ("12345", True),
        ("1381234567", False),
        ("隐藏", False),
    ],
)
def test_phones(text, yes):
    assert is_phone(text) is yes


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"complaint_text": "太短"}, "complaint_text"),
        ({"kind": ComplaintKind.FINDING}, "kind"),
        ({"identity": Identity.REAL_NAME}, "name"),
        ({"identity": Identity.ANONYMOUS, "name": "张三"}, "name"),
        ({"phone": "123"}, "phone"),
    ],
)
def test_what_a_complaint_must_have(changes, field, noon):
    given = NewComplaint(
        **{
            "campaign_id": CAMPAIGN,
            "channel": ComplaintChannel.HOTLINE,
            "kind": ComplaintKind.COMPLAINT,
            "complaint_text": WORDS,
        }
        | changes
    )

    with pytest.raises(Rejected) as refused:
        check_new_complaint(given, noon)

    assert (refused.value.field, refused.value.status) == (field, 422)


def test_codes_follow_from_the_secret_and_the_complaint():
    one, other = uuid4(), uuid4()
    assert query_code(b"s" * 32, one) == query_code(b"s" * 32, one) != query_code(b"s" * 32, other)
    assert query_code(b"t" * 32, one) != query_code(b"s" * 32, one)
    assert len({query_code(b"s" * 32, uuid4()) for _ in range(2000)}) > 1990


# ── actions and doors ─────────────────────────────────────────────────────────────────────────────

stack = pytest.mark.stack


@stack
async def test_an_operator_registers_a_complaint_and_it_is_told_once(office, key):
    async with await office.signed_in(Role.OPERATOR) as wang:
        answer = await wang.post("/intake/api/complaints", json=complaint(), headers=key())

    assert answer.status_code == 201, answer.text
    body = answer.json()
    assert body["number"].startswith("ZT2026-")
    assert len(body["query_code"]) == 8
    [(name, event)] = await office.events()
    assert (name, event["number"], event["unit_id"], event["real_name"]) == (
        "complaint.registered.v1",
        body["number"],
        "tcm",
        False,
    )
    assert event["redacted_summary"] == body["redacted_summary"] == WORDS


@stack
async def test_the_same_key_twice_is_one_complaint_with_one_code(office, key):
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
async def test_twenty_presses_at_once_are_one_complaint(office, key):
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
async def test_who_wants_what_somebody_else_holds_fails_alone_and_soon(office, key):
    """They share a transaction with it: the others must neither fail nor wait for long."""
    async with await office.signed_in(Role.OPERATOR) as wang:
        held = (await wang.post("/intake/api/complaints", json=complaint(), headers=key())).json()[
            "number"
        ]
        async with office.transaction() as tx:
            await complaints.lock(tx, [held])
            started = asyncio.get_running_loop().time()
            bodies = [complaint(merge_into=held if n == 3 else "") for n in range(10)]
            answers = await asyncio.gather(
                *(wang.post("/intake/api/complaints", json=body, headers=key()) for body in bodies)
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
async def test_personal_data_in_the_hand_over_text_stops_it_without_repeating_it(
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
async def test_a_missing_summary_is_drafted_from_the_original_without_who_said_it(office, key):
    complaint_text = WORDS + "我叫欧阳晓春，电话13812345678，请尽快回复。"
    async with await office.signed_in(Role.OPERATOR) as wang:
        answer = await wang.post(
            "/intake/api/complaints", json=complaint(complaint_text=complaint_text), headers=key()
        )

    assert (
        answer.json()["redacted_summary"]
        == WORDS + "我叫［来件人信息］，电话［来件人信息］，请尽快回复。"
    )


@stack
async def test_nothing_of_the_complainant_stands_anywhere_in_clear(office, key):
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
        tables = await tx.fetch("select tablename from pg_tables where schemaname = 'intake'")
        for table in tables:
            rows = await tx.fetch(
                f'select t::text as row, to_jsonb(t)::text as json from "{table["tablename"]}" t'
            )
            for row in rows:
                for canary in canaries:
                    assert canary not in row["row"], table["tablename"]
                    assert canary not in row["json"], table["tablename"]
                    assert canary.encode().hex() not in row["row"], table["tablename"]


@stack
async def test_the_complainant_can_be_opened_with_a_reason_and_leaves_a_mark(office, key):
    async with await office.signed_in(Role.OPERATOR) as wang:
        number = (
            await wang.post("/intake/api/complaints", json=complaint(), headers=key())
        ).json()["number"]
    reviewer, operator = office.person(Role.REVIEWER), office.person(Role.OPERATOR)

    async with office.transaction() as tx:
        shown = await reveal_identity(tx, number=number, reason="需要电话核实办理地点", by=reviewer)

    assert shown == {
        "name": "欧阳晓春",
        "phone": "13812345678",
        "address": "长春市人民大街 1 号 2 单元",
    }
    async with office.transaction() as tx:
        entry = await tx.fetchrow(
            "select actor, details::text as details from audit where action = 'identity.revealed'"
        )
    assert entry["actor"] == str(reviewer.id)
    assert "核实" in entry["details"]
    for by, reason in ((reviewer, "看看"), (operator, "需要电话核实办理地点")):
        with pytest.raises(Rejected):
            async with office.transaction() as tx:
                await reveal_identity(tx, number=number, reason=reason, by=by)


@stack
async def test_an_identity_is_not_shown_when_the_audit_cannot_be_written(office, key):
    async with await office.signed_in(Role.OPERATOR) as wang:
        number = (
            await wang.post("/intake/api/complaints", json=complaint(), headers=key())
        ).json()["number"]
    async with office.transaction() as tx:
        await tx.run("alter table audit rename to audit_gone")

    async with await office.signed_in(Role.REVIEWER) as zhang:
        answer = await zhang.post(
            f"/intake/tickets/{number}/identity", data={"reason": "需要电话核实办理地点", **_form()}
        )

    assert answer.status_code >= 500
    assert "13812345678" not in answer.text


def _form():
    return {"idempotency_key": str(uuid4())}


@stack
async def test_anonymous_leaves_no_name_and_no_phone_but_is_found_again(office, key):
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
        history = await complainant_history(
            tx, phone="+86 138-1234-5678", account=office.person(Role.OPERATOR)
        )
    assert len(history) == 2


@stack
async def test_only_the_office_may_say_that_it_came_earlier(office, key):
    async with office.transaction() as tx:
        earlier = (tx.now - timedelta(days=40)).isoformat()

    async with (
        await office.signed_in(Role.OPERATOR) as wang,
        await office.signed_in(Role.OFFICE) as chen,
    ):
        refused = await wang.post(
            "/intake/api/complaints", json=complaint(received_at=earlier), headers=key()
        )
        taken = await chen.post(
            "/intake/api/complaints", json=complaint(received_at=earlier), headers=key()
        )

    assert (refused.status_code, taken.status_code) == (403, 201)
    [(_, event)] = await office.events()
    assert event["received_at"][:10] == earlier[:10]


@stack
async def test_an_alike_complaint_about_the_same_unit_is_found_and_merged(office, key):
    async with await office.signed_in(Role.OPERATOR) as wang:
        first = (await wang.post("/intake/api/complaints", json=complaint(), headers=key())).json()
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
        again = await wang.post(
            "/intake/api/complaints", json=complaint(merge_into=first["number"]), headers=key()
        )

    assert [found["number"] for found in alike.json()] == [first["number"]]
    assert alike.json()[0]["likeness"] > 0.8
    assert other.json() == []
    assert again.json()["merged_into"] == first["number"]
    assert [name for name, _ in await office.events()] == [
        "complaint.registered.v1",
        "complaint.repeated.v1",
    ]
    assert (await office.events("complaint.repeated.v1"))[0][1]["repeats"] == 1


@stack
async def test_merging_twice_changes_nothing(office, key):
    async with await office.signed_in(Role.REVIEWER) as zhang:
        one, two = [
            (await zhang.post("/intake/api/complaints", json=complaint(), headers=key())).json()[
                "number"
            ]
            for _ in range(2)
        ]
        for _ in range(2):
            answer = await zhang.post(
                f"/intake/api/complaints/{two}/merger", json={"into": one}, headers=key()
            )
            assert answer.status_code == 201, answer.text
        circle = await zhang.post(
            f"/intake/api/complaints/{one}/merger", json={"into": two}, headers=key()
        )

    assert circle.status_code == 422
    assert [body["repeats"] for _, body in await office.events("complaint.repeated.v1")] == [1]


@stack
@pytest.mark.parametrize("role", [Role.HANDLER, Role.UNIT_HEAD, Role.INSPECTOR, Role.LEADER])
async def test_who_does_not_register_has_no_door(office, key, role):
    async with await office.signed_in(role) as somebody:
        answer = await somebody.post("/intake/api/complaints", json=complaint(), headers=key())
    assert answer.status_code == 403


@stack
async def test_unknown_fields_are_refused(office, key):
    async with await office.signed_in(Role.OPERATOR) as wang:
        for field in ("id", "number", "status", "score", "registered_by"):
            answer = await wang.post(
                "/intake/api/complaints", json=complaint() | {field: "x"}, headers=key()
            )
            assert answer.status_code == 422
    assert await office.events() == []


@stack
async def test_a_draft_is_registered_once_and_does_not_come_back(office):
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
    assert len(await office.events()) == 1
    async with office.transaction() as tx:
        assert await tx.fetchval("select count(*) from hotline_drafts") == 0


@stack
async def test_everything_missing_is_said_at_once(office):
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


# ── who may see what ──────────────────────────────────────────────────────────────────────────────


@stack
async def test_a_report_against_a_unit_is_found_by_nobody_who_belongs_to_it(office, key):
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
            await reveal_identity(tx, number=number, reason="想知道是谁举报的", by=insider)


@stack
@pytest.mark.parametrize(
    "role", [Role.HANDLER, Role.UNIT_HEAD, Role.OFFICE, Role.INSPECTOR, Role.LEADER, Role.ADMIN]
)
async def test_the_complainants_words_have_no_door_for_other_roles(office, key, role):
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
                f"/intake/tickets/{number}/identity", data={"reason": "想看一看是谁", **_form()}
            ),
        ]
    assert {answer.status_code for answer in answers} == {403}


@stack
async def test_an_operator_reads_their_own_words_for_a_day_and_nobody_elses(office, key, clock):
    async with await office.signed_in(Role.OPERATOR) as wang:
        number = (
            await wang.post("/intake/api/complaints", json=complaint(), headers=key())
        ).json()["number"]
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
async def test_what_intake_publishes_can_be_read_by_machines(office):
    described = office.service.app.openapi()
    assert described["openapi"].startswith("3.1")
    text = json.dumps(described)
    for reference in re.findall(r'"#/components/schemas/([^"]+)"', text):
        assert reference in described["components"]["schemas"]
    for path, operations in described["paths"].items():
        assert path.startswith("/intake/api/"), path
        for operation in operations.values():
            assert operation["responses"]


# ── the end of the period for which complainants are kept ───────────────────────────────────────────


async def settled(office, number, *, days_ago):
    """Casework told that the case of this complaint was closed."""
    async with office.transaction() as tx:
        await tx.run(
            "insert into progress (complaint_id, case_id, case_number, explanation, reply, provisional, opened_at, closed_at, updated_at) "
            "select id, gen_random_uuid(), 'AJ', '', '', false, $2::timestamptz, $2 - make_interval(days => $3), $2 "
            "from complaints where number = $1",
            number,
            tx.now,
            days_ago,
        )


async def opened(office, number):
    """Casework told that this complaint has a case."""
    await settled(office, number, days_ago=0)
    async with office.transaction() as tx:
        await tx.run(
            "update progress set closed_at = null where complaint_id = (select id from complaints where number = $1)",
            number,
        )


async def destroy(office, *, days):
    office.context.settings.complainant_retention_days = days
    async with office.transaction() as tx:
        await erase_complainant_data(tx)


@stack
async def test_when_its_period_is_over_nobody_can_read_who_told_a_matter(office, key, clock):
    async with await office.signed_in(Role.OPERATOR) as wang:

        async def told(**changes):
            return (
                await wang.post("/intake/api/complaints", json=complaint(**changes), headers=key())
            ).json()["number"]

        old, young, open_ = [await told() for _ in range(3)]
        again, handled = await told(merge_into=old), await told()
        await clock.advance(days=40)
        today = await told(merge_into=old)
        for number, days_ago in ((old, 31), (young, 29)):
            await settled(office, number, days_ago=days_ago)
        await opened(office, handled)
        async with office.transaction() as tx:
            await merge_complaint(tx, number=handled, into=old, by=office.person(Role.REVIEWER))

        await destroy(office, days=0)
        assert await readable(office) == {old, young, open_, again, today, handled}, (
            "no period is set"
        )
        await destroy(office, days=30)
        await destroy(office, days=30)
        assert await readable(office) == {young, open_, today, handled}, (
            "what is new or being handled stays, whatever it repeats"
        )

        await wang.post(
            f"/intake/api/complaints/{old}/supplements",
            json={"text": "来电人补充说明情况"},
            headers=key(),
        )
        await destroy(office, days=30)
    async with office.transaction() as tx:
        assert (
            await tx.fetchval("select count(*) from supplements where wrapped_key is not null") == 0
        )
        rows = await tx.fetch(
            "select number from audit a join complaints c on c.id::text = a.subject where action = 'complainant.data_erased'"
        )
        detail = await complaint_detail(tx, old, office.person(Role.REVIEWER))
        history = await complainant_history(
            tx, phone="13812345678", account=office.person(Role.OPERATOR)
        )
    assert {row["number"] for row in rows} == {old, again}
    assert (detail.statement, detail.contact, detail.supplements) == ({}, [], [])
    assert {row.number for row in history} == {young, open_, today, handled}
    async with await office.signed_in(Role.REVIEWER) as zhao:
        page = await zhao.get(f"/intake/tickets/{old}")
    assert "原文已按保存期限销毁" in page.text
    assert WORDS in page.text, "the redacted summary stays"


@stack
async def test_files_go_when_their_keys_are_gone_and_not_before(office, key, clock):
    """The clock is proved after the pass: what it did may still be undone."""
    async with await office.signed_in(Role.OPERATOR) as wang:
        told = (await wang.post("/intake/api/complaints", json=complaint(), headers=key())).json()
    async with office.transaction() as tx:
        await attachments.upload(tx, uuid5(NAMESPACE_OID, "form draft"), picture())
        await files.attach_to_complaint(tx, uuid5(NAMESPACE_OID, "form draft"), UUID(told["id"]))
    await clock.advance(days=40)
    await settled(office, told["number"], days_ago=31)
    office.context.settings.complainant_retention_days = 30
    stored = list(office.context.files.path.rglob("*"))

    with suppress(ClockGuardActive):
        async with office.transaction() as tx:
            await erase_complainant_data(tx)
            raise ClockGuardActive
    assert list(office.context.files.path.rglob("*")) == stored
    await destroy(office, days=30)
    await destroy(office, days=30)

    assert [path for path in office.context.files.path.rglob("*") if path.is_file()] == []
    async with office.transaction() as tx:
        assert await tx.fetchval("select count(*) from files") == 0


@stack
async def test_what_opens_no_case_is_kept_from_its_registration(office, key, clock):
    async with await office.signed_in(Role.OPERATOR) as wang:
        praise = (
            await wang.post("/intake/api/complaints", json=complaint(kind="praise"), headers=key())
        ).json()["id"]
        await wang.post("/intake/api/complaints", json=complaint(), headers=key())
    await clock.advance(days=31)

    async with office.transaction() as tx:
        before, caseless = tx.now - timedelta(days=30), {CAMPAIGN: ["praise", "suggestion"]}
        found = await vault.long_settled(tx, before=before, caseless=caseless, batch=9)
        earlier = await vault.long_settled(
            tx, before=before - timedelta(days=2), caseless=caseless, batch=9
        )
        without = await vault.long_settled(tx, before=before, caseless={}, batch=9)
    assert found == [UUID(praise)], "what nobody settled is kept, however old"
    assert earlier == without == []


async def readable(office):
    """Numbers of the complaints of which somebody with all keys and all tables could still read who
    told them.
    """
    async with office.transaction() as tx:
        rows = await tx.fetch(
            "select c.number, v.* from vault v join complaints c on c.id = v.complaint_id"
        )
    found = set()
    for row in rows:
        with suppress(KeyDestroyed):
            office.context.ring.unseal(
                f"{row['complaint_id']}/{row['part']}",
                SealedRecord(row["ciphertext"], row["wrapped_key"], row["key_version"]),
            )
            found.add(row["number"])
    return found
