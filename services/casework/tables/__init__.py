"""The tables of casework. No other service reads them.

A case has one row, and one row of history for every action (never changed). Every deadline of a
case or of an obligation has one row. No table holds complainants or complaint texts: casework only
ever receives the redacted summary (转办摘要).
"""

from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field

from services.casework.domain.deadlines import ACTIVE_STATES, DeadlineState
from services.casework.domain.extensions import ExtensionState
from services.casework.domain.review import ReviewDecision
from services.casework.tables.base import (
    Base,
    CalendarAmendment,
    Campaign,
    CaseNumberSeries,
    RegisteredUnit,
    campaign_column,
    case_column,
    identity_column,
    one_of,
)
from shared.appraisal.labels import (
    CaseFinding,
    CaseSource,
    ComplaintChannel,
    ComplaintKind,
    Urgency,
)
from shared.storage.access import CHANGED, Access
from shared.storage.audited import Audited
from shared.storage.columns import optional_text_column, text_column, timestamp_column
from shared.storage.transaction import new_id

__all__ = [
    "ACCESS",
    "CalendarAmendment",
    "Campaign",
    "Case",
    "CaseHistoryEntry",
    "CaseMerger",
    "CaseNumberSeries",
    "Deadline",
    "Extension",
    "Obligation",
    "RegisteredUnit",
    "Submission",
    "Suspension",
]

# ── cases ─────────────────────────────────────────────────────────────────────────────────────────


class Case(Base, table=True):
    """办件. `unit_id` is the responsible unit, `named_unit_id` the unit that the complainant named.

    `accused_unit_ids` are the bodies that a 举报 accuses, in version `accused_record` of what
    intake recorded; 0: nobody looked at it yet, and only the named unit is known.
    `excluded_unit_ids` are all bodies that may neither handle nor see the case: what follows from
    the accused by the scheme and by the register of organisations as it is now.

    Until a person released the redacted summary (`released_at`), the text is empty and the case has
    no unit.

    `state` is a `CaseState` that only `next_state` decides; no constraint repeats them, so that a
    new state needs no migration. `version` grows with every action but notes and urging; a form
    carries the version it shows.
    """

    __tablename__ = "cases"
    __table_args__ = (
        UniqueConstraint("source", "source_id"),
        UniqueConstraint("number"),
        one_of("source", CaseSource),
        one_of("kind", ComplaintKind),
        one_of("urgency", Urgency),
        one_of("channel", ComplaintChannel),
        one_of("finding", CaseFinding),
        CheckConstraint(
            "unit_id is null or unit_id <> all (excluded_unit_ids)"
            " or state in ('closed', 'struck_off', 'merged')",
            name="excluded",
        ),
        CheckConstraint(
            "state in ('pending', 'not_accepted', 'merged') or unit_id is not null",
            name="responsible",
        ),
        CheckConstraint("unit_id is null or released_at is not null", name="released"),
        Index("ix_cases_unit", "unit_id", "state"),
        Index("ix_cases_accused", "id", postgresql_where=text("accused_unit_ids <> '{}'")),
        Index(
            "ix_cases_open",
            "state",
            postgresql_where=text(
                "state not in ('closed', 'struck_off', 'not_accepted', 'merged')"
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
    number: str = text_column()
    campaign_id: str = campaign_column()
    source: str = text_column()
    source_id: UUID
    source_number: str = text_column()
    channel: str | None = optional_text_column()
    kind: str = text_column()
    urgency: str = text_column()
    problem_item: str | None = optional_text_column()
    redacted_summary: str = text_column()
    released_at: datetime | None = timestamp_column(nullable=True)
    real_name: bool
    named_unit_id: str | None = optional_text_column()
    accused_unit_ids: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    accused_record: int = 0
    excluded_unit_ids: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    unit_id: str | None = optional_text_column()
    handler_id: UUID | None = None
    handler_name: str | None = optional_text_column()
    state: str = text_column()
    version: int = 1
    received_at: datetime = timestamp_column()
    received_on: date
    opened_at: datetime = timestamp_column()
    assigned_at: datetime | None = timestamp_column(nullable=True)
    accepted_at: datetime | None = timestamp_column(nullable=True)
    submitted_at: datetime | None = timestamp_column(nullable=True)
    closed_at: datetime | None = timestamp_column(nullable=True)
    finding: str | None = optional_text_column()
    late: bool = False
    returns: int = 0
    repeats: int = 0
    urges: int = 0
    rating: int | None = None


class CaseMerger(Base, table=True):
    """并案: a case that repeats another one ended, with what undoing it restores.

    `state` is the one before, `deadline_ids` are the deadlines that were active then.
    """

    __tablename__ = "case_mergers"
    __table_args__ = (
        Index(
            "uq_case_mergers_open",
            "case_id",
            unique=True,
            postgresql_where=text("undone_at is null"),
        ),
    )
    id: int | None = identity_column()
    case_id: UUID = case_column()
    into_complaint_id: UUID
    state: str = text_column()
    deadline_ids: list[UUID] = Field(sa_column=Column(ARRAY(Uuid), nullable=False))
    merged_at: datetime = timestamp_column()
    undone_at: datetime | None = timestamp_column(nullable=True)


class CaseHistoryEntry(Base, table=True):
    """An action on a case: who, when and why. `unit_id` is the unit responsible at that time.

    Rows are only ever inserted.
    """

    __tablename__ = "case_history"
    __table_args__ = (Index("ix_case_history_case", "case_id", "id"),)
    id: int | None = identity_column()
    case_id: UUID = case_column()
    at: datetime = timestamp_column()
    action: str = text_column()
    state: str = text_column()
    unit_id: str | None = optional_text_column()
    by_id: UUID | None = None
    by_name: str = text_column()
    by_role: str = text_column()
    text: str = text_column()
    details: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSONB, nullable=False))


class Submission(Base, table=True):
    """办理结果 as the unit submitted it for review, and the decision."""

    __tablename__ = "submissions"
    __table_args__ = (
        UniqueConstraint("case_id", "no"),
        one_of("finding", CaseFinding),
        one_of("decision", ReviewDecision),
    )
    id: int | None = identity_column()
    case_id: UUID = case_column()
    no: int
    at: datetime = timestamp_column()
    by_id: UUID
    by_name: str = text_column()
    account: str = text_column()
    finding: str = text_column()
    measures: str = text_column()
    reply: str = text_column()
    late: bool
    decision: str | None = optional_text_column()
    decided_at: datetime | None = timestamp_column(nullable=True)
    decided_by_name: str | None = optional_text_column()
    opinion: str | None = optional_text_column()


class Extension(Base, table=True):
    """A requested extension (延期). `approved_by` holds the roles that have approved so far."""

    __tablename__ = "extensions"
    __table_args__ = (
        one_of("state", ExtensionState),
        Index(
            "uq_extensions_requested",
            "case_id",
            unique=True,
            postgresql_where=text("state = 'requested'"),
        ),
    )
    id: UUID = Field(default_factory=new_id, primary_key=True)
    case_id: UUID = case_column()
    amount: int
    reason: str = text_column()
    requested_at: datetime = timestamp_column()
    requested_by_id: UUID
    requested_by_name: str = text_column()
    approved_by: list[str] = Field(
        default_factory=list, sa_column=Column(ARRAY(Text), nullable=False)
    )
    state: str = text_column()
    decided_at: datetime | None = timestamp_column(nullable=True)


class Suspension(Base, table=True):
    """暂停计时: the handling deadline was suspended from `since`. It resumes at `until` at the
    latest; `ended_at` is when it did.
    """

    __tablename__ = "suspensions"
    __table_args__ = (
        Index(
            "uq_suspensions_open", "case_id", unique=True, postgresql_where=text("ended_at is null")
        ),
    )
    id: int | None = identity_column()
    case_id: UUID = case_column()
    reason: str = text_column()
    since: datetime = timestamp_column()
    until: datetime = timestamp_column()
    ended_at: datetime | None = timestamp_column(nullable=True)


# ── obligations and deadlines ─────────────────────────────────────────────────────────────────────


class Obligation(Base, table=True):
    """An obligation of one unit in a campaign (报送方案、自评报告 …)."""

    __tablename__ = "obligations"
    __table_args__ = (UniqueConstraint("campaign_id", "unit_id", "obligation_rule_id"),)
    id: UUID = Field(default_factory=new_id, primary_key=True)
    campaign_id: str = campaign_column()
    unit_id: str = text_column()
    obligation_rule_id: str = text_column()
    label: str = text_column()
    deliverable: str = text_column()
    fulfilled_at: datetime | None = timestamp_column(nullable=True)
    fulfilled_by_name: str | None = optional_text_column()
    document: str | None = optional_text_column()


class Deadline(Base, table=True):
    """One deadline of a case or of an obligation. Instants are UTC; only the database's clock
    decides that they have passed.

    `next_warn_at` is the next warning, NULL if none is left; `later_warns` are those after it.
    `terms` is the JSON of `DeadlineTerms`.
    """

    __tablename__ = "deadlines"
    __table_args__ = (
        one_of("state", DeadlineState),
        CheckConstraint("(case_id is null) <> (obligation_id is null)", name="subject"),
        CheckConstraint("state <> 'lapsed' or lapsed_at is not null", name="lapsed"),
        # Both sweeps read running deadlines only, in order of time: a million deadlines that are
        # far away cost nothing.
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
    case_id: UUID | None = case_column(nullable=True)
    obligation_id: UUID | None = Field(
        None, sa_column=Column(ForeignKey("casework.obligations.id"), nullable=True)
    )
    unit_id: str | None = optional_text_column()
    kind: str = text_column()
    starts_at: datetime = timestamp_column()
    terms: str = text_column()
    due_at: datetime = timestamp_column()
    warn_at: datetime = timestamp_column()
    severe_at: datetime = timestamp_column()
    provisional: bool
    rule_id: str = text_column()
    scheme_version: str = text_column()
    calendar_version: str = text_column()
    state: str = text_column()
    next_warn_at: datetime | None = timestamp_column(nullable=True)
    later_warns: list[datetime] = Field(
        default_factory=list, sa_column=Column(ARRAY(DateTime(timezone=True)), nullable=False)
    )
    warned_at: datetime | None = timestamp_column(nullable=True)
    lapsed_at: datetime | None = timestamp_column(nullable=True)
    ended_at: datetime | None = timestamp_column(nullable=True)

    @property
    def is_running(self) -> bool:
        """The deadline was not due yet when it was last swept."""
        return self.state == DeadlineState.RUNNING

    @property
    def is_active(self) -> bool:
        """The deadline still binds somebody."""
        return self.state in ACTIVE_STATES


ACCESS: Final = {
    "campaigns": CHANGED,
    "units": CHANGED,
    "series": Access(update=("last",)),
    "cases": CHANGED,
    "submissions": Access(update=("decision", "decided_at", "decided_by_name", "opinion")),
    "extensions": CHANGED,
    "suspensions": CHANGED,
    "case_mergers": Access(update=("undone_at",)),
    "obligations": CHANGED,
    "deadlines": CHANGED,
}
"""What may be done to the tables that are not append-only; see `shared.storage.access`."""

AUDITED: Final = (
    Audited("cases", "case.open", subject=("number",)),
    Audited(
        "cases",
        "case.%",
        subject=("number",),
        on="update of state, unit_id, excluded_unit_ids, handler_id, finding",
    ),
    Audited("obligations", "obligation.fulfil", on="update of fulfilled_at"),
    Audited("calendar_amendments", "calendar.amend", subject=("calendar_version",)),
)
"""Changes that need an audit entry; see `shared.storage.audited`."""
