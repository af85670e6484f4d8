"""A temporary database on disk: archives are larger than memory."""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from shared.verifier.facts import COLUMNS, Line
from shared.verifier.recount import LATEST_ONLY

CACHE_KIB = 65_536
BATCH_MAX = 2_000
SOURCES = ("sealed", "intake", "scoring")
BallotRow = tuple[str, str, int]
"""(id, everything else as text, whether its event is sealed)."""

_BALLOT_TABLES = ("ballots_", "voided_")
_COLUMNS = ", ".join(COLUMNS)
_LATEST = ", ".join(f"'{measure}'" for measure in sorted(LATEST_ONLY))
_SCHEMA = f"""
pragma journal_mode = off;
pragma synchronous = off;
pragma cache_size = -{CACHE_KIB};
create table ballots_sealed (id text primary key, facts text, is_sealed int) without rowid;
create table ballots_intake (id text primary key, facts text, is_sealed int) without rowid;
create table ballots_scoring (id text primary key, facts text, is_sealed int) without rowid;
create table voided_sealed (id text primary key, facts text, is_sealed int) without rowid;
create table voided_intake (id text primary key, facts text, is_sealed int) without rowid;
create table voided_scoring (id text primary key, facts text, is_sealed int) without rowid;
create table facts ({_COLUMNS}, is_sealed, primary key (event_id, part));
create table ledger ({_COLUMNS}, is_sealed, primary key (event_id, part));
create index facts_of_subject on facts (subject_id, version);
create index facts_of_unit on facts (unit_no);
create index facts_of_source on facts (source_id) where measure = 'case_closed';
"""
_CURRENT = f"""
not (f.measure in ({_LATEST}) and exists (
  select 1 from facts n where n.subject_id = f.subject_id and n.version > f.version
    and n.measure in ({_LATEST})))
"""
_ROWS_OF_UNIT = f"""
select {", ".join("f." + column for column in COLUMNS if column != "kind")},
  (select o.kind from facts o where o.subject_id = f.subject_id and o.measure = 'case_opened')
    as kind
from facts f
where {_CURRENT} and (
  (f.unit_no = :unit and f.measure <> 'rated')
  or (f.measure = 'rated' and exists (
    select 1 from facts c where c.measure = 'case_closed' and c.source_id = f.subject_id
      and c.unit_no = :unit)))
"""


class Staging:
    """Ballots by source, ledger lines as they must be and as they are. Close it after use."""

    def __init__(self, folder: Path) -> None:
        self._database = sqlite3.connect(folder / "staging.sqlite", isolation_level=None)
        self._database.row_factory = sqlite3.Row
        self._database.executescript(_SCHEMA)
        self._database.execute("begin")

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def add_ballots(self, source: str, rows: Iterable[BallotRow]) -> int:
        """Add ballots; return how many ids came twice."""
        return self._add(f"ballots_{source}", rows)

    def add_voided(self, source: str, rows: Iterable[BallotRow]) -> int:
        """Add reversals of ballots, with the id of their decision; return how many came twice."""
        return self._add(f"voided_{source}", rows)

    def _add(self, table: str, rows: Iterable[BallotRow]) -> int:
        statement = f"insert or ignore into {table} values (?, ?, ?)"
        twice = 0
        for row in rows:
            twice += 1 - self._database.execute(statement, row).rowcount
        return twice

    def add_lines(
        self,
        table: str,
        lines: Iterable[Line],
        *,
        sealed: bool = True,
    ) -> None:
        """Add ledger lines to `facts` or `ledger`."""
        marks = ", ".join("?" for _ in COLUMNS)
        statement = f"insert or ignore into {table} values ({marks}, ?)"
        for line in lines:
            self._database.execute(statement, (*line, sealed))

    def missing(self, table: str, other: str) -> Iterator[tuple[str, bool]]:
        """Yield (id, is_sealed) of the rows of `table` that `other` does not have."""
        key = _key(table)
        joined = " and ".join(f"o.{column} = t.{column}" for column in key)
        name = " || '/' || ".join(f"t.{column}" for column in key)
        yield from self._database.execute(
            f"select {name} as id, t.is_sealed from {table} t "
            f"where not exists (select 1 from {other} o where {joined}) order by 1"
        )

    def different(self, table: str, other: str) -> Iterator[tuple[str, list[str]]]:
        """Yield (id, columns that differ) of the rows that both tables have."""
        key = _key(table)
        values = [column for column in _values(table) if column not in key]
        joined = " and ".join(f"o.{column} = t.{column}" for column in key)
        tests = {column: _differs(column) for column in values}
        differs = " or ".join(tests.values())
        flags = ", ".join(f"{test} as {column}" for column, test in tests.items())
        name = " || '/' || ".join(f"t.{column}" for column in key)
        rows = self._database.execute(
            f"select {name} as id, {flags} from {table} t join {other} o on {joined} "
            f"where {differs} order by 1"
        )
        for row in rows:
            id, *flags = row
            yield id, [column for column, flag in zip(values, flags, strict=True) if flag]

    def rows_of_unit(self, unit_no: int) -> list[dict[str, Any]]:
        """Return the current ledger lines of a unit, with the kind of their case."""
        rows = self._database.execute(_ROWS_OF_UNIT, {"unit": unit_no})
        return [dict(row) for row in rows]

    def scoring_ballots(self) -> Iterator[list[Any]]:
        """Yield what scoring stores of each ballot that counts."""
        query = "select facts from ballots_scoring where id not in (select id from voided_scoring)"
        for (facts,) in self._database.execute(query):
            yield json.loads(facts)

    def void_ballots(self) -> Iterator[list[Any]]:
        """Yield the facts of each sealed ballot that is void."""
        query = "select facts from ballots_sealed where id in (select id from voided_sealed)"
        for (facts,) in self._database.execute(query):
            yield json.loads(facts)


def _differs(column: str) -> str:
    """Return the test of a column; a text that is not known is not compared."""
    test = f"t.{column} is not o.{column}"
    return f"(t.text is not null and {test})" if column == "text" else f"({test})"


def _key(table: str) -> tuple[str, ...]:
    return ("id",) if table.startswith(_BALLOT_TABLES) else ("event_id", "part")


def _values(table: str) -> tuple[str, ...]:
    return ("facts",) if table.startswith(_BALLOT_TABLES) else COLUMNS
