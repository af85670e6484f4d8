"""The identity provider of an installation: where it is, its keys, and what it says of a person."""

import asyncio
import hashlib
import re
import secrets
from base64 import b64encode, urlsafe_b64encode
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlencode

import httpx2
import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from shared.foundation.clock import monotonic_seconds, real_now
from shared.security.oidc.http import ProviderRefusal, ProviderUnavailable, fetch_json
from shared.security.oidc.id_token import (
    Expectation,
    Identity,
    UnknownKey,
    identity_of,
    verify_id_token,
)
from shared.security.oidc.settings import SECURE_URL, OidcSettings

__all__ = ["IdentityProvider", "PendingRequest", "ProviderRefusal", "ProviderUnavailable"]

DISCOVERY_PATH: Final = "/.well-known/openid-configuration"
CACHE_SECONDS: Final = 3600.0
NEW_KEYS_SECONDS: Final = 60.0
"""Tokens with unknown keys make us ask for new ones, but not more often than this."""


class PendingRequest(msgspec.Struct, frozen=True):
    """A sign-in that is at the provider. Its three secrets tie the answer to this browser."""

    state: str
    nonce: str
    code_verifier: str
    next_path: str

    @classmethod
    def new(cls, next_path: str) -> "PendingRequest":
        """Return a request with fresh secrets of 256 bits."""
        return cls(
            state=secrets.token_urlsafe(32),
            nonce=secrets.token_urlsafe(32),
            code_verifier=secrets.token_urlsafe(32),
            next_path=next_path,
        )

    @property
    def code_challenge(self) -> str:
        """The S256 challenge of PKCE."""
        digest = hashlib.sha256(self.code_verifier.encode()).digest()
        return urlsafe_b64encode(digest).rstrip(b"=").decode()


class Metadata(msgspec.Struct, frozen=True):
    """What the provider says about itself."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    end_session_endpoint: str | None = None
    token_endpoint_auth_methods_supported: list[str] | None = None

    @property
    def urls(self) -> list[str]:
        """Every address that is called or to which a browser is sent."""
        optional = [self.end_session_endpoint] if self.end_session_endpoint else []
        return [self.authorization_endpoint, self.token_endpoint, self.jwks_uri, *optional]


class TokenResponse(msgspec.Struct, frozen=True):
    """The answer to a code."""

    id_token: str


@dataclass(frozen=True, slots=True)
class _Cached:
    metadata: Metadata
    keys: KeySet
    fetched_at: float


class IdentityProvider:
    """Asks one provider. `redirect_uri` is the page here to which it sends browsers back."""

    def __init__(self, settings: OidcSettings, *, redirect_uri: str) -> None:
        self.settings = settings
        self._redirect_uri = redirect_uri
        self._cached: _Cached | None = None
        self._lock = asyncio.Lock()

    async def authorization_url(self, pending: PendingRequest) -> str:
        """Return where the browser signs in. Raises ProviderUnavailable."""
        known = await self._known()
        parameters = {
            "response_type": "code",
            "client_id": self.settings.client_id,
            "redirect_uri": self._redirect_uri,
            "scope": self.settings.scopes,
            "state": pending.state,
            "nonce": pending.nonce,
            "code_challenge": pending.code_challenge,
            "code_challenge_method": "S256",
        }
        if self.settings.acr_values:
            parameters["acr_values"] = " ".join(self.settings.acr_values)
        return _with_query(known.metadata.authorization_endpoint, parameters)

    async def logout_url(self, return_to: str) -> str | None:
        """Return where the browser signs out, or None if the provider has no such page.

        Raises ProviderUnavailable.
        """
        endpoint = (await self._known()).metadata.end_session_endpoint
        if endpoint is None:
            return None
        client = {"client_id": self.settings.client_id}
        return _with_query(endpoint, client | {"post_logout_redirect_uri": return_to})

    async def identify(self, code: str, pending: PendingRequest) -> Identity:
        """Exchange the code of an answer for the identity of the person.

        Raises ProviderRefusal, InvalidIdToken, ProviderUnavailable.
        """
        known = await self._known()
        token = await self._exchange(known.metadata, code, pending)
        claims = await self._verify(known, token, pending.nonce)
        return identity_of(claims, self.settings.username_claim)

    def proves_second_factor(self, identity: Identity) -> bool:
        """Return whether the provider asked for what counts as a second factor here."""
        by_context = identity.acr in self.settings.acr_values
        by_method = not identity.amr.isdisjoint(self.settings.amr_values)
        return by_context or by_method

    # ── code ──────────────────────────────────────────────────────────────────────────────────────

    async def _exchange(
        self,
        metadata: Metadata,
        code: str,
        pending: PendingRequest,
    ) -> str:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect_uri,
            "code_verifier": pending.code_verifier,
        }
        request = self._token_request(metadata, form)
        answer = await fetch_json(request, TokenResponse, ca_file=self.settings.ca_file)
        return answer.id_token

    def _token_request(self, metadata: Metadata, form: dict[str, str]) -> httpx2.Request:
        """Return the request, with the client's secret as the provider wants it."""
        secret = self._secret()
        methods = metadata.token_endpoint_auth_methods_supported or ["client_secret_basic"]
        headers = {"accept": "application/json"}
        if secret and "client_secret_basic" in methods:
            headers["authorization"] = _basic(self.settings.client_id, secret)
        else:
            form |= {"client_id": self.settings.client_id}
            form |= {"client_secret": secret} if secret else {}
        return httpx2.Request("POST", metadata.token_endpoint, data=form, headers=headers)

    def _secret(self) -> str:
        try:
            return self.settings.client_secret
        except (OSError, UnicodeDecodeError) as error:
            raise ProviderUnavailable("the client's secret cannot be read") from error

    async def _verify(
        self,
        known: _Cached,
        token: str,
        nonce: str,
    ) -> dict[str, Any]:
        expected = Expectation(self.settings.issuer, self.settings.client_id, nonce)
        try:
            return verify_id_token(token, known.keys, expected, now=real_now())
        except UnknownKey:
            renewed = await self._renewed(known)
        return verify_id_token(token, renewed.keys, expected, now=real_now())

    # ── discovery ─────────────────────────────────────────────────────────────────────────────────

    async def _known(self) -> _Cached:
        async with self._lock:
            if self._cached is None or _age(self._cached) > CACHE_SECONDS:
                self._cached = await self._discover()
            return self._cached

    async def _renewed(self, known: _Cached) -> _Cached:
        """Return newer keys than those that lack a token's key, unless these are quite new."""
        async with self._lock:
            if self._cached is known and _age(known) >= NEW_KEYS_SECONDS:
                self._cached = await self._discover()
            return self._cached or known

    async def _discover(self) -> _Cached:
        url = self.settings.issuer.rstrip("/") + DISCOVERY_PATH
        ca_file = self.settings.ca_file
        try:
            metadata = await fetch_json(httpx2.Request("GET", url), Metadata, ca_file=ca_file)
            self._check(metadata)
            request = httpx2.Request("GET", metadata.jwks_uri)
            keys = await fetch_json(request, dict[str, Any], ca_file=ca_file)
        except ProviderRefusal as error:
            raise ProviderUnavailable(str(error)) from error
        return _Cached(metadata, _key_set(keys), monotonic_seconds())

    def _check(self, metadata: Metadata) -> None:
        if metadata.issuer != self.settings.issuer:
            raise ProviderUnavailable("describes another issuer")
        if not all(re.fullmatch(SECURE_URL + r"(\?\S*)?", url) for url in metadata.urls):
            raise ProviderUnavailable("has an address without https")


def _age(cached: _Cached) -> float:
    return monotonic_seconds() - cached.fetched_at


def _key_set(value: Any) -> KeySet:
    try:
        return KeySet.import_key_set(value)
    except (JoseError, KeyError, TypeError, ValueError) as error:
        raise ProviderUnavailable("no usable keys") from error


def _basic(client_id: str, secret: str) -> str:
    """Return the header of HTTP Basic; OAuth 2.0 encodes both parts as in a form first."""
    pair = f"{quote(client_id, safe='')}:{quote(secret, safe='')}"
    return f"Basic {b64encode(pair.encode()).decode()}"


def _with_query(url: str, parameters: dict[str, str]) -> str:
    separator = "&" if "?" in url else "?"
    return f"{url}{separator}{urlencode(parameters)}"
