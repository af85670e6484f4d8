"""The pages of notify in Chromium, on PostgreSQL."""

from collections.abc import AsyncIterator
from datetime import timedelta
from types import SimpleNamespace

import pytest
from playwright.async_api import Browser, Page, expect

from services.notify.actions import delivery
from services.notify.app import build
from services.notify.domain.audience import Audience
from shared.appraisal.events import CaseSentBack, CaseSubmitted
from shared.appraisal.labels import Urgency
from shared.security.policies import Account
from shared.security.sessions import COOKIE
from tests.browser.support import SIZES, axe, fits, serving
from tests.notify.conftest import LIU, WEDNESDAY, ZHENG, ZHOU, CaseEvents, notify, own  # noqa: F401
from tests.notify.listeners import HttpListener, listening

pytestmark = [pytest.mark.browser, pytest.mark.stack]


@pytest.fixture
async def desk(notify, settings, own, chromium: Browser) -> AsyncIterator[SimpleNamespace]:  # noqa: F811
    """Notify with notifications, over HTTP: `desk.open(path, account, size)`.

    Content Security Policy violations and JavaScript errors fail the test.
    """
    await create_notifications(notify)
    service = build(settings, own=own, run_jobs=False)
    contexts = []
    violations = []
    async with serving(service.app) as url:

        async def open_(path: str, account: Account, size=(1366, 768), script=True) -> Page:
            context = await chromium.new_context(
                viewport={"width": size[0], "height": size[1]},
                locale="zh-CN",
                java_script_enabled=script,
            )
            contexts.append(context)
            token = await service.sessions.create(account)
            await context.add_cookies([{"name": COOKIE, "value": token, "url": url}])
            page = await context.new_page()
            page.on("pageerror", lambda error: violations.append(str(error)))
            page.on(
                "console",
                lambda line: (
                    violations.append(line.text) if "Content Security Policy" in line.text else None
                ),
            )
            await page.goto(url + path)
            return page

        yield SimpleNamespace(open=open_, url=url, notify=notify)
        for context in contexts:
            await context.close()
    await service.redis.aclose()
    await service.database.close()
    assert not violations, violations


async def create_notifications(notify) -> None:  # noqa: F811
    """Create notifications of five cases, and webhooks that accept, reject and fail."""
    overdue, near, sent_back, fresh = (CaseEvents(f"ZF2026-0045{n:02}") for n in (7, 8, 12, 15))
    await notify.consume(
        overdue.opened(),
        overdue.assigned(),
        near.opened(),
        near.assigned(),
        sent_back.opened(),
        sent_back.assigned(),
    )
    await notify.consume(
        near.accepted(),
        near.warned(),
        sent_back.accepted(),
        sent_back.event(CaseSubmitted, late=False),
    )
    await notify.consume(
        sent_back.event(CaseSentBack, reason="incomplete"),
        overdue.lapsed("accept", WEDNESDAY - timedelta(minutes=30)),
    )
    async with (
        listening(reachable := HttpListener()),
        listening(gone := HttpListener([410])),
        listening(busy := HttpListener([503])),
    ):
        for role, unit, url in (
            (Audience.SUPERVISOR, None, reachable.url),
            (Audience.HANDLER, "tax", gone.url),
            (Audience.OFFICE, None, busy.url),
        ):
            await notify.subscribe(url, role=role, unit_id=unit)
        await notify.consume(
            fresh.opened(),
            fresh.assigned(),
            CaseEvents("ZF2026-004501", unit="health", urgency=Urgency.URGENT).lapsed(),
        )
        await delivery.send_pending(notify.database, notify.context)


PAGES = [
    ("/notify/inbox", LIU),
    ("/notify/inbox?view=all", ZHOU),
    ("/notify/log", ZHENG),
    ("/notify/log?number=none", ZHENG),
]
PAGES += [
    ("/notify/templates", ZHENG),
    ("/notify/templates/deadline_warned", ZHENG),
    ("/notify/rules", ZHENG),
    ("/notify/inbox", ZHENG),
]


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}")
async def test_every_page_passes_axe_and_fits(desk, size):
    for path, account in PAGES:
        page = await desk.open(path, account, size)
        await axe(page)
        await fits(page)


async def test_inbox_is_operated_by_keyboard(desk):
    page = await desk.open("/notify/inbox", LIU)
    rows = page.locator("#inbox tbody tr")
    await expect(rows).to_have_count(4)
    await expect(page.locator("#unread")).to_have_text("4")
    first = await rows.nth(0).locator("[data-open]").inner_text()

    await page.keyboard.press("j")
    await page.keyboard.press("d")

    await expect(rows).to_have_count(3)
    await expect(page.locator("#threads")).not_to_contain_text(first)
    await expect(page.locator("#unread")).to_have_text("3")


async def test_selected_messages_are_marked_together(desk):
    page = await desk.open("/notify/inbox", LIU)

    for key in ("j", "x", "j", "x"):
        await page.keyboard.press(key)
    await page.click("text=选中的标为已处理")

    await expect(page.locator("#inbox tbody tr")).to_have_count(2)


async def test_marking_without_a_selection_shows_an_error(desk):
    page = await desk.open("/notify/inbox", LIU)

    await page.click("text=选中的标为已处理")

    await expect(page.locator("#refusal")).to_contain_text("请先选中要标记的消息")
    await expect(page.locator("#inbox tbody tr")).to_have_count(4)


async def test_inbox_works_without_javascript(desk):
    page = await desk.open("/notify/inbox", LIU, script=False)

    await page.click("text=全部标为已处理")

    await expect(page.locator("main")).to_contain_text("没有新消息")
    await page.click("text=查看全部消息")
    await expect(page.locator("#inbox tbody tr")).to_have_count(4)


async def test_new_notification_does_not_move_the_list_while_in_use(desk):
    page = await desk.open("/notify/inbox", LIU)
    await page.keyboard.press("j")
    before = await page.locator("#inbox [data-open]").all_inner_texts()

    await desk.notify.consume(CaseEvents("ZF2026-004599").assigned())
    await page.evaluate("htmx.trigger('#threads', 'every')")
    await page.wait_for_timeout(300)

    assert await page.locator("#inbox [data-open]").all_inner_texts() == before


async def test_template_preview_follows_typing_and_rejected_text_is_kept(desk):
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


async def test_template_is_saved_as_the_next_version(desk):
    page = await desk.open("/notify/templates/deadline_warned", ZHENG)

    await page.fill("#f-text", "{编号}请于{期限}前办结")
    await page.click("text=保存为新版本")

    await expect(page.locator("main .head")).to_contain_text("第 2 版")


async def test_subscription_is_rejected_at_its_field_then_added_and_stopped(desk):
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


async def test_failed_delivery_is_resent(desk):
    page = await desk.open("/notify/log?state=failed", ZHENG)
    failed = page.locator("#log tbody tr")
    await expect(failed.first).to_contain_text("对方返回 410")
    count = await failed.count()

    await failed.first.locator("button:has-text('重发')").click()
    await page.wait_for_url("**/notify/log")
    await page.goto(desk.url + "/notify/log?state=failed")

    await expect(failed).to_have_count(count - 1)
