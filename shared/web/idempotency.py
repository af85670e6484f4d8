"""Idempotency keys: a repeated request gets the first response and has no second effect.

The key is claimed by an insert at the start of the transaction that does the work. A concurrent
request with the same key waits on the unique index. When the first transaction commits, its
response is replayed; when it rolls back, its claim is gone and the second request does the work.
Claim, effect, events and response commit together, at the cost of two statements per write. A key
identifies one request: reusing it for different content is an error (422).

`Idempotency` runs an action in the request's own transaction. `CoalescedIdempotency` runs the
concurrent requests for one action in a shared transaction, for routes with many simultaneous
writes. Both use the same claim, the same encoding and the same table, `idempotency`.
"""

from collections.abc import Awaitable, Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from fastapi import Depends
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from shared.appraisal.errors import Rejected
from shared.foundation.coalescing import Coalescer
from shared.storage.connections import Database
from shared.storage.errors import CONTENTION_ERRORS, is_unavailable
from shared.storage.transaction import Transaction
from shared.web.app_state import app_state
from shared.web.dependencies import Tx
from shared.web.errors import Failure
from shared.web.idempotency_keys import IdempotencyKey, read_idempotency_key
from shared.web.idempotency_store import (
    SET_LOCK_TIMEOUT,
    StoredResponse,
    claim_keys,
    claim_statement,
    claimed_keys,
    release_keys,
    store_responses,
    stored_responses,
)

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")
BatchAction = Callable[[Transaction, Sequence[ItemT]], Awaitable[Sequence[ResultT | Rejected]]]
"""An action that handles several items in one transaction.

It returns, for each item in order, the result or the Rejected that explains why nothing was
written.
"""


class IdempotencyKeyReused(Failure):
    """The key belongs to a different request."""

    status = 422

    def __init__(self) -> None:
        super().__init__(
            "这个幂等键已用于另一个请求。新操作请换用新的 Idempotency-Key；在页面上请刷新后再提交。"
        )


def _encode_model(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise NotImplementedError(f"a response cannot contain {type(value).__name__}")


def _json_response(status: int, result: object) -> StoredResponse:
    body = msgspec.to_builtins(result, str_keys=True, enc_hook=_encode_model)
    return StoredResponse(status, body)


def _redirect_response(to: str | Callable[[ResultT], str], result: ResultT) -> StoredResponse:
    return StoredResponse(303, {"to": to if isinstance(to, str) else to(result)})


# ── the engine ────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, eq=False)
class _Write(Generic[ItemT, ResultT]):
    """One request: its key, the input of the action, and how the result becomes a response."""

    key: IdempotencyKey
    item: ItemT
    to_response: Callable[[ResultT], StoredResponse]

    def outcome(self, result: ResultT | Rejected) -> StoredResponse | Rejected:
        return result if isinstance(result, Rejected) else self.to_response(result)


async def _apply(
    tx: Transaction,
    claimed: Container[str],
    writes: Sequence[_Write[ItemT, ResultT]],
    action: BatchAction[ItemT, ResultT],
) -> list[StoredResponse | Exception]:
    """Run `action` for the writes whose keys are `claimed`; return the outcome of every write.

    Of several writes with one key the first runs and the others get its outcome. The key of a
    rejected write is released, so that the client can correct the request and send it again.
    """
    leaders: dict[str, _Write[ItemT, ResultT]] = {}
    for write in writes:
        if write.key.value in claimed:
            leaders.setdefault(write.key.value, write)
    results = await action(tx, [write.item for write in leaders.values()])
    outcomes: dict[IdempotencyKey, StoredResponse | Rejected] = {}
    for write, result in zip(leaders.values(), results, strict=True):
        outcomes[write.key] = write.outcome(result)
    await _store_outcomes(tx, outcomes)
    repeated = [write.key for write in writes if leaders.get(write.key.value) is not write]
    replays = outcomes | await stored_responses(tx, repeated)
    return [
        outcomes[write.key]
        if leaders.get(write.key.value) is write
        else replays.get(write.key, IdempotencyKeyReused())
        for write in writes
    ]


async def _store_outcomes(
    tx: Transaction, outcomes: Mapping[IdempotencyKey, StoredResponse | Rejected]
) -> None:
    responses: dict[str, StoredResponse] = {}
    rejected: list[str] = []
    for key, outcome in outcomes.items():
        if isinstance(outcome, Rejected):
            rejected.append(key.value)
        else:
            responses[key.value] = outcome
    await store_responses(tx, responses)
    await release_keys(tx, rejected)


# ── in the request's own transaction ──────────────────────────────────────────────────────────────


class IdempotentWrite:
    """Runs the action of one request at most once per key, in the request's transaction."""

    def __init__(
        self,
        request: Request,
        tx: Transaction,
        key: IdempotencyKey,
    ) -> None:
        self._request = request
        self._tx = tx
        self._key = key

    async def respond(self, status: int, action: Awaitable[Any]) -> Response:
        """Run `action` and return its result as JSON with `status`.

        Raises Rejected as the action does, and IdempotencyKeyReused.
        """
        stored = await self._run(action, partial(_json_response, status))
        return stored.response()

    async def redirect(
        self, action: Awaitable[ResultT], to: str | Callable[[ResultT], str]
    ) -> Response:
        """Run `action` and redirect to `to`, a path or a function from the result to a path."""
        stored = await self._run(action, partial(_redirect_response, to))
        return stored.redirect(self._request)

    async def _run(
        self, action: Awaitable[ResultT], to_response: Callable[[ResultT], StoredResponse]
    ) -> StoredResponse:
        claimed = await claim_keys(self._tx, [self._key])
        if not claimed:
            _discard(action)
        write = _Write(self._key, action, to_response)
        [outcome] = await _apply(self._tx, claimed, [write], _await_each)
        return _value_or_raise(outcome)


async def _await_each(
    tx: Transaction, actions: Sequence[Awaitable[ResultT]]
) -> list[ResultT | Rejected]:
    """Run awaitables as a BatchAction."""
    results: list[ResultT | Rejected] = []
    for action in actions:
        try:
            results.append(await action)
        except Rejected as rejection:
            results.append(rejection)
    return results


def _discard(action: Awaitable[Any]) -> None:
    """Close a coroutine that will not run, so that Python does not warn about it."""
    close = getattr(action, "close", None)
    if close is not None:
        close()


def _value_or_raise(outcome: StoredResponse | Exception) -> StoredResponse:
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


async def _idempotent_write(request: Request, tx: Tx) -> IdempotentWrite:
    return IdempotentWrite(request, tx, await read_idempotency_key(request))


Idempotency = Annotated[IdempotentWrite, Depends(_idempotent_write, scope="function")]
"""One effect per key: `await idempotency.respond(201, action)` in the API,
`await idempotency.redirect(action, to)` on pages. Raises MissingIdempotencyKey.
"""


# ── in a transaction that concurrent requests share ───────────────────────────────────────────────


class WriteCoalescer:
    """Runs concurrent writes for the same action in one shared transaction. One per process."""

    def __init__(self, database: Database, context: Any) -> None:
        self._database = database
        self._context = context
        self._coalescers: dict[Any, Coalescer[_Write[Any, Any], StoredResponse]] = {}

    async def run(
        self,
        action: BatchAction[ItemT, ResultT],
        key: IdempotencyKey,
        item: ItemT,
        to_response: Callable[[ResultT], StoredResponse],
    ) -> StoredResponse:
        """Run `action` for `item` at most once per key.

        Raises Rejected as the action does, and IdempotencyKeyReused.
        """
        coalescer = self._coalescers.get(action)
        if coalescer is None:
            work = partial(self._write_batch, action)
            coalescer = Coalescer(work, is_fatal=_fails_whole_batch)
            self._coalescers[action] = coalescer
        return await coalescer(_Write(key, item, to_response))

    async def _write_batch(
        self, action: BatchAction[Any, Any], writes: Sequence[_Write[Any, Any]]
    ) -> list[StoredResponse | Exception]:
        claim = claim_statement([write.key for write in writes])
        async with self._database.transaction(
            self._context, claim, setup_sql=SET_LOCK_TIMEOUT
        ) as tx:
            return await _apply(tx, claimed_keys(tx.first_row), writes, action)


@dataclass(frozen=True, slots=True)
class CoalescedWrite:
    """Runs the action of one request at most once per key, in a transaction shared with others.

    The route must hold no transaction meanwhile: waiting requests would occupy the connections that
    the shared transaction needs.
    """

    request: Request
    key: IdempotencyKey
    coalescer: WriteCoalescer

    async def run(
        self,
        action: BatchAction[ItemT, ResultT],
        item: ItemT,
        *,
        status: int = 201,
    ) -> StoredResponse:
        """Run `action` for `item`; return the response with the result as its body.

        Raises Rejected as the action does, and IdempotencyKeyReused.
        """
        to_response = partial(_json_response, status)
        return await self.coalescer.run(action, self.key, item, to_response)

    async def redirect(
        self,
        action: BatchAction[ItemT, ResultT],
        item: ItemT,
        to: str | Callable[[ResultT], str],
    ) -> Response:
        """Run `action` for `item` and redirect to `to`, a path or a function of the result."""
        to_response = partial(_redirect_response, to)
        stored = await self.coalescer.run(action, self.key, item, to_response)
        return stored.redirect(self.request)


async def _coalesced_write(request: Request) -> CoalescedWrite:
    key = await read_idempotency_key(request)
    return CoalescedWrite(request, key, app_state(request).write_coalescer)


CoalescedIdempotency = Annotated[CoalescedWrite, Depends(_coalesced_write)]
"""One effect per key, for actions that many requests run at the same moment:
`await idempotency.run(register_complaints, entry)`. Raises MissingIdempotencyKey.
"""


def _fails_whole_batch(error: BaseException) -> bool:
    """Return whether `error` would fail every write alike: not if one write waits for a lock."""
    return is_unavailable(error) and not isinstance(error, CONTENTION_ERRORS)
