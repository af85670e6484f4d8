"""Limits on sign-in attempts.

Wrong passwords of others must never lock the owner out, and nobody may try many passwords. So the
sources that an account signed in from before, its devices and networks, have their own budgets.
Everybody else shares one per account.
"""

from __future__ import annotations

import ipaddress
import unicodedata
from dataclasses import dataclass
from typing import Final

from shared.security.rate_limits import RateLimit, RateLimiter

LOGIN_WINDOW_SECONDS: Final = 15 * 60
LOGIN_FAILURES_MAX: Final = 5
"""Per account and source network, or account and known device: then this source waits."""
SOURCE_FAILURES_MAX: Final = 50
"""Per source network: a whole office may share one address, but nobody may try a list of names."""
PROVIDER_REQUESTS_MAX: Final = 300
"""Visits to the identity provider that one source network may begin."""
UNKNOWN_FAILURES_MAX: Final = 50
"""Per account, from all sources together that it never signed in from."""
CODE_FAILURES_MAX: Final = 5
"""One-time codes per account, from a known device or from all others together."""
NETWORK_KNOWN_SECONDS: Final = 30 * 24 * 3600


@dataclass(frozen=True, slots=True)
class SignInSource:
    """Where an attempt comes from.

    `network` is the client's address. `device` is the id of a device that proved by its cookie that
    this account signed in on it before, else "".
    """

    network: str
    device: str = ""


async def count_login_attempt(
    limiter: RateLimiter,
    name: str,
    source: SignInSource,
) -> int | None:
    """Count an attempt before the password is verified; return None, or the seconds to wait.

    Counting first bounds concurrent attempts. Call `reset_login_failures` after a right password,
    so that only failures remain counted.
    """
    account_name = _folded(name)
    if source.device:
        return await limiter.hit(_per_device(account_name, source.device))
    network = normalize_network(source.network)
    limits = [_per_pair(account_name, network), _per_source(network)]
    if not await limiter.is_marked(_network_mark(account_name, network)):
        limits.append(_per_unknown(account_name))
    return await limiter.hit(*limits)


async def reset_login_failures(
    limiter: RateLimiter,
    name: str,
    source: SignInSource,
) -> None:
    """Forget the failures of this account from this source; those of others remain.

    The successful attempt itself does not count against the source: a hundred people in one office
    may sign in within a minute.
    """
    account_name = _folded(name)
    if source.device:
        await limiter.forget(_per_device(account_name, source.device).key)
        return
    network = normalize_network(source.network)
    await limiter.forget(_per_pair(account_name, network).key)
    await limiter.undo_hit(_per_source(network).key)
    if not await limiter.is_marked(_network_mark(account_name, network)):
        await limiter.undo_hit(_per_unknown(account_name).key)


async def remember_network(
    limiter: RateLimiter,
    name: str,
    source: SignInSource,
) -> None:
    """Give the network its own budget for this account, after a complete sign-in."""
    mark = _network_mark(_folded(name), normalize_network(source.network))
    await limiter.mark(mark, NETWORK_KNOWN_SECONDS)


def provider_request_limit(network: str) -> RateLimit:
    """Return the limit of visits to the identity provider."""
    key = f"login/provider/{normalize_network(network)}"
    return RateLimit(key, PROVIDER_REQUESTS_MAX, LOGIN_WINDOW_SECONDS)


async def count_provider_answer(limiter: RateLimiter, network: str) -> int | None:
    """Count an answer of the identity provider; return None, or the seconds to wait.

    Nobody has a name yet, so failures count against the source network alone. Call
    `forgive_provider_answer` after a right one.
    """
    return await limiter.hit(_per_source(normalize_network(network)))


async def forgive_provider_answer(limiter: RateLimiter, network: str) -> None:
    """Take back the count of an answer that signed somebody in."""
    await limiter.undo_hit(_per_source(normalize_network(network)).key)


def code_limit(account_id: object, source: SignInSource) -> RateLimit:
    """Return the limit of one-time codes for an account."""
    key = f"second-factor/{account_id}/{source.device}"
    return RateLimit(key, CODE_FAILURES_MAX, LOGIN_WINDOW_SECONDS)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", name).strip().casefold()


def _per_device(account_name: str, device: str) -> RateLimit:
    key = f"login/device/{device}/{account_name}"
    return RateLimit(key, LOGIN_FAILURES_MAX, LOGIN_WINDOW_SECONDS)


def _per_pair(account_name: str, network: str) -> RateLimit:
    key = f"login/pair/{len(account_name)}/{account_name}/{network}"
    return RateLimit(key, LOGIN_FAILURES_MAX, LOGIN_WINDOW_SECONDS)


def _per_source(network: str) -> RateLimit:
    return RateLimit(f"login/source/{network}", SOURCE_FAILURES_MAX, LOGIN_WINDOW_SECONDS)


def _per_unknown(account_name: str) -> RateLimit:
    return RateLimit(f"login/unknown/{account_name}", UNKNOWN_FAILURES_MAX, LOGIN_WINDOW_SECONDS)


def _network_mark(account_name: str, network: str) -> str:
    return f"login/network/{len(account_name)}/{account_name}/{network}"


def normalize_network(source: str) -> str:
    """Return the IPv4 address or the IPv6 /64, which belongs to one household."""
    try:
        address = ipaddress.ip_address(source)
    except ValueError:
        return source
    if isinstance(address, ipaddress.IPv6Address):
        mapped = address.ipv4_mapped
        return str(mapped) if mapped else str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
