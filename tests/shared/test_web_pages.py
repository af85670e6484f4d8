"""The shell, the menu and the static files."""

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fastapi import FastAPI
from jinja2 import UndefinedError
from starlette.responses import Response
from starlette.testclient import TestClient

from shared.appraisal.labels import Role
from shared.security.sessions import COOKIE
from shared.web.navigation import MENU_ENTRIES, SECTIONS, matches_search, menu_for, search_terms
from shared.web.rendering import (
    create_environment,
    format_date,
    format_datetime,
    format_iso,
    format_long_datetime,
    query_string,
    save_preferences,
)
from shared.web.static_files import STATIC, install_static, static_url
from tests.browser.gallery import make_app

VENDORED = [STATIC, Path(__file__).parents[1] / "browser" / "vendor"]


def browser(role: Role) -> TestClient:
    client = TestClient(make_app(), headers={"accept": "text/html"})
    client.cookies.set(COOKIE, f"token-{role}")
    return client


@pytest.mark.parametrize("folder", VENDORED, ids=["static", "tests"])
def test_vendored_files_are_the_published_ones(folder: Path) -> None:
    for name, facts in json.loads((folder / "VENDORED.json").read_text()).items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == facts["sha256"]
        assert (folder / facts["licence_file"]).stat().st_size > 0


def test_no_script_is_there_that_is_neither_ours_nor_listed() -> None:
    listed = json.loads((STATIC / "VENDORED.json").read_text()).keys()

    assert {path.name for path in STATIC.glob("*.min.*")} == listed


def test_a_static_file_is_named_by_its_content_and_kept_for_ever() -> None:
    client = browser(Role.OPERATOR)

    answer = client.get(static_url("fengping.css"))
    stale = client.get("/static/000000000000/fengping.css")

    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert (stale.status_code, stale.headers["cache-control"]) == (200, "no-cache")
    assert client.get("/static/fengping.css").headers["cache-control"] == "no-cache"
    assert client.get("/static/000000000000/../../rendering.py").status_code == 404


def test_a_service_serves_its_own_static_files_beside_the_shared_ones(tmp_path: Path) -> None:
    (tmp_path / "desk.js").write_text("'use strict'")
    app = FastAPI()
    install_static(app, tmp_path)
    client = TestClient(app)

    own = client.get(static_url("desk.js", tmp_path))
    shared = client.get(static_url("fengping.css", tmp_path))

    assert (own.status_code, own.text) == (200, "'use strict'")
    assert shared.status_code == 200
    assert shared.headers["cache-control"] == own.headers["cache-control"]


@pytest.mark.parametrize("role", Role)
def test_only_what_the_role_may_use_is_in_the_page(role: Role) -> None:
    text = browser(role).get("/").text

    for entry in MENU_ENTRIES:
        assert (f'"url": "{entry.url}"' in text) == any(
            role in e.policy.roles for e in MENU_ENTRIES if e.url == entry.url
        )


def test_the_top_bar_leads_each_role_to_its_own_first_page() -> None:
    def lead(role: Role) -> dict[str, str]:
        return {section.name: url for section, url in menu_for(role, "/").sections}

    assert lead(Role.OPERATOR) == {"首页": "/", "受理": "/intake/desk", "通知": "/notify/inbox"}
    assert lead(Role.HANDLER) == {"首页": "/", "办理": "/casework/", "通知": "/notify/inbox"}
    assert lead(Role.OFFICE) == {
        "首页": "/",
        "受理": "/intake/field/plans",
        "办理": "/casework/obligations",
        "评分": "/scoring/",
        "通知": "/notify/inbox",
        "审计": "/intake/reconciliation",
    }


def test_the_tab_of_the_page_shown_is_marked() -> None:
    menu = menu_for(Role.OPERATOR, "/intake/desk/mine")

    assert [entry.name for entry in menu.tabs if menu.is_current(entry)] == ["我的登记"]


def test_no_two_pages_of_one_role_share_a_key() -> None:
    for role in Role:
        keys = [entry.key for entry in MENU_ENTRIES if entry.key and role in entry.policy.roles]
        assert len(keys) == len(set(keys))
    assert {entry.section for entry in MENU_ENTRIES} == {section.key for section in SECTIONS}


@pytest.mark.parametrize(
    "typed", ["省中医", "szyyglj", "shengzhongyi", "SZYY", "sheng'zhong'yi", "zhong yi"]
)
def test_a_unit_is_found_as_it_is_typed(typed: str) -> None:
    assert matches_search(typed, search_terms("省中医药管理局"))
    assert not matches_search(typed, search_terms("市统计局"))


def test_nothing_typed_finds_nothing() -> None:
    assert not matches_search(" ' ", search_terms("省中医药管理局"))


def test_public_pages_carry_no_script_and_are_light() -> None:
    client = TestClient(make_app())

    text = client.get("/p/").text

    assert "<script" not in text
    assert len(text.encode()) + (STATIC / "fengping.css").stat().st_size < 60 * 1024
    assert "csrf" not in text


def test_a_page_after_a_refused_form_says_so_in_its_title() -> None:
    assert "<title>工作台 - 作风评议</title>" in browser(Role.OPERATOR).get("/").text


def test_a_template_that_names_what_nobody_gave_fails() -> None:
    with pytest.raises(UndefinedError):
        create_environment(None).from_string("{{ phone }}").render()


def test_instants_are_shown_in_chinese_time() -> None:
    instant = datetime(2026, 11, 22, 17, 30, tzinfo=UTC)

    assert (
        format_datetime(instant) == '<time datetime="2026-11-22T17:30:00Z">11-23 01:30 周一</time>'
    )
    assert ">2026-11-23（周一）01:30<" in format_long_datetime(instant)
    assert ">2026-11-23<" in format_date(instant)
    assert format_iso(instant) == "2026-11-22T17:30:00Z"


def test_a_query_string_keeps_what_was_asked() -> None:
    assert (
        query_string({"q": "窗口", "page": 3, "unit": ""}, page=4) == "?q=%E7%AA%97%E5%8F%A3&page=4"
    )
    assert query_string({}) == "?"


def test_preferences_are_kept_and_applied() -> None:
    answer = Response()
    save_preferences(answer, frozenset({"big", "nokeys", "<script>"}), https=False)
    client = browser(Role.OPERATOR)
    client.cookies.set("fengping_look", answer.headers["set-cookie"].split("=")[1].split(";")[0])

    text = client.get("/").text

    assert 'class=" big"' in text
    assert 'data-single-keys="off"' in text
