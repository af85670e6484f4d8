"""被举报单位登记: who records whom a 举报 accuses, and who may not learn of it then."""

from datetime import date
from uuid import uuid4

import pytest

from services.intake.handlers import on
from services.intake.store import complaint_lists
from services.intake.views.complaints import complaint_detail
from shared.appraisal.events import OrganisationPublished
from shared.appraisal.labels import OrganisationState, Role, SuccessionKind
from shared.appraisal.organisations import Successor
from shared.security.policies import Account
from tests.casework.test_cases import incoming
from tests.intake.conftest import complaint
from tests.organisations import body, know

stack = pytest.mark.stack
TEXT = "国税局三号窗口的人收了材料不办，听说省教育厅的熟人打了招呼，请查一查是不是真的。"


async def registered(office, key, **changes) -> str:
    async with await office.signed_in(Role.OPERATOR) as operator:
        given = complaint(**{"kind": "report", "complaint_text": TEXT} | changes)
        answer = await operator.post("/intake/api/complaints", json=given, headers=key())
    assert answer.status_code == 201, answer.text
    return answer.json()["number"]


async def recorded(office, key, number, unit_ids, *, record=0, role=Role.REVIEWER, reason=""):
    """The answer to recording the accused."""
    given = {"unit_ids": unit_ids, "record": record, "reason": reason}
    async with await office.signed_in(role) as person:
        url = f"/intake/api/complaints/{number}/accused"
        return await person.post(url, json=given, headers=key())


async def register(office, *organisations, version=1) -> None:
    """Let published bodies arrive, as the consumer takes them."""
    async with office.transaction() as tx:
        events = [OrganisationPublished(occurred_at=tx.now, organisation=o) for o in organisations]
        await on.dispatch(tx, [incoming(event, version) for event in events])


def insider(unit_id: str) -> Account:
    return Account(uuid4(), "insider", "内部", Role.REVIEWER, unit_id)


async def finds(office, number: str, account: Account) -> bool:
    """Whether an account finds a complaint; page and search must agree."""
    async with office.transaction() as tx:
        read = await complaint_detail(tx, number, account) is not None
        found = await complaint_lists.search(tx, number[-6:], account)
    assert bool(found) is read
    return read


@stack
async def test_the_accused_are_recorded_with_all_bodies_and_announced(office, key):
    await register(office, body("tcm"), body("tax"), body("hall", parent_id="tax"))
    number = await registered(office, key, unit_id=None)
    assert await finds(office, number, insider("hall"))

    answer = await recorded(office, key, number, ["tax", "tcm"])

    assert (answer.status_code, answer.json()["record"]) == (201, 1)
    [(_, event)] = await office.events("complaint.accused_recorded.v1")
    assert (event["record"], event["unit_ids"]) == (1, ["tax", "tcm"])
    for unit_id in ("tax", "tcm", "hall"):
        assert not await finds(office, number, insider(unit_id))
    assert await finds(office, number, insider("edu"))


@stack
async def test_nobody_named_and_a_removed_body_need_a_reason(office, key):
    await register(office, body("tcm"), body("tax"))
    number = await registered(office, key, unit_id=None)

    nobody = await recorded(office, key, number, [])
    explained = await recorded(office, key, number, [], reason="内容无法判断是哪个单位")
    added = await recorded(office, key, number, ["tax"], record=1)
    removed = await recorded(office, key, number, [], record=2)
    lifted = await recorded(office, key, number, ["tcm"], record=2, reason="经核对不是税务窗口")

    answers = [each.status_code for each in (nobody, explained, added, removed, lifted)]
    assert answers == [422, 201, 201, 422, 201]
    async with office.transaction() as tx:
        rows = await tx.fetch(
            "select record, unit_ids, reason from accused_records order by record"
        )
    assert [row["unit_ids"] for row in rows] == [[], ["tax"], ["tcm"]]
    assert rows[2]["reason"] == "经核对不是税务窗口"
    assert await finds(office, number, insider("tax"))


@stack
async def test_what_cannot_be_recorded_changes_nothing(office, key):
    number = await registered(office, key)
    plain = await registered(office, key, kind="complaint")

    unknown = await recorded(office, key, number, ["nobody"])
    stale = await recorded(office, key, number, ["tcm"], record=4)
    no_report = await recorded(office, key, plain, ["tcm"])
    by_operator = await recorded(office, key, number, ["tcm"], role=Role.OPERATOR)
    missing = await recorded(office, key, "ZT2026-999999", ["tcm"])

    answers = (unknown, stale, no_report, by_operator, missing)
    assert [each.status_code for each in answers] == [422, 409, 422, 403, 404]
    assert await office.events("complaint.accused_recorded.v1") == []


@stack
async def test_the_named_unit_is_excluded_before_anybody_recorded_it(office, key):
    await register(office, body("tcm"), body("window", parent_id="tcm"))
    number = await registered(office, key)

    assert not await finds(office, number, insider("window"))


@stack
async def test_the_register_moves_the_ban_at_once(office, key):
    await register(office, body("tcm"), body("edu"), body("new"))
    number = await registered(office, key)
    assert await finds(office, number, insider("edu"))
    into = Successor(organisation_id="new", kind=SuccessionKind.MERGED, takes_over=True)
    ended = {
        "state": OrganisationState.ENDED,
        "ended_on": date(2026, 11, 20),
        "successors": (into,),
    }

    await register(office, body("tcm", **ended), body("edu", **ended), version=2)

    for unit_id in ("tcm", "edu", "new"):
        assert not await finds(office, number, insider(unit_id))


@stack
async def test_the_page_warns_of_bodies_that_the_text_mentions(office, key):
    async with office.transaction() as tx:
        tax = body("tax", "省税务局", aliases=("国税局",))
        await know(tx, tax, body("edu", "省教育厅"), body("grid", "省电力公司"), version=2)
    number = await registered(office, key)
    async with await office.signed_in(Role.REVIEWER) as reviewer:
        page = await reviewer.get(f"/intake/tickets/{number}/accused")
        queue = await reviewer.get(f"/intake/releases/{number}")
        form = {
            "unit_ids": ["tcm", "tax"],
            "others": "省电力公司",
            "seen": "0",
            "idempotency_key": str(uuid4()),
        }
        sent = await reviewer.post(f"/intake/tickets/{number}/accused", data=form)
        unknown = await reviewer.post(
            f"/intake/tickets/{number}/accused",
            data=form | {"others": "没有的局", "seen": "1", "idempotency_key": str(uuid4())},
        )
        after = await reviewer.get(f"/intake/releases/{number}")

    assert "省税务局" in page.text
    assert "省教育厅" in page.text
    assert "没有登记为被举报单位" in queue.text
    assert sent.status_code == 303, sent.text
    assert (unknown.status_code, "没有“没有的局”" in unknown.text) == (422, True)
    [(_, event)] = await office.events("complaint.accused_recorded.v1")
    assert event["unit_ids"] == ["tcm", "tax", "grid"]
    assert "省教育厅</b>，没有登记" in after.text
