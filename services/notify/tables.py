"""Tables of notify: notifications and who read them, subscriptions and deliveries, templates, and
the reference data that notify keeps of other services.
"""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Final
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    LargeBinary,
    Numeric,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import Field, SQLModel

from services.notify.domain.audience import Audience
from services.notify.domain.channels import Channel
from services.notify.domain.delivery import DeliveryState
from shared.storage.access import CHANGED, Access
from shared.storage.audited import Audited
from shared.storage.schema import registry_for


class Base(SQLModel, registry=registry_for("notify")):
    """Base of all tables in this schema."""


def timestamp_column(*, nullable: bool = False) -> Column[datetime]:
    return Column(DateTime(timezone=True), nullable=nullable)


def bytes_column(*, nullable: bool = False) -> Column[bytes]:
    return Column(LargeBinary, nullable=nullable)


def one_of(column: str, values: Iterable[str]) -> CheckConstraint:
    quoted = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} in ({quoted})", name=column)


class Notification(Base, table=True):
    """One notification for the people of `role`; for roles of a unit, those of `unit_id`.

    `unit_id` is the responsible unit. `number` is the name people know the subject by; `subject_id`
    and `version` are its aggregate and the aggregate's version. `stage` is the work that the
    notification asks for; a later event that completes it sets `resolved_at`, and its name
    `resolved_by`. A notification that is not resolved at `escalate_at` is escalated. `trace` is the
    W3C `traceparent` that its deliveries continue. Holds no personal data and no complaint text.
    """

    __tablename__ = "notifications"
    __table_args__ = (
        UniqueConstraint("event_id", "role"),
        Index("notifications_of_unit", "role", "unit_id", "id"),
        Index("notifications_of_role", "role", "id"),
        Index("notifications_open", "role", "id", postgresql_where=text("resolved_at is null")),
        Index("notifications_of_subject", "subject_id", "stage"),
        Index("notifications_number", "number"),
        Index(
            "notifications_escalation",
            "escalate_at",
            postgresql_where=text("escalate_at is not null"),
        ),
        one_of("role", Audience),
    )
    id: UUID = Field(primary_key=True)
    event_id: UUID
    role: str
    unit_id: str | None = None
    kind: str
    number: str
    subject_id: str
    version: int = Field(sa_column=Column(BigInteger, nullable=False))
    stage: str
    text: str
    link: str
    urgent: bool
    due_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    occurred_at: datetime = Field(sa_column=timestamp_column())
    created_at: datetime = Field(sa_column=timestamp_column())
    escalate_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    resolved_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    resolved_by: str | None = None
    trace: str | None = None


class ReadReceipt(Base, table=True):
    """One account saw a notification, or marked it as done."""

    __tablename__ = "read_receipts"
    notification_id: UUID = Field(
        sa_column=Column(
            ForeignKey("notify.notifications.id", ondelete="CASCADE"), primary_key=True
        )
    )
    account_id: UUID = Field(primary_key=True)
    seen_at: datetime = Field(sa_column=timestamp_column())
    done_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))


class Subscription(Base, table=True):
    """An address that receives the notifications of one audience.

    The address is sealed; pages show `redacted_address`. `kinds` limits the subscription to some
    kinds; empty means all. After a failure no delivery is attempted before `paused_until` (real
    clock). A stopped subscription has lost its key, so its address cannot be read any more.
    """

    __tablename__ = "subscriptions"
    __table_args__ = (
        Index(
            "subscriptions_audience",
            "role",
            "unit_id",
            postgresql_where=text("stopped_at is null"),
        ),
        one_of("role", Audience),
        one_of("channel", Channel),
    )
    id: UUID = Field(primary_key=True)
    role: str
    unit_id: str | None = None
    channel: str
    redacted_address: str
    kinds: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    ciphertext: bytes = Field(sa_column=bytes_column())
    wrapped_key: bytes | None = Field(default=None, sa_column=bytes_column(nullable=True))
    key_version: int
    created_at: datetime = Field(sa_column=timestamp_column())
    failing_since: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    paused_until: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    stopped_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))


class Delivery(Base, table=True):
    """One notification for one subscription. Its id is the idempotency key of every attempt.

    `due_at` (legal time) respects the quiet hours. `next_attempt_at` (real clock) is the end of
    the lease of a sender worker, or of the delay after a failed attempt.
    """

    __tablename__ = "deliveries"
    __table_args__ = (
        UniqueConstraint("notification_id", "subscription_id"),
        Index("deliveries_waiting", "due_at", "id", postgresql_where=text("state = 'waiting'")),
        one_of("state", DeliveryState),
    )
    id: UUID = Field(primary_key=True)
    notification_id: UUID = Field(
        sa_column=Column(ForeignKey("notify.notifications.id", ondelete="CASCADE"), nullable=False)
    )
    subscription_id: UUID = Field(
        sa_column=Column(ForeignKey("notify.subscriptions.id"), nullable=False, index=True)
    )
    state: str
    attempts: int
    reason: str | None = None
    created_at: datetime = Field(sa_column=timestamp_column())
    due_at: datetime = Field(sa_column=timestamp_column())
    next_attempt_at: datetime = Field(sa_column=timestamp_column())
    ended_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))


class NotificationTemplate(Base, table=True):
    """An edited version of the text of one kind, from 2 on; version 1 is the preset text."""

    __tablename__ = "templates"
    kind: str = Field(primary_key=True)
    version: int = Field(primary_key=True)
    text: str
    written_by: UUID
    created_at: datetime = Field(sa_column=timestamp_column())


class CaseUrgency(Base, table=True):
    """The urgency of a case, which only its first event carries."""

    __tablename__ = "cases"
    id: UUID = Field(primary_key=True)
    urgency: str


class CaseExclusion(Base, table=True):
    """The bodies that may not learn of a case: neither from its notifications nor by its number.

    `subject_id` is that of the case's notifications.
    """

    __tablename__ = "case_exclusions"
    subject_id: str = Field(primary_key=True)
    unit_ids: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))


class UnitName(Base, table=True):
    """The name of an organisation. `heir_id`: the one that took over its open matters, if any."""

    __tablename__ = "units"
    id: str = Field(primary_key=True)
    name: str
    state: str = "active"
    heir_id: str | None = None


class ObligationLabel(Base, table=True):
    """The label of an obligation, from the schemes of the campaigns."""

    __tablename__ = "obligations"
    campaign_id: str = Field(primary_key=True)
    id: str = Field(primary_key=True)
    label: str


class ScoreBaseline(Base, table=True):
    """The running score from which a fall of a unit is measured."""

    __tablename__ = "score_baselines"
    campaign_id: str = Field(primary_key=True)
    unit_id: str = Field(primary_key=True)
    total: Decimal = Field(sa_column=Column(Numeric, nullable=False))


ACCESS: Final = {
    "notifications": Access(update=("escalate_at", "resolved_at", "resolved_by"), delete=True),
    "read_receipts": CHANGED,
    "subscriptions": CHANGED,
    "deliveries": CHANGED,
    "cases": CHANGED,
    "units": CHANGED,
    "case_exclusions": CHANGED,
    "obligations": CHANGED,
    "score_baselines": CHANGED,
}
"""What may be done to the tables that are not append-only; see `shared.storage.access`."""

AUDITED: Final = (
    Audited("templates", "template.written", subject=("kind",)),
    Audited(
        "subscriptions",
        "subscription.%",
        on="insert or update of role, unit_id, channel, kinds, ciphertext, stopped_at",
    ),
)
"""Changes that need an audit entry; see `shared.storage.audited`."""
