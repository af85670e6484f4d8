"""An import, and how its importers read the fields of a row."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from services.intake.store.campaigns import KnownCampaign
from shared.appraisal.errors import Rejected
from shared.appraisal.imports import MappedRow, RowMapping, Table
from shared.security.policies import Account
from shared.storage.transaction import Transaction

Choice = TypeVar("Choice", bound=StrEnum)
RejectedRow = tuple[MappedRow, Rejected]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportJob:
    """A file to import through a mapping into a campaign. `dry_run` checks and writes nothing."""

    table: Table
    mapping: RowMapping
    campaign_id: str
    dry_run: bool
    by: Account

    @property
    def total(self) -> int:
        return len(self.table.rows)

    @property
    def source(self) -> str:
        """The name under which imported rows are recorded."""
        return f"{self.campaign_id}/{self.mapping.kind}/{self.mapping.source}"

    def id_source(self, key: object) -> str:
        """The text that the id of an imported record is derived from."""
        return f"fengping/import/{self.campaign_id}/{self.mapping.source}/{key}"


Importer = Callable[[Transaction, ImportJob, Sequence[MappedRow]], Awaitable[list[RejectedRow]]]
"""Imports new rows and returns those it rejects."""


def choice_of(
    choices: type[Choice],
    row: MappedRow,
    name: str,
    default: Choice,
) -> Choice:
    """Return a field as a member of an enum. Raises Rejected (422)."""
    text = row.text(name)
    try:
        return choices(text) if text else default
    except ValueError as error:
        sentence = f"只能是 {'、'.join(choices)} 之一，请在映射文件中写明对应关系"
        raise Rejected(sentence, status=422, field=name) from error


def unit_of(row: MappedRow, campaign: KnownCampaign) -> str | None:
    """Return the unit of a row, given by id (`unit_id`) or by name or alias (`unit`), or None.

    Raises Rejected (422) for a unit that is unknown or ambiguous.
    """
    unit_id = row.text("unit_id")
    if unit_id:
        return campaign.unit(unit_id).unit_id
    name = row.text("unit")
    return campaign.unit_named(name).unit_id if name else None
