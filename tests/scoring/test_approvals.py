"""Rules, vetoes and earlier results change only when two people agree, and never backwards."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from services.scoring.actions.approval_kinds import APPROVAL_KINDS
from services.scoring.actions.approval_kinds.decisions import DecisionPayload, request_decision
from services.scoring.actions.approval_kinds.outcomes import OutcomesPayload, request_outcomes
from services.scoring.actions.approval_kinds.revocations import (
    RevocationPayload,
    request_revocation,
)
from services.scoring.actions.approval_kinds.rules import request_rules
from services.scoring.app import build
from services.scoring.store import outcomes
from services.scoring.store.outcomes import OutcomeRow
from shared.appraisal.calendar.working_days import civil_day
from shared.appraisal.errors import Rejected
from shared.appraisal.labels import Role
from shared.security.approvals import approve
from shared.security.policies import Account
from tests.scoring.factories import CAMPAIGN, Scoring, j_scheme

pytestmark = pytest.mark.stack
REASON = "领导小组会议决定调整计分规则"
GROUNDS = "群众反映强烈，长期未解决"
CHEN = Account(uuid4(), "pingyiban", "陈静", Role.OFFICE)
SUN = Account(uuid4(), "pingyiban2", "孙丽", Role.OFFICE)
ZHAO = Account(uuid4(), "lingdao", "赵刚", Role.LEADER)


@dataclass
class Board:
    """Requests of the office and decisions of others."""

    scoring: Scoring

    async def new_rules(self, version: str = "R2", *, days: int | None = None) -> UUID:
        scheme = msgspec.structs.replace(j_scheme(), version=version)
        async with self.scoring.transaction() as tx:
            today = civil_day(tx.now)
            return await request_rules(
                tx,
                campaign_id=CAMPAIGN,
                scheme=scheme,
                reason=f"{REASON}{version}",
                effective_on=None if days is None else today + timedelta(days=days),
                by=CHEN,
            )

    async def veto(self, grounds: str = GROUNDS) -> UUID:
        payload = DecisionPayload(CAMPAIGN, "U07", "J10", grounds, "党工委〔2020〕3号")
        async with self.scoring.transaction() as tx:
            return await request_decision(tx, payload, by=CHEN)

    async def lift(self, decision_id: UUID) -> UUID:
        payload = RevocationPayload(CAMPAIGN, decision_id, "复核后认为证据不足，应予撤销")
        async with self.scoring.transaction() as tx:
            return await request_revocation(tx, payload, by=CHEN)

    async def results(self, rank: int, *, reason: str) -> UUID:
        row = OutcomeRow(
            unit_id="U07",
            category="government",
            total=Decimal("88.50"),
            rank=rank,
            from_bottom=3,
            grade=None,
        )
        async with self.scoring.transaction() as tx:
            payload = OutcomesPayload("J", 2019, (row,))
            return await request_outcomes(tx, payload, reason=reason, by=CHEN)

    async def approve(self, approval_id: UUID, *, by: Account = ZHAO) -> None:
        async with self.scoring.transaction() as tx:
            await approve(tx, APPROVAL_KINDS, approval_id, by=by)

    async def version(self) -> str:
        async with self.scoring.transaction() as tx:
            found: str = await tx.fetchval("select scheme_version from campaigns")
        return found

    async def consequences(self) -> list[str]:
        return [
            finding.rule_id
            for row in await self.scoring.board("government")
            for finding in row.consequences
            if not finding.open
        ]


@pytest.fixture
def board(scoring) -> Board:
    return Board(scoring)


# ── rules ─────────────────────────────────────────────────────────────────────────────────────────


async def test_rules_of_a_campaign_change_when_a_second_person_agrees(board):
    approval_id = await board.new_rules()
    assert await board.version() == "R1"
    with pytest.raises(Rejected) as error:
        await board.approve(approval_id, by=CHEN)
    assert error.value.status == 403
    assert await board.version() == "R1"

    await board.approve(approval_id, by=SUN)

    assert await board.version() == "R2"


@pytest.mark.parametrize(("days", "says"), [(-1, "不能追溯"), (1, "到当天再申请")])
async def test_rules_apply_from_the_day_of_the_approval_and_never_before(board, days, says):
    with pytest.raises(Rejected, match=says) as error:
        await board.new_rules(days=days)
    assert (error.value.status, error.value.field) == (422, "effective_on")


async def test_rules_that_were_to_apply_yesterday_are_not_approved_today(board, clock):
    approval_id = await board.new_rules(days=0)
    await clock.advance(days=1)

    with pytest.raises(Rejected, match="不能追溯"):
        await board.approve(approval_id)

    assert await board.version() == "R1"


async def test_rules_requested_against_older_rules_are_not_approved(board):
    older, newer = await board.new_rules("R2"), None
    async with board.scoring.transaction() as tx:
        newer = await request_rules(
            tx,
            campaign_id=CAMPAIGN,
            scheme=msgspec.structs.replace(j_scheme(), version="R3"),
            reason="另一份文件要求调整计分规则",
            effective_on=None,
            by=SUN,
        )
    await board.approve(newer)

    with pytest.raises(Rejected, match="情况已经变化"):
        await board.approve(older)

    assert await board.version() == "R3"


# ── vetoes ────────────────────────────────────────────────────────────────────────────────────────


async def test_veto_is_imposed_and_lifted_by_two_people_each(board):
    veto = await board.veto()
    assert await board.consequences() == []
    await board.approve(veto)
    assert await board.consequences() == ["J10"]

    lifting = await board.lift(veto)
    assert await board.consequences() == ["J10"]
    await board.approve(lifting)

    assert await board.consequences() == []
    async with board.scoring.transaction() as tx:
        lines = await tx.fetch("select measure from ledger where subject_id = $1", veto)
    assert sorted(line["measure"] for line in lines) == ["decision", "revoked"]


async def test_veto_needs_grounds(board):
    with pytest.raises(Rejected, match="具体理由"):
        await board.veto("违规")


# ── earlier results ───────────────────────────────────────────────────────────────────────────────


async def test_correction_of_an_earlier_result_is_a_new_line(board):
    await board.approve(await board.results(4, reason="按上年度通报文件补录评议结果"))
    correction = await board.results(5, reason="通报文件勘误，名次应为第五名")
    async with board.scoring.transaction() as tx:
        before = await outcomes.current_outcomes(tx, "J", 2019)
    await board.approve(correction)

    async with board.scoring.transaction() as tx:
        after = await outcomes.current_outcomes(tx, "J", 2019)
        lines = await outcomes.outcome_lines(tx, "J", 2019)
    assert (before["U07"].rank, after["U07"].rank) == (4, 5)
    assert [(line.outcome.rank, line.corrected, line.reason) for line in lines] == [
        (4, True, "按上年度通报文件补录评议结果"),
        (5, False, "通报文件勘误，名次应为第五名"),
    ]


async def test_result_corrected_after_the_request_is_not_corrected_again(board):
    await board.approve(await board.results(4, reason="按上年度通报文件补录评议结果"))
    first = await board.results(5, reason="通报文件勘误，名次应为第五名")
    async with board.scoring.transaction() as tx:
        row = (await outcomes.current_outcomes(tx, "J", 2019))["U07"]
        await outcomes.add_outcomes(tx, "J", 2019, [row], reason="同时进行的更正")
        tx.audit("outcomes.recorded", "J-2019", "tests")

    with pytest.raises(Rejected, match="情况已经变化"):
        await board.approve(first)


# ── pages ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
async def people(scoring, settings) -> AsyncIterator[dict[Role, Any]]:
    import httpx2

    service = build(settings)
    transport = httpx2.ASGITransport(app=service.app)
    clients = {}
    for account in (CHEN, ZHAO):
        token = await service.sessions.create(account)
        clients[account.role] = httpx2.AsyncClient(
            transport=transport,
            base_url="http://scoring",
            headers={"authorization": f"Bearer {token}"},
        )
    yield clients
    await service.redis.aclose()
    await service.database.close()


def form(**fields: str) -> dict[str, str]:
    return {"idempotency_key": str(uuid4()), **fields}


async def test_rules_decisions_and_results_are_requested_and_approved_on_pages(people, board):
    chen, zhao = people[Role.OFFICE], people[Role.LEADER]
    rules = msgspec.structs.replace(j_scheme(), version="R2").to_json()
    wanted = {
        f"/scoring/{CAMPAIGN}/units/U07/decisions": {
            "rule_id": "J10",
            "grounds": GROUNDS,
            "document": "党工委〔2020〕3号",
        },
        "/scoring/outcomes": {
            "scheme": "J",
            "year": "2019",
            "unit_id": "U07",
            "category": "government",
            "rank": "4",
            "total": "",
            "reason": "按上年度通报文件补录评议结果",
        },
        f"/scoring/{CAMPAIGN}/rules": {"rules": rules, "effective_on": "", "reason": REASON},
    }
    for url, fields in wanted.items():
        sent = await chen.post(url, data=form(**fields))
        assert sent.status_code == 303, sent.text
        page = sent.headers["location"]
        assert "待审批" in (await chen.get(page)).text
        assert (await chen.post(f"{page}/approval", data=form())).status_code == 403
        assert "批准后立即生效" in (await zhao.get(page)).text
        assert (await zhao.post(f"{page}/approval", data=form())).status_code == 303
        assert "已批准" in (await chen.get(page)).text

    await board.scoring.rescore_pending()
    assert await board.version() == "R2"
    assert await board.consequences() == ["J10"]
    listed = await zhao.get("/scoring/outcomes?scheme=J&year=2019")
    assert "按上年度通报文件补录评议结果" in listed.text


async def test_rejected_forms_keep_what_was_typed(people):
    chen = people[Role.OFFICE]
    rules = await chen.post(
        f"/scoring/{CAMPAIGN}/rules",
        data=form(rules="{", effective_on="2020-01-01", reason="写了一半的理由"),
    )
    outcome = await chen.post(
        "/scoring/outcomes",
        data=form(scheme="J", year="2019", unit_id="U07", category="x", reason="工作需要"),
    )
    decision = await chen.post(
        f"/scoring/{CAMPAIGN}/units/U07/decisions",
        data=form(rule_id="J10", grounds="工作需要", document="3号文"),
    )
    assert [one.status_code for one in (rules, outcome, decision)] == [422, 422, 422]
    assert "写了一半的理由" in rules.text
    assert "请写明具体理由" in outcome.text
