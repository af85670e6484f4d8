"""Doors let in whom their policy admits, refuse what other sites send, and stop what is too large."""

from typing import Any

import pytest
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.testclient import TestClient
from starlette.types import Message

from shared.appraisal.labels import Role
from shared.security.policies import PUBLIC, SIGNED_IN
from shared.security.rate_limits import RateLimit
from shared.security.sessions import COOKIE, csrf_token
from shared.web import CurrentUser, MissingPolicy, OptionalUser, Router, check_policies, list_routes
from shared.web.forms import Input
from shared.web.routing import BODY_MAX_BYTES
from tests.browser.gallery import make_app

OPERATOR = f"token-{Role.OPERATOR}"
FORM = {"unit": "省中医药管理局", "kind": "complaint", "text": "窗口工作人员上班时间不在岗"}


@pytest.fixture
def client() -> TestClient:
    """李明, an operator, in his browser."""
    client = TestClient(
        make_app(),
        raise_server_exceptions=False,
        follow_redirects=False,
        headers={"accept": "text/html"},
    )
    client.cookies.set(COOKIE, OPERATOR)
    return client


@pytest.fixture
def stranger() -> TestClient:
    return TestClient(
        make_app(),
        raise_server_exceptions=False,
        follow_redirects=False,
        headers={"accept": "text/html"},
    )


def test_a_route_without_policy_cannot_be_registered() -> None:
    router = Router(prefix="/casework")

    with pytest.raises(MissingPolicy, match="/casework/cases"):

        @router.get("/cases")
        async def cases() -> None: ...


def test_a_program_with_an_unlabelled_route_does_not_start() -> None:
    app, router = FastAPI(), Router()
    router.get("/labelled", policy=SIGNED_IN)(lambda: None)
    app.include_router(router)
    app.add_api_route("/livez", lambda: None)

    check_policies(app, open_paths=frozenset({"/livez"}))
    with pytest.raises(MissingPolicy, match="/livez"):
        check_policies(app)


def test_every_route_is_listed_with_its_policy() -> None:
    labelled = {path: route for path, route in list_routes(make_app()) if hasattr(route, "policy")}

    assert {"/", "/gallery/tickets", "/gallery/api/tickets"} <= labelled.keys()


def test_who_is_not_signed_in_goes_to_the_sign_in_page_and_comes_back(stranger: TestClient) -> None:
    answer = stranger.get("/gallery/queue?view=late")

    assert (answer.status_code, answer.headers["location"]) == (
        303,
        "/login?next=/gallery/queue%3Fview%3Dlate",
    )


def test_a_program_that_is_not_signed_in_gets_401(stranger: TestClient) -> None:
    answer = stranger.post("/gallery/api/tickets", json={"title": "甲乙"})

    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_form_sent_after_the_session_ended_says_so(stranger: TestClient) -> None:
    answer = stranger.post(
        "/gallery/tickets",
        data=FORM,
        headers={"hx-request": "true", "referer": "http://testserver/gallery/desk"},
    )

    assert answer.status_code == 401
    assert answer.headers["hx-retarget"] == "#refusal"
    assert 'href="/login?next=/gallery/desk"' in answer.text


def test_wrong_role_gets_the_missing_permission(client: TestClient) -> None:
    answer = client.get("/gallery/office")

    assert answer.status_code == 403
    assert "这里需要“评议办”权限" in answer.text


def test_public_pages_are_open(stranger: TestClient) -> None:
    assert stranger.get("/p/").status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 303),
        ({"sec-fetch-site": "same-origin"}, 303),
        ({"sec-fetch-site": "none"}, 303),
        ({"origin": "http://testserver"}, 303),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "cross-site", "origin": "http://testserver"}, 403),
    ],
)
def test_a_form_must_come_from_our_own_pages(
    client: TestClient, headers: dict[str, str], status: int
) -> None:
    form = {**FORM, "csrf": csrf_token(OPERATOR), "idempotency_key": "k"}

    answer = client.post("/gallery/tickets", data=form, headers=headers)

    assert answer.status_code == status
    assert len(client.app.state.registered) == (status == 303)  # type: ignore[attr-defined]


@pytest.mark.parametrize("token", ["", "guess", csrf_token("token-of-somebody-else")])
def test_a_form_must_carry_the_token_of_its_session(client: TestClient, token: str) -> None:
    answer = client.post("/gallery/tickets", data={**FORM, "csrf": token, "idempotency_key": "k"})

    assert answer.status_code == 403
    assert "已填写的内容不会丢失" in answer.text


def test_the_token_may_come_as_a_header(client: TestClient) -> None:
    answer = client.post(
        "/gallery/tickets",
        data={**FORM, "idempotency_key": "k"},
        headers={"x-csrf-token": csrf_token(OPERATOR)},
    )

    assert answer.status_code == 303


def test_json_with_a_cookie_needs_the_token_too(client: TestClient) -> None:
    answer = client.post(
        "/gallery/api/tickets", json={"title": "甲乙"}, headers={"idempotency-key": "k"}
    )

    assert answer.status_code == 403


def test_a_bearer_token_needs_no_other_proof(stranger: TestClient) -> None:
    headers = {
        "authorization": f"Bearer {OPERATOR}",
        "idempotency-key": "k",
        "sec-fetch-site": "cross-site",
    }

    assert (
        stranger.post("/gallery/api/tickets", json={"title": "甲乙"}, headers=headers).status_code
        == 201
    )


def test_public_forms_of_strangers_are_checked_by_origin(stranger: TestClient) -> None:
    assert stranger.post("/p/report", data=FORM).status_code == 303
    assert (
        stranger.post("/p/report", data=FORM, headers={"sec-fetch-site": "cross-site"}).status_code
        == 403
    )


def test_a_body_beyond_the_limit_is_refused_announced_or_not(client: TestClient) -> None:
    headers = {
        "authorization": f"Bearer {OPERATOR}",
        "idempotency-key": "k",
        "content-type": "application/json",
    }

    announced = client.post("/gallery/api/tickets", content=b" " * 1_100_000, headers=headers)
    silent = client.post(
        "/gallery/api/tickets", content=iter([b" " * 600_000, b" " * 600_000]), headers=headers
    )

    assert announced.status_code == silent.status_code == 413
    assert announced.json()["detail"] == "提交的内容超过了 1 MB 的限制，请缩小或分次提交。"


def test_a_route_for_files_accepts_larger_bodies(stranger: TestClient) -> None:
    headers = {"authorization": f"Bearer {OPERATOR}", "idempotency-key": "k"}

    answer = stranger.post(
        "/gallery/api/files", files={"photo": ("p.jpg", b"x" * 1_500_000)}, headers=headers
    )

    assert (answer.status_code, answer.json()) == (201, {"bytes": 1_500_000})


def test_a_page_that_asks_by_itself_does_not_keep_a_session_alive(client: TestClient) -> None:
    client.get("/gallery/queue")
    client.get("/gallery/queue", headers={"x-background": "true"})

    assert client.app.state.sessions.touched == [True, False]  # type: ignore[attr-defined]


# ── a document: one that FastAPI need not take apart


class Note(Input):
    """A made-up document."""

    text: str
    stars: int = 3


TAKEN: list[str] = []
documents = Router(prefix="/notes/api")


@documents.post("/known", policy=SIGNED_IN)
async def take(request: Request, user: CurrentUser, given: Note) -> Response:
    TAKEN.append(given.text)
    return JSONResponse(
        {"by": user.name, "text": given.text, "stars": given.stars, "path": request.url.path}
    )


@documents.post("/open", policy=PUBLIC)
async def take_from_anybody(user: OptionalUser, given: Note) -> Response:
    return JSONResponse({"by": user.name if user else None, "text": given.text})


def rate_limits(request: Request) -> list[RateLimit]:
    return [RateLimit("notes", 1, 60)]


@documents.post("/measured", policy=PUBLIC, rate_limits=rate_limits)
async def take_measured(given: Note) -> Response:
    return JSONResponse({})


@documents.post("/measured/{shelf}", policy=PUBLIC, rate_limits=rate_limits)
async def shelve_measured(shelf: str, given: Note) -> Response:
    return JSONResponse({})


@documents.post("/{shelf}", policy=PUBLIC)
async def shelve(shelf: str, given: Note) -> Response:
    return JSONResponse({"shelf": shelf})


@pytest.fixture
def notes() -> TestClient:
    """A program that sends notes."""
    app = make_app()
    app.router.routes[:0] = documents.routes
    TAKEN.clear()
    headers = {"authorization": f"Bearer {OPERATOR}"}
    return TestClient(app, raise_server_exceptions=False, follow_redirects=False, headers=headers)


def test_a_document_reaches_its_endpoint_with_who_sent_it(notes: TestClient) -> None:
    answer = notes.post("/notes/api/known", json={"text": " 窗口无人 "})

    assert (answer.status_code, answer.json()) == (
        200,
        {"by": "operator", "text": "窗口无人", "stars": 3, "path": "/notes/api/known"},
    )
    assert notes.post(
        "/notes/api/open", json={"text": "甲"}, headers={"authorization": ""}
    ).json() == {"by": None, "text": "甲"}
    assert notes.post("/notes/api/7", json={"text": "甲"}).json() == {"shelf": "7"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"{}",
        b'{"text": 7}',
        b'{"text": "\\ud800"}',
        b"\xff",
        b'{"text": "a", "tixt": "b"}',
        b'{"text": "a", "stars": "5"}',
        b'{"text": "a", "stars": "many"}',
        b'{"text": "a", "stars": 1.5}',
        b'{"text": "a", "stars": NaN}',
        b'{"text": "a", "text": "b"}',
        b'{"text": "a", "stars": 123456789012345678901234567890}',
        "\ufeff{}".encode(),
        b'{"text": "a"} ',
        b"[" * 10_000,
    ],
)
def test_a_document_is_taken_or_refused_as_fastapi_takes_or_refuses_it(
    notes: TestClient, body: bytes
) -> None:
    straight = notes.post(
        "/notes/api/known", content=body, headers={"content-type": "application/json"}
    )
    by_fastapi = notes.post(
        "/notes/api/known",
        content=body,
        headers={"content-type": "application/json; charset=utf-8"},
    )

    def outcome(answer: Any) -> tuple[int, dict[str, Any]]:
        return answer.status_code, {
            name: value for name, value in answer.json().items() if name != "instance"
        }

    assert outcome(straight) == outcome(by_fastapi)
    assert straight.status_code in (200, 400, 422)


def test_a_document_of_another_kind_is_not_read_as_json(notes: TestClient) -> None:
    assert (
        notes.post(
            "/notes/api/known", content=b'{"text": "a"}', headers={"content-type": "text/plain"}
        ).status_code
        == 422
    )
    assert notes.post("/notes/api/known", data={"text": "a"}).status_code == 422
    assert TAKEN == []


def test_a_json_document_passes_the_same_authorization(notes: TestClient) -> None:
    strange = {"authorization": "Bearer nobody"}

    assert notes.post("/notes/api/known", json={"text": "a"}, headers=strange).status_code == 401
    assert notes.post("/notes/api/known", content=b"{", headers=strange).status_code == 401, (
        "who may not come in is not told about their document"
    )
    assert notes.post("/notes/api/known", json={"text": "a" * BODY_MAX_BYTES}).status_code == 413
    assert (
        notes.post(
            "/notes/api/open",
            json={"text": "a"},
            headers={**strange, "sec-fetch-site": "cross-site"},
        ).status_code
        == 200
    )
    browser = {"authorization": "", "cookie": f"{COOKIE}={OPERATOR}"}
    assert notes.post("/notes/api/known", json={"text": "a"}, headers=browser).status_code == 403
    assert (
        notes.post(
            "/notes/api/known",
            json={"text": "a"},
            headers={**browser, "x-csrf-token": csrf_token(OPERATOR)},
        ).status_code
        == 200
    )
    assert TAKEN == ["a"]


def test_a_form_instead_of_a_document_is_refused_in_words(notes: TestClient) -> None:
    browser = {"authorization": "", "cookie": f"{COOKIE}={OPERATOR}"}

    assert notes.post(
        "/notes/api/known", data={"text": "a", "csrf": csrf_token(OPERATOR)}, headers=browser
    ).status_code in (400, 422)


@pytest.mark.parametrize("path", ["/notes/api/measured", "/notes/api/measured/7"])
def test_a_measure_holds_for_documents_as_for_all(notes: TestClient, path: str) -> None:
    notes.app.state.limiter = Full()  # type: ignore[attr-defined]

    assert notes.post(path, json={"text": "a"}).status_code == 429
    assert notes.post("/notes/api/known", json={"text": "a"}).status_code == 200


class Full:
    """A limiter by which nothing is left."""

    async def hit(self, *limits: RateLimit) -> float:
        return 60.0


@pytest.mark.parametrize(
    "kind", [b"application/json", b"application/json; charset=utf-8", b"text/plain"]
)
async def test_a_client_that_disconnects_mid_document_is_ignored(
    notes: TestClient, kind: bytes
) -> None:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [
        (b"authorization", f"Bearer {OPERATOR}".encode()),
        (b"content-type", kind),
        (b"host", b"testserver"),
    ]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/notes/api/known",
        "query_string": b"",
        "headers": headers,
        "root_path": "",
    }
    await notes.app(scope, receive, send)

    assert not [message for message in sent if message.get("status") == 500]
    assert TAKEN == []
