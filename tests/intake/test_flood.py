"""Floods: the service answers others meanwhile, and everything is free again afterwards."""

import asyncio
import threading
from ipaddress import IPv4Address

import httpx2

from services.intake.actions import accounts
from shared.appraisal.labels import Role
from shared.security import passwords
from tests.intake.conftest import PASSWORD

WRONG_PASSWORDS = 150


def attacker(office, number):
    """Return a client with an address of its own, so that no limit per address stops it."""
    address = str(IPv4Address("192.0.2.1") + number)
    transport = httpx2.ASGITransport(
        app=office.service.app, raise_app_exceptions=False, client=(address, 40_000)
    )
    return httpx2.AsyncClient(transport=transport, base_url="http://intake.test")


async def test_wrong_passwords_hold_no_connection_and_few_threads(office, monkeypatch):
    hashing, release = threading.Semaphore(0), threading.Event()

    def hash_until_released(password, stored):
        hashing.release()
        release.wait(30)
        return False

    monkeypatch.setattr(passwords, "_verify", hash_until_released)

    async def guess(number):
        async with attacker(office, number) as client:
            given = {"name": f"name-{number}", "password": "wrong-password-1"}
            return (await client.post("/intake/api/sessions", json=given)).status_code

    flood = [asyncio.create_task(guess(number)) for number in range(WRONG_PASSWORDS)]
    try:
        await asyncio.to_thread(hashing.acquire, timeout=10)
        refused, _ = await asyncio.wait(flood, timeout=3)
        connections_in_use, _ = office.database.connections
        async with office.client() as visitor, asyncio.timeout(5):
            page = await visitor.get("/p/")
    finally:
        release.set()
    codes = await asyncio.gather(*flood)

    hashed = passwords.HASHES_AT_ONCE + passwords.HASHES_WAITING_MAX
    assert connections_in_use == 0
    assert page.status_code == 200
    assert {task.result() for task in refused} == {503}
    assert (codes.count(401), codes.count(503)) == (hashed, WRONG_PASSWORDS - hashed)


async def test_sign_in_works_after_a_flood_of_wrong_passwords(office):
    async def guess(number):
        async with attacker(office, number) as client:
            given = {"name": "zuoxi", "password": f"wrong-password-{number}"}
            return (await client.post("/intake/api/sessions", json=given)).status_code

    assert set(await asyncio.gather(*map(guess, range(20)))) == {401}
    async with office.client() as owner:
        given = {"name": office.person(Role.OPERATOR).name, "password": PASSWORD}
        assert (await owner.post("/intake/api/sessions", json=given)).status_code == 201


async def test_new_password_is_hashed_without_a_connection(office, monkeypatch):
    in_use = []
    real = passwords.verify_password

    async def verify(password, stored):
        in_use.append(office.database.connections[0])
        return await real(password, stored)

    monkeypatch.setattr(accounts, "verify_password", verify)
    await accounts.change_password(
        office.transaction,
        account=office.person(Role.OPERATOR),
        old=PASSWORD,
        new="江南可采莲莲叶何田田鱼",
        again="江南可采莲莲叶何田田鱼",
    )
    assert in_use == [0]


async def test_admin_waits_for_the_hash_of_a_reset_without_a_connection(office, key, monkeypatch):
    in_use = []
    real = passwords.hash_password

    async def hash_password(password):
        in_use.append(office.database.connections[0])
        return await real(password)

    monkeypatch.setattr(passwords, "hash_password", hash_password)
    operator = office.person(Role.OPERATOR)
    async with await office.signed_in(Role.ADMIN) as admin:
        reset = await admin.post(
            f"/intake/api/accounts/{operator.id}/password",
            json={"password": "江南可采莲莲叶何田田鱼"},
            headers=key(),
        )
    assert (reset.status_code, in_use) == (201, [0])
