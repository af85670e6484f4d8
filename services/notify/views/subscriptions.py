"""Subscriptions and the table of rules."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from services.notify.domain.audience import Audience
from services.notify.domain.channels import Channel
from services.notify.domain.quiet_hours import end_of_day
from services.notify.domain.rules import RULES, NotificationRule
from services.notify.settings import context_of
from services.notify.store import deliveries, reference, subscriptions
from services.notify.tables import Subscription
from shared.storage.transaction import Transaction


@dataclass(frozen=True, slots=True)
class SubscriptionDetails:
    """A subscription in use. `secret` verifies the signatures of a webhook; None otherwise."""

    id: UUID
    role: str
    unit_id: str | None
    channel: str
    redacted_address: str
    kinds: Sequence[str]
    created_at: datetime
    failing_since: datetime | None
    secret: str | None

    @property
    def role_label(self) -> str:
        return Audience(self.role).label

    @property
    def channel_label(self) -> str:
        return Channel(self.channel).label

    @property
    def kinds_label(self) -> str:
        return "、".join(RULES[kind].title for kind in self.kinds) or "全部"


@dataclass(frozen=True, slots=True)
class RulesPage:
    """The subscriptions, the choices for a new one, and the table of rules."""

    subscriptions: Sequence[SubscriptionDetails]
    units: Mapping[str, str]
    due_today: int
    rules: Sequence[NotificationRule]

    @property
    def kind_options(self) -> list[tuple[str, str]]:
        return [(rule.kind.value, rule.title) for rule in self.rules]

    def unit_label(self, unit_id: str | None) -> str:
        return self.units.get(unit_id or "", "全部单位")


async def rules_page(tx: Transaction) -> RulesPage:
    """Return what the page 订阅与升级 shows."""
    last_instant_of_today = end_of_day(tx.now) - timedelta(microseconds=1)
    return RulesPage(
        subscriptions=await list_subscriptions(tx),
        units=await reference.unit_names(tx),
        due_today=await deliveries.count_waiting(tx, due_until=last_instant_of_today),
        rules=list(RULES.values()),
    )


async def list_subscriptions(tx: Transaction) -> list[SubscriptionDetails]:
    """Return the subscriptions in use, with the secrets of webhooks."""
    rows = await subscriptions.list_active(tx)
    return [_details(tx, row) for row in rows]


def _details(tx: Transaction, row: Subscription) -> SubscriptionDetails:
    return SubscriptionDetails(
        id=row.id,
        role=row.role,
        unit_id=row.unit_id,
        channel=row.channel,
        redacted_address=row.redacted_address,
        kinds=row.kinds,
        created_at=row.created_at,
        failing_since=row.failing_since,
        secret=_webhook_secret(tx, row),
    )


def _webhook_secret(tx: Transaction, row: Subscription) -> str | None:
    """Return the signing key in the notation of Standard Webhooks."""
    if row.channel != Channel.WEBHOOK:
        return None
    key = context_of(tx).transports.signing_key(row.id)
    return f"whsec_{b64encode(key).decode()}"
