"""The tables of scoring. No other service reads them.

Context: scores must not depend on the order of events, replicas must not wait for each other, and a
score must be explainable years later.
Decision: events are stored once and never changed (`ballots`, `ledger`, partitioned by campaign).
`tallies` are sums of the ballots, one row per shard. `scores` are computed from both and can be
rebuilt. A score row is one unit under one version of the rules; a new version inserts its own rows.
Alternatives: one counter per unit (replicas wait for its lock), marks added up event by event
(order and repetition change them).
"""

from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    Uuid,
)
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field

from services.scoring.domain.ledger import ScoreSource
from services.scoring.tables.base import (
    Base,
    check_in,
    int_column,
    numeric_column,
    text_column,
    timestamp_column,
)
from services.scoring.tables.organisations import (
    OrganisationNameRecord,
    OrganisationRecord,
    OrganisationSuccession,
)
from shared.storage.access import CHANGED, CHANGED_AND_DELETED, Access
from shared.storage.audited import Audited

__all__ = [
    "Base",
    "OrganisationNameRecord",
    "OrganisationRecord",
    "OrganisationSuccession",
]

# ── campaigns, rules, units ───────────────────────────────────────────────────────────────────────


class CampaignRecord(Base, table=True):
    """评议活动. `revision` grows with every publication; cached copies of a lower one are stale.

    `shown_to_units_at`: since when unit heads see the running score of their own unit.
    `last_unit_no`: the highest number that a unit ever had; numbers are not used twice.
    """

    __tablename__ = "campaigns"
    __table_args__ = (CheckConstraint("id ~ '^[A-Za-z0-9][A-Za-z0-9-]{0,39}$'", name="id"),)
    id: str = text_column(None, key=True)
    title: str = text_column(None)
    year: int = int_column(SmallInteger)
    scheme_id: str = text_column(None)
    scheme_version: str = text_column(None)
    revision: int = int_column(BigInteger, 1)
    published_at: datetime = timestamp_column()
    shown_to_units_at: datetime | None = timestamp_column(nullable=True)
    last_unit_no: int = int_column(Integer, 0)


class SchemeVersion(Base, table=True):
    """A published version of a campaign's rules. `body`: JSON of its `Scheme`. Never changed."""

    __tablename__ = "schemes"
    campaign_id: str = Field(
        sa_column=Column(Text, ForeignKey("scoring.campaigns.id"), primary_key=True)
    )
    version: str = text_column(None, key=True)
    fingerprint: str = text_column(None)
    body: str = text_column(None)
    published_at: datetime = timestamp_column()
    published_by: str = text_column(None)


class EnrolledUnit(Base, table=True):
    """参评单位: an organisation that takes part. `unit_no`: its number on ballots, never changed.

    `name` and `aliases` are those of the register while the campaign runs.
    """

    __tablename__ = "units"
    __table_args__ = (
        Index("uq_units_unit_no", "campaign_id", "unit_no", unique=True),
        CheckConstraint("unit_no between 1 and 65535", name="unit_no"),
    )
    campaign_id: str = Field(
        sa_column=Column(Text, ForeignKey("scoring.campaigns.id"), primary_key=True)
    )
    unit_id: str = Field(
        sa_column=Column(Text, ForeignKey("scoring.organisations.id"), primary_key=True, index=True)
    )
    unit_no: int = int_column(Integer)
    name: str = text_column(None)
    category: str = text_column(None)
    aliases: list[str] = Field(
        default_factory=list, sa_column=Column(ARRAY(Text), nullable=False, server_default="{}")
    )


class ResponseGroup(Base, table=True):
    """A questionnaire with a group of respondents; `id` stands for both in ballots and tallies."""

    __tablename__ = "response_groups"
    __table_args__ = (
        Index("uq_response_groups_key", "campaign_id", "instrument", "group_key", unique=True),
    )
    id: int | None = Field(None, sa_column=Column(Integer, Identity(always=True), primary_key=True))
    campaign_id: str = Field(
        sa_column=Column(Text, ForeignKey("scoring.campaigns.id"), nullable=False)
    )
    instrument: str = text_column(None)
    group_key: str = text_column(None)


# ── events ─────────────────────────────────────────────────────────────────────────────────


class CountedBallot(Base, table=True):
    """测评票. `answers`: packed by `shared.appraisal.ballots`. No time of the vote is known."""

    __tablename__ = "ballots"
    __table_args__ = ({"postgresql_partition_by": "LIST (campaign_id)"},)
    campaign_id: str = text_column(None, key=True)
    ballot_id: UUID = Field(sa_column=Column(Uuid, primary_key=True))
    response_group_id: int = int_column(Integer)
    answers: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    released_hour: datetime = timestamp_column()


class ReversalRecord(Base, table=True):
    """作废: reverses a ballot, which stays where it is; it may be stored before the ballot.

    `integrity_event_id`: the event that two people decided.
    """

    __tablename__ = "voided_ballots"
    campaign_id: str = text_column(None, key=True)
    ballot_id: UUID = Field(sa_column=Column(Uuid, primary_key=True))
    integrity_event_id: UUID = Field(sa_column=Column(Uuid, nullable=False, index=True))


class IntegrityRecord(Base, table=True):
    """疑似异常 of intake: why ballots are held or void, and who decided. Held until `ended_at`."""

    __tablename__ = "integrity_events"
    __table_args__ = (Index("ix_integrity_events_of_campaign", "campaign_id"),)
    id: UUID = Field(sa_column=Column(Uuid, primary_key=True))
    campaign_id: str = text_column(None)
    instrument: str = text_column()
    group_key: str = text_column()
    kind: str = text_column()
    ballots: int = int_column(Integer, 0)
    held_at: datetime | None = timestamp_column(nullable=True)
    verdict: str | None = text_column(None, nullable=True)
    reason: str = text_column()
    proposed_by: UUID | None = Field(None, sa_column=Column(Uuid, nullable=True))
    decided_by: UUID | None = Field(None, sa_column=Column(Uuid, nullable=True))
    ended_at: datetime | None = timestamp_column(nullable=True)


class LedgerRecord(Base, table=True):
    """计分台账: a `domain.ledger.LedgerEntry`, column by column.

    `measure` is a key of `domain.ledger.MEASURES`. No constraint repeats them: a new measure would
    have to check every entry of every campaign.
    """

    __tablename__ = "ledger"
    __table_args__ = (
        Index("ix_ledger_unit", "campaign_id", "unit_no"),
        Index("ix_ledger_subject", "campaign_id", "subject_id"),
        Index(
            "ix_ledger_source",
            "campaign_id",
            "source_id",
            postgresql_where=sql("source_id is not null"),
        ),
        {"postgresql_partition_by": "LIST (campaign_id)"},
    )
    campaign_id: str = text_column(None, key=True)
    event_id: UUID = Field(sa_column=Column(Uuid, primary_key=True))
    part: int = int_column(SmallInteger, 0, key=True)
    measure: str = text_column(None)
    subject_id: UUID = Field(sa_column=Column(Uuid, nullable=False))
    version: int = int_column(BigInteger)
    occurred_at: datetime = timestamp_column()
    unit_no: int | None = int_column(Integer, None, nullable=True)
    detail: str = text_column()
    item: str = text_column()
    late: bool | None = Field(None, sa_column=Column(Boolean, nullable=True))
    option_no: int | None = int_column(SmallInteger, None, nullable=True)
    points: Decimal | None = numeric_column()
    kind: str | None = text_column(None, nullable=True)
    source_id: UUID | None = Field(None, sa_column=Column(Uuid, nullable=True))
    number: str = text_column()
    text: str = text_column()


class AnswerTally(Base, table=True):
    """Answers counted by one shard; only the sum over the shards is meaningful."""

    __tablename__ = "tallies"
    response_group_id: int = int_column(Integer, key=True)
    unit_no: int = int_column(Integer, key=True)
    item_no: int = int_column(SmallInteger, key=True)
    option_no: int = int_column(SmallInteger, key=True)
    shard: int = int_column(SmallInteger, key=True)
    answer_count: int = int_column(BigInteger)


class PendingRescore(Base, table=True):
    """Units to score again, and the ledger events that changed them.

    Rows are only inserted and deleted, so that no transaction waits for another.
    """

    __tablename__ = "pending_rescores"
    __table_args__ = (check_in("source", tuple(ScoreSource)),)
    id: int | None = Field(
        None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    campaign_id: str = text_column(None)
    shard: int = int_column(SmallInteger)
    source: str = text_column(None)
    unit_nos: list[int] = Field(sa_column=Column(ARRAY(Integer), nullable=False))
    events: list[UUID] = Field(default_factory=list, sa_column=Column(ARRAY(Uuid), nullable=False))


# ── results ──────────────────────────────────────────────────────────────────────────


class RunningScore(Base, table=True):
    """试算得分 of a unit under one version of the rules.

    `body`: JSON of `domain.score.UnitScore`, from which the other columns are taken.
    `unpublished`: changed since `published_at`, when it was last published on `scores`.
    `explanation`: JSON of the `Explanation`, stored when these rules were superseded.
    """

    __tablename__ = "scores"
    __table_args__ = (
        ForeignKeyConstraint(
            ["campaign_id", "unit_no"], ["scoring.units.campaign_id", "scoring.units.unit_no"]
        ),
        Index("ix_scores_unpublished", "published_at", postgresql_where=sql("unpublished")),
    )
    campaign_id: str = text_column(None, key=True)
    unit_no: int = int_column(Integer, key=True)
    scheme_version: str = text_column(None, key=True)
    total: Decimal | None = numeric_column()
    ranked: bool = Field(False, sa_column=Column(Boolean, nullable=False))
    sample: int = int_column(Integer, 0)
    body: str | None = text_column(None, nullable=True)
    scored_at: datetime | None = timestamp_column(nullable=True)
    published_at: datetime | None = timestamp_column(nullable=True)
    unpublished: bool = Field(False, sa_column=Column(Boolean, nullable=False))
    explanation: str | None = text_column(None, nullable=True)


class ScoreChangeRecord(Base, table=True):
    """变动记录: a change of a unit's total. Ballots of one day are one row.

    `events`: the ledger events behind it.
    """

    __tablename__ = "score_changes"
    __table_args__ = (
        check_in("source", tuple(ScoreSource)),
        Index("ix_score_changes_unit", "campaign_id", "unit_no", "id"),
        Index(
            "uq_score_changes_ballots",
            "campaign_id",
            "unit_no",
            "scheme_version",
            "day",
            unique=True,
            postgresql_where=sql("source = 'ballot'"),
        ),
    )
    id: int | None = Field(
        None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    campaign_id: str = text_column(None)
    unit_no: int = int_column(Integer)
    scheme_version: str = text_column(None)
    day: date
    changed_at: datetime = timestamp_column()
    source: str = text_column(None)
    ballots: int = int_column(Integer, 0)
    events: list[UUID] = Field(
        default_factory=list, sa_column=Column(ARRAY(Uuid), nullable=False, server_default="{}")
    )
    before: Decimal | None = numeric_column()
    after: Decimal | None = numeric_column()
    rank_before: int | None = int_column(Integer, None, nullable=True)
    rank_after: int | None = int_column(Integer, None, nullable=True)


class CampaignOutcome(Base, table=True):
    """A unit's final result in one year of a scheme, for rules that look back (连续两年).

    Never changed: a correction is the next `line`, and `reason` says why.
    """

    __tablename__ = "outcomes"
    scheme_id: str = text_column(None, key=True)
    year: int = int_column(SmallInteger, key=True)
    unit_id: str = Field(
        sa_column=Column(Text, ForeignKey("scoring.organisations.id"), primary_key=True, index=True)
    )
    line: int = int_column(SmallInteger, key=True)
    category: str = text_column(None)
    total: Decimal | None = numeric_column()
    rank: int | None = int_column(Integer, None, nullable=True)
    from_bottom: int | None = int_column(Integer, None, nullable=True)
    grade: str | None = text_column(None, nullable=True)
    recorded_at: datetime = timestamp_column()
    reason: str = text_column(None)


class Recount(Base, table=True):
    """重放核对: the result of an independent recount.

    `differences`: units whose running score contradicts it.
    """

    __tablename__ = "recounts"
    id: UUID = Field(sa_column=Column(Uuid, primary_key=True))
    campaign_id: str = Field(
        sa_column=Column(Text, ForeignKey("scoring.campaigns.id"), nullable=False, index=True)
    )
    scheme_version: str = text_column(None)
    counted_at: datetime = timestamp_column()
    counted_by: str = text_column(None)
    ballots: int = int_column(BigInteger)
    lines: int = int_column(BigInteger)
    units: int = int_column(Integer)
    digest: str = text_column(None)
    differences: list[dict[str, Any]] = Field(sa_column=Column(JSONB, nullable=False))


ACCESS: Final = {
    "campaigns": CHANGED,
    "units": CHANGED_AND_DELETED,
    "organisations": CHANGED_AND_DELETED,
    "organisation_names": CHANGED_AND_DELETED,
    "tallies": Access(update=("answer_count",)),
    "integrity_events": CHANGED,
    "pending_rescores": CHANGED_AND_DELETED,
    "scores": CHANGED_AND_DELETED,
    "score_changes": CHANGED_AND_DELETED,
}
"""What may be done to the tables that are not append-only; see `shared.storage.access`."""

AUDITED: Final = (
    Audited("campaigns", "campaign.%", on="insert or update of revision, shown_to_units_at"),
    Audited("schemes", "campaign.%", subject=("campaign_id",)),
    Audited("units", "campaign.%", subject=("campaign_id",), on="insert or update or delete"),
    Audited("organisations", "organisation.%", on="insert or update or delete"),
    Audited(
        "organisation_names",
        "organisation.%",
        subject=("organisation_id",),
        on="insert or update or delete",
    ),
    Audited("organisation_successions", "organisation.%", subject=("predecessor_id",)),
    Audited("ledger", "score.%", subject=("subject_id",), when="new.measure = 'decision'"),
    Audited(
        "outcomes",
        "outcomes.recorded",
        subject=("scheme_id", "year"),
        on="insert or update or delete",
    ),
    Audited("recounts", "score.recounted", subject=("campaign_id",)),
)
"""Changes that need an audit entry; see `shared.storage.audited`."""
