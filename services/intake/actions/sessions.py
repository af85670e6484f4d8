"""Sign in: limit the attempts, verify the password and start a session."""

from dataclasses import dataclass, field
from typing import Final

from services.intake.actions import accounts
from services.intake.settings import context_of
from services.intake.store.accounts import StoredAccount
from shared.appraisal.errors import Rejected
from shared.foundation import telemetry
from shared.security.passwords import check_capacity
from shared.security.policies import Account
from shared.security.rate_limits import RateLimiter
from shared.security.sign_in import count_login_attempt, reset_login_failures
from shared.storage.transaction import Transaction, TransactionFactory

WRONG_CREDENTIALS: Final = "用户名或密码不正确"


class TooManyAttempts(Exception):
    """There were too many failed attempts; the next one is possible in `wait_seconds`."""

    def __init__(self, wait_seconds: int):
        super().__init__(wait_seconds)
        self.wait_seconds = wait_seconds


@dataclass(frozen=True, slots=True)
class NewSession:
    account: Account
    token: str = field(repr=False)


async def start_session(
    transactions: TransactionFactory,
    limiter: RateLimiter,
    *,
    name: str,
    password: str,
    agent: str,
    network: str,
) -> NewSession:
    """Start a session for this name and password. `agent` is the User-Agent header.

    Raises TooManyAttempts, Rejected (401) for a wrong name or password, CacheUnavailable,
    PasswordsBusy. No connection is held while hashing.
    """
    check_capacity()
    wait_seconds = await count_login_attempt(limiter, name, network)
    if wait_seconds:
        telemetry.login_failures.labels("too_often").inc()
        raise TooManyAttempts(wait_seconds)
    verified = await accounts.verify(transactions, name=name, password=password)
    async with transactions() as tx:
        session = await _sign_in(tx, verified, agent)
    if session is None:
        telemetry.login_failures.labels("wrong").inc()
        raise Rejected(WRONG_CREDENTIALS, status=401)
    await reset_login_failures(limiter, name, network)
    return session


async def _sign_in(
    tx: Transaction,
    verified: StoredAccount | None,
    agent: str,
) -> NewSession | None:
    account = await accounts.sign_in(tx, verified, agent=agent) if verified else None
    return await _create_session(tx, account) if account else None


async def _create_session(tx: Transaction, account: Account) -> NewSession:
    sessions = context_of(tx).sessions
    assert sessions is not None, "a process that serves requests has sessions"
    token = await sessions.create(account)
    return NewSession(account, token)
