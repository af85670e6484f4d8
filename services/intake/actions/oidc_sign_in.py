"""Sign in through the identity provider (统一身份认证).

The provider authenticates, it never grants: the account must exist here with its role and
organisation, and a second factor is asked for unless the settings accept the provider's.
"""

import hmac
from dataclasses import dataclass, field
from typing import Final

from services.intake.actions.sessions import (
    NewSession,
    PendingStep,
    SignInClient,
    TooManyAttempts,
    begin_session,
    sign_in,
)
from services.intake.domain.accounts import normalise_name
from services.intake.domain.second_factors import FactorKind, SignInMethod
from services.intake.settings import IntakeContext
from services.intake.store import accounts as account_store
from services.intake.store.accounts import StoredAccount
from shared.appraisal.errors import Rejected
from shared.foundation import telemetry
from shared.foundation.telemetry import log
from shared.security.oidc import (
    Identity,
    IdentityProvider,
    InvalidIdToken,
    PendingRequest,
    ProviderRefusal,
    ProviderUnavailable,
)
from shared.security.rate_limits import RateLimiter
from shared.security.sign_in import (
    count_provider_answer,
    forgive_provider_answer,
    provider_request_limit,
    remember_network,
)
from shared.security.token_store import TokenStore
from shared.storage.transaction import TransactionFactory

NOT_CONFIGURED: Final = "本系统没有启用统一身份认证"
REQUEST_OVER: Final = "登录已超时或已完成，请重新登录"
NOT_PROVED: Final = "统一身份认证没有通过，请重新登录"
NO_ACCOUNT: Final = "您在本系统没有可用的账号，请联系管理员开通"
UNAVAILABLE: Final = "统一身份认证暂时无法连接，请稍后再试，或使用用户名和密码登录"


@dataclass(frozen=True, slots=True)
class ProviderAnswer:
    """What the provider sent the browser back with."""

    state: str = field(repr=False)
    code: str = field(repr=False)
    issuer: str
    error: str


@dataclass(frozen=True, slots=True)
class BegunRequest:
    """Where the browser signs in, and the token that ties the answer to it."""

    url: str = field(repr=False)
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Identified:
    """Whom the provider identified, and the page that the person wanted."""

    identity: Identity
    next_path: str

    @property
    def name(self) -> str:
        """The name of the account, if there is one."""
        return normalise_name(self.identity.username)


async def begin_request(
    context: IntakeContext,
    limiter: RateLimiter,
    *,
    network: str,
    next_path: str,
) -> BegunRequest:
    """Begin a sign-in at the provider.

    Raises Rejected (404, 503), TooManyAttempts, CacheUnavailable.
    """
    provider, store = _configured(context)
    wait_seconds = await limiter.hit(provider_request_limit(network))
    if wait_seconds:
        raise TooManyAttempts(wait_seconds)
    pending = PendingRequest.new(next_path)
    try:
        url = await provider.authorization_url(pending)
    except ProviderUnavailable as error:
        raise _unavailable(error) from error
    return BegunRequest(url, await store.create(pending))


def _configured(context: IntakeContext) -> tuple[IdentityProvider, TokenStore[PendingRequest]]:
    provider = context.identity_provider
    store = context.pending_requests
    if provider is None or store is None:
        raise Rejected(NOT_CONFIGURED, status=404)
    return provider, store


async def identify(
    context: IntakeContext,
    limiter: RateLimiter,
    *,
    network: str,
    token: str,
    answer: ProviderAnswer,
) -> Identified:
    """Return whom an answer identifies. Each request is answered once.

    Raises Rejected (401, 404, 503), TooManyAttempts, CacheUnavailable. No database connection is
    held while the provider is asked.
    """
    provider, store = _configured(context)
    wait_seconds = await count_provider_answer(limiter, network)
    if wait_seconds:
        telemetry.login_failures.labels("too_often").inc()
        raise TooManyAttempts(wait_seconds)
    pending = await store.take(token) if token else None
    if pending is None:
        raise _failed("oidc_over", REQUEST_OVER)
    if not _answers(answer, pending, provider.settings.issuer):
        raise _failed("oidc_state", REQUEST_OVER)
    if answer.error or not answer.code:
        raise _failed("oidc_refused", NOT_PROVED)
    identity = await _ask(provider, answer.code, pending)
    return Identified(identity, pending.next_path)


def _answers(
    answer: ProviderAnswer,
    pending: PendingRequest,
    issuer: str,
) -> bool:
    """Return whether the answer belongs to this browser's request to this provider."""
    is_same_state = hmac.compare_digest(answer.state.encode(), pending.state.encode())
    return is_same_state and answer.issuer in {"", issuer}


async def _ask(
    provider: IdentityProvider,
    code: str,
    pending: PendingRequest,
) -> Identity:
    try:
        return await provider.identify(code, pending)
    except ProviderUnavailable as error:
        raise _unavailable(error) from error
    except (ProviderRefusal, InvalidIdToken) as error:
        log.warning("sign-in at the identity provider refused", error=str(error))
        raise _failed("oidc_token", NOT_PROVED) from error


def _failed(reason: str, sentence: str) -> Rejected:
    telemetry.login_failures.labels(reason).inc()
    return Rejected(sentence, status=401)


def _unavailable(error: ProviderUnavailable) -> Rejected:
    log.warning("identity provider unavailable", error=str(error))
    telemetry.login_failures.labels("oidc_unavailable").inc()
    return Rejected(UNAVAILABLE, status=503)


async def start_identified_session(
    transactions: TransactionFactory,
    limiter: RateLimiter,
    *,
    context: IntakeContext,
    identified: Identified,
    client: SignInClient,
) -> NewSession | PendingStep:
    """Start the session of the account with the person's name, or the next step of signing in.

    Raises Rejected (401) without an enabled account, CacheUnavailable.
    """
    async with transactions() as tx:
        known = await account_store.find_by_name(tx, identified.name)
    if known is None or known.disabled:
        raise _failed("oidc_no_account", NO_ACCOUNT)
    begun = await _begin(transactions, known, client, _is_proved_twice(context, identified))
    if begun is None:
        raise _failed("oidc_no_account", NO_ACCOUNT)
    await forgive_provider_answer(limiter, client.source.network)
    if isinstance(begun, NewSession):
        await remember_network(limiter, identified.name, client.source)
    return begun


def _is_proved_twice(context: IntakeContext, identified: Identified) -> bool:
    provider, _ = _configured(context)
    return provider.proves_second_factor(identified.identity)


async def _begin(
    transactions: TransactionFactory,
    known: StoredAccount,
    client: SignInClient,
    is_proved_twice: bool,
) -> NewSession | PendingStep | None:
    if not is_proved_twice:
        return await begin_session(transactions, known, client, SignInMethod.PROVIDER)
    async with transactions() as tx:
        factor = FactorKind.PROVIDER
        return await sign_in(tx, known, client, factor, SignInMethod.PROVIDER)


async def logout_url(context: IntakeContext) -> str | None:
    """Return where the browser signs out at the provider, or None if it cannot."""
    provider = context.identity_provider
    if provider is None:
        return None
    try:
        return await provider.logout_url(f"{context.settings.site_url}/login")
    except ProviderUnavailable as error:
        log.warning("identity provider unavailable", error=str(error))
        return None
