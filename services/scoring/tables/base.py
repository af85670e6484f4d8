"""The base class and the columns of scoring's tables."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    Column,
    DateTime,
    Numeric,
    Text,
)
from sqlmodel import Field, SQLModel

from shared.storage.schema import registry_for


class Base(SQLModel, registry=registry_for("scoring")):
    """Base class of scoring's tables."""


def timestamp_column(*, nullable: bool = False) -> Any:
    """A timestamp with time zone."""
    return Field(
        None if nullable else ..., sa_column=Column(DateTime(timezone=True), nullable=nullable)
    )


def text_column(
    default: str | None = "",
    *,
    key: bool = False,
    nullable: bool = False,
) -> Any:
    """A text column."""
    return Field(
        default if default is not None or nullable else ...,
        sa_column=Column(Text, primary_key=key, nullable=nullable),
    )


def int_column(
    kind: Any,
    default: Any = ...,
    *,
    key: bool = False,
    nullable: bool = False,
) -> Any:
    """An integer column of this SQL type, without a sequence."""
    return Field(
        default, sa_column=Column(kind, primary_key=key, nullable=nullable, autoincrement=False)
    )


def numeric_column(*, nullable: bool = True) -> Any:
    """A numeric column."""
    return Field(None if nullable else ..., sa_column=Column(Numeric, nullable=nullable))


def check_in(column: str, values: Sequence[str]) -> CheckConstraint:
    """The column holds one of these values."""
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} in ({listed})", name=column)
