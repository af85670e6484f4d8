"""A bounded load that keeps account of every request: what was sent, and what the system said it
took.

Context: after a fault the question is whether each acknowledged write had its effect exactly once.
That needs a witness outside.
Decision: each operation follows from the seed and its number, is written to the ledger before it is
sent and again when it is answered, synced to disk both times, and is repeated with the same key
until there is an answer. A run that was killed goes on from its ledger.
"""

import asyncio
import ipaddress
import json
import math
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Final
from urllib.parse import urlsplit

from services.simulate import texts
from services.simulate.client import (
    Answer,
    Ballot,
    Client,
    Json,
    RequestRejected,
    Unanswered,
    id_of,
)
from services.simulate.people import BODY, INSPECTOR, OFFICE, OPERATOR, Body
from shared.appraisal.schemes import Checklist, Questionnaire, Scheme
from shared.foundation.clock import CHINA, real_now

MIX: Final[Mapping[str, float]] = {"complaint": 6, "ballot": 12, "visit": 2}
"""Shares of the kinds of operations."""
IN_FLIGHT_MAX: Final = 32
BALLOTS_A_PLACE_SECOND: Final = 9.0
"""A questionnaire place is one address to the system, which takes 600 ballots a minute from each: a
faster load stands for more places.
"""
PLACES_MAX: Final = 60
VISITED_MINUTES_AGO: Final = 90


class ForeignHost(Exception):
    """The address is not this machine, and nobody said that it is theirs."""


def refuse_foreign(url: str, *, mine: bool = False) -> None:
    """Raise ForeignHost unless `url` leads to this machine, or `mine` says that whoever asks owns
    the host.
    """
    host = urlsplit(url).hostname or ""
    if not mine and not is_loopback(host):
        raise ForeignHost(
            f"{host or url} is not this machine: a load goes to your own installation only (--i-own-this-host)"
        )


def is_loopback(host: str) -> bool:
    """Does this name or address lead to this machine only?"""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


# ── the ledger ────────────────────────────────────────────────────────────────────────────────────


class Ledger:
    """JSON lines, each on disk before `note` returns. Many at once share one sync. Readable by its
    owner only: it holds codes.
    """

    def __init__(self, path: Path) -> None:
        self.lines = read_ledger(path)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._waiting: list[tuple[bytes, asyncio.Future[None]]] = []
        self._syncing = asyncio.Lock()

    async def note(self, **facts: Any) -> None:
        """Write one line; on disk when this returns."""
        line = (
            json.dumps({**facts, "at": real_now().isoformat()}, ensure_ascii=False).encode() + b"\n"
        )
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((line, done))
        async with self._syncing:
            if not done.done():
                await self._sync()
        await done

    async def _sync(self) -> None:
        taken, self._waiting = self._waiting, []
        await asyncio.to_thread(self._write, b"".join(line for line, _ in taken))
        for _, done in taken:
            done.set_result(None)

    def _write(self, lines: bytes) -> None:
        os.write(self._file, lines)
        os.fsync(self._file)

    def close(self) -> None:
        os.close(self._file)


def read_ledger(path: Path) -> list[Json]:
    """The whole lines of a ledger, in order; a last line that was cut off by a kill is left out. []
    when there is none.
    """
    if not path.exists():
        return []
    whole = [line for line in path.read_bytes().split(b"\n")[:-1] if line]
    return [json.loads(line) for line in whole]


def acknowledged(lines: Iterable[Json]) -> dict[int, Json]:
    """Operation number → the line that says the system took it."""
    return {line["id"]: line for line in lines if line["state"] == "acknowledged"}


# ── what is sent ──────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Campaign:
    """The campaign that the load speaks to, as the system told it."""

    id: str
    scheme: Scheme
    units: tuple[Body, ...]

    @staticmethod
    def of(told: Json, rules: str) -> "Campaign":
        """From the answers of the scoring API. A unit that the demo does not know gets matters that
        every office has.
        """
        return Campaign(
            told["campaign_id"],
            Scheme.from_json(rules),
            tuple(_body(unit) for unit in told["units"]),
        )


def _body(unit: Json) -> Body:
    known = BODY.get(unit["unit_id"])
    if known and known.name == unit["name"]:
        return known
    matters = ("材料受理", "证照办理", "政策咨询")
    return Body(
        unit["unit_id"],
        unit["unit_no"],
        unit["name"],
        unit["category"],
        tuple(unit.get("aliases", ())),
        matters,
    )


def complaint_body(
    told: texts.Told, campaign_id: str, channel: str, *, drafted: bool = False
) -> Json:
    """A complaint as the API takes it. `drafted`: without a redacted summary, so that the system
    makes one from the complaint text.
    """
    return {
        "campaign_id": campaign_id,
        "channel": channel,
        "kind": told.kind,
        "urgency": told.urgency,
        "urgency_reason": told.urgency_reason,
        "unit_id": told.unit_id,
        "problem_item": told.problem_item,
        "complaint_text": told.complaint_text,
        "redacted_summary": None if drafted else told.redacted_summary,
        "identity": told.identity,
        "name": told.name,
        "phone": told.phone,
        "address": told.address,
        "place": told.place,
        "occurred_at": told.occurred,
    }


def ballot_answers(
    rng: Random,
    scheme: Scheme,
    form: Questionnaire,
    units: Sequence[Body],
    standing: Mapping[str, float],
) -> Ballot:
    """Answers about these units: the better a unit stands (0–1; 0.8 when not listed), the more are
    satisfied.
    """
    options = [option.no for option in scheme.options if option.points is not None]
    unknown = [option.no for option in scheme.options if option.points is None]
    answers = []
    for unit in units:
        mood = min(max(rng.gauss(standing.get(unit.unit_id, 0.8), 0.15), 0.0), 1.0)
        for item in form.items:
            asked = unknown if unknown and rng.random() < 0.05 else options
            answers.append(
                (
                    unit.unit_no,
                    item.no,
                    asked[
                        min(int((1 - mood) * rng.uniform(0.4, 1.6) * len(asked)), len(asked) - 1)
                    ],
                )
            )
    return answers


def visit_body(
    rng: Random,
    campaign_id: str,
    checklist: Checklist,
    unit: Body,
    *,
    visited_at: datetime,
    faults: int,
) -> Json:
    """An inspection visit with so many lines of the checklist found wanting."""
    wrong = {item.id for item in rng.sample(checklist.items, faults)}
    found = {
        item.id: texts.finding(rng, unit, item.id, visited_at.astimezone(CHINA).date())
        for item in checklist.items
        if item.id in wrong
    }
    return {
        "campaign_id": campaign_id,
        "unit_id": unit.unit_id,
        "mode": rng.choice(("covert", "announced")),
        "visited_at": visited_at.isoformat(),
        "device_at": visited_at.isoformat(),
        "place": f"{unit.name}办事窗口",
        "items": [
            {
                "item_id": item.id,
                "result": "fail" if item.id in wrong else "pass",
                "note": found.get(item.id, ""),
            }
            for item in checklist.items
        ],
        "findings": [
            {
                "item_id": item_id,
                "severity": rng.choices(("minor", "ordinary", "serious"), (4, 5, 1))[0],
                "summary": seen,
            }
            for item_id, seen in found.items()
        ],
        "remarks": texts.remark(rng),
    }


@dataclass(frozen=True, slots=True)
class Operation:
    """One write of the load. `number` from 0; kind complaint, ballot or visit; `key` is its
    idempotency key.
    """

    number: int
    kind: str
    key: str
    rng: Random = field(repr=False)


@dataclass(frozen=True, slots=True)
class Tally:
    """How a run ended: operations by outcome, seconds it took, and the milliseconds to an answer
    (50th, 99th percentile).
    """

    acknowledged: int
    replayed: int
    refused: int
    unknown: int
    skipped: int
    seconds: float
    p50_ms: float
    p99_ms: float


@dataclass(kw_only=True)
class Load:
    """A load of so many operations, `rate` a second (0: as fast as they are answered).

    `now` is legal time, for the day of visits; tests with virtual time give their own. `password`:
    of the demo's accounts, by whom things are registered, inspected and codes issued. `mine`:
    whoever asks owns a host that is not this machine.
    """

    base_url: str
    password: str
    ledger: Path
    seed: int = 1
    rate: float = 20.0
    operations: int = 1000
    mix: Mapping[str, float] = field(default_factory=lambda: dict(MIX))
    campaign_id: str | None = None
    attempts_max: int = 40
    mine: bool = False
    now: Callable[[], datetime] = real_now
    told: Callable[[Counter[str]], None] = lambda _: None

    async def run(self) -> Tally:
        """Send everything that the ledger does not call acknowledged. Raises ForeignHost, RequestRejected,
        Unanswered (before the start).
        """
        refuse_foreign(self.base_url, mine=self.mine)
        ledger = Ledger(self.ledger)
        try:
            async with self._senders() as senders:
                return await _Run(self, ledger, senders, await self._campaign(senders)).go()
        finally:
            ledger.close()

    def plan(self) -> list[Operation]:
        """All operations, in order; the same for the same seed, count and mix."""
        kinds, weights = tuple(self.mix), tuple(self.mix.values())
        chosen = Random(f"{self.seed}/kinds").choices(kinds, weights, k=self.operations)
        return [
            Operation(
                number,
                kind,
                str(id_of("load", self.seed, number, kind)),
                Random(f"{self.seed}/{number}"),
            )
            for number, kind in enumerate(chosen)
        ]

    @asynccontextmanager
    async def _senders(self) -> AsyncIterator["Senders"]:
        clients = [
            Client(self.base_url, source=source, attempts_max=self.attempts_max)
            for source in self._places()
        ]
        try:
            operator, inspector, office = [
                await clients[0].sign_in(person.name, self.password)
                for person in (OPERATOR, INSPECTOR, OFFICE)
            ]
            yield Senders(operator, inspector, office, tuple(clients))
        finally:
            for client in clients:
                await client.close()

    def _places(self) -> list[str | None]:
        share = self.mix.get("ballot", 0) / sum(self.mix.values())
        wanted = (
            PLACES_MAX if self.rate == 0 else math.ceil(self.rate * share / BALLOTS_A_PLACE_SECOND)
        )
        host = urlsplit(self.base_url).hostname or ""
        alone = wanted <= 1 or not host.startswith("127.")
        return (
            [None]
            if alone
            else [f"127.0.1.{number}" for number in range(1, min(wanted, PLACES_MAX) + 1)]
        )

    async def _campaign(self, senders: "Senders") -> Campaign:
        known = self.campaign_id or next(
            (one["id"] for one in await senders.office.campaigns()), None
        )
        if known is None:
            raise RequestRejected(
                409, "no campaign has been published yet: publish one first, or start with --demo"
            )
        return Campaign.of(*await senders.office.campaign(known))


@dataclass(frozen=True, slots=True)
class Senders:
    """Who sends: the people signed in, and the places where questionnaires are filled in."""

    operator: Client
    inspector: Client
    office: Client
    places: tuple[Client, ...]


class _Run:
    """One run of a load."""

    def __init__(self, load: Load, ledger: Ledger, senders: Senders, campaign: Campaign) -> None:
        self._load, self._ledger, self._senders, self._campaign = load, ledger, senders, campaign
        self._codes: dict[int, tuple[str, str]] = {}
        self._counts: Counter[str] = Counter()
        self._milliseconds: list[float] = []
        self._places = asyncio.Semaphore(IN_FLIGHT_MAX)
        self._begun = load.now()

    async def go(self) -> Tally:
        await self._begin()
        plan, taken = self._load.plan(), acknowledged(self._ledger.lines)
        left = [operation for operation in plan if operation.number not in taken]
        self._counts["skipped"] = len(plan) - len(left)
        await self._issue_codes([operation for operation in plan if operation.kind == "ballot"])
        started = time.perf_counter()
        async with asyncio.TaskGroup() as sending:
            for place, operation in enumerate(left):
                if self._load.rate:
                    await asyncio.sleep(
                        max(0.0, started + place / self._load.rate - time.perf_counter())
                    )
                await self._places.acquire()
                sending.create_task(self._send(operation))
        return self._tally(time.perf_counter() - started)

    async def _begin(self) -> None:
        """The day of which the texts speak is that of the first run: sent again, a request must say
        the same.
        """
        first = next(
            (line["begun"] for line in self._ledger.lines if line["state"] == "begun"), None
        )
        if first is None:
            await self._ledger.note(
                state="begun", begun=self._begun.isoformat(), seed=self._load.seed
            )
        else:
            self._begun = datetime.fromisoformat(first)

    async def _issue_codes(self, ballots: Sequence[Operation]) -> None:
        """A code for each ballot: those of the ledger when an earlier run issued them."""
        forms = [
            (form.key, group.key)
            for form in self._campaign.scheme.questionnaires
            for group in form.groups
        ]
        by_form: dict[tuple[str, str], list[int]] = {form: [] for form in forms}
        for place, operation in enumerate(ballots):
            by_form[forms[place % len(forms)]].append(operation.number)
        known = {
            (line["instrument"], line["group"]): line["codes"]
            for line in self._ledger.lines
            if line["state"] == "codes"
        }
        for (instrument, group), numbers in by_form.items():
            codes = known.get((instrument, group), [])
            if len(codes) < len(numbers):
                missing = len(numbers) - len(codes)
                codes = codes + await self._senders.office.issue_tokens(
                    self._campaign.id, instrument, group, missing
                )
                await self._ledger.note(
                    state="codes", instrument=instrument, group=group, codes=codes
                )
            self._codes |= {
                number: (instrument, code) for number, code in zip(numbers, codes, strict=False)
            }

    async def _send(self, operation: Operation) -> None:
        try:
            await self._ledger.note(
                state="sent", id=operation.number, kind=operation.kind, key=operation.key
            )
            started = time.perf_counter()
            facts = await self._outcome(operation)
            self._milliseconds.append(1000 * (time.perf_counter() - started))
            await self._ledger.note(
                id=operation.number, kind=operation.kind, key=operation.key, **facts
            )
            self._counts[facts["state"]] += 1
            self._counts["replayed"] += facts.get("replayed", False)
            self._load.told(self._counts)
        finally:
            self._places.release()

    async def _outcome(self, operation: Operation) -> Json:
        try:
            answer = await getattr(self, f"_send_{operation.kind}")(operation)
        except RequestRejected as rejected:
            return {"state": "refused", "status": rejected.status, "sentence": rejected.sentence}
        except Unanswered:
            return {"state": "unknown"}
        # The query code opens the complaint's progress to whoever has it; it has no business in a
        # ledger.
        told = {
            name: value
            for name, value in answer.body.items()
            if name in ("id", "number", "unit_id", "accepted")
        }
        return {
            "state": "acknowledged",
            "status": answer.status,
            "replayed": answer.replayed,
            "attempts": answer.attempts,
            "answer": told,
        }

    async def _send_complaint(self, operation: Operation) -> Answer:
        rng = operation.rng
        told = texts.complaint(
            rng, rng.choice(self._campaign.units), self._begun.astimezone(CHINA).date()
        )
        channel = rng.choice(("hotline", "hotline", "online"))
        body = complaint_body(told, self._campaign.id, channel, drafted=channel == "online")
        return await self._senders.operator.register_complaint(body, key=operation.key)

    async def _send_ballot(self, operation: Operation) -> Answer:
        instrument, code = self._codes[operation.number]
        form = self._campaign.scheme.instrument(instrument)
        assert isinstance(form, Questionnaire), "codes are issued for questionnaires"
        units = operation.rng.sample(self._campaign.units, min(5, len(self._campaign.units)))
        answers = ballot_answers(operation.rng, self._campaign.scheme, form, units, {})
        place = self._senders.places[operation.number % len(self._senders.places)]
        return await place.submit_ballot(code, answers, key=operation.key)

    async def _send_visit(self, operation: Operation) -> Answer:
        rng, checklist = operation.rng, self._campaign.scheme.checklists[0]
        # Cut to the day: a repetition after hours must say the same.
        visited_at = self._load.now().replace(
            hour=0, minute=0, second=0, microsecond=0
        ) - timedelta(minutes=VISITED_MINUTES_AGO)
        body = visit_body(
            rng,
            self._campaign.id,
            checklist,
            rng.choice(self._campaign.units),
            visited_at=visited_at,
            faults=rng.choice((0, 1, 2)),
        )
        return await self._senders.inspector.submit_visit(id_of(operation.key), body)

    def _tally(self, seconds: float) -> Tally:
        times, counts = sorted(self._milliseconds) or [0.0], self._counts
        at = [times[min(int(share * len(times)), len(times) - 1)] for share in (0.5, 0.99)]
        return Tally(
            counts["acknowledged"],
            counts["replayed"],
            counts["refused"],
            counts["unknown"],
            counts["skipped"],
            seconds,
            at[0],
            at[1],
        )
