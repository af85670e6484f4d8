"""转办摘要: nothing leaves intake before a person released it, and never twice."""

import asyncio
from uuid import uuid4

import asyncpg
import msgspec
import pytest

from services.intake.actions.complaints import Registration, register_complaints
from services.intake.actions.progress import record_case_events
from services.intake.actions.summaries import release_summary, save_draft
from services.intake.domain.complaints import NewComplaint
from services.intake.domain.summaries import (
    StaleSummary,
    SummaryEdit,
    SummaryVersion,
    UnconfirmedPii,
)
from services.intake.store import campaigns, summaries
from services.intake.views import releases as views
from services.intake.views.releases import release_panel
from shared.appraisal.errors import Rejected
from shared.appraisal.events import CaseNotAccepted, CaseOpened
from shared.appraisal.labels import ComplaintChannel, ComplaintKind, Role
from shared.appraisal.schemes import load_scheme
from shared.security.policies import Account
from tests.intake.conftest import CAMPAIGN, WORDS, complaint, published

pytestmark = pytest.mark.stack

NAMED = "我叫欧阳晓春，电话 13812345678。" + WORDS
FIRST = SummaryVersion(draft=1, release=0)


async def register(office, *, by=None, at_desk=False, **changes):
    """Register one complaint and return its number."""
    fields = {
        "campaign_id": CAMPAIGN,
        "channel": ComplaintChannel.ONLINE,
        "kind": ComplaintKind.COMPLAINT,
        "unit_id": "tcm",
        "complaint_text": WORDS,
    } | changes
    registration = Registration(complaint=NewComplaint(**fields), by=by, at_desk=at_desk)
    async with office.transaction() as tx:
        [registered] = await register_complaints(tx, [registration])
    assert not isinstance(registered, Rejected), registered
    return registered.number


async def panel_of(office, number, account=None):
    async with office.transaction() as tx:
        return await release_panel(tx, number, account or office.person(Role.REVIEWER))


async def release(office, number, text=WORDS, *, seen=FIRST, by=None, **confirmed):
    edit = SummaryEdit(text=text, seen=seen, confirmed=confirmed)
    async with office.transaction() as tx:
        return await release_summary(
            tx, number=number, edit=edit, by=by or office.person(Role.REVIEWER)
        )


async def queued(office, account=None):
    async with office.transaction() as tx:
        waiting = await views.queue(tx, account or office.person(Role.REVIEWER))
    return [each.row.number for each in waiting]


def other_reviewer(unit_id=None):
    return Account(uuid4(), "qian", "钱审核", Role.REVIEWER, unit_id)


# ── nothing travels before the release ────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", [kind for kind in ComplaintKind if kind != "finding"])
async def test_a_public_complaint_of_every_kind_waits_and_publishes_no_text(office, kind):
    number = await register(office, kind=kind)

    assert await queued(office) == [number]
    [(name, event)] = await office.events()
    assert name == "complaint.registered.v1"
    assert WORDS[:10] not in str(event)
    assert "redacted_summary" not in event


async def test_an_operators_own_summary_at_the_desk_is_released_with_the_ticket(office):
    wang = office.person(Role.OPERATOR)
    number = await register(office, by=wang, at_desk=True, redacted_summary="反映窗口人员玩手机")

    assert await queued(office) == []
    [_, (name, event)] = await office.events()
    assert (name, event["release"], event["redacted_summary"]) == (
        "complaint.summary_released.v1",
        1,
        "反映窗口人员玩手机",
    )
    [stored] = (await panel_of(office, number)).releases
    assert (stored.released_by_name, stored.original_version) == (wang.display_name, 1)


async def test_an_imported_summary_waits_even_if_the_file_brings_one(office):
    number = await register(
        office, by=office.person(Role.OFFICE), redacted_summary="反映窗口人员玩手机"
    )

    assert await queued(office) == [number]
    assert len(await office.events("complaint.summary_released.v1")) == 0


async def test_a_scheme_can_require_the_reviewer_always(office):
    scheme = load_scheme("J", 2026)
    strict = replace_rules(scheme, reviewer_releases=True)
    async with office.transaction() as tx:
        await campaigns.save(tx, changed(published(tx.now), scheme=strict.to_json()), 2)
    office.context.campaigns = campaigns.new_cache()

    number = await register(
        office, by=office.person(Role.OPERATOR), at_desk=True, redacted_summary="反映窗口玩手机"
    )

    assert await queued(office) == [number]


def replace_rules(scheme, **changes):
    rules = msgspec.structs.replace(scheme.case_rules, **changes)
    return msgspec.structs.replace(scheme, case_rules=rules)


def changed(event, **fields):
    return msgspec.structs.replace(event, **fields)


async def test_the_draft_is_sealed_until_its_release(office):
    await register(office, complaint_text="找三楼的慕容雪办证，" + WORDS)

    owner = await asyncpg.connect(office.service.settings.database_url)
    tables = await owner.fetch("select tablename from pg_tables where schemaname = 'intake'")
    for table in tables:
        rows = await owner.fetch(f'select t::text as row from intake."{table["tablename"]}" t')
        assert not [row for row in rows if "慕容雪" in row["row"]], table["tablename"]
    await owner.close()


# ── release ───────────────────────────────────────────────────────────────────────────────────────


async def test_a_release_publishes_exactly_the_text_of_the_reviewer(office):
    number = await register(office, complaint_text=NAMED, name="欧阳晓春", phone="13812345678")
    panel = await panel_of(office, number)
    assert "欧阳晓春" not in panel.draft
    assert {segment.text for segment in panel.original if segment.label} == {
        "欧阳晓春",
        "13812345678",
    }

    await release(office, number, "反映三号窗口人员玩手机")

    assert await queued(office) == []
    [(_, event)] = await office.events("complaint.summary_released.v1")
    assert (event["redacted_summary"], event["release"]) == ("反映三号窗口人员玩手机", 1)
    async with office.transaction() as tx:
        audited = await tx.fetchval(
            "select count(*) from audit where action = 'summary.released' and actor = $1",
            str(office.person(Role.REVIEWER).id),
        )
    assert audited == 1


async def test_personal_data_stays_only_with_a_reason_for_each_kind(office):
    number = await register(office)
    text = "请回电 13812345678"

    with pytest.raises(UnconfirmedPii) as refused:
        await release(office, number, text)
    assert "手机号码" in refused.value.sentence
    with pytest.raises(UnconfirmedPii):
        await release(office, number, text, mobile="要留")
    assert await office.events("complaint.summary_released.v1") == []

    await release(office, number, text, mobile="来件人书面同意公开热线号码")

    [stored] = (await panel_of(office, number)).releases
    assert stored.confirmed == {"mobile": "来件人书面同意公开热线号码"}


async def test_what_the_complainant_withholds_is_marked_and_never_published(office):
    number = await register(
        office,
        complaint_text=WORDS + "当时我带着双胞胎女儿。",
        withhold="双胞胎女儿，不要提孩子",
    )

    panel = await panel_of(office, number)
    assert panel.withhold == "双胞胎女儿，不要提孩子"
    assert "双胞胎女儿" not in panel.draft
    with pytest.raises(UnconfirmedPii):
        await release(office, number, "当时带着双胞胎女儿")


async def test_two_reviewers_never_release_twice(office):
    number = await register(office)
    one, two = office.person(Role.REVIEWER), other_reviewer()

    results = await asyncio.gather(
        release(office, number, "第一位审核的文字", by=one),
        release(office, number, "第二位审核的文字", by=two),
        return_exceptions=True,
    )

    assert sorted(type(result).__name__ for result in results) == [
        "ReleasedSummary",
        "StaleSummary",
    ]
    assert len(await office.events("complaint.summary_released.v1")) == 1


async def test_a_draft_that_another_reviewer_took_over_is_not_overwritten(office):
    number = await register(office)
    one, two = office.person(Role.REVIEWER), other_reviewer()

    async def save(text, by, seen=FIRST):
        async with office.transaction() as tx:
            await save_draft(tx, number=number, text=text, seen=seen, by=by)

    await save("第一稿", one)
    await save("第一稿，改过", one)
    with pytest.raises(StaleSummary):
        await save("另一稿", two)
    with pytest.raises(StaleSummary):
        await release(office, number, "另一稿", by=two)
    panel = await panel_of(office, number)
    assert (panel.draft, panel.seen.draft) == ("第一稿，改过", 2)

    await save("接手的稿", two, seen=panel.seen)
    with pytest.raises(StaleSummary):
        await release(office, number, "第一稿，改过", by=one, seen=panel.seen)


async def test_a_correction_is_a_new_release_and_the_first_one_stays(office):
    number = await register(office)
    await release(office, number, "第一次放行")

    with pytest.raises(StaleSummary):
        await release(office, number, "没有看到第一次", seen=FIRST)
    await release(office, number, "更正后的摘要", seen=SummaryVersion(draft=0, release=1))

    rows = (await panel_of(office, number)).releases
    assert [(row.release, row.redacted_summary) for row in rows] == [
        (2, "更正后的摘要"),
        (1, "第一次放行"),
    ]
    assert [
        event["release"] for _, event in await office.events("complaint.summary_released%")
    ] == [
        1,
        2,
    ]


async def test_a_member_of_the_accused_unit_neither_finds_nor_releases_a_report(office):
    number = await register(office, kind=ComplaintKind.REPORT)
    insider = other_reviewer("tcm")

    assert await queued(office, insider) == []
    assert await panel_of(office, number, insider) is None
    with pytest.raises(Rejected) as refused:
        await release(office, number, by=insider)
    assert refused.value.status == 404


async def test_a_repetition_and_a_refused_case_leave_the_queue(office, key):
    first, repeated = await register(office), await register(office)
    async with await office.signed_in(Role.REVIEWER) as zhang:
        await zhang.post(
            f"/intake/api/complaints/{repeated}/merger", json={"into": first}, headers=key()
        )
    assert await queued(office) == [first]
    with pytest.raises(Rejected, match="已并入"):
        await release(office, repeated)

    async with office.transaction() as tx:
        complaint_id = await tx.fetchval("select id from complaints where number = $1", first)
        case = {
            "occurred_at": tx.now,
            "case_id": uuid4(),
            "number": "ZF2026-000001",
            "campaign_id": CAMPAIGN,
            "unit_id": None,
        }
        opened = CaseOpened(
            **case,
            source="complaint",
            source_id=complaint_id,
            kind=ComplaintKind.COMPLAINT,
            urgency="normal",
            problem_item=None,
            deadlines=(),
        )
        refused = CaseNotAccepted(**case, reason="x", explanation="不属于受理范围")
        await record_case_events(tx, [opened, refused])
    assert await queued(office) == []


# ── pages ─────────────────────────────────────────────────────────────────────────────────────────


def form(**fields):
    return {"idempotency_key": str(uuid4()), **fields}


async def test_the_page_opens_the_oldest_and_the_next_after_the_release(office):
    first, second = await register(office), await register(office)

    async with await office.signed_in(Role.REVIEWER) as zhang:
        opened = await zhang.get("/intake/releases", follow_redirects=True)
        released = await zhang.post(
            f"/intake/releases/{first}",
            data=form(redacted_summary="反映窗口玩手机", draft_version="1", release="0"),
            follow_redirects=True,
        )
        skipped = await zhang.get(f"/intake/releases?after={second}")
    assert opened.url.path == f"/intake/releases/{first}"
    assert WORDS in opened.text
    assert released.url.path == f"/intake/releases/{second}"
    assert skipped.headers["location"] == f"/intake/releases/{second}"


async def test_a_conflict_shows_both_texts(office):
    number = await register(office)
    await release(office, number, "同事已经放行的文字", by=other_reviewer())

    async with await office.signed_in(Role.REVIEWER) as zhang:
        answer = await zhang.post(
            f"/intake/releases/{number}",
            data=form(redacted_summary="我刚写好的文字", draft_version="1", release="0"),
        )

    assert answer.status_code == 409
    assert "同事已经放行的文字" in answer.text
    assert "我刚写好的文字" in answer.text


async def test_personal_data_is_marked_and_asked_about_on_the_page(office):
    number = await register(office)

    async with await office.signed_in(Role.REVIEWER) as zhang:
        answer = await zhang.post(
            f"/intake/releases/{number}",
            data=form(redacted_summary="回电 13812345678", draft_version="1", release="0"),
        )
        marks = await zhang.post(
            f"/intake/releases/{number}/marks", data=form(redacted_summary="回电 13812345678")
        )
        released = await zhang.post(
            f"/intake/releases/{number}",
            data=form(
                redacted_summary="回电 13812345678",
                draft_version="1",
                release="0",
                **{"reason[mobile]": "公开的投诉电话"},
            ),
        )

    assert answer.status_code == 422
    assert 'name="reason[mobile]"' in answer.text
    assert "<mark" in marks.text
    assert released.status_code == 303


async def test_a_draft_is_saved_with_and_without_a_script(office):
    number = await register(office)
    fields = {"redacted_summary": "写到一半", "draft_version": "1", "release": "0"}

    async with await office.signed_in(Role.REVIEWER) as zhang:
        url = f"/intake/releases/{number}/draft"
        scripted = await zhang.post(url, data=fields, headers={"accept": "text/plain"})
        plain = await zhang.post(url, data=form(**fields))
        page = await zhang.get(f"/intake/releases/{number}")

    assert "草稿已保存" in scripted.text
    assert plain.status_code == 303
    assert "写到一半" in page.text


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.REVIEWER])
async def test_only_reviewers_see_the_queue(office, role):
    number = await register(office)
    async with await office.signed_in(role) as somebody:
        answers = [
            await somebody.get("/intake/releases"),
            await somebody.get(f"/intake/releases/{number}"),
            await somebody.get("/intake/api/releases"),
            await somebody.get(f"/intake/api/releases/{number}"),
        ]
    assert {answer.status_code for answer in answers} == {403}


async def test_a_program_releases_through_the_api(office, key):
    async with await office.signed_in(Role.OPERATOR) as wang:
        number = (
            await wang.post("/intake/api/complaints", json=complaint(), headers=key())
        ).json()["number"]
    async with await office.signed_in(Role.REVIEWER) as zhang:
        [waiting] = (await zhang.get("/intake/api/releases")).json()
        draft = (await zhang.get(f"/intake/api/releases/{number}")).json()
        body = {name: draft[name] for name in ("redacted_summary", "draft_version", "release")}
        released = await zhang.post(f"/intake/api/releases/{number}", json=body, headers=key())
        again = await zhang.post(f"/intake/api/releases/{number}", json=body, headers=key())

    assert waiting["number"] == number
    assert (released.status_code, released.json()["release"]) == (201, 1)
    assert again.status_code == 409


async def test_a_kind_without_a_case_needs_no_release(office):
    scheme = load_scheme("J", 2026)
    caseless = replace_rules(scheme, no_case=(ComplaintKind.PRAISE,))
    async with office.transaction() as tx:
        await campaigns.save(tx, changed(published(tx.now), scheme=caseless.to_json()), 2)
    office.context.campaigns = campaigns.new_cache()

    number = await register(office, kind=ComplaintKind.PRAISE)

    assert await queued(office) == []
    async with office.transaction() as tx:
        assert await summaries.last_release(tx, (await _id(tx, number))) == 0


async def _id(tx, number):
    return await tx.fetchval("select id from complaints where number = $1", number)
