"""Edits that the owner of the database can make, with what a verifier must name.

Each takes a connection and a random generator, changes the database, and returns words of which a
difference must contain one.
"""

import json
from collections.abc import Awaitable, Callable
from random import Random
from uuid import uuid4

from asyncpg import Connection

from tests.scoring.factories import CAMPAIGN

Edit = Callable[[Connection, Random], Awaitable[str]]
EDITS: dict[str, list[Edit]] = {}
BALLOT_TABLES = {"intake": "id", "scoring": "ballot_id"}
OF_BALLOT = "type = 'ballots.released.v1' and convert_from(body, 'UTF8') like '%' || $1 || '%'"
"""SQL: the event that released the ballot $1."""
SERVICES = ("intake", "casework", "scoring")


def edit(kind: str) -> Callable[[Edit], Edit]:
    """Register an edit of a kind."""

    def register(function: Edit) -> Edit:
        EDITS.setdefault(kind, []).append(function)
        return function

    return register


async def one(db: Connection, rng: Random, query: str, *arguments) -> dict:
    rows = await db.fetch(query, *arguments)
    return dict(rows[rng.randrange(len(rows))])


async def some_ballot(db: Connection, rng: Random) -> dict:
    return await one(db, rng, "select * from scoring.ballots order by ballot_id")


def other_answers(packed: bytes, rng: Random) -> bytes:
    """The ballot with another option in one answer."""
    changed = bytearray(packed)
    at = 4 * rng.randrange(len(packed) // 4) + 3
    changed[at] = 1 if changed[at] != 1 else 3
    return bytes(changed)


# ── ballots ───────────────────────────────────────────────────────────────────────────────────────


@edit("edit")
async def ballot_in_one_table(db: Connection, rng: Random) -> str:
    ballot = await some_ballot(db, rng)
    schema = rng.choice(list(BALLOT_TABLES))
    await db.execute(
        f"update {schema}.ballots set answers = $2 where {BALLOT_TABLES[schema]} = $1",
        ballot["ballot_id"],
        other_answers(ballot["answers"], rng),
    )
    return str(ballot["ballot_id"])


@edit("both")
async def ballot_in_both_tables(db: Connection, rng: Random) -> str:
    ballot = await some_ballot(db, rng)
    answers = other_answers(ballot["answers"], rng)
    for schema, key in BALLOT_TABLES.items():
        await db.execute(
            f"update {schema}.ballots set answers = $2 where {key} = $1",
            ballot["ballot_id"],
            answers,
        )
    return str(ballot["ballot_id"])


@edit("both")
async def ballot_with_its_event(db: Connection, rng: Random) -> str:
    """Both tables, the event and its hash are changed alike: only the signed root contradicts."""
    ballot = await some_ballot(db, rng)
    await ballot_in_both_tables(db, rng)
    row = await db.fetchrow(
        f"select event_id, body from intake.outbox where {OF_BALLOT}", str(ballot["ballot_id"])
    )
    body = json.loads(row["body"])
    [given] = body["ballots"]
    given["answers"][0][2] = 1 if given["answers"][0][2] != 1 else 3
    packed = json.dumps(body, separators=(",", ":")).encode()
    await db.execute(
        "update intake.outbox set body = $2 where event_id = $1", row["event_id"], packed
    )
    return str(row["event_id"])


@edit("delete")
async def ballot_removed(db: Connection, rng: Random) -> str:
    ballot = await some_ballot(db, rng)
    for schema in rng.choice([["intake"], ["scoring"], ["intake", "scoring"]]):
        await db.execute(
            f"delete from {schema}.ballots where {BALLOT_TABLES[schema]} = $1", ballot["ballot_id"]
        )
    return str(ballot["ballot_id"])


@edit("delete")
async def ballot_removed_with_its_event(db: Connection, rng: Random) -> str:
    ballot = await some_ballot(db, rng)
    for schema, key in BALLOT_TABLES.items():
        await db.execute(f"delete from {schema}.ballots where {key} = $1", ballot["ballot_id"])
    return str(
        await db.fetchval(
            f"delete from intake.outbox where {OF_BALLOT} returning event_id",
            str(ballot["ballot_id"]),
        )
    )


@edit("delete")
async def ballot_removed_with_its_event_and_leaf(db: Connection, rng: Random) -> str:
    event_id = await ballot_removed_with_its_event(db, rng)
    leaf = await db.fetchval(
        "delete from intake.sealed_inputs where item = $1 returning leaf_hash", event_id
    )
    return leaf.hex()[:16]


@edit("insert")
async def ballot_stuffed(db: Connection, rng: Random) -> str:
    ballot = await some_ballot(db, rng)
    new = uuid4()
    for schema in rng.choice([["intake"], ["scoring"], ["intake", "scoring"]]):
        columns = {
            "intake": "campaign_id, batch_id, answers, released_hour",
            "scoring": "campaign_id, response_group_id, answers, released_hour",
        }[schema]
        key = BALLOT_TABLES[schema]
        await db.execute(
            f"insert into {schema}.ballots ({key}, {columns}) "
            f"select $2, {columns} from {schema}.ballots where {key} = $1",
            ballot["ballot_id"],
            new,
        )
    return str(new)


@edit("insert")
async def event_that_claims_to_be_sealed(db: Connection, rng: Random) -> str:
    ballot = await some_ballot(db, rng)
    new = uuid4()
    await db.execute(
        "insert into intake.outbox (event_id, topic, key, version, type, body, shard, occurred_at) "
        "select $2, topic, ($2::uuid)::text, 1, type, body, shard, occurred_at from intake.outbox "
        f"where {OF_BALLOT}",
        str(ballot["ballot_id"]),
        new,
    )
    await db.execute(
        "insert into intake.sealed_inputs (item, part, stream, sequence, leaf_hash) "
        "values ($1, 0, 'ballots', 1, $2)",
        new,
        rng.randbytes(32),
    )
    return str(new)


@edit("reorder")
async def answers_of_two_ballots_swapped(db: Connection, rng: Random) -> str:
    rows = await db.fetch("select * from scoring.ballots order by ballot_id")
    first = rng.choice(rows)
    second = rng.choice([row for row in rows if row["answers"] != first["answers"]])
    for mine, theirs in ((first, second), (second, first)):
        for schema, key in BALLOT_TABLES.items():
            await db.execute(
                f"update {schema}.ballots set answers = $2 where {key} = $1",
                mine["ballot_id"],
                theirs["answers"],
            )
    return str(first["ballot_id"])


@edit("truncate")
async def half_of_the_ballots(db: Connection, rng: Random) -> str:
    rows = await db.fetch("select ballot_id from scoring.ballots order by ballot_id")
    gone = [row["ballot_id"] for row in rows[: len(rows) // rng.randint(2, 5)]]
    for schema, key in BALLOT_TABLES.items():
        await db.execute(f"delete from {schema}.ballots where {key} = any($1)", gone)
    return str(rng.choice(gone))


@edit("delete")
async def reversal_removed(db: Connection, rng: Random) -> str:
    """A void ballot counts again, in one service or in both."""
    row = await one(db, rng, "select ballot_id from scoring.voided_ballots order by 1")
    for schema in rng.choice([["intake"], ["scoring"], ["intake", "scoring"]]):
        await db.execute(
            f"delete from {schema}.voided_ballots where ballot_id = $1", row["ballot_id"]
        )
    return str(row["ballot_id"])


@edit("insert")
async def ballot_voided_without_decision(db: Connection, rng: Random) -> str:
    ballot = await one(
        db,
        rng,
        "select ballot_id from scoring.ballots where ballot_id not in "
        "(select ballot_id from scoring.voided_ballots) order by 1",
    )
    for schema, event in (("intake", "event_id"), ("scoring", "integrity_event_id")):
        await db.execute(
            f"insert into {schema}.voided_ballots (campaign_id, ballot_id, {event}) "
            f"select campaign_id, $1, {event} from {schema}.voided_ballots limit 1",
            ballot["ballot_id"],
        )
    return str(ballot["ballot_id"])


@edit("edit")
async def ballot_moved_to_another_group(db: Connection, rng: Random) -> str:
    ballot = await some_ballot(db, rng)
    await db.execute(
        "update scoring.ballots set response_group_id = (select id from scoring.response_groups "
        "where id <> $2 limit 1) where ballot_id = $1",
        ballot["ballot_id"],
        ballot["response_group_id"],
    )
    return str(ballot["ballot_id"])


# ── the ledger and its events ─────────────────────────────────────────────────────────────────────


@edit("edit")
async def ledger_line(db: Connection, rng: Random) -> str:
    line = await one(db, rng, "select * from scoring.ledger order by event_id, part")
    change = rng.choice(
        [
            "unit_no = unit_no % 14 + 1",
            "late = not coalesce(late, false)",
            "occurred_at = occurred_at - interval '1 day'",
            "version = version + 1",
            "measure = 'case_paused'",
            "detail = detail || 'x'",
            "text = text || '。'",
            "number = number || '1'",
            "points = coalesce(points, 0) + 5",
            "kind = 'report'",
        ]
    )
    if line["unit_no"] is None or (change.startswith("kind") and line["kind"] == "report"):
        change = "detail = detail || 'x'"
    await db.execute(
        f"update scoring.ledger set {change} where event_id = $1 and part = $2",
        line["event_id"],
        line["part"],
    )
    return str(line["event_id"])


@edit("delete")
async def ledger_line_removed(db: Connection, rng: Random) -> str:
    line = await one(db, rng, "select * from scoring.ledger order by event_id, part")
    await db.execute(
        "delete from scoring.ledger where event_id = $1 and part = $2",
        line["event_id"],
        line["part"],
    )
    return str(line["event_id"])


@edit("insert")
async def ledger_line_invented(db: Connection, rng: Random) -> str:
    new = uuid4()
    await db.execute(
        "insert into scoring.ledger (campaign_id, event_id, part, measure, subject_id, version, "
        "occurred_at, unit_no, detail, item, number, text) "
        "values ($1, $2, 0, 'deadline_lapsed', $2, 1, now(), $3, 'handle', '', '', '')",
        CAMPAIGN,
        new,
        rng.randint(1, 14),
    )
    return str(new)


@edit("reorder")
async def units_of_two_lines_swapped(db: Connection, rng: Random) -> str:
    rows = await db.fetch(
        "select * from scoring.ledger where unit_no is not null order by event_id, part"
    )
    first = rng.choice(rows)
    second = rng.choice([row for row in rows if row["unit_no"] != first["unit_no"]])
    for mine, theirs in ((first, second), (second, first)):
        await db.execute(
            "update scoring.ledger set unit_no = $3 where event_id = $1 and part = $2",
            mine["event_id"],
            mine["part"],
            theirs["unit_no"],
        )
    return str(first["event_id"])


@edit("truncate")
async def ledger_tail(db: Connection, rng: Random) -> str:
    rows = await db.fetch("select event_id from scoring.ledger order by event_id, part")
    gone = [row["event_id"] for row in rows[-rng.randint(1, len(rows) // 2) :]]
    await db.execute("delete from scoring.ledger where event_id = any($1)", gone)
    return str(rng.choice(gone))


@edit("both")
async def event_and_ledger_line(db: Connection, rng: Random) -> str:
    """The event at casework and the line at scoring are moved to another unit together."""
    line = await one(
        db, rng, "select * from scoring.ledger where measure = 'case_accepted' order by event_id"
    )
    row = await db.fetchrow(
        "select body from casework.outbox where event_id = $1", line["event_id"]
    )
    body = json.loads(row["body"])
    number = line["unit_no"] % 14 + 1
    body["unit_id"] = f"U{number:02d}"
    packed = json.dumps(body, separators=(",", ":")).encode()
    await db.execute(
        "update casework.outbox set body = $2 where event_id = $1", line["event_id"], packed
    )
    await db.execute(
        "update scoring.ledger set unit_no = $2 where event_id = $1", line["event_id"], number
    )
    return str(line["event_id"])


@edit("both")
async def event_hash_and_ledger_line_removed(db: Connection, rng: Random) -> str:
    line = await one(
        db, rng, "select * from scoring.ledger where measure = 'deadline_lapsed' order by event_id"
    )
    await db.execute("delete from casework.outbox where event_id = $1", line["event_id"])
    await db.execute("delete from scoring.ledger where event_id = $1", line["event_id"])
    leaf = await db.fetchval(
        "delete from casework.sealed_inputs where item = $1 returning leaf_hash", line["event_id"]
    )
    return str(leaf.hex()[:16])


# ── derived numbers, rules, units ─────────────────────────────────────────────────────────────────


@edit("edit")
async def tally(db: Connection, rng: Random) -> str:
    row = await one(
        db, rng, "select * from scoring.tallies order by response_group_id, unit_no, item_no, 4, 5"
    )
    await db.execute(
        "update scoring.tallies set answer_count = answer_count + $5 where response_group_id = $1 "
        "and unit_no = $2 and item_no = $3 and option_no = $4",
        *list(row.values())[:4],
        rng.choice([-1, 1, 7]),
    )
    return f"/{row['unit_no']}/{row['item_no']}/{row['option_no']}"


@edit("edit")
async def running_score(db: Connection, rng: Random) -> str:
    row = await one(
        db, rng, "select * from scoring.scores where total is not null order by unit_no"
    )
    change = rng.choice(["total = total + 1", "ranked = not ranked", "sample = sample + 1"])
    await db.execute(f"update scoring.scores set {change} where unit_no = $1", row["unit_no"])
    return f"unit {row['unit_no']} "


@edit("delete")
async def running_score_removed(db: Connection, rng: Random) -> str:
    row = await one(
        db, rng, "select * from scoring.scores where total is not null order by unit_no"
    )
    await db.execute("delete from scoring.scores where unit_no = $1", row["unit_no"])
    return f"unit {row['unit_no']} "


@edit("edit")
async def rules(db: Connection, rng: Random) -> str:
    row = await one(db, rng, "select version, body from scoring.schemes")
    body = json.loads(row["body"])
    component = rng.choice(body["components"])
    component["weight"] = str(float(component["weight"]) + 5)
    await db.execute("update scoring.schemes set body = $1", json.dumps(body, ensure_ascii=False))
    return "are not the rules"


@edit("edit")
async def unit_in_another_category(db: Connection, rng: Random) -> str:
    row = await one(db, rng, "select unit_id, category from scoring.units order by unit_id")
    other = "party" if row["category"] != "party" else "government"
    await db.execute(
        "update scoring.units set category = $2 where unit_id = $1", row["unit_id"], other
    )
    return row["unit_id"]


# ── seals and the audit log ───────────────────────────────────────────────────────────────────────


@edit("edit")
async def seal_of_a_stream(db: Connection, rng: Random) -> str:
    service = rng.choice(SERVICES)
    row = await one(
        db, rng, f"select * from {service}.input_seals where items > 0 order by stream, sequence"
    )
    leaves = bytearray(row["leaves"])
    leaves[rng.randrange(len(leaves))] ^= 1
    await db.execute(
        f"update {service}.input_seals set leaves = $3 where stream = $1 and sequence = $2",
        row["stream"],
        row["sequence"],
        bytes(leaves),
    )
    return f"{service}/{row['stream']} seal {row['sequence']}"


@edit("delete")
async def seal_with_its_leaves(db: Connection, rng: Random) -> str:
    service = rng.choice(SERVICES)
    row = await one(
        db, rng, f"select * from {service}.input_seals where items > 0 order by stream, sequence"
    )
    for table in ("input_seals", "sealed_inputs"):
        await db.execute(
            f"delete from {service}.{table} where stream = $1 and sequence = $2",
            row["stream"],
            row["sequence"],
        )
    return f"{service}/{row['stream']} seal {row['sequence']}"


@edit("edit")
async def entry_of_a_seal(db: Connection, rng: Random) -> str:
    service = rng.choice(SERVICES)
    row = await one(
        db, rng, f"select * from {service}.audit where action = 'inputs.sealed' order by position"
    )
    details = json.loads(row["details"])
    stream = rng.choice(list(details["streams"]))
    details["streams"][stream]["root"] = rng.randbytes(32).hex()
    await db.execute(
        f"update {service}.audit set details = $2 where id = $1", row["id"], json.dumps(details)
    )
    return f"{service} seal {details['sequence']}"


@edit("truncate")
async def audit_tail_with_its_seals(db: Connection, rng: Random) -> str:
    service = rng.choice(SERVICES)
    size = await db.fetchval(f"select max(position) + 1 from {service}.audit")
    last = await db.fetchval(f"select max(sequence) from {service}.seal_rounds")
    await db.execute(
        f"delete from {service}.audit where position >= $1", size - rng.randint(1, size - 1)
    )
    await db.execute(
        f"delete from {service}.checkpoints where size > "
        f"(select coalesce(max(position), -1) + 1 from {service}.audit)"
    )
    for table in ("seal_rounds", "input_seals", "sealed_inputs"):
        await db.execute(f"delete from {service}.{table} where sequence = $1", last)
    return f"{service} at {size} entries"


@edit("backup")
async def older_backup_of_a_schema(db: Connection, rng: Random) -> str:
    service = rng.choice(SERVICES)
    size = await db.fetchval(f"select max(position) + 1 from {service}.audit")
    await restore(db, f"early_{service}", service)
    return f"{service} at {size} entries"


# ── copies ────────────────────────────────────────────────────────────────────────────────────────


async def tables(db: Connection, schema: str) -> list[str]:
    rows = await db.fetch(
        "select c.relname as name from pg_class c "
        "where c.relnamespace = $1::regnamespace and c.relkind in ('r', 'p') "
        "and not c.relispartition order by 1",
        schema,
    )
    return [row["name"] for row in rows]


async def keep(db: Connection, schema: str, copy: str) -> None:
    """Copy all tables of a schema into another."""
    await db.execute(f"create schema {copy}")
    for table in await tables(db, schema):
        await db.execute(f'create table {copy}."{table}" as table {schema}."{table}"')


async def restore(db: Connection, copy: str, schema: str) -> None:
    """Put the copied rows back."""
    for table in await tables(db, copy):
        await db.execute(f'delete from {schema}."{table}"')
        await db.execute(
            f'insert into {schema}."{table}" overriding system value select * from {copy}."{table}"'
        )
