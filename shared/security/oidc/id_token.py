"""Verify an ID token: signature, issuer, audience, time and nonce."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet

ALGORITHMS: Final = ("RS256", "PS256", "ES256")
"""Signatures with a public key only: neither `none` nor a code made with the client's secret."""
CLOCK_SKEW_SECONDS: Final = 60
AGE_MAX_SECONDS: Final = 600
"""A token is issued when its code is exchanged; an older one is a replay."""


class InvalidIdToken(Exception):
    """The token does not prove who signs in; the message says why, for the log."""


class UnknownKey(InvalidIdToken):
    """The token names a key that is not among the known ones; the provider may have a new one."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """What the ID token of one sign-in must say."""

    issuer: str
    client_id: str
    nonce: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who signed in at the provider, and how."""

    username: str
    acr: str
    amr: frozenset[str]


def verify_id_token(
    token: str,
    keys: KeySet,
    expected: Expectation,
    *,
    now: datetime,
) -> dict[str, Any]:
    """Return the claims of a valid token. Raises InvalidIdToken, UnknownKey."""
    try:
        decoded = jwt.decode(token, keys, algorithms=ALGORITHMS)
        _registry(expected, now).validate(decoded.claims)
    except InvalidKeyIdError as error:
        raise UnknownKey("unknown key") from error
    except (JoseError, ValueError) as error:
        # The message of some errors repeats a claim, which may be personal data.
        raise InvalidIdToken(type(error).__name__) from error
    _check_presenter(decoded.claims, expected)
    _check_age(decoded.claims, now)
    if decoded.claims["nonce"] != expected.nonce:
        raise InvalidIdToken("nonce of another sign-in")
    return decoded.claims


def _registry(expected: Expectation, now: datetime) -> jwt.JWTClaimsRegistry:
    return jwt.JWTClaimsRegistry(
        now=int(now.timestamp()),
        leeway=CLOCK_SKEW_SECONDS,
        iss={"essential": True, "value": expected.issuer},
        aud={"essential": True, "value": expected.client_id},
        sub={"essential": True},
        exp={"essential": True},
        iat={"essential": True},
        nonce={"essential": True},
    )


def _check_presenter(claims: dict[str, Any], expected: Expectation) -> None:
    """Raise InvalidIdToken for a token that was issued to another client as well."""
    audience = claims["aud"]
    is_shared = isinstance(audience, list) and len(audience) > 1
    presenter = claims.get("azp")
    if (presenter is not None or is_shared) and presenter != expected.client_id:
        raise InvalidIdToken("issued to another client")


def _check_age(claims: dict[str, Any], now: datetime) -> None:
    if claims["iat"] < now.timestamp() - AGE_MAX_SECONDS:
        raise InvalidIdToken("issued long ago")


def identity_of(claims: dict[str, Any], username_claim: str) -> Identity:
    """Return who the verified claims name. Raises InvalidIdToken without a user name."""
    username = claims.get(username_claim)
    if not isinstance(username, str) or not username.strip():
        raise InvalidIdToken("no user name")
    acr = claims.get("acr")
    amr = claims.get("amr")
    methods = amr if isinstance(amr, list) else []
    return Identity(
        username=username,
        acr=acr if isinstance(acr, str) else "",
        amr=frozenset(method for method in methods if isinstance(method, str)),
    )
