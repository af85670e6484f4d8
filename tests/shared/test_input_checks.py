"""What no field accepts is refused at the edge, with the field and what to do."""

from datetime import UTC, date, datetime

import pytest
from fastapi import FastAPI
from pydantic import Field
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.testclient import TestClient

from shared.foundation.input_rules import find_problems, text_problem
from shared.security.policies import PUBLIC
from shared.web import Router, read_form
from shared.web.error_responses import install_errors
from shared.web.forms import Input, check_form
from tests.browser.gallery import make_app

router = Router(prefix="/things/api")


class Thing(Input):
    title: str = Field("", title="标题")
    count: int = 0
    share: float = 0
    day: date | None = None
    at: datetime | None = None
    tags: dict[str, str] = Field(default_factory=dict)


@router.post("/{name}", policy=PUBLIC)
async def add(name: str, thing: Thing, limit: int = 1) -> Response:
    return JSONResponse({"name": name})


@router.get("/{name}", policy=PUBLIC)
async def show(name: str, day: date | None = None, at: datetime | None = None) -> Response:
    return JSONResponse({"name": name})


@router.post("/forms/{name}", policy=PUBLIC)
async def send_form(request: Request, name: str) -> Response:
    form = await read_form(request, Thing)
    errors = [[error.field, error.sentence] for error in form.errors]
    return JSONResponse({"errors": errors, "title": form.value("title")})


@pytest.fixture
def client() -> TestClient:
    app: FastAPI = make_app()
    app.include_router(router)
    install_errors(app)
    return TestClient(app, raise_server_exceptions=False)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ('{"title": "a\\u0000b"}', "title"),
        ('{"title": "\\ud800"}', "title"),
        ('{"tags": {"a": "\\u001b"}}', "tags.a"),
        ('{"tags": {"a\\u0000": "b"}}', "tags"),
        ('{"count": 2147483648}', "count"),
        ('{"count": -99999999999999999999999999}', "count"),
        ('{"count": ' + "9" * 5_000 + "}", ""),
        ('{"share": 1e400}', "share"),
        ('{"share": NaN}', ""),
        ('{"day": "0001-01-01"}', "day"),
        ('{"at": "0001-01-01T00:00:00Z"}', "at"),
        ('{"at": "2026-11-22T09:30:00"}', "at"),
        ("[" * 40 + "]" * 40, "0." * 32 + "0"),
        ("[" * 100_000, ""),
    ],
)
def test_document_is_refused_with_the_field(client: TestClient, body: str, field: str) -> None:
    answer = client.post(
        "/things/api/a", content=body, headers={"content-type": "application/json"}
    )

    assert answer.status_code == 422
    named = [error["field"] for error in answer.json().get("errors", [{"field": ""}])]
    assert named == [field if len(field) < 60 else "其他内容"]


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/things/api/a%00b", "name"),
        ("/things/api/a%0D%0Ab", "name"),
        ("/things/api/" + "a" * 201, "name"),
        ("/things/api/a?day=0001-01-01", "day"),
        ("/things/api/a?at=2026-11-22T09:30:00", "at"),
        ("/things/api/a?other=%1B", "other"),
        ("/things/api/a?other=" + "a" * 4_001, "other"),
    ],
)
def test_address_is_refused_with_the_field(client: TestClient, path: str, field: str) -> None:
    answer = client.get(path)

    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_number_in_an_address_has_32_bits(client: TestClient) -> None:
    answer = client.post("/things/api/a?limit=2147483648", json={})

    assert answer.status_code == 422
    assert answer.json()["detail"] == "“limit”数字过大，应在正负 2,147,483,647 之间"


def test_headers_and_cookies_carry_no_control_characters(client: TestClient) -> None:
    assert client.get("/things/api/a", headers={"user-agent": "a\x01b"}).status_code == 422
    # A quoted cookie may spell any byte in octal.
    assert client.get("/things/api/a", headers={"cookie": 'a="\\000"'}).status_code == 422
    assert client.get("/things/api/a", headers={"x-name": "甲".encode()}).status_code == 200


def test_form_keeps_the_text_without_the_control_characters(client: TestClient) -> None:
    answer = client.post("/things/api/forms/a", data={"title": "窗口\x0b没有人"})

    sentence = "“标题”含有不可见的控制字符，请删除后再提交"
    assert answer.json() == {"errors": [["title", sentence]], "title": "窗口没有人"}


def test_form_rejects_numbers_and_years_out_of_range() -> None:
    form = check_form(FormData([("count", str(2**31)), ("day", "0001-01-01")]), Thing)

    assert form.cleaned is None
    assert [error.field for error in form.errors] == ["count", "day"]


def test_file_name_carries_no_control_characters(client: TestClient) -> None:
    upload = UploadFile(file=None, filename="a\0.png")  # type: ignore[arg-type]

    assert check_form(FormData([("photo", upload)]), Thing).error("photo")


def test_form_is_no_json(client: TestClient) -> None:
    assert client.post("/things/api/a", data={"title": "a"}).status_code == 422


@pytest.mark.parametrize("text", ["甲\t乙\n丙\r\n", "😀", "\u3000", "é", "\u200b"])
def test_ordinary_text_passes(text: str) -> None:
    assert text_problem(text) == ""


def test_ordinary_values_pass() -> None:
    value = {"a": [1, 2.5, True, None, "甲"], "b": {"at": datetime(2026, 11, 22, tzinfo=UTC)}}

    assert list(find_problems(value)) == []
