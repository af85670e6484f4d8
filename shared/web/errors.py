"""Exceptions that end a request with a status and a sentence for the person who sent it."""

from collections.abc import Mapping, Sequence
from typing import Final

from starlette.exceptions import HTTPException

from shared.appraisal.labels import Role
from shared.security.policies import Policy
from shared.web.field_errors import FieldError

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
MEBIBYTE: Final = 1024 * 1024


class Failure(HTTPException):
    """Ends a request with a status, a Chinese sentence, and headers such as Retry-After."""

    status: int = 400
    errors: Sequence[FieldError] = ()
    """Errors of single fields."""

    def __init__(self, sentence: str = "", *, headers: Mapping[str, str] | None = None) -> None:
        self.sentence = sentence or default_sentence(self.status)
        super().__init__(self.status, self.sentence, headers=dict(headers or {}))


class NotAuthenticated(Failure):
    """The request has no valid session."""

    status = 401


class Forbidden(Failure):
    """The policy does not admit the account."""

    status = 403

    def __init__(self, policy: Policy | None = None, sentence: str = "") -> None:
        super().__init__(sentence or _forbidden_sentence(policy))


class CsrfFailed(Failure):
    """The form came from another site or from an expired session."""

    status = 403

    def __init__(self) -> None:
        super().__init__(
            "页面已过期或来源不明，为保护您的账号没有提交。请刷新页面后再试，已填写的内容不会丢失。"
        )


class NotFound(Failure):
    """Nothing exists here that this person may see."""

    status = 404


class BodyTooLarge(Failure):
    """The body is larger than the route accepts."""

    status = 413

    def __init__(self, body_max: int) -> None:
        super().__init__(f"提交的内容超过了 {_size(body_max)} 的限制，请缩小或分次提交。")


class TooManyRequests(Failure):
    """A rate limit is exceeded; `seconds` until the next request counts."""

    status = 429

    def __init__(self, seconds: int) -> None:
        headers = {"Retry-After": str(max(seconds, 1))}
        super().__init__(f"操作过于频繁，请 {_wait(seconds)}后再试。", headers=headers)


class ServiceUnavailable(Failure):
    """A component that this request needs is down."""

    status = 503

    def __init__(self, sentence: str = "") -> None:
        super().__init__(sentence, headers={"Retry-After": "5"})


def default_sentence(status: int) -> str:
    """Return the sentence for a status about which nothing more is known."""
    fallback = DEFAULT_SENTENCES[500 if status >= 500 else 400]
    return DEFAULT_SENTENCES.get(status, fallback)


def _forbidden_sentence(policy: Policy | None) -> str:
    if policy is None or not policy.roles or policy.roles == frozenset(Role):
        return DEFAULT_SENTENCES[403]
    names = "、".join(role.label for role in Role if role in policy.roles)
    return f"这里需要“{names}”权限。如工作需要，请向本单位管理员申请。"


def _size(size_bytes: int) -> str:
    if size_bytes >= MEBIBYTE:
        return f"{size_bytes // MEBIBYTE} MB"
    return f"{size_bytes // 1024} KB"


def _wait(seconds: int) -> str:
    if seconds >= 60:
        return f"{-(-seconds // 60)} 分钟"
    return f"{max(seconds, 1)} 秒"
