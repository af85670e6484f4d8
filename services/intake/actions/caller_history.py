"""该号码历史: what is known of a telephone number, for the call at hand and for nothing else.

A lookup belongs to the ticket that the operator is writing. Whoever looks numbers up without ever
registering a ticket soon has to wait.
"""

import math
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from services.intake.domain.complaints import is_phone
from services.intake.settings import context_of
from services.intake.store import complaint_lists, complaints
from services.intake.store.complaint_lists import EarlierComplaint
from shared.appraisal.errors import Rejected
from shared.security.listed_reports import audit_listed_reports
from shared.security.policies import Account
from shared.security.rate_limits import RateLimit, RateLimiter
from shared.storage.transaction import Transaction

NUMBERS_OF_TICKET: Final = (3, 3600)
"""Numbers of one ticket in an hour: the number, and two corrections of it."""
UNREGISTERED_TICKETS: Final = (10, 3600)
"""Tickets of one operator in an hour that had a lookup and were not registered (yet)."""


async def look_up_caller(
    tx: Transaction,
    limiter: RateLimiter,
    *,
    ticket_id: UUID,
    phone: str,
    account: Account,
) -> Sequence[EarlierComplaint]:
    """Return the earlier complaints from exactly this number, without 举报 of other operators.

    The audit entry names the ticket and what was shown, never the number: the caller may wish to
    stay unknown. Raises Rejected: 409 if the ticket is registered, 429 beyond the limits.
    """
    if not is_phone(phone):
        return []
    if await complaints.exists(tx, ticket_id):
        raise Rejected("这份工单已经登记，不再查询来电历史")
    fingerprint = context_of(tx).ring.fingerprint(phone)
    await _count_lookup(limiter, ticket_id, fingerprint.hex(), account)
    found = await complaint_lists.of_complainant(tx, fingerprint, operator_id=account.id)
    shown = [each.number for each in found]
    tx.audit("complainant.looked_up", ticket_id, str(account.id), shown=shown)
    await audit_listed_reports(tx, account, ((each.kind, each.id) for each in found))
    return found


async def _count_lookup(
    limiter: RateLimiter,
    ticket_id: UUID,
    number: str,
    account: Account,
) -> None:
    """Count a number once for its ticket, and a ticket once. Raises Rejected."""
    ticket_key = _ticket_key(account, ticket_id)
    number_key = f"{ticket_key}/{number}"
    if await limiter.is_marked(number_key):
        return
    limits = [RateLimit(f"{ticket_key}/numbers", *NUMBERS_OF_TICKET)]
    if not await limiter.is_marked(ticket_key):
        limits.append(RateLimit(_unregistered_key(account), *UNREGISTERED_TICKETS))
    if wait := await limiter.hit(*limits):
        minutes = math.ceil(wait / 60)
        raise Rejected(f"查询次数已到上限，{minutes} 分钟后可再查，不影响登记", status=429)
    _, seconds = UNREGISTERED_TICKETS
    await limiter.mark(number_key, seconds)
    await limiter.mark(ticket_key, seconds)


async def forget_lookup(
    limiter: RateLimiter,
    *,
    ticket_id: UUID,
    account: Account,
) -> None:
    """The ticket was registered: its lookup no longer counts against the operator."""
    ticket_key = _ticket_key(account, ticket_id)
    if await limiter.is_marked(ticket_key):
        await limiter.forget(ticket_key)
        await limiter.undo_hit(_unregistered_key(account))


def _ticket_key(account: Account, ticket_id: UUID) -> str:
    return f"caller-history/{account.id}/{ticket_id}"


def _unregistered_key(account: Account) -> str:
    return f"caller-history/{account.id}"
