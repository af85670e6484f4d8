"""Signing in through an identity provider: it authenticates, it never grants."""

import json
import re
import time
from base64 import b32decode, urlsafe_b64encode
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey
from pydantic import ValidationError
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse

from services.intake.app import build
from shared.security.oidc import OidcSettings
from shared.security.oidc.http import RESPONSE_BYTES_MAX
from shared.security.sessions import csrf_token
from shared.security.sign_in import PROVIDER_REQUESTS_MAX, SOURCE_FAILURES_MAX
from shared.security.totp import code_at, time_step
from tests.identity_provider import CLIENT_ID, CLIENT_SECRET, new_key, running_provider
from tests.intake.conftest import PASSWORD

pytestmark = pytest.mark.stack
SITE = "http://intake.test"
REVIEWER, OPERATOR = "shenhe", "zuoxi"


@pytest.fixture
def settings(settings):
    return settings.model_copy(update={"second_factor": "required", "public_url": SITE})


@pytest.fixture
async def provider(monkeypatch, tmp_path):
    secret = tmp_path / "client-secret"
    secret.write_text(CLIENT_SECRET + "\n")
    secret.chmod(0o600)
    async with running_provider(f"{SITE}/login/oidc/callback") as running:
        monkeypatch.setenv("FENGPING_OIDC_ISSUER", running.issuer)
        monkeypatch.setenv("FENGPING_OIDC_CLIENT_ID", CLIENT_ID)
        monkeypatch.setenv("FENGPING_OIDC_CLIENT_SECRET_FILE", str(secret))
        yield running


@pytest.fixture
async def site(provider, office):
    """The office, whose service was built with the provider's settings."""
    return office


async def begin(client, next_path="/"):
    """Go to the provider; return the parameters that it gets."""
    gone = await client.get("/login/oidc", params={"next": next_path})
    assert gone.status_code == 303, gone.text
    query = parse_qs(urlsplit(gone.headers["location"]).query)
    return {name: values[0] for name, values in query.items()}


async def come_back(client, answer):
    return await client.get("/login/oidc/callback", params=answer)


async def sign_in(client, provider, username=OPERATOR):
    parameters = await begin(client)
    return await come_back(client, provider.grant(parameters, username))


async def sign_out(site, client):
    token = client.cookies[site.service.sessions.cookie]
    return await client.post("/logout", data={"csrf": csrf_token(token)})


async def is_signed_in(client):
    return (await client.get("/me")).status_code == 200


async def audited(office):
    async with office.transaction() as tx:
        return [
            dict(row)
            for row in await tx.fetch(
                "select details from audit where action = 'account.signed_in' order by id"
            )
        ]


# ── the way there and back ────────────────────────────────────────────────────────────────────────


async def test_sign_in_page_offers_the_provider_only_where_it_is_set(office):
    async with office.client() as client:
        assert "/login/oidc" not in (await client.get("/login")).text
        assert (await client.get("/login/oidc")).status_code == 404


async def test_person_with_an_account_signs_in(provider, site):
    async with site.client() as client:
        page = await client.get("/login", params={"next": "/intake/desk"})
        assert "统一身份认证登录" in page.text
        parameters = await begin(client, "/intake/desk")
        assert parameters["code_challenge_method"] == "S256"
        back = await come_back(client, provider.grant(parameters, " ZuoXi "))

        assert (back.status_code, back.headers["location"]) == (303, "/intake/desk")
        assert await is_signed_in(client)


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
async def test_keys_of_the_provider_may_change_at_any_time(provider, site, algorithm, monkeypatch):
    monkeypatch.setattr("shared.security.oidc.provider.NEW_KEYS_SECONDS", 0.0)
    async with site.client() as client:
        assert (await sign_in(client, provider)).status_code == 303
    provider.rotate(algorithm)
    async with site.client() as client:
        assert (await sign_in(client, provider)).status_code == 303
        assert await is_signed_in(client)


async def test_unknown_keys_make_us_ask_once_a_minute(provider, site):
    async with site.client() as client:
        await sign_in(client, provider)
        provider.rotate("RS256")
        for _ in range(3):
            assert (await sign_in(client, provider)).status_code == 401
    assert provider.requests.count("/jwks") == 1


# ── it never grants ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("username", ["nobody", "", "admin' or 1=1"])
async def test_person_without_an_account_stays_outside(provider, site, username):
    async with site.client() as client:
        answer = await sign_in(client, provider, username)

        assert answer.status_code == 401
        assert not await is_signed_in(client)
    async with site.transaction() as tx:
        assert await tx.fetchval("select count(*) from accounts where name = $1", username) == 0


async def test_disabled_account_stays_outside(provider, site):
    async with site.transaction() as tx:
        disabled = "update accounts set disabled = true where name = $1 returning id"
        tx.audit("account.disabled", await tx.fetchval(disabled, OPERATOR), "tests")
    async with site.client() as client:
        assert (await sign_in(client, provider)).status_code == 401
        assert not await is_signed_in(client)


async def test_claims_of_roles_change_nothing(provider, site):
    provider.claims = {"roles": ["admin"], "role": "admin", "unit_id": "tax"}
    async with site.client() as client:
        await sign_in(client, provider)
        assert (await client.get("/intake/accounts")).status_code == 403


async def test_another_claim_can_name_the_account(provider, monkeypatch, settings, office):
    monkeypatch.setenv("FENGPING_OIDC_USERNAME_CLAIM", "employee_number")
    provider.claims = {"employee_number": OPERATOR}
    service = build(settings)
    transport = httpx2.ASGITransport(app=service.app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url=SITE) as client:
        assert (await sign_in(client, provider, "somebody")).status_code == 303
        assert await is_signed_in(client)
    await service.close()


# ── second factor ─────────────────────────────────────────────────────────────────────────────────


async def test_second_factor_is_asked_for_unless_the_settings_accept_the_provider_s(provider, site):
    provider.claims = {"acr": "loa3", "amr": ["pwd", "otp"]}
    async with site.client() as client:
        back = await sign_in(client, provider, REVIEWER)
        assert back.headers["location"].startswith("/login/enrolment")
        assert not await is_signed_in(client)
        page = await client.get("/login/enrolment")
        secret = b32decode(re.search(r"<code>([A-Z2-7 ]+)</code>", page.text)[1].replace(" ", ""))
        async with site.transaction() as tx:
            code = code_at(secret, time_step(tx.now))
        await client.post("/login/enrolment", data={"code": code})
        assert await is_signed_in(client)
    entries = [str(row) for row in await audited(site)]
    assert "identity_provider" in entries[-1]
    assert "one_time_code" in entries[-1]


@pytest.mark.parametrize(
    ("setting", "value", "claims", "accepted"),
    [
        ("ACR", "loa2,loa3", {"acr": "loa3"}, True),
        ("ACR", "loa3", {"acr": "loa2"}, False),
        ("ACR", "loa3", {"acr": None}, False),
        ("AMR", "otp,hwk", {"amr": ["pwd", "hwk"]}, True),
        ("AMR", "otp", {"amr": ["pwd"]}, False),
        ("AMR", "otp", {"amr": "otp"}, False),
    ],
    ids=["acr", "other acr", "no acr", "amr", "other amr", "amr no list"],
)
async def test_provider_s_second_factor_counts_as_set(
    provider, monkeypatch, settings, office, setting, value, claims, accepted
):
    monkeypatch.setenv(f"FENGPING_OIDC_SECOND_FACTOR_{setting}", value)
    provider.claims = claims
    service = build(settings)
    transport = httpx2.ASGITransport(app=service.app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url=SITE) as client:
        await sign_in(client, provider, REVIEWER)
        assert await is_signed_in(client) == accepted
    await service.close()


# ── answers that prove nothing ────────────────────────────────────────────────────────────────────


async def test_answer_to_another_browser_is_refused_before_its_code_is_used(provider, site):
    async with site.client() as thief, site.client() as victim:
        answer = provider.grant(await begin(thief), OPERATOR)
        await begin(victim)
        back = await come_back(victim, answer)

        assert back.status_code == 401
        assert not await is_signed_in(victim)
    assert "/token" not in provider.requests


async def test_visit_ends_with_its_answer(provider, site):
    async with site.client() as client:
        parameters = await begin(client)
        cookie = dict(client.cookies)
        first = await come_back(client, provider.grant(parameters, OPERATOR))
        assert first.status_code == 303
    async with site.client() as again:
        again.cookies.update(cookie)
        second = await come_back(again, provider.grant(parameters, OPERATOR))
        assert second.status_code == 401


@pytest.mark.parametrize(
    "answer",
    [
        {"error": "access_denied"},
        {"code": ""},
        {"code": "made-up"},
        {"iss": "https://other.example"},
    ],
    ids=["refused", "no code", "unknown code", "other provider"],
)
async def test_answer_without_a_proof_is_refused(provider, site, answer):
    async with site.client() as client:
        given = provider.grant(await begin(client), OPERATOR) | answer
        back = await come_back(client, given)
        assert back.status_code == 401
        assert "access_denied" not in back.text
        assert not await is_signed_in(client)


def unsigned(claims):
    parts = [json.dumps(part).encode() for part in ({"alg": "none"}, claims)]
    encoded = [urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts]
    return ".".join([*encoded, ""])


def signed_with_the_secret(claims):
    return jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(CLIENT_SECRET))


def signed_by_a_stranger(claims):
    return jwt.encode({"alg": "RS256", "kid": "x"}, claims, new_key("RS256", "x"))


@pytest.mark.parametrize("sign", [unsigned, signed_with_the_secret, signed_by_a_stranger])
async def test_token_without_the_provider_s_signature_is_refused(provider, site, sign):
    provider.sign = sign
    async with site.client() as client:
        assert (await sign_in(client, provider)).status_code == 401
        assert not await is_signed_in(client)


async def test_changed_token_is_refused(provider, site):
    def change(claims):
        key = provider.keys[0]
        head, _, signature = jwt.encode({"alg": "RS256", "kid": key.kid}, claims, key).split(".")
        other = jwt.encode({"alg": "RS256", "kid": key.kid}, claims | {"exp": 2**31}, key)
        return f"{head}.{other.split('.')[1]}.{signature}"

    provider.sign = change
    async with site.client() as client:
        assert (await sign_in(client, provider)).status_code == 401


NOW = time.time()


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://other.example"},
        {"iss": None},
        {"aud": "another-client"},
        {"aud": None},
        {"aud": [CLIENT_ID, "another-client"]},
        {"azp": "another-client"},
        {"exp": int(NOW) - 120},
        {"exp": None},
        {"exp": "never"},
        {"iat": int(NOW) + 86_400},
        {"iat": int(NOW) - 3600},
        {"nbf": int(NOW) + 86_400},
        {"nonce": "of-another-sign-in"},
        {"nonce": None},
        {"nonce": ["x"]},
        {"sub": None},
        {"preferred_username": None},
        {"preferred_username": ["zuoxi"]},
    ],
    ids=lambda claims: "-".join(f"{name} {type(value).__name__}" for name, value in claims.items()),
)
async def test_token_with_a_wrong_claim_is_refused(provider, site, claims):
    provider.claims = claims
    async with site.client() as client:
        assert (await sign_in(client, provider)).status_code == 401
        assert not await is_signed_in(client)


async def test_clocks_may_differ_by_half_a_minute(provider, site):
    now = int(time.time())
    for claims in ({"iat": now + 30}, {"exp": now - 30}, {"nbf": now + 30}):
        provider.claims = claims
        async with site.client() as client:
            assert (await sign_in(client, provider)).status_code == 303


# ── a provider that misbehaves ────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/.well-known/openid-configuration", lambda: PlainTextResponse("down", 502)),
        ("/.well-known/openid-configuration", lambda: JSONResponse({"issuer": "x"})),
        ("/.well-known/openid-configuration", lambda: RedirectResponse("/jwks")),
        ("/.well-known/openid-configuration", lambda: JSONResponse([0] * RESPONSE_BYTES_MAX)),
        ("/jwks", lambda: JSONResponse({"keys": []})),
        ("/jwks", lambda: JSONResponse({"keys": [{"kty": "RSA"}]})),
    ],
    ids=["down", "incomplete", "redirects", "endless", "no keys", "broken keys"],
)
async def test_provider_that_cannot_be_asked_leaves_the_password(provider, site, path, answer):
    provider.answers[path] = answer
    async with site.client() as client:
        page = await client.get("/login/oidc")
        assert page.status_code == 503
        assert "用户名和密码" in page.text
        given = {"name": OPERATOR, "password": PASSWORD}
        assert (await client.post("/login", data=given)).status_code == 303


async def test_token_answer_beyond_its_size_is_refused(provider, site):
    provider.answers["/token"] = lambda: JSONResponse({"id_token": "x" * RESPONSE_BYTES_MAX})
    async with site.client() as client:
        assert (await sign_in(client, provider)).status_code == 503


async def test_slow_provider_holds_neither_the_request_nor_a_connection(
    provider, site, monkeypatch
):
    monkeypatch.setattr("shared.security.oidc.http.REQUEST_SECONDS", 0.3)
    async with site.client() as client:
        parameters = await begin(client)
        provider.delay_seconds = 5
        started = time.monotonic()
        back = await come_back(client, provider.grant(parameters, OPERATOR))
        assert back.status_code == 503
        assert time.monotonic() - started < 4


async def test_description_of_another_issuer_is_refused(provider, site):
    issuer, provider.issuer = provider.issuer, "https://other.example"
    async with site.client() as client:
        assert (await client.get("/login/oidc")).status_code == 503
    provider.issuer = issuer


# ── limits, sessions, sign-out ────────────────────────────────────────────────────────────────────


async def test_wrong_answers_are_throttled(provider, site):
    async with site.client() as client:
        statuses = [
            (await come_back(client, {"state": "x", "code": "y"})).status_code
            for _ in range(SOURCE_FAILURES_MAX + 1)
        ]
        assert set(statuses[:-1]) == {401}
        assert statuses[-1] == 429


async def test_beginnings_are_throttled(provider, site, monkeypatch):
    monkeypatch.setattr("shared.security.sign_in.PROVIDER_REQUESTS_MAX", 3)
    assert PROVIDER_REQUESTS_MAX > 3
    async with site.client() as client:
        statuses = [(await client.get("/login/oidc")).status_code for _ in range(4)]
    assert statuses == [303, 303, 303, 429]


async def test_sign_in_is_audited_and_ends_the_previous_session(provider, site):
    async with site.client() as client:
        await sign_in(client, provider)
        first = client.cookies[site.service.sessions.cookie]
        await sign_in(client, provider)
        assert client.cookies[site.service.sessions.cookie] != first
        assert await site.service.sessions.find(first) is None
    assert all("identity_provider" in str(entry) for entry in await audited(site))


async def test_sign_out_offers_to_sign_out_at_the_provider_too(provider, site):
    async with site.client() as client:
        await sign_in(client, provider)
        gone = await sign_out(site, client)
        assert gone.headers["location"] == "/login?ended=true"
        assert not await is_signed_in(client)
        assert "/login/oidc/logout" in (await client.get("/login?ended=true")).text
        there = await client.get("/login/oidc/logout")
        assert there.headers["location"].startswith(f"{provider.issuer}/logout?")
    async with site.client() as client:
        await client.post("/login", data={"name": OPERATOR, "password": PASSWORD})
        assert (await sign_out(site, client)).headers["location"] == "/login"


# ── settings ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "given",
    [
        {"issuer": "http://login.example", "client_id": "x"},
        {"issuer": "https://login.example"},
        {"issuer": "https://login.example?x=1", "client_id": "x"},
        {"issuer": "https://login.example", "client_id": "x", "scopes": "profile"},
    ],
    ids=["no TLS", "no client", "with a query", "no openid"],
)
def test_unsafe_settings_stop_the_start(given):
    with pytest.raises(ValidationError):
        OidcSettings(**given)
