"""Guesses at progress codes: few per network, never a lock for the complainant, equal answers."""

import statistics
import time
from ipaddress import IPv4Address

import httpx2
import pytest

from shared.appraisal.labels import Role
from tests.intake.conftest import complaint

pytestmark = pytest.mark.stack


def visitor(office, number):
    """Return a client with an address of its own."""
    address = str(IPv4Address("192.0.2.1") + number)
    transport = httpx2.ASGITransport(app=office.service.app, client=(address, 40_000))
    return httpx2.AsyncClient(transport=transport, base_url="http://intake.test")


async def registered(office, key):
    async with await office.signed_in(Role.OPERATOR) as operator:
        answer = await operator.post("/intake/api/complaints", json=complaint(), headers=key())
    return answer.json()


async def ask(client, number, code):
    answer = await client.post("/p/query", data={"number": number, "code": code})
    return answer.status_code


async def test_wrong_codes_of_others_do_not_lock_the_complainant_out(office, key):
    ticket = await registered(office, key)
    for attacker in range(1, 21):
        async with visitor(office, attacker) as client:
            for guess in range(5):
                assert await ask(client, ticket["number"], f"{guess:012}") == 404
            assert await ask(client, ticket["number"], ticket["query_code"]) == 429

    async with visitor(office, 0) as complainant:
        assert await ask(complainant, ticket["number"], ticket["query_code"]) == 200


async def test_numbers_are_not_enumerated_from_one_network(office):
    async with visitor(office, 1) as client:
        statuses = [await ask(client, f"ZT2026-{n:06}", "1" * 12) for n in range(30)]
    assert statuses == [404] * 20 + [429] * 10


async def test_right_codes_are_not_counted(office, key):
    """A service hall helps many complainants from one address."""
    ticket = await registered(office, key)
    async with visitor(office, 1) as client:
        statuses = {await ask(client, ticket["number"], ticket["query_code"]) for _ in range(40)}
    assert statuses == {200}


async def test_unknown_number_and_wrong_code_take_the_same_time(office, key):
    ticket = await registered(office, key)
    seconds = {ticket["number"]: [], "ZT2026-999999": []}
    for round_ in range(60):
        for number, measured in seconds.items():
            async with visitor(office, round_ + 1) as client:
                began = time.perf_counter()
                await ask(client, number, "1" * 12)
                measured.append(time.perf_counter() - began)
    known, unknown = map(statistics.median, seconds.values())
    assert 0.7 < known / unknown < 1.4
