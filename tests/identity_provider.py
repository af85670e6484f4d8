"""A small OpenID Connect provider on loopback, strict where a real one is.

It knows discovery, keys, a sign-in form, codes that work once with PKCE and the client's secret,
and a sign-out page. A test makes it lie by changing `claims`, `answers` or its keys.
"""

import asyncio
import hashlib
import time
from base64 import b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from secrets import token_urlsafe
from typing import Any
from urllib.parse import parse_qs, urlencode

import uvicorn
from joserfc import jwt
from joserfc.jwk import ECKey, Key, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

CLIENT_ID = "fengping"
CLIENT_SECRET = "a secret: 100% of it"
FORM = """<!doctype html><html lang="zh"><title>统一身份认证</title>
<form method="post"><input name="username" aria-label="工号"><button>确认登录</button></form></html>"""


def new_key(algorithm: str, kid: str) -> Key:
    parameters: Any = {"kid": kid, "use": "sig", "alg": algorithm}
    if algorithm == "ES256":
        return ECKey.generate_key("P-256", parameters)
    return RSAKey.generate_key(2048, parameters)


@dataclass
class Grant:
    """A code that was given to a browser."""

    parameters: dict[str, str]
    username: str


@dataclass
class StubProvider:
    """The provider. `requests` counts what it was asked, by path."""

    issuer: str = ""
    algorithm: str = "RS256"
    keys: list[Key] = field(default_factory=list)
    claims: dict[str, Any] = field(default_factory=dict)
    """Replace claims of the ID token; None removes one."""
    answers: dict[str, Callable[[], Response]] = field(default_factory=dict)
    """Replace the answer at a path."""
    delay_seconds: float = 0
    redirect_uri: str = ""
    requests: list[str] = field(default_factory=list)
    grants: dict[str, Grant] = field(default_factory=dict)
    sign: Callable[[dict[str, Any]], str] | None = None

    def rotate(self, algorithm: str) -> None:
        """Sign with a new key; the old one is withdrawn."""
        self.algorithm = algorithm
        self.keys = [new_key(algorithm, token_urlsafe(6))]

    def app(self) -> Starlette:
        pages = {
            "/.well-known/openid-configuration": self.describe,
            "/jwks": self.publish_keys,
            "/authorize": self.authorize,
            "/token": self.exchange,
            "/logout": self.logout,
        }
        routes = [
            Route(path, self._counted(path, page), methods=["GET", "POST"])
            for path, page in pages.items()
        ]
        return Starlette(routes=routes)

    def _counted(self, path: str, page: Callable[[Request], Any]) -> Callable[[Request], Any]:
        async def answer(request: Request) -> Response:
            self.requests.append(path)
            await asyncio.sleep(self.delay_seconds)
            if path in self.answers:
                return self.answers[path]()
            return await page(request)

        return answer

    async def describe(self, _: Request) -> Response:
        return JSONResponse(
            {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/jwks",
                "end_session_endpoint": f"{self.issuer}/logout",
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256", "ES256"],
            }
        )

    async def publish_keys(self, _: Request) -> Response:
        # Keys of a kind that nobody here knows do not disturb the others.
        unknown = {"kty": "AKP", "kid": "later", "alg": "ML-DSA-44"}
        published = [key.as_dict(private=False) for key in self.keys]
        return JSONResponse({"keys": [unknown, *published]})

    async def authorize(self, request: Request) -> Response:
        given = dict(request.query_params)
        expected = {"client_id": CLIENT_ID, "response_type": "code"}
        if {name: given.get(name) for name in expected} != expected:
            return Response("unknown client", 400)
        if given.get("redirect_uri") != self.redirect_uri:
            return Response("unknown redirect_uri", 400)
        if given.get("code_challenge_method") != "S256" or "openid" not in given["scope"].split():
            return Response("S256 and openid are required", 400)
        if request.method == "GET":
            return HTMLResponse(FORM)
        form = parse_qs((await request.body()).decode())
        answer = self.grant(given, form["username"][0])
        return RedirectResponse(f"{self.redirect_uri}?{urlencode(answer)}", 303)

    def grant(self, parameters: dict[str, str], username: str) -> dict[str, str]:
        """Return the answer to a request, with a new code."""
        code = token_urlsafe(24)
        self.grants[code] = Grant(parameters, username)
        return {"code": code, "state": parameters["state"], "iss": self.issuer}

    async def exchange(self, request: Request) -> Response:
        form = {name: one[0] for name, one in parse_qs((await request.body()).decode()).items()}
        if request.headers.get("authorization") is None or not _is_client(request):
            return JSONResponse({"error": "invalid_client"}, 401)
        grant = self.grants.pop(form.get("code", ""), None)
        if grant is None or not _redeems(grant, form):
            return JSONResponse({"error": "invalid_grant"}, 400)
        token = self.id_token(grant)
        return JSONResponse(
            {"access_token": "x", "token_type": "Bearer", "expires_in": 60, "id_token": token},
            headers={"cache-control": "no-store"},
        )

    def id_token(self, grant: Grant) -> str:
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "sub": f"sub-{grant.username}",
            "aud": CLIENT_ID,
            "iat": now,
            "exp": now + 300,
            "nonce": grant.parameters["nonce"],
            "preferred_username": grant.username,
        } | self.claims
        claims = {name: value for name, value in claims.items() if value is not None}
        if self.sign is not None:
            return self.sign(claims)
        key = self.keys[0]
        return jwt.encode({"alg": self.algorithm, "kid": key.kid}, claims, key)

    async def logout(self, request: Request) -> Response:
        return HTMLResponse(f"signed out of {request.query_params.get('client_id')}")


def _is_client(request: Request) -> bool:
    scheme, _, pair = request.headers["authorization"].partition(" ")
    expected = "fengping:a%20secret%3A%20100%25%20of%20it"
    return scheme == "Basic" and b64decode(pair).decode() == expected


def _redeems(grant: Grant, form: dict[str, str]) -> bool:
    digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
    challenge = urlsafe_b64encode(digest).rstrip(b"=").decode()
    return (
        form.get("grant_type") == "authorization_code"
        and form.get("redirect_uri") == grant.parameters["redirect_uri"]
        and challenge == grant.parameters["code_challenge"]
    )


@asynccontextmanager
async def running_provider(redirect_uri: str) -> AsyncIterator[StubProvider]:
    """Serve a provider on a free port of loopback for the block."""
    provider = StubProvider(redirect_uri=redirect_uri)
    provider.rotate("RS256")
    config = uvicorn.Config(provider.app(), port=0, log_level="error", lifespan="off")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    provider.issuer = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    try:
        yield provider
    finally:
        server.should_exit = True
        await task
