"""我的办理 and 办理详情 in a real Chromium, with the real service: layout, accessibility, keyboard."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, Page

from services.casework.actions import extensions, handling
from services.casework.app import build
from shared.appraisal.labels import ComplaintKind, Urgency
from shared.security.policies import Account
from shared.security.sessions import COOKIE
from tests.browser.support import axe, composing_key, fits, serving
from tests.casework.conftest import ACCOUNT, ADMIN, LI, REPLY, SUN, ZHANG, ZHAO, World, build_world

pytestmark = [pytest.mark.browser, pytest.mark.stack]

SIZES = [(1366, 768), (390, 844), (320, 640)]


class Office:
    """Casework on a port, and browsers in which people are signed in."""

    def __init__(self, url: str, service: Any, chromium: Browser, world: World) -> None:
        self.url, self.service, self.chromium, self.world = url, service, chromium, world
        self.contexts: list[BrowserContext] = []
        self.errors: list[str] = []

    async def open(
        self, path: str, who: Account, size: tuple[int, int] = (1366, 768), script: bool = True
    ) -> Page:
        context = await self.chromium.new_context(
            viewport={"width": size[0], "height": size[1]},
            locale="zh-CN",
            java_script_enabled=script,
        )
        self.contexts.append(context)
        token = await self.service.sessions.create(who)
        await context.add_cookies([{"name": COOKIE, "value": token, "url": self.url}])
        page = await context.new_page()
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        await page.goto(self.url + path)
        return page


@pytest.fixture
async def world(database: Callable[[str], Any], clock: Any) -> World:
    return await build_world(database("casework"), clock)


@pytest.fixture
async def office(settings: Any, world: World, chromium: Browser) -> AsyncIterator[Office]:
    service = build(settings, run_jobs=False)
    async with serving(service.app) as url:
        opened = Office(url, service, chromium, world)
        yield opened
        for context in opened.contexts:
            await context.close()
    await service.redis.aclose()
    await service.database.close()
    assert not opened.errors, opened.errors


async def some_cases(world: World) -> dict[str, str]:
    """Cases in every state that the pages show."""
    late = await world.open(redacted_summary="窗口推诿，多次往返")
    await world.do(handling.accept_case, number=late, by=LI)
    await world.clock.advance(days=12)
    await world.sweep()
    new = await world.open(redacted_summary="投诉电话无人接听", urgency=Urgency.URGENT)
    handled = await world.open(redacted_summary="工作时间脱岗")
    await world.do(handling.accept_case, number=handled, by=LI)
    await world.do(
        extensions.request_extension, number=handled, amount=3, reason="需到外地调取证据材料", by=LI
    )
    sent = await world.open(redacted_summary="材料反复退回，没有一次性告知")
    await world.do(handling.accept_case, number=sent, by=LI)
    fields = {
        "account": ACCOUNT,
        "finding": "substantiated",
        "measures": "实行 AB 岗",
        "reply": REPLY,
    }
    await world.do(handling.submit_result, number=sent, by=LI, **fields)
    report = await world.open(kind=ComplaintKind.REPORT, redacted_summary="反映分管领导不作为")
    await world.do(handling.urge_unit, number=late, text="请今天说明未按期办结的原因", by=ZHAO)
    return {"late": late, "new": new, "handled": handled, "sent": sent, "report": report}


@pytest.mark.parametrize("size", SIZES)
async def test_every_page_is_accessible_at_every_width(office, world, size):
    numbers = await some_cases(world)
    for path, who in (
        ("/casework/", LI),
        ("/casework/?q=没有这样的", LI),
        (f"/casework/cases/{numbers['late']}", LI),
        (f"/casework/cases/{numbers['handled']}?act=submit", LI),
        (f"/casework/cases/{numbers['new']}?act=return", LI),
        (f"/casework/cases/{numbers['sent']}?act=send_back", ZHANG),
        ("/casework/approvals", ZHANG),
        (f"/casework/triage?case={numbers['report']}", SUN),
        ("/casework/supervise", ZHAO),
        (f"/casework/cases/{numbers['late']}?act=urge", ZHAO),
        ("/casework/ledger", ZHAO),
        ("/casework/obligations", LI),
        ("/casework/calendar?month=2026-10", ADMIN),
    ):
        page = await office.open(path, who, size)
        await axe(page)
        await fits(page)
        await office.contexts.pop().close()


async def test_a_case_is_handled_with_the_keyboard_alone(office, world):
    number = await world.open()
    page = await office.open("/casework/", LI)
    await page.keyboard.press("j")
    await page.keyboard.press("o")
    await page.wait_for_url(f"**/casework/cases/{number}")

    await page.keyboard.press("a")
    await page.wait_for_selector("form[action$=acceptance] button")
    assert (await world.case(number)).state == "assigned", (
        "a key opens a panel and never acts at once"
    )
    await page.focus("form[action$=acceptance] button")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("text=办理中")

    await page.keyboard.press("f")
    await page.wait_for_selector("#f-account")
    await page.fill("#f-account", ACCOUNT)
    await page.check("input[name=finding][value=substantiated]")
    await page.fill("#f-measures", "实行 AB 岗")
    await page.fill("#f-reply", REPLY)
    assert not await composing_key(page), "a key of the input method is not ours"
    await page.focus("#f-reply")
    await page.keyboard.press("Control+Enter")
    await page.wait_for_selector("text=待审核")
    assert (await world.case(number)).state == "reviewing"


async def test_two_cases_are_selected_and_accepted_from_the_list(office, world):
    numbers = [await world.open() for _ in range(3)]
    page = await office.open("/casework/", LI)

    for key in ("j", "x", "j", "x"):
        await page.keyboard.press(key)
    await page.keyboard.press("a")

    await page.wait_for_url("**tab=handle")
    states = [(await world.case(number)).state for number in numbers]
    assert sorted(states) == ["assigned", "handling", "handling"]


async def test_without_javascript_a_case_is_accepted_and_a_mistake_is_shown(office, world):
    number = await world.open()
    page = await office.open(f"/casework/cases/{number}?act=accept", LI, script=False)
    await page.click("form[action$=acceptance] button")
    assert (await world.case(number)).state == "handling"

    await page.goto(f"{office.url}/casework/cases/{number}?act=submit")
    await page.fill("#f-account", "已处理")
    await page.click("form[action$=submission] button.p")

    assert "有内容需要更正" in await page.content() or "处需要更正" in await page.content()
    assert await page.input_value("#f-account") == "已处理"
    assert (await page.title()).startswith("错误：")


async def test_a_stale_form_loses_nothing_that_was_typed(office, world):
    number = await world.open()
    await world.do(handling.accept_case, number=number, by=LI)
    page = await office.open(f"/casework/cases/{number}?act=submit", LI)
    await page.fill("#f-account", ACCOUNT)
    await page.check("input[name=finding][value=substantiated]")
    await page.fill("#f-measures", "实行 AB 岗")
    await page.fill("#f-reply", REPLY)
    await world.do(
        extensions.request_extension,
        number=number,
        amount=2,
        reason="需到外地调取证据材料",
        by=ZHANG,
    )

    await page.click("form[action$=submission] button.p")

    await page.wait_for_selector("text=刚才的操作没有生效")
    assert await page.input_value("#f-account") == ACCOUNT
    assert "申请延期" in await page.inner_text(".note.w")
    await page.click("form[action$=submission] button.p")
    await page.wait_for_selector("text=待审核")
