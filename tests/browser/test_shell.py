"""The shared pages in a real Chromium: readable by everybody, usable by keyboard and input method,
nothing typed is ever lost.
"""

import re

import pytest
from playwright.async_api import Page, Route, expect

from shared.appraisal.labels import Role
from tests.browser.conftest import Gallery
from tests.browser.gallery import cases
from tests.browser.support import SIZES, axe, composing_key, fits, ime

pytestmark = pytest.mark.browser
STAFF = [
    "/",
    "/me",
    "/help",
    "/gallery/desk",
    "/gallery/queue",
    "/gallery/done",
    "/gallery/nothing",
    "/gallery/busy",
    "/gallery/document",
]
PUBLIC = ["/p/", "/login"]
TEXT = "窗口工作人员上班时间不在岗，等了四十分钟"


async def fill(page: Page) -> None:
    await page.fill("#f-unit", "省中医药管理局")
    await page.fill("#f-text", TEXT)


async def register(page: Page) -> None:
    await page.click("text=登记并转办")


# ── seen by everybody ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}")
async def test_every_page_passes_axe_and_fits(gallery: Gallery, size: tuple[int, int]) -> None:
    page = await gallery.open("/p/", size=size)
    for path in STAFF + PUBLIC:
        await page.goto(gallery.url + path)
        await axe(page)
        await fits(page)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}")
async def test_a_form_with_mistakes_passes_axe_and_fits(
    gallery: Gallery, size: tuple[int, int]
) -> None:
    page = await gallery.open("/gallery/desk", size=size)
    await register(page)
    await expect(page.locator("#errsum")).to_be_visible()
    await axe(page)
    await fits(page)


async def test_open_overlays_pass_axe(gallery: Gallery) -> None:
    page = await gallery.open("/gallery/queue")
    for key in ("Control+k", "?"):
        await page.keyboard.press(key)
        await expect(page.locator("dialog[open]")).to_be_visible(timeout=15_000)
        await axe(page)
        await page.keyboard.press("Escape")
        await expect(page.locator("dialog[open]")).to_have_count(0)


async def test_key_right_after_a_dialog_closed_works(gallery: Gallery) -> None:
    """Until the next frame the field of the closed dialog still has the focus."""
    page = await gallery.open("/gallery/queue")
    await page.keyboard.press("Control+k")
    await expect(page.locator("#palette[open]")).to_be_visible()

    opened = await page.evaluate("""() => {
        const field = document.activeElement;
        document.querySelector("#palette").close();
        field.dispatchEvent(new KeyboardEvent("keydown", { key: "?", bubbles: true }));
        return document.querySelector("dialog[open]")?.id;
    }""")

    assert opened == "sheet"


async def test_large_type_and_narrow_screen_fit(gallery: Gallery) -> None:
    for path in ("/", "/gallery/desk", "/gallery/queue"):
        page = await gallery.open(path, size=(390, 844), look="big")
        await fits(page)


async def test_wider_text_spacing_clips_nothing(gallery: Gallery) -> None:
    page = await gallery.open("/gallery/desk", size=(390, 844))
    await page.evaluate(
        "document.adoptedStyleSheets.push(Object.assign(new CSSStyleSheet(), {})); "
        "document.adoptedStyleSheets.at(-1).replaceSync('* {line-height: 1.5 !important; letter-spacing: .12em !important; "
        "word-spacing: .16em !important} p {margin-bottom: 2em !important}')"
    )
    await fits(page)
    clipped = "[...document.querySelectorAll('main .btn, main label, main .b')].filter(e => e.scrollWidth > e.clientWidth + 1).length"
    assert await page.evaluate(clipped) == 0


async def test_focus_is_always_seen_and_in_order(gallery: Gallery) -> None:
    page = await gallery.open("/gallery/desk")
    await page.keyboard.press("Tab")
    assert await page.evaluate("document.activeElement.className") == "skip"
    places = []
    for _ in range(24):
        await page.keyboard.press("Tab")
        seen = await page.evaluate(
            """() => {
                const e = document.activeElement, shown = e.closest('label') ?? e, box = shown.getBoundingClientRect();
                const outline = Math.max(...[e, shown].map((x) => parseFloat(getComputedStyle(x).outlineWidth) || 0));
                const hit = document.elementFromPoint(box.x + box.width / 2, box.y + Math.min(box.height / 2, 20));
                return {outline, hit: shown.contains(hit) || hit?.contains(shown), body: e === document.body,
                        after: [...document.querySelectorAll('*')].indexOf(e)};
            }"""
        )
        if seen["body"]:
            break
        assert seen["outline"] >= 3
        assert seen["hit"], places
        places.append(seen["after"])
    assert places == sorted(places)
    assert len(places) >= 12


async def test_the_badges_differ_without_colour(gallery: Gallery) -> None:
    page = await gallery.open("/")
    await page.emulate_media(forced_colors="active", reduced_motion="reduce")
    looks = await page.evaluate(
        """() => ['ok', 'warn', 'over', 'hold', 'done'].map((kind) => {
            const badge = document.querySelector(`.b.${kind}`), style = getComputedStyle(badge);
            return {text: badge.textContent.trim(), shape: badge.querySelector('svg').innerHTML, border: parseFloat(style.borderWidth),
                    transition: getComputedStyle(document.querySelector('#progress')).transitionDuration};
        })"""
    )
    assert len({look["text"] for look in looks}) == len({look["shape"] for look in looks}) == 5
    assert all(look["border"] >= 1 and look["transition"] in ("0s", "") for look in looks)


async def test_a_line_of_an_official_document_has_28_characters_and_a_page_22_lines(
    gallery: Gallery,
) -> None:
    page = await gallery.open("/gallery/document", size=(1366, 900))
    measured = await page.evaluate(
        """() => {
            const paragraph = document.createElement('p'), gw = document.querySelector('.gw');
            paragraph.textContent = '作'.repeat(200); paragraph.style.textIndent = 0; gw.append(paragraph);
            const range = document.createRange(), text = paragraph.firstChild;
            const top = (i) => { range.setStart(text, i); range.setEnd(text, i + 1); return range.getBoundingClientRect().top; };
            let count = 1;
            while (top(count) === top(0)) count++;
            return {count, lines: Math.floor(225 / 25.4 * 96 / parseFloat(getComputedStyle(paragraph).lineHeight))};
        }"""
    )
    assert measured == {"count": 28, "lines": 22}
    assert await page.locator("text=送审稿").is_visible()
    assert await page.locator(".red, .gw hr").count() == 0


# ── without script ────────────────────────────────────────────────────────────────────────────────


async def test_a_form_works_without_script(gallery: Gallery) -> None:
    page = await gallery.open("/gallery/desk", script=False)
    await register(page)
    assert await page.title() == "错误：工单登记 - 作风评议"
    await fill(page)
    await register(page)
    assert await page.text_content("#count") == "1"
    assert await page.locator("[data-opens]:visible").count() == 0


async def test_public_pages_work_without_script(gallery: Gallery) -> None:
    page = await gallery.open("/p/", role=None, script=False)
    await page.click("text=下一步")
    await expect(page.locator("#errsum")).to_contain_text("请填写“被反映单位”")
    await page.click("text=投诉")
    await fill(page)
    await page.click("text=下一步")
    assert await page.locator("#errsum").count() == 0


# ── forms ─────────────────────────────────────────────────────────────────────────────────────────


async def test_error_summary_is_focused_and_input_is_kept(
    gallery: Gallery,
) -> None:
    page = await gallery.open("/gallery/desk")
    await page.fill("#f-text", "太短")
    await register(page)
    await expect(page.locator("#errsum")).to_be_focused()
    assert await page.input_value("#f-text") == "太短"
    assert await page.get_attribute("#f-unit", "aria-invalid") == "true"
    assert (await page.title()).startswith("错误：")
    await page.click("#errsum a >> nth=0")
    await expect(page.locator("#f-unit")).to_be_focused()


async def test_rejected_form_keeps_its_input_and_shows_the_reason(gallery: Gallery) -> None:
    gallery.state.simulated_failure = "refuse"
    page = await gallery.open("/gallery/desk")
    await fill(page)
    await register(page)
    await expect(page.locator("#refused")).to_contain_text("这件工单已被他人受理")
    assert await page.input_value("#f-text") == TEXT
    await axe(page)


async def test_server_error_keeps_the_page_and_offers_a_retry(gallery: Gallery) -> None:
    gallery.state.simulated_failure = "crash"
    page = await gallery.open("/gallery/desk")
    await fill(page)
    await register(page)
    await expect(page.locator(".toast")).to_contain_text("保存失败，内容还在")
    assert await page.input_value("#f-text") == TEXT
    await expect(page.locator("button[data-busy] kbd")).to_have_text("Ctrl+Enter")
    await axe(page)
    gallery.state.simulated_failure = ""
    await page.click(".toast >> text=重试")
    await page.wait_for_url("**/gallery/done")
    assert len(gallery.state.registered) == 1


async def test_lost_network_is_reported_and_nothing_is_lost(gallery: Gallery) -> None:
    page = await gallery.open("/gallery/desk")
    await fill(page)
    await page.context.set_offline(True)
    await register(page)
    await expect(page.locator(".toast")).to_contain_text("保存失败，内容还在")
    await page.context.set_offline(False)
    await page.click(".toast >> text=重试")
    await page.wait_for_url("**/gallery/done")
    assert len(gallery.state.registered) == 1


async def test_double_submission_registers_one_ticket(gallery: Gallery) -> None:
    page = await gallery.open("/gallery/desk")
    await fill(page)
    await page.dblclick("text=登记并转办")
    await page.keyboard.press("Control+Enter")
    await page.wait_for_url("**/gallery/done")
    assert len(gallery.state.registered) == 1


async def test_resending_after_a_lost_response_registers_one_ticket(gallery: Gallery) -> None:
    page = await gallery.open("/gallery/desk")
    await fill(page)
    dropped: list[int] = []

    async def drop_the_answer(route: Route) -> None:
        if dropped:
            return await route.continue_()
        dropped.append((await route.fetch(max_redirects=0)).status)
        await route.abort()

    await page.route("**/gallery/tickets", drop_the_answer)
    await register(page)
    await page.click(".toast >> text=重试")
    await page.wait_for_url("**/gallery/done")
    assert dropped == [204]
    assert len(gallery.state.registered) == 1


async def test_cross_site_form_is_rejected(gallery: Gallery) -> None:
    page = await gallery.open("/gallery/desk")
    evil = await page.context.new_page()
    await evil.route(
        "http://evil.example/",
        lambda route: route.fulfill(body="<h1>kind words</h1>", content_type="text/html"),
    )
    await evil.goto("http://evil.example/")
    fetched = "(url) => fetch(url, {method: 'POST', mode: 'no-cors', credentials: 'include', body: 'unit=x'}).catch(() => 0)"
    await evil.evaluate(fetched, gallery.url + "/gallery/tickets")
    async with evil.expect_navigation():
        await evil.evaluate(
            """(action) => { const form = Object.assign(document.createElement('form'), {method: 'post', action});
            const fields = {unit: '甲局', kind: 'complaint', text: '这是另一个网站写的十个字以上', idempotency_key: 'k'};
            for (const [name, value] of Object.entries(fields)) form.append(Object.assign(document.createElement('input'), {name, value}));
            document.body.append(form); form.submit(); }""",
            gallery.url + "/gallery/tickets",
        )
    assert gallery.state.registered == []


async def test_drafts_are_kept_while_typing_and_a_failure_stays_visible(gallery: Gallery) -> None:
    page = await gallery.open("/gallery/desk")
    await page.fill("#f-text", TEXT)
    await expect(page.locator("[data-draft-status]")).to_have_text(
        "草稿已保存 14:02:11", timeout=6000
    )
    assert gallery.state.drafts[-1]["text"] == TEXT

    gallery.state.simulated_failure = "draft"
    await page.fill("#f-text", TEXT + "。")
    await page.keyboard.press("Control+s")
    await expect(page.locator("[data-draft-status]")).to_have_text(
        "草稿未能保存，内容仍在本页，请勿关闭"
    )


async def test_overlong_text_is_counted_but_not_truncated(gallery: Gallery) -> None:
    page = await gallery.open("/gallery/desk")
    await page.fill("#f-text", "评" * 2036 + "😀")
    await expect(page.locator("[data-counts=f-text]")).to_have_text("已超出 37 字")


async def test_irreversible_action_requires_a_typed_confirmation(gallery: Gallery) -> None:
    page = await gallery.open("/gallery/desk")
    await page.click("#freeze button")
    await expect(page.locator("#confirm .consequence")).to_contain_text("冻结后数据不可更改")
    await page.click("[data-yes]")
    assert gallery.state.registered == []
    await page.fill("#confirm-word", "冻结")
    await page.click("[data-yes]")
    await page.wait_for_url("**/gallery/done")
    assert gallery.state.registered == ["frozen"]


# ── input method ──────────────────────────────────────────────────────────────────────────────────


async def test_search_waits_for_the_composition_and_sends_one_request(gallery: Gallery) -> None:
    page = await gallery.open("/gallery/desk")
    await page.focus("#s")
    await ime(page, "zhong'yi", "中医")
    await page.wait_for_timeout(600)
    assert gallery.state.asked == ["中医"]
    await expect(page.locator("#found")).to_have_text("2")


async def test_unit_is_found_by_pinyin_initials_and_by_characters(gallery: Gallery) -> None:
    page = await gallery.open("/gallery/desk")
    await page.type("#f-unit", "szyyk")
    await expect(page.locator("#f-unit-l [role=option]")).to_have_count(1)
    await page.keyboard.press("Enter")
    assert await page.input_value("#f-unit") == "省中医药科学院"
    assert await page.input_value("[name=unit_id]") == "u2"

    await page.fill("#f-unit", "")
    gallery.state.asked.clear()
    await ime(page, "zhongyi", "中医")
    await expect(page.locator("#f-unit-l [role=option]")).to_have_count(2)
    assert gallery.state.asked == ["中医"]
    await axe(page)
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Enter")
    assert await page.input_value("[name=unit_id]") == "u2"
    assert page.url.endswith("/gallery/desk")


async def test_keys_of_the_input_method_trigger_no_shortcut(gallery: Gallery) -> None:
    page = await gallery.open("/gallery/desk")
    await page.type("#f-unit", "sz")
    await expect(page.locator("#f-unit-l")).to_be_visible()
    for selector in ("#f-unit", "#f-text", "#f-phone", "#s", "body"):
        for key in ("Enter", "ArrowDown", "Escape", "k", "1", "?"):
            assert not await composing_key(page, key, selector), (selector, key)
    assert await page.input_value("[name=unit_id]") == ""
    await page.keyboard.press("Escape")
    await page.keyboard.press("Control+k")
    assert not await composing_key(page, "Enter", "#palette-q")
    await expect(page.locator("#palette")).to_be_visible()


# ── keys ──────────────────────────────────────────────────────────────────────────────────────────


async def test_the_palette_finds_pages_and_units_by_initials(gallery: Gallery) -> None:
    page = await gallery.open("/gallery/done", role=Role.OFFICE)
    await page.keyboard.press("Control+k")
    await page.keyboard.type("szyyglj")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/gallery/units/u1")

    await page.keyboard.press("Control+k")
    await page.keyboard.type("jcjl")
    await expect(page.locator("#palette-list [role=option]")).to_have_count(1)
    await expect(page.locator("#palette-list")).to_contain_text("检查记录")
    await expect(page.locator("#palette [role=status]")).to_have_text("1 个结果")
    await page.fill("#palette-q", "没有的东西")
    await expect(page.locator("#palette [role=status]")).to_have_text(
        "没有找到“没有的东西”。试试单位简称或首字母"
    )


async def test_palette_works_while_services_are_unreachable(gallery: Gallery) -> None:
    page = await gallery.open("/gallery/done", role=Role.OFFICE)
    await page.route("**/palette?*", lambda route: route.abort())
    await page.click("text=搜索或命令")
    await ime(page, "paiming", "排名")
    await expect(page.locator("#palette-list [role=option]")).to_have_count(1)


async def test_shortcut_sheet_lists_the_keys(gallery: Gallery) -> None:
    page = await gallery.open("/gallery/queue")
    await page.keyboard.press("?")
    sheet = page.locator("#sheet")
    for words in ("搜索或命令", "下一条", "消息中心", "g n"):
        await expect(sheet).to_contain_text(words)
    await page.keyboard.press("Escape")
    page = await gallery.open("/gallery/desk")
    await page.click("text=快捷键")
    await expect(page.locator("#sheet")).to_contain_text("Alt+U")


async def test_g_and_a_key_open_a_page(gallery: Gallery) -> None:
    page = await gallery.open("/gallery/queue")
    await page.keyboard.press("g")
    await page.keyboard.press("h")
    await page.wait_for_url(gallery.url + "/")


async def test_rows_are_operated_by_single_keys(gallery: Gallery) -> None:
    page = await gallery.open("/gallery/queue")
    for key in ("j", "j", "x", "k", "x"):
        await page.keyboard.press(key)
    assert await page.evaluate(
        "[...document.querySelectorAll('[name=pick]:checked')].map(e => e.value)"
    ) == [
        "ZF2026-004500",
        "ZF2026-004501",
    ]
    assert await page.get_attribute("[aria-current=true][id^=r-]", "id") == "r-ZF2026-004500"
    await page.keyboard.press("o")
    await page.wait_for_url("**/gallery/cases/ZF2026-004500")


async def test_single_keys_are_inactive_in_fields_and_when_disabled(gallery: Gallery) -> None:
    page = await gallery.open("/gallery/desk")
    await page.focus("#f-text")
    await page.keyboard.type("jkg?x/")
    assert await page.input_value("#f-text") == "jkg?x/"
    assert await page.locator("dialog[open]").count() == 0

    page = await gallery.open("/gallery/queue", look="nokeys")
    for key in ("?", "j", "g", "h"):
        await page.keyboard.press(key)
    assert page.url.endswith("/gallery/queue")
    assert await page.locator("dialog[open], [data-list] [aria-current]").count() == 0
    await page.keyboard.press("Control+k")
    await expect(page.locator("#palette")).to_be_visible()


async def test_digits_select_in_a_segmented_control(gallery: Gallery) -> None:
    page = await gallery.open("/gallery/desk")
    await page.focus("[name=kind]:checked")
    await page.keyboard.press("3")
    assert await page.input_value("[name=kind]:checked") == "praise"


async def test_escape_never_clears_text(gallery: Gallery) -> None:
    page = await gallery.open("/gallery/desk")
    await page.fill("#s", "告知")
    await page.focus("#s")
    await page.keyboard.press("Escape")
    assert await page.input_value("#s") == "告知"


async def test_shortcut_of_the_page_focuses_its_field(gallery: Gallery) -> None:
    page = await gallery.open("/gallery/desk")
    await page.keyboard.press("Alt+u")
    await expect(page.locator("#f-unit")).to_be_focused()


# ── refreshing ────────────────────────────────────────────────────────────────────────────────────


async def test_refresh_updates_badges_without_moving_the_active_row(gallery: Gallery) -> None:
    page = await gallery.open("/gallery/queue")
    await page.keyboard.press("j")
    shown = cases(7)
    shown[2].update(state="over", detail="1工作日")
    gallery.state.cases = [*reversed(shown), {**shown[0], "number": "ZF2026-009999"}]

    await expect(page.locator("#r-ZF2026-004502 .b")).to_have_text(
        re.compile("超期 1工作日"), timeout=4000
    )
    await expect(page.locator("[data-pending]")).to_contain_text("条更新")
    assert (
        await page.evaluate("document.querySelector('[data-list] tbody tr').id")
        == "r-ZF2026-004500"
    )
    assert await page.evaluate("document.activeElement.id") == "a-ZF2026-004500"
    assert await page.locator("#r-ZF2026-009999").count() == 0

    await page.keyboard.press("u")
    await expect(page.locator("#r-ZF2026-009999")).to_be_visible()
    assert (
        await page.evaluate("document.querySelector('[data-list] tbody tr').id")
        == "r-ZF2026-004506"
    )
    assert await page.evaluate("document.activeElement.id") == "a-ZF2026-004500"
    await expect(page.locator("[data-pending]")).to_be_hidden()


async def test_idle_list_is_reordered(gallery: Gallery) -> None:
    page = await gallery.open("/gallery/queue")
    gallery.state.cases = list(reversed(cases(7)))
    await expect(page.locator("[data-list] tbody tr").first).to_have_id(
        "r-ZF2026-004506", timeout=4000
    )


async def test_polling_keeps_input_and_does_not_extend_the_session(
    gallery: Gallery,
) -> None:
    page = await gallery.open("/gallery/queue")
    gallery.state.sessions.touched.clear()
    await page.wait_for_timeout(2500)
    assert gallery.state.sessions.touched
    assert not any(gallery.state.sessions.touched)


async def test_the_unread_count_is_shown(gallery: Gallery) -> None:
    page = await gallery.open("/gallery/done")
    await expect(page.locator("#unread")).to_have_text("3")


async def test_failed_background_request_shows_no_error(gallery: Gallery) -> None:
    page = await gallery.open("/gallery/queue")
    await page.route("**/gallery/queue", lambda route: route.abort())
    await page.wait_for_timeout(2500)
    assert await page.locator(".toast").count() == 0
