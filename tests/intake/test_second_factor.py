"""Signing in with a one-time code: enrolment, replay, recovery codes, reset; who goes without."""

import asyncio
import re
from base64 import b32decode
from datetime import timedelta
from uuid import UUID

import pytest
from pydantic import ValidationError

from services.intake.actions import second_factors
from services.intake.domain.second_factors import REQUIRED_ROLES, SignInStep, next_step
from shared.appraisal.errors import Rejected
from shared.appraisal.labels import Role
from shared.foundation.settings import Settings
from shared.security.totp import STEP_SECONDS, code_at, matching_step, time_step
from tests.intake.conftest import PASSWORD

pytestmark = pytest.mark.stack
REVIEWER = "shenhe"


@pytest.fixture
def settings(settings):
    return settings.model_copy(update={"second_factor": "required"})


async def enter_password(client, name=REVIEWER):
    return await client.post("/login", data={"name": name, "password": PASSWORD})


def secret_in(page):
    return b32decode(re.search(r"<code>([A-Z2-7 ]+)</code>", page.text)[1].replace(" ", ""))


def codes_in(page):
    return re.findall(r"<code>([A-Z2-9]{4}(?:-[A-Z2-9]{4}){3})</code>", page.text)


async def current_code(office, secret, steps=0):
    async with office.transaction() as tx:
        return code_at(secret, time_step(tx.now) + steps)


async def enrol(office, client, name=REVIEWER):
    """Sign in for the first time; return the secret and the recovery codes."""
    await enter_password(client, name)
    page = await client.get("/login/enrolment")
    secret = secret_in(page)
    code = await current_code(office, secret)
    done = await client.post("/login/enrolment", data={"code": code})
    assert done.status_code == 200, done.text
    return secret, codes_in(done)


# ── who needs one ─────────────────────────────────────────────────────────────────────────────────


def test_every_privileged_role_needs_a_one_time_code():
    assert {role.value for role in REQUIRED_ROLES} == {
        "reviewer",
        "supervisor",
        "office",
        "leader",
        "admin",
        "auditor",
        "custodian",
    }


@pytest.mark.parametrize("role", Role)
def test_enrolled_account_enters_its_code_whatever_its_role(role):
    assert next_step(role, enrolled=True) is SignInStep.CODE


def test_production_refuses_to_go_without():
    with pytest.raises(ValidationError, match="demonstrations only"):
        Settings(environment="production", second_factor="waived")
    assert Settings(environment="demo", second_factor="waived").second_factor == "waived"
    assert Settings(environment="demo").second_factor == "required"


@pytest.mark.parametrize(
    "name", ["shenhe", "duban", "pingyiban", "lingdao", "guanli", "shenji", "baoguan"]
)
async def test_password_alone_opens_no_privileged_session(office, name):
    async with office.client() as client:
        page = await enter_password(client, name)
        assert page.headers["location"].startswith("/login/enrolment")
        assert office.service.sessions.cookie not in client.cookies
        assert (await client.get("/me")).headers["location"].startswith("/login")
        program = await client.post(
            "/intake/api/sessions", json={"name": name, "password": PASSWORD}
        )
    assert program.status_code == 403
    assert "绑定" in program.json()["detail"]


async def test_operator_signs_in_with_the_password(office):
    async with office.client() as client:
        page = await enter_password(client, "zuoxi")
        assert page.headers["location"] == "/"
        assert (await client.get("/me")).status_code == 200


# ── enrolment and codes ───────────────────────────────────────────────────────────────────────────


async def test_first_sign_in_enrols_and_shows_the_recovery_codes_once(office):
    async with office.client() as client:
        _secret, codes = await enrol(office, client)
        assert len(set(codes)) == 10
        assert (await client.get("/me")).status_code == 200
        again = await client.get("/me/second-factor")
        assert "还有 10 个未使用" in again.text
        assert codes_in(again) == []
        assert (await client.get("/login/enrolment")).status_code == 303, "nothing is pending"


async def test_next_sign_in_asks_for_the_code(office):
    async with office.client() as client:
        secret, _ = await enrol(office, client)
    async with office.client() as client:
        page = await enter_password(client)
        assert page.headers["location"].startswith("/login/code")
        wrong = await client.post("/login/code", data={"code": "000000"})
        assert wrong.status_code == 401
        code = await current_code(office, secret, steps=1)
        right = await client.post("/login/code", data={"code": code, "next": "/intake/triage"})
        assert right.headers["location"] == "/intake/triage"
        assert (await client.get("/me")).status_code == 200


async def test_code_is_accepted_once_even_by_concurrent_requests(office):
    async with office.client() as client:
        secret, _ = await enrol(office, client)
    code = await current_code(office, secret, steps=1)

    async def sign_in():
        async with office.client() as client:
            await enter_password(client)
            answer = await client.post("/login/code", data={"code": code})
            return answer.status_code

    statuses = await asyncio.gather(*(sign_in() for _ in range(4)))
    assert sorted(statuses) == [303, 401, 401, 401]


async def test_code_of_the_enrolment_signs_nobody_in(office):
    async with office.client() as client:
        secret, _ = await enrol(office, client)
    seen = await current_code(office, secret)
    async with office.client() as client:
        await enter_password(client)
        assert (await client.post("/login/code", data={"code": seen})).status_code == 401


def test_clock_of_the_telephone_may_be_half_a_minute_off(noon):
    secret = b"s" * 20
    step = time_step(noon)
    accepted = [
        matching_step(secret, code_at(secret, step + drift), noon, after=0) is not None
        for drift in (-2, -1, 0, 1, 2)
    ]
    assert accepted == [False, True, True, True, False]
    assert matching_step(secret, code_at(secret, step), noon, after=step) is None
    assert matching_step(secret, "", noon, after=0) is None
    assert matching_step(secret, "１２３４５６", noon, after=0) is None


def test_codes_are_those_of_the_standard():
    """The SHA-1 vectors of RFC 6238, appendix B, last six digits."""
    secret = b"12345678901234567890"
    assert code_at(secret, 59 // STEP_SECONDS) == "287082"
    assert code_at(secret, 1111111109 // STEP_SECONDS) == "081804"
    assert code_at(secret, 20000000000 // STEP_SECONDS) == "353130"


async def test_sixth_wrong_code_waits_and_the_known_device_has_its_own_budget(office):
    async with office.client() as owner:
        secret, _ = await enrol(office, owner)
        async with office.client() as thief:
            await enter_password(thief)
            statuses = [
                (await thief.post("/login/code", data={"code": f"00000{n}"})).status_code
                for n in range(6)
            ]
        assert statuses == [401] * 5 + [429]
        owner.cookies.delete(office.service.sessions.cookie)
        await enter_password(owner)
        code = await current_code(office, secret, steps=1)
        answer = await owner.post("/login/code", data={"code": code})
    assert answer.status_code == 303


async def change_account(tx, assignment: str) -> None:
    id = await tx.fetchval(
        f"update accounts set {assignment} where name = $1 returning id", REVIEWER
    )
    tx.audit("account.changed", id, "system")


async def test_new_password_ends_a_sign_in_that_waits_for_its_code(office):
    async with office.client() as client:
        secret, _ = await enrol(office, client)
    async with office.client() as client:
        await enter_password(client)
        async with office.transaction() as tx:
            await change_account(tx, "password_hash = 'x'")
        code = await current_code(office, secret, steps=1)
        answer = await client.post("/login/code", data={"code": code})
    assert answer.status_code == 401
    assert "超时" in answer.text


async def test_disabled_account_cannot_finish_its_sign_in(office):
    async with office.client() as client:
        secret, _ = await enrol(office, client)
    async with office.client() as client:
        await enter_password(client)
        async with office.transaction() as tx:
            await change_account(tx, "disabled = true")
        code = await current_code(office, secret, steps=1)
        assert (await client.post("/login/code", data={"code": code})).status_code == 401


async def test_program_sends_password_and_code_together(office):
    async with office.client() as client:
        secret, _ = await enrol(office, client)
    given = {"name": REVIEWER, "password": PASSWORD}
    code = await current_code(office, secret, steps=1)
    async with office.client() as program:
        without = await program.post("/intake/api/sessions", json=given)
        right = await program.post("/intake/api/sessions", json=given | {"code": code})
        again = await program.post("/intake/api/sessions", json=given | {"code": code})
    assert [each.status_code for each in (without, right, again)] == [401, 201, 401]
    assert without.json()["errors"][0]["field"] == "code"


# ── at rest ───────────────────────────────────────────────────────────────────────────────────────


async def test_copy_of_the_database_computes_no_codes(office):
    async with office.client() as client:
        secret, codes = await enrol(office, client)
    async with office.transaction() as tx:
        factors = await tx.fetch("select ciphertext, wrapped_key from second_factors")
        digests = await tx.fetch("select digest from recovery_codes")
    stored = b"".join(bytes(value) for row in (*factors, *digests) for value in row)
    assert secret not in stored
    assert not any(code.replace("-", "").encode() in stored for code in codes)


# ── recovery codes ────────────────────────────────────────────────────────────────────────────────


async def test_recovery_code_signs_in_once(office):
    async with office.client() as client:
        _, codes = await enrol(office, client)
    typed = codes[0].lower().replace("-", " ")
    async with office.client() as client:
        await enter_password(client)
        first = await client.post("/login/code", data={"code": typed})
    async with office.client() as client:
        await enter_password(client)
        second = await client.post("/login/code", data={"code": typed})
    assert (first.status_code, second.status_code) == (303, 401)


async def test_new_recovery_codes_replace_the_old_ones_and_the_session_token(office):
    async with office.client() as client:
        secret, old = await enrol(office, client)
        before = client.cookies[office.service.sessions.cookie]
        form = await client.get("/me/second-factor")
        csrf = re.search(r'name="csrf"\s+value="(\w+)"', form.text)[1]
        code = await current_code(office, secret, steps=1)
        page = await client.post(
            "/me/second-factor/recovery-codes", data={"code": code, "csrf": csrf}
        )
        assert len(set(codes_in(page)) - set(old)) == 10
        assert client.cookies[office.service.sessions.cookie] != before
        assert await office.service.sessions.find(before) is None
    async with office.client() as client:
        await enter_password(client)
        assert (await client.post("/login/code", data={"code": old[0]})).status_code == 401


# ── lost telephone ────────────────────────────────────────────────────────────────────────────────


async def test_administrator_resets_and_the_next_sign_in_enrols_again(office):
    reviewer, admin = office.person(Role.REVIEWER), office.person(Role.ADMIN)
    async with office.client() as client:
        await enrol(office, client)
        async with office.transaction() as tx:
            await second_factors.reset(tx, reviewer.id, by=str(admin.id))
        assert (await client.get("/me")).status_code == 303, "its sessions ended"
    async with office.client() as client:
        page = await enter_password(client)
        assert page.headers["location"].startswith("/login/enrolment")
    async with office.transaction() as tx:
        actor = await tx.fetchval(
            "select actor from audit where action = 'account.second_factor_reset'"
        )
    assert actor == str(admin.id)


async def test_only_an_administrator_resets(office, key):
    reviewer = office.person(Role.REVIEWER)
    path = f"/intake/api/accounts/{reviewer.id}/second-factor-reset"
    wanted = {"reason": "本人手机和恢复码都已遗失，身份已核实"}
    async with office.client() as client:
        await enrol(office, client)
    async with (
        await office.signed_in(Role.OFFICE) as office_clerk,
        await office.signed_in(Role.ADMIN) as admin,
    ):
        assert (await office_clerk.post(path, json=wanted, headers=key())).status_code == 403
        requested = await admin.post(path, json=wanted, headers=key())
        assert requested.status_code == 202
        await office.approve(UUID(requested.json()["approval_id"]), Role.LEADER)
        once_more = {"reason": "新换的手机又遗失，身份再次核实"}
        again = await admin.post(path, json=once_more, headers=key())
        assert again.status_code == 409, "nothing is left to reset"


async def test_administrator_resets_on_the_page_of_the_account(office, key):
    reviewer = office.person(Role.REVIEWER)
    path = f"/intake/accounts/{reviewer.id}"
    async with office.client() as client:
        await enrol(office, client)
    async with await office.signed_in(Role.ADMIN) as admin:
        assert "申请重置动态口令" in (await admin.get(path)).text
        wanted = {"reason": "本人手机和恢复码都已遗失，身份已核实"}
        done = await admin.post(f"{path}/second-factor-reset", data=wanted, headers=key())
        assert done.status_code == 303, done.text
        request_id = done.headers["location"].rpartition("/")[2]
        await office.approve(UUID(request_id), Role.LEADER)
        assert "未绑定手机验证器" in (await admin.get(path)).text


async def test_nobody_resets_their_own(office):
    admin = office.person(Role.ADMIN)
    async with office.transaction() as tx:
        with pytest.raises(Rejected, match="另一位管理员"):
            await second_factors.reset(tx, admin.id, by=str(admin.id))


async def test_change_of_telephone_needs_a_code_and_ends_all_sessions(office):
    async with office.client() as client:
        _secret, codes = await enrol(office, client)
        form = await client.get("/me/second-factor")
        csrf = re.search(r'name="csrf"\s+value="(\w+)"', form.text)[1]
        wrong = await client.post(
            "/me/second-factor/removal", data={"removal_code": "123456", "csrf": csrf}
        )
        assert wrong.status_code == 422
        done = await client.post(
            "/me/second-factor/removal", data={"removal_code": codes[3], "csrf": csrf}
        )
        assert done.headers["location"] == "/login"
        assert (await client.get("/me")).status_code == 303
        page = await enter_password(client)
        assert page.headers["location"].startswith("/login/enrolment")


# ── demonstration ─────────────────────────────────────────────────────────────────────────────────


async def test_demonstration_goes_without_and_says_so(office):
    office.context.settings.second_factor = "waived"
    async with office.client() as client:
        assert "演示环境：未启用动态口令" in (await client.get("/login")).text
        page = await enter_password(client, "guanli")
        assert page.headers["location"] == "/"


async def test_virtual_time_moves_the_codes(office, clock):
    """The clock of the database decides, as for everything else."""
    async with office.client() as client:
        secret, _ = await enrol(office, client)
    code = await current_code(office, secret, steps=10)
    async with office.client() as client:
        await enter_password(client)
        early = await client.post("/login/code", data={"code": code})
        await clock.advance(seconds=timedelta(minutes=5).total_seconds())
        later = await client.post("/login/code", data={"code": code})
    assert (early.status_code, later.status_code) == (401, 303)
