"""Signing in and staying signed in, on a real Valkey; roles and policies as tables."""

import asyncio
import time
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from redis.asyncio import BlockingConnectionPool, Redis
from starlette.requests import Request

from shared.appraisal.labels import Role
from shared.embedded.valkey import Valkey
from shared.security.known_devices import DeviceCookie
from shared.security.passwords import hash_password, verify_password
from shared.security.policies import PUBLIC, SIGNED_IN, Account, allow
from shared.security.rate_limits import RateLimiter
from shared.security.sessions import (
    Sessions,
    authenticate,
    csrf_token,
    csrf_token_matches,
    read_credential,
)
from shared.security.sign_in import (
    SOURCE_FAILURES_MAX,
    UNKNOWN_FAILURES_MAX,
    SignInSource,
    count_login_attempt,
    remember_network,
    reset_login_failures,
)
from shared.storage.redis import CacheUnavailable

WANG = Account(UUID(int=1), "wangmou", "王某", Role.SUPERVISOR)
LI = Account(UUID(int=2), "limou", "李某", Role.HANDLER, "jl-rst")


def test_eleven_roles_with_their_names_on_pages() -> None:
    assert [role.value for role in Role] == [
        "operator",
        "reviewer",
        "handler",
        "unit_head",
        "supervisor",
        "office",
        "inspector",
        "leader",
        "admin",
        "auditor",
        "custodian",
    ]
    assert Role.OPERATOR.label == "坐席"
    assert len({role.label for role in Role}) == 11


@pytest.mark.parametrize("role", list(Role))
def test_policy_admits_exactly_its_roles(role: Role) -> None:
    account = Account(UUID(int=3), "n", "某", role)

    assert allow(Role.OFFICE, Role.LEADER).allows(account) == (role in {Role.OFFICE, Role.LEADER})
    assert SIGNED_IN.allows(account)
    assert PUBLIC.allows(account)


def test_nobody_signed_in_gets_what_is_public_and_nothing_else() -> None:
    assert PUBLIC.allows(None)
    assert not SIGNED_IN.allows(None)
    assert not allow(Role.ADMIN).allows(None)
    with pytest.raises(ValueError, match="at least one role"):
        allow()


# ── passwords


async def test_right_password_is_known_however_it_was_typed() -> None:
    stored = await hash_password("Changchun-2026，好")

    assert stored.startswith("$argon2id$")
    assert await verify_password("Changchun-2026，好", stored)
    assert await verify_password("Ｃhangchun－２０２６,好", stored)
    assert not await verify_password("changchun-2026，好", stored)
    assert not await verify_password("", stored)


async def test_damaged_hash_lets_nobody_in() -> None:
    for stored in ("", "x", "$argon2id$v=19$m=65536,t=3,p=4$AAAA$AAAA"):
        assert not await verify_password("x", stored)


async def test_unknown_name_takes_as_long_as_a_wrong_password() -> None:
    stored = await hash_password("right")
    await verify_password("warm up", None)

    unknown, wrong = [], []
    for _ in range(5):
        unknown.append(await _seconds(verify_password("wrong", None)))
        wrong.append(await _seconds(verify_password("wrong", stored)))

    assert 0.5 < min(unknown) / min(wrong) < 2


async def test_event_loop_stays_free_while_a_password_is_looked_at() -> None:
    stored = await hash_password("right")
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            longest = max(longest, await _seconds(asyncio.sleep(0.005)))

    watching = asyncio.create_task(watch())
    await asyncio.gather(*(verify_password("wrong", stored) for _ in range(4)))
    watching.cancel()

    assert longest < 0.25


async def _seconds(waiting: Any) -> float:
    began = time.perf_counter()
    await waiting
    return time.perf_counter() - began


# ── attempts


@dataclass
class LoginGuard:
    """A login door: one real password, the limiter before it."""

    limiter: RateLimiter
    looked_at: int = 0
    refused: list[int] = field(default_factory=list)

    async def attempt(
        self, name: str, network: str, *, right: bool = False, device: str = ""
    ) -> bool:
        source = SignInSource(network, device)
        if wait := await count_login_attempt(self.limiter, name, source):
            self.refused.append(wait)
            return False
        self.looked_at += 1
        if right:
            await reset_login_failures(self.limiter, name, source)
            await remember_network(self.limiter, name, source)
        return right


@pytest.fixture
def guard(redis: Redis) -> LoginGuard:
    return LoginGuard(RateLimiter(redis, secret=b"s"))


async def test_after_five_failures_this_source_waits_fifteen_minutes(guard: LoginGuard) -> None:
    for _ in range(6):
        await guard.attempt("wangmou", "203.0.113.7")

    assert guard.looked_at == 5
    assert 15 * 60 - 5 <= guard.refused[0] <= 15 * 60
    assert not await guard.attempt("wangmou", "203.0.113.7", right=True)


async def test_thousand_guesses_at_once_are_five_guesses(valkey: Valkey, redis: Redis) -> None:
    """Through a client that waits as long as it takes: on a busy machine a thousand questions are
    not answered within a second.
    """
    patient = Redis.from_pool(
        BlockingConnectionPool.from_url(
            valkey.url, max_connections=64, timeout=60, socket_timeout=60, socket_connect_timeout=60
        )
    )
    guard = LoginGuard(RateLimiter(patient, secret=b"s"))

    await asyncio.gather(*(guard.attempt("wangmou", "203.0.113.7") for _ in range(1000)))
    await patient.aclose()

    assert guard.looked_at == 5
    assert len(guard.refused) == 995


async def test_third_party_does_not_lock_the_owner_out(guard: LoginGuard) -> None:
    """However long one address keeps knocking: what is refused fills neither the account's measure
    nor the address's.
    """
    for _ in range(2 * UNKNOWN_FAILURES_MAX):
        await guard.attempt("wangmou", "198.51.100.1")

    assert await guard.attempt("wangmou", "203.0.113.7", right=True)
    assert await guard.attempt("limou", "198.51.100.1", right=True), (
        "the colleagues behind the same address"
    )


async def test_right_password_forgets_the_failures_before_it(guard: LoginGuard) -> None:
    for _ in range(3):
        for _ in range(4):
            await guard.attempt("wangmou", "203.0.113.7")
        assert await guard.attempt("wangmou", "203.0.113.7", right=True)


async def test_list_of_names_is_not_tried_from_one_place(guard: LoginGuard) -> None:
    for n in range(200):
        await guard.attempt(f"name{n}", "203.0.113.7")

    assert guard.looked_at == SOURCE_FAILURES_MAX


async def test_whole_office_signs_in_from_one_address(guard: LoginGuard) -> None:
    for n in range(2 * SOURCE_FAILURES_MAX):
        assert await guard.attempt(f"name{n}", "203.0.113.7", right=True)

    for n in range(SOURCE_FAILURES_MAX + 1):
        await guard.attempt(f"guess{n}", "203.0.113.7")
    assert len(guard.refused) == 1, "right passwords make no room for wrong ones"


async def test_many_places_together_have_a_bound_too(guard: LoginGuard) -> None:
    for n in range(300):
        await guard.attempt("wangmou", f"198.51.100.{n % 250}")

    assert guard.looked_at == UNKNOWN_FAILURES_MAX


async def test_known_network_signs_in_while_the_whole_world_guesses(guard: LoginGuard) -> None:
    """An attacker with many addresses uses up what unknown sources share, and nothing else."""
    assert await guard.attempt("wangmou", "203.0.113.7", right=True)

    for n in range(300):
        await guard.attempt("wangmou", f"198.51.100.{n % 250}")

    assert not await guard.attempt("wangmou", "192.0.2.1", right=True), "a source never seen"
    assert await guard.attempt("wangmou", "203.0.113.7", right=True), "the owner's office"


async def test_known_device_signs_in_whatever_its_neighbours_type(guard: LoginGuard) -> None:
    """A colleague behind the same address types the owner's name with wrong passwords."""
    for _ in range(10):
        await guard.attempt("wangmou", "203.0.113.7")

    assert not await guard.attempt("wangmou", "203.0.113.7", right=True)
    assert await guard.attempt("wangmou", "203.0.113.7", right=True, device="d" * 32)


async def test_known_device_has_five_guesses_too(guard: LoginGuard) -> None:
    """A stolen computer is no way around the limit."""
    for _ in range(20):
        await guard.attempt("wangmou", "203.0.113.7", device="d" * 32)

    assert guard.looked_at == 5


async def test_right_passwords_leave_the_budget_of_strangers_alone(guard: LoginGuard) -> None:
    for n in range(UNKNOWN_FAILURES_MAX):
        await guard.attempt("wangmou", f"198.51.100.{n}")
        await guard.attempt("wangmou", "203.0.113.7", right=True, device="d" * 32)

    assert not await guard.attempt("wangmou", "192.0.2.1"), "51 guesses of strangers"


def test_device_cookie_proves_one_device_and_its_accounts() -> None:
    first = DeviceCookie.parse("").remember(b"k" * 32, "wangmou")
    copied = DeviceCookie(DeviceCookie.parse("").device, first.marks)

    assert DeviceCookie.parse(first.text).knows(b"k" * 32, "wangmou")
    assert not first.knows(b"k" * 32, "limou"), "another account on this device"
    assert not copied.knows(b"k" * 32, "wangmou"), "the mark on another device"
    assert not first.knows(b"x" * 32, "wangmou"), "a cookie signed by somebody else"
    assert "wangmou" not in first.text


def test_device_cookie_stays_small_and_a_broken_one_is_a_new_device() -> None:
    cookie = DeviceCookie.parse("<script>")
    for n in range(20):
        cookie = cookie.remember(b"k" * 32, f"name{n}")

    assert len(cookie.text) < 300
    assert cookie.knows(b"k" * 32, "name19")
    assert not cookie.knows(b"k" * 32, "name0")


async def test_spelling_of_the_name_and_addresses_of_one_household_count_as_one(
    guard: LoginGuard,
) -> None:
    for n, name in enumerate(
        ["wangmou", "WangMou ", "ｗａｎｇｍｏｕ", "wangmou", "WANGMOU", "wangmou"]
    ):
        await guard.attempt(name, f"2001:db8:1:2::{n + 1}")

    assert guard.looked_at == 5


# ── sessions


async def test_signed_in_person_is_found_by_the_token_alone(redis: Redis) -> None:
    sessions = Sessions(redis)

    wang, li = await sessions.create(WANG), await sessions.create(LI)

    assert len(wang) >= 43  # 256 bits
    assert await sessions.find(wang) == WANG
    assert await sessions.find(li) == LI
    assert await sessions.find(wang[:-1] + ("A" if wang[-1] != "A" else "B")) is None
    assert await sessions.find("") is None


async def test_copy_of_redis_lets_nobody_in_and_names_nobody(redis: Redis) -> None:
    token = await Sessions(redis).create(WANG)

    dump = b"".join([part async for part in _everything(redis)])

    for secret in (token, "王某", "wangmou", "supervisor"):
        assert secret.encode() not in dump


async def _everything(redis: Redis) -> Any:
    for key in await redis.keys("*"):
        yield key
        yield repr(
            await redis.hgetall(key)
            if await redis.type(key) == b"hash"
            else await redis.smembers(key)
        ).encode()
        yield await redis.dump(key)


async def test_token_set_beforehand_is_never_taken_over(redis: Redis) -> None:
    sessions = Sessions(redis)

    tokens = {await sessions.create(WANG) for _ in range(50)}

    assert len(tokens) == 50


async def test_session_ends_when_idle_and_requests_keep_it(redis: Redis) -> None:
    sessions = Sessions(redis, idle_seconds=1)
    token = await sessions.create(WANG)

    for _ in range(5):
        await asyncio.sleep(0.3)
        assert await sessions.find(token) == WANG

    await asyncio.sleep(1.1)
    assert await sessions.find(token) is None


async def test_polling_does_not_keep_an_abandoned_session(redis: Redis) -> None:
    sessions = Sessions(redis, idle_seconds=0.8)
    token = await sessions.create(WANG)

    found = []
    for _ in range(5):
        await asyncio.sleep(0.2)
        found.append(await sessions.find(token, touch=False))

    assert found[0] == WANG
    assert found[-1] is None


async def test_session_ends_absolutely_however_busy(redis: Redis) -> None:
    sessions = Sessions(redis, idle_seconds=0.8, absolute_seconds=1.5)
    token = await sessions.create(WANG)

    found = []
    for _ in range(9):
        await asyncio.sleep(0.2)
        found.append(await sessions.find(token))

    assert found[4] == WANG
    assert found[-1] is None


async def test_signing_out_ends_this_session_only(redis: Redis) -> None:
    sessions = Sessions(redis)
    office, phone = await sessions.create(WANG), await sessions.create(WANG)

    await sessions.revoke(office)

    assert await sessions.find(office) is None
    assert await sessions.find(phone) == WANG


async def test_disabled_account_is_out_everywhere_at_once_and_nobody_else_is(redis: Redis) -> None:
    sessions = Sessions(redis)
    wang = [await sessions.create(WANG) for _ in range(3)]
    li = await sessions.create(LI)

    await sessions.revoke_all(WANG.id)

    assert [await sessions.find(token) for token in wang] == [None] * 3
    assert await sessions.find(li) == LI


async def test_other_devices_are_signed_out_and_this_one_stays(redis: Redis) -> None:
    sessions = Sessions(redis)
    here, there = await sessions.create(WANG), await sessions.create(WANG)

    await sessions.revoke_all(WANG.id, keep=here)

    assert await sessions.find(here) == WANG
    assert await sessions.find(there) is None
    await sessions.revoke_all(WANG.id)
    assert await sessions.find(here) is None


async def test_emptied_redis_signs_everybody_out_without_an_error(redis: Redis) -> None:
    sessions = Sessions(redis)
    token = await sessions.create(WANG)

    await redis.flushall()

    assert await sessions.find(token) is None
    assert await sessions.find(await sessions.create(WANG)) == WANG


async def test_killed_redis_is_signed_out_and_only_login_says_why(
    redis: Redis, valkey: Valkey
) -> None:
    sessions = Sessions(redis)
    token = await sessions.create(WANG)

    valkey.kill()

    assert await sessions.find(token) is None
    await sessions.revoke(token)
    with pytest.raises(CacheUnavailable, match="登录服务暂时不可用，请稍后再试"):
        await sessions.create(WANG)
    with pytest.raises(CacheUnavailable):
        await sessions.revoke_all(WANG.id)
    await valkey.start()
    assert await sessions.find(await sessions.create(LI)) == LI


async def test_session_that_somebody_else_wrote_is_no_session(redis: Redis) -> None:
    sessions = Sessions(redis)
    wang, li = await sessions.create(WANG), await sessions.create(LI)
    keys = list(await redis.keys("session:*"))
    sealed = [await redis.hget(key, "sealed") for key in keys]

    for key, other in zip(keys, reversed(sealed), strict=True):
        await redis.hset(key, "sealed", other)

    assert [await sessions.find(wang), await sessions.find(li)] == [None, None]


# ── requests


def request_with(sessions: Sessions | None = None, **headers: str) -> Request:
    app = SimpleNamespace(state=SimpleNamespace(sessions=sessions))
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    return Request(
        {
            "type": "http",
            "method": "GET",
            "path": "/",
            "query_string": b"",
            "headers": raw,
            "app": app,
        }
    )


async def test_cookie_and_bearer_both_say_who_asks(redis: Redis) -> None:
    sessions = Sessions(redis)
    token = await sessions.create(WANG)

    assert await authenticate(request_with(sessions, cookie=f"fengping_session={token}")) == WANG
    assert await authenticate(request_with(sessions, authorization=f"Bearer {token}")) == WANG
    assert await authenticate(request_with(sessions)) is None
    assert await authenticate(request_with(sessions, authorization="Basic d2FuZzp4")) is None


async def test_behind_tls_only_the_host_cookie_counts(redis: Redis) -> None:
    sessions = Sessions(redis, https=True)
    token = await sessions.create(WANG)

    assert (
        await authenticate(request_with(sessions, cookie=f"__Host-fengping_session={token}"))
        == WANG
    )
    assert await authenticate(request_with(sessions, cookie=f"fengping_session={token}")) is None


async def test_wrong_bearer_is_not_made_good_by_a_cookie(redis: Redis) -> None:
    sessions = Sessions(redis)
    token = await sessions.create(WANG)

    assert (
        await authenticate(
            request_with(sessions, authorization="Bearer x", cookie=f"fengping_session={token}")
        )
        is None
    )
    assert (
        await authenticate(
            request_with(sessions, authorization="Bearer ", cookie=f"fengping_session={token}")
        )
        is None
    )


def test_only_a_cookie_can_be_sent_against_its_owners_will() -> None:
    from_cookie = read_credential(request_with(cookie="s=abc"), "s")
    by_header = read_credential(request_with(authorization="bearer abc"), "s")

    assert from_cookie is not None
    assert by_header is not None
    assert (from_cookie.from_cookie, by_header.from_cookie) == (True, False)


def test_form_belongs_to_one_session() -> None:
    assert csrf_token_matches("token", csrf_token("token"))
    assert not csrf_token_matches("token", csrf_token("another"))
    assert not csrf_token_matches("token", "")
    assert not csrf_token_matches("token", "王\udcff")
    assert "token" not in csrf_token("token")
