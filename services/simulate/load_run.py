"""One run of a load: sends its operations and writes their outcomes to the ledger."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import cycle
from random import Random
from typing import Final

from services.simulate import texts
from services.simulate.client import ApiResponse, Ballot, Client, Json, id_of
from services.simulate.errors import RequestRejected, Unanswered
from services.simulate.ledger import Ledger, acknowledged
from services.simulate.releases import finding_number, release_summary
from services.simulate.requests import TargetCampaign, ballot_answers, complaint_body, visit_body
from shared.appraisal.calendar.working_days import civil_day
from shared.appraisal.schemes import Questionnaire

IN_FLIGHT_MAX: Final = 32
UNITS_PER_BALLOT: Final = 5
RELEASED_CHANNEL: Final = "hotline"
"""The channel whose complaints a reviewer releases at once; the others keep waiting."""
VISITED_MINUTES_AGO: Final = 90
LEDGER_FIELDS: Final = frozenset({"id", "number", "unit_id", "accepted"})
"""What the ledger keeps of an answer. It must not keep the query code: it opens the complaint's
progress page.
"""

FormGroup = tuple[str, str]
"""(key of a questionnaire, key of a respondent group)."""

BATCH_MIN: Final = 10
"""The smallest batch of questionnaire codes."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One write of a load. `kind` is complaint, ballot or visit; `key` the idempotency key."""

    number: int
    kind: str
    key: str
    rng: Random = field(repr=False)


@dataclass(frozen=True, slots=True)
class LoadSummary:
    """Operations by outcome, the duration, and the time to an answer (50th, 99th percentile)."""

    acknowledged: int
    replayed: int
    refused: int
    unknown: int
    skipped: int
    seconds: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Senders:
    """The signed-in clients, and those that submit ballots from several addresses."""

    operator: Client
    reviewer: Client
    inspector: Client
    office: Client
    respondents: tuple[Client, ...]

    def respondent(self, number: int) -> Client:
        """Return the client that submits the ballot of operation `number`."""
        return self.respondents[number % len(self.respondents)]


class LoadRun:
    """Sends the operations of a load that its ledger does not list as acknowledged."""

    def __init__(
        self,
        ledger: Ledger,
        senders: Senders,
        campaign: TargetCampaign,
        *,
        seed: int,
        rate: float,
        now: Callable[[], datetime],
        on_progress: Callable[[Counter[str]], None],
    ) -> None:
        self._ledger = ledger
        self._senders = senders
        self._campaign = campaign
        self._seed = seed
        self._rate = rate
        self._now = now
        self._on_progress = on_progress
        self._codes: dict[int, tuple[str, str]] = {}
        self._counts: Counter[str] = Counter()
        self._milliseconds: list[float] = []
        self._in_flight = asyncio.Semaphore(IN_FLIGHT_MAX)
        self._started_at = now()

    async def send(self, plan: Sequence[Operation]) -> LoadSummary:
        """Send the operations and return how they ended."""
        await self._restore_start()
        done = acknowledged(self._ledger.lines)
        pending = [operation for operation in plan if operation.number not in done]
        self._counts["skipped"] = len(plan) - len(pending)
        ballots = [operation for operation in plan if operation.kind == "ballot"]
        await self._issue_codes(ballots)
        started = time.perf_counter()
        await self._send_all(pending, started)
        return self._summary(time.perf_counter() - started)

    async def _send_all(self, pending: Sequence[Operation], started: float) -> None:
        async with asyncio.TaskGroup() as tasks:
            for position, operation in enumerate(pending):
                if self._rate:
                    due = started + position / self._rate
                    await asyncio.sleep(max(0.0, due - time.perf_counter()))
                await self._in_flight.acquire()
                tasks.create_task(self._send(operation))

    async def _restore_start(self) -> None:
        """Use the start of the first run: a repeated request must have the same content."""
        starts = (line["begun"] for line in self._ledger.lines if line["state"] == "begun")
        first = next(starts, None)
        if first is not None:
            self._started_at = datetime.fromisoformat(first)
            return
        await self._ledger.note(state="begun", begun=self._started_at.isoformat(), seed=self._seed)

    # ── questionnaire codes ───────────────────────────────────────────────────────────────────────

    async def _issue_codes(self, ballots: Sequence[Operation]) -> None:
        """Assign a code to each ballot; codes that an earlier run issued come from the ledger."""
        for form_group, numbers in self._numbers_by_form(ballots).items():
            codes = await self._codes_for(form_group, len(numbers))
            instrument, _ = form_group
            for number, code in zip(numbers, codes, strict=False):
                self._codes[number] = (instrument, code)

    def _numbers_by_form(self, ballots: Sequence[Operation]) -> dict[FormGroup, list[int]]:
        form_groups = [
            (form.key, group.key)
            for form in self._campaign.scheme.questionnaires
            for group in form.groups
        ]
        numbers: dict[FormGroup, list[int]] = {form_group: [] for form_group in form_groups}
        for form_group, operation in zip(cycle(form_groups), ballots, strict=False):
            numbers[form_group].append(operation.number)
        return numbers

    async def _codes_for(self, form_group: FormGroup, count: int) -> list[str]:
        instrument, group = form_group
        codes = self._codes_in_ledger(form_group)
        missing = count - len(codes)
        if missing > 0:
            wanted = max(missing, BATCH_MIN)
            office = self._senders.office
            batch = await office.request_codes(self._campaign.id, instrument, group, wanted)
            codes += await self._senders.reviewer.open_codes(batch)
            await self._ledger.note(
                state="codes",
                instrument=instrument,
                group=group,
                codes=codes,
            )
        return codes

    def _codes_in_ledger(self, form_group: FormGroup) -> list[str]:
        codes: list[str] = []
        for line in self._ledger.lines:
            if line["state"] == "codes" and (line["instrument"], line["group"]) == form_group:
                codes = list(line["codes"])
        return codes

    # ── operations ────────────────────────────────────────────────────────────────────────────────

    async def _send(self, operation: Operation) -> None:
        facts = {"id": operation.number, "kind": operation.kind, "key": operation.key}
        try:
            await self._ledger.note(state="sent", **facts)
            started = time.perf_counter()
            outcome = await self._outcome(operation)
            self._milliseconds.append(1000 * (time.perf_counter() - started))
            await self._ledger.note(**facts, **outcome)
            self._count(outcome)
        finally:
            self._in_flight.release()

    def _count(self, outcome: Json) -> None:
        self._counts[outcome["state"]] += 1
        self._counts["replayed"] += outcome.get("replayed", False)
        self._on_progress(self._counts)

    async def _outcome(self, operation: Operation) -> Json:
        try:
            response = await self._request(operation)
        except RequestRejected as rejected:
            return {"state": "refused", "status": rejected.status, "sentence": rejected.sentence}
        except Unanswered:
            return {"state": "unknown"}
        return _acknowledgement(response)

    async def _request(self, operation: Operation) -> ApiResponse:
        senders: dict[str, Callable[[Operation], Awaitable[ApiResponse]]] = {
            "complaint": self._send_complaint,
            "ballot": self._send_ballot,
            "visit": self._send_visit,
        }
        return await senders[operation.kind](operation)

    async def _send_complaint(self, operation: Operation) -> ApiResponse:
        rng = operation.rng
        unit = rng.choice(self._campaign.units)
        day = civil_day(self._started_at)
        complaint = texts.complaint(rng, unit, day)
        channel = rng.choice(("hotline", "hotline", "online"))
        drafted = channel == "online"
        body = complaint_body(complaint, self._campaign.id, channel, drafted=drafted)
        response = await self._senders.operator.register_complaint(body, key=operation.key)
        if channel == RELEASED_CHANNEL:
            release_key = id_of(operation.key, "release")
            number = response.body["number"]
            await release_summary(self._senders.reviewer, number, key=release_key)
        return response

    async def _send_ballot(self, operation: Operation) -> ApiResponse:
        instrument, code = self._codes[operation.number]
        answers = self._invented_answers(operation.rng, instrument)
        client = self._senders.respondent(operation.number)
        return await client.submit_ballot(code, answers, key=operation.key)

    def _invented_answers(self, rng: Random, instrument: str) -> Ballot:
        campaign = self._campaign
        form = campaign.scheme.instrument(instrument)
        assert isinstance(form, Questionnaire), "codes are issued for questionnaires"
        size = min(UNITS_PER_BALLOT, len(campaign.units))
        units = rng.sample(campaign.units, size)
        return ballot_answers(rng, campaign.scheme, form, units, {})

    async def _send_visit(self, operation: Operation) -> ApiResponse:
        visit_id = id_of(operation.key)
        body = self._invented_visit(operation.rng)
        response = await self._senders.inspector.submit_visit(visit_id, body)
        for position in range(len(body["findings"])):
            number = finding_number(response.body["number"], position)
            await release_summary(self._senders.reviewer, number, key=id_of(number, "release"))
        return response

    def _invented_visit(self, rng: Random) -> Json:
        # Cut to the day: a repetition hours later must have the same content.
        today = self._now().replace(
            hour=0,
            minute=0,
            second=0,
            microsecond=0,
        )
        campaign = self._campaign
        return visit_body(
            rng,
            campaign.id,
            campaign.scheme.checklists[0],
            rng.choice(campaign.units),
            visited_at=today - timedelta(minutes=VISITED_MINUTES_AGO),
            faults=rng.choice((0, 1, 2)),
        )

    def _summary(self, seconds: float) -> LoadSummary:
        counts = self._counts
        times = sorted(self._milliseconds) or [0.0]
        return LoadSummary(
            acknowledged=counts["acknowledged"],
            replayed=counts["replayed"],
            refused=counts["refused"],
            unknown=counts["unknown"],
            skipped=counts["skipped"],
            seconds=seconds,
            p50_ms=_percentile(times, 0.5),
            p99_ms=_percentile(times, 0.99),
        )


def _acknowledgement(response: ApiResponse) -> Json:
    recorded = LEDGER_FIELDS & response.body.keys()
    return {
        "state": "acknowledged",
        "status": response.status,
        "replayed": response.replayed,
        "attempts": response.attempts,
        "answer": {name: response.body[name] for name in recorded},
    }


def _percentile(ordered: Sequence[float], share: float) -> float:
    position = min(int(share * len(ordered)), len(ordered) - 1)
    return ordered[position]
