"""The cookies of signing in: session, pending sign-in, visit to the provider, known device."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from services.intake.actions.sessions import SignInClient
from services.intake.domain.accounts import normalise_name
from services.intake.domain.second_factors import PENDING_SECONDS
from shared.security.keyring import KeyRing
from shared.security.known_devices import COOKIE, COOKIE_HTTPS, KEPT_SECONDS, DeviceCookie
from shared.security.policies import Account
from shared.security.sessions import read_credential
from shared.security.sign_in import SignInSource
from shared.web import client_network

PENDING_COOKIE: Final = "fengping_sign_in"
PENDING_COOKIE_HTTPS: Final = "__Host-fengping_sign_in"
REQUEST_COOKIE: Final = "fengping_oidc"
"""The request that is at the identity provider."""
PROVIDER_COOKIE: Final = "fengping_oidc_session"
"""Says that this browser signed in at the identity provider, where it may still be signed in."""


def sign_in_client(request: Request, name: str) -> SignInClient:
    """Return who asks to sign in as `name`."""
    device = _device_cookie(request)
    known = device.knows(_device_key(request), normalise_name(name))
    return SignInClient(
        agent=request.headers.get("user-agent", ""),
        source=SignInSource(client_network(request), device.device if known else ""),
    )


def set_session_cookie(
    request: Request,
    response: Response,
    account: Account,
    token: str,
) -> None:
    """Set the session cookie, remember the device and end the pending sign-in."""
    sessions = request.app.state.sessions
    _set(request, response, sessions.cookie, token)
    device = _device_cookie(request).remember(_device_key(request), account.name)
    _set(request, response, _device_name(request), device.text, max_age=KEPT_SECONDS)
    _delete(request, response, _pending_name(request))


def session_token(request: Request) -> str | None:
    """Return the token of the request's session."""
    credential = read_credential(request, request.app.state.sessions.cookie)
    return credential.token if credential else None


def set_pending_cookie(
    request: Request,
    response: Response,
    token: str,
) -> None:
    """Set the cookie of a sign-in between password and one-time code."""
    _set(request, response, _pending_name(request), token, max_age=PENDING_SECONDS)


def pending_token(request: Request) -> str:
    """Return the token of the pending sign-in, or ""."""
    return request.cookies.get(_pending_name(request), "")


def set_request_cookie(
    request: Request,
    response: Response,
    token: str,
) -> None:
    """Set the cookie of a sign-in that is at the identity provider."""
    _set(request, response, _named(request, REQUEST_COOKIE), token, max_age=PENDING_SECONDS)


def request_token(request: Request) -> str:
    """Return the token of the sign-in that is at the identity provider, or ""."""
    return request.cookies.get(_named(request, REQUEST_COOKIE), "")


def end_request(request: Request, response: Response) -> None:
    """End the visit to the identity provider, and remember that there was one."""
    _delete(request, response, _named(request, REQUEST_COOKIE))
    _set(request, response, _named(request, PROVIDER_COOKIE), "1")


def came_from_provider(request: Request) -> bool:
    """Return whether this browser signed in at the identity provider."""
    return _named(request, PROVIDER_COOKIE) in request.cookies


def delete_session_cookies(request: Request, response: Response) -> None:
    """Forget the session, and that this browser signed in at the identity provider."""
    _delete(request, response, request.app.state.sessions.cookie)
    _delete(request, response, _named(request, PROVIDER_COOKIE))


def _named(request: Request, name: str) -> str:
    return f"__Host-{name}" if _https(request) else name


def _device_cookie(request: Request) -> DeviceCookie:
    return DeviceCookie.parse(request.cookies.get(_device_name(request), ""))


def _device_key(request: Request) -> bytes:
    ring: KeyRing = request.app.state.context.ring
    return ring.derive_key("known-device")


def _device_name(request: Request) -> str:
    return COOKIE_HTTPS if _https(request) else COOKIE


def _pending_name(request: Request) -> str:
    return PENDING_COOKIE_HTTPS if _https(request) else PENDING_COOKIE


def _https(request: Request) -> bool:
    return bool(request.app.state.sessions.https)


def _set(
    request: Request,
    response: Response,
    name: str,
    value: str,
    *,
    max_age: int | None = None,
) -> None:
    response.set_cookie(
        name,
        value,
        max_age=max_age,
        httponly=True,
        samesite="lax",
        secure=_https(request),
        path="/",
    )


def _delete(request: Request, response: Response, name: str) -> None:
    # A browser ignores a `__Host-` cookie, also its deletion, without the Secure flag.
    response.delete_cookie(name, path="/", secure=_https(request), httponly=True)
