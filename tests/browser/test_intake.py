"""Intake in Chromium: the desk by keyboard and input method, public pages without JavaScript, the
field app offline.
"""

import re
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from playwright.async_api import Browser, Page, expect

from services.intake.actions.ballot_release import release_ballots
from services.intake.actions.rounds import close_round
from shared.appraisal.labels import Role
from shared.security.oidc import IdentityProvider, OidcSettings, PendingRequest
from shared.security.sessions import COOKIE
from shared.security.token_store import TokenStore
from tests.browser.support import SIZES, axe, composing_key, fits, ime, serving
from tests.identity_provider import CLIENT_ID, CLIENT_SECRET, running_provider
from tests.intake.conftest import CAMPAIGN, PASSWORD, Office, new_codes, office  # noqa: F401
from tests.intake.rounds import plan, planned
from tests.intake.test_integrity import examined, stuffed

pytestmark = [pytest.mark.browser, pytest.mark.stack]
RELEASES = 20
MACHINE_SECONDS_MAX = 2.0
"""Of the machine for one release; the target of 20 seconds is nearly all for reading."""
ELSEWHERE = "/notify/"
"""Pages of notify, which does not run in these tests."""


@pytest.fixture
async def site(office: Office, chromium: Browser) -> AsyncIterator[SimpleNamespace]:  # noqa: F811
    """A running intake service. `site.open(path, role, …)` returns a page.

    Script errors and violations of the content security policy fail the test.
    """
    contexts = []
    errors = []
    async with serving(office.service.app) as url:

        async def open_(
            path: str, role: Role | None = None, size=(1366, 768), script=True, **options
        ) -> Page:
            width, height = size
            context = await chromium.new_context(
                viewport={"width": width, "height": height},
                locale="zh-CN",
                java_script_enabled=script,
                **options,
            )
            contexts.append(context)
            if role:
                token = await office.service.sessions.create(office.person(role))
                await context.add_cookies([{"name": COOKIE, "value": token, "url": url}])
            page = await context.new_page()
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.on(
                "console",
                lambda line: (
                    errors.append(line.text) if "Content Security Policy" in line.text else None
                ),
            )
            await page.goto(url + path)
            return page

        yield SimpleNamespace(open=open_, url=url, office=office)
        for context in contexts:
            await context.close()
    assert not errors, errors


# ── signing in ────────────────────────────────────────────────────────────────────────────────────


async def test_sign_in_redirects_to_the_requested_page(site):
    page = await site.open("/intake/desk")
    await expect(page).to_have_url(re.compile("/login"))
    await page.get_by_label("用户名").fill("zuoxi")
    await page.get_by_label("密码").fill("wrong-password")
    await page.keyboard.press("Enter")
    await expect(page.locator("#errsum")).to_contain_text("用户名或密码不正确")
    await page.get_by_label("密码").fill(PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(re.compile("/intake/desk$"))
    await page.locator("details.who summary").click()
    await page.get_by_role("button", name="退出登录").click()
    await expect(page).to_have_url(re.compile("/login"))


async def test_sign_in_through_the_identity_provider_and_out_again(
    office: Office,  # noqa: F811
    site,
    chromium: Browser,
    monkeypatch,
):
    callback = f"{site.url}/login/oidc/callback"
    async with running_provider(callback) as provider:
        settings = OidcSettings(issuer=provider.issuer, client_id=CLIENT_ID)
        monkeypatch.setattr(OidcSettings, "client_secret", CLIENT_SECRET)
        context = office.context
        context.settings = context.settings.model_copy(update={"public_url": site.url})
        context.identity_provider = IdentityProvider(settings, redirect_uri=callback)
        context.pending_requests = TokenStore(
            office.service.redis, name="oidc", record_type=PendingRequest, seconds=60
        )
        for script in (True, False):
            page = await site.open("/intake/desk", script=script)
            await axe(page) if script else None
            await page.get_by_role("link", name="统一身份认证登录").click()
            await page.get_by_label("工号").fill("zuoxi")
            await page.get_by_role("button", name="确认登录").click()
            await expect(page).to_have_url(re.compile("/intake/desk$"))
            await page.locator("details.who summary").click()
            await page.get_by_role("button", name="退出登录").click()
            await expect(page).to_have_url(re.compile("ended=true"))
            await axe(page) if script else None
            await page.get_by_role("link", name="退出统一身份认证").click()
            await expect(page.locator("body")).to_contain_text("signed out of fengping")


# ── the desk ──────────────────────────────────────────────────────────────────────────────────────


async def test_complaint_is_registered_by_keyboard_only(site):
    page = await site.open("/intake/desk", Role.OPERATOR)
    keyboard, tabs = page.keyboard, 0

    async def tab(times=1):
        nonlocal tabs
        for _ in range(times):
            await keyboard.press("Tab")
            tabs += 1

    await page.locator("#f-phone").focus()
    await keyboard.type("13812345678")
    await keyboard.press("Alt+u")
    await ime(page, "zhong'yi", "中医")
    await expect(page.locator("#f-unit-l [role=option]")).to_have_count(1)
    await keyboard.press("Enter")
    await expect(page.locator("input[name=unit_id]")).to_have_value("tcm")
    await tab()
    await keyboard.type("08")
    await expect(page.locator("#f-problem-l [role=option]").first).to_contain_text("08")
    await keyboard.press("Enter")
    await expect(page.locator("input[name=problem_id]")).to_have_value("08")
    await tab()
    await keyboard.type("昨天下午")
    await expect(page.locator("#f-occurred-r")).to_contain_text("下午")
    await keyboard.press("Alt+y")
    await ime(page, "chuangkou", "窗口工作人员一直在玩手机，问了三次都不理")
    await keyboard.press("Alt+z")
    await ime(page, "chuangkou", "窗口人员玩手机，不理睬办事群众")
    await keyboard.press("Control+Enter")

    await expect(page.locator(".note.g")).to_contain_text("登记成功：ZT2026-")
    await expect(page.locator(".note.g .code")).to_have_text(re.compile(r"^\d{4} \d{4} \d{4}$"))
    assert tabs <= 12
    assert [name for name, _ in await site.office.events("complaint%")] == [
        "complaint.registered.v1",
        "complaint.summary_released.v1",
    ]


async def test_input_method_keys_trigger_no_shortcut(site):
    page = await site.open("/intake/desk", Role.OPERATOR)
    for selector in (
        "#f-phone",
        "#f-unit",
        "#f-problem",
        "#f-complaint_text",
        "#f-redacted_summary",
    ):
        assert not await composing_key(page, "Enter", selector)
    assert await site.office.events() == []


async def test_rejected_summary_keeps_the_form_filled_in(site):
    page = await site.open("/intake/desk", Role.OPERATOR)
    await fill_desk(page, redacted_summary="请回电 13812345678")
    await page.keyboard.press("Control+Enter")

    await expect(page.locator("#errsum")).to_contain_text("手机号码")
    await expect(page.locator("#errsum")).to_be_focused()
    await expect(page.locator("#f-complaint_text")).to_have_value(re.compile("玩手机"))
    await expect(page.locator("#f-redacted_summary")).to_have_value("请回电 13812345678")
    assert await site.office.events() == []


async def test_what_must_not_be_passed_on_is_asked_at_the_desk_and_kept_out(site):
    page = await site.open("/intake/desk", Role.OPERATOR)
    await fill_desk(page, redacted_summary="双胞胎女儿的事窗口人员不理睬")
    await page.get_by_label("不能转出的内容").fill("双胞胎女儿")
    await page.keyboard.press("Control+Enter")
    await expect(page.locator("#errsum")).to_contain_text("承办单位不应看到")
    await expect(page.get_by_label("不能转出的内容")).to_have_value("双胞胎女儿")
    await page.locator("#f-redacted_summary").fill("窗口人员不理睬办事群众")
    await page.keyboard.press("Control+Enter")
    await expect(page.locator(".note.g")).to_contain_text("登记成功")
    async with site.office.transaction() as tx:
        number = await tx.fetchval("select number from complaints")
    reviewer = await site.open(f"/intake/releases/{number}", Role.REVIEWER)
    await expect(reviewer.locator("dl.kv")).to_contain_text("双胞胎女儿")
    assert "双胞胎" not in str(await site.office.events())


async def fill_desk(page: Page, redacted_summary: str = "窗口人员玩手机，不理睬办事群众") -> None:
    await page.locator("#f-unit").fill("省中医药管理局")
    await page.locator("#f-problem").fill("不确定")
    await page.locator("#f-complaint_text").fill("窗口工作人员一直在玩手机，问了三次都不理")
    await page.locator("#f-redacted_summary").fill(redacted_summary)


async def test_draft_is_saved_on_the_server(site):
    page = await site.open("/intake/desk", Role.OPERATOR)
    await page.locator("#f-complaint_text").fill("这件事还没有写完就断线了")
    await page.keyboard.press("Control+s")
    await expect(page.locator("[data-draft-status]")).to_contain_text("草稿已保存")

    again = await page.context.new_page()
    await again.goto(site.url + "/intake/desk/mine")
    await again.get_by_role("link", name="继续").click()
    await expect(again.locator("#f-complaint_text")).to_have_value("这件事还没有写完就断线了")


async def test_similar_complaint_is_shown_to_the_operator_and_merged_by_the_reviewer(site):
    page = await site.open("/intake/desk", Role.OPERATOR)
    for repeated in (False, True):
        await page.goto(site.url + "/intake/desk")
        await fill_desk(page)
        if repeated:
            await page.keyboard.press("Alt+u")
            await page.locator("#f-unit").fill("szyy")
            await expect(page.locator("#f-unit-l [role=option]")).to_have_count(1)
            await page.keyboard.press("Enter")
            await expect(page.locator("#similar")).to_contain_text("是否并入由受理审核决定")
        await page.keyboard.press("Control+Enter")
        await expect(page.locator(".note.g")).to_contain_text("登记成功")
    numbers = [
        body["number"]
        for name, body in await site.office.events()
        if name == "complaint.registered.v1"
    ]
    assert len(numbers) == 2

    reviewing = await site.open(f"/intake/tickets/{numbers[1]}", Role.REVIEWER)
    await reviewing.get_by_role("button", name=f"并入 {numbers[0]}").click()
    await reviewing.locator("#confirm [data-yes]").click()
    await expect(reviewing.locator(".note")).to_contain_text("已并入")
    assert "complaint.merged.v1" in [name for name, _ in await site.office.events()]


async def test_registration_works_if_the_similarity_search_fails(site):
    page = await site.open("/intake/desk", Role.OPERATOR)
    await page.route("**/intake/desk/similar", lambda route: route.abort())
    await fill_desk(page)
    await expect(page.locator("#similar")).to_contain_text("查重暂不可用")
    await page.keyboard.press("Control+Enter")
    await expect(page.locator(".note.g")).to_contain_text("登记成功")


async def test_desk_fits_without_scrolling(site):
    page = await site.open("/intake/desk", Role.OPERATOR, size=(1366, 640))
    assert await page.evaluate("document.documentElement.scrollHeight") <= 640


async def test_desk_works_without_javascript(site):
    page = await site.open("/intake/desk", Role.OPERATOR, script=False)
    await fill_desk(page)
    await page.get_by_role("button", name="登记并转办").click()
    await expect(page.locator(".note.g")).to_contain_text("登记成功：ZT2026-")


async def test_opened_identity_disappears_after_a_minute(site):
    number = await registered(site)
    page = await site.open(f"/intake/tickets/{number}", Role.REVIEWER)
    await expect(page.get_by_text("138****5678")).to_be_visible()
    await page.get_by_label("用途").select_option("电话回访")
    await page.get_by_label("申请理由").fill("来件人称还有录音材料，需电话约定提交方式")
    await page.get_by_role("button", name="申请打开来件人身份").click()
    await expect(page.get_by_text("正在等待身份保管员批准")).to_be_visible()
    custodian = await site.open("/intake/dual-approvals", Role.CUSTODIAN)
    await custodian.get_by_role("link", name="打开来件人身份").click()
    await custodian.get_by_role("button", name="批准", exact=True).click()
    await expect(custodian.get_by_text("已批准")).to_be_visible()
    page = await site.open(f"/intake/tickets/{number}", Role.REVIEWER)
    await page.clock.install()
    await page.get_by_role("button", name="打开来件人身份").click()
    await expect(page.get_by_text("13812345678")).to_be_visible()
    await expect(page.locator("#identity")).to_contain_text("张立")
    await page.clock.fast_forward(61_000)
    await expect(page.get_by_text("13812345678")).to_have_count(0)
    storage = await page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])")
    assert "13812345678" not in storage


async def registered(site) -> str:
    from services.intake.actions.complaints import Registration, register_complaints
    from services.intake.domain.complaints import NewComplaint
    from shared.appraisal.labels import ComplaintChannel, ComplaintKind
    from tests.intake.conftest import WORDS

    complaint = NewComplaint(
        campaign_id=CAMPAIGN,
        channel=ComplaintChannel.HOTLINE,
        kind=ComplaintKind.COMPLAINT,
        unit_id="tcm",
        complaint_text=WORDS,
        redacted_summary=WORDS,
        name="欧阳晓春",
        phone="13812345678",
    )
    registration = Registration(complaint=complaint, by=site.office.person(Role.OPERATOR))
    async with site.office.transaction() as tx:
        [registered] = await register_complaints(tx, [registration])
    return registered.number


# ── the public ────────────────────────────────────────────────────────────────────────────────────


async def report_something(page: Page, identity: str = "匿名") -> tuple[str, str]:
    """Complete the wizard; return the number and query code on the receipt."""
    await page.get_by_role("link", name="我要反映问题").click()
    await page.get_by_label("单位名称").fill("中医药")
    await page.get_by_role("button", name="继续").click()
    await page.get_by_label("投诉").check()
    await page.locator("input[name=head]").first.check()
    await page.get_by_role("button", name="继续").click()
    await page.locator("input[name=item]").first.check()
    await page.get_by_role("button", name="继续").click()
    await page.get_by_label("事情经过").fill("上午去办事，窗口没有人，等了四十分钟才来。")
    await page.get_by_role("button", name="继续").click()
    await page.get_by_role("button", name="没有，继续").click()
    await page.get_by_label(identity).check()
    await page.get_by_role("button", name="继续").click()
    await expect(page.locator("h1")).to_have_text("核对并提交")
    await page.get_by_role("button", name="提交", exact=True).click()
    await expect(page.locator("h1")).to_have_text("已收到")
    number, code = await page.locator(".code").all_inner_texts()
    return number, code


async def test_report_and_query_work_without_javascript(site):
    page = await site.open("/p/", script=False, size=(390, 844))
    number, code = await report_something(page)
    await page.goto(site.url + "/p/query")
    await page.get_by_label("回执编号").fill(number.replace("-", " "))
    await page.get_by_label("查询码").fill(code)
    await page.get_by_role("button", name="查询").click()

    await expect(page.locator("h1")).to_have_text(number)
    await expect(page.locator("ol.tl li").first).to_contain_text("已收到")
    assert "四十分钟" not in await page.content()
    [(_, event)] = await site.office.events("complaint%")
    assert (event["channel"], event["unit_id"]) == ("online", "tcm")


async def test_unknown_number_and_wrong_code_get_the_same_response(site):
    number = await registered(site)
    page = await site.open("/p/query", script=False)
    words = []
    for asked in (number, "ZT2026-999999"):
        await page.goto(site.url + "/p/query")
        await page.get_by_label("回执编号").fill(asked)
        await page.get_by_label("查询码").fill("123456789012")
        await page.get_by_role("button", name="查询").click()
        words.append(await page.locator("#errsum").inner_text())
    assert words[0] == words[1]
    for _ in range(5):
        await page.get_by_label("查询码").fill("123456789012")
        await page.get_by_role("button", name="查询").click()
    await expect(page.locator("body")).to_contain_text("过于频繁")


async def test_questionnaire_is_submitted_once_without_javascript(site):
    code, *_ = await new_codes(site.office, instrument="deputies", group="npc")
    page = await site.open(f"/s/{code}", script=False, size=(390, 844))
    await expect(page.locator("input:checked")).to_have_count(0)
    assert (
        min(
            [
                (await row.bounding_box())["height"]
                for row in await page.locator(".seg.big label").all()
            ]
        )
        >= 48
    )
    await page.get_by_role("button", name="下一题").click()
    await expect(page.locator("#errsum")).to_contain_text("请选一项")
    for place in range(20):
        await page.locator("input[name=option]").nth(place % 3).check()
        await page.locator("button.p").click()
    await expect(page.locator("h1")).to_have_text("谢谢")
    await page.goto(site.url + f"/s/{code}")
    await expect(page.locator("h1")).to_have_text("已经填过")
    async with site.office.transaction() as tx:
        await release_ballots(tx)
    [(_, event)] = await site.office.events("ballot%")
    [ballot] = event["ballots"]
    assert len(ballot["answers"]) == 20


async def test_codes_are_printed_and_exported_once(site):
    batch = {"campaign_id": CAMPAIGN, "instrument": "deputies", "group": "npc", "count": 12}
    async with await site.office.signed_in(Role.OFFICE) as chen:
        for _ in range(2):
            await chen.post("/intake/api/token-batches", json=batch)
    page = await site.open("/intake/codes", Role.REVIEWER)
    for width, height in SIZES:
        await page.set_viewport_size({"width": width, "height": height})
        await fits(page)
        await axe(page)

    await page.get_by_role("button", name="开封导出").first.click()
    async with page.expect_download() as download:
        await page.locator("#confirm [data-yes]").click()
    lines = Path(await (await download.value).path()).read_text().split()
    assert len(lines) == 13

    await page.reload()
    await page.get_by_role("button", name="开封打印").click()
    await page.locator("#confirm [data-yes]").click()
    await expect(page.locator(".slips li")).to_have_count(12)
    assert await page.locator(".slips").evaluate("list => getComputedStyle(list).display") == "grid"
    await page.goto(site.url + "/intake/codes")
    await expect(page.get_by_role("button", name="开封打印")).to_have_count(0)


async def test_public_photo_is_stored_without_metadata(site, tmp_path):
    from tests.intake.test_visits import picture

    (tmp_path / "张三.jpg").write_bytes(picture(9))
    page = await site.open("/p/report/1", script=False)
    await page.get_by_role("button", name="说不清是哪个单位").click()
    await page.get_by_label("投诉").check()
    await page.get_by_label("说不清").check()
    await page.get_by_role("button", name="继续").click()
    await page.get_by_label("事情经过").fill("上午去办事，窗口没有人，等了四十分钟才来。")
    await page.get_by_role("button", name="继续").click()
    await page.get_by_label("选择文件").set_input_files(tmp_path / "张三.jpg")
    await page.get_by_role("button", name="上传所选").click()
    await expect(page.get_by_role("status")).to_contain_text("已收到 1 个")
    assert "张三" not in await page.content()


# ── every page ────────────────────────────────────────────────────────────────────────────────────

PAGES = [
    ("/login", None),
    ("/", Role.OPERATOR),
    ("/", Role.OFFICE),
    ("/me", Role.OPERATOR),
    ("/me/second-factor", Role.OPERATOR),
    ("/intake/dual-approvals", Role.CUSTODIAN),
    ("/intake/dual-approvals", Role.REVIEWER),
    ("/intake/audit", Role.AUDITOR),
    ("/intake/audit?view=subjects", Role.AUDITOR),
    ("/intake/reconciliation", Role.AUDITOR),
    ("/intake/evidence", Role.OFFICE),
    ("/help", Role.OPERATOR),
    ("/intake/desk", Role.OPERATOR),
    ("/intake/desk/mine", Role.OPERATOR),
    ("/intake/triage", Role.REVIEWER),
    ("/intake/releases", Role.REVIEWER),
    ("/intake/codes", Role.OFFICE),
    ("/intake/integrity", Role.OFFICE),
    ("/intake/rounds", Role.OFFICE),
    ("/intake/questionnaires", Role.OFFICE),
    ("/intake/accounts", Role.ADMIN),
    ("/p/", None),
    ("/p/report/1", None),
    ("/p/query", None),
    ("/p/units", None),
    ("/p/units/tcm", None),
    ("/p/receipt", None),
    ("/s/none", None),
    ("/intake/nowhere", Role.OPERATOR),
]


@pytest.mark.parametrize(("path", "role"), PAGES)
async def test_every_page_is_accessible_at_every_size(site, path, role):
    page = await site.open(path, role)
    for width, height in SIZES:
        await page.set_viewport_size({"width": width, "height": height})
        await fits(page)
        await axe(page)


async def test_ticket_is_accessible_at_every_size(site):
    number = await registered(site)
    page = await site.open(f"/intake/tickets/{number}", Role.REVIEWER)
    await expect(page.locator("h1")).to_contain_text(number)
    for width, height in SIZES:
        await page.set_viewport_size({"width": width, "height": height})
        await fits(page)
        await axe(page)


async def test_held_ballots_are_accessible_at_every_size(site):
    await stuffed(site.office, 40)
    await examined(site.office)
    page = await site.open("/intake/integrity", Role.OFFICE)
    await page.get_by_role("link", name="答案雷同").click()
    for width, height in SIZES:
        await page.set_viewport_size({"width": width, "height": height})
        await fits(page)
        await axe(page)


async def test_reviewer_releases_with_one_key_and_the_next_complaint_opens(site):
    first, second = await registered(site), await registered(site)
    page = await site.open("/intake/releases", Role.REVIEWER)
    await expect(page).to_have_url(re.compile(first))
    for width, height in SIZES:
        await page.set_viewport_size({"width": width, "height": height})
        await fits(page)
        await axe(page)
    summary = page.locator("#f-redacted_summary")
    await summary.fill("来电请回 13812345678")
    await expect(page.locator("#marks mark")).to_have_text("13812345678")
    await summary.fill("窗口人员玩手机，没有理睬办事群众")
    await page.keyboard.press("Control+Enter")
    await expect(page).to_have_url(re.compile(second))
    assert [event["redacted_summary"] for _, event in await site.office.events("%released%")] == [
        "窗口人员玩手机，没有理睬办事群众"
    ]


async def test_twenty_releases_by_keyboard_leave_the_time_to_the_reader(site):
    """The target is 20 seconds for a person and a text: nearly all of it must be left to read."""
    for _ in range(RELEASES):
        await registered(site)
    page = await site.open("/intake/releases", Role.REVIEWER)
    summary = page.locator("#f-redacted_summary")
    keystrokes, seconds = 0, []
    for _ in range(RELEASES):
        number = page.url.rpartition("/")[2]
        await page.keyboard.press("e")
        await expect(summary).to_be_focused()
        started = time.monotonic()
        await page.keyboard.press("Control+Enter")
        keystrokes += 2
        await expect(page).not_to_have_url(re.compile(number))
        await expect(page.locator("main h2.small").or_(page.locator(".empty"))).to_be_visible()
        seconds.append(time.monotonic() - started)
    print(
        f"{RELEASES} releases by keyboard: {keystrokes / RELEASES:.0f} keystrokes and "
        f"{sum(seconds) / RELEASES:.2f} s of the machine each, at most {max(seconds):.2f} s"
    )
    assert len(await site.office.events("%summary_released%")) == RELEASES
    assert sum(seconds) / RELEASES < MACHINE_SECONDS_MAX


async def test_public_pages_are_light(site):
    async with site.office.client() as complainant:
        asked = await complainant.get("/p/report/1")
        files = set(re.findall(r'(?:href|src)="(/static/[^"]+)"', asked.text))
        total = len(asked.content) + sum(
            [len((await complainant.get(file)).content) for file in files]
        )
    assert total <= 60_000


# ── the field ─────────────────────────────────────────────────────────────────────────────────────


async def in_the_field(site, size=(390, 844)) -> Page:
    """Return a page on an inspector's phone that was online before, so that it works offline."""
    page = await site.open("/intake/field/", Role.INSPECTOR, size=size)
    await page.evaluate("navigator.serviceWorker.ready")
    await expect(page.locator("#app")).to_contain_text("2026")
    await page.reload()
    await page.wait_for_function("Boolean(navigator.serviceWorker.controller)")
    return page


async def fill_visit(page: Page, *, photos: int = 0, folder=None, unit: str = "szyy") -> None:
    await page.get_by_role("button", name="＋ 新的检查").click()
    await expect(page.locator("h1")).to_have_text("检查填报")
    await page.get_by_role("combobox", name="被检查单位").fill(unit)
    await page.keyboard.press("Enter")
    for group in await page.locator(".item fieldset").all():
        await group.get_by_text("符合", exact=True).click()
    if photos:
        from tests.intake.test_visits import picture

        files = [folder / f"{number}.jpg" for number in range(photos)]
        for number, file in enumerate(files):
            file.write_bytes(picture(number + 100 * len(list(folder.iterdir()))))
        await page.locator("#f-album").set_input_files(files)
        await expect(page.locator(".photos img")).to_have_count(photos)
    await expect(page.locator("#app > p[role=status]")).to_contain_text("草稿已存本机")


async def submit_visit(page: Page) -> None:
    await page.get_by_role("button", name="完成并提交").click()
    await expect(page.locator("h1")).to_have_text("外勤检查")


async def test_visit_is_filled_in_and_submitted(site, tmp_path):
    page = await in_the_field(site)
    await fill_visit(page, photos=2, folder=tmp_path)
    await submit_visit(page)

    await expect(page.locator("#state")).to_contain_text("全部已上传")
    await expect(page.locator("#app")).to_contain_text("XC2026-")
    [(_, event)] = await site.office.events("visit%")
    assert (event["unit_id"], event["photos"]) == ("tcm", 2)


async def test_offline_visits_are_submitted_once(site, tmp_path):
    page = await in_the_field(site)
    await page.context.set_offline(True)
    await page.reload()
    await expect(page.locator("h1")).to_have_text("外勤检查")
    for _ in range(2):
        await fill_visit(page, photos=1, folder=tmp_path)
        await submit_visit(page)
    await expect(page.locator("#state")).to_contain_text("待上传 2 份（离线，照片 2 张")
    assert await site.office.events() == []

    await page.close()
    again = await page.context.new_page()
    await again.goto(site.url + "/intake/field/queue")
    await expect(again.locator(".records li")).to_have_count(2)
    await page.context.set_offline(False)

    await expect(again.locator("#state")).to_contain_text("全部已上传", timeout=20_000)
    assert len(await site.office.events("visit%")) == 2


async def test_lost_response_creates_no_second_visit(site, tmp_path):
    page = await in_the_field(site)
    lost = 0

    async def lose(route):
        nonlocal lost
        lost += 1
        if lost <= 2:
            await route.fetch()
            await route.abort()
        else:
            await route.continue_()

    await page.context.route("**/commit", lose)
    await fill_visit(page, photos=1, folder=tmp_path)
    await submit_visit(page)
    await expect(page.locator("#state")).to_contain_text("全部已上传", timeout=30_000)
    assert lost == 3
    assert len(await site.office.events("visit%")) == 1


async def test_two_pages_upload_each_photo_once(site, tmp_path):
    page = await in_the_field(site)
    await page.context.set_offline(True)
    await page.reload()
    await fill_visit(page, photos=3, folder=tmp_path)
    await submit_visit(page)
    other = await page.context.new_page()
    await other.goto(site.url + "/intake/field/")
    sent = []
    page.context.on(
        "request", lambda request: sent.append(request.url) if request.method == "PUT" else None
    )
    await page.context.set_offline(False)

    await expect(page.locator("#state")).to_contain_text("全部已上传", timeout=20_000)
    await expect(other.locator("#state")).not_to_contain_text("待上传", timeout=20_000)
    assert len(sent) == len(set(sent)) == 3
    assert len(await site.office.events("visit%")) == 1


async def test_captive_portal_and_expired_session_lose_no_visit(site, tmp_path):
    page = await in_the_field(site)
    await page.context.route(
        "**/intake/field/ping",
        lambda route: route.fulfill(status=200, body="<html>Sign in to WiFi</html>"),
    )
    await fill_visit(page)
    await submit_visit(page)
    await expect(page.locator("#state")).to_contain_text("待上传 1 份（离线")
    await page.context.unroute("**/intake/field/ping")
    cookies = await page.context.cookies()
    await page.context.clear_cookies()
    await page.get_by_role("button", name="立即上传").click()
    await expect(page.locator("#state")).to_contain_text("登录已过期，请登录后继续")
    await page.context.add_cookies(cookies)
    await page.get_by_role("button", name="立即上传").click()
    await expect(page.locator("#state")).to_contain_text("全部已上传")
    assert len(await site.office.events("visit%")) == 1


async def test_local_storage_on_the_phone_is_encrypted(site, tmp_path):
    await planned(site.office, name="CANARY 轮次")
    page = await in_the_field(site)
    await page.context.set_offline(True)
    await page.reload()
    await fill_visit(page, photos=1, folder=tmp_path)
    await page.get_by_label("其他情况").fill("CANARY 暗访记录")
    await page.get_by_label("其他情况").blur()
    await expect(page.locator("#app > p[role=status]")).to_contain_text("草稿已存本机")
    dump = """async () => {
        const answer = (asked) => new Promise((done) => (asked.onsuccess = () => done(asked.result)));
        const db = await answer(indexedDB.open('fengping-field'));
        const rows = [];
        for (const name of ['visits', 'photos', 'settings']) rows.push(...await answer(db.transaction(name).objectStore(name).getAll()));
        const bytes = ({sealed, value}) => {
            const body = (sealed ?? value)?.body;
            return body ? decoded(body) : '';
        };
        const decoded = (body) => new TextDecoder('utf-8').decode(body) + new TextDecoder('latin1').decode(body);
        return rows.map((row) => JSON.stringify(row) + bytes(row)).join() + JSON.stringify({...localStorage});
    }"""
    stored = await page.evaluate(dump)
    assert "CANARY" not in stored
    assert "省中医药" not in stored
    assert "JFIF" not in stored


async def test_a_covert_round_is_recorded_offline_and_stays_secret_until_it_ends(site):
    round_id = await planned(site.office, name="窗口服务暗访")
    page = await in_the_field(site)
    await page.context.set_offline(True)
    await page.reload()
    await expect(page.locator("#app")).to_contain_text("窗口服务暗访")
    await page.get_by_role("button", name="＋ 新的检查").click()
    await page.get_by_role("button", name="完成并提交").click()
    await expect(page.locator("#errsum")).to_contain_text("请选择检查轮次")
    await page.get_by_text("窗口服务暗访（暗访）").click()
    await page.get_by_role("combobox", name="被检查单位").fill("swj")
    await expect(page.get_by_role("option", name="省税务局")).to_have_count(0)
    await page.get_by_role("combobox", name="被检查单位").fill("szyy")
    await page.keyboard.press("Enter")
    items = await page.locator(".item fieldset").all()
    for group in items[1:]:
        await group.get_by_text("符合", exact=True).click()
    await items[0].get_by_text("不符合", exact=True).click()
    await page.locator(".item textarea").first.fill("三号窗口无人在岗")
    await submit_visit(page)
    await expect(page.locator("#state")).to_contain_text("待上传 1 份（离线")
    await page.context.set_offline(False)

    await expect(page.locator("#state")).to_contain_text("全部已上传", timeout=20_000)
    assert await site.office.events() == []
    reviewer = await site.open("/intake/releases", Role.REVIEWER)
    await expect(reviewer.locator("main")).to_contain_text("没有待审核的摘要")
    async with site.office.transaction() as tx:
        await close_round(tx, round_id, by=site.office.person(Role.OFFICE))
    await reviewer.goto(site.url + "/intake/releases")
    await expect(reviewer.locator("#f-redacted_summary")).to_have_value("三号窗口无人在岗")
    await reviewer.keyboard.press("e")
    await reviewer.keyboard.press("Control+Enter")
    await expect(reviewer.locator("main")).to_contain_text("没有待审核的摘要")
    assert [name for name, _ in await site.office.events()] == [
        "finding.registered.v1",
        "finding.summary_released.v1",
        "visit.handed_over.v1",
    ]


async def test_the_office_plans_changes_and_ends_a_round(site):
    wanted = await plan(site.office)
    page = await site.open("/intake/rounds", Role.OFFICE)
    await page.get_by_label("轮次名称").fill("窗口服务暗访")
    await page.get_by_label("开始日期").fill(str(wanted.begins_on + timedelta(days=1)))
    await page.get_by_label("结束日期").fill(str(wanted.begins_on + timedelta(days=9)))
    await page.get_by_role("button", name="新建").click()
    await expect(page.locator("#errsum")).to_contain_text("请至少选择一名巡查员")
    await page.get_by_role("group", name="巡查员").locator("input").first.check()
    await page.get_by_text("到访单位（不选即全部单位）").click()
    await page.get_by_label("省中医药管理局").check()
    await page.get_by_role("button", name="新建").click()
    await expect(page.locator("#rounds")).to_contain_text("未开始")
    await expect(page.locator("#rounds")).to_contain_text("省中医药管理局")
    await page.get_by_role("link", name="窗口服务暗访").click()
    await axe(page)
    await page.get_by_label("轮次名称").fill("窗口服务明察")
    await page.get_by_text("明察", exact=True).click()
    await page.get_by_role("button", name="保存").click()
    await expect(page.locator("#rounds")).to_contain_text("窗口服务明察")
    for width, height in SIZES:
        await page.set_viewport_size({"width": width, "height": height})
        await fits(page)
        await axe(page)
    await page.get_by_role("button", name="撤销").click()
    await page.locator("dialog").get_by_role("button", name="确认").click()
    await expect(page.locator("#rounds")).to_contain_text("已撤销")


async def test_missing_fields_are_reported_before_submission(site):
    page = await in_the_field(site)
    await page.get_by_role("button", name="＋ 新的检查").click()
    await page.get_by_role("button", name="完成并提交").click()
    await expect(page.locator("#errsum")).to_contain_text("请选择被检查单位")
    await expect(page.locator("#errsum")).to_be_focused()
    assert await site.office.events() == []


async def test_field_pages_are_accessible_at_every_size(site):
    page = await in_the_field(site)
    for address in (
        "/intake/field/",
        "/intake/field/queue",
        "/intake/field/visit/00000000-0000-4000-8000-000000000001",
    ):
        await page.goto(site.url + address)
        await expect(page.locator("h1")).to_be_visible()
        for width, height in SIZES:
            await page.set_viewport_size({"width": width, "height": height})
            await fits(page)
            await axe(page)


async def test_office_sees_a_visit_and_its_photos(site, tmp_path):
    phone = await in_the_field(site)
    await fill_visit(phone, photos=1, folder=tmp_path)
    await submit_visit(phone)
    await expect(phone.locator("#state")).to_contain_text("全部已上传")
    page = await site.open("/intake/field/plans", Role.OFFICE)
    await page.get_by_role("link", name=re.compile("XC2026")).click()
    image = page.get_by_alt_text("照片 1")
    await image.scroll_into_view_if_needed()
    await expect(image).to_be_visible()
    await page.wait_for_function("document.querySelector('main img').naturalWidth > 0")
    await axe(page)
