"""Rights of a privileged role are given and restored by two people, and taken away by one."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from services.intake.actions.account_requests import (
    AccountChange,
    may_create_alone,
    may_restore_alone,
    needs_second_person,
    request_change,
    request_creation,
    request_second_factor_reset,
)
from services.intake.domain.privileged_accounts import is_privileged
from services.intake.store import accounts
from shared.appraisal.errors import Rejected
from shared.appraisal.labels import Role
from shared.security.approvals import approve
from shared.security.passwords import NewPassword
from shared.security.policies import Account
from tests.intake.conftest import APPROVAL_KINDS, PASSWORD

pytestmark = pytest.mark.stack
REASON = "新任受理审核人员到岗，任命文件已核对"
NEW = {"name": "xinren", "display_name": "新任", "role": "reviewer", "password": PASSWORD}


async def role_of(office: Any, name: str) -> Role | None:
    async with office.transaction() as tx:
        known = await accounts.find_by_name(tx, name)
    return known.account.role if known and not known.disabled else None


async def another(office: Any, role: Role, name: str, display_name: str) -> Account:
    account = Account(id=uuid4(), name=name, display_name=display_name, role=role)
    async with office.transaction() as tx:
        assert await accounts.add(tx, account, "no password")
        tx.audit("account.created", account.id, "tests")
    return account


async def test_privileged_roles_are_those_with_rights_of_their_own() -> None:
    assert {role for role in Role if not is_privileged(role)} == {
        Role.OPERATOR,
        Role.HANDLER,
        Role.UNIT_HEAD,
        Role.INSPECTOR,
    }


async def test_privileged_account_exists_once_a_second_person_agreed(office, key):
    async with await office.signed_in(Role.ADMIN) as admin:
        without = await admin.post("/intake/api/accounts", json=NEW, headers=key())
        asked = await admin.post(
            "/intake/api/accounts", json=NEW | {"reason": REASON}, headers=key()
        )
    assert (without.status_code, asked.status_code) == (422, 202)
    assert await role_of(office, "xinren") is None
    approval_id = UUID(asked.json()["approval_id"])
    with pytest.raises(Rejected):
        await office.approve(approval_id, Role.ADMIN)

    await office.approve(approval_id, Role.LEADER)

    assert await role_of(office, "xinren") is Role.REVIEWER
    async with office.client() as client:
        signed_in = await client.post(
            "/intake/api/sessions", json={"name": "xinren", "password": PASSWORD}
        )
    assert signed_in.status_code == 201


async def test_operator_is_created_by_one_person(office, key):
    async with await office.signed_in(Role.ADMIN) as admin:
        made = await admin.post(
            "/intake/api/accounts", json=NEW | {"role": "operator"}, headers=key()
        )
    assert made.status_code == 201
    assert await role_of(office, "xinren") is Role.OPERATOR


async def test_role_is_raised_by_two_people_and_lowered_by_one(office, key):
    operator = office.person(Role.OPERATOR)
    url = f"/intake/accounts/{operator.id}"
    raised = {"display_name": operator.display_name, "role": "admin", "reason": REASON}
    async with await office.signed_in(Role.ADMIN) as admin:
        vague = await admin.post(url, data=raised | {"reason": "工作需要"}, headers=key())
        asked = await admin.post(url, data=raised, headers=key())
    assert vague.status_code == 422
    assert "请写明具体理由" in vague.text
    page = asked.headers["location"]
    assert await role_of(office, "zuoxi") is Role.OPERATOR
    async with await office.signed_in(Role.LEADER) as leader:
        assert "王敏" in (await leader.get(page)).text
        assert (await leader.post(f"{page}/approval", headers=key())).status_code == 303
    assert await role_of(office, "zuoxi") is Role.ADMIN

    async with await office.signed_in(Role.ADMIN) as admin:
        lowered = {"display_name": operator.display_name, "role": "operator"}
        assert (await admin.post(url, data=lowered, headers=key())).status_code == 303
    assert await role_of(office, "zuoxi") is Role.OPERATOR


async def test_nobody_approves_their_own_promotion_or_asks_for_it(office):
    admin, leader = office.person(Role.ADMIN), office.person(Role.LEADER)
    promotion = AccountChange(
        role=Role.ADMIN, unit_id=None, display_name=leader.display_name, disabled=False
    )
    async with office.transaction() as tx:
        approval_id = await request_change(tx, leader.id, promotion, reason=REASON, by=admin)
    with pytest.raises(Rejected, match="涉及您本人"):
        await office.approve(approval_id, Role.LEADER)
    own = AccountChange(
        role=Role.LEADER, unit_id=None, display_name=admin.display_name, disabled=False
    )
    with pytest.raises(Rejected, match="自己的账号"):
        async with office.transaction() as tx:
            await request_change(tx, admin.id, own, reason=REASON, by=admin)


async def test_two_accounts_of_one_name_are_one_person(office):
    admin = office.person(Role.ADMIN)
    double = await another(office, Role.ADMIN, "guanli2", admin.display_name)
    async with office.transaction() as tx:
        approval_id = await request_creation(
            tx, **creation(await NewPassword.of(PASSWORD)), reason=REASON, by=admin
        )
    with pytest.raises(Rejected, match="属于同一人"):
        async with office.transaction() as tx:
            await approve(tx, APPROVAL_KINDS, approval_id, by=double)
    assert await role_of(office, "xinren") is None


def creation(password: NewPassword) -> dict[str, Any]:
    return {
        "name": "xinren",
        "display_name": "新任",
        "role": Role.REVIEWER,
        "unit_id": None,
        "password": password,
    }


async def test_disabling_waits_for_nobody_and_enabling_does(office):
    reviewer = office.person(Role.REVIEWER)
    enabled = AccountChange(
        role=Role.REVIEWER, unit_id=None, display_name=reviewer.display_name, disabled=False
    )
    disabled = AccountChange(
        role=Role.REVIEWER, unit_id=None, display_name=reviewer.display_name, disabled=True
    )
    renamed = AccountChange(role=Role.REVIEWER, unit_id=None, display_name="他人", disabled=False)
    async with office.transaction() as tx:
        assert not await needs_second_person(tx, reviewer.id, disabled)
        assert not await needs_second_person(tx, reviewer.id, enabled)
        assert await needs_second_person(tx, reviewer.id, renamed)
        await accounts.update(tx, reviewer, disabled=True)
        tx.audit("account.disabled", reviewer.id, "tests")
        assert await needs_second_person(tx, reviewer.id, enabled)


async def test_password_of_a_privileged_account_is_reset_by_two_people(office, key):
    reviewer = office.person(Role.REVIEWER)
    new = "另一个长长的口令用来测试"
    async with await office.signed_in(Role.ADMIN) as admin:
        asked = await admin.post(
            f"/intake/api/accounts/{reviewer.id}/password",
            json={"password": new, "reason": "本人忘记密码，已当面核实身份"},
            headers=key(),
        )
    assert asked.status_code == 202

    async def sign_in() -> int:
        async with office.client() as client:
            answer = await client.post(
                "/intake/api/sessions", json={"name": "shenhe", "password": new}
            )
        return int(answer.status_code)

    assert await sign_in() == 401
    await office.approve(UUID(asked.json()["approval_id"]), Role.LEADER)
    assert await sign_in() == 201
    async with office.transaction() as tx:
        details = await tx.fetch("select details::text as details from audit")
        kept = await tx.fetchval("select payload from approvals")
    assert not any("argon2" in row["details"] for row in details)
    assert kept is None


# ── the command line ──────────────────────────────────────────────────────────────────────────────


async def test_command_line_acts_alone_only_until_somebody_could_agree(office):
    admin, leader = office.person(Role.ADMIN), office.person(Role.LEADER)
    async with office.transaction() as tx:
        assert not await may_create_alone(tx, Role.ADMIN)
        assert await may_create_alone(tx, Role.OPERATOR)
        assert not await may_restore_alone(tx, admin)
        await accounts.update(tx, leader, disabled=True)
        tx.audit("account.disabled", leader.id, "tests")
        assert await may_create_alone(tx, Role.ADMIN), "the second administrator"
        assert await may_restore_alone(tx, admin), "the only one there is"
        assert not await may_restore_alone(tx, office.person(Role.REVIEWER))


async def test_request_of_the_command_line_waits_for_an_administrator(office):
    reviewer = office.person(Role.REVIEWER)
    async with office.transaction() as tx:
        await tx.run(
            "insert into second_factors (account_id, ciphertext, key_version, created_at, "
            "confirmed_at, last_step) values ($1, '', 1, now(), now(), 0)",
            reviewer.id,
        )
        approval_id = await request_second_factor_reset(
            tx, reviewer.id, reason="本人手机和恢复码都已遗失，身份已核实", by=None
        )
    async with office.transaction() as tx:
        assert await tx.fetchval("select count(*) from second_factors") == 1

    await office.approve(approval_id, Role.ADMIN)

    async with office.transaction() as tx:
        assert await tx.fetchval("select count(*) from second_factors") == 0
