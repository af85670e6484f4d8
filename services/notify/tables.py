"""What notify keeps: notifications and who read them, where notifications go outside the house, and the little
it must know of other services.
"""

from datetime import datetime
from decimal import Decimal
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

from services.notify.domain import Audience, Channel, DeliveryState
from shared.storage.schema import registry_for


class Base(SQLModel, registry=registry_for("notify")):
    """All tables of this schema."""


def _instant(*, nullable: bool = False) -> Column[datetime]:
    return Column(DateTime(timezone=True), nullable=nullable)


def _one_of(column: str, values: object) -> CheckConstraint:
    quoted = ", ".join(f"'{value}'" for value in values)  # type: ignore[attr-defined]
    return CheckConstraint(f"{column} in ({quoted})", name=column)


class Notification(Base, table=True):
    """One thing the people of one audience should know: those of `role`, for roles of a unit those
    in `unit_id`, the responsible unit.

    No person's name and no case text. `subject`: the number people know it by; `subject_id`,
    `version`: the aggregate and where in its history the fact stands. `stage`: what the notification asks
    to be done; a later fact that answers it sets `settled_at`. Unanswered at `escalate_at`: told
    higher up.
    """

    __tablename__ = "notifications"
    __table_args__ = (
        UniqueConstraint("event_id", "role"),
        Index("notifications_of_unit", "role", "unit_id", "id"),
        Index("notifications_of_role", "role", "id"),
        Index("notifications_open", "role", "id", postgresql_where=text("settled_at is null")),
        Index("notifications_of_subject", "subject_id", "stage"),
        Index("notifications_number", "subject"),
        Index(
            "notifications_escalation",
            "escalate_at",
            postgresql_where=text("escalate_at is not null"),
        ),
        _one_of("role", Audience),
    )
    id: UUID = Field(primary_key=True)
    event_id: UUID
    role: str
    unit_id: str | None = None
    kind: str
    subject: str
    subject_id: str
    version: int = Field(sa_column=Column(BigInteger, nullable=False))
    stage: str
    text: str
    link: str
    urgent: bool
    due_at: datetime | None = Field(default=None, sa_column=_instant(nullable=True))
    occurred_at: datetime = Field(sa_column=_instant())
    created_at: datetime = Field(sa_column=_instant())
    escalate_at: datetime | None = Field(default=None, sa_column=_instant(nullable=True))
    settled_at: datetime | None = Field(default=None, sa_column=_instant(nullable=True))


class Reading(Base, table=True):
    """What one account did with a notification: saw it, said it is dealt with."""

    __tablename__ = "readings"
    notification_id: UUID = Field(
        sa_column=Column(
            ForeignKey("notify.notifications.id", ondelete="CASCADE"), primary_key=True
        )
    )
    account_id: UUID = Field(primary_key=True)
    seen_at: datetime = Field(sa_column=_instant())
    done_at: datetime | None = Field(default=None, sa_column=_instant(nullable=True))


class Subscription(Base, table=True):
    """Where an audience's notifications go outside the house. The address is sealed; `hint` is what pages
    may show of it.

    `kinds`: only these, none named: all. `resting_until` (real clock): the other side failed, leave
    it alone until then. `stopped_at`: no longer in use, and the address cannot be opened any more.
    """

    __tablename__ = "subscriptions"
    __table_args__ = (
        Index(
            "subscriptions_audience", "role", "unit_id", postgresql_where=text("stopped_at is null")
        ),
        _one_of("role", Audience),
        _one_of("channel", Channel),
    )
    id: UUID = Field(primary_key=True)
    role: str
    unit_id: str | None = None
    channel: str
    hint: str
    kinds: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    ciphertext: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    wrapped_key: bytes | None = Field(default=None, sa_column=Column(LargeBinary, nullable=True))
    key_version: int
    created_at: datetime = Field(sa_column=_instant())
    failing_since: datetime | None = Field(default=None, sa_column=_instant(nullable=True))
    resting_until: datetime | None = Field(default=None, sa_column=_instant(nullable=True))
    stopped_at: datetime | None = Field(default=None, sa_column=_instant(nullable=True))


class Delivery(Base, table=True):
    """One notification on its way to one address. Its id is the idempotency key of every attempt.

    `due_at` (legal time): not before, because of 免打扰. `free_at` (real clock): until then a
    worker has it, or it waits after a failure.
    """

    __tablename__ = "deliveries"
    __table_args__ = (
        UniqueConstraint("notification_id", "subscription_id"),
        Index("deliveries_waiting", "due_at", "id", postgresql_where=text("state = 'waiting'")),
        _one_of("state", DeliveryState),
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
    created_at: datetime = Field(sa_column=_instant())
    due_at: datetime = Field(sa_column=_instant())
    free_at: datetime = Field(sa_column=_instant())
    ended_at: datetime | None = Field(default=None, sa_column=_instant(nullable=True))


class Template(Base, table=True):
    """A version of the text of one kind of notification, from 2 on; version 1 is the one the program
    brings.
    """

    __tablename__ = "templates"
    kind: str = Field(primary_key=True)
    version: int = Field(primary_key=True)
    text: str
    written_by: UUID
    created_at: datetime = Field(sa_column=_instant())


class KnownCase(Base, table=True):
    """What must be known of a case when its later facts come: is it 特急?"""

    __tablename__ = "cases"
    id: UUID = Field(primary_key=True)
    urgency: str


class Unit(Base, table=True):
    """Names of units, from the campaigns."""

    __tablename__ = "units"
    id: str = Field(primary_key=True)
    name: str


class ObligationLabel(Base, table=True):
    """Names of obligations, from the campaigns' schemes."""

    __tablename__ = "obligations"
    campaign_id: str = Field(primary_key=True)
    id: str = Field(primary_key=True)
    label: str


class ScoreMark(Base, table=True):
    """The running score from which a fall of a unit is measured."""

    __tablename__ = "score_marks"
    campaign_id: str = Field(primary_key=True)
    unit_id: str = Field(primary_key=True)
    total: Decimal = Field(sa_column=Column(Numeric, nullable=False))
