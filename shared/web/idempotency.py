"""One effect per intention: a write carries a key, and its repetition gets the first answer instead
of a second effect.

Context: people press twice, browsers resend, phones retry after a lost answer.
Decision: the key is claimed by an insert at the start of the transaction that does the work.
Whoever comes second waits for the first on the unique index: when the first commits, its answer is
given again; when it fails, its claim is gone and the second does the work.
Consequences: claim, effect, events and answer commit together or not at all; two statements per
write; a key names one request only, so that the same key with other content is a mistake (422) and
not a surprise. Where many write at once (`IdempotentCoalescer`) those two statements, and the transaction
around them, serve all who came at the same moment.
Alternatives: a look-up before (two at once both find nothing); an insert after the work (the
loser's work is thrown away).
"""

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Generic, TypeVar

import msgspec
from fastapi import Depends
from fastapi.encoders import jsonable_encoder
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import Response

from shared.appraisal.errors import Rejected
from shared.foundation.coalescing import Coalescer
from shared.security.policies import Account
from shared.storage.connections import Database
from shared.storage.errors import CONTENTION_ERRORS, is_unavailable
from shared.storage.transaction import FirstQuery, Transaction
from shared.web.errors import Failure
from shared.web.rendering import redirect
from shared.web.routing import CSRF_FIELD, Tx, is_form

KEY_HEADER: Final = "idempotency-key"
KEY_FIELD: Final = "idempotency_key"
KEY_MAX: Final = 200
RETENTION_HOURS: Final = 72
"""How long a repetition is recognised."""
REPLAYED: Final = "Idempotency-Replayed"
ResultT = TypeVar("ResultT")
ItemT = TypeVar("ItemT")


class MissingIdempotencyKey(Failure):
    """A write without a key."""

    status = 400

    def __init__(self) -> None:
        super().__init__(
            "请求缺少幂等键：接口请发送 Idempotency-Key 请求头（每次新操作用新的 UUID，重试时用同一个），页面请刷新后再提交。"
        )


class IdempotencyKeyReused(Failure):
    """The key was used for a different request."""

    status = 422

    def __init__(self) -> None:
        super().__init__(
            "这个幂等键已用于另一个请求。新操作请换用新的 Idempotency-Key；在页面上请刷新后再提交。"
        )


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """The key of one request, and the SHA-256 of who asks what."""

    value: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """The response to a request; `replayed` when an earlier request with the same key got it first."""

    status: int
    body: Any
    replayed: bool = False

    def response(self) -> Response:
        """The same answer each time; a header says of a repetition that it is one."""
        headers = {REPLAYED: "true"} if self.replayed else {}
        return Response(
            msgspec.json.encode(self.body), self.status, headers, media_type="application/json"
        )


class IdempotentWrite:
    """The claim of one request's key. Ask it to do the work, once."""

    def __init__(self, request: Request, tx: Transaction, key: IdempotencyKey) -> None:
        self._request, self._tx, self._key = request, tx, key

    async def respond(self, status: int, action: Awaitable[Any]) -> Response:
        """Do `action` and answer its result as JSON with `status`; a repetition gets the same
        answer and a header that says so.
        """
        return (await self._apply(status, action, jsonable_encoder)).response()

    async def redirect(
        self, action: Awaitable[ResultT], to: str | Callable[[ResultT], str]
    ) -> Response:
        """Do `action`, then lead the person to `to` (a path, or what makes one of the result). A
        repetition leads there too.
        """
        stored = await self._apply(
            303, action, lambda result: {"to": to if isinstance(to, str) else to(result)}
        )
        response = redirect(self._request, stored.body["to"])
        if stored.replayed:
            response.headers[REPLAYED] = "true"
        return response

    async def _apply(
        self, status: int, action: Awaitable[ResultT], serialize: Callable[[ResultT], Any]
    ) -> StoredResponse:
        if not await _claim_keys(self._tx, [self._key]):
            close = getattr(action, "close", None)
            if close is not None:
                close()
            before = await _stored_responses(self._tx, [self._key])
            if self._key not in before:
                raise IdempotencyKeyReused
            return before[self._key]
        try:
            stored = StoredResponse(status, serialize(await action))
        except Rejected:
            await _release_keys(self._tx, [self._key.value])
            raise
        await _store_responses(self._tx, {self._key.value: stored})
        return stored


async def _idempotent_write(request: Request, tx: Tx) -> IdempotentWrite:
    return IdempotentWrite(request, tx, await _read_idempotency_key(request))


Idempotency = Annotated[IdempotentWrite, Depends(_idempotent_write, scope="function")]
"""One effect per key: `await idempotency.respond(201, action)` in the API, `await idempotency.redirect(action, to)` on
pages. Raises MissingIdempotencyKey (400).
"""


@dataclass(frozen=True, slots=True)
class _PendingWrite(Generic[ItemT]):
    key: IdempotencyKey
    item: ItemT


class IdempotentCoalescer(Generic[ItemT, ResultT]):
    """Writes of one kind, each with its key and its answer; those that come at the same moment
    share one transaction.

    `action` does all of them in the transaction it is given and tells for each its result, or the
    Rejected by which nothing was written. Results are what msgspec can write as JSON. `status`
    answers what was done.
    """

    def __init__(
        self,
        database: Database,
        context: Any,
        action: Callable[[Transaction, Sequence[ItemT]], Awaitable[Sequence[ResultT | Rejected]]],
        *,
        status: int = 201,
    ) -> None:
        self._database, self._context, self._action, self._status = (
            database,
            context,
            action,
            status,
        )
        self._together: Coalescer[_PendingWrite[ItemT], StoredResponse] = Coalescer(
            self._write, is_fatal=_fails_whole_batch
        )

    async def __call__(self, request: Request, item: ItemT) -> StoredResponse:
        """The answer to this request. Raises MissingIdempotencyKey, IdempotencyKeyReused, Rejected."""
        return await self._together(_PendingWrite(await _read_idempotency_key(request), item))

    async def _write(
        self, writes: Sequence[_PendingWrite[ItemT]]
    ) -> list[StoredResponse | Exception]:
        async with self._database.transaction(
            self._context,
            _claim_statement([each.key for each in writes]),
            setup_sql=_SET_LOCK_TIMEOUT,
        ) as tx:
            claimed = set(tx.first_row["claimed"] or ())
            # Of two with one key the first does the work, the other gets its answer.
            leaders: dict[str, _PendingWrite[ItemT]] = {}
            for each in writes:
                if each.key.value in claimed:
                    leaders.setdefault(each.key.value, each)
            results = await self._action(tx, [each.item for each in leaders.values()])
            results_by_key = {
                each.key: _to_response(self._status, result)
                for each, result in zip(leaders.values(), results, strict=True)
            }
            await _store_responses(
                tx,
                {
                    key.value: stored
                    for key, stored in results_by_key.items()
                    if isinstance(stored, StoredResponse)
                },
            )
            await _release_keys(
                tx,
                [
                    key.value
                    for key, stored in results_by_key.items()
                    if isinstance(stored, Rejected)
                ],
            )
            others = [each.key for each in writes if leaders.get(each.key.value) is not each]
            replies: dict[IdempotencyKey, StoredResponse | Rejected] = {
                key: stored
                for key, stored in results_by_key.items()
                if isinstance(stored, Rejected)
            }
            replies |= await _stored_responses(tx, others) if others else {}
        return [
            results_by_key[each.key]
            if leaders.get(each.key.value) is each
            else replies.get(each.key, IdempotencyKeyReused())
            for each in writes
        ]


def _fails_whole_batch(error: BaseException) -> bool:
    """Would it meet each of those who share a transaction? A lock that one of them waits for in
    vain is that one's alone.
    """
    return is_unavailable(error) and not isinstance(error, CONTENTION_ERRORS)


def _to_response(status: int, result: Any) -> StoredResponse | Rejected:
    return (
        result
        if isinstance(result, Rejected)
        else StoredResponse(status, msgspec.to_builtins(result))
    )


async def _read_idempotency_key(request: Request) -> IdempotencyKey:
    """Raises MissingIdempotencyKey."""
    account: Account | None = getattr(request.state, "account", None)
    return IdempotencyKey(
        await _read_key(request), await _fingerprint(request, str(account.id) if account else "")
    )


async def _read_key(request: Request) -> str:
    key: object = request.headers.get(KEY_HEADER)
    if key is None and is_form(request):
        key = (await request.form()).get(KEY_FIELD)
    if (
        not isinstance(key, str)
        or not 1 <= len(key) <= KEY_MAX
        or not key.isascii()
        or not key.isprintable()
    ):
        raise MissingIdempotencyKey
    return key


async def _fingerprint(request: Request, account_id: str) -> str:
    """SHA-256 of who asks what. Of a form only the content counts: boundary, order of headers and
    the session's token may differ.
    """
    body = (
        _form_digest(await request.form())
        if is_form(request)
        else hashlib.sha256(await request.body()).digest()
    )
    parts = (
        request.method,
        request.scope["path"],
        request.scope["query_string"].decode("latin-1"),
        account_id,
    )
    return hashlib.sha256(msgspec.msgpack.encode(parts) + body).hexdigest()


def _form_digest(form: FormData) -> bytes:
    fields = [
        (name, _content(value))
        for name, value in form.multi_items()
        if name not in (CSRF_FIELD, KEY_FIELD)
    ]
    return hashlib.sha256(msgspec.msgpack.encode(fields)).digest()


def _content(value: str | UploadFile) -> str | bytes:
    if isinstance(value, str):
        return value
    value.file.seek(0)
    digest = hashlib.file_digest(value.file, "sha256").digest()  # type: ignore[arg-type]
    value.file.seek(0)
    return digest


# ── the table every schema has for it ─────────────────────────────────────────────────────────────


def _claim_statement(keys: Sequence[IdempotencyKey]) -> FirstQuery:
    """The statement that claims keys, also fit to open a transaction."""
    return _CLAIM_KEYS, ([key.value for key in keys], [key.fingerprint for key in keys])


_SET_LOCK_TIMEOUT: Final = "set local lock_timeout = '3s'"
"""So long those who share a transaction wait for what one of them wants and somebody else holds."""
_CLAIM_KEYS: Final = """
with claimed as (
  insert into idempotency (key, fingerprint, status)
  select key, fingerprint, 0 from unnest($1::text[], $2::text[]) with ordinality as c (key, fingerprint, n) order by key, n
  on conflict (key) do nothing returning key
)
select public.app_now() as now, (select array_agg(key) from claimed) as claimed
"""


async def _claim_keys(tx: Transaction, keys: Sequence[IdempotencyKey]) -> set[str]:
    """The keys that are ours to do. Waits while another transaction holds one of them; all take
    them in one order.
    """
    sql, arguments = _claim_statement(keys)
    claimed = await tx.fetchrow(sql, *arguments)
    return set(claimed["claimed"] or ()) if claimed else set()


async def _store_responses(tx: Transaction, answers: Mapping[str, StoredResponse]) -> None:
    bodies = [msgspec.json.encode(stored.body).decode() for stored in answers.values()]
    await tx.run(
        "update idempotency i set status = k.status, response = k.body "
        "from unnest($1::text[], $2::int[], $3::jsonb[]) as k (key, status, body) where i.key = k.key",
        list(answers),
        [stored.status for stored in answers.values()],
        bodies,
    )


async def _release_keys(tx: Transaction, keys: Sequence[str]) -> None:
    """What was refused may be sent again under the same key."""
    if keys:
        await tx.run("delete from idempotency where key = any($1::text[])", keys)


async def _stored_responses(
    tx: Transaction, keys: Sequence[IdempotencyKey]
) -> dict[IdempotencyKey, StoredResponse]:
    """What was answered to these very requests; one whose key belongs to another request is not
    among them.
    """
    rows = await tx.fetch(
        "select key, fingerprint, status, response::text as response from idempotency where key = any($1::text[])",
        [key.value for key in keys],
    )
    return {
        IdempotencyKey(r["key"], r["fingerprint"]): StoredResponse(
            r["status"], msgspec.json.decode(r["response"]), replayed=True
        )
        for r in rows
    }


async def delete_expired_keys(tx: Transaction, *, batch: int = 1000) -> bool:
    """Forget keys older than RETENTION_HOURS. True: there may be more. For a tick of each service."""
    deleted = await tx.run(
        "delete from idempotency where key in (select key from idempotency "
        "where created_at < clock_timestamp() - make_interval(hours => $1) limit $2)",
        RETENTION_HOURS,
        batch,
    )
    return deleted == batch
