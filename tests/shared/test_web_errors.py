"""Failures are answered in Chinese, as the asker can read them, with a number, and without what was
typed.
"""

import json

import pytest
from starlette.testclient import TestClient

from shared.appraisal.labels import Role
from shared.security.sessions import COOKIE, csrf_token
from tests.browser.gallery import make_app

CANARY = "13812345678"
OPERATOR = f"token-{Role.OPERATOR}"
TICKET = {"unit": "甲局", "kind": "complaint", "text": f"窗口工作人员上班时间不在岗 {CANARY}"}
FORM = {**TICKET, "csrf": csrf_token(OPERATOR), "idempotency_key": "k"}
BEARER = {"authorization": f"Bearer {OPERATOR}", "idempotency-key": "k"}


@pytest.fixture
def client() -> TestClient:
    client = TestClient(
        make_app(),
        raise_server_exceptions=False,
        follow_redirects=False,
        headers={"accept": "text/html"},
    )
    client.cookies.set(COOKIE, OPERATOR)
    return client


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/gallery/office", 403, "没有权限"),
        ("/gallery/nothing-here", 404, "没有找到"),
        ("/gallery/cases/ZF2026-999999", 404, "没有找到"),
        ("/gallery/number/abc", 422, "应为整数"),
        ("/gallery/busy", 429, "请 15 分钟后再试"),
    ],
)
def test_people_get_a_page_in_chinese(
    client: TestClient, path: str, status: int, words: str
) -> None:
    answer = client.get(path)

    assert answer.status_code == status
    assert words in answer.text
    assert "<title>" in answer.text
    assert answer.headers["x-request-id"][:12] in answer.text


def test_htmx_gets_a_fragment_beside_the_form_which_stays(client: TestClient) -> None:
    client.app.state.simulated_failure = "refuse"  # type: ignore[attr-defined]

    answer = client.post("/gallery/tickets", data=FORM, headers={"hx-request": "true"})

    assert answer.status_code == 409
    assert "这件工单已被他人受理" in answer.text
    assert "<html" not in answer.text
    assert (answer.headers["hx-retarget"], answer.headers["hx-reselect"]) == (
        "#refusal",
        "#refused",
    )


def test_a_panel_that_cannot_be_loaded_says_why_in_its_place(client: TestClient) -> None:
    answer = client.get("/gallery/office", headers={"hx-request": "true"})

    assert answer.status_code == 403
    assert "hx-retarget" not in answer.headers


def test_programs_get_problem_json(client: TestClient) -> None:
    answer = client.post(
        "/gallery/api/tickets",
        json={"title": "x", "phone": CANARY + "9", "score": 100},
        headers=BEARER,
    )

    problem = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert {error["field"]: error["message"] for error in problem["errors"]} == {
        "title": "“title”至少 2 个字",
        "phone": "“phone”的格式不正确",
        "score": "不接受“score”这一项",
    }
    assert problem["instance"] == f"urn:trace:{answer.headers['x-request-id']}"


def test_a_refusal_names_its_field(client: TestClient) -> None:
    client.app.state.simulated_failure = "refuse"  # type: ignore[attr-defined]

    problem = client.post("/gallery/api/tickets", json={"title": "窗口无人"}, headers=BEARER).json()

    assert (problem["status"], problem["title"], problem["detail"]) == (
        409,
        "现在不能这样做",
        "编号已用完",
    )
    assert problem["errors"] == [{"field": "title", "message": "编号已用完"}]


@pytest.mark.parametrize(
    "body",
    [
        b"{broken " + CANARY.encode(),
        json.dumps(CANARY).encode(),
        json.dumps({CANARY: 1}).encode(),
        b"[]",
    ],
)
def test_nothing_typed_comes_back(client: TestClient, body: bytes) -> None:
    answer = client.post(
        "/gallery/api/tickets", content=body, headers={**BEARER, "content-type": "application/json"}
    )

    assert answer.status_code == 422
    assert CANARY not in answer.text


def test_crash_page_shows_only_the_error_number(
    client: TestClient, capsys: pytest.CaptureFixture[str]
) -> None:
    client.app.state.simulated_failure = "crash"  # type: ignore[attr-defined]

    page = client.post("/gallery/tickets", data=FORM)
    program = client.post(
        "/gallery/api/tickets", json={"title": "窗口无人", "phone": CANARY}, headers=BEARER
    )

    captured = capsys.readouterr()
    for answer in (page, program):
        assert answer.status_code == 500
        assert CANARY not in answer.text
        assert "RuntimeError" not in answer.text
        assert answer.headers["content-security-policy"]
        assert answer.headers["x-request-id"] in captured.out + captured.err
    assert "RuntimeError" in captured.out + captured.err
    assert CANARY not in captured.out + captured.err


def test_a_database_that_is_away_is_503(client: TestClient) -> None:
    client.app.state.simulated_failure = "away"  # type: ignore[attr-defined]

    answer = client.post("/gallery/tickets", data=FORM)

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "您刚才的操作没有生效" in answer.text
    assert "0431-12345" in answer.text


def test_a_form_with_mistakes_comes_back_as_typed(client: TestClient) -> None:
    answer = client.post("/gallery/tickets", data={**FORM, "unit": "", "text": "太短"})

    assert answer.status_code == 422
    assert "<title>错误：" in answer.text
    assert '<a href="#f-unit">请填写“被反映单位”</a>' in answer.text
    assert answer.text.count("“诉求原文”至少 10 个字") == 2
    assert "太短</textarea>" in answer.text
    assert 'value="complaint" id="f-kind" checked' in answer.text


def test_what_was_typed_is_never_markup(client: TestClient) -> None:
    attack = '"><script>alert(1)</script>{{ 7 * 7 }}'

    answer = client.post(
        "/gallery/tickets", data={**FORM, "unit": attack, "text": attack, "kind": "x"}
    )

    assert "<script>alert" not in answer.text
    assert answer.text.count("{{ 7 * 7 }}") == 2


def test_every_answer_is_wrapped(client: TestClient) -> None:
    answer = client.get("/gallery/desk")

    policy = answer.headers["content-security-policy"]
    nonce = policy.split("script-src 'nonce-")[1].split("'")[0]
    assert f'nonce="{nonce}"' in answer.text
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert client.get("/gallery/desk").headers["content-security-policy"] != policy


def test_what_is_not_a_page_lets_no_script_in(client: TestClient) -> None:
    answer = client.post("/gallery/api/tickets", json={"title": "窗口无人"}, headers=BEARER)

    policy = answer.headers["content-security-policy"]
    assert "script-src 'none'" in policy
    assert "nonce" not in policy


def test_a_trace_that_came_in_goes_on(client: TestClient) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"

    answer = client.get("/gallery/desk", headers={"traceparent": f"00-{trace}-b7ad6b7169203331-01"})

    assert answer.headers["x-request-id"] == trace
