"""Changes that the database refuses without an audit entry: the table that triggers are made from.

Context: an action writes its entry beside the change. One that forgets it, or a statement by hand,
would change an account or a case without a trace.
Decision: each `tables.py` lists the changes in `AUDITED`. A trigger for each, deferred to the
commit, looks for an entry of this transaction about this row. The triggers belong to the owner of
the schema, so that a service cannot disable them. An entry carries the id of its transaction, which
the service's role cannot set.
Consequences: a change costs one look into a small index; a new kind of change is one line.
"""

import hashlib
from dataclasses import dataclass
from importlib import import_module
from typing import Final

import asyncpg

from shared.storage.roles import owner_role

PREFIX: Final = "audited_"
"""Of the names of these triggers and their functions."""


@dataclass(frozen=True, slots=True)
class Audited:
    """A change of a row that needs an audit entry in its transaction.

    `action` is a pattern of `like`. The entry's subject is the value of `subject`, of several
    columns joined by a hyphen; without columns any subject will do. `on` is as in `create
    trigger`, `when` a condition on `new` and `old`.
    """

    table: str
    action: str
    subject: tuple[str, ...] = ("id",)
    on: str = "insert"
    when: str = "true"

    @property
    def name(self) -> str:
        """The name of its trigger, which changes with its definition."""
        content = "|".join((self.action, *self.subject, self.on, self.when, _DEFINITION))
        digest = hashlib.sha256(content.encode()).hexdigest()[:8]
        return f"{PREFIX}{self.table}_{digest}"

    def definition(self, schema: str) -> str:
        """Return the statements that create the trigger and its function."""
        columns = ", ".join(f'changed."{column}"' for column in self.subject)
        return _DEFINITION.format(
            schema=schema,
            table=self.table,
            name=self.name,
            on=self.on,
            when=self.when,
            action=self.action,
            subject=f"subject = concat_ws('-', {columns})" if columns else "true",
        )


# Deferred: the transaction writes its audit entries last.
_DEFINITION: Final = """
create function "{schema}"."{name}"() returns trigger language plpgsql as $$
declare
  changed record;
begin
  if tg_op = 'DELETE' then changed := old; else changed := new; end if;
  if not exists (
    select from "{schema}".audit where position is null
      and transaction_id = pg_current_xact_id() and action like '{action}' and {subject}
  ) then
    raise exception using errcode = 'integrity_constraint_violation',
      message = 'a change of {schema}.{table} needs an audit entry {action}';
  end if;
  return null;
end $$;
create constraint trigger "{name}" after {on} on "{schema}"."{table}"
  deferrable initially deferred for each row when ({when})
  execute function "{schema}"."{name}"();
"""

CORE_AUDITED: Final = (
    Audited("approvals", "approval.%", subject=("subject",), on="insert or update of state"),
    # A consumer that meets a record again makes it pending again; only people resolve it.
    Audited(
        "dead_letters",
        "dead_letter.%",
        on="update of state",
        when="new.state <> 'pending'",
    ),
    Audited("clock_holds", "clock.released", subject=(), on="update of released_at"),
)


def audited_changes(service: str) -> tuple[Audited, ...]:
    """Return the changes of a service's tables that need an audit entry."""
    own: tuple[Audited, ...] = import_module(f"services.{service}.tables").AUDITED
    return CORE_AUDITED + own


async def require_audit_entries(connection: asyncpg.Connection, service: str) -> None:
    """Create the triggers that are missing in a service's schema, and drop those of earlier tables.

    Repeat it after changes of the tables. It locks only tables whose triggers change.
    """
    present = {name for (name,) in await connection.fetch(_TABLES, service)}
    existing = {name for (name,) in await connection.fetch(_FUNCTIONS, service, PREFIX)}
    changes = [change for change in audited_changes(service) if change.table in present]
    wanted = {change.name for change in changes}
    missing = [change for change in changes if change.name not in existing]
    dropped = [f'drop function "{service}"."{name}" cascade;' for name in existing - wanted]
    statements = [*dropped, *(change.definition(service) for change in missing)]
    if not statements:
        return
    async with connection.transaction():
        await connection.execute(f'set local role "{owner_role(service)}"')
        await connection.execute("".join(statements))


_TABLES: Final = "select tablename as name from pg_tables where schemaname = $1"
_FUNCTIONS: Final = """
select proname as name from pg_proc p join pg_namespace n on n.oid = p.pronamespace
where n.nspname = $1 and starts_with(proname, $2)
"""
