"""Accounts belong to bodies of the register, and follow what becomes of these."""

from datetime import date
from uuid import uuid4

import pytest

from services.intake.actions import accounts, organisations
from services.intake.store import campaigns
from shared.appraisal.errors import Rejected
from shared.appraisal.events import OrganisationPublished, UnitEntry
from shared.appraisal.labels import OrganisationState, Role, SuccessionKind
from shared.appraisal.organisations import Organisation, Successor
from shared.security.passwords import NewPassword
from shared.security.policies import Account
from tests.intake.conftest import PASSWORD, Office, published
from tests.organisations import body, know

pytestmark = pytest.mark.stack


def merged(id: str, into: str) -> Organisation:
    successor = Successor(organisation_id=into, kind=SuccessionKind.MERGED, takes_over=True)
    return body(
        id, state=OrganisationState.ENDED, ended_on=date(2026, 1, 1), successors=(successor,)
    )


async def consume(office: Office, organisation: Organisation, *, version: int = 2) -> None:
    async with office.transaction() as tx:
        event = OrganisationPublished(occurred_at=tx.now, organisation=organisation)
        await organisations.store_organisation(tx, event, version)


async def add_handler(office: Office, unit_id: str) -> Account:
    password = await NewPassword.of(PASSWORD)
    async with office.transaction() as tx:
        return await accounts.create_account(
            tx,
            name=f"h-{uuid4().hex[:8]}",
            display_name="",
            role=Role.HANDLER,
            password=password,
            unit_id=unit_id,
            by="system",
        )


async def session_of(office: Office, account: Account) -> tuple[str, Account | None]:
    """Sign in; return the token and the account as every service finds it."""
    async with office.client() as client:
        answer = await client.post(
            "/intake/api/sessions", json={"name": account.name, "password": PASSWORD}
        )
    token = answer.json().get("token", "")
    return token, await office.service.sessions.find(token)


UNKNOWN = {
    "never recorded": None,
    "withdrawn": body("gone", state=OrganisationState.WITHDRAWN),
    "merged into another": merged("gone", "tcm"),
}


@pytest.mark.parametrize("organisation", UNKNOWN.values(), ids=UNKNOWN)
async def test_account_of_a_body_that_does_not_exist_is_refused(office, key, organisation):
    if organisation is not None:
        async with office.transaction() as tx:
            await know(tx, organisation)
        # Taking part in a campaign is not enough.
        units = (UnitEntry(unit_id="gone", unit_no=1, name="某局", category="government"),)
        async with office.transaction() as tx:
            await campaigns.save(tx, published(tx.now, units), 2)

    with pytest.raises(Rejected) as refused:
        await add_handler(office, "gone")
    async with await office.signed_in(Role.ADMIN) as admin:
        given = {"name": "lisi", "role": "handler", "unit_id": "gone", "password": PASSWORD}
        by_api = await admin.post("/intake/api/accounts", json=given, headers=key())
        handler = office.person(Role.HANDLER)
        change = {"display_name": "李四", "role": "handler", "unit_id": "gone"}
        form = {"name": "wangwu", "role": "handler", "unit_id": "gone", "password": PASSWORD}
        by_page = await admin.post("/intake/accounts", data=form)
        moved = await admin.put(f"/intake/api/accounts/{handler.id}", json=change, headers=key())

    assert (refused.value.status, refused.value.field) == (422, "unit_id")
    assert (by_api.status_code, moved.status_code, by_page.status_code) == (422, 422, 422)


async def test_administrator_moves_the_accounts_of_a_merged_body_on_pages(office, key):
    async with office.transaction() as tx:
        await know(tx, body("old", "旧单位"))
    handler = await add_handler(office, "old")
    await consume(office, merged("old", "tcm"))
    change = {"display_name": "李四", "role": "handler", "unit_id": "tcm"}

    async with await office.signed_in(Role.ADMIN) as admin:
        before = await admin.get("/intake/accounts?ended=true")
        moved = await admin.post(f"/intake/accounts/{handler.id}", data=change, headers=key())
        after = await admin.get("/intake/accounts?ended=true")
        page = await admin.get(f"/intake/accounts/{handler.id}")
        reset = await admin.post(f"/intake/accounts/{handler.id}/password", data={"password": "短"})

    assert (moved.status_code, page.status_code, reset.status_code) == (303, 200, 422)
    assert "请转到省中医药管理局" in before.text
    assert handler.name not in after.text


async def test_account_of_an_unknown_body_is_not_seeded(office):
    from services.cli.demo_accounts import seed_accounts

    async with office.transaction() as tx:
        with pytest.raises(Rejected, match="单位名册中没有这个单位"):
            await seed_accounts(tx, password=PASSWORD, units=[("gone", "某局")])


async def test_people_of_the_heir_act_for_merged_bodies_from_their_next_sign_in(office):
    async with office.transaction() as tx:
        await know(tx, body("old"), body("older"))
    handler = await add_handler(office, "tcm")
    token, before = await session_of(office, handler)

    await consume(office, merged("older", "old"))
    await consume(office, merged("old", "tcm"))

    assert await office.service.sessions.find(token) is None, "the session had the old rights"
    _, after = await session_of(office, handler)
    assert before is not None
    assert after is not None
    assert (before.unit_ids, after.unit_ids) == (("tcm",), ("tcm", "old", "older"))


async def test_accounts_of_a_withdrawn_body_are_disabled(office):
    async with office.transaction() as tx:
        await know(tx, body("wrong"))
    handler = await add_handler(office, "wrong")
    token, _ = await session_of(office, handler)

    await consume(office, body("wrong", state=OrganisationState.WITHDRAWN))

    assert await office.service.sessions.find(token) is None
    assert await session_of(office, handler) == ("", None)


async def test_older_version_of_a_body_changes_nothing(office):
    async with office.transaction() as tx:
        await know(tx, body("old"), version=3)

    await consume(office, body("old", state=OrganisationState.WITHDRAWN), version=2)

    await add_handler(office, "old")
