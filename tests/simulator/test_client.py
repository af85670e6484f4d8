"""The client retries a write under the same idempotency key until it is answered."""

import asyncio
import json

import httpx2
import pytest

from services.simulate import client as client_module
from services.simulate.client import Client, id_of
from services.simulate.errors import RequestRejected, Unanswered


class FakeServer:
    """Gives the answers in turn; an exception among them is a broken connection."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.requests = []

    async def __call__(self, request):
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        status, body, headers = answer
        return httpx2.Response(status, json=body, headers=headers)

    @property
    def keys(self):
        return [request.headers.get("idempotency-key") for request in self.requests]


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr(client_module, "PAUSE_SECONDS", 0.0)


def connected(*answers, attempts_max=5):
    server = FakeServer(*answers)
    transport = httpx2.MockTransport(server)
    client = Client("http://127.0.0.1:1", transport=transport, attempts_max=attempts_max)
    return client, server


OK = (201, {"id": "1"}, {})
BUSY = (503, {"detail": "服务暂时不可用"}, {})


async def test_write_is_retried_with_the_same_key():
    client, server = connected(httpx2.ConnectError("away"), BUSY, httpx2.ReadTimeout("lost"), OK)

    answer = await client.write("/intake/api/complaints", {"a": 1}, key=id_of("c", 1))

    assert (answer.status, answer.attempts) == (201, 4)
    assert set(server.keys) == {str(id_of("c", 1))}
    assert {request.content for request in server.requests} == {
        json.dumps({"a": 1}, separators=(",", ":")).encode()
    }


async def test_rejection_is_raised_and_not_retried():
    rejection = (
        422,
        {
            "detail": "诉求原文至少写 10 个字",
            "errors": [{"field": "complaint_text", "message": "…"}],
        },
        {},
    )
    client, server = connected(rejection)

    with pytest.raises(RequestRejected) as caught:
        await client.write("/x", {}, key="k")

    assert (caught.value.status, caught.value.sentence, caught.value.field) == (
        422,
        "诉求原文至少写 10 个字",
        "complaint_text",
    )
    assert len(server.requests) == 1


async def test_giving_up_raises_unanswered():
    client, server = connected(BUSY, attempts_max=3)

    with pytest.raises(Unanswered):
        await client.write("/x", {}, key="k")

    assert len(server.requests) == 3


async def test_rate_limited_write_waits_for_retry_after():
    client, _ = connected((429, {"detail": "操作过于频繁"}, {"retry-after": "0"}), OK)

    assert (await client.write("/x", {}, key="k")).attempts == 2


async def test_lost_session_is_reopened_and_the_write_keeps_its_key():
    session = (201, {"token": "t1", "account": {"name": "zuoxi"}}, {})
    again = (201, {"token": "t2", "account": {"name": "zuoxi"}}, {})
    client, server = connected(session, (401, {"detail": "请先登录"}, {}), again, OK)

    account = await client.sign_in("zuoxi", "secret-word")
    await account.write("/x", {}, key="k")

    assert [request.headers.get("authorization") for request in server.requests] == [
        None,
        "Bearer t1",
        None,
        "Bearer t2",
    ]
    assert server.keys == [None, "k", None, "k"]


async def test_concurrent_requests_reopen_a_lost_session_once():
    signed_in = []

    async def handler(request):
        if request.url.path.endswith("/sessions"):
            await asyncio.sleep(0.01)
            signed_in.append(request)
            return httpx2.Response(
                201, json={"token": f"t{len(signed_in)}", "account": {"name": "zuoxi"}}
            )
        current = f"Bearer t{len(signed_in)}" if len(signed_in) > 1 else "none"
        return httpx2.Response(
            201 if request.headers.get("authorization") == current else 401, json={"id": "1"}
        )

    client = Client("http://127.0.0.1:1", transport=httpx2.MockTransport(handler))
    account = await client.sign_in("zuoxi", "secret-word")
    answers = await asyncio.gather(*(account.write("/x", {}, key=n) for n in range(20)))

    assert [answer.status for answer in answers] == [201] * 20
    assert len(signed_in) == 2


async def test_recognized_repetition_is_marked_replayed():
    client, _ = connected((201, {}, {"idempotency-replayed": "true"}))

    assert (await client.write("/x", {}, key="k")).replayed


def test_same_words_give_the_same_key():
    assert id_of("demo", 1, "ballot") == id_of("demo", 1, "ballot") != id_of("demo", 1, "visit")
