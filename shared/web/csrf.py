"""Protection against cross-site request forgery (CSRF)."""

from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request

from shared.security.sessions import Credential, csrf_token_matches
from shared.web.errors import CsrfFailed
from shared.web.input_checks import raw_form

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
FORM_TYPES: Final = frozenset({"application/x-www-form-urlencoded", "multipart/form-data"})
CSRF_FIELD: Final = "csrf"
CSRF_HEADER: Final = "x-csrf-token"


async def check_csrf(request: Request, credential: Credential | None) -> None:
    """Raise CsrfFailed if another site may have made the browser send this write.

    Another site cannot send a bearer token. Every other write must come from our own origin, and
    in a cookie session it must also carry the session's CSRF token, as a header or a form field.
    """
    if credential and not credential.from_cookie:
        return
    if not _is_same_origin(request):
        raise CsrfFailed
    if credential is None or request.state.account is None:
        return
    if not csrf_token_matches(credential.token, await _submitted_csrf_token(request)):
        raise CsrfFailed


def is_form(request: Request) -> bool:
    """Return whether the body is an HTML form rather than a document from a program."""
    content_type = request.headers.get("content-type", "")
    return content_type.partition(";")[0].strip().lower() in FORM_TYPES


def _is_same_origin(request: Request) -> bool:
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = request.headers.get("origin")
    # Without either header it is a program or an old embedded browser: SameSite and the form's
    # token remain.
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")


async def _submitted_csrf_token(request: Request) -> str:
    header = request.headers.get(CSRF_HEADER)
    if header is not None or not is_form(request):
        return header or ""
    token = (await raw_form(request)).get(CSRF_FIELD)
    return token if isinstance(token, str) else ""
