"""The tables of the register of organisations (机构名册)."""

from datetime import date, datetime

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    Index,
    SmallInteger,
    Text,
)
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import Field

from services.scoring.tables.base import (
    Base,
    check_in,
    int_column,
    text_column,
    timestamp_column,
)
from shared.appraisal.labels import (
    OrganisationKind,
    OrganisationLevel,
    OrganisationState,
    SuccessionKind,
)


class OrganisationRecord(Base, table=True):
    """机构名册: a body, once and for all campaigns. Its id comes from `organisation_ids`."""

    __tablename__ = "organisations"
    __table_args__ = (
        check_in("state", tuple(OrganisationState)),
        check_in("kind", tuple(OrganisationKind)),
        check_in("level", tuple(OrganisationLevel)),
    )
    id: str = text_column(None, key=True)
    official_code: str | None = Field(None, sa_column=Column(Text, nullable=True, unique=True))
    kind: str = text_column(None)
    level: str = text_column(None)
    parent_id: str | None = Field(
        None,
        sa_column=Column(Text, ForeignKey("scoring.organisations.id"), nullable=True, index=True),
    )
    aliases: list[str] = Field(
        default_factory=list, sa_column=Column(ARRAY(Text), nullable=False, server_default="{}")
    )
    state: str = text_column(None)
    ended_on: date | None = None
    recorded_at: datetime = timestamp_column()


class OrganisationNameRecord(Base, table=True):
    """A name of a body. `position` counts from 1, the highest is the current one."""

    __tablename__ = "organisation_names"
    organisation_id: str = Field(
        sa_column=Column(Text, ForeignKey("scoring.organisations.id"), primary_key=True)
    )
    position: int = int_column(SmallInteger, key=True)
    name: str = text_column(None)
    valid_from: date | None = None


class OrganisationSuccession(Base, table=True):
    """The predecessor ended and became the successor."""

    __tablename__ = "organisation_successions"
    __table_args__ = (
        check_in("kind", tuple(SuccessionKind)),
        Index(
            "uq_organisation_successions_heir",
            "predecessor_id",
            unique=True,
            postgresql_where=sql("takes_over"),
        ),
    )
    predecessor_id: str = Field(
        sa_column=Column(Text, ForeignKey("scoring.organisations.id"), primary_key=True)
    )
    successor_id: str = Field(
        sa_column=Column(Text, ForeignKey("scoring.organisations.id"), primary_key=True)
    )
    kind: str = text_column(None)
    takes_over: bool = Field(sa_column=Column(Boolean, nullable=False))
