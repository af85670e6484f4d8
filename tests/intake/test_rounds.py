"""检查轮次: nothing of a covert round leaves intake before it has ended, and then no order shows."""

import itertools
from datetime import timedelta
from uuid import uuid4

import asyncpg
import msgspec
import pytest

from services.intake.actions.hand_over import hand_over_due
from services.intake.actions.progress import record_case_events
from services.intake.actions.rounds import change_round, close_round
from services.intake.store import campaigns, summaries
from services.intake.views.releases import release_panel
from services.intake.views.visits import field_reference
from shared.appraisal.errors import Rejected
from shared.appraisal.events import CaseNotAccepted, CaseOpened
from shared.appraisal.labels import CaseSource, Role, VisitMode
from shared.appraisal.schemes import load_scheme
from shared.foundation.clock import CHINA
from shared.security.policies import Account
from tests.intake.conftest import CAMPAIGN, published
from tests.intake.rounds import FOUND, plan, planned, queued, released, visited

pytestmark = pytest.mark.stack


async def handed_over(office):
    async with office.transaction() as tx:
        await hand_over_due(tx)


async def names(office):
    return [name for name, _ in await office.events()]


# ── a covert round ────────────────────────────────────────────────────────────────────────────────


async def test_nothing_of_a_covert_round_leaves_before_it_has_ended(office, clock):
    round_id = await planned(office)
    receipt = await visited(office, round_id)
    await handed_over(office)

    assert await office.events() == []
    assert await queued(office) == []
    reviewer = office.person(Role.REVIEWER)
    async with office.transaction() as tx:
        assert await summaries.count_queue(tx, reviewer) == 0
        assert await release_panel(tx, f"{receipt.number}-1", reviewer) is None
    with pytest.raises(Rejected) as hidden:
        await released(office, f"{receipt.number}-1")
    assert hidden.value.status == 404

    await clock.advance(days=3)
    await handed_over(office)

    assert await queued(office) == [f"{receipt.number}-1"]
    assert await names(office) == ["finding.registered.v1"]


async def test_what_a_covert_round_is_about_stands_in_no_log_and_no_other_table(office):
    round_id = await planned(office, name="金丝雀暗访")
    await visited(office, round_id, found=("金丝雀窗口无人",), place="金丝雀大厅")

    owner = await asyncpg.connect(office.service.settings.database_url)
    tables = await owner.fetch("select tablename from pg_tables where schemaname = 'intake'")
    holding = set()
    for table in tables:
        name = table["tablename"]
        rows = await owner.fetch(f'select t::text as row from intake."{name}" t')
        holding |= {name for row in rows if "金丝雀" in row["row"]}
    log = await owner.fetch(
        "select t::text as entry from intake.audit t where action not like 'account%'"
    )
    await owner.close()
    assert holding == {"inspection_rounds"}
    assert not [row for row in log if "tcm" in row["entry"] or "covert" in row["entry"]]


async def test_a_covert_round_is_handed_over_at_once_when_its_last_text_is_released(office, clock):
    round_id = await planned(office)
    for unit_id in ("tcm", "edu", "tcm"):
        await visited(office, round_id, unit_id=unit_id)
        await clock.advance(hours=5)
    await visited(office, round_id, found=())
    await clock.advance(days=3)
    await handed_over(office)

    first, second, last = await queued(office)
    await released(office, first)
    await released(office, second)
    assert set(await names(office)) == {"finding.registered.v1"}

    await released(office, last, "窗口无人在岗")

    events = await office.events()
    texts = [body for name, body in events if name == "finding.summary_released.v1"]
    visits = [body for name, body in events if name == "visit.handed_over.v1"]
    assert sorted(body["redacted_summary"] for body in texts) == sorted(
        [FOUND, FOUND, "窗口无人在岗"]
    )
    assert len(visits) == 4
    assert len({body["occurred_at"] for body in (*texts, *visits)}) == 1
    async with office.transaction() as tx:
        today = str(tx.now.astimezone(CHINA).date())
    assert {body["received_on"] for body in texts} == {today}


async def test_the_order_of_a_hand_over_is_not_that_of_the_visits(office, clock):
    orders = set()
    for _ in range(4):
        round_id = await planned(office)
        sent = [(await visited(office, round_id, found=())).number for _ in range(6)]
        before = len(await office.events())
        async with office.transaction() as tx:
            await close_round(tx, round_id, by=office.person(Role.OFFICE))
        left = [body["number"] for _, body in (await office.events())[before:]]
        assert sorted(left) == sorted(sent)
        orders.add(tuple(sent.index(number) for number in left))
    assert orders != {(0, 1, 2, 3, 4, 5)}


async def test_numbers_of_visits_do_not_count_them(office):
    numbers = [(await visited(office)).number for _ in range(5)]

    digits = [int(number.split("-")[1]) for number in numbers]
    steps = {b - a for a, b in itertools.pairwise(digits)}
    assert steps != {1}
    assert max(digits) > 1_000


async def test_a_visit_that_arrives_after_the_end_is_handed_over_by_itself(office, clock):
    round_id = await planned(office)
    await visited(office, round_id, found=())
    async with office.transaction() as tx:
        made_at = tx.now
    await clock.advance(days=3)
    await handed_over(office)
    assert await names(office) == ["visit.handed_over.v1"]

    late = await visited(office, round_id, visited_at=made_at)
    await released(office, f"{late.number}-1")

    assert (await names(office))[1:] == [
        "finding.registered.v1",
        "finding.summary_released.v1",
        "visit.handed_over.v1",
    ]


async def test_closing_a_round_early_ends_it(office):
    round_id = await planned(office)
    receipt = await visited(office, round_id)

    for _ in range(2):
        async with office.transaction() as tx:
            await close_round(tx, round_id, by=office.person(Role.OFFICE))

    assert await queued(office) == [f"{receipt.number}-1"]


# ── one mechanism for every text ──────────────────────────────────────────────────────────────────


async def test_a_finding_waits_for_a_reviewer_with_personal_data_masked(office):
    receipt = await visited(office, found=("窗口无人，电话 13812345678 无人接",))
    [number] = await queued(office)
    assert number == f"{receipt.number}-1"

    async with office.transaction() as tx:
        panel = await release_panel(tx, number, office.person(Role.REVIEWER))

    assert "13812345678" in "".join(segment.text for segment in panel.original)
    assert "13812345678" not in panel.draft
    with pytest.raises(Rejected, match="手机"):
        await released(office, number, "打 13812345678 无人接")
    await released(office, number, "电话无人接听")
    [text] = [body for name, body in await office.events("finding.summary%")]
    assert (text["release"], text["redacted_summary"]) == (1, "电话无人接听")


async def test_a_correction_after_the_hand_over_is_published_at_once(office):
    await visited(office)
    [number] = await queued(office)
    await released(office, number)

    await released(office, number, "更正后的文字", draft=0, release=1)

    texts = [body for _, body in await office.events("finding.summary%")]
    assert [(body["release"], body["redacted_summary"]) for body in texts] == [
        (1, FOUND),
        (2, "更正后的文字"),
    ]
    assert len(await office.events("visit.handed_over.v1")) == 1


async def test_no_reviewer_releases_a_finding_about_the_own_unit(office):
    await visited(office)
    [number] = await queued(office)
    own = Account(uuid4(), "qian", "钱审核", Role.REVIEWER, "tcm")

    assert await queued(office, own) == []
    async with office.transaction() as tx:
        assert await release_panel(tx, number, own) is None


async def test_a_visit_does_not_wait_for_a_finding_whose_case_was_refused(office):
    await visited(office)
    [number] = await queued(office)
    case = await opened_case(office, number)

    async with office.transaction() as tx:
        await record_case_events(tx, [case])
        row = await tx.fetchrow("select case_id from findings")
        assert row["case_id"] == case.case_id
        refused = CaseNotAccepted(
            occurred_at=tx.now,
            case_id=case.case_id,
            number=case.number,
            campaign_id=CAMPAIGN,
            unit_id=None,
            reason="other",
            explanation="不属于本次评议",
        )
        await record_case_events(tx, [refused])
    await handed_over(office)

    assert await queued(office) == []
    assert [name for name in await names(office) if name != "finding.registered.v1"] == [
        "visit.handed_over.v1"
    ]


async def opened_case(office, number):
    async with office.transaction() as tx:
        finding_id = await tx.fetchval("select id from findings where number = $1", number)
        return CaseOpened(
            occurred_at=tx.now,
            case_id=uuid4(),
            number="ZF2026-000001",
            campaign_id=CAMPAIGN,
            unit_id=None,
            source=CaseSource.VISIT,
            source_id=finding_id,
            kind="finding",
            urgency="normal",
            problem_item=None,
            deadlines=(),
        )


async def test_a_scheme_may_let_the_unit_see_the_day_of_the_visit(office, clock):
    await with_checklist(office, shows_visit_day=True)
    async with office.transaction() as tx:
        visited_on = str(tx.now.astimezone(CHINA).date())
    round_id = await planned(office)
    await visited(office, round_id)
    await clock.advance(days=3)
    await handed_over(office)
    [number] = await queued(office)
    await released(office, number)

    [(_, text)] = await office.events("finding.summary%")
    assert text["received_on"] == visited_on


async def with_checklist(office, **changes):
    scheme = load_scheme("J", 2026)
    first = scheme.checklists[0]
    changed = msgspec.structs.replace(first, **changes)
    instruments = tuple(changed if each == first else each for each in scheme.instruments)
    scheme = msgspec.structs.replace(scheme, instruments=instruments)
    async with office.transaction() as tx:
        event = msgspec.structs.replace(published(tx.now), scheme=scheme.to_json())
        await campaigns.save(tx, event, 2)
    office.context.campaigns = campaigns.new_cache()


# ── rules of rounds and visits ────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"name": " "}, "轮次名称"),
        ({"team": ()}, "巡查员"),
        ({"team": (uuid4(),)}, "在用的巡查员"),
        ({"units": ("nowhere",)}, "没有所选的单位"),
    ],
    ids=["no name", "no team", "stranger in the team", "unknown unit"],
)
async def test_a_plan_that_cannot_be_carried_out_is_rejected(office, changes, sentence):
    with pytest.raises(Rejected, match=sentence):
        await planned(office, **changes)


async def test_days_of_a_round_are_in_order_and_not_past(office):
    today = (await plan(office)).begins_on
    with pytest.raises(Rejected, match="早于今天"):
        await planned(office, begins_on=today - timedelta(days=1))
    with pytest.raises(Rejected, match="早于开始"):
        await planned(office, ends_on=today - timedelta(days=1))


async def test_a_round_is_changed_only_before_it_begins(office, clock):
    tomorrow = (await plan(office)).begins_on + timedelta(days=1)
    round_id = await planned(office, begins_on=tomorrow)
    wanted = await plan(office, begins_on=tomorrow, name="改名")
    async with office.transaction() as tx:
        await change_round(tx, round_id, wanted, by=office.person(Role.OFFICE))

    await clock.advance(days=1)
    with pytest.raises(Rejected, match="已经开始"):
        async with office.transaction() as tx:
            await change_round(tx, round_id, wanted, by=office.person(Role.OFFICE))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"mode": VisitMode.ANNOUNCED}, "改选方式"),
        ({"unit_id": "tax"}, "不检查该单位"),
    ],
    ids=["other mode", "other unit"],
)
async def test_a_visit_fits_its_round(office, changes, sentence):
    round_id = await planned(office)
    with pytest.raises(Rejected, match=sentence):
        await visited(office, round_id, **changes)


async def test_a_visit_is_made_during_its_round(office, clock):
    round_id = await planned(office)
    await clock.advance(days=3)
    with pytest.raises(Rejected, match="轮次期间"):
        await visited(office, round_id)


async def test_only_the_team_records_visits_of_a_round(office):
    round_id = await planned(office)
    stranger = Account(uuid4(), "zhu", "朱巡查", Role.INSPECTOR, None)
    with pytest.raises(Rejected, match="不在其中"):
        await visited(office, round_id, by=stranger)


async def test_a_covert_visit_needs_a_round_unless_the_office_records_it(office):
    with pytest.raises(Rejected, match="检查轮次"):
        await visited(office, mode=VisitMode.COVERT)
    await visited(office, mode=VisitMode.COVERT, by=office.person(Role.OFFICE))


async def test_phones_hold_the_rounds_of_their_inspector_shortly_before_they_begin(office):
    today = (await plan(office)).begins_on
    await planned(office, name="现在")
    await planned(
        office, name="后天", begins_on=today + timedelta(days=2), ends_on=today + timedelta(days=4)
    )
    far = today + timedelta(days=20)
    await planned(office, name="以后", begins_on=far, ends_on=far)
    stranger = Account(uuid4(), "zhu", "朱巡查", Role.INSPECTOR, None)

    async with office.transaction() as tx:
        own = await field_reference(tx, office.person(Role.INSPECTOR))
        other = await field_reference(tx, stranger)
    assert [each.name for each in own.rounds] == ["现在", "后天"]
    assert other.rounds == []
