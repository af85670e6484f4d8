"""The idempotency key of a request, and the fingerprint that ties it to one request."""

import hashlib
from dataclasses import dataclass
from typing import Final

import msgspec
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request

from shared.security.policies import Account
from shared.web.csrf import CSRF_FIELD, is_form
from shared.web.errors import Failure
from shared.web.input_checks import raw_form

KEY_HEADER: Final = "idempotency-key"
KEY_FIELD: Final = "idempotency_key"
KEY_MAX: Final = 200


class MissingIdempotencyKey(Failure):
    """A write without a usable key."""

    status = 400

    def __init__(self) -> None:
        super().__init__(
            "请求缺少幂等键：接口请发送 Idempotency-Key 请求头"
            "（每次新操作用新的 UUID，重试时用同一个），页面请刷新后再提交。"
        )


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """The key of one request and the SHA-256 of its account, target and content."""

    value: str
    fingerprint: str


async def read_idempotency_key(request: Request) -> IdempotencyKey:
    """Return the key of a request. Raises MissingIdempotencyKey."""
    account: Account | None = getattr(request.state, "account", None)
    account_id = str(account.id) if account else ""
    return IdempotencyKey(await _read_key(request), await _fingerprint(request, account_id))


async def _read_key(request: Request) -> str:
    key: object = request.headers.get(KEY_HEADER)
    if key is None and is_form(request):
        key = (await raw_form(request)).get(KEY_FIELD)
    if not isinstance(key, str) or not 1 <= len(key) <= KEY_MAX:
        raise MissingIdempotencyKey
    if not key.isascii() or not key.isprintable():
        raise MissingIdempotencyKey
    return key


async def _fingerprint(request: Request, account_id: str) -> str:
    """Return the SHA-256 of account, target and content.

    Only the content of a form counts: its multipart boundary and CSRF token differ between
    repetitions.
    """
    query = request.scope["query_string"].decode("latin-1")
    target = (request.method, request.scope["path"], query, account_id)
    body = await _body_digest(request)
    return hashlib.sha256(msgspec.msgpack.encode(target) + body).hexdigest()


async def _body_digest(request: Request) -> bytes:
    if is_form(request):
        return _form_digest(await raw_form(request))
    return hashlib.sha256(await request.body()).digest()


def _form_digest(form: FormData) -> bytes:
    fields = [
        (name, _field_content(value))
        for name, value in form.multi_items()
        if name not in (CSRF_FIELD, KEY_FIELD)
    ]
    return hashlib.sha256(msgspec.msgpack.encode(fields)).digest()


def _field_content(value: str | UploadFile) -> str | bytes:
    if isinstance(value, str):
        return value
    value.file.seek(0)
    digest = hashlib.file_digest(value.file, "sha256").digest()  # type: ignore[arg-type]
    value.file.seek(0)
    return digest
