"""The tables of scoring. Nobody else reads them.

Context: scores must be the same whatever order events come in, replicas must not wait for each
other, and a score is explained years later. Decision: what happened is kept once and never changed
(`ballots`, `ledger`, partitioned by campaign); `tallies` are sums of the ballots, kept per shard;
`scores` are computed from both and can be thrown away. A score row is one unit under one version of
the rules: a new version gets rows of its own, the old ones stay as they were.
Alternatives: one counter per unit (replicas wait for its lock), marks added up event by event
(order and repetition change them).
"""

from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    SmallInteger,
    Text,
    Uuid,
)
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field, SQLModel

from services.scoring.domain.entries import MEASURES, SOURCE_LABELS
from shared.storage.schema import registry_for


class Base(SQLModel, registry=registry_for("scoring")):
    """Head of scoring's tables."""


def instant(*, nullable: bool = False) -> Any:
    """A column for an aware instant."""
    return Field(
        None if nullable else ..., sa_column=Column(DateTime(timezone=True), nullable=nullable)
    )


def words(default: str | None = "", *, key: bool = False, nullable: bool = False) -> Any:
    """A text column."""
    return Field(
        default if default is not None or nullable else ...,
        sa_column=Column(Text, primary_key=key, nullable=nullable),
    )


def whole(kind: Any, default: Any = ..., *, key: bool = False, nullable: bool = False) -> Any:
    """A column for an integer of this SQL type; a key is given, never drawn."""
    return Field(
        default, sa_column=Column(kind, primary_key=key, nullable=nullable, autoincrement=False)
    )


def exact(*, nullable: bool = True) -> Any:
    """A column for exact points."""
    return Field(None if nullable else ..., sa_column=Column(Numeric, nullable=nullable))


def one_of(column: str, values: tuple[str, ...]) -> CheckConstraint:
    """The column holds one of these words."""
    return CheckConstraint(
        f"{column} in ({', '.join(repr(value) for value in values)})", name=column
    )


# ── campaigns, rules, units ───────────────────────────────────────────────────────────────────────


class Campaign(Base, table=True):
    """评议活动. `revision` grows with every publication, so that a copy in memory knows when it is
    old.

    `shown_to_units_at`: since when each unit head sees the running score of the own unit; None
    while the office keeps it.
    """

    __tablename__ = "campaigns"
    __table_args__ = (CheckConstraint("id ~ '^[A-Za-z0-9][A-Za-z0-9-]{0,39}$'", name="id"),)
    id: str = words(None, key=True)
    title: str = words(None)
    year: int = whole(SmallInteger)
    scheme_id: str = words(None)
    scheme_version: str = words(None)
    revision: int = whole(BigInteger, 1)
    published_at: datetime = instant()
    shown_to_units_at: datetime | None = instant(nullable=True)


class SchemeVersion(Base, table=True):
    """A version of a campaign's rules, whole (`body`: JSON of shared.schemes.Scheme). Never changed
    once published.
    """

    __tablename__ = "schemes"
    campaign_id: str = Field(
        sa_column=Column(Text, ForeignKey("scoring.campaigns.id"), primary_key=True)
    )
    version: str = words(None, key=True)
    fingerprint: str = words(None)
    body: str = words(None)
    published_at: datetime = instant()
    published_by: str = words(None)


class Unit(Base, table=True):
    """参评单位. `unit_no` is its small number on ballots and never changes."""

    __tablename__ = "units"
    __table_args__ = (
        Index("uq_units_unit_no", "campaign_id", "unit_no", unique=True),
        CheckConstraint("unit_no between 1 and 65535", name="unit_no"),
    )
    campaign_id: str = Field(
        sa_column=Column(Text, ForeignKey("scoring.campaigns.id"), primary_key=True)
    )
    unit_id: str = words(None, key=True)
    unit_no: int = whole(Integer)
    name: str = words(None)
    category: str = words(None)
    aliases: list[str] = Field(
        default_factory=list, sa_column=Column(ARRAY(Text), nullable=False, server_default="{}")
    )


class ResponseGroup(Base, table=True):
    """A questionnaire and a group of respondents of one campaign; `id` stands for both in ballots
    and tallies.
    """

    __tablename__ = "response_groups"
    __table_args__ = (
        Index("uq_response_groups_key", "campaign_id", "instrument", "group_key", unique=True),
    )
    id: int | None = Field(None, sa_column=Column(Integer, Identity(always=True), primary_key=True))
    campaign_id: str = Field(
        sa_column=Column(Text, ForeignKey("scoring.campaigns.id"), nullable=False)
    )
    instrument: str = words(None)
    group_key: str = words(None)


# ── what happened ─────────────────────────────────────────────────────────────────────────────────


class Ballot(Base, table=True):
    """测评票, once, packed (`shared.appraisal.ballots.pack`): its own ledger line. `cast_at` is cut to the
    hour before it comes here.
    """

    __tablename__ = "ballots"
    __table_args__ = ({"postgresql_partition_by": "LIST (campaign_id)"},)
    campaign_id: str = words(None, key=True)
    ballot_id: UUID = Field(sa_column=Column(Uuid, primary_key=True))
    response_group_id: int = whole(Integer)
    point: str | None = words(None, nullable=True)
    answers: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    cast_at: datetime = instant()


class LedgerLine(Base, table=True):
    """计分台账: what happened to a unit, by event. See `domain.entries.Entry`, whose fields these
    are.
    """

    __tablename__ = "ledger"
    __table_args__ = (
        one_of("measure", MEASURES),
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
    campaign_id: str = words(None, key=True)
    event_id: UUID = Field(sa_column=Column(Uuid, primary_key=True))
    part: int = whole(SmallInteger, 0, key=True)
    measure: str = words(None)
    subject_id: UUID = Field(sa_column=Column(Uuid, nullable=False))
    version: int = whole(BigInteger)
    occurred_at: datetime = instant()
    unit_no: int | None = whole(Integer, None, nullable=True)
    detail: str = words()
    item: str = words()
    late: bool | None = Field(None, sa_column=Column(Boolean, nullable=True))
    option_no: int | None = whole(SmallInteger, None, nullable=True)
    points: Decimal | None = exact()
    kind: str | None = words(None, nullable=True)
    source_id: UUID | None = Field(None, sa_column=Column(Uuid, nullable=True))
    number: str = words()
    text: str = words()


class Tally(Base, table=True):
    """Answers counted. `shard` keeps replicas apart; only the sum over shards means something."""

    __tablename__ = "tallies"
    response_group_id: int = whole(Integer, key=True)
    unit_no: int = whole(Integer, key=True)
    item_no: int = whole(SmallInteger, key=True)
    option_no: int = whole(SmallInteger, key=True)
    shard: int = whole(SmallInteger, key=True)
    answer_count: int = whole(BigInteger)


class Change(Base, table=True):
    """Units whose score is to be computed again, noted by the transaction that moved them, with the
    ledger's events that did it.

    Only ever inserted and taken away, so that nobody waits for anybody.
    """

    __tablename__ = "changes"
    __table_args__ = (one_of("source", tuple(SOURCE_LABELS)),)
    id: int | None = Field(
        None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    campaign_id: str = words(None)
    shard: int = whole(SmallInteger)
    source: str = words(None)
    unit_nos: list[int] = Field(sa_column=Column(ARRAY(Integer), nullable=False))
    events: list[UUID] = Field(default_factory=list, sa_column=Column(ARRAY(Uuid), nullable=False))


# ── what follows from it ──────────────────────────────────────────────────────────────────────────


class Score(Base, table=True):
    """试算得分 of a unit under one version of the rules. `body`: `domain.score.Score` as JSON, from
    which the other columns are taken.

    `untold`: changed since `told_at`, when it was last said on `scores`. `explanation`: the whole
    explanation as JSON, kept when this version of the rules was superseded.
    """

    __tablename__ = "scores"
    __table_args__ = (
        ForeignKeyConstraint(
            ["campaign_id", "unit_no"], ["scoring.units.campaign_id", "scoring.units.unit_no"]
        ),
        Index("ix_scores_untold", "told_at", postgresql_where=sql("untold")),
    )
    campaign_id: str = words(None, key=True)
    unit_no: int = whole(Integer, key=True)
    scheme_version: str = words(None, key=True)
    total: Decimal | None = exact()
    ranked: bool = Field(False, sa_column=Column(Boolean, nullable=False))
    sample: int = whole(Integer, 0)
    body: str | None = words(None, nullable=True)
    scored_at: datetime | None = instant(nullable=True)
    told_at: datetime | None = instant(nullable=True)
    untold: bool = Field(False, sa_column=Column(Boolean, nullable=False))
    explanation: str | None = words(None, nullable=True)


class Movement(Base, table=True):
    """变动记录: a unit's total moved, by what. Ballots of one day are one line. `events`: the
    ledger's events behind it.
    """

    __tablename__ = "movements"
    __table_args__ = (
        one_of("source", tuple(SOURCE_LABELS)),
        Index("ix_movements_unit", "campaign_id", "unit_no", "id"),
        Index(
            "uq_movements_ballots",
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
    campaign_id: str = words(None)
    unit_no: int = whole(Integer)
    scheme_version: str = words(None)
    day: date
    moved_at: datetime = instant()
    source: str = words(None)
    ballots: int = whole(Integer, 0)
    events: list[UUID] = Field(
        default_factory=list, sa_column=Column(ARRAY(Uuid), nullable=False, server_default="{}")
    )
    before: Decimal | None = exact()
    after: Decimal | None = exact()
    rank_before: int | None = whole(Integer, None, nullable=True)
    rank_after: int | None = whole(Integer, None, nullable=True)


class Outcome(Base, table=True):
    """A unit's final place in a year of a scheme: what a rule that looks back needs (连续两年)."""

    __tablename__ = "outcomes"
    scheme_id: str = words(None, key=True)
    year: int = whole(SmallInteger, key=True)
    unit_id: str = words(None, key=True)
    category: str = words(None)
    total: Decimal | None = exact()
    rank: int | None = whole(Integer, None, nullable=True)
    from_bottom: int | None = whole(Integer, None, nullable=True)
    grade: str | None = words(None, nullable=True)
    recorded_at: datetime = instant()


class Recount(Base, table=True):
    """重放核对: what an independent count of everything stored gave. `differences`: units whose
    running score says something else.
    """

    __tablename__ = "recounts"
    id: UUID = Field(sa_column=Column(Uuid, primary_key=True))
    campaign_id: str = Field(
        sa_column=Column(Text, ForeignKey("scoring.campaigns.id"), nullable=False, index=True)
    )
    scheme_version: str = words(None)
    counted_at: datetime = instant()
    counted_by: str = words(None)
    ballots: int = whole(BigInteger)
    lines: int = whole(BigInteger)
    units: int = whole(Integer)
    digest: str = words(None)
    differences: list[dict[str, Any]] = Field(sa_column=Column(JSONB, nullable=False))
