"""The pages of scoring in a real browser, on a campaign with ballots, visits and cases."""

import re
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from uuid import UUID

import pytest
from playwright.async_api import Browser, Page

from services.scoring.actions.campaigns import show_to_units
from services.scoring.app import build
from services.scoring.views.campaigns import get_campaign
from shared.appraisal.labels import Role
from shared.appraisal.schemes import load_scheme
from shared.foundation.settings import Settings
from shared.security.policies import Account
from shared.security.sessions import COOKIE
from shared.storage.connections import Database
from tests.browser.support import SIZES, axe, fits, serving
from tests.scoring.factories import (
    CAMPAIGN,
    OFFICE,
    Case,
    Scoring,
    ballot,
    consumed,
    random_events,
    visit,
)
from tests.scoring.test_voided import ended, held, voided

pytestmark = [pytest.mark.stack, pytest.mark.browser]


class Site:
    """Scoring, served, with people signed in."""

    def __init__(self, url: str, chromium: Browser, tokens: dict[Role, str]) -> None:
        self.url, self.chromium, self.tokens, self.errors = url, chromium, tokens, list[str]()

    async def open(
        self, path: str, role: Role = Role.OFFICE, size: tuple[int, int] = (1366, 768)
    ) -> Page:
        context = await self.chromium.new_context(
            viewport={"width": size[0], "height": size[1]}, locale="zh-CN"
        )
        await context.add_cookies([{"name": COOKIE, "value": self.tokens[role], "url": self.url}])
        page = await context.new_page()
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on(
            "console",
            lambda message: (
                self.errors.append(message.text)
                if "Content Security Policy" in message.text
                else None
            ),
        )
        await page.goto(self.url + path)
        return page


@pytest.fixture
async def scoring(database: Callable[[str], Database]) -> Scoring:
    return Scoring(database("scoring"))


@pytest.fixture
async def site(settings: Settings, chromium: Browser, scoring: Scoring) -> AsyncIterator[Site]:
    service = build(settings)
    tokens = {
        role: await service.sessions.create(
            Account(
                UUID(int=at),
                role.value,
                f"{role.label}甲",
                role,
                "U07" if role in (Role.UNIT_HEAD, Role.HANDLER) else None,
            )
        )
        for at, role in enumerate(Role, start=1)
    }
    async with serving(service.app) as url:
        opened = Site(url, chromium, tokens)
        yield opened
    await service.redis.aclose()
    await service.database.close()
    assert not opened.errors, opened.errors


@pytest.fixture
async def busy_campaign(scoring: Scoring) -> Scoring:
    """Ballots of every kind, visits, cases with lapses: most units are ranked, one has too small a
    sample.
    """
    await scoring.publish()
    scheme = load_scheme("J", 2020)
    events = []
    no = 0
    for questionnaire in scheme.questionnaires:
        for group in questionnaire.groups:
            for voter in range(12 if group.key != "cppcc" else 3):
                no += 1
                answers = [
                    (
                        unit,
                        item.no,
                        1 + (unit * 7 + voter * 3 + item.no * 5) % 11 // 5
                        if (unit + voter) % 9
                        else 9,
                    )
                    for unit in range(1, 14)
                    for item in questionnaire.items
                ]
                events.append(
                    consumed(ballot(no, answers, instrument=questionnaire.key, group=group.key))
                )
    for unit in range(1, 14):
        findings = [("V01", "ordinary"), ("V05", "serious")][: unit % 3]
        events.append(
            consumed(visit(f"V-{unit:04d}", f"U{unit:02d}", *findings, passed=("V02", "V03")))
        )
    events += [
        consumed(event)
        for event in random_events(5, events=60)
        if type(event).__name__ not in ("BallotsReleased", "VisitHandedOver")
    ]
    await scoring.consume_batch(events)
    await scoring.rescore_pending()
    late = Case("ZF2020-000107", "U07")
    await scoring.consume(late.opened(), late.accepted(), late.lapsed("handle"))
    return scoring


PAGES = {
    "home": "/scoring/",
    "rank": f"/scoring/{CAMPAIGN}/rank?category=government",
    "unit": f"/scoring/{CAMPAIGN}/units/U07",
    "changes": f"/scoring/{CAMPAIGN}/units/U07/changes",
    "rules": f"/scoring/{CAMPAIGN}/rules",
    "register": f"/scoring/{CAMPAIGN}/register",
    "recount": f"/scoring/{CAMPAIGN}/recounts",
    "outcomes": "/scoring/outcomes",
    "approvals": "/scoring/dual-approvals",
    "integrity": f"/scoring/{CAMPAIGN}/integrity",
}
ORGANISATION_PAGES = {
    "organisations": "/scoring/organisations",
    "organisation": "/scoring/organisations/U07",
}


async def test_every_page_is_accessible_and_fits_at_every_size(site, busy_campaign):
    async with busy_campaign.transaction() as tx:
        await show_to_units(tx, campaign_id=CAMPAIGN, shown=True, by=OFFICE)
    await busy_campaign.consume(held(), voided(*range(1, 13)), ended())
    for size in SIZES:
        for name, path in {**PAGES, **ORGANISATION_PAGES, "mine": "/scoring/mine"}.items():
            page = await site.open(path, Role.UNIT_HEAD if name == "mine" else Role.OFFICE, size)
            await fits(page)
            await axe(page)
            await page.context.close()


async def test_empty_installation_leads_to_a_campaign_and_its_register(site, tmp_path):
    page = await site.open("/scoring/")
    await axe(page)
    await page.select_option("#f-scheme", "J")
    await page.fill("#f-year", "2020")
    await page.click("text=建立评议活动")
    await page.wait_for_url("**/register")

    register = tmp_path / "名册.csv"
    register.write_text(
        "单位名称,类别,其他名称,新登记\n"
        "省交通运输厅,省政府工作部门,省交通厅、交通厅,是\n省总工会,党群工作部门,,\n",
        encoding="gb18030",
    )
    await page.set_input_files("#f-file", register)
    await page.click("text=核对文件")
    await page.wait_for_selector("text=没有任何一行导入")
    await axe(page)

    register.write_text(register.read_text("gb18030").replace(",,\n", ",,是\n"), "gb18030")
    await page.set_input_files("#f-file", register)
    await page.click("text=核对文件")
    await page.wait_for_selector("text=尚未保存")
    await axe(page)
    await page.click("text=确认参评")
    await page.wait_for_selector("text=省交通厅、交通厅")

    await page.goto(site.url + "/scoring/rank")
    await page.wait_for_selector("text=尚无计分数据")


async def test_office_records_renames_and_merges_bodies_on_pages(site):
    page = await site.open("/scoring/organisations")
    for name in ("省交通运输厅", "省公路局"):
        await page.goto(site.url + "/scoring/organisations")
        await page.fill("#f-name", name)
        await page.click("#record button")
        await page.wait_for_url("**/organisations/D*")
    await page.fill("#f-name", "省公路管理局")
    await page.fill("#f-valid_from", "2020-01-01")
    async with page.expect_navigation():
        await page.click("#rename button")
    await page.wait_for_selector("h1:has-text('省公路管理局')")
    await axe(page)

    await page.select_option("#f-into_id", label="省交通运输厅")
    await page.fill("#f-merged_on", "2020-02-01")
    await page.click("#merge button")
    async with page.expect_navigation():
        await page.click("dialog[open] [data-yes]")
    await page.wait_for_selector("text=未办结事项由")
    await axe(page)
    await page.goto(site.url + "/scoring/organisations?q=省公路局")
    await page.wait_for_selector("td:has-text('已撤并')")


async def test_displayed_contributions_add_up_to_the_total_of_every_unit(site, busy_campaign):
    async with busy_campaign.transaction() as tx:
        campaign = await get_campaign(tx, CAMPAIGN)
    page = await site.open("/scoring/")
    totals = 0
    for unit in campaign.units:
        await page.goto(f"{site.url}/scoring/{CAMPAIGN}/units/{unit.unit_id}")
        table = page.locator("main table").first
        cells = await table.locator("td[data-l=贡献]").all_inner_texts()
        components = await table.locator("a[href^='#part-']").count()
        *parts, total = [text.strip() for text in cells]
        if total == "—":
            # Without a component that counts there is no total for adjustments to apply to.
            assert set(parts[:components]) == {"—"}, unit.name
            continue
        totals += 1
        assert sum(Decimal(text) for text in parts if text != "—") == Decimal(total), unit.name
    assert totals > 0


async def test_formulas_on_the_page_recompute_by_hand(site, busy_campaign):
    page = await site.open(f"/scoring/{CAMPAIGN}/units/U07")
    formulas = [text for text in await page.locator(".formula").all_text_contents() if "÷" in text]
    assert len(formulas) > 10
    for text in formulas:
        terms, base, mark = re.search(r"\((.+)\) ÷ (\d+) = ([\d.]+)", text).groups()
        points = sum(Decimal(n) * Decimal(p) for n, p in re.findall(r"(\d+)×([\d.]+)", terms))
        assert (points / Decimal(base)).quantize(Decimal("0.01")) == Decimal(mark), text


async def test_small_groups_are_never_shown_alone(site, busy_campaign):
    """政协委员 cast three ballots: they are merged with the deputies."""
    page = await site.open(f"/scoring/{CAMPAIGN}/units/U07")
    headings = await page.locator("#part-deputies h3").all_inner_texts()
    assert len(headings) == 1
    assert headings[0].startswith("人大代表、政协委员")
    assert "合并列示" in headings[0]


async def test_units_and_handlers_get_no_rank_by_any_route(site, busy_campaign):
    for role in (
        Role.UNIT_HEAD,
        Role.HANDLER,
        Role.INSPECTOR,
        Role.OPERATOR,
        Role.ADMIN,
        Role.SUPERVISOR,
        Role.REVIEWER,
    ):
        page = await site.open("/scoring/mine", role)
        for path in (
            *PAGES.values(),
            f"/scoring/api/campaigns/{CAMPAIGN}/board",
            f"/scoring/api/campaigns/{CAMPAIGN}/units/U08",
            "/scoring/api/campaigns/NONE/board",
            "/scoring/palette?q=sheng",
        ):
            answer = await page.request.get(site.url + path)
            assert answer.status == 403, (role, path)
            assert "U08" not in await answer.text()
        await page.context.close()


async def test_own_score_is_shown_only_when_released_and_without_rank_or_numbers(
    site, busy_campaign
):
    page = await site.open("/scoring/mine", Role.UNIT_HEAD)
    assert "尚未发布" in await page.inner_text("main")

    office = await site.open("/scoring/")
    await office.click("text=向各单位开放本单位得分")
    await office.wait_for_selector("text=停止向单位开放")

    await page.reload()
    text = await page.inner_text("main")
    assert "省交通运输厅" in text
    for hidden in ("第", "V-0007", "ZF2020-000107", "省公安厅", "窗口无人在岗"):
        assert hidden not in text, hidden


async def test_recount_is_one_button_and_shows_its_result(site, busy_campaign):
    page = await site.open("/scoring/")
    await page.click("button:has-text('重放核对')")
    await page.wait_for_selector("text=重放结果一致")


async def test_decision_is_made_and_revoked_on_the_unit_page(site, busy_campaign):
    page = await site.open(f"/scoring/{CAMPAIGN}/units/U07")
    await page.click("text=新的认定")
    await page.select_option("#f-rule_id", "J10")
    await page.fill("#f-document", "党工委〔2020〕3号")
    await page.fill("#f-grounds", "群众反映强烈，长期未解决")
    await page.click("#decide button")
    await page.wait_for_selector("dd:has-text('待审批')")
    await approve_as_leader(site, "认定")
    await page.goto(page.url.partition("/scoring/")[0] + f"/scoring/{CAMPAIGN}/units/U07")
    await page.wait_for_selector("main .b:has-text('问责')")
    await page.click("text=撤销这项认定")
    await page.fill("[name=grounds] >> nth=0", "复核后认为证据不足，应予撤销")
    await page.click("button:has-text('申请撤销认定')")
    await page.wait_for_selector("dd:has-text('待审批')")
    await approve_as_leader(site, "撤销认定")
    await page.goto(page.url.partition("/scoring/")[0] + f"/scoring/{CAMPAIGN}/units/U07")
    await page.wait_for_selector("#decisions")
    assert await page.locator("#decisions .note").count() == 0


async def approve_as_leader(site, label: str) -> None:
    leader = await site.open("/scoring/dual-approvals", Role.LEADER)
    await leader.click(f"#waiting a:text-is('{label}')")
    await leader.click("#approve button")
    await leader.wait_for_selector("dd:has-text('已批准')")
    await leader.context.close()


async def test_home_page_follows_events_without_a_reload(site, busy_campaign):
    page = await site.open("/scoring/")
    case = Case("ZF2020-000999", "U08")
    await busy_campaign.consume(case.opened(), case.accepted(), case.lapsed("handle"))
    await page.wait_for_selector("text=ZF2020-000999 办理超期", timeout=8000)


async def test_palette_finds_a_unit_by_its_initials(site, busy_campaign):
    page = await site.open("/scoring/")
    answer = await page.request.get(site.url + "/scoring/palette?q=sjtyst")
    assert [hit["text"] for hit in await answer.json()] == ["省交通运输厅"]
