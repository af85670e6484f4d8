"""The base of casework's tables, and the reference data that its cases refer to."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Identity, Text
from sqlmodel import Field, SQLModel

from services.casework.domain.calendar import AmendmentKind
from shared.storage.columns import text_column, timestamp_column
from shared.storage.schema import registry_for


class Base(SQLModel, registry=registry_for("casework")):
    """Base class of casework's tables."""


def case_column(*, nullable: bool = False) -> Any:
    """A foreign key to the case that a row belongs to."""
    default = None if nullable else ...
    return Field(default, sa_column=Column(ForeignKey("casework.cases.id"), nullable=nullable))


def campaign_column(*, primary_key: bool = False) -> Any:
    """A foreign key to the campaign that a row belongs to."""
    column = Column(
        Text, ForeignKey("casework.campaigns.id"), nullable=False, primary_key=primary_key
    )
    return Field(sa_column=column)


def identity_column() -> Any:
    """A primary key that the database generates."""
    return Field(None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True))


def one_of(column: str, values: Iterable[str]) -> CheckConstraint:
    """A constraint that the column holds one of these values."""
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} in ({listed})", name=column)


# ── reference data ────────────────────────────────────────────────────────────────────────────────


class Campaign(Base, table=True):
    """评议活动 as scoring last published it, with its scheme."""

    __tablename__ = "campaigns"
    id: str = text_column(primary_key=True)
    title: str = text_column()
    year: int
    scheme: str = text_column()
    scheme_version: str = text_column()
    published_at: datetime = timestamp_column()


class RegisteredUnit(Base, table=True):
    """A unit of a campaign's register. `listed` is false once a later register drops the unit; its
    cases remain.
    """

    __tablename__ = "units"
    campaign_id: str = campaign_column(primary_key=True)
    unit_id: str = text_column(primary_key=True)
    unit_no: int
    name: str = text_column()
    category: str = text_column()
    listed: bool


class CalendarAmendment(Base, table=True):
    """An imported holiday arrangement. The calendar in force is the shipped one with these applied
    in order.
    """

    __tablename__ = "calendar_amendments"
    __table_args__ = (one_of("kind", AmendmentKind),)
    id: int | None = identity_column()
    kind: str = text_column()
    year: int
    source: str = text_column()
    content: str = text_column()
    calendar_version: str = text_column()
    imported_at: datetime = timestamp_column()
    imported_by: str = text_column()


class CaseNumberSeries(Base, table=True):
    """The last case number of a year. Opening cases locks the row, so numbers have no gaps."""

    __tablename__ = "series"
    year: int = Field(primary_key=True)
    last: int = Field(sa_column=Column(BigInteger, nullable=False))
