"""What a route asks for in its signature: `Tx`, `Transactions`, `CurrentUser`, `OptionalUser`,
`Limiter`.
"""

from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from shared.security.policies import Account
from shared.security.rate_limits import RateLimit, RateLimiter
from shared.security.sign_in import normalize_network
from shared.storage.transaction import Transaction, TransactionFactory
from shared.web.app_state import app_state
from shared.web.errors import NotAuthenticated, TooManyRequests

# Every dependency is async: FastAPI runs a synchronous one in a thread.


def _open_transactions(request: Request) -> TransactionFactory:
    state = app_state(request)
    return partial(state.database.transaction, state.context)


async def _transactions(request: Request) -> TransactionFactory:
    return _open_transactions(request)


async def _transaction(request: Request) -> AsyncIterator[Transaction]:
    async with _open_transactions(request)() as tx:
        yield tx


async def _current_user(request: Request) -> Account:
    account: Account | None = request.state.account
    if account is None:
        raise NotAuthenticated
    return account


async def _optional_user(request: Request) -> Account | None:
    account: Account | None = request.state.account
    return account


async def _rate_limiter(request: Request) -> RateLimiter:
    return app_state(request).limiter


Tx = Annotated[Transaction, Depends(_transaction, scope="function")]
"""The transaction of one request; commits before the response is sent."""
Transactions = Annotated[TransactionFactory, Depends(_transactions)]
"""Opens transactions: `async with transactions() as tx`.

For routes that must not hold a connection all the time, such as those that wait for a coalesced
write.
"""
CurrentUser = Annotated[Account, Depends(_current_user)]
"""The account that is signed in."""
OptionalUser = Annotated[Account | None, Depends(_optional_user)]
"""The account that is signed in, or None on a public page."""
Limiter = Annotated[RateLimiter, Depends(_rate_limiter)]
"""The rate limiter of the installation."""


def client_network(request: Request) -> str:
    """Return the client's IPv4 address or IPv6 /64, as the reverse proxy reports it.

    Use it in keys of rate limits only: those are hashed before they are stored.
    """
    return normalize_network(request.client.host) if request.client else "unknown"


async def enforce_rate_limit(request: Request, *limits: RateLimit) -> None:
    """Count one use against every limit. Raises TooManyRequests."""
    wait_seconds = await app_state(request).limiter.hit(*limits)
    if wait_seconds:
        raise TooManyRequests(wait_seconds)
