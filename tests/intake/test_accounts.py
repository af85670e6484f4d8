"""Who may sign in, what ends a session, and that nothing tells which names exist."""

import pytest

from services.intake.actions import accounts
from services.intake.domain.accounts import check_name, check_password, check_unit
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
    ],
)
def test_bad_passwords(password):
    with pytest.raises(Rejected):
        check_password(password, name="zhangsan")


@pytest.mark.parametrize("name", ["", "a", "王 敏", "a" * 41, "x'; drop", "-abc"])
def test_bad_names(name):
    with pytest.raises(Rejected):
        check_name(name)


@pytest.mark.parametrize(
    ("role", "unit"), [(Role.HANDLER, None), (Role.UNIT_HEAD, None), (Role.OPERATOR, "tcm")]
)
def test_who_acts_for_a_unit_has_one(role, unit):
    with pytest.raises(Rejected):
        check_unit(role, unit)


stack = pytest.mark.stack


@stack
async def test_the_schema_is_what_the_tables_say(settings):
    assert await drift(settings.database_url, "intake") == []


@stack
async def test_signing_in_gives_a_token_that_opens_doors(office):
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
async def test_a_wrong_name_and_a_wrong_password_are_told_the_same_words(office):
    async with office.client() as anybody:
        wrong = [
            await anybody.post("/intake/api/sessions", json={"name": n, "password": "x" * 12})
            for n in ("zuoxi", "nobody")
        ]
    assert {answer.status_code for answer in wrong} == {401}
    assert wrong[0].json()["detail"] == wrong[1].json()["detail"]


@stack
async def test_the_sixth_try_waits(office):
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
async def test_a_disabled_account_is_out_at_once_and_stays_out(office):
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
async def test_a_new_password_ends_the_other_sessions(office):
    operator = office.person(Role.OPERATOR)
    sessions = office.service.sessions
    here, elsewhere = await sessions.create(operator), await sessions.create(operator)

    async with office.transaction() as tx:
        await accounts.change_password(
            tx,
            account=operator,
            old=PASSWORD,
            new="江南可采莲莲叶何田田鱼",
            again="江南可采莲莲叶何田田鱼",
            keep=here,
        )

    assert await sessions.find(here) == operator
    assert await sessions.find(elsewhere) is None


@stack
async def test_seeding_twice_adds_nobody(office):
    async with office.transaction() as tx:
        _, added = await accounts.seed_accounts(
            tx, password=PASSWORD, units=[("tcm", "省中医药管理局")]
        )
    assert added == []


@stack
async def test_only_an_administrator_makes_accounts(office, key):
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
        made = await admin.post("/intake/api/accounts", json=given, headers=key())
        taken = await admin.post("/intake/api/accounts", json=given, headers=key())
        refused = await chen.post(
            "/intake/api/accounts", json=given | {"name": "wangwu"}, headers=key()
        )
    assert (made.status_code, taken.status_code, refused.status_code) == (201, 409, 403)


async def test_a_sign_in_under_way_when_the_right_is_withdrawn_is_refused(office, monkeypatch):
    """The password is looked at for a tenth of a second; meanwhile the account is disabled and its
    sessions are ended.
    """
    real = accounts.verify_password

    async def slowly(password, kept):
        matches = await real(password, kept)
        async with office.transaction() as tx:
            await tx.run("update accounts set disabled = true where name = 'zuoxi'")
        return matches

    monkeypatch.setattr(accounts, "verify_password", slowly)
    async with office.transaction() as tx:
        assert await accounts.sign_in(tx, name="zuoxi", password=PASSWORD, agent="") is None
