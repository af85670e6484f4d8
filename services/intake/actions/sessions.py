"""Sign in: limit the attempts, verify the password and start a session."""

from dataclasses import dataclass, field
from typing import Final

from services.intake.actions import accounts
from services.intake.settings import context_of
from shared.appraisal.errors import Rejected
from shared.foundation import telemetry
from shared.security.policies import Account
from shared.security.rate_limits import RateLimiter
from shared.security.sign_in import count_login_attempt, reset_login_failures
from shared.storage.transaction import Transaction

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
    tx: Transaction,
    limiter: RateLimiter,
    *,
    name: str,
    password: str,
    agent: str,
    network: str,
) -> NewSession:
    """Start a session for this name and password. `agent` is the User-Agent header.

    Raises TooManyAttempts, Rejected (401) for a wrong name or password, CacheUnavailable.
    """
    wait_seconds = await count_login_attempt(limiter, name, network)
    if wait_seconds:
        telemetry.login_failures.labels("too_often").inc()
        raise TooManyAttempts(wait_seconds)
    account = await accounts.sign_in(tx, name=name, password=password, agent=agent)
    if account is None:
        telemetry.login_failures.labels("wrong").inc()
        raise Rejected(WRONG_CREDENTIALS, status=401)
    await reset_login_failures(limiter, name, network)
    return await _create_session(tx, account)


async def _create_session(tx: Transaction, account: Account) -> NewSession:
    sessions = context_of(tx).sessions
    assert sessions is not None, "a process that serves requests has sessions"
    token = await sessions.create(account)
    return NewSession(account, token)
