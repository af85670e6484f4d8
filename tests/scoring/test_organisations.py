"""机构名册: one identity per body, and the acts that change it."""

from datetime import date

import pytest

from services.scoring.actions import organisations as actions
from services.scoring.actions.campaigns import create_campaign, enrol_units
from services.scoring.domain.organisations import OrganisationDraft
from services.scoring.domain.register import UnitRow, plan_rows, unit_rows
from services.scoring.store.organisations import read_register
from services.scoring.views.campaigns import get_campaign
from services.scoring.views.organisations import list_organisations
from shared.appraisal.errors import Rejected
from shared.appraisal.imports import read_table
from shared.appraisal.labels import OrganisationState
from shared.appraisal.organisations import Organisation, OrganisationRegister
from tests.organisations import body
from tests.scoring.factories import CAMPAIGN, OFFICE, Scoring, ballot, j_scheme

pytestmark = pytest.mark.stack
CREDIT_CODE = "91350100M000100Y43"


@pytest.fixture
async def register(database) -> Scoring:
    """Scoring with an empty register."""
    return Scoring(database("scoring"))


async def record(scoring: Scoring, name: str, **fields) -> Organisation:
    async with scoring.transaction() as tx:
        return await actions.record_organisation(
            tx, draft=OrganisationDraft(name=name, **fields), by=OFFICE
        )


async def act(scoring: Scoring, action, **fields):
    async with scoring.transaction() as tx:
        return await action(tx, by=OFFICE, **fields)


async def known(scoring: Scoring) -> OrganisationRegister:
    async with scoring.transaction() as tx:
        return await read_register(tx)


def rows_of(text: str) -> list[UnitRow]:
    return unit_rows(read_table("units.csv", text.encode()))


# ── one identity ──────────────────────────────────────────────────────────────────────────────────


async def test_same_local_code_in_two_campaigns_means_two_bodies(register):
    first = rows_of("单位编码,单位名称,类别,新登记\nG01,省财政厅,government,是\n")
    second = rows_of("单位编码,单位名称,类别,新登记\nG01,省教育厅,government,是\n")

    async with register.transaction() as tx:
        one = await create_campaign(tx, scheme=j_scheme(), by=OFFICE, units=first)
    async with register.transaction() as tx:
        other = await create_campaign(
            tx, scheme=j_scheme(), by=OFFICE, units=second, campaign_id="J-other"
        )

    assert one.units[0].unit_id != other.units[0].unit_id
    assert [unit.name for unit in (*one.units, *other.units)] == ["省财政厅", "省教育厅"]


async def test_two_campaigns_that_enrol_one_body_share_its_id(register):
    recorded = await record(register, "省财政厅", aliases=("财政厅",))

    async with register.transaction() as tx:
        rows = rows_of("单位名称,类别\n省财政厅,government\n")
        one = await create_campaign(tx, scheme=j_scheme(), by=OFFICE, units=rows)
        rows = rows_of("单位名称,类别\n财政厅,government\n")
        other = await create_campaign(
            tx, scheme=j_scheme(), by=OFFICE, units=rows, campaign_id="J-other"
        )

    assert {unit.unit_id for unit in (*one.units, *other.units)} == {recorded.id}


async def test_ids_are_never_used_again(register):
    mistaken = await record(register, "省财证厅")
    await act(register, actions.withdraw_organisation, organisation_id=mistaken.id)
    with pytest.raises(Rejected):
        await record(register, "省")

    right = await record(register, "省财政厅")

    assert right.id not in {mistaken.id, "D000002"}
    assert (await known(register)).by_id.keys() == {mistaken.id, right.id}


WRONG_ROWS = {
    "unknown name": ("单位名称,类别\n省财政局,government\n", "名册中没有“省财政局”"),
    "unknown id": ("单位编号,单位名称,类别\nG01,省财政厅,government\n", "名册中没有编号“G01”"),
    "id of another body": (
        "单位编号,单位名称,类别\nU1,省教育厅,government\n",
        "编号“U1”在单位名册中是“省财政厅”，与“省教育厅”不符",
    ),
    "code of another body": (
        f"官方代码,单位名称,类别\n{CREDIT_CODE},省教育厅,government\n",
        "在单位名册中是“省财政厅”",
    ),
    "ambiguous name": ("单位名称,类别\n民政局,government\n", "有几个单位叫“民政局”"),
    "local code": (
        "官方代码,单位名称,类别,新登记\nG01,省审计厅,government,是\n",
        "本地自编的编号不能用来识别单位",
    ),
    "withdrawn body": ("单位编号,单位名称,类别\nU9,省旧厅,government\n", "登记撤回，不能参评"),
    "category": ("单位名称,类别\n省财政厅,别的\n", "没有“别的”这个类别"),
    "twice": ("单位名称,类别\n省财政厅,party\n财政厅,party\n", "在文件中出现了两次"),
    "new namesake": (
        "单位名称,类别,上级单位,新登记\n民政局,party,甲县,是\n民政局,party,甲县,是\n",
        "在文件中出现了两次",
    ),
    "unknown parent": ("单位名称,类别,上级单位\n民政局,party,丙县\n", "没有上级单位“丙县”"),
}
REGISTER = OrganisationRegister.of(
    [
        body("U1", "省财政厅", aliases=("财政厅",), official_code=CREDIT_CODE),
        body("U2", "甲县"),
        body("U3", "乙县"),
        body("U4", "民政局", parent_id="U2"),
        body("U5", "民政局", parent_id="U3"),
        body("U9", "省旧厅", state=OrganisationState.WITHDRAWN),
    ]
)


@pytest.mark.parametrize(("text", "reason"), WRONG_ROWS.values(), ids=WRONG_ROWS)
def test_a_row_is_reported_and_never_means_another_body(text: str, reason: str):
    plan = plan_rows(REGISTER, rows_of(text), j_scheme())

    last = len(text.splitlines())
    assert [error.line for error in plan.errors] == [last]
    assert reason in plan.errors[0].reason
    with pytest.raises(Rejected, match=f"第 {last} 行"):
        plan.raise_errors()


def test_rows_mean_bodies_by_code_name_alias_or_parent():
    text = (
        "单位名称,类别,官方代码,上级单位,新登记\n"
        f"财政厅,government,{CREDIT_CODE.lower()},,\n"
        "民政局,government,,乙县,\n"
        "民政局,government,,,是\n"
    )
    plan = plan_rows(REGISTER, rows_of(text), j_scheme())

    assert plan.errors == ()
    found = [None if one.is_new else one.organisation.id for one in plan.rows]
    assert found == ["U1", "U5", None], "a new 民政局 at the top is neither of the counties'"


async def test_plan_that_no_longer_means_the_same_is_not_carried_out(register):
    await record(register, "省财政厅")
    rows = [UnitRow(name="省财政厅", category="government")]
    async with register.transaction() as tx:
        campaign = await create_campaign(tx, scheme=j_scheme(), by=OFFICE)
        digest = plan_rows(await read_register(tx), rows, campaign.scheme).digest
    changed = {"organisation_id": "D000001", "name": "财政部", "valid_from": date(2020, 1, 1)}
    await act(register, actions.rename_organisation, **changed)
    await record(register, "省财政厅")

    with pytest.raises(Rejected, match="重新核对"):
        await act_on_campaign(register, rows, digest)


async def act_on_campaign(scoring: Scoring, rows: list[UnitRow], digest: str):
    async with scoring.transaction() as tx:
        await enrol_units(tx, CAMPAIGN, rows, by=OFFICE, expected_digest=digest)


async def test_a_file_records_parents_before_those_under_them(register):
    text = "单位名称,类别,上级单位,新登记\n甲县,party,,是\n民政局,party,甲县,是\n"
    async with register.transaction() as tx:
        await actions.record_organisations(tx, rows=rows_of(text), by=OFFICE)
        again = await actions.record_organisations(tx, rows=rows_of(text), by=OFFICE)

    bodies = (await known(register)).by_id
    assert again == 0
    assert [(one.name, one.parent_id) for one in bodies.values()] == [
        ("甲县", None),
        ("民政局", next(iter(bodies))),
    ]


# ── acts ──────────────────────────────────────────────────────────────────────────────────────────


async def test_renamed_body_keeps_its_id_and_earlier_campaigns_their_name(scoring):
    changed = {"organisation_id": "U07", "name": "省交通厅", "valid_from": date(2021, 3, 1)}
    await act(scoring, actions.rename_organisation, **changed)
    async with scoring.transaction() as tx:
        earlier = await get_campaign(tx, CAMPAIGN)
    assert earlier.by_id["U07"].name == "省交通运输厅", "the campaign of 2020 was over by then"

    await act(
        scoring,
        actions.rename_organisation,
        **changed
        | {"organisation_id": "U08"}
        | {"name": "省教育委员会", "valid_from": date(2020, 6, 1)},
    )

    async with scoring.transaction() as tx:
        campaign = await get_campaign(tx, CAMPAIGN)
        found = await list_organisations(tx, term="省教育厅")
    assert (campaign.by_id["U08"].name, campaign.by_id["U08"].aliases) == (
        "省教育委员会",
        ("省教育厅",),
    )
    assert campaign.by_id["U08"].unit_no == 8
    assert [one.id for one in found.rows] == ["U08"], "a former name still finds it"
    published = (await scoring.published("campaign.published.v1"))[-1]["units"][7]
    assert published["name"] == "省教育委员会"


async def test_merged_bodies_end_and_those_under_them_move(scoring):
    section = await record(scoring, "运输处", parent_id="U07")
    await act(
        scoring,
        actions.merge_organisations,
        organisation_ids=["U07", "U08"],
        into_id="U09",
        on=date(2020, 5, 1),
    )

    register = await known(scoring)
    assert {id: register.heir(id) for id in ("U07", "U08", "U09")} == {
        "U07": "U09",
        "U08": "U09",
        "U09": "U09",
    }
    assert register.by_id[section.id].parent_id == "U09"
    published = {
        one["organisation"]["id"]: one["organisation"]
        for one in await scoring.published("organisation.published.v1")
    }
    assert published["U07"]["state"] == "ended"
    assert published["U07"]["successors"] == [
        {"organisation_id": "U09", "kind": "merged", "takes_over": True}
    ]
    async with scoring.transaction() as tx:
        campaign = await get_campaign(tx, CAMPAIGN)
    assert "U07" in campaign.by_id, "it keeps its place and its score"
    with pytest.raises(Rejected, match="不能参评"):
        await act_enrol(scoring, "U07")


async def act_enrol(scoring: Scoring, unit_id: str):
    async with scoring.transaction() as tx:
        row = UnitRow(name="", unit_id=unit_id, category="party")
        await enrol_units(tx, CAMPAIGN, [row], by=OFFICE)


async def test_split_names_the_successor_that_takes_over(scoring):
    fields = {"organisation_id": "U07", "successor_ids": ["U08", "U09"], "on": date(2020, 5, 1)}
    with pytest.raises(Rejected, match="承接未办结事项"):
        await act(scoring, actions.split_organisation, **fields, heir_id="U10")
    under = await record(scoring, "运输处", parent_id="U07")
    with pytest.raises(Rejected, match="下级单位"):
        await act(scoring, actions.split_organisation, **fields, heir_id="U09")
    await act(scoring, actions.move_organisation, organisation_id=under.id, parent_id="U08")

    await act(scoring, actions.split_organisation, **fields, heir_id="U09")

    register = await known(scoring)
    assert (register.heir("U07"), register.inherited("U08")) == ("U09", frozenset())


async def test_no_body_stands_over_itself(scoring):
    under = await record(scoring, "运输处", parent_id="U07")

    for parent in ("U07", under.id):
        with pytest.raises(Rejected, match="下级单位"):
            await act(scoring, actions.move_organisation, organisation_id="U07", parent_id=parent)
    with pytest.raises(Rejected, match="下级单位"):
        await act(
            scoring,
            actions.merge_organisations,
            organisation_ids=["U07"],
            into_id=under.id,
            on=date(2020, 5, 1),
        )


async def test_mistaken_body_is_withdrawn_before_it_has_data_and_its_number_is_not_reused(scoring):
    await act_file(scoring, "单位名称,类别,新登记\n省财证厅,party,是\n")
    mistaken = (await known(scoring)).by_id["D000001"]
    await act(scoring, actions.withdraw_organisation, organisation_id=mistaken.id)
    await scoring.rescore_pending()
    await act_file(scoring, "单位名称,类别,新登记\n省财政厅,party,是\n")

    async with scoring.transaction() as tx:
        campaign = await get_campaign(tx, CAMPAIGN)
    added = campaign.units[-1]
    assert (added.name, added.unit_no) == ("省财政厅", 16)
    assert mistaken.id not in campaign.by_id


async def act_file(scoring: Scoring, text: str):
    async with scoring.transaction() as tx:
        await enrol_units(tx, CAMPAIGN, rows_of(text), by=OFFICE)
    await scoring.rescore_pending()


async def test_body_with_data_is_not_withdrawn(scoring):
    await scoring.consume(ballot(1, [(1, 1, 1)]))

    with pytest.raises(Rejected, match="已计票"):
        await act(scoring, actions.withdraw_organisation, organisation_id="U07")


async def test_dates_of_acts_are_not_in_the_future(scoring):
    with pytest.raises(Rejected, match="不能晚于今天"):
        await act(
            scoring,
            actions.rename_organisation,
            organisation_id="U07",
            name="省交通厅",
            valid_from=date(2999, 1, 1),
        )


async def test_official_code_belongs_to_one_body(scoring):
    fields = {"kind": "unit", "level": "province", "aliases": (), "official_code": CREDIT_CODE}
    await act(scoring, actions.amend_organisation, organisation_id="U07", **fields)

    with pytest.raises(Rejected, match="这个官方代码属于“省交通运输厅”"):
        await act(scoring, actions.amend_organisation, organisation_id="U08", **fields)
