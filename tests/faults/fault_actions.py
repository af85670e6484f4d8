"""The faults: each breaks something real for a while and says what it saw. What must hold
afterwards is not its concern.

A fault that asks for something beyond the invariants (a guard that must close, a replay that must
change nothing) asserts it. One that finds nothing to break fails: a fault that hit nothing
proves nothing.
"""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import UUID, uuid4
from zlib import crc32

import redis.asyncio
from aiokafka import AIOKafkaProducer, ConsumerRecord
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy

from shared.appraisal.events import EVENTS, OWNERS, ComplaintRegistered
from shared.embedded.process import children_of
from shared.foundation.clock import real_now
from shared.messaging import prepare_kafka
from shared.messaging.envelope import write_headers
from shared.storage.schema import SERVICES
from shared.storage.transaction import new_id
from tests.event_signing import signed
from tests.faults.expected_state import copy_ledger
from tests.faults.invariants import event_id_of
from tests.faults.process_group import ROOT, Process, get
from tests.faults.rig import FaultRig, InjectedRecord

LIBRARIES = (Path("/usr/lib"), ROOT / ".venv" / "debian" / "usr" / "lib")
"""Where Debian's libfaketime lies, installed or unpacked by `tests/setup`."""

Observation = dict[str, Any]
FaultFunction = Callable[..., Awaitable[Observation]]
FAULTS: dict[str, FaultFunction] = {}


def fault(number: str) -> Callable[[FaultFunction], FaultFunction]:
    """Enter a fault into the table under its name; `number` is its row in the list of faults."""

    def enter(function: FaultFunction) -> FaultFunction:
        function.number = number  # type: ignore[attr-defined]
        FAULTS[function.__name__] = function
        return function

    return enter


async def until(condition: Callable[[], Awaitable[Any]], seconds: float, what: str) -> float:
    """Wait for a condition; gives the seconds it took. Raises AssertionError that names it."""
    started = time.monotonic()
    while not await condition():
        assert time.monotonic() - started < seconds, f"{what}: not within {seconds:.0f} s"
        await asyncio.sleep(0.1)
    return time.monotonic() - started


def one(rig: FaultRig, service: str) -> Process:
    """The first replica of a service."""
    return rig.processes.of(service)[0]


async def reborn(
    rig: FaultRig, process: Process, *lives: str, extra: dict[str, str] | None = None
) -> None:
    """Kill a process so that it comes back armed like this; waits until it serves again."""
    process.lives = list(lives)
    process.extra = extra or {}
    before = process.pid
    process.kill()

    async def back() -> bool:
        return (
            process.pid not in (None, before)
            and (await get(process.internal_port, "/livez"))[0] == 200
        )

    await until(back, 120, f"{process} back")


@asynccontextmanager
async def alone(rig: FaultRig, service: str) -> AsyncIterator[Process]:
    """The first replica has all the work of its service; the others stop for a while."""
    first, *others = rig.processes.of(service)
    await asyncio.gather(*(other.stop() for other in others))
    try:
        yield first
    finally:
        for other in others:
            other.start()
        await rig.processes.ready()


@asynccontextmanager
async def traffic(
    rig: FaultRig, rng: random.Random, *, operations: int = 24, rate: float = 4.0
) -> AsyncIterator[None]:
    """Work for the system to do while something is broken, whatever the plan's own load has left."""
    load = rig.load(seed=rng.randrange(10**6, 10**9), operations=operations, rate=rate)
    going = asyncio.create_task(rig.run_load(load))
    try:
        yield
    finally:
        await going


# ── processes ─────────────────────────────────────────────────────────────────────────────────────


@fault("F1")
async def killed(rig: FaultRig, rng: random.Random, *, service: str) -> Observation:
    """kill -9 of a service, wherever it is."""
    rng.choice(rig.processes.of(service)).kill()
    return {}


@fault("F2")
async def all_killed(
    rig: FaultRig, rng: random.Random, *, times: int = 1, pause: float = 6.0
) -> Observation:
    """kill -9 of every service at once; nobody needs another to start."""
    for turn in range(times):
        for process in rig.processes.all:
            if process.wanted:
                process.kill()
        if turn < times - 1:
            await asyncio.sleep(pause)
    return {}


@fault("F3")
async def frozen(rig: FaultRig, rng: random.Random, *, service: str) -> Observation:
    """SIGSTOP of one of several replicas for longer than its session, then SIGCONT: a zombie with
    work in its hands.
    """
    zombie, seconds = one(rig, service), rig.settings.consumer_session_seconds + 3
    other = rig.processes.add(service)
    await until(lambda: _answers(other), 120, f"{other} ready")
    async with traffic(rig, rng):
        await asyncio.sleep(rng.uniform(0.2, 2.0))
        zombie.send(signal.SIGSTOP)
        await asyncio.sleep(seconds)
        zombie.send(signal.SIGCONT)
    await asyncio.sleep(2)
    await other.stop()
    return {"frozen_seconds": seconds}


@fault("F4")
async def relay_frozen(
    rig: FaultRig, rng: random.Random, *, service: str = "intake", bound: float = 35.0
) -> Observation:
    """SIGSTOP of the owner of the relay's shards: another takes them in time, although the owner's
    connection never breaks.
    """
    other = rig.processes.add(service)
    await until(lambda: _answers(other), 120, f"{other} ready")
    [zombie, *_] = [process for process in rig.processes.of(service) if await _owns(process)]
    others = [process for process in rig.processes.of(service) if process is not zombie]

    async def taken() -> bool:
        return any([await _owns(process) for process in others])

    zombie.send(signal.SIGSTOP)
    try:
        await asyncio.sleep(1)
        took = await until(taken, bound + 10, f"the shards of {zombie} are taken by another")
        assert took <= bound, f"the shards were taken over after {took:.0f} s"
    finally:
        zombie.send(signal.SIGCONT)
    await asyncio.sleep(2)
    await other.stop()
    return {"takeover_seconds": round(took, 1)}


async def _answers(process: Process) -> bool:
    return (await get(process.internal_port, "/livez"))[0] == 200


async def _owns(process: Process) -> bool:
    metrics = (await get(process.internal_port, "/metrics"))[1]
    return any(
        line.startswith("relay_shards_owned{") and float(line.rsplit(" ", 1)[1]) > 0
        for line in metrics.splitlines()
    )


@fault("F36")
async def terminated(rig: FaultRig, rng: random.Random) -> Observation:
    """SIGTERM of every service in turn: work in hand is finished or comes again."""
    took = {}
    for process in [p for p in rig.processes.all if p.wanted]:
        took[str(process)] = round(await process.stop(), 1)
        process.start()
        await until(lambda process=process: _answers(process), 120, f"{process} back")  # type: ignore[misc]
    assert max(took.values()) <= 25, f"longer than its grace period: {took}"
    return {"stop_seconds": took}


@fault("F22")
async def slowed(
    rig: FaultRig, rng: random.Random, *, service: str, seconds: float = 10.0, each: float = 0.4
) -> Observation:
    """A consumer that blocks for a while at every batch."""
    process = one(rig, service)
    await reborn(rig, process, f"consumer.after_effect=sleep:{each}@1+")
    async with traffic(rig, rng):
        await asyncio.sleep(seconds)
    await reborn(rig, process)
    return {}


@fault("F23")
async def rebalanced(
    rig: FaultRig, rng: random.Random, *, service: str, turns: int = 4, pause: float = 2.0
) -> Observation:
    """Replicas come and go: every change stops the whole group and deals the partitions anew."""
    async with traffic(rig, rng):
        for turn in range(turns):
            other = rig.processes.add(service)
            await until(lambda other=other: _answers(other), 120, f"{other} ready")  # type: ignore[misc]
            await asyncio.sleep(pause)
            other.wanted = False
            if turn % 2:
                other.kill()
            else:
                await other.stop()
    return {"rebalances": 2 * turns}


# ── servers ───────────────────────────────────────────────────────────────────────────────────────


@fault("F5")
async def broker_killed(
    rig: FaultRig, rng: random.Random, *, seconds: float = 5.0, times: int = 1
) -> Observation:
    """kill -9 of one broker of three: leaders and coordinators move, then it comes back."""
    for _ in range(times):
        broker = rng.choice(rig.stack.brokers)
        broker.kill()
        await asyncio.sleep(seconds)
        await broker.start()
    return {}


@fault("F6")
async def brokers_away(rig: FaultRig, rng: random.Random, *, seconds: float = 8.0) -> Observation:
    """All brokers die and come back with their logs. Writes are taken meanwhile."""
    for broker in rig.stack.brokers:
        broker.kill()
    await asyncio.sleep(seconds)
    await asyncio.gather(*(broker.start() for broker in rig.stack.brokers))
    return {}


@fault("F7")
async def brokers_wiped(rig: FaultRig, rng: random.Random, *, seconds: float = 1.0) -> Observation:
    """Every broker loses its disk: topics, records, offsets, users and rules are gone."""
    await asyncio.gather(*(broker.wipe() for broker in rig.stack.brokers))
    await asyncio.sleep(seconds)
    await asyncio.gather(*(broker.start() for broker in rig.stack.brokers))
    await prepare_kafka(rig.settings)  # as `fengping up` does; the wiped brokers know no user
    # The log is new: what the fault rig had forged is gone from it, and stays dead-lettered where it was
    # parked.
    return {}


@fault("F10")
async def postgres_killed(
    rig: FaultRig, rng: random.Random, *, seconds: float = 1.0, times: int = 1
) -> Observation:
    """kill -9 of the whole database server."""
    for turn in range(times):
        rig.stack.postgres.kill()
        await asyncio.sleep(seconds)
        await rig.stack.postgres.start()
        if turn < times - 1:
            await asyncio.sleep(2)
    return {}


@fault("F12")
async def redis_flushed(rig: FaultRig, rng: random.Random) -> Observation:
    """Everything Redis knows is gone: people are signed out, nothing else."""
    client = redis.asyncio.Redis.from_url(rig.stack.redis_url)
    with suppress(redis.exceptions.RedisError):
        await client.flushall()
    await client.aclose()
    return {}


@fault("F12")
async def redis_killed(rig: FaultRig, rng: random.Random, *, seconds: float = 3.0) -> Observation:
    """Redis dies and comes back empty."""
    await rig.stack.valkey.wipe()
    await asyncio.sleep(seconds)
    await rig.stack.valkey.start()
    return {}


@fault("F13")
async def server_frozen(
    rig: FaultRig, rng: random.Random, *, server: str, seconds: float = 8.0
) -> Observation:
    """A server that holds its connections and says nothing, as behind a cut that nobody noticed;
    then it goes on as if nothing was.
    """
    chosen = {
        "postgres": rig.stack.postgres,
        "valkey": rig.stack.valkey,
        "broker": rng.choice(rig.stack.brokers),
    }[server]
    assert chosen.pid is not None
    frozen = [chosen.pid, *children_of(chosen.pid)]
    for pid in frozen:
        _signal(pid, signal.SIGSTOP)
    try:
        async with traffic(rig, rng, operations=8):
            await asyncio.sleep(seconds)
            for pid in frozen:
                _signal(pid, signal.SIGCONT)
    finally:
        for pid in frozen:
            _signal(pid, signal.SIGCONT)
    return {"frozen_seconds": seconds}


def _signal(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


# ── messages ──────────────────────────────────────────────────────────────────────────────────────


@fault("F17")
async def repeated(rig: FaultRig, rng: random.Random, *, events: int = 60) -> Observation:
    """Published events are repeated, two to five times each, in any order."""
    published = [
        record
        for record in await rig.records()
        if (record.key, record.value) not in rig.forged and event_id_of(record)
    ]
    assert published, "no event was published yet that could be repeated"
    copies = [
        record
        for record in rng.sample(published, min(events, len(published)))
        for _ in range(rng.randint(1, 4))
    ]
    rng.shuffle(copies)
    await _produce(rig, copies)
    return {"copies": len(copies)}


async def _produce(rig: FaultRig, records: list[ConsumerRecord]) -> None:
    async with rig.producer() as producer:
        for record in records:
            await producer.send(
                record.topic,
                record.value,
                key=record.key,
                headers=list(record.headers),
                partition=record.partition,
            )
        await producer.flush()


@fault("F19")
async def lost_in_the_log(
    rig: FaultRig, rng: random.Random, *, service: str = "scoring"
) -> Observation:
    """Records that the broker acknowledged and does not have: marked as sent, never sent, with
    their followers in the log.
    """
    return {"lost": len(await _withhold(rig, rng, service))}


@fault("F18")
async def out_of_order(
    rig: FaultRig, rng: random.Random, *, service: str = "scoring"
) -> Observation:
    """Versions arrive after later ones of their aggregate: they were held back while the others
    went.
    """
    kept = await _withhold(rig, rng, service)
    await asyncio.sleep(rng.uniform(0.5, 4.0))
    await rig.sql(
        f"with again as (update {service}.outbox set published_at = null where id = any($1::bigint[]) returning id) select 1",
        kept,
    )
    return {"held_back": len(kept)}


_UNSENT = "select id, topic, key, version from {service}.outbox where published_at is null and topic <> 'resends' order by id"
_WITH_FOLLOWERS = """
select o.id from {service}.outbox o where o.id = any($1::bigint[]) and exists (
  select from {service}.outbox f
  where (f.topic, f.key) = (o.topic, o.key) and f.version > o.version and f.published_at is not null and f.id <> all($1))
"""


WITHHOLD_TURNS = 4
"""It is a matter of chance whether a relay dies with events in its hands that others of their
aggregate will follow.
"""


async def _withhold(rig: FaultRig, rng: random.Random, service: str) -> list[int]:
    """Have a relay pass over events; gives the outbox ids of those whose followers went, one at
    least.

    The relay is killed with rows in its hands, unsent; before it is back, the rows are marked as if
    the broker had taken them. One whose aggregate says nothing more is given back: nobody can miss
    the last word.
    """
    for _ in range(WITHHOLD_TURNS):
        async with alone(rig, service) as process:
            await reborn(rig, process, "relay.after_select=kill@3")
            async with traffic(rig, rng, operations=48, rate=6.0):
                rows = await _marked_unsent(rig, process)
                if followed := await _followed(rig, service, [row["id"] for row in rows]):
                    return followed
    raise AssertionError(
        f"in {WITHHOLD_TURNS} turns no event of {service} was withheld whose followers went"
    )


async def _marked_unsent(rig: FaultRig, process: Process) -> list[Any]:
    service = process.service
    process.paused = True
    try:
        with suppress(AssertionError):
            await until(_is_dead(process), 20, f"the relay of {service} with something to send")
        process.kill()
        await until(_is_dead(process), 5, f"{service} killed")
        rows = (await rig.rows(_UNSENT.format(service=service)))[:20]
        for row in rows:
            partition = crc32(row["key"].encode()) % rig.settings.topic_partitions
            await rig.sql(
                f"update {service}.outbox set published_at = now(), partition = $2, log_offset = 0 where id = $1 returning id",
                row["id"],
                partition,
            )
    finally:
        process.paused = False
    await until(lambda: _answers(process), 120, f"{process} back")
    return rows


async def _followed(rig: FaultRig, service: str, ids: list[int]) -> list[int]:
    """Those of the withheld that have followers in the log within ten seconds; the others are given
    back to the relay.
    """
    followed: list[int] = []

    async def all_followed() -> bool:
        followed[:] = [
            row["id"] for row in await rig.rows(_WITH_FOLLOWERS.format(service=service), ids)
        ]
        return len(followed) == len(ids)

    with suppress(AssertionError):
        await until(all_followed, 10, "followers")
    back = [id for id in ids if id not in followed]
    await rig.sql(
        f"with back as (update {service}.outbox set published_at = null where id = any($1::bigint[]) returning id) select 1",
        back,
    )
    return followed


def _is_dead(process: Process) -> Callable[[], Awaitable[bool]]:
    async def dead() -> bool:
        return not process.alive

    return dead


def _headers(topic: str, type: str, key: str, **changed: bytes | None) -> list[tuple[str, bytes]]:
    now = real_now()
    event = EVENTS.get(type, ComplaintRegistered)
    headers = dict(
        write_headers(
            event_id=new_id(),
            service=OWNERS[event.topic],
            type=type,
            key=key,
            version=1,
            occurred_at=now,
            created_at=now,
            trace=None,
        )
    )
    headers.update({name: value for name, value in changed.items() if value is not None})
    return [(name, value) for name, value in headers.items() if changed.get(name, b"") is not None]


class NoText(str):
    """A header's name of bytes that are no text."""

    def encode(self, *_: Any) -> bytes:
        return b"\xff\xfe" + super().encode()


@contextmanager
def any_header_name() -> Iterator[None]:
    """Let a producer write such names: the library's fast writer refuses them."""
    with (
        patch(
            "aiokafka.producer.message_accumulator.DefaultRecordBatchBuilder",
            _DefaultRecordBatchBuilderPy,
        ),
        patch("aiokafka.producer.producer.DefaultRecordBatchBuilder", _DefaultRecordBatchBuilderPy),
    ):
        yield


POISON: dict[str, Callable[[str, str], tuple[bytes | None, list[tuple[str, bytes]]]]] = {
    "tombstone": lambda key, type: (None, _headers("", type, key)),
    "garbage": lambda key, type: (b"\xff\xfe\x00" + key.encode(), _headers("", type, key)),
    "other json": lambda key, type: (f'["{key}"]'.encode(), _headers("", type, key)),
    "wrong types": lambda key, type: (
        f'{{"occurred_at": 5, "x": "{key}"}}'.encode(),
        _headers("", type, key),
    ),
    "bad header": lambda key, type: (
        f'{{"x": "{key}"}}'.encode(),
        _headers("", type, key, ce_time=b"\xff\xfe"),
    ),
    "bad time": lambda key, type: (
        f'{{"x": "{key}"}}'.encode(),
        _headers("", type, key, ce_time=b"9999-12-31T23:59:59-12:00"),
    ),
    "no id": lambda key, type: (f'{{"x": "{key}"}}'.encode(), _headers("", type, key, ce_id=None)),
    "names that are no text": lambda key, type: (
        f'{{"x": "{key}"}}'.encode(),
        [(NoText(name), v) for name, v in _headers("", type, key)],
    ),
    "a name with a nul": lambda key, type: (f'{{"z": "{key}"}}'.encode(), [("a\x00b", b"\x00")]),
    "no headers": lambda key, type: (f'{{"x": "{key}"}}'.encode(), []),
    "unknown type": lambda key, type: (
        f'{{"x": "{key}"}}'.encode(),
        _headers("", "complaint.exploded.v9", key),
    ),
    "foreign key": lambda key, type: (
        f'{{"x": "{key}"}}'.encode(),
        _headers("", type, f"not-{key}"),
    ),
    "negative version": lambda key, type: (
        f'{{"x": "{key}"}}'.encode(),
        _headers("", type, key, ce_sequence=b"-1"),
    ),
    "huge": lambda key, type: (key.encode() + b"\x00" * 900_000, _headers("", type, key)),
    "reply wanted": lambda key, type: (
        f'{{"y": "{key}"}}'.encode(),
        [*_headers("", type, key), ("reply_to", b"ballots")],
    ),
}
"""Kind → (body, headers) that nobody can read."""
READABLE = frozenset({"garbage", "other json", "wrong types", "huge", "reply wanted"})
"""Kinds whose envelope is in order: only who hears such an event finds out."""
UNSIGNABLE = frozenset({"no id", "names that are no text", "a name with a nul", "no headers"})
"""Kinds without a MAC that fits: they are forged."""
POISONED = {
    "complaints": "complaint.registered.v1",
    "ballots": "ballots.released.v1",
    "cases": "case.opened.v1",
}


@fault("F20")
async def poisoned(rig: FaultRig, rng: random.Random, *, topic: str = "complaints") -> Observation:
    """One record of every kind that cannot be read; each must be dead-lettered once with its bytes while
    the partition goes on.
    """
    async with rig.producer() as producer:
        with any_header_name():
            await _poison(rig, producer, topic)
    return {"poison": len(POISON)}


async def _poison(rig: FaultRig, producer: AIOKafkaProducer, topic: str) -> None:
    for kind, make in POISON.items():
        key = str(uuid4())
        value, headers = make(key, POISONED[topic])
        rig.forged_ids |= {UUID(id.decode()) for name, id in headers if name == "ce_id"}
        rig.forged[key.encode(), value] = InjectedRecord(
            topic, POISONED[topic] if kind in READABLE else None
        )
        if kind not in UNSIGNABLE:
            headers = signed(rig.settings, topic, key, headers, value)
        await producer.send_and_wait(
            rig.settings.topic_prefix + topic, value, key=key.encode(), headers=headers
        )


@fault("F21")
async def dead_lettered_and_replayed(
    rig: FaultRig, rng: random.Random, *, service: str = "notify", seconds: float = 60.0
) -> Observation:
    """A bug in a handler dead-letters its events; once fixed they are replayed, twice. The second time
    changes nothing.
    """

    async def dead_lettered() -> bool:
        return bool(
            await rig.sql(
                f"select count(*) > 2 from {service}.dead_letters where state = 'pending' and reason = 'handler'"
            )
        )

    async with alone(rig, service) as process:
        await reborn(rig, process, "consumer.after_effect=bug@1+")
        async with traffic(rig, rng, operations=12):
            await until(dead_lettered, seconds, f"a dead letter of {service}")
        await reborn(rig, process)
    await asyncio.sleep(1)
    first, second = await _command(rig, "replay", service), await _command(rig, "replay", service)
    assert not first.startswith("0 applied"), f"the first replay printed: {first}"
    assert second.startswith("0 applied"), f"the second replay printed: {second}"
    return {"first": first, "second": second}


async def _command(rig: FaultRig, *words: str) -> str:
    """A `fengping` command against this installation, as an operator would give it."""
    program = [sys.executable, "-m", "services.cli", *words]
    env = {**os.environ, **rig.environment}
    done = await asyncio.to_thread(
        subprocess.run, program, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr[-500:]}"
    return done.stdout.strip()


@fault("F38")
async def answers_lost(rig: FaultRig, rng: random.Random, *, share: float = 0.5) -> Observation:
    """Answers that never arrived: the same writes come again under their keys and get the same
    answers.
    """
    done = next(
        (
            load
            for load in reversed(rig.loads)
            if load.ledger.exists() and load.ledger.stat().st_size > 0
        ),
        None,
    )
    assert done, "nothing was written yet whose answer could be lost"
    from services.simulate.ledger import acknowledged, read_ledger

    before = acknowledged(read_ledger(done.ledger))
    forgotten = [number for number in before if rng.random() < share] or list(before)[:1]
    assert forgotten, "nothing was acknowledged yet that could be sent again"
    copy = done.ledger.with_suffix(".again")
    copy_ledger(done.ledger, copy, forget=forgotten)
    again = replace(done, ledger=copy, operations=max(before, default=-1) + 1, rate=0)
    await rig.run_load(_same_plan(again, done))
    after = acknowledged(read_ledger(copy))
    differing = [
        n for n in forgotten if n in after and after[n].get("answer") != before[n].get("answer")
    ]
    assert not differing, f"operations {differing[:5]} got another answer the second time"
    return {"again": len(forgotten)}


def _same_plan(again: Any, done: Any) -> Any:
    """The kinds of a plan are drawn for all its operations at once: it stays as long as it was."""
    again.operations = done.operations
    return again


# ── time ──────────────────────────────────────────────────────────────────────────────────────────


@fault("F31")
async def service_clock_wrong(
    rig: FaultRig,
    rng: random.Random,
    *,
    service: str = "casework",
    by: str = "+40d",
    seconds: float = 8.0,
) -> Observation:
    """The clock of a service's machine is wrong: nothing may be due because of it, and its events
    still leave.
    """
    library = next(
        (path for folder in LIBRARIES for path in folder.glob("*/faketime/libfaketime.so.1")), None
    )
    if library is None:
        return {"skipped": "no libfaketime on this machine"}
    process = one(rig, service)
    await reborn(
        rig,
        process,
        extra={
            "LD_PRELOAD": str(library),
            "FAKETIME": by,
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
        },
    )
    await asyncio.sleep(seconds)
    stuck = await rig.sql(
        f"select coalesce(extract(epoch from now() - min(created_at)), 0)::float from {service}.outbox where published_at is null"
    )
    await reborn(rig, process)
    assert stuck < seconds, (
        f"events of {service} waited {stuck:.0f} s while its clock was wrong by {by}"
    )
    return {"by": by}


@fault("F32")
async def database_clock_jumps(
    rig: FaultRig, rng: random.Random, *, by: str = "40 days"
) -> Observation:
    """The clock of the database's host jumps: due work stops before anything lapses, until a person
    lets it go on.
    """
    fired = "select count(*) from casework.deadlines where lapsed_at is not null"
    before = await rig.sql(fired)
    # A process that has not looked at the clock yet knows no jump.
    await until(lambda: _watch_the_clock(rig), 30, "every service looks at the clock")
    await rig.sql("update public.clock_jump set by = $1::text::interval returning 1", by)
    closed = await until(lambda: _held(rig), 10, "every service holds its due work")
    await asyncio.sleep(2)
    assert await rig.sql(fired) == before, "deadlines lapsed by a jump of the clock"
    ready = [
        str(p)
        for p in rig.processes.all
        if p.wanted and (await get(p.internal_port, "/readyz"))[0] == 200
    ]
    assert not ready, f"{ready} say they are ready while due work is stopped"
    await rig.sql("update public.clock_jump set by = '0' returning 1")
    await asyncio.sleep(2)
    assert await rig.sql(fired) == before, "deadlines lapsed while the clock came back"
    output = await _command(rig, "clock", "release", "--by", "lab")
    return {"held_after_seconds": round(closed, 1), "released": output.replace("\n", " ")}


async def _watch_the_clock(rig: FaultRig) -> bool:
    metrics = [
        (await get(process.internal_port, "/metrics"))[1]
        for process in rig.processes.all
        if process.wanted
    ]
    return all("\nclock_jump_guard{" in text for text in metrics)


async def _held(rig: FaultRig) -> bool:
    counts = [
        await rig.sql(f"select count(*) from {service}.clock_holds where released_at is null")
        for service in SERVICES
    ]
    return all(counts)


@fault("F33")
async def lapse_wave(
    rig: FaultRig, rng: random.Random, *, days: int = 12, kills: int = 2
) -> Observation:
    """Everything that is owed falls due at once, and whoever tells of it is killed meanwhile."""
    due = await rig.sql(
        "select count(*) from casework.deadlines where state = 'running' and due_at <= public.app_now() + make_interval(days => $1)",
        days,
    )
    assert due, f"nothing is owed within {days} days"
    process = one(rig, "casework")
    await reborn(
        rig,
        process,
        *[
            rng.choice(
                (
                    "job.lapse_deadlines.before_commit=kill@3",
                    "job.lapse_deadlines.after_commit=kill@2",
                )
            )
        ]
        * kills,
    )
    await rig.advance(days=days)
    return {"due": due}
