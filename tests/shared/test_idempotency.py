"""A write and its repetition have one effect and one answer."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from starlette.requests import Request
from starlette.testclient import TestClient

from shared.appraisal.errors import Rejected
from shared.appraisal.labels import Role
from shared.foundation.settings import Settings
from shared.security.sessions import COOKIE, csrf_token
from shared.storage.connections import Database
from shared.storage.transaction import Transaction
from shared.web.idempotency import (
    CoalescedWrite,
    IdempotencyKeyReused,
    IdempotentWrite,
    WriteCoalescer,
)
from shared.web.idempotency_keys import IdempotencyKey, read_idempotency_key
from shared.web.idempotency_store import StoredResponse, delete_expired_keys
from tests.browser.gallery import make_app

OPERATOR, OFFICE = f"token-{Role.OPERATOR}", f"token-{Role.OFFICE}"
TICKET = {"title": "窗口无人"}
FORM = {
    "unit": "甲局",
    "kind": "complaint",
    "text": "窗口工作人员上班时间不在岗",
    "csrf": csrf_token(OPERATOR),
    "idempotency_key": "k1",
}


@pytest.fixture
def client() -> TestClient:
    return TestClient(make_app(), raise_server_exceptions=False, follow_redirects=False)


def by(token: str, key: str | None = "k1") -> dict[str, str]:
    return {
        "authorization": f"Bearer {token}",
        **({"idempotency-key": key} if key is not None else {}),
    }


def registered(client: TestClient) -> list[str]:
    return client.app.state.registered  # type: ignore[attr-defined, no-any-return]


def test_the_same_request_twice_is_one_ticket_and_one_answer(client: TestClient) -> None:
    first = client.post("/gallery/api/tickets", json=TICKET, headers=by(OPERATOR))
    again = client.post("/gallery/api/tickets", json=TICKET, headers=by(OPERATOR))

    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert registered(client) == ["窗口无人"]


def test_another_key_is_another_ticket(client: TestClient) -> None:
    client.post("/gallery/api/tickets", json=TICKET, headers=by(OPERATOR, "k1"))
    client.post("/gallery/api/tickets", json=TICKET, headers=by(OPERATOR, "k2"))

    assert len(registered(client)) == 2


def test_a_key_used_for_something_else_is_refused(client: TestClient) -> None:
    client.post("/gallery/api/tickets", json=TICKET, headers=by(OPERATOR))

    answer = client.post("/gallery/api/tickets", json={"title": "另一件事"}, headers=by(OPERATOR))

    assert answer.status_code == 422
    assert "幂等键已用于另一个请求" in answer.json()["detail"]
    assert len(registered(client)) == 1


@pytest.mark.parametrize("key", [None, "", "x" * 201, "a\tb"])
def test_missing_key_is_rejected_with_what_to_send(client: TestClient, key: str | None) -> None:
    answer = client.post("/gallery/api/tickets", json=TICKET, headers=by(OPERATOR, key))

    assert answer.status_code == 400
    assert "Idempotency-Key" in answer.json()["detail"]


def test_what_was_refused_may_be_tried_again_with_the_same_key(client: TestClient) -> None:
    client.app.state.simulated_failure = "refuse"  # type: ignore[attr-defined]
    refused = client.post("/gallery/api/tickets", json=TICKET, headers=by(OPERATOR))
    client.app.state.simulated_failure = ""  # type: ignore[attr-defined]

    again = client.post("/gallery/api/tickets", json=TICKET, headers=by(OPERATOR))

    assert (refused.status_code, again.status_code) == (409, 201)
    assert "idempotency-replayed" not in again.headers


def test_a_form_sent_twice_leads_twice_to_the_same_page(client: TestClient) -> None:
    client.cookies.set(COOKIE, OPERATOR)

    first, again = (client.post("/gallery/tickets", data=FORM) for _ in range(2))

    assert (
        (first.status_code, first.headers["location"])
        == (again.status_code, again.headers["location"])
        == (303, "/gallery/done")
    )
    assert len(registered(client)) == 1


def test_htmx_is_sent_on_by_header_so_that_the_address_is_right(client: TestClient) -> None:
    client.cookies.set(COOKIE, OPERATOR)

    answer = client.post("/gallery/tickets", data=FORM, headers={"hx-request": "true"})

    assert (answer.status_code, answer.headers["hx-redirect"]) == (204, "/gallery/done")


def test_a_photo_sent_again_with_another_boundary_is_the_same_photo(client: TestClient) -> None:
    first, again = (
        client.post(
            "/gallery/api/files", files={"photo": ("p.jpg", b"picture")}, headers=by(OFFICE)
        )
        for _ in range(2)
    )
    other = client.post(
        "/gallery/api/files", files={"photo": ("p.jpg", b"other")}, headers=by(OFFICE)
    )

    assert (first.status_code, again.status_code, other.status_code) == (201, 201, 422)
    assert again.headers["idempotency-replayed"] == "true"


# ── on a real database ────────────────────────────────────────────────────────────────────────────

Core = tuple[Settings, Callable[[str], Awaitable[Database]]]


def request(key: str = "key", body: str = "") -> Request:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body.encode(), "more_body": False}

    headers = [(b"idempotency-key", key.encode())]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "query_string": b"",
        "headers": headers,
        "server": ("door", 80),
    }
    return Request(scope, receive)


@pytest.mark.stack
async def test_ten_at_once_have_one_effect(core: Core) -> None:
    database = await core[1]("intake")
    done: list[int] = []

    async def register(number: int) -> dict[str, int]:
        await asyncio.sleep(0.05)
        done.append(number)
        return {"number": number}

    async def send(number: int) -> Any:
        async with database.transaction() as tx:
            return await IdempotentWrite(request(), tx, IdempotencyKey("key", "print")).respond(
                201, register(number)
            )

    answers = await asyncio.gather(*(send(number) for number in range(10)))

    assert len(done) == 1
    assert {answer.body for answer in answers} == {b'{"number":%d}' % done[0]}
    assert sum("idempotency-replayed" in answer.headers for answer in answers) == 9


@pytest.mark.stack
async def test_when_the_first_fails_the_one_that_waited_does_the_work(core: Core) -> None:
    database = await core[1]("intake")
    begun = asyncio.Event()

    async def fail() -> None:
        begun.set()
        await asyncio.sleep(0.1)
        raise RuntimeError("killed before the commit")

    async def succeed() -> str:
        return "done"

    async def send(action: Awaitable[Any]) -> Any:
        async with database.transaction() as tx:
            return await IdempotentWrite(request(), tx, IdempotencyKey("key", "print")).respond(
                201, action
            )

    first = asyncio.create_task(send(fail()))
    await begun.wait()
    second = await send(succeed())

    with pytest.raises(RuntimeError):
        await first
    assert second.body == b'"done"'
    assert "idempotency-replayed" not in second.headers


@pytest.mark.stack
async def test_another_request_with_the_key_is_refused_and_old_keys_are_forgotten(
    core: Core,
) -> None:
    database = await core[1]("intake")

    async def nothing() -> None: ...

    async with database.transaction() as tx:
        await IdempotentWrite(request(), tx, IdempotencyKey("key", "print")).respond(201, nothing())
    with pytest.raises(IdempotencyKeyReused):
        async with database.transaction() as tx:
            await IdempotentWrite(request(), tx, IdempotencyKey("key", "another print")).respond(
                201, nothing()
            )

    async with database.transaction() as tx:
        assert not await delete_expired_keys(tx)
        assert await tx.fetchval("select count(*) from idempotency") == 1
        await tx.run(
            "update idempotency set created_at = created_at - $1::interval", timedelta(hours=73)
        )
        assert not await delete_expired_keys(tx)
        assert await tx.fetchval("select count(*) from idempotency") == 0


# ── many at the same moment ───────────────────────────────────────────────────────────────────────


class Book:
    """Writes what it is given, but not what begins with a cross; tells how many it was given at a
    time.
    """

    def __init__(self, database: Database) -> None:
        self.batches: list[int] = []
        self.coalescer = WriteCoalescer(database, None)

    async def _write(
        self, tx: Transaction, items: Sequence[str]
    ) -> list[dict[str, str] | Rejected]:
        self.batches.append(len(items))
        await asyncio.sleep(0.01)
        return [
            Rejected("不收", status=422) if item.startswith("×") else {"written": item}
            for item in items
        ]

    async def send(self, item: str, key: str) -> StoredResponse:
        sent = request(key, item)
        write = CoalescedWrite(sent, await read_idempotency_key(sent), self.coalescer)
        return await write.run(self._write, item)


@pytest.mark.stack
async def test_writes_of_the_same_moment_share_one_transaction_and_keep_their_answers(
    core: Core,
) -> None:
    book = Book(await core[1]("intake"))

    answers = await asyncio.gather(*(book.send(f"line {n}", f"key {n}") for n in range(20)))
    again = await asyncio.gather(*(book.send(f"line {n}", f"key {n}") for n in range(20)))

    assert (
        [answer.body for answer in answers]
        == [answer.body for answer in again]
        == [{"written": f"line {n}"} for n in range(20)]
    )
    assert not any(answer.replayed for answer in answers)
    assert all(answer.replayed for answer in again)
    assert sum(book.batches) == 20
    assert len([size for size in book.batches if size]) <= 3


@pytest.mark.stack
async def test_a_repetition_beside_its_first_gets_the_same_answer(core: Core) -> None:
    book = Book(await core[1]("intake"))

    answers = await asyncio.gather(*(book.send("line", "key") for _ in range(5)))

    assert [answer.body for answer in answers] == [{"written": "line"}] * 5
    assert sum(not answer.replayed for answer in answers) == 1
    assert sum(book.batches) == 1


@pytest.mark.stack
async def test_a_refusal_among_many_is_alone_and_its_key_stays_free(core: Core) -> None:
    book = Book(await core[1]("intake"))

    one, refused, twin, stranger = await asyncio.gather(
        book.send("line", "a"),
        book.send("×", "b"),
        book.send("×", "b"),
        book.send("another", "a"),
        return_exceptions=True,
    )
    later = await book.send("right now", "b")

    assert isinstance(one, StoredResponse)
    assert isinstance(refused, Rejected)
    assert isinstance(twin, Rejected)
    assert isinstance(stranger, IdempotencyKeyReused)
    assert not later.replayed


@pytest.mark.stack
async def test_a_refused_form_sent_twice_is_refused_twice(core: Core) -> None:
    """A page answers a refusal within its transaction: what was claimed must not stay claimed."""
    database = await core[1]("intake")

    async def refuse() -> None:
        raise Rejected("还不行")

    for _ in range(2):
        async with database.transaction() as tx:
            with pytest.raises(Rejected):
                await IdempotentWrite(
                    Request({"type": "http"}), tx, IdempotencyKey("key", "print")
                ).respond(201, refuse())
