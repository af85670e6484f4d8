"""Two people for consequential acts: no effect without another person, at most once."""

import asyncio
import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import msgspec
import pytest

from shared.appraisal.errors import Rejected
from shared.appraisal.labels import Role
from shared.security.approvals import (
    ApprovalKind,
    ApprovalKinds,
    ApprovalState,
    Fact,
    NewRequest,
    approve,
    check_reason,
    expire_overdue,
    refuse,
    request_approval,
    store,
    withdraw,
)
from shared.security.approvals.views import approval_line, approval_lists, waiting_for
from shared.security.policies import Account
from shared.storage.connections import Database

stack = pytest.mark.stack
REASON = "上级复核发现权重录入有误，需要更正"
OTHER_REASON = "单位来函说明情况，经核对应予调整"


class Weight(msgspec.Struct, frozen=True):
    """A new weight."""

    value: int


class WeightChange(ApprovalKind[Weight]):
    """Changes the weight of a unit, kept in the table `weights`."""

    key = "weight"
    label = "调整权重"
    requesters = frozenset({Role.OFFICE, Role.LEADER})
    approvers = frozenset({Role.LEADER})
    audited = ("value",)
    payload_type = Weight

    async def basis(self, tx, subject, payload):
        value = await tx.fetchval("select value from weights where unit = $1 for update", subject)
        if value is None:
            raise Rejected("没有这个单位", status=404)
        return str(value)

    async def facts(self, tx, subject, payload):
        return [Fact("单位", subject), Fact("新权重", str(payload.value))]

    async def apply(self, tx, granted):
        await tx.run(
            "update weights set value = $2, changes = changes + 1 where unit = $1",
            granted.approval.subject,
            granted.payload.value,
        )

    def concerned(self, subject, payload):
        return (str(CONCERNED.id),)


def person(name: str, role: Role) -> Account:
    return Account(id=uuid4(), name=name, display_name=name, role=role)


CHEN = person("陈静", Role.OFFICE)
ZHAO = person("赵刚", Role.LEADER)
QIAN = person("钱明", Role.LEADER)
CONCERNED = person("孙洁", Role.LEADER)
CHEN_AGAIN = Account(id=uuid4(), name="chen2", display_name="陈 静", role=Role.LEADER)
KIND = WeightChange()
KINDS = ApprovalKinds(KIND)


@dataclass
class Desk:
    """A service with the table `weights` and nothing else."""

    database: Database
    clock: Any

    async def request(
        self, value: int = 30, *, by: Account | None = CHEN, reason: str = REASON
    ) -> UUID:
        async with self.database.transaction() as tx:
            wanted = NewRequest(subject="tax", payload=Weight(value), reason=reason)
            return await request_approval(tx, KIND, wanted, by=by)

    async def approve(self, approval_id: UUID, by: Account = ZHAO) -> None:
        async with self.database.transaction() as tx:
            await approve(tx, KINDS, approval_id, by=by)

    async def set_weight(self, value: int) -> None:
        async with self.database.transaction() as tx:
            await tx.run("update weights set value = $1 where unit = 'tax'", value)

    async def weight(self) -> tuple[int, int]:
        """Return the weight and how often approvals changed it."""
        async with self.database.transaction() as tx:
            row = await tx.fetchrow("select value, changes from weights where unit = 'tax'")
        return row["value"], row["changes"]

    async def state(self, approval_id: UUID) -> ApprovalState:
        async with self.database.transaction() as tx:
            found = await store.find(tx, approval_id)
        assert found is not None
        return found.state

    async def entries(self) -> list[tuple[str, str]]:
        async with self.database.transaction() as tx:
            rows = await tx.fetch("select action, actor from audit order by id")
        return [(row["action"], row["actor"]) for row in rows]


@pytest.fixture
async def desk(core, servers) -> Any:
    from tests.conftest import VirtualClock

    settings, open_schema = core
    database = await open_schema("scoring")
    async with database.transaction() as tx:
        await tx.run(
            "create table weights (unit text primary key, value integer, changes integer default 0)"
        )
        await tx.run("insert into weights values ('tax', 20)")
    return Desk(database, VirtualClock(settings.database_url))


# ── reasons ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("reason", "says"),
    [
        ("", "至少 10 个字"),
        ("工作需要", "至少 10 个字"),
        ("。。。。。。。。。。。。。。", "至少 10 个字"),
        ("啊啊啊啊啊啊啊啊啊啊啊啊", "不要重复"),
        ("工作需要工作需要工作需要", "不要重复"),
        ("1212121212121212", "不要重复"),
        (REASON, "与您上一次"),
        (REASON.replace("，", " ") + "。", "与您上一次"),
        (REASON + "说明" * 300, "最多"),
    ],
    ids=["empty", "short", "marks", "letter", "word", "digits", "copy", "copy-marks", "long"],
)
def test_placeholder_is_no_reason(reason, says):
    with pytest.raises(Rejected, match=says) as error:
        check_reason(reason, previous=REASON)
    assert (error.value.status, error.value.field) == (422, "reason")


def test_reason_of_its_own_is_accepted():
    check_reason(OTHER_REASON, previous=REASON)


# ── one request, another person ───────────────────────────────────────────────────────────────────


@stack
async def test_nothing_happens_until_another_person_approves(desk):
    approval_id = await desk.request()
    assert await desk.weight() == (20, 0)

    await desk.approve(approval_id)

    assert await desk.weight() == (30, 1)
    assert await desk.state(approval_id) is ApprovalState.APPROVED
    assert await desk.entries() == [
        ("approval.requested", str(CHEN.id)),
        ("approval.approved", str(ZHAO.id)),
    ]


@stack
@pytest.mark.parametrize(
    ("requester", "approver", "says", "status"),
    [
        (ZHAO, ZHAO, "不能审批自己", 403),
        (CHEN, CHEN, "没有审批", 403),
        (CHEN, person("李涛", Role.OFFICE), "没有这项申请", 404),
        (CHEN, CHEN_AGAIN, "属于同一人", 403),
        (CHEN, CONCERNED, "涉及您本人", 403),
    ],
    ids=["requester", "requester-role", "role", "same-name", "concerned"],
)
async def test_nobody_else_may_approve(desk, requester, approver, says, status):
    approval_id = await desk.request(by=requester)

    with pytest.raises(Rejected, match=says) as error:
        await desk.approve(approval_id, by=approver)

    assert error.value.status == status
    assert await desk.weight() == (20, 0)
    async with desk.database.transaction() as tx:
        assert await waiting_for(tx, KINDS, approver) == []


@stack
async def test_role_that_may_not_request_is_rejected(desk):
    with pytest.raises(Rejected, match="没有申请"):
        await desk.request(by=person("王敏", Role.OPERATOR))
    assert await desk.entries() == []


@stack
async def test_request_of_the_command_line_needs_one_person_with_an_account(desk):
    await desk.approve(await desk.request(by=None))

    assert await desk.weight() == (30, 1)


@stack
async def test_same_request_is_not_made_twice(desk):
    await desk.request()
    with pytest.raises(Rejected, match="正在等待审批"):
        await desk.request(31, reason=OTHER_REASON)


@stack
async def test_reason_of_a_refused_request_is_not_repeated(desk):
    approval_id = await desk.request()
    async with desk.database.transaction() as tx:
        await refuse(tx, KINDS, approval_id, reason="依据不足，请附上复核文件", by=ZHAO)

    with pytest.raises(Rejected, match="与您上一次"):
        await desk.request()
    assert await desk.weight() == (20, 0)


@stack
async def test_request_that_was_withdrawn_may_be_made_again(desk):
    approval_id = await desk.request()
    async with desk.database.transaction() as tx:
        with pytest.raises(Rejected) as error:
            await withdraw(tx, approval_id, by=ZHAO)
        assert error.value.status == 404
        await withdraw(tx, approval_id, by=CHEN)

    await desk.approve(await desk.request())

    assert await desk.weight() == (30, 1)


@stack
async def test_change_after_the_request_stops_the_approval(desk):
    approval_id = await desk.request()
    await desk.set_weight(25)

    with pytest.raises(Rejected, match="情况已经变化"):
        await desk.approve(approval_id)

    assert await desk.weight() == (25, 0)


@stack
async def test_request_expires(desk):
    approval_id = await desk.request()
    await desk.clock.advance(days=3, seconds=1)

    with pytest.raises(Rejected, match="逾期失效"):
        await desk.approve(approval_id)
    async with desk.database.transaction() as tx:
        assert await waiting_for(tx, KINDS, ZHAO) == []
        assert await expire_overdue(tx) is False

    assert await desk.weight() == (20, 0)
    assert await desk.state(approval_id) is ApprovalState.EXPIRED
    assert ("approval.expired", "system") in await desk.entries()


@stack
async def test_request_that_is_not_due_does_not_expire(desk):
    approval_id = await desk.request()
    await desk.clock.advance(days=2)
    async with desk.database.transaction() as tx:
        await expire_overdue(tx)

    await desk.approve(approval_id)

    assert await desk.weight() == (30, 1)


@stack
async def test_effect_that_fails_leaves_the_request_undecided(desk, monkeypatch):
    approval_id = await desk.request()

    async def fail(tx, granted):
        await tx.run("update weights set value = 99")
        raise Rejected("计算失败")

    monkeypatch.setattr(KIND, "apply", fail)
    with pytest.raises(Rejected, match="计算失败"):
        await desk.approve(approval_id)

    assert await desk.weight() == (20, 0)
    assert await desk.state(approval_id) is ApprovalState.PENDING


@stack
async def test_concurrent_approvals_take_effect_once(desk):
    # The weight stays 20, so that nothing but the request tells the second approval from the first.
    approval_id = await desk.request(20)

    outcomes = await asyncio.gather(
        *[desk.approve(approval_id, by=each) for each in [ZHAO, QIAN] * 5], return_exceptions=True
    )

    assert await desk.weight() == (20, 1)
    assert sum(outcome is None for outcome in outcomes) == 1
    assert all(outcome is None or isinstance(outcome, Rejected) for outcome in outcomes)


@stack
async def test_database_refuses_to_change_a_decision(desk):
    approval_id = await desk.request()
    for tampering in (
        "update approvals set payload = '{\"value\": 99}'",
        "update approvals set requested_by = 'somebody'",
        "update approvals set state = 'approved', payload = null, decided_at = now(), "
        "decided_by = requested_by, decider_name = requester_name",
        "delete from approvals",
    ):
        with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.CheckViolationError)):
            async with desk.database.transaction() as tx:
                await tx.run(tampering)
    await desk.approve(approval_id)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with desk.database.transaction() as tx:
            await tx.run("update approvals set decided_by = 'somebody'")


@stack
async def test_decision_drops_the_payload_and_keeps_what_was_decided(desk):
    approval_id = await desk.request()
    await desk.approve(approval_id)

    async with desk.database.transaction() as tx:
        kept = await store.find(tx, approval_id)
        details = await tx.fetchval(
            "select details::text from audit where actor = $1", str(CHEN.id)
        )

    assert kept is not None
    assert kept.payload is None
    assert [fact.text for fact in kept.facts] == ["tax", "30"]
    assert json.loads(details) == {
        "request": str(approval_id),
        "kind": "weight",
        "reason": REASON,
        "value": 30,
    }


@stack
async def test_each_person_sees_what_concerns_them(desk):
    approval_id = await desk.request()
    colleague = person("李涛", Role.OFFICE)

    async with desk.database.transaction() as tx:
        mine = await approval_lists(tx, KINDS, CHEN)
        theirs = await approval_lists(tx, KINDS, ZHAO)
        others = await approval_lists(tx, KINDS, colleague)
        hidden = await approval_line(tx, KINDS, approval_id, colleague)

    assert [line.approval.id for line in mine.own] == [approval_id]
    assert [line.approval.id for line in theirs.waiting] == [approval_id]
    assert (mine.waiting, theirs.own, others.waiting, others.own) == ([], [], [], [])
    assert hidden is None
    assert theirs.waiting[0].may_decide
    assert not mine.own[0].may_decide


# ── any history ───────────────────────────────────────────────────────────────────────────────────

PEOPLE = [CHEN, ZHAO, QIAN, CONCERNED, CHEN_AGAIN]


@stack
@pytest.mark.parametrize("seed", range(3))
async def test_no_history_has_an_effect_without_another_person(desk, seed):
    """Random requests, decisions, changes and pauses, against a model of what may take effect."""
    import random

    rng = random.Random(seed)
    open_requests: dict[UUID, tuple[Account, int, int, Any]] = {}
    value, changes = 20, 0
    for step in range(60):
        now = await desk.clock.now()
        act = rng.choice(["request", "approve", "approve", "approve", "withdraw", "change", "wait"])
        by = rng.choice(PEOPLE)
        known = rng.choice(list(open_requests)) if open_requests else uuid4()
        if act == "request":
            new = rng.randint(1, 99)
            try:
                reason = f"第{step}次核对发现数据有误，改为{new}"
                approval_id = await desk.request(new, by=by, reason=reason)
                open_requests[approval_id] = (by, new, value, now)
            except Rejected:
                continue
        if act == "approve":
            requester, new, before, at = open_requests.get(known, (by, 0, 0, now))
            may = (
                known in open_requests
                and by in (ZHAO, QIAN, CHEN_AGAIN)
                and by.id != requester.id
                and {by.display_name, requester.display_name} != {"陈静", "陈 静"}
                and before == value
                and now < at + timedelta(days=3)
            )
            try:
                await desk.approve(known, by=by)
                assert may, (step, by.name)
                del open_requests[known]
                value, changes = new, changes + 1
            except Rejected:
                assert not may, (step, by.name)
        if act == "withdraw" and known in open_requests:
            try:
                async with desk.database.transaction() as tx:
                    await withdraw(tx, known, by=by)
                del open_requests[known]
            except Rejected:
                pass
        if act == "change":
            value = rng.randint(1, 99)
            await desk.set_weight(value)
        if act == "wait":
            await desk.clock.advance(hours=rng.randint(1, 30))
        assert await desk.weight() == (value, changes)
