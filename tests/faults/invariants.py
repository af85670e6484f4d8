"""What must hold at rest, whatever was broken before: I1 to I12 as questions to the databases, the
logs and the expected.

Each gives the sentences of what it found wrong, nothing when all is well. None of them shares code
with what it checks, but for reading the envelope of a record and the public format of the audit
log.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import UUID

import asyncpg
from aiokafka import ConsumerRecord

from services.simulate.accounts import OFFICE
from services.simulate.client import Client
from services.simulate.requests import TargetCampaign
from shared.appraisal.events import EVENTS, OWNERS
from shared.security import log_verification
from shared.security.service_keys import service_keys
from shared.storage.schema import SERVICES
from tests.faults.expected_state import ExpectedState, count_answers, expected_state_of
from tests.faults.process_group import get
from tests.faults.rig import PASSWORD, FaultRig, NotSettled, topics_consumed_by

SHOWN = 5
PHONE = re.compile(rb"(?<!\d)1\d{10}(?!\d)")


@dataclass
class Scene:
    """Everything there is to look at, read once."""

    rig: FaultRig
    expected: ExpectedState
    campaign: TargetCampaign
    sql: asyncpg.Connection
    records: list[ConsumerRecord]
    stalls: list[str] = field(default_factory=list)
    """What the watch saw of I12 while the faults went on."""

    @cached_property
    def published(self) -> dict[UUID, ConsumerRecord]:
        """Event id → one of its records in the log, of those that are events."""
        found: dict[UUID, ConsumerRecord] = {}
        for record in self.records:
            event_id = event_id_of(record)
            if event_id is not None and not self.forged(record):
                found[event_id] = record
        return found

    def forged(self, record: ConsumerRecord) -> bool:
        """Did the fault rig put this into the log as something else than a copy?"""
        return (record.key, record.value) in self.rig.forged


def event_id_of(record: ConsumerRecord) -> UUID | None:
    """The id in the record's envelope, None when it has none."""
    try:
        return UUID(dict(record.headers)["ce_id"].decode())
    except (KeyError, ValueError):
        return None


def topic_of(record: ConsumerRecord) -> str:
    return str(record.topic).rpartition(".")[2]


Check = Callable[[Scene], Awaitable[list[str]]]
CHECKS: dict[str, Check] = {}


def invariant(name: str) -> Callable[[Check], Check]:
    """Enter a check into the table."""

    def enter(check: Check) -> Check:
        CHECKS[name] = check
        return check

    return enter


def some(things: Iterable[Any]) -> str:
    """The first few, and how many there are."""
    listed = sorted(str(thing)[:160] for thing in things)
    return f"{len(listed)}: {', '.join(listed[:SHOWN])}{' …' if len(listed) > SHOWN else ''}"


async def column(scene: Scene, sql: str, *arguments: Any) -> set[Any]:
    return {row[0] for row in await scene.sql.fetch(sql, *arguments)}


# ── I1, I2: nothing lost, nothing made up ─────────────────────────────────────────────────────────


@invariant("I1")
async def no_acknowledged_write_is_lost(scene: Scene) -> list[str]:
    kept = {
        "complaints": (
            await column(scene, "select id from intake.complaints"),
            set(scene.expected.complaints),
        ),
        "ballots": (
            await column(scene, "select id from intake.spent_codes"),
            scene.expected.ballots_acknowledged,
        ),
        "visits": (
            await column(scene, "select id from intake.visits where completed_at is not null"),
            scene.expected.visits,
        ),
    }
    return [
        f"acknowledged {kind} that intake does not have, {some(acknowledged - held)}"
        for kind, (held, acknowledged) in kept.items()
        if acknowledged - held
    ]


@invariant("I2")
async def nothing_is_there_that_nobody_sent(scene: Scene) -> list[str]:
    expected, found = scene.expected, []
    rows = await scene.sql.fetch(
        "select id, unit_id, kind, problem_item, identity from intake.complaints"
    )
    extra = Counter(tuple(row)[1:] for row in rows if row["id"] not in expected.complaints)
    if phantoms := extra - expected.complaints_unknown:
        found.append(
            f"complaints that nobody sent, {some(phantoms.items())}; {expected.complaints_unknown.total()} outcomes are unknown"
        )
    if extra := await column(scene, "select id from intake.spent_codes") - set(expected.ballots):
        found.append(f"ballots that nobody sent, {some(extra)}")
    if extra := await column(scene, "select id from intake.visits") - expected.visits_sent:
        found.append(f"visits that nobody sent, {some(extra)}")
    if expected.refused:
        found.append(
            f"well-formed writes were refused, {some((line['status'], line['sentence']) for line in expected.refused)}"
        )
    return found


# ── I3: one effect per event and consumer ───────────────────────────────────────────────────────────


@invariant("I3")
async def every_consumer_applies_every_event_once(scene: Scene) -> list[str]:
    found = []
    for service in SERVICES:
        inbox = await column(scene, f"select event_id from {service}.inbox")
        dead_lettered = await column(
            scene, f"select event_id from {service}.dead_letters where state = 'pending'"
        )
        due = {
            event_id
            for event_id, record in scene.published.items()
            if topic_of(record) in topics_consumed_by(service)
        }
        if missing := due - inbox - dead_lettered:
            found.append(
                f"{service} has not taken events of the log, {some(missing)}; {around(scene, missing)}"
            )
        if invented := inbox - set(scene.published) - scene.rig.forged_ids:
            found.append(f"{service} took events that are in no log, {some(invented)}")
    return found + await _effects(scene)


async def _effects(scene: Scene) -> list[str]:
    """The effects themselves: cases, ballots and tallies, progress, notifications."""
    found = []
    no_case = [kind.value for kind in scene.campaign.scheme.case_rules.no_case]
    due = await column(
        scene,
        "select id from intake.complaints where merged_into is null and kind <> all($1::text[])",
        no_case,
    )
    findings = await column(scene, "select id from intake.findings")
    cases = Counter(
        row["source_id"] for row in await scene.sql.fetch("select source_id from casework.cases")
    )
    if twice := {source for source, count in cases.items() if count > 1}:
        found.append(f"more than one case for one source, {some(twice)}")
    if (due | findings) != set(cases):
        found.append(
            f"without a case {some((due | findings) - set(cases))}; case without a source {some(set(cases) - due - findings)}"
        )
    progress = await column(scene, "select complaint_id from intake.progress")
    if progress != due:
        found.append(
            f"complaints whose progress intake does not know, {some(due - progress)}; of nobody {some(progress - due)}"
        )
    return found + await _released(scene) + await _counted(scene) + await _notifications(scene)


async def _released(scene: Scene) -> list[str]:
    """A case has exactly the text that a person released last, and no unit before."""
    different = await column(
        scene,
        """
        select c.source_id from casework.cases c
        left join lateral (
          select redacted_summary from intake.summary_releases r
          where r.subject_id = c.source_id order by release desc limit 1
        ) r on true
        where c.redacted_summary <> coalesce(r.redacted_summary, '')
        """,
    )
    early = await column(
        scene,
        """
        select c.source_id from casework.cases c
        where c.unit_id is not null and not exists (
          select from intake.summary_releases r where r.subject_id = c.source_id)
        """,
    )
    found = []
    if different:
        found.append(f"cases without the text that was released, {some(different)}")
    if early:
        found.append(f"cases that reached a unit before their release, {some(early)}")
    return found


async def _counted(scene: Scene) -> list[str]:
    found = []
    spent = await column(scene, "select id from intake.spent_codes")
    released = await column(scene, "select id from intake.ballots")
    counted = await column(scene, "select ballot_id from scoring.ballots")
    if len(spent) != len(released):
        found.append(f"{len(spent)} codes spent, {len(released)} ballots released")
    if released != counted:
        found.append(
            f"ballots released but not counted {some(released - counted)}; counted but not released {some(counted - released)}"
        )
    rows = await scene.sql.fetch(
        "select s.instrument, s.group_key, t.unit_no, t.item_no, t.option_no, sum(t.answer_count)::int as answer_count "
        "from scoring.tallies t join scoring.response_groups s on s.id = t.response_group_id group by 1, 2, 3, 4, 5 having sum(t.answer_count) <> 0"
    )
    tallied = Counter({tuple(row)[:5]: row["answer_count"] for row in rows})
    recount = count_answers(
        answers for ballot, answers in scene.expected.ballots.items() if ballot in spent
    )
    if tallied != recount:
        more, fewer = tallied - recount, recount - tallied
        found.append(
            f"tallies differ from the direct recount: too many {some(more.items())}; too few {some(fewer.items())}"
        )
    return found


async def _notifications(scene: Scene) -> list[str]:
    twice = await scene.sql.fetch(
        "select event_id, role, count(*) from notify.notifications group by 1, 2 having count(*) > 1"
    )
    found = [f"notifications sent twice, {some(twice)}"] if twice else []
    notified = await column(
        scene, "select event_id from notify.notifications where kind not like '%escalat%'"
    )
    lapsed = {
        event_id
        for event_id, record in scene.published.items()
        if type_of(record) == "case.deadline_lapsed.v1"
    }
    unread = {
        row[0]
        for row in await scene.sql.fetch(
            "select event_id from notify.dead_letters where state = 'pending'"
        )
    }
    if silent := lapsed - notified - unread:
        found.append(f"lapses without a notification, {some(silent)}")
    return found


@invariant("I3, outside the house")
async def outbound_messages_are_sent_once(scene: Scene) -> list[str]:
    """A notification reaches its address; twice only when a sender worker died with it in its hands, and then
    under the same key.
    """
    rows = await scene.sql.fetch("select id, state, attempts from notify.deliveries")
    taken = Counter(
        UUID(request.headers["idempotency-key"]) for request in scene.rig.mailbox.requests
    )
    found = []
    if unknown := set(taken) - {row["id"] for row in rows}:
        found.append(f"messages that no delivery accounts for, {some(unknown)}")
    if silent := {row["id"] for row in rows if row["state"] == "delivered"} - set(taken):
        found.append(f"recorded as delivered and never sent, {some(silent)}")
    if lost := [
        row["id"] for row in rows if row["state"] not in ("delivered", "waiting", "withdrawn")
    ]:
        found.append(f"given up although the address took everything, {some(lost)}")
    if repeated := [row["id"] for row in rows if taken[row["id"]] > row["attempts"]]:
        found.append(f"sent more often than tried, {some(repeated)}")
    return found


def body(record: ConsumerRecord) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(record.value)
    return content


def type_of(record: ConsumerRecord) -> str:
    return dict(record.headers).get("ce_type", b"").decode(errors="replace")


def around(scene: Scene, event_ids: Iterable[UUID]) -> str:
    """The records beside the first of these, as they stand in the log."""
    first = min(event_ids, key=str)
    place = scene.published[first]
    beside = [
        r
        for r in scene.records
        if (r.topic, r.partition) == (place.topic, place.partition)
        and abs(r.offset - place.offset) <= 3
    ]
    lines = []
    for record in sorted(beside, key=lambda record: record.offset):
        headers = dict(record.headers)
        key, version = (
            headers.get("ce_subject", b"")[:8].decode(errors="replace"),
            headers.get("ce_sequence", b"").decode(errors="replace"),
        )
        lines.append(f"{record.offset} {type_of(record)} {key} v{version}")
    return f"around {place.topic}-{place.partition}@{place.offset}: {' | '.join(lines)}"


# ── I4, I5: complete and in order ─────────────────────────────────────────────────────────────────


@invariant("I4")
async def the_outbox_is_the_log(scene: Scene) -> list[str]:
    outbox: set[UUID] = set()
    for service in SERVICES:
        outbox |= await column(scene, f"select event_id from {service}.outbox")
    found = (
        [f"events of an outbox that are in no log, {some(outbox - set(scene.published))}"]
        if outbox - set(scene.published)
        else []
    )
    if strange := set(scene.published) - outbox:
        found.append(
            f"events in the log that no outbox holds, {some(strange)}; {around(scene, strange)}"
        )
    return found


@invariant("I5")
async def versions_are_without_gaps(scene: Scene) -> list[str]:
    found = []
    for service in SERVICES:
        broken = await scene.sql.fetch(
            f"select topic, key, count(*) c, min(version) a, max(version) z from {service}.outbox group by 1, 2 "
            "having count(*) <> max(version) or min(version) <> 1"
        )
        found += [
            f"{service} published versions {row['a']}…{row['z']} of {row['topic']} {row['key']} in {row['c']} events"
            for row in broken[:SHOWN]
        ]
        behind = await scene.sql.fetch(_aggregate_versions_behind(service))
        found += [
            f"{service} is at version {row['at']} of {row['topic']} {row['key']}, published were {row['published']}"
            for row in behind[:SHOWN]
        ]
    return found


def _aggregate_versions_behind(service: str) -> str:
    """Aggregates whose version at the consumer is not the owner's, and no dead letter explains it."""
    own = [
        f"select '{topic}' as topic, key, version from {OWNERS[topic]}.aggregates where topic = '{topic}'"
        for topic in sorted(topics_consumed_by(service) - {"resends"})
    ]
    return f"""
    select a.topic, a.key, a.version as published, coalesce(s.version, 0) as at
    from ({" union all ".join(own)}) a left join {service}.aggregate_versions s on (split_part(s.topic, '.', -1), s.key) = (a.topic, a.key)
    where coalesce(s.version, 0) <> a.version and not exists (
      select from {service}.dead_letters d where d.state = 'pending' and d.aggregate = a.key and split_part(d.topic, '.', -1) = a.topic)
    """


# ── I6: scores follow from the events ─────────────────────────────────────────────────────────────


@invariant("I6")
async def running_scores_equal_the_recount(scene: Scene) -> list[str]:
    async with Client(scene.rig.processes.gateway.url) as client:
        office = await client.sign_in(OFFICE.name, PASSWORD)
        key = f"recount-{len(scene.rig.loads)}-{len(scene.records)}"
        answer = await office.write(
            f"/scoring/api/campaigns/{scene.rig.campaign_id}/recounts", {}, key=key
        )
    differences = answer.body["differences"]
    return (
        [f"running scores differ from scoring's own recount, {some(differences)}"]
        if differences
        else []
    )


# ── I7: deadlines ─────────────────────────────────────────────────────────────────────────────────


@invariant("I7")
async def each_deadline_fires_once_and_never_early(scene: Scene) -> list[str]:
    rows = await scene.sql.fetch(
        "select coalesce(case_id, obligation_id) as subject, kind, due_at, lapsed_at from casework.deadlines"
    )
    early = [
        (row["subject"], row["kind"], row["due_at"])
        for row in rows
        if row["lapsed_at"] and row["lapsed_at"] < row["due_at"]
    ]
    found = [f"lapsed before they were due, {some(early)}"] if early else []
    lapsed = Counter((row["subject"], row["due_at"]) for row in rows if row["lapsed_at"])
    published = Counter(
        (
            UUID(event.get("case_id") or event["obligation_id"]),
            datetime.fromisoformat(event["due_at"]),
        )
        for record in scene.published.values()
        if type_of(record) in ("case.deadline_lapsed.v1", "obligation.lapsed.v1")
        and (event := body(record))
    )
    if lapsed != published:
        found.append(
            f"published more often than they lapsed {some((published - lapsed).items())}; lapsed and not published {some((lapsed - published).items())}"
        )
    early = [
        (event_id, body(record)["due_at"])
        for event_id, record in scene.published.items()
        if type_of(record) in ("case.deadline_lapsed.v1", "obligation.lapsed.v1")
        and body(record)["occurred_at"] < body(record)["due_at"]
    ]
    return found + ([f"published before they were due, {some(early)}"] if early else [])


# ── I8: ballots ───────────────────────────────────────────────────────────────────────────────────


@invariant("I8")
async def a_code_counts_once(scene: Scene) -> list[str]:
    cast = await scene.sql.fetchval("select count(*) from intake.ballots")
    keys = Counter(
        ballot["ballot_id"]
        for record in scene.published.values()
        if type_of(record) == "ballots.released.v1"
        for ballot in body(record)["ballots"]
    )
    published = keys.total()
    found = [f"{cast} ballots released, {published} published"] if cast != published else []
    return found + (
        [f"ballots published as two events, {some(k for k, n in keys.items() if n > 1)}"]
        if keys and max(keys.values()) > 1
        else []
    )


# ── I9: the audit log ─────────────────────────────────────────────────────────────────────────────


@invariant("I9")
async def the_audit_log_is_whole(scene: Scene) -> list[str]:
    found = []
    for service in SERVICES:
        keys = service_keys(service, scene.rig.settings).signing
        # One snapshot: the log is read page by page, and jobs go on sealing.
        async with scene.sql.transaction(isolation="repeatable_read", readonly=True):
            violation = await log_verification.verify_log(
                _In(scene.sql, service), keys.signer(service).verifier
            )
        found += [f"audit log of {service}: {violation.sentence}"] if violation else []
    leaves = Counter(
        row["subject"]
        for row in await scene.sql.fetch(
            "select subject from intake.audit where action = 'complaint.registered'"
        )
    )
    due = {str(id): 1 for id in await column(scene, "select id from intake.complaints")}
    if leaves != Counter(due):
        found.append(
            f"complaints without exactly one leaf, {some(set(due) ^ set(leaves) or [k for k, n in leaves.items() if n > 1])}"
        )
    opened = Counter(
        row["subject"]
        for row in await scene.sql.fetch(
            "select subject from casework.audit where action = 'case.open'"
        )
    )
    numbers = Counter(await column(scene, "select number from casework.cases"))
    if opened != numbers:
        found.append(
            f"cases without exactly one leaf, {some((opened - numbers) + (numbers - opened))}"
        )
    return found


@dataclass(frozen=True, slots=True)
class _In:
    """The superuser's connection, as the audit log's reader wants one: in one service's schema."""

    sql: asyncpg.Connection
    schema: str

    async def fetch(self, statement: str, *arguments: Any) -> list[asyncpg.Record]:
        await self.sql.execute(f"set search_path = {self.schema}, public")
        return await self.sql.fetch(statement, *arguments)  # type: ignore[no-any-return]


# ── I10: no personal data ─────────────────────────────────────────────────────────────────────────


@invariant("I10")
async def no_personal_data_leaves_the_vault(scene: Scene) -> list[str]:
    places = defaultdict(bytes)
    for record in scene.records:
        places[f"kafka {topic_of(record)}"] += (
            (record.value or b"") + b"\n" + b"\n".join(value or b"" for _, value in record.headers)
        )
    places |= scene.rig.scan_files()
    for process in scene.rig.processes.all:
        if process.wanted:
            places[f"metrics of {process}"] = (await get(process.internal_port, "/metrics"))[
                1
            ].encode()
    found = []
    for name, content in places.items():
        if hits := set(PHONE.findall(content)) & scene.expected.canaries:
            found.append(
                f"{name} holds telephone numbers of complainants, {some(hit.decode() for hit in hits)}"
            )
    return found + await _in_tables(scene)


async def _in_tables(scene: Scene) -> list[str]:
    found = []
    tables = await scene.sql.fetch(
        "select n.nspname || '.' || quote_ident(c.relname) as name from pg_class c join pg_namespace n on n.oid = c.relnamespace "
        "where c.relkind = 'r' and n.nspname = any($1::text[])",
        list(SERVICES),
    )
    for row in tables:
        texts = await scene.sql.fetch(
            f"select distinct (regexp_matches(t::text, '1\\d{{10}}', 'g'))[1] as hit from {row['name']} t"
        )
        if hits := {hit["hit"].encode() for hit in texts} & scene.expected.canaries:
            found.append(
                f"table {row['name']} holds telephone numbers of complainants, {some(hit.decode() for hit in hits)}"
            )
    return found


# ── I11, I12: it goes on ──────────────────────────────────────────────────────────────────────────


@invariant("I11")
async def nothing_is_left_undone(scene: Scene) -> list[str]:
    undone = await scene.rig.unrest()
    if undone:
        # A process that came to its armed place only after all was at rest is given the time to
        # come back.
        with suppress(NotSettled):
            await scene.rig.settle(20)
        undone = await scene.rig.unrest()
    found = [f"{what}: {n}" for what, n in undone.items()]
    for service in SERVICES:
        pending = await scene.sql.fetch(
            f"select topic, key, body, type, reason, detail from {service}.dead_letters where state = 'pending'"
        )
        strange = [
            f"{one['topic']} {one['type']} {one['reason']}: {one['detail']}"
            for one in pending
            if (one["key"], one["body"]) not in scene.rig.forged
        ]
        if strange:
            found.append(f"{service} dead-lettered a record that was not forged, {some(strange)}")
        kept = Counter(
            (one["topic"].rpartition(".")[2], one["key"], one["body"]) for one in pending
        )
        due = {
            (made.topic, key, value): 1
            for (key, value), made in scene.rig.forged.items()
            if made.stops(service)
        }
        if kept != Counter(due) and not strange:
            found.append(
                f"{service} has not dead-lettered each forged record once: {some((Counter(due) - kept) + (kept - Counter(due)))}"
            )
    return found


@invariant("I12")
async def no_stall_is_silent(scene: Scene) -> list[str]:
    return scene.stalls + [
        f"a process ended by itself: {word}" for word in scene.rig.processes.unexpected_exits
    ]


# ── all of them ───────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Finding:
    """A broken invariant."""

    invariant: str
    sentences: Sequence[str]

    def __str__(self) -> str:
        return f"{self.invariant}: " + "; ".join(self.sentences)


async def examine(
    rig: FaultRig, *, stalls: Sequence[str] = ()
) -> tuple[list[Finding], Counter[str]]:
    """All invariants, in order. Gives those broken, and how much was looked at."""
    campaign = await campaign_of(rig)
    expected = expected_state_of(rig.loads, campaign)
    sql = await asyncpg.connect(rig.stack.postgres.superuser_url)
    try:
        scene = Scene(rig, expected, campaign, sql, await rig.records(), list(stalls))
        findings = [
            Finding(name, sentences)
            for name, check in CHECKS.items()
            if (sentences := await check(scene))
        ]
    finally:
        await sql.close()
    seen = Counter(
        acknowledged=expected.acknowledged,
        unknown=expected.unknown.total(),
        records=len(scene.records),
        events=len(scene.published),
    )
    return findings, seen


async def campaign_of(rig: FaultRig) -> TargetCampaign:
    """The campaign as the public door tells it."""
    async with Client(rig.processes.gateway.url) as client:
        office = await client.sign_in(OFFICE.name, PASSWORD)
        return TargetCampaign.of(*await office.campaign(rig.campaign_id))


assert all(event.topic for event in EVENTS.values())
