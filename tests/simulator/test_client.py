"""The client repeats a write with the same key until it is answered, and never invents a second
one.
"""

import asyncio
import json

import httpx2
import pytest

from services.simulate import client as module
from services.simulate.client import Client, RequestRejected, Unanswered, id_of


class Wire:
    """Answers in turn; an exception in the list is a line that breaks."""

    def __init__(self, *answers):
        self.answers, self.requests = list(answers), []

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
def _no_waiting(monkeypatch):
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0.0)


def talk(*answers, attempts_max=5):
    wire = Wire(*answers)
    return Client(
        "http://127.0.0.1:1", transport=httpx2.MockTransport(wire), attempts_max=attempts_max
    ), wire


OK = (201, {"id": "1"}, {})
BUSY = (503, {"detail": "服务暂时不可用"}, {})


async def test_write_is_repeated_with_the_same_key_after_broken_lines_and_failures():
    client, wire = talk(httpx2.ConnectError("away"), BUSY, httpx2.ReadTimeout("lost"), OK)

    answer = await client.write("/intake/api/complaints", {"a": 1}, key=id_of("c", 1))

    assert (answer.status, answer.attempts) == (201, 4)
    assert set(wire.keys) == {str(id_of("c", 1))}
    assert {request.content for request in wire.requests} == {
        json.dumps({"a": 1}, separators=(",", ":")).encode()
    }


async def test_refusal_is_told_with_its_sentence_and_not_repeated():
    refused = (
        422,
        {
            "detail": "诉求原文至少写 10 个字",
            "errors": [{"field": "complaint_text", "message": "…"}],
        },
        {},
    )
    client, wire = talk(refused)

    with pytest.raises(RequestRejected) as caught:
        await client.write("/x", {}, key="k")

    assert (caught.value.status, caught.value.sentence, caught.value.field) == (
        422,
        "诉求原文至少写 10 个字",
        "complaint_text",
    )
    assert len(wire.requests) == 1


async def test_giving_up_leaves_the_outcome_unknown():
    client, wire = talk(BUSY, attempts_max=3)

    with pytest.raises(Unanswered):
        await client.write("/x", {}, key="k")

    assert len(wire.requests) == 3


async def test_too_often_waits_as_long_as_it_is_told():
    client, _ = talk((429, {"detail": "操作过于频繁"}, {"retry-after": "0"}), OK)

    assert (await client.write("/x", {}, key="k")).attempts == 2


async def test_lost_session_is_opened_again_and_the_write_keeps_its_key():
    session = (201, {"token": "t1", "account": {"name": "zuoxi"}}, {})
    again = (201, {"token": "t2", "account": {"name": "zuoxi"}}, {})
    client, wire = talk(session, (401, {"detail": "请先登录"}, {}), again, OK)

    person = await client.sign_in("zuoxi", "secret-word")
    await person.write("/x", {}, key="k")

    assert [request.headers.get("authorization") for request in wire.requests] == [
        None,
        "Bearer t1",
        None,
        "Bearer t2",
    ]
    assert wire.keys == [None, "k", None, "k"]


async def test_a_session_that_many_requests_find_lost_is_opened_again_once():
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
    person = await client.sign_in("zuoxi", "secret-word")
    answers = await asyncio.gather(*(person.write("/x", {}, key=n) for n in range(20)))

    assert [answer.status for answer in answers] == [201] * 20
    assert len(signed_in) == 2


async def test_repetition_that_was_recognised_says_so():
    client, _ = talk((201, {}, {"idempotency-replayed": "true"}))

    assert (await client.write("/x", {}, key="k")).replayed


def test_the_same_words_are_the_same_key():
    assert id_of("demo", 1, "ballot") == id_of("demo", 1, "ballot") != id_of("demo", 1, "visit")
