"""Classes of database errors: unavailable, contended, or a fault of the statement."""

from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

import asyncpg
import stamina
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

P = ParamSpec("P")
T = TypeVar("T")

UNAVAILABLE_SECONDS_MAX = 120.0
RETRY_SECONDS = 0.3
RETRY_SECONDS_MAX = 1.0
RETRY_JITTER_SECONDS = 0.5

CONTENTION_ERRORS = (
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.QueryCanceledError,
)
"""Another transaction held what this one needed. Only this one fails, and it may be repeated."""

UNAVAILABLE_ERRORS = (
    *CONTENTION_ERRORS,
    asyncpg.PostgresConnectionError,  # 08: connection lost or refused
    asyncpg.InsufficientResourcesError,  # 53: disk full, too many connections
    asyncpg.OperatorInterventionError,  # 57: shutdown, crash recovery, starting up
    asyncpg.PostgresSystemError,  # 58: I/O error
    asyncpg.InvalidTransactionStateError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    PoolTimeout,
    OSError,
    TimeoutError,
)
"""The database is unreachable or momentarily unable, whatever was asked of it."""


DATABASE_ERRORS = (*UNAVAILABLE_ERRORS, DBAPIError, AsyncAdapt_asyncpg_dbapi.Error)
"""Every class of which `is_unavailable` may be true, for registries of handlers by class."""


def is_unavailable(error: BaseException | None) -> bool:
    """Return whether the database, not the request, is to blame, so that a retry may succeed.

    Consumers wait and retry, jobs run again, routes answer 503.
    """
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or is_unavailable(error.orig)
    if isinstance(error, AsyncAdapt_asyncpg_dbapi.Error):
        return is_unavailable(error.__cause__)  # SQLAlchemy's translation: the cause decides
    if isinstance(error, OSError) and error.filename is not None:
        return False  # about a file, not about a connection
    if isinstance(error, asyncpg.InterfaceError) and isinstance(error, ValueError):
        return False  # an argument that the driver cannot encode
    return isinstance(error, UNAVAILABLE_ERRORS)


async def retry_while_unavailable(
    work: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs
) -> T:
    """Call `work`, and repeat it while the database is unavailable, for a bounded time."""
    retry = stamina.AsyncRetryingCaller(
        attempts=None,
        timeout=UNAVAILABLE_SECONDS_MAX,
        wait_initial=RETRY_SECONDS,
        wait_max=RETRY_SECONDS_MAX,
        wait_jitter=RETRY_JITTER_SECONDS,
    )
    return await retry(is_unavailable, work, *args, **kwargs)
