"""Limits on sign-in attempts, by account and by source network."""

from __future__ import annotations

import ipaddress
import unicodedata
from typing import Final

from shared.security.rate_limits import RateLimit, RateLimiter

# ── attempts to sign in ───────────────────────────────────────────────────────────────────────────

LOGIN_WINDOW_SECONDS: Final = 15 * 60
LOGIN_FAILURES_MAX: Final = 5
"""Of one account from one source; then this source waits for this account."""
SOURCE_FAILURES_MAX: Final = 50
"""Of one source over all accounts: a whole office may sit behind one address, a list of names may
not be tried.
"""
ACCOUNT_FAILURES_MAX: Final = 100
"""Of one account over all sources: who wants to lock somebody out needs twenty addresses at once,
and for ever.
"""


async def count_login_attempt(limiter: RateLimiter, name: str, source: str) -> int | None:
    """Count an attempt before the password is looked at: None to go on, else whole seconds to wait.

    `source` is the client's address. Counting first keeps a thousand attempts at once from all
    being looked at. Call `reset_login_failures` after a right password; what remains counted are the
    failures.
    """
    return await limiter.hit(*_login_limits(name, source))


async def reset_login_failures(limiter: RateLimiter, name: str, source: str) -> None:
    """Forget the failures of this account, and of this account from this source; those of the
    source remain.

    What is right is no failure of the source either: a hundred people of one office may sign in
    within a minute.
    """
    pair, of_source, of_account = _login_limits(name, source)
    await limiter.forget(pair.key)
    await limiter.undo_hit(of_source.key)
    await limiter.forget(of_account.key)


def _login_limits(name: str, source: str) -> tuple[RateLimit, RateLimit, RateLimit]:
    account_name, network = (
        unicodedata.normalize("NFKC", name).strip().casefold(),
        normalize_network(source),
    )
    return (
        RateLimit(
            f"login/pair/{len(account_name)}/{account_name}/{network}",
            LOGIN_FAILURES_MAX,
            LOGIN_WINDOW_SECONDS,
        ),
        RateLimit(f"login/source/{network}", SOURCE_FAILURES_MAX, LOGIN_WINDOW_SECONDS),
        RateLimit(f"login/account/{account_name}", ACCOUNT_FAILURES_MAX, LOGIN_WINDOW_SECONDS),
    )


def normalize_network(source: str) -> str:
    """The address; of an IPv6 address its /64, because one household owns all the addresses in it."""
    try:
        address = ipaddress.ip_address(source)
    except ValueError:
        return source
    if isinstance(address, ipaddress.IPv6Address):
        mapped = address.ipv4_mapped
        return str(mapped) if mapped else str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
