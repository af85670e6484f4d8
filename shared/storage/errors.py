"""What database errors mean: unavailable, contended, or a fault of the statement."""

import asyncpg
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

CONTENTION_ERRORS = (
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.QueryCanceledError,
)
"""Somebody else held what was wanted: the one who waited for it fails, and nobody beside them need
to.
"""
TRANSIENT_ERRORS = (
    *CONTENTION_ERRORS,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.OperatorInterventionError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InvalidTransactionStateError,
    asyncpg.InternalClientError,
    PoolTimeout,
    OSError,
    TimeoutError,
)


def is_unavailable(error: BaseException) -> bool:
    """Is the database unreachable or momentarily unable, so that what was asked of it is not to
    blame?
    """
    if isinstance(error, DBAPIError) and error.orig is not None:
        cause = error.orig.__cause__ or error.orig
        return (
            isinstance(error, OperationalError | InterfaceError)
            or error.connection_invalidated
            or is_unavailable(cause)
        )
    return isinstance(error, TRANSIENT_ERRORS)
