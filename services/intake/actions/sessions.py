"""Sign in: limit the attempts, verify the password and the one-time code, start a session."""

from dataclasses import dataclass, field
from typing import Final

from services.intake.actions import accounts, second_factors
from services.intake.actions.organisations import with_inherited_units
from services.intake.actions.second_factors import WRONG_CODE
from services.intake.domain.ballots import source_of
from services.intake.domain.second_factors import (
    FactorKind,
    PendingSignIn,
    SignInMethod,
    SignInStep,
    next_step,
    password_digest,
)
from services.intake.settings import context_of
from services.intake.store import accounts as account_store
from services.intake.store import second_factors as factor_store
from services.intake.store.accounts import StoredAccount
from shared.appraisal.errors import Rejected
from shared.foundation import telemetry
from shared.security.passwords import check_capacity
from shared.security.policies import Account
from shared.security.rate_limits import RateLimiter
from shared.security.sign_in import (
    SignInSource,
    code_limit,
    count_login_attempt,
    normalize_network,
    remember_network,
    reset_login_failures,
)
from shared.security.token_store import TokenStore
from shared.storage.transaction import Transaction, TransactionFactory

WRONG_CREDENTIALS: Final = "用户名或密码不正确"
ENROL_FIRST: Final = "该账号须使用动态口令，请先在网页登录并绑定"
PENDING_OVER: Final = "登录已超时，请重新输入用户名和密码"


class TooManyAttempts(Exception):
    """There were too many failed attempts; the next one is possible in `wait_seconds`."""

    def __init__(self, wait_seconds: int):
        super().__init__(wait_seconds)
        self.wait_seconds = wait_seconds


@dataclass(frozen=True, slots=True)
class SignInClient:
    """Who asks to sign in: the User-Agent header and the source of the attempt."""

    agent: str
    source: SignInSource


@dataclass(frozen=True, slots=True)
class NewSession:
    account: Account
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class PendingStep:
    """The password was right; `step` is still needed. `token` continues the sign-in."""

    step: SignInStep
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class NewEnrolment:
    """A session, and the recovery codes to show once."""

    session: NewSession
    recovery_codes: list[str] = field(repr=False)


# ── password ──────────────────────────────────────────────────────────────────────────────────────


async def start_session(
    transactions: TransactionFactory,
    limiter: RateLimiter,
    *,
    name: str,
    password: str,
    client: SignInClient,
) -> NewSession | PendingStep:
    """Start a session for this name and password, or the next step of signing in.

    Raises TooManyAttempts, Rejected (401) for a wrong name or password, CacheUnavailable,
    PasswordsBusy. No connection is held while hashing.
    """
    check_capacity()
    wait_seconds = await count_login_attempt(limiter, name, client.source)
    if wait_seconds:
        telemetry.login_failures.labels("too_often").inc()
        raise TooManyAttempts(wait_seconds)
    verified = await accounts.verify(transactions, name=name, password=password)
    begun = await begin_session(transactions, verified, client) if verified else None
    if begun is None:
        telemetry.login_failures.labels("wrong").inc()
        raise Rejected(WRONG_CREDENTIALS, status=401)
    await reset_login_failures(limiter, name, client.source)
    if isinstance(begun, NewSession):
        await remember_network(limiter, name, client.source)
    return begun


async def begin_session(
    transactions: TransactionFactory,
    verified: StoredAccount,
    client: SignInClient,
    method: SignInMethod = SignInMethod.PASSWORD,
) -> NewSession | PendingStep | None:
    """Start the session of a verified account, or the next step of signing in.

    Returns None if the account has changed. Raises CacheUnavailable.
    """
    async with transactions() as tx:
        step = await _next_step(tx, verified.account)
        if step is None:
            return await sign_in(tx, verified, client, FactorKind.NONE, method)
        return PendingStep(step, await begin_pending(tx, verified, method))


async def _next_step(tx: Transaction, account: Account) -> SignInStep | None:
    if context_of(tx).settings.second_factor == "waived":
        return None
    enrolled = await factor_store.is_enrolled(tx, account.id)
    return next_step(account.role, enrolled=enrolled)


async def begin_pending(
    tx: Transaction,
    verified: StoredAccount,
    method: SignInMethod = SignInMethod.PASSWORD,
) -> str:
    """Return the token of a sign-in that waits for its next step. Raises CacheUnavailable."""
    digest = password_digest(verified.password_hash)
    return await _pending(tx).create(PendingSignIn(verified.account.id, digest, method))


def _pending(tx: Transaction) -> TokenStore[PendingSignIn]:
    pending = context_of(tx).pending_sign_ins
    assert pending is not None, "a process that serves requests has pending sign-ins"
    return pending


# ── one-time code ─────────────────────────────────────────────────────────────────────────────────


async def find_pending(
    tx: Transaction,
    token: str,
) -> StoredAccount:
    """Return the account of a pending sign-in.

    Raises Rejected (401) if the sign-in is over or the account has changed, CacheUnavailable.
    """
    pending = await _pending(tx).find(token) if token else None
    known = await account_store.find(tx, pending.account_id) if pending else None
    if pending is None or known is None or known.disabled:
        raise Rejected(PENDING_OVER, status=401)
    if password_digest(known.password_hash) != pending.password_digest:
        raise Rejected(PENDING_OVER, status=401)
    return known


async def complete_with_code(
    transactions: TransactionFactory,
    limiter: RateLimiter,
    *,
    token: str,
    code: str,
    client: SignInClient,
) -> NewSession:
    """Start the session of a pending sign-in with a one-time code or a recovery code.

    Raises TooManyAttempts, Rejected (401), CacheUnavailable.
    """
    async with transactions() as tx:
        verified = await find_pending(tx, token)
    await _count_code(limiter, verified.account, client.source)
    async with transactions() as tx:
        kind = await second_factors.check_code(tx, verified.account.id, code)
        session = await _finish(tx, token, verified, client, kind) if kind else None
    if session is None:
        raise Rejected(WRONG_CODE, status=401, field="code")
    await _remember(limiter, session.account, client.source)
    return session


async def complete_with_enrolment(
    transactions: TransactionFactory,
    limiter: RateLimiter,
    *,
    token: str,
    code: str,
    client: SignInClient,
) -> NewEnrolment:
    """Enrol the account of a pending sign-in and start its session.

    Raises TooManyAttempts, Rejected (401), CacheUnavailable.
    """
    async with transactions() as tx:
        verified = await find_pending(tx, token)
    await _count_code(limiter, verified.account, client.source)
    async with transactions() as tx:
        codes = await second_factors.confirm_enrolment(tx, verified.account, code)
        kind = FactorKind.ONE_TIME_CODE
        session = await _finish(tx, token, verified, client, kind) if codes else None
    if codes is None or session is None:
        raise Rejected(WRONG_CODE, status=401, field="code")
    await _remember(limiter, session.account, client.source)
    return NewEnrolment(session, codes)


async def start_session_at_once(
    transactions: TransactionFactory,
    limiter: RateLimiter,
    *,
    name: str,
    password: str,
    code: str,
    client: SignInClient,
) -> NewSession:
    """Start a session for a program, which sends password and one-time code together.

    Raises as `start_session` and `complete_with_code`, and Rejected (403) if the account must
    first enrol on the sign-in page.
    """
    begun = await start_session(transactions, limiter, name=name, password=password, client=client)
    if isinstance(begun, NewSession):
        return begun
    if begun.step is SignInStep.ENROLMENT:
        raise Rejected(ENROL_FIRST, status=403, field="code")
    if not code:
        raise Rejected("请输入动态口令", status=401, field="code")
    return await complete_with_code(
        transactions, limiter, token=begun.token, code=code, client=client
    )


async def _count_code(
    limiter: RateLimiter,
    account: Account,
    source: SignInSource,
) -> None:
    wait_seconds = await limiter.hit(code_limit(account.id, source))
    if wait_seconds:
        telemetry.login_failures.labels("too_often").inc()
        raise TooManyAttempts(wait_seconds)


async def _finish(
    tx: Transaction,
    token: str,
    verified: StoredAccount,
    client: SignInClient,
    kind: FactorKind,
) -> NewSession | None:
    """End the pending sign-in and start the session; None if the account has changed."""
    pending = await _pending(tx).take(token)
    return await sign_in(tx, verified, client, kind, pending.method) if pending else None


async def _remember(
    limiter: RateLimiter,
    account: Account,
    source: SignInSource,
) -> None:
    await limiter.forget(code_limit(account.id, source).key)
    await remember_network(limiter, account.name, source)


# ── session ───────────────────────────────────────────────────────────────────────────────────────


async def sign_in(
    tx: Transaction,
    verified: StoredAccount,
    client: SignInClient,
    factor: FactorKind,
    method: SignInMethod,
) -> NewSession | None:
    """Record the sign-in and start its session; None if the account has changed.

    Raises CacheUnavailable.
    """
    agent = client.agent
    account = await accounts.sign_in(tx, verified, agent=agent, factor=factor, method=method)
    if account is None:
        return None
    await _mark_source(tx, account, client)
    return await create_session(tx, account)


async def _mark_source(
    tx: Transaction,
    account: Account,
    client: SignInClient,
) -> None:
    """Remember that ballots from this network and browser come from a device of staff."""
    counters = context_of(tx).cast_counters
    if counters is not None:
        source = source_of(normalize_network(client.source.network), client.agent)
        await counters.mark_staff_source(source, account.unit_id)


async def replace_session(
    tx: Transaction,
    account: Account,
    token: str | None,
) -> str:
    """Return the token of a new session in place of the session `token`, after a step-up.

    Raises CacheUnavailable.
    """
    sessions = context_of(tx).serving_sessions
    new = await sessions.create(account)
    if token:
        await sessions.revoke(token)
    return new


async def create_session(tx: Transaction, account: Account) -> NewSession:
    """Create a session with a new token. Raises CacheUnavailable."""
    account = await with_inherited_units(tx, account)
    token = await context_of(tx).serving_sessions.create(account)
    return NewSession(account, token)
