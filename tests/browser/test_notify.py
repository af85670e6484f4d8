"""The pages of notify in a real Chromium, on its real schema."""

from collections.abc import AsyncIterator
from datetime import timedelta
from types import SimpleNamespace
from uuid import uuid4

import pytest
from playwright.async_api import Browser, Page, expect

from services.notify import actions
from services.notify.app import build
from services.notify.domain import Audience
from shared.appraisal.events import CaseSentBack, CaseSubmitted
from shared.appraisal.labels import Urgency
from shared.security.policies import Account
from shared.security.sessions import COOKIE
from tests.browser.support import SIZES, axe, fits, serving
from tests.notify.conftest import LIU, WEDNESDAY, ZHENG, ZHOU, Case, notify, own  # noqa: F401
from tests.notify.listeners import HttpListener, listening

pytestmark = [pytest.mark.browser, pytest.mark.stack]


@pytest.fixture
async def desk(notify, settings, own, chromium: Browser) -> AsyncIterator[SimpleNamespace]:  # noqa: F811
    """Notify, served, with a morning's notifications. `desk.open(path, person, size)`; what the console
    complains about fails the test.
    """
    await tell_a_morning(notify)
    service = build(settings, own=own, run_jobs=False)
    contexts, complaints = [], []
    async with serving(service.app) as url:

        async def open_(path: str, who: Account, size=(1366, 768), script=True) -> Page:
            context = await chromium.new_context(
                viewport={"width": size[0], "height": size[1]},
                locale="zh-CN",
                java_script_enabled=script,
            )
            contexts.append(context)
            token = await service.app.state.sessions.create(who)
            await context.add_cookies([{"name": COOKIE, "value": token, "url": url}])
            page = await context.new_page()
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on(
                "console",
                lambda line: (
                    complaints.append(line.text) if "Content Security Policy" in line.text else None
                ),
            )
            await page.goto(url + path)
            return page

        yield SimpleNamespace(open=open_, url=url, notify=notify)
        for context in contexts:
            await context.close()
    await service.app.state.redis.aclose()
    await service.database.close()
    assert not complaints, complaints


async def tell_a_morning(notify) -> None:  # noqa: F811
    """Four cases in different states, an address that works and one that does not."""
    late, near, back, fresh = (Case(f"ZF2026-0045{n:02}") for n in (7, 8, 12, 15))
    await notify.tell(
        late.opened(),
        late.assigned(),
        near.opened(),
        near.assigned(),
        back.opened(),
        back.assigned(),
    )
    await notify.tell(
        near.accepted(), near.warned(), back.accepted(), back.says(CaseSubmitted, late=False)
    )
    await notify.tell(
        back.says(CaseSentBack, reason="incomplete"),
        late.lapsed("accept", WEDNESDAY - timedelta(minutes=30)),
    )
    async with (
        listening(works := HttpListener()),
        listening(gone := HttpListener([410])),
        listening(busy := HttpListener([503])),
    ):
        for role, unit, url in (
            (Audience.SUPERVISOR, None, works.url),
            (Audience.HANDLER, "tax", gone.url),
            (Audience.OFFICE, None, busy.url),
        ):
            async with notify.database.transaction(notify.context) as tx:
                await actions.subscribe(
                    tx,
                    subscription_id=uuid4(),
                    role=role,
                    unit_id=unit,
                    kinds=(),
                    address=url,
                    by=ZHENG,
                )
        await notify.tell(
            fresh.opened(),
            fresh.assigned(),
            Case("ZF2026-004501", unit="health", urgency=Urgency.URGENT).lapsed(),
        )
        await actions.send_pending(notify.database, notify.context)


PLACES = [
    ("/notify/inbox", LIU),
    ("/notify/inbox?view=all", ZHOU),
    ("/notify/log", ZHENG),
    ("/notify/log?number=none", ZHENG),
]
PLACES += [
    ("/notify/templates", ZHENG),
    ("/notify/templates/deadline_warned", ZHENG),
    ("/notify/rules", ZHENG),
    ("/notify/inbox", ZHENG),
]


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}")
async def test_every_page_passes_axe_and_fits(desk, size):
    for path, who in PLACES:
        page = await desk.open(path, who, size)
        await axe(page)
        await fits(page)


async def test_the_inbox_is_worked_through_by_keyboard(desk):
    page = await desk.open("/notify/inbox", LIU)
    rows = page.locator("#inbox tbody tr")
    await expect(rows).to_have_count(4)
    await expect(page.locator("#unread")).to_have_text("4")
    first = await rows.nth(0).locator("[data-open]").inner_text()

    await page.keyboard.press("j")
    await page.keyboard.press("d")

    await expect(rows).to_have_count(3)
    await expect(page.locator("#matters")).not_to_contain_text(first)
    await expect(page.locator("#unread")).to_have_text("3")


async def test_ticked_messages_are_marked_together(desk):
    page = await desk.open("/notify/inbox", LIU)

    for key in ("j", "x", "j", "x"):
        await page.keyboard.press(key)
    await page.click("text=选中的标为已处理")

    await expect(page.locator("#inbox tbody tr")).to_have_count(2)


async def test_nothing_ticked_is_said_and_nothing_changes(desk):
    page = await desk.open("/notify/inbox", LIU)

    await page.click("text=选中的标为已处理")

    await expect(page.locator("#refusal")).to_contain_text("请先选中要标记的消息")
    await expect(page.locator("#inbox tbody tr")).to_have_count(4)


async def test_the_inbox_works_without_javascript(desk):
    page = await desk.open("/notify/inbox", LIU, script=False)

    await page.click("text=全部标为已处理")

    await expect(page.locator("main")).to_contain_text("没有新消息")
    await page.click("text=查看全部消息")
    await expect(page.locator("#inbox tbody tr")).to_have_count(4)


async def test_a_new_notification_waits_while_somebody_reads(desk):
    page = await desk.open("/notify/inbox", LIU)
    await page.keyboard.press("j")
    before = await page.locator("#inbox [data-open]").all_inner_texts()

    await desk.notify.tell(Case("ZF2026-004599").assigned())
    await page.evaluate("htmx.trigger('#matters', 'every')")
    await page.wait_for_timeout(300)

    assert await page.locator("#inbox [data-open]").all_inner_texts() == before


async def test_a_template_shows_its_preview_as_it_is_typed_and_keeps_a_refused_text(desk):
    page = await desk.open("/notify/templates/deadline_warned", ZHENG)

    await page.fill("#f-text", "{编号}请于{期限}前办结")
    await expect(page.locator("#preview")).to_contain_text(
        "ZF2026-004512请于11-25 17:30 周三前办结"
    )
    await page.fill("#f-text", "请联系{姓名}")
    await expect(page.locator("#preview")).to_contain_text("没有“姓名”这个字段")
    await page.click("text=保存为新版本")

    await expect(page.locator("#errsum")).to_contain_text("没有“姓名”这个字段")
    await expect(page.locator("#f-text")).to_have_value("请联系{姓名}")
    await axe(page)


async def test_a_template_is_saved_as_the_next_version(desk):
    page = await desk.open("/notify/templates/deadline_warned", ZHENG)

    await page.fill("#f-text", "{编号}请于{期限}前办结")
    await page.click("text=保存为新版本")

    await expect(page.locator("main .head")).to_contain_text("第 2 版")


async def test_a_subscription_is_added_refused_at_its_field_and_stopped(desk):
    page = await desk.open("/notify/rules", ZHENG)
    await page.select_option("#f-role", "handler")
    await page.fill("#f-address", "https://93.184.216.34/hook")
    await page.click("button:has-text('添加订阅')")
    await expect(page.locator("#f-unit_id-e")).to_have_text("承办人和单位负责人的订阅须指定单位")
    await page.evaluate("scrollTo(0, 0)")
    await axe(page)

    await page.select_option("#f-unit_id", "health")
    await page.click("button:has-text('添加订阅')")
    row = page.locator("#addresses tbody tr", has_text="市卫生健康委员会")
    await expect(row).to_contain_text("93.184.216.34")

    await row.locator("text=停用").click()
    await page.click("dialog[open] [data-yes]")
    await expect(row).to_have_count(0)


async def test_a_failed_delivery_is_sent_again(desk):
    page = await desk.open("/notify/log?state=failed", ZHENG)
    failed = page.locator("#log tbody tr")
    await expect(failed.first).to_contain_text("对方返回 410")
    count = await failed.count()

    await failed.first.locator("button:has-text('重发')").click()
    await page.wait_for_url("**/notify/log")
    await page.goto(desk.url + "/notify/log?state=failed")

    await expect(failed).to_have_count(count - 1)
