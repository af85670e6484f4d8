"""The API as an office's own scripts use it."""

from collections.abc import AsyncIterator
from decimal import Decimal
from re import fullmatch
from uuid import UUID, uuid4

import httpx2
import pytest

from services.scoring.app import build
from shared.appraisal.labels import Role
from shared.security.policies import Account
from tests.scoring.factories import CAMPAIGN, UNITS, Scoring, ballot, j_scheme, visit

pytestmark = pytest.mark.stack
GROUNDS = "群众反映强烈，长期未解决"
NEW_RULES = "领导小组会议决定调整计分规则"
RESULTS = "按上年度通报文件补录评议结果"
UNIT_ROWS = [{"unit_id": one.unit_id, "name": one.name, "category": one.category} for one in UNITS]


class Client:
    """Requests of one role."""

    def __init__(self, app, token: str) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        self._http = httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=app), base_url="http://scoring", headers=headers
        )

    async def get(self, path: str):
        return await self._http.get(f"/scoring/api{path}")

    async def post(self, path: str, body: dict | None = None, *, key: str = ""):
        return await self._http.post(
            f"/scoring/api{path}", json=body, headers={"Idempotency-Key": key or str(uuid4())}
        )


async def approved(requested, clients: dict[Role, Client]) -> str:
    """Let the leader approve what a response says was requested; return the id of the request."""
    assert requested.status_code == 202, requested.text
    approval_id = requested.json()["approval_id"]
    answer = await clients[Role.LEADER].post(f"/dual-approvals/{approval_id}/approval")
    assert answer.status_code == 200, answer.text
    return str(approval_id)


@pytest.fixture
async def clients(settings, database) -> AsyncIterator[dict[Role, Client]]:
    await Scoring(database("scoring")).record()
    service = build(settings)
    sessions = service.sessions
    accounts = [
        Account(UUID(int=at), role.value, role.label, role, "U07")
        for at, role in enumerate(Role, start=1)
    ]
    yield {
        account.role: Client(service.app, await sessions.create(account)) for account in accounts
    }
    await service.redis.aclose()
    await service.database.close()


@pytest.fixture
async def office(clients) -> Client:
    made = await clients[Role.OFFICE].post(
        "/campaigns", {"scheme": "J", "year": 2020, "units": UNIT_ROWS}
    )
    assert made.status_code == 201, made.text
    return clients[Role.OFFICE]


async def test_campaign_is_created_once_per_key_and_published_whole(clients, database):
    office, key = clients[Role.OFFICE], str(uuid4())

    first = await office.post(
        "/campaigns", {"scheme": "J", "year": 2020, "units": UNIT_ROWS}, key=key
    )
    again = await office.post(
        "/campaigns", {"scheme": "J", "year": 2020, "units": UNIT_ROWS}, key=key
    )
    other = await office.post("/campaigns", {"scheme": "J", "year": 2020})

    assert (first.status_code, again.status_code, other.status_code) == (201, 201, 409)
    assert again.json() == first.json()
    assert first.json()["units"][6] == {
        "unit_id": "U07",
        "unit_no": 7,
        "name": "省交通运输厅",
        "category": "government",
        "aliases": [],
    }
    [published] = await Scoring(database("scoring")).published("campaign.published.v1")
    assert (published["campaign_id"], len(published["units"]), published["scheme"]) == (
        CAMPAIGN,
        len(UNITS),
        j_scheme().to_json(),
    )


async def test_units_are_added_and_change_category_but_keep_their_numbers(office):
    changed = [
        {"unit_id": "U07", "name": "省交通运输厅", "category": "中直单位"},
        {"name": "省气象局", "category": "central", "aliases": ["气象局"], "create": True},
    ]

    units = (await office.post(f"/campaigns/{CAMPAIGN}/units", {"units": changed})).json()["units"]

    assert (units[6]["unit_no"], units[6]["category"]) == (7, "central")
    assert (units[-1]["name"], units[-1]["unit_no"], units[-1]["aliases"]) == (
        "省气象局",
        15,
        ["气象局"],
    )
    assert fullmatch(r"D\d{6}", units[-1]["unit_id"])
    wrong = await office.post(
        f"/campaigns/{CAMPAIGN}/units", {"units": [{"name": "某局", "category": "别的"}]}
    )
    assert wrong.status_code == 422
    assert wrong.json()["detail"].startswith("第 1 行：没有“别的”这个类别")


async def test_board_explanation_changes_and_tallies_agree(office, database):
    scoring = Scoring(database("scoring"))
    everyone = [(unit_no, item, 1) for unit_no in range(1, 15) for item in range(1, 6)]
    await scoring.consume(
        *(ballot(no, everyone) for no in range(30)),
        *(visit(f"V-{no}", f"U{no:02d}") for no in range(1, 15)),
    )
    await scoring.consume(visit("V-99", "U07", ("V01", "ordinary")))
    await scoring.rescore_pending()

    board = (await office.get(f"/campaigns/{CAMPAIGN}/board?category=government")).json()
    row = next(one for one in board["categories"][0]["units"] if one["unit_id"] == "U07")
    explained = (await office.get(f"/campaigns/{CAMPAIGN}/units/U07")).json()
    changes = (await office.get(f"/campaigns/{CAMPAIGN}/units/U07/changes")).json()
    tallies = (
        await office.get(f"/campaigns/{CAMPAIGN}/tallies?unit_id=U07&instrument=cities")
    ).json()["tallies"]

    # cities 100, visits 88: (15×100 + 20×88) ÷ 35 = 93.14; −0.2 for the finding
    assert (row["total"], row["rank"], row["sample"]) == ("92.94", 6, 30)
    assert (
        explained["explanation"]["score"]["total"] == row["total"] == changes["changes"][0]["after"]
    )
    assert changes["changes"][0]["what"] == "V-99 检查发现一般问题：工作时间在岗在位"
    assert Decimal(changes["changes"][0]["delta"]) < 0
    assert {no: n for no, n in tallies[0]["answer_counts"].items() if n} == {"1": 30}


async def test_decisions_recounts_rules_and_what_units_see(office, clients, database):
    head = clients[Role.UNIT_HEAD]
    assert (await head.get("/mine")).json() == {"shown": False}
    shown = await office.post(f"/campaigns/{CAMPAIGN}/shown", {"shown": True})
    decided = await office.post(
        f"/campaigns/{CAMPAIGN}/decisions",
        {"unit_id": "U07", "rule_id": "J10", "grounds": GROUNDS, "document": "3号"},
    )
    decision_id = await approved(decided, clients)
    revoked = await office.post(
        f"/campaigns/{CAMPAIGN}/decisions/{decision_id}/revocation",
        {"grounds": "复核后认为证据不足，应予撤销"},
    )
    await approved(revoked, clients)
    recounted = await office.post(f"/campaigns/{CAMPAIGN}/recounts")
    rules = (await office.get(f"/campaigns/{CAMPAIGN}/rules")).json()
    same, newer, broken = [
        await office.post(
            f"/campaigns/{CAMPAIGN}/rules", {"scheme": rules | changes, "reason": NEW_RULES}
        )
        for changes in ({}, {"version": "R2"}, {"version": "R3", "components": []})
    ]
    await approved(newer, clients)

    assert [
        one.status_code for one in (shown, decided, revoked, recounted, same, newer, broken)
    ] == [200, 202, 202, 201, 422, 202, 422]
    assert recounted.json()["differences"] == []
    published = (await office.get(f"/campaigns/{CAMPAIGN}")).json()
    assert published["scheme_version"] == "R2"
    mine = (await head.get("/mine")).json()
    assert (mine["shown"], mine["name"]) == (True, "省交通运输厅")
    assert "rank" not in mine


async def test_results_of_last_year_decide_on_two_years_in_a_row(office, clients, database):
    scoring = Scoring(database("scoring"))
    outcomes = [
        {"unit_id": f"U{no:02d}", "category": "government", "rank": no - 6, "from_bottom": 13 - no}
        for no in range(7, 13)
    ]
    wanted = {"scheme": "J", "year": 2019, "outcomes": outcomes, "reason": RESULTS}
    await approved(await office.post("/outcomes", wanted), clients)
    everyone = [
        (unit_no, item, 1 if unit_no < 11 else 3)
        for unit_no in range(1, 15)
        for item in range(1, 6)
    ]
    await scoring.consume(
        *(ballot(no, everyone) for no in range(30)),
        *(visit(f"V-{no}", f"U{no:02d}") for no in range(1, 15)),
    )
    await scoring.rescore_pending()

    board = (await office.get(f"/campaigns/{CAMPAIGN}/board?category=government")).json()[
        "categories"
    ][0]["units"]

    found = {
        (row["unit_id"], one["rule_id"])
        for row in board
        for one in row["consequences"]
        if not one["open"]
    }
    assert found == {("U11", "J8"), ("U12", "J8"), ("U11", "J9"), ("U12", "J9")}


async def test_other_roles_are_refused_and_a_write_needs_a_key(clients):
    for role in set(Role) - {Role.OFFICE, Role.LEADER}:
        assert (await clients[role].get(f"/campaigns/{CAMPAIGN}/board")).status_code == 403
    for role in set(Role) - {Role.OFFICE}:
        assert (
            await clients[role].post("/campaigns", {"scheme": "J", "year": 2020})
        ).status_code == 403
    assert (await clients[Role.OFFICE].get("/campaigns/NONE/board")).status_code == 404
    assert (
        await clients[Role.OFFICE]._http.post(
            "/scoring/api/campaigns", json={"scheme": "J", "year": 2020}
        )
    ).status_code == 400
