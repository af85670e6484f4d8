"""Stored responses by idempotency key, in the table `idempotency` of every schema."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from shared.appraisal.errors import Rejected
from shared.storage.transaction import FirstQuery, Transaction
from shared.web.idempotency_keys import IdempotencyKey
from shared.web.rendering import redirect

RETENTION_HOURS: Final = 72
"""How long a repetition is recognised."""
REPLAYED: Final = "Idempotency-Replayed"


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """The response to a request. `replayed`: an earlier request with the same key produced it."""

    status: int
    body: Any
    replayed: bool = False

    def response(self) -> Response:
        """Return the response as JSON, with a header if it is replayed."""
        content = msgspec.json.encode(self.body)
        return Response(content, self.status, self.headers, media_type="application/json")

    def redirect(self, request: Request) -> Response:
        """Return the response as a redirect to `body["to"]`."""
        response = redirect(request, self.body["to"])
        response.headers.update(self.headers)
        return response

    def with_fields(self, **fields: str) -> "StoredResponse":
        """Return the response with further fields in its body, which are not stored."""
        return replace(self, body=self.body | fields)

    @property
    def headers(self) -> dict[str, str]:
        return {REPLAYED: "true"} if self.replayed else {}


# ── the table `idempotency` of every schema ───────────────────────────────────────────────────────

SET_LOCK_TIMEOUT: Final = "set local lock_timeout = '3s'"
"""Bounds how long a shared transaction waits for a lock that one of its writes needs."""
# Keys are inserted in one order, so that two transactions never wait for each other.
_CLAIM_KEYS: Final = """
with claimed as (
  insert into idempotency (key, fingerprint, status)
  select key, fingerprint, 0
  from unnest($1::text[], $2::text[]) with ordinality as c (key, fingerprint, n)
  order by key, n
  on conflict (key) do nothing returning key
)
select public.app_now() as now, (select array_agg(key) from claimed) as claimed
"""
_STORE_RESPONSES: Final = """
update idempotency i set status = k.status, response = k.body
from unnest($1::text[], $2::int[], $3::jsonb[]) as k (key, status, body)
where i.key = k.key
"""
_STORED_RESPONSES: Final = """
select key, fingerprint, status, response::text as response
from idempotency where key = any($1::text[])
"""
_DELETE_EXPIRED: Final = """
delete from idempotency where key in (
  select key from idempotency
  where created_at < clock_timestamp() - make_interval(hours => $1) limit $2
)
"""


def claim_statement(keys: Sequence[IdempotencyKey]) -> FirstQuery:
    """Return the statement that claims `keys`, which can also open a transaction."""
    values = [key.value for key in keys]
    fingerprints = [key.fingerprint for key in keys]
    return _CLAIM_KEYS, (values, fingerprints)


def claimed_keys(row: Mapping[str, Any] | None) -> frozenset[str]:
    claimed = row.get("claimed") if row else None
    return frozenset(claimed or ())


async def claim_keys(tx: Transaction, keys: Sequence[IdempotencyKey]) -> frozenset[str]:
    """Claim `keys` and return those claimed. Waits while another transaction holds one of them."""
    sql, arguments = claim_statement(keys)
    return claimed_keys(await tx.fetchrow(sql, *arguments))


async def store_responses(tx: Transaction, responses: Mapping[str, StoredResponse]) -> None:
    if not responses:
        return
    statuses = [stored.status for stored in responses.values()]
    bodies = [msgspec.json.encode(stored.body).decode() for stored in responses.values()]
    await tx.run(_STORE_RESPONSES, list(responses), statuses, bodies)


async def release_keys(tx: Transaction, keys: Sequence[str]) -> None:
    if keys:
        await tx.run("delete from idempotency where key = any($1::text[])", keys)


async def stored_responses(
    tx: Transaction, keys: Sequence[IdempotencyKey]
) -> dict[IdempotencyKey, StoredResponse | Rejected]:
    """Return the stored responses by key, without those whose key belongs to another request."""
    if not keys:
        return {}
    rows = await tx.fetch(_STORED_RESPONSES, [key.value for key in keys])
    stored: dict[IdempotencyKey, StoredResponse | Rejected] = {}
    for row in rows:
        key, fingerprint, status, body = row.values()
        response = StoredResponse(status, msgspec.json.decode(body), replayed=True)
        stored[IdempotencyKey(key, fingerprint)] = response
    return stored


async def delete_expired_keys(tx: Transaction, *, batch: int = 1000) -> bool:
    """Delete up to `batch` keys older than RETENTION_HOURS; return whether there may be more."""
    deleted = await tx.run(_DELETE_EXPIRED, RETENTION_HOURS, batch)
    return deleted == batch
