"""Error responses: problem+json (RFC 9457) for programs, a Chinese page or fragment for people.

A response never repeats what was submitted, and contains no stack trace, no SQL and no hint whether
a record exists. It carries the request id (the W3C trace id), which is also in the log and on every
event of the request.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response

from shared.appraisal.errors import DependencyMissing, Rejected
from shared.foundation.limited_process import DecoderBusy
from shared.foundation.telemetry import describe, log
from shared.security.passwords import PasswordsBusy
from shared.security.sessions import authenticate
from shared.storage.errors import DATABASE_ERRORS, is_unavailable
from shared.storage.redis import CacheUnavailable
from shared.web.app_state import app_state
from shared.web.errors import DEFAULT_SENTENCES, TITLES, Failure, default_sentence
from shared.web.field_errors import FieldError, to_field_errors
from shared.web.rendering import is_htmx, render_page

RETRY_SOON: Final = {"Retry-After": "5"}
DEPENDENCY_MISSING: Final = "相关数据正在同步（通常 2 秒内），请稍后再试。"
DATABASE_UNAVAILABLE: Final = "数据库暂时连接不上，您刚才的操作没有生效，请稍后再试。"


def install_errors(app: FastAPI) -> None:
    """Register the error handlers of `app`."""
    app.add_exception_handler(Failure, _handle_failure)
    app.add_exception_handler(Rejected, _handle_rejected)
    app.add_exception_handler(DependencyMissing, _handle_dependency_missing)
    app.add_exception_handler(CacheUnavailable, _handle_busy)
    app.add_exception_handler(PasswordsBusy, _handle_busy)
    app.add_exception_handler(DecoderBusy, _handle_busy)
    app.add_exception_handler(HTTPException, _handle_http_exception)
    app.add_exception_handler(RequestValidationError, _handle_validation_error)
    app.add_exception_handler(ValidationError, _handle_validation_error)
    for error_class in DATABASE_ERRORS:
        app.add_exception_handler(error_class, _handle_database_error)


async def _handle_failure(request: Request, error: Exception) -> Response:
    assert isinstance(error, Failure)
    if error.status == 401:
        return _require_sign_in(request, error)
    return error_response(
        request, error.status, error.sentence, errors=error.errors, headers=error.headers
    )


async def _handle_rejected(request: Request, error: Exception) -> Response:
    assert isinstance(error, Rejected)
    return error_response(request, error.status, error.sentence, field=error.field)


async def _handle_dependency_missing(request: Request, error: Exception) -> Response:
    return error_response(request, 409, DEPENDENCY_MISSING)


async def _handle_busy(request: Request, error: Exception) -> Response:
    return error_response(request, 503, str(error), headers=RETRY_SOON)


async def _handle_database_error(request: Request, error: Exception) -> Response:
    if not is_unavailable(error):
        raise error
    log.error("database unavailable", **_log_fields(request), **describe(error))
    return error_response(request, 503, DATABASE_UNAVAILABLE, headers=RETRY_SOON)


async def _handle_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if not hasattr(request.state, "account"):
        # No route matched, so nobody was authenticated yet; the error page shows the menu.
        request.state.account = await authenticate(request, touch=False)
    # The framework's details are English and may quote the request: only the status is used.
    return error_response(request, error.status_code, headers=error.headers)


async def _handle_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError | ValidationError)
    errors = to_field_errors(error.errors())
    sentence = errors[0].sentence if len(errors) == 1 else ""
    return error_response(request, 422, sentence, errors=errors)


async def handle_crash(request: Request, error: Exception) -> Response:
    """Answer an unexpected exception with 500; log its type and place, never its text."""
    log.error("request failed", **_log_fields(request), **describe(error))
    try:
        return error_response(request, 500)
    except Exception as page_error:
        log.error("error page failed", **_log_fields(request), **describe(page_error))
        return PlainTextResponse(DEFAULT_SENTENCES[500], 500)


def _log_fields(request: Request) -> dict[str, str]:
    """Return the request id and the route, never the URL: it may contain personal data."""
    return {
        "request_id": request_id(request),
        "service": app_state(request).service,
        "method": request.method,
        "route": getattr(request.scope.get("route"), "path", "none"),
    }


def _require_sign_in(request: Request, error: Failure) -> Response:
    """Redirect a page to the sign-in page; answer fragments, writes and programs with 401."""
    return_path = _return_path(request)
    if request.method == "GET" and not is_htmx(request) and not wants_problem_json(request):
        return RedirectResponse(f"/login?next={return_path}", status_code=303)
    headers = {"WWW-Authenticate": "Bearer"}
    return error_response(request, 401, error.sentence, headers=headers, back=return_path)


def _return_path(request: Request) -> str:
    """Return path and query of the page that the person is on."""
    is_page = request.method == "GET" and not is_htmx(request)
    url = str(request.url) if is_page else request.headers.get("referer", "")
    path, _, query = url.partition("://")[2].partition("/")[2].partition("?")
    return quote("/" + path + ("?" + query if query else ""), safe="/")


def wants_problem_json(request: Request) -> bool:
    """Return whether a program sent this: to a path with `/api/`, or accepting JSON and no HTML."""
    accepts = request.headers.get("accept", "")
    return "/api/" in request.url.path or ("json" in accepts and "html" not in accepts)


def request_id(request: Request) -> str:
    """Return the trace id of this request, 32 hexadecimal digits."""
    trace_id: str = request.scope.get("fengping.request", "")
    return trace_id


@dataclass(frozen=True, slots=True, kw_only=True)
class _Problem:
    status: int
    sentence: str
    errors: Sequence[FieldError] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        return TITLES.get(self.status, "请求没有成功")


def error_response(
    request: Request,
    status: int,
    sentence: str = "",
    *,
    field: str | None = None,
    errors: Sequence[FieldError] = (),
    headers: Mapping[str, str] | None = None,
    back: str = "",
) -> Response:
    """Return the error in the form that the client reads: problem+json, htmx fragment or page.

    `field` names the field that `sentence` is about. `back` is where signing in leads.
    """
    problem = _Problem(
        status=status,
        sentence=sentence or default_sentence(status),
        errors=errors,
        headers=headers or {},
    )
    if wants_problem_json(request):
        return _problem_response(request, problem, field)
    return _problem_page(request, problem, back)


def _problem_response(
    request: Request,
    problem: _Problem,
    field: str | None,
) -> Response:
    errors = problem.errors
    if field and not errors:
        errors = [FieldError(field, problem.sentence)]
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.sentence,
        "instance": f"urn:trace:{request_id(request)}",
    }
    if errors:
        body["errors"] = [{"field": each.field, "message": each.sentence} for each in errors]
    return JSONResponse(
        body,
        problem.status,
        headers=dict(problem.headers),
        media_type="application/problem+json",
    )


def _problem_page(
    request: Request,
    problem: _Problem,
    back: str,
) -> Response:
    response = render_page(
        request,
        "refusal.html" if is_htmx(request) else "error.html",
        problem.status,
        code=problem.status,
        heading=problem.title,
        sentence=problem.sentence,
        errors=problem.errors,
        number=request_id(request),
        back=back,
    )
    response.headers.update(problem.headers)
    if is_htmx(request):
        response.headers.update(_htmx_headers(request))
    return response


def _htmx_headers(request: Request) -> dict[str, str]:
    """Return where htmx puts an error.

    A rejected form stays as it is, with the error above it; a panel that was not loaded shows it.
    """
    headers = {"HX-Reselect": "#refused", "HX-Push-Url": "false"}
    if request.method != "GET":
        headers |= {"HX-Retarget": "#refusal", "HX-Reswap": "innerHTML"}
    return headers
