"""What the role of a service may do to each table: the one table that grants are derived from.

A table that is not listed can be read and appended to, and nothing else: no statement of a service
changes or removes its rows. Each `tables.py` lists the exceptions in `ACCESS`. See
docs/decisions/database-roles.md.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Final

EVERY_COLUMN: Final = ("*",)


@dataclass(frozen=True, slots=True)
class Access:
    """What may be done to a table besides reading and appending.

    `update` names the columns that may change; a row can be locked only if one may. `insert` names
    the columns that a new row may set.
    """

    update: tuple[str, ...] = ()
    delete: bool = False
    insert: tuple[str, ...] = EVERY_COLUMN

    def privileges(self) -> list[str]:
        """Return the privileges as `grant` spells them."""
        granted = ["select"]
        granted += _on_columns("insert", self.insert)
        granted += _on_columns("update", self.update)
        if self.delete:
            granted.append("delete")
        return granted


def _on_columns(privilege: str, columns: tuple[str, ...]) -> list[str]:
    if columns in ((), EVERY_COLUMN):
        return [privilege] if columns else []
    names = ", ".join(f'"{column}"' for column in columns)
    return [f"{privilege} ({names})"]


APPEND_ONLY: Final = Access()
READ_ONLY: Final = Access(insert=())
CHANGED: Final = Access(update=EVERY_COLUMN)
"""Rows change and stay."""
CHANGED_AND_DELETED: Final = Access(update=EVERY_COLUMN, delete=True)

CORE_ACCESS: Final[Mapping[str, Access]] = {
    "outbox": Access(update=("published_at", "partition", "log_offset")),
    "aggregates": Access(update=("version",)),
    "inbox": Access(delete=True),
    "aggregate_versions": Access(update=("version",)),
    "buffered_events": Access(update=("resend_requested_at",), delete=True),
    "dead_letters": Access(update=("state", "reason", "detail", "resolved_at", "resolved_by")),
    "log_checkpoints": Access(update=("log_offset", "event_id", "at"), delete=True),
    "idempotency": Access(update=("status", "response"), delete=True),
    "clock_holds": Access(update=("released_at", "released_by")),
    # A decision is made once; a trigger keeps it (APPROVALS_DDL).
    "approvals": Access(
        update=(
            "state",
            "payload",
            "decided_by",
            "decider_name",
            "decided_at",
            "decision_reason",
        )
    ),
    "known_organisations": Access(update=("version", "body")),
    # An entry is sealed once; a trigger keeps its content (AUDIT_DDL).
    "audit": Access(
        update=("position", "leaf_hash", "proof", "sealed_at"),
        insert=("at", "actor", "action", "subject", "details"),
    ),
    "alembic_version": READ_ONLY,
}


def access_of(service: str) -> dict[str, Access]:
    """Return the access to the tables of a service that are not append-only."""
    return {**CORE_ACCESS, **import_module(f"services.{service}.tables").ACCESS}


def grants(schema: str, role: str, tables: Iterable[str], access: Mapping[str, Access]) -> str:
    """Return the statements that give `role` its access to `tables`, and no other."""
    statements = [
        f'revoke all on all tables in schema "{schema}" from "{role}";',
        f'revoke all on all routines in schema "{schema}" from public, "{role}";',
        f'grant usage on schema "{schema}" to "{role}";',
        f'grant usage on all sequences in schema "{schema}" to "{role}";',
        f'grant execute on all routines in schema "{schema}" to "{role}";',
    ]
    for table in sorted(tables):
        privileges = ", ".join(access.get(table, APPEND_ONLY).privileges())
        statements.append(f'grant {privileges} on "{schema}"."{table}" to "{role}";')
    return "\n".join(statements)
