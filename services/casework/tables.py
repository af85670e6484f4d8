"""The tables of casework. Nobody else reads them.

A case has one row, its history one row for every act (never changed), its deadlines one row for
each obligation. No table holds who complained or what they said: the redacted summary (转办摘要) is all
that ever comes here.
"""

from datetime import date, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field, SQLModel

from services.casework.domain import DeadlineState, State
from shared.appraisal.labels import ComplaintChannel, ComplaintKind, Urgency
from shared.storage.schema import registry_for
from shared.storage.transaction import new_id


class Base(SQLModel, registry=registry_for("casework")):
    """Head of casework's tables."""


def instant(*, nullable: bool = False) -> Any:
    """A column for an aware instant."""
    return Field(
        None if nullable else ..., sa_column=Column(DateTime(timezone=True), nullable=nullable)
    )


def words(*, nullable: bool = False, primary: bool = False) -> Any:
    """A text column."""
    return Field(
        None if nullable else ..., sa_column=Column(Text, nullable=nullable, primary_key=primary)
    )


def case_key(*, nullable: bool = False) -> Any:
    """The case a row belongs to."""
    return Field(
        None if nullable else ...,
        sa_column=Column(ForeignKey("casework.cases.id"), nullable=nullable),
    )


def counted() -> Any:
    """An id that the database counts up."""
    return Field(None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True))


def one_of(column: str, values: type[StrEnum] | tuple[str, ...]) -> CheckConstraint:
    """The column holds one of these words."""
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} in ({listed})", name=column)


# ── reference data ────────────────────────────────────────────────────────────────────────────────


class Campaign(Base, table=True):
    """评议活动 as scoring last published it, with its scheme."""

    __tablename__ = "campaigns"
    id: str = words(primary=True)
    title: str = words()
    year: int
    scheme: str = words()
    scheme_version: str = words()
    published_at: datetime = instant()


class Unit(Base, table=True):
    """A unit of a campaign's register. `listed` is false when a later register no longer has it:
    its cases remain.
    """

    __tablename__ = "units"
    campaign_id: str = Field(
        sa_column=Column(Text, ForeignKey("casework.campaigns.id"), primary_key=True)
    )
    unit_id: str = words(primary=True)
    unit_no: int
    name: str = words()
    category: str = words()
    listed: bool


class CalendarAmendment(Base, table=True):
    """A holiday arrangement imported after the product was made; the calendar is the shipped one
    with these applied in order.
    """

    __tablename__ = "calendar_amendments"
    __table_args__ = (one_of("kind", ("year", "day")),)
    id: int | None = counted()
    kind: str = words()
    year: int
    source: str = words()
    content: str = words()
    calendar_version: str = words()
    imported_at: datetime = instant()
    imported_by: str = words()


class Series(Base, table=True):
    """The running number of the cases of a year. Its row is locked by whoever opens cases: numbers
    have no gaps.
    """

    __tablename__ = "series"
    year: int = Field(primary_key=True)
    last: int = Field(sa_column=Column(BigInteger, nullable=False))


# ── cases ─────────────────────────────────────────────────────────────────────────────────────────


class Case(Base, table=True):
    """办件. `named_unit_id` is whom it is about, `excluded_unit_id` who may neither handle nor see
    it, `unit_id` who is responsible.

    `version` goes up with every act; a form carries the one it was made from.
    """

    __tablename__ = "cases"
    __table_args__ = (
        UniqueConstraint("source", "source_id"),
        UniqueConstraint("number"),
        one_of("source", ("complaint", "visit")),
        one_of("kind", ComplaintKind),
        one_of("urgency", Urgency),
        one_of("state", State),
        one_of("channel", ComplaintChannel),
        one_of("finding", ("substantiated", "partly_substantiated", "unsubstantiated")),
        CheckConstraint(
            "unit_id is null or excluded_unit_id is null or unit_id <> excluded_unit_id",
            name="excluded",
        ),
        CheckConstraint(
            "state in ('pending', 'not_accepted') or unit_id is not null", name="responsible"
        ),
        Index("ix_cases_unit", "unit_id", "state"),
        Index(
            "ix_cases_open",
            "state",
            postgresql_where=text(
                "state in ('pending', 'assigned', 'handling', 'paused', 'reviewing')"
            ),
        ),
        Index("ix_cases_rating", "rating", postgresql_where=text("rating is not null")),
        Index("ix_cases_closed", "closed_at", postgresql_where=text("closed_at is not null")),
        Index(
            "ix_cases_redacted_summary",
            "redacted_summary",
            postgresql_using="gin",
            postgresql_ops={"redacted_summary": "public.gin_trgm_ops"},
        ),
    )
    id: UUID = Field(default_factory=new_id, primary_key=True)
    number: str = words()
    campaign_id: str = Field(
        sa_column=Column(Text, ForeignKey("casework.campaigns.id"), nullable=False)
    )
    source: str = words()
    source_id: UUID
    source_number: str = words()
    channel: str | None = words(nullable=True)
    kind: str = words()
    urgency: str = words()
    problem_item: str | None = words(nullable=True)
    redacted_summary: str = words()
    real_name: bool
    named_unit_id: str | None = words(nullable=True)
    excluded_unit_id: str | None = words(nullable=True)
    unit_id: str | None = words(nullable=True)
    handler_id: UUID | None = None
    handler_name: str | None = words(nullable=True)
    state: str = words()
    version: int = 1
    received_at: datetime = instant()
    received_on: date
    opened_at: datetime = instant()
    assigned_at: datetime | None = instant(nullable=True)
    accepted_at: datetime | None = instant(nullable=True)
    submitted_at: datetime | None = instant(nullable=True)
    closed_at: datetime | None = instant(nullable=True)
    finding: str | None = words(nullable=True)
    late: bool = False
    returns: int = 0
    repeats: int = 0
    urges: int = 0
    rating: int | None = None


class Step(Base, table=True):
    """What somebody did with a case, and when. `unit_id`: the responsible unit at that time. Rows
    are only ever added.
    """

    __tablename__ = "steps"
    __table_args__ = (Index("ix_steps_case", "case_id", "id"),)
    id: int | None = counted()
    case_id: UUID = case_key()
    at: datetime = instant()
    verb: str = words()
    state: str = words()
    unit_id: str | None = words(nullable=True)
    by_id: UUID | None = None
    by_name: str = words()
    by_role: str = words()
    text: str = words()
    facts: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSONB, nullable=False))


class Submission(Base, table=True):
    """办理结果 as the unit sent it for review, and what was decided."""

    __tablename__ = "submissions"
    __table_args__ = (
        UniqueConstraint("case_id", "no"),
        one_of("finding", ("substantiated", "partly_substantiated", "unsubstantiated")),
        one_of("decision", ("approved", "sent_back")),
    )
    id: int | None = counted()
    case_id: UUID = case_key()
    no: int
    at: datetime = instant()
    by_id: UUID
    by_name: str = words()
    account: str = words()
    finding: str = words()
    measures: str = words()
    reply: str = words()
    late: bool
    decision: str | None = words(nullable=True)
    decided_at: datetime | None = instant(nullable=True)
    decided_by_name: str | None = words(nullable=True)
    opinion: str | None = words(nullable=True)


class Extension(Base, table=True):
    """延期 asked for. `approved_by`: the roles that have agreed so far."""

    __tablename__ = "extensions"
    __table_args__ = (
        one_of("state", ("asked", "approved", "refused", "lapsed")),
        Index(
            "uq_extensions_asked", "case_id", unique=True, postgresql_where=text("state = 'asked'")
        ),
    )
    id: UUID = Field(default_factory=new_id, primary_key=True)
    case_id: UUID = case_key()
    amount: int
    reason: str = words()
    asked_at: datetime = instant()
    asked_by_id: UUID
    asked_by_name: str = words()
    approved_by: list[str] = Field(
        default_factory=list, sa_column=Column(ARRAY(Text), nullable=False)
    )
    state: str = words()
    decided_at: datetime | None = instant(nullable=True)


class Suspension(Base, table=True):
    """暂停计时: the clock of a case stood still from `since`; `until` when it goes on at the
    latest, `ended_at` when it did.
    """

    __tablename__ = "suspensions"
    __table_args__ = (
        Index(
            "uq_suspensions_open", "case_id", unique=True, postgresql_where=text("ended_at is null")
        ),
    )
    id: int | None = counted()
    case_id: UUID = case_key()
    reason: str = words()
    since: datetime = instant()
    until: datetime = instant()
    ended_at: datetime | None = instant(nullable=True)


# ── obligations and deadlines ──────────────────────────────────────────────────────────────────────────


class Obligation(Base, table=True):
    """An obligation of one unit in a campaign (报送方案、自评报告 …)."""

    __tablename__ = "obligations"
    __table_args__ = (UniqueConstraint("campaign_id", "unit_id", "obligation_rule_id"),)
    id: UUID = Field(default_factory=new_id, primary_key=True)
    campaign_id: str = Field(
        sa_column=Column(Text, ForeignKey("casework.campaigns.id"), nullable=False)
    )
    unit_id: str = words()
    obligation_rule_id: str = words()
    label: str = words()
    deliverable: str = words()
    fulfilled_at: datetime | None = instant(nullable=True)
    fulfilled_by_name: str | None = words(nullable=True)
    document: str | None = words(nullable=True)


class Deadline(Base, table=True):
    """One deadline of a case or of an obligation. Instants are UTC; the database's clock alone decides
    that they have passed.

    `next_warn_at`: when to warn next, NULL when there is nothing more to say; `later_warns` what
    follows. `terms`: JSON of domain.DeadlineTerms.
    """

    __tablename__ = "deadlines"
    __table_args__ = (
        one_of("state", DeadlineState),
        CheckConstraint("(case_id is null) <> (obligation_id is null)", name="subject"),
        CheckConstraint("state <> 'lapsed' or lapsed_at is not null", name="lapsed"),
        # Both sweeps read only what is running, in order of time: a million deadlines far away cost
        # nothing.
        Index("ix_deadlines_due", "due_at", postgresql_where=text("state = 'running'")),
        Index(
            "ix_deadlines_warn",
            "next_warn_at",
            postgresql_where=text("state = 'running' and next_warn_at is not null"),
        ),
        Index("ix_deadlines_case", "case_id"),
        Index(
            "uq_deadlines_obligation",
            "obligation_id",
            unique=True,
            postgresql_where=text("obligation_id is not null"),
        ),
        Index(
            "uq_deadlines_active",
            "case_id",
            "kind",
            unique=True,
            postgresql_where=text("state in ('running', 'lapsed', 'paused')"),
        ),
        Index(
            "ix_deadlines_provisional",
            "due_at",
            postgresql_where=text("provisional and state in ('running', 'paused')"),
        ),
    )
    id: UUID = Field(default_factory=new_id, primary_key=True)
    case_id: UUID | None = case_key(nullable=True)
    obligation_id: UUID | None = Field(
        None, sa_column=Column(ForeignKey("casework.obligations.id"), nullable=True)
    )
    unit_id: str | None = words(nullable=True)
    kind: str = words()
    starts_at: datetime = instant()
    terms: str = words()
    due_at: datetime = instant()
    warn_at: datetime = instant()
    severe_at: datetime = instant()
    provisional: bool
    rule_id: str = words()
    scheme_version: str = words()
    calendar_version: str = words()
    state: str = words()
    next_warn_at: datetime | None = instant(nullable=True)
    later_warns: list[datetime] = Field(
        default_factory=list, sa_column=Column(ARRAY(DateTime(timezone=True)), nullable=False)
    )
    warned_at: datetime | None = instant(nullable=True)
    lapsed_at: datetime | None = instant(nullable=True)
    ended_at: datetime | None = instant(nullable=True)
