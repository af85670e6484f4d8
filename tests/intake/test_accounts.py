"""Accounts, sign-in and sessions. Nothing discloses which account names exist."""

from contextlib import suppress

import pytest
from zxcvbn.frequency_lists import FREQUENCY_LISTS

from services.cli.demo_accounts import seed_accounts
from services.intake.actions import accounts
from services.intake.domain.accounts import PASSWORD_MIN, check_name, check_password, check_unit
from shared.appraisal.errors import Rejected
from shared.appraisal.labels import Role
from shared.storage.migrations import drift
from tests.intake.conftest import PASSWORD


@pytest.mark.parametrize(
    "password",
    [
        "short",
        "1234567890",
        "aaaaaaaaaaaa",
        "zhangsan123",
        "Fengping2026",
        "abababababab",
        "passw0rd123",
        "1qaz2wsx3edc",
        "woaini5201314",
        "iloveyou1994",
        "P@ssword2026",
        "admin@12345",
        "changeme2026",
        "taobao123456",
        "1qaz@WSX3edc",
    ],
)
def test_weak_password_is_rejected(password):
    with pytest.raises(Rejected):
        check_password(password, name="zhangsan")


def test_every_leaked_password_of_the_list_is_rejected():
    """zxcvbn's list of 30,000 leaked passwords, some also with a capital letter."""
    leaked = [each for each in FREQUENCY_LISTS["passwords"] if len(each) >= PASSWORD_MIN]
    varied = [each.capitalize() for each in leaked[::10]]
    accepted = []
    for password in [*leaked, *varied]:
        with suppress(Rejected):
            check_password(password, name="zhangsan")
            accepted.append(password)
    assert len(FREQUENCY_LISTS["passwords"]) >= 10_000
    assert len(leaked) > 100
    assert accepted == []


@pytest.mark.parametrize("name", ["", "a", "王 敏", "a" * 41, "x'; drop", "-abc"])
def test_invalid_name_is_rejected(name):
    with pytest.raises(Rejected):
        check_name(name)


@pytest.mark.parametrize(
    ("role", "unit"), [(Role.HANDLER, None), (Role.UNIT_HEAD, None), (Role.OPERATOR, "tcm")]
)
def test_exactly_unit_roles_need_a_unit(role, unit):
    with pytest.raises(Rejected):
        check_unit(role, unit)


stack = pytest.mark.stack


@stack
async def test_migrations_match_the_tables(settings):
    assert await drift(settings.database_url, "intake") == []


@stack
async def test_session_token_is_valid_until_sign_out(office):
    async with office.client() as anybody:
        answer = await anybody.post(
            "/intake/api/sessions", json={"name": " ZuoXi ", "password": PASSWORD}
        )
        assert answer.status_code == 201, answer.text
        token = answer.json()["token"]
        campaigns = await anybody.get(
            "/intake/api/campaigns", headers={"authorization": f"Bearer {token}"}
        )
        assert [c["id"] for c in campaigns.json()] == ["j-2026"]
        await anybody.delete(
            "/intake/api/sessions/current", headers={"authorization": f"Bearer {token}"}
        )
        after = await anybody.get(
            "/intake/api/campaigns", headers={"authorization": f"Bearer {token}"}
        )
    assert after.status_code == 401


@stack
async def test_unknown_name_and_wrong_password_get_the_same_answer(office):
    async with office.client() as anybody:
        wrong = [
            await anybody.post("/intake/api/sessions", json={"name": n, "password": "x" * 12})
            for n in ("zuoxi", "nobody")
        ]
    assert {answer.status_code for answer in wrong} == {401}
    assert wrong[0].json()["detail"] == wrong[1].json()["detail"]


@stack
async def test_sixth_failed_attempt_is_rate_limited(office):
    async with office.client() as guesser:
        codes = [
            (
                await guesser.post(
                    "/intake/api/sessions",
                    json={"name": "zuoxi", "password": f"wrong-{n}-password"},
                )
            ).status_code
            for n in range(6)
        ]
    assert codes == [401] * 5 + [429]


@stack
async def test_disabled_account_loses_its_session_and_cannot_sign_in(office):
    operator, admin = office.person(Role.OPERATOR), office.person(Role.ADMIN)
    async with await office.signed_in(Role.OPERATOR) as wang:
        assert (await wang.get("/intake/api/campaigns")).status_code == 200
        async with office.transaction() as tx:
            await accounts.change_account(
                tx,
                operator.id,
                role=operator.role,
                unit_id=None,
                display_name=operator.display_name,
                disabled=True,
                by=admin,
            )
        assert (await wang.get("/intake/api/campaigns")).status_code == 401
        assert (
            await wang.post(
                "/intake/api/sessions", json={"name": operator.name, "password": PASSWORD}
            )
        ).status_code == 401


@stack
async def test_new_password_ends_every_session_and_starts_a_new_one(office):
    operator = office.person(Role.OPERATOR)
    sessions = office.service.sessions
    here, elsewhere = await sessions.create(operator), await sessions.create(operator)

    new = await accounts.change_password(
        office.transaction,
        account=operator,
        old=PASSWORD,
        new="江南可采莲莲叶何田田鱼",
        again="江南可采莲莲叶何田田鱼",
    )

    assert await sessions.find(here) is None
    assert await sessions.find(elsewhere) is None
    assert await sessions.find(new) == operator


@stack
async def test_seeding_demo_accounts_twice_adds_none(office):
    async with office.transaction() as tx:
        _, added = await seed_accounts(tx, password=PASSWORD, units=[("tcm", "省中医药管理局")])
    assert added == []


@stack
async def test_only_an_administrator_creates_accounts(office, key):
    given = {
        "name": "lisi",
        "display_name": "李四",
        "role": "operator",
        "password": "白日依山尽黄河入海流",
    }
    async with (
        await office.signed_in(Role.ADMIN) as admin,
        await office.signed_in(Role.OFFICE) as chen,
    ):
        created = await admin.post("/intake/api/accounts", json=given, headers=key())
        taken = await admin.post("/intake/api/accounts", json=given, headers=key())
        forbidden = await chen.post(
            "/intake/api/accounts", json=given | {"name": "wangwu"}, headers=key()
        )
    assert (created.status_code, taken.status_code, forbidden.status_code) == (201, 409, 403)


async def test_sign_in_fails_if_the_account_is_disabled_meanwhile(office, monkeypatch):
    """Verifying the password takes a tenth of a second; meanwhile the account is disabled."""
    real = accounts.verify_password

    async def verify_slowly(password, password_hash):
        matches = await real(password, password_hash)
        async with office.transaction() as tx:
            id = await tx.fetchval(
                "update accounts set disabled = true where name = 'zuoxi' returning id"
            )
            tx.audit("account.changed", id, "system")
        return matches

    monkeypatch.setattr(accounts, "verify_password", verify_slowly)
    verified = await accounts.verify(office.transaction, name="zuoxi", password=PASSWORD)
    assert verified is not None
    async with office.transaction() as tx:
        assert await accounts.sign_in(tx, verified, agent="") is None
