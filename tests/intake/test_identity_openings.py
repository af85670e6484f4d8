"""A complainant's identity is opened by two people: requested, approved, shown once, counted."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest

from services.intake.actions.identities import open_identity, request_opening
from services.intake.domain.identity_openings import OpeningPurpose
from services.intake.store import accounts
from services.intake.views.progress import query_code_of
from shared.appraisal.errors import Rejected
from shared.appraisal.labels import Role
from shared.foundation import telemetry
from shared.foundation.failpoints import FailpointError, failpoint
from shared.security.approvals import approve
from shared.security.policies import Account
from tests.conftest import on_server
from tests.intake.conftest import APPROVAL_KINDS, complaint

pytestmark = pytest.mark.stack
REASON = "来件人称还有录音材料，需电话约定提交方式"
PHONE = "13812345678"
IDENTITY = {"name": "欧阳晓春", "phone": PHONE, "address": "长春市人民大街 1 号 2 单元"}


async def registered(office: Any, **changes: Any) -> str:
    async with await office.signed_in(Role.OPERATOR) as wang:
        answer = await wang.post(
            "/intake/api/complaints",
            json=complaint(**changes),
            headers={"idempotency-key": str(uuid4())},
        )
    assert answer.status_code == 201, answer.text
    return str(answer.json()["number"])


async def requested(office: Any, number: str, *, by: Account, reason: str = REASON) -> UUID:
    async with office.transaction() as tx:
        return await request_opening(
            tx, number=number, purpose=OpeningPurpose.CALL_BACK, reason=reason, by=by
        )


async def opened(office: Any, number: str, by: Account) -> dict[str, str]:
    identity = await open_identity(office.transaction, number=number, by=by)
    return identity.fields


async def actions(office: Any) -> list[str]:
    async with office.transaction() as tx:
        rows = await tx.fetch("select action from audit where action like 'identity.%' order by id")
    return [row["action"] for row in rows]


async def second_reviewer(
    office: Any, name: str = "shenhe2", display_name: str = "周立"
) -> Account:
    account = Account(id=uuid4(), name=name, display_name=display_name, role=Role.REVIEWER)
    async with office.transaction() as tx:
        assert await accounts.add(tx, account, "no password")
        tx.audit("account.created", account.id, "system")
    return account


async def test_identity_is_opened_once_after_the_custodian_approved(office):
    number = await registered(office)
    reviewer = office.person(Role.REVIEWER)
    with pytest.raises(Rejected, match="须先由身份保管员批准") as error:
        await opened(office, number, reviewer)
    assert error.value.status == 403
    approval_id = await requested(office, number, by=reviewer)
    with pytest.raises(Rejected):
        await opened(office, number, reviewer)

    await office.approve(approval_id, Role.CUSTODIAN)

    assert await opened(office, number, reviewer) == IDENTITY
    with pytest.raises(Rejected):
        await opened(office, number, reviewer)
    assert await actions(office) == ["identity.opening_granted", "identity.opened"]


async def test_nobody_but_the_custodian_approves(office):
    number = await registered(office)
    approval_id = await requested(office, number, by=office.person(Role.SUPERVISOR))

    for role in set(Role) - {Role.CUSTODIAN}:
        stranger = Account(id=uuid4(), name="somebody", display_name="某人", role=role)
        with pytest.raises(Rejected) as error:
            async with office.transaction() as tx:
                await approve(tx, APPROVAL_KINDS, approval_id, by=stranger)
        assert error.value.status == 404, "not even that there is a request"


async def test_approval_is_for_the_requester_and_this_complaint_only(office):
    number, other = await registered(office), await registered(office)
    reviewer, colleague = office.person(Role.REVIEWER), await second_reviewer(office)
    await office.approve(await requested(office, number, by=reviewer), Role.CUSTODIAN)

    for by, wanted in ((colleague, number), (reviewer, other)):
        with pytest.raises(Rejected):
            await opened(office, wanted, by)


async def test_approval_is_void_after_eight_hours(office, clock):
    number = await registered(office)
    reviewer = office.person(Role.REVIEWER)
    await office.approve(await requested(office, number, by=reviewer), Role.CUSTODIAN)
    await clock.advance(hours=8, seconds=1)

    with pytest.raises(Rejected):
        await opened(office, number, reviewer)


async def test_concurrent_openings_of_one_approval_show_the_identity_once(office):
    number = await registered(office)
    reviewer = office.person(Role.REVIEWER)
    await office.approve(await requested(office, number, by=reviewer), Role.CUSTODIAN)

    outcomes = await asyncio.gather(
        *[opened(office, number, reviewer) for _ in range(8)], return_exceptions=True
    )

    assert [outcome for outcome in outcomes if isinstance(outcome, dict)] == [IDENTITY]


async def test_audit_entry_exists_when_the_process_dies_before_the_answer(office, monkeypatch):
    number = await registered(office)
    reviewer = office.person(Role.REVIEWER)
    await office.approve(await requested(office, number, by=reviewer), Role.CUSTODIAN)

    def die() -> None:
        raise FailpointError("identity.after_audit")

    monkeypatch.setitem(failpoint.armed, "identity.after_audit", die)
    with pytest.raises(FailpointError):
        await opened(office, number, reviewer)

    assert await actions(office) == ["identity.opening_granted", "identity.opened"]


async def test_nothing_is_shown_if_the_audit_entry_fails(office):
    number = await registered(office)
    reviewer = office.person(Role.REVIEWER)
    await office.approve(await requested(office, number, by=reviewer), Role.CUSTODIAN)
    url = office.service.settings.database_url
    await on_server(url, "alter table intake.audit rename to audit_gone")

    async with await office.signed_in(Role.REVIEWER) as zhang:
        answer = await zhang.post(f"/intake/tickets/{number}/identity", data=form())

    assert answer.status_code >= 500
    assert PHONE not in answer.text


def form(**fields: str) -> dict[str, str]:
    return {"idempotency_key": str(uuid4()), **fields}


# ── limits per hour ───────────────────────────────────────────────────────────────────────────────


async def many_openings(office: Any, count: int, by: Account) -> list[str]:
    """Register complaints and have the opening of their identities approved; return numbers."""
    numbers = [await registered(office) for _ in range(count)]
    for n, number in enumerate(numbers):
        reason = f"第{n}位来件人提交的材料缺页，需电话联系补交"
        await office.approve(await requested(office, number, by=by, reason=reason), Role.CUSTODIAN)
    return numbers


async def test_eleventh_opening_in_an_hour_is_stopped_and_alerts(office, clock):
    reviewer = office.person(Role.REVIEWER)
    numbers = await many_openings(office, 11, reviewer)
    counter = telemetry.identity_openings_limited.labels("account")
    before = counter._value.get()
    for number in numbers[:10]:
        assert await opened(office, number, reviewer) == IDENTITY

    with pytest.raises(Rejected, match="已达上限") as error:
        await opened(office, numbers[10], reviewer)

    assert error.value.status == 429
    assert counter._value.get() == before + 1
    assert (await actions(office))[-1] == "identity.opening_limited"
    await clock.advance(hours=1, seconds=1)
    assert await opened(office, numbers[10], reviewer) == IDENTITY


async def test_installation_has_a_limit_too(office):
    office.context.settings.identity_openings_per_hour_in_total = 3
    reviewer, colleague = office.person(Role.REVIEWER), await second_reviewer(office)
    for number in await many_openings(office, 3, reviewer):
        await opened(office, number, reviewer)
    [number] = await many_openings(office, 1, colleague)

    with pytest.raises(Rejected, match="已达上限"):
        await opened(office, number, colleague)


async def test_concurrent_openings_do_not_pass_the_limit(office):
    office.context.settings.identity_openings_per_hour = 2
    reviewer = office.person(Role.REVIEWER)
    numbers = await many_openings(office, 6, reviewer)

    outcomes = await asyncio.gather(
        *[opened(office, number, reviewer) for number in numbers], return_exceptions=True
    )

    assert sum(isinstance(outcome, dict) for outcome in outcomes) == 2


# ── pages ─────────────────────────────────────────────────────────────────────────────────────────


async def test_request_approval_and_opening_on_pages(office):
    number = await registered(office)
    async with await office.signed_in(Role.REVIEWER) as zhang:
        wanted = form(purpose="call_back", reason=REASON)
        sent = await zhang.post(f"/intake/tickets/{number}/identity-openings", data=wanted)
        waiting = await zhang.get(f"/intake/tickets/{number}")
    assert (sent.status_code, sent.headers["location"]) == (303, f"/intake/tickets/{number}")
    assert "等待身份保管员批准" in waiting.text
    async with await office.signed_in(Role.CUSTODIAN) as zhou:
        badge = await zhou.get("/intake/dual-approvals/waiting")
        listed = await zhou.get("/intake/dual-approvals")
        [approval] = (await zhou.get("/intake/api/dual-approvals")).json()["approvals"]
        url = f"/intake/dual-approvals/{approval['id']}"
        page = await zhou.get(url)
        approved = await zhou.post(f"{url}/approval", data=form())
    assert badge.text == "1"
    assert number in listed.text
    assert REASON in page.text
    assert "电话回访" in page.text
    assert PHONE not in page.text
    assert (approved.status_code, approved.headers["location"]) == (303, url)
    async with await office.signed_in(Role.REVIEWER) as zhang:
        ticket = await zhang.get(f"/intake/tickets/{number}")
        shown = await zhang.post(f"/intake/tickets/{number}/identity", data=form())
        again = await zhang.post(f"/intake/tickets/{number}/identity", data=form())
    assert "打开来件人身份" in ticket.text
    assert PHONE not in ticket.text
    assert PHONE in shown.text
    assert "张立" in shown.text
    assert shown.headers["refresh"].startswith("60;")
    assert "no-store" in shown.headers["cache-control"]
    assert (again.status_code, PHONE in again.text) == (403, False)


async def test_placeholder_of_a_reason_is_rejected_on_the_page(office):
    number = await registered(office)
    async with await office.signed_in(Role.REVIEWER) as zhang:
        answer = await zhang.post(
            f"/intake/tickets/{number}/identity-openings",
            data=form(purpose="call_back", reason="工作需要"),
        )
    assert answer.status_code == 422
    assert "请写明具体理由" in answer.text
    assert "工作需要" in answer.text


async def test_custodian_refuses_with_a_reason_that_the_requester_reads(office):
    number = await registered(office)
    approval_id = await requested(office, number, by=office.person(Role.REVIEWER))
    url = f"/intake/dual-approvals/{approval_id}"
    async with await office.signed_in(Role.CUSTODIAN) as zhou:
        empty = await zhou.post(f"{url}/refusal", data=form(reason=""))
        refused = await zhou.post(
            f"{url}/refusal", data=form(reason="材料可以由来件人网上补交，不必打电话")
        )
    async with await office.signed_in(Role.REVIEWER) as zhang:
        seen = await zhang.get(url)
    async with await office.signed_in(Role.SUPERVISOR) as other:
        hidden = await other.get(url)
    assert (empty.status_code, refused.status_code) == (422, 303)
    assert "不必打电话" in seen.text
    assert hidden.status_code == 404


async def test_complainant_sees_day_and_purpose_and_no_name(office, clock, noon):
    await clock.set(noon)
    number = await registered(office)
    reviewer = office.person(Role.REVIEWER)
    async with office.transaction() as tx:
        complaint_id = await tx.fetchval("select id from complaints where number = $1", number)
    query = {"number": number, "code": query_code_of(office.context.ring, complaint_id)}
    async with office.client() as public:
        before = await public.post("/p/query", data=query)
    await office.approve(await requested(office, number, by=reviewer), Role.CUSTODIAN)
    await opened(office, number, reviewer)

    async with office.client() as public:
        after = await public.post("/p/query", data=query)

    assert "没有人打开过您的姓名" in before.text
    assert "2026-11-20，因“电话回访”" in after.text
    for hidden in (reviewer.display_name, office.person(Role.CUSTODIAN).display_name, REASON):
        assert hidden not in after.text


async def test_erased_identity_cannot_be_requested(office):
    number = await registered(office, identity="anonymous", name="", phone="", address="")
    with pytest.raises(Rejected, match="没有留下联系方式"):
        await requested(office, number, by=office.person(Role.REVIEWER))


async def test_identity_erased_after_the_request_is_not_granted(office):
    number = await registered(office)
    approval_id = await requested(office, number, by=office.person(Role.REVIEWER))
    async with office.transaction() as tx:
        complaint_id = await tx.fetchval(
            "update vault set wrapped_key = null returning complaint_id"
        )
        tx.audit("complainant.data_erased", complaint_id, "system")

    with pytest.raises(Rejected, match="已按保存期限销毁"):
        await office.approve(approval_id, Role.CUSTODIAN)
