"""How a request fails: problem+json (RFC 9457) for programs, a Chinese page or fragment for people.

Nothing that was typed comes back in an error, no stack, no SQL, no hint whether a record exists.
Every answer carries the number of its request, which is also in the log and on every event of the
request (the W3C trace id).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response

from shared.appraisal.errors import DependencyMissing, Rejected
from shared.appraisal.labels import Role
from shared.foundation.telemetry import describe, log
from shared.security.policies import Policy
from shared.security.sessions import authenticate
from shared.storage.errors import DATABASE_ERRORS, is_unavailable
from shared.storage.redis import CacheUnavailable
from shared.web.app_state import app_state
from shared.web.forms import to_field_errors
from shared.web.rendering import is_htmx, render_page

TITLES: Final[Mapping[int, str]] = {
    400: "请求无法识别",
    401: "请先登录",
    403: "没有权限",
    404: "没有找到",
    405: "不支持这种操作",
    409: "现在不能这样做",
    410: "已经失效",
    413: "内容太大",
    415: "不支持的格式",
    422: "有内容需要更正",
    429: "操作过于频繁",
    500: "系统出错了",
    503: "服务暂时不可用",
}
DEFAULT_SENTENCES: Final[Mapping[int, str]] = {
    400: "系统没有看懂这次请求，请返回上一页重试。",
    401: "登录已过期或尚未登录，请登录后继续。",
    403: "您的账号不能进行这项操作。如需权限，请联系系统管理员。",
    404: "没有找到您要的内容。它可能已经移动，或者网址有误。",
    405: "这个网址不支持这种操作，请从页面上的按钮进入。",
    409: "内容已有变化，请刷新后再试。",
    410: "这个链接已经失效。",
    413: "提交的内容超过了大小限制。",
    415: "不支持这种内容格式。",
    422: "提交的内容有误，请更正后再试。",
    429: "操作过于频繁，请稍后再试。",
    500: "系统出错了，工程师会收到记录。您刚才的操作没有生效，请稍后再试。",
    503: "服务暂时不可用，已提交的内容不受影响，请稍后再试。",
}


class Failure(HTTPException):
    """A request that ends here, with a status, a sentence in Chinese, and headers such as
    Retry-After.
    """

    status: int = 400

    def __init__(self, sentence: str = "", *, headers: Mapping[str, str] | None = None) -> None:
        self.sentence = sentence or DEFAULT_SENTENCES.get(self.status, DEFAULT_SENTENCES[400])
        super().__init__(self.status, self.sentence, headers=dict(headers or {}))


class NotAuthenticated(Failure):
    """Nobody is signed in, or the session is over."""

    status = 401


class Forbidden(Failure):
    """Somebody is signed in, but the policy does not admit them."""

    status = 403

    def __init__(self, policy: Policy | None = None, sentence: str = "") -> None:
        super().__init__(sentence or _forbidden_sentence(policy))


class CsrfFailed(Failure):
    """The form came from another site, or from a session that is over."""

    status = 403

    def __init__(self) -> None:
        super().__init__(
            "页面已过期或来源不明，为保护您的账号没有提交。请刷新页面后再试，已填写的内容不会丢失。"
        )


class NotFound(Failure):
    """There is nothing here that this person may see."""

    status = 404


class BodyTooLarge(Failure):
    """The body is larger than this door takes."""

    status = 413

    def __init__(self, body_max: int) -> None:
        size = f"{body_max // 1_048_576} MB" if body_max >= 1_048_576 else f"{body_max // 1024} KB"
        super().__init__(f"提交的内容超过了 {size} 的限制，请缩小或分次提交。")


class TooManyRequests(Failure):
    """Too many tries. `seconds` until the next one counts."""

    status = 429

    def __init__(self, seconds: int) -> None:
        wait = f"{-(-seconds // 60)} 分钟" if seconds >= 60 else f"{max(seconds, 1)} 秒"
        super().__init__(
            f"操作过于频繁，请 {wait}后再试。", headers={"Retry-After": str(max(seconds, 1))}
        )


class ServiceUnavailable(Failure):
    """A part that this request needs is down."""

    status = 503

    def __init__(self, sentence: str = "") -> None:
        super().__init__(sentence, headers={"Retry-After": "5"})


def _forbidden_sentence(policy: Policy | None) -> str:
    if policy is None or not policy.roles or policy.roles == frozenset(Role):
        return DEFAULT_SENTENCES[403]
    names = "、".join(role.label for role in Role if role in policy.roles)
    return f"这里需要“{names}”权限。如工作需要，请向本单位管理员申请。"


def install_errors(app: FastAPI) -> None:
    """Let every failure of `app` be answered here."""
    app.add_exception_handler(Failure, _handle_failure)
    app.add_exception_handler(Rejected, _handle_rejected)
    app.add_exception_handler(DependencyMissing, _handle_dependency_missing)
    app.add_exception_handler(CacheUnavailable, _cache_unavailable)
    app.add_exception_handler(HTTPException, _handle_http_exception)
    app.add_exception_handler(RequestValidationError, _handle_validation_error)
    app.add_exception_handler(ValidationError, _handle_validation_error)
    for kind in DATABASE_ERRORS:
        app.add_exception_handler(kind, _handle_database_error)


async def _handle_failure(request: Request, error: Exception) -> Response:
    assert isinstance(error, Failure)
    if error.status == 401:
        return _require_sign_in(request, error)
    return error_response(request, error.status, error.sentence, headers=error.headers)


async def _handle_rejected(request: Request, error: Exception) -> Response:
    assert isinstance(error, Rejected)
    return error_response(request, error.status, error.sentence, field=error.field)


async def _handle_dependency_missing(request: Request, error: Exception) -> Response:
    return error_response(request, 409, "相关数据正在同步（通常 2 秒内），请稍后再试。")


async def _cache_unavailable(request: Request, error: Exception) -> Response:
    return error_response(request, 503, str(error), headers={"Retry-After": "5"})


async def _handle_database_error(request: Request, error: Exception) -> Response:
    if not is_unavailable(error):
        raise error
    log.error("database unavailable", **_log_fields(request), **describe(error))
    return error_response(
        request,
        503,
        "数据库暂时连接不上，您刚才的操作没有生效，请稍后再试。",
        headers={"Retry-After": "5"},
    )


async def _handle_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if not hasattr(request.state, "account"):
        # No door was found, so nobody has asked yet who this is: the page should still be theirs.
        request.state.account = await authenticate(request, touch=False)
    # The framework's own details are English and may quote the request: only the status is kept.
    return error_response(request, error.status_code, headers=dict(error.headers or {}))


async def _handle_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError | ValidationError)
    errors = to_field_errors(error.errors())
    return error_response(
        request, 422, errors[0].sentence if len(errors) == 1 else "", errors=errors
    )


async def handle_crash(request: Request, error: Exception) -> Response:
    """Answer a mistake of ours; the log gets its type and place, never its text."""
    log.error("request failed", **_log_fields(request), **describe(error))
    try:
        return error_response(request, 500)
    except Exception as second:
        # The page itself is broken: plain words are left.
        log.error("error page failed", **_log_fields(request), **describe(second))
        return PlainTextResponse(DEFAULT_SENTENCES[500], 500)


def _log_fields(request: Request) -> dict[str, str]:
    """What a log line may say of a request: its number and its door, never what stands in its
    address.
    """
    route = getattr(request.scope.get("route"), "path", "none")
    return {
        "request_id": request_id(request),
        "service": app_state(request).service,
        "method": request.method,
        "route": route,
    }


def _require_sign_in(request: Request, error: Failure) -> Response:
    """People go to the sign-in page and come back; a fragment explains and offers the way; programs
    get 401.
    """
    if wants_problem_json(request) or is_htmx(request) or request.method != "GET":
        return error_response(
            request,
            401,
            error.sentence,
            headers={"WWW-Authenticate": "Bearer"},
            back=_return_path(request),
        )
    return RedirectResponse(f"/login?next={_return_path(request)}", status_code=303)


def _return_path(request: Request) -> str:
    url = (
        request.headers.get("referer", "")
        if request.method != "GET" or is_htmx(request)
        else str(request.url)
    )
    path, _, query = url.partition("://")[2].partition("/")[2].partition("?")
    return quote("/" + path + ("?" + query if query else ""), safe="/")


def wants_problem_json(request: Request) -> bool:
    """Is a program asking? Its door is under `/api/`, or it accepts JSON and no HTML."""
    accepts = request.headers.get("accept", "")
    return "/api/" in request.url.path or ("json" in accepts and "html" not in accepts)


def request_id(request: Request) -> str:
    """The number of this request in answers, log and events: 32 hexadecimal digits."""
    value: str = request.scope.get("fengping.request", "")
    return value


def error_response(
    request: Request,
    status: int,
    sentence: str = "",
    *,
    field: str | None = None,
    errors: Sequence[Any] = (),
    headers: Mapping[str, str] | None = None,
    **context: Any,
) -> Response:
    """The failure as whoever asked can read it: problem+json, an htmx fragment, or a page."""
    sentence = sentence or DEFAULT_SENTENCES.get(
        status, DEFAULT_SENTENCES[500] if status >= 500 else DEFAULT_SENTENCES[400]
    )
    title = TITLES.get(status, "请求没有成功")
    if wants_problem_json(request):
        return _problem_response(
            request, status, title, sentence, field=field, errors=errors, headers=headers
        )
    details = {
        "code": status,
        "heading": title,
        "sentence": sentence,
        "errors": errors,
        "number": request_id(request),
    }
    template, extra = (
        ("refusal.html", _htmx_headers(request)) if is_htmx(request) else ("error.html", {})
    )
    response = render_page(request, template, status, **{"back": "", **details, **context})
    response.headers.update({**(headers or {}), **extra})
    return response


def _problem_response(
    request: Request,
    status: int,
    title: str,
    sentence: str,
    *,
    field: str | None,
    errors: Sequence[Any],
    headers: Mapping[str, str] | None,
) -> Response:
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": sentence,
    }
    body["instance"] = f"urn:trace:{request_id(request)}"
    entries = [{"field": each.field, "message": each.sentence} for each in errors] or (
        [{"field": field, "message": sentence}] if field else []
    )
    if entries:
        body["errors"] = entries
    return JSONResponse(
        body, status, headers=dict(headers or {}), media_type="application/problem+json"
    )


def _htmx_headers(request: Request) -> dict[str, str]:
    """Where htmx puts a refusal: a refused form stays as typed and the words stand above it; a
    refused panel shows the words.
    """
    headers = {"HX-Reselect": "#refused", "HX-Push-Url": "false"}
    return (
        headers
        if request.method == "GET"
        else {**headers, "HX-Retarget": "#refusal", "HX-Reswap": "innerHTML"}
    )
