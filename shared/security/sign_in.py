"""Limits on sign-in attempts, by account and by source network."""

from __future__ import annotations

import ipaddress
import unicodedata
from typing import Final

from shared.security.rate_limits import RateLimit, RateLimiter

LOGIN_WINDOW_SECONDS: Final = 15 * 60
LOGIN_FAILURES_MAX: Final = 5
"""Per account and source network: then this source waits for this account."""
SOURCE_FAILURES_MAX: Final = 50
"""Per source network: a whole office may share one address, but nobody may try a list of names."""
ACCOUNT_FAILURES_MAX: Final = 100
"""Per account: locking somebody out takes twenty addresses, continuously."""


async def count_login_attempt(
    limiter: RateLimiter,
    name: str,
    source: str,
) -> int | None:
    """Count an attempt before the password is verified; return None, or the seconds to wait.

    `source` is the client's address. Counting first bounds concurrent attempts. Call
    `reset_login_failures` after a successful sign-in, so that only failures remain counted.
    """
    return await limiter.hit(*_login_limits(name, source))


async def reset_login_failures(
    limiter: RateLimiter,
    name: str,
    source: str,
) -> None:
    """Forget the failures of this account; those of the source network remain.

    The successful attempt itself does not count against the source: a hundred people in one office
    may sign in within a minute.
    """
    per_pair, per_source, per_account = _login_limits(name, source)
    await limiter.forget(per_pair.key)
    await limiter.undo_hit(per_source.key)
    await limiter.forget(per_account.key)


def _login_limits(name: str, source: str) -> tuple[RateLimit, RateLimit, RateLimit]:
    account_name = unicodedata.normalize("NFKC", name).strip().casefold()
    network = normalize_network(source)
    pair = f"{len(account_name)}/{account_name}/{network}"
    return (
        RateLimit(f"login/pair/{pair}", LOGIN_FAILURES_MAX, LOGIN_WINDOW_SECONDS),
        RateLimit(f"login/source/{network}", SOURCE_FAILURES_MAX, LOGIN_WINDOW_SECONDS),
        RateLimit(f"login/account/{account_name}", ACCOUNT_FAILURES_MAX, LOGIN_WINDOW_SECONDS),
    )


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
