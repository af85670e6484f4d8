"""Columns of the tables in every service's tables.py."""

from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Column, DateTime, Text
from sqlmodel import Field


def timestamp_column(*, nullable: bool = False, index: bool = False) -> Any:
    """Return a column for an aware instant."""
    column = Column(DateTime(timezone=True), nullable=nullable, index=index)
    return Field(default=None, sa_column=column) if nullable else Field(sa_column=column)


def text_column(
    *,
    primary_key: bool = False,
    unique: bool = False,
    default: Any = ...,
) -> Any:
    """Return a text column that is never null."""
    column = Column(Text, primary_key=primary_key, unique=unique or None, nullable=False)
    return Field(default, sa_column=column)


def optional_text_column() -> Any:
    """Return a text column that may be null."""
    return Field(default=None, sa_column=Column(Text))


def bigint_column() -> Any:
    """Return a column for a 64-bit integer."""
    return Field(sa_column=Column(BigInteger, nullable=False))


def identity_column() -> Any:
    """Return a primary key that the database numbers."""
    column = Column(BigInteger, primary_key=True, autoincrement=True)
    return Field(default=None, sa_column=column)


def one_of(column: str, values: type[StrEnum] | tuple[str, ...]) -> CheckConstraint:
    """Return the constraint that `column` holds one of these values."""
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} in ({listed})", name=column)
