"""One effect per intention: a write carries a key, and its repetition gets the first answer instead of a second effect.

Context: people press twice, browsers resend, phones retry after a lost answer.
Decision: the key is claimed by an insert at the start of the transaction that does the work. Whoever comes second waits for the first
on the unique index: when the first commits, its answer is given again; when it fails, its claim is gone and the second does the work.
Consequences: claim, effect, events and answer commit together or not at all; two statements per write; a key names one request only,
so that the same key with other content is a mistake (422) and not a surprise.
Alternatives: a look-up before (two at once both find nothing); an insert after the work (the loser's work is thrown away).
"""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final, TypeVar

import msgspec
from fastapi import Depends
from fastapi.encoders import jsonable_encoder
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from shared.auth import Account
from shared.database import Transaction
from shared.web.door import CSRF_FIELD, Tx, is_form
from shared.web.errors import Failure
from shared.web.render import see_other

KEY_HEADER: Final = "idempotency-key"
KEY_FIELD: Final = "idempotency_key"
KEY_MAX: Final = 200
KEPT_HOURS: Final = 72
"""How long a repetition is recognised."""
REPLAYED: Final = "Idempotency-Replayed"
ResultT = TypeVar("ResultT")


class NoKey(Failure):
    """A write without a key."""

    status = 400

    def __init__(self) -> None:
        super().__init__("请求缺少幂等键：接口请发送 Idempotency-Key 请求头（每次新操作用新的 UUID，重试时用同一个），页面请刷新后再提交。")


class OtherRequest(Failure):
    """The key was used for a different request."""

    status = 422

    def __init__(self) -> None:
        super().__init__("这个幂等键已用于另一个请求。新操作请换用新的 Idempotency-Key；在页面上请刷新后再提交。")


class Repetition:
    """The claim of one request's key. Ask it to do the work, once."""

    def __init__(self, request: Request, tx: Transaction, key: str, fingerprint: str) -> None:
        self._request, self._tx, self._key, self._fingerprint = request, tx, key, fingerprint

    async def __call__(self, status: int, action: Awaitable[Any]) -> JSONResponse:
        """Do `action` and answer its result as JSON with `status`; a repetition gets the same answer and a header that says so."""
        first, kept = await self._apply(status, action, jsonable_encoder)
        stored_status, body = kept
        return JSONResponse(body, stored_status, headers={} if first else {REPLAYED: "true"})

    async def redirect(self, action: Awaitable[ResultT], to: str | Callable[[ResultT], str]) -> Response:
        """Do `action`, then lead the person to `to` (a path, or what makes one of the result). A repetition leads there too."""
        first, (_, body) = await self._apply(303, action, lambda result: {"to": to if isinstance(to, str) else to(result)})
        response = see_other(self._request, body["to"])
        if not first:
            response.headers[REPLAYED] = "true"
        return response

    async def _apply(self, status: int, action: Awaitable[ResultT], stored: Callable[[ResultT], Any]) -> tuple[bool, tuple[int, Any]]:
        """(was it done now, (status, answer))."""
        if not await _claim(self._tx, self._key, self._fingerprint):
            close = getattr(action, "close", None)
            if close is not None:
                close()
            return False, await _answered(self._tx, self._key, self._fingerprint)
        body = stored(await action)
        await _keep(self._tx, self._key, status, body)
        return True, (status, body)


async def _once(request: Request, tx: Tx) -> Repetition:
    account: Account | None = getattr(request.state, "account", None)
    key = await _key(request)
    who = str(account.id) if account else ""
    return Repetition(request, tx, key, await _fingerprint(request, who))


Once = Annotated[Repetition, Depends(_once, scope="function")]
"""One effect per key: `await once(201, action)` in the API, `await once.redirect(action, to)` on pages. Raises NoKey (400)."""


async def _key(request: Request) -> str:
    key: object = request.headers.get(KEY_HEADER)
    if key is None and is_form(request):
        key = (await request.form()).get(KEY_FIELD)
    if not isinstance(key, str) or not 1 <= len(key) <= KEY_MAX or not key.isascii() or not key.isprintable():
        raise NoKey
    return key


async def _fingerprint(request: Request, who: str) -> str:
    """SHA-256 of who asks what. Of a form only the content counts: boundary, order of headers and the session's token may differ."""
    body = _form_digest(await request.form()) if is_form(request) else hashlib.sha256(await request.body()).digest()
    parts = (request.method, request.url.path, request.url.query, who)
    return hashlib.sha256(msgspec.msgpack.encode(parts) + body).hexdigest()


def _form_digest(form: FormData) -> bytes:
    fields = [(name, _content(value)) for name, value in form.multi_items() if name not in (CSRF_FIELD, KEY_FIELD)]
    return hashlib.sha256(msgspec.msgpack.encode(fields)).digest()


def _content(value: str | UploadFile) -> str | bytes:
    if isinstance(value, str):
        return value
    value.file.seek(0)
    digest = hashlib.file_digest(value.file, "sha256").digest()  # type: ignore[arg-type]
    value.file.seek(0)
    return digest


# ------------------------------------------------------------------------------- the table every schema has for it


async def _claim(tx: Transaction, key: str, fingerprint: str) -> bool:
    """True: ours to do. Waits while another transaction holds the same key."""
    claimed = await tx.fetchval(
        "insert into idempotency (key, fingerprint, status) values ($1, $2, 0) on conflict (key) do nothing returning 1", key, fingerprint
    )
    return claimed is not None


async def _keep(tx: Transaction, key: str, status: int, body: Any) -> None:
    await tx.run("update idempotency set status = $2, response = $3::jsonb where key = $1", key, status, msgspec.json.encode(body).decode())


async def _answered(tx: Transaction, key: str, fingerprint: str) -> tuple[int, Any]:
    row = await tx.fetchrow("select fingerprint, status, response::text as response from idempotency where key = $1", key)
    if row is None or row["fingerprint"] != fingerprint:
        raise OtherRequest
    return row["status"], msgspec.json.decode(row["response"])


async def forget_keys(tx: Transaction, *, batch: int = 1000) -> bool:
    """Forget keys older than KEPT_HOURS. True: there may be more. For a tick of each service."""
    forgotten = await tx.run(
        "delete from idempotency where key in (select key from idempotency "
        "where created_at < clock_timestamp() - make_interval(hours => $1) limit $2)",
        KEPT_HOURS,
        batch,
    )
    return forgotten == batch
