"""The public of the demo: registers complaints, submits ballots and inspects units."""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from random import Random
from typing import Final

from services.simulate import texts
from services.simulate.accounts import INSPECTOR, OPERATOR
from services.simulate.checkpoint import DemoCheckpoint
from services.simulate.client import Ballot, Client, Json, id_of
from services.simulate.errors import RequestRejected
from services.simulate.requests import TargetCampaign, ballot_answers, complaint_body, visit_body
from services.simulate.staff import ClientPool
from services.simulate.timeline import (
    BALLOTS,
    KINDS,
    SEED,
    TimelineEvent,
    ballot_position,
    covert_days,
)
from services.simulate.units import UNITS, UNITS_BY_ID, DemoUnit
from shared.appraisal.calendar.working_days import civil_day
from shared.appraisal.schemes import Questionnaire

LIVE_BALLOTS: Final = 2_000
LIVE_CODES: Final = "hall/live"
LIVE_UNITS: Final = 3
CHANNELS: Final = ("hotline", "online", "letter", "counter")
CHANNEL_WEIGHTS: Final = (50, 38, 6, 6)
TOLERATED_STATUSES: Final = frozenset({404, 409, 410, 422})
"""The event was performed before, and its idempotency key has expired."""


class DemoPublic:
    """Performs timeline events through the API."""

    def __init__(
        self,
        client: Client,
        clients: ClientPool,
        campaign: TargetCampaign,
        checkpoint: DemoCheckpoint,
        quality: Mapping[str, float],
    ) -> None:
        self._client = client
        self._clients = clients
        self._campaign = campaign
        self._checkpoint = checkpoint
        self._quality = quality
        self.sent: Counter[str] = Counter()
        """Events performed, by kind."""
        self.query_codes: dict[str, str] = {}
        """Query codes by complaint number."""

    async def perform(self, event: TimelineEvent) -> None:
        """Perform an event; one that was performed before is skipped."""
        performers: dict[str, Callable[[TimelineEvent], Awaitable[None]]] = {
            "complaint": self._complain,
            "ballot": self._submit_ballot,
            "visit": self._inspect,
        }
        try:
            await performers[event.kind](event)
        except RequestRejected as rejected:
            if rejected.status not in TOLERATED_STATUSES:
                raise
        self.sent[event.kind] += 1

    async def perform_live(self, at: datetime) -> None:
        """Perform one event at `at`, after the timeline has ended."""
        number = int(at.timestamp())
        rng = Random(number)
        kind = rng.choices(KINDS, (4, 5, 1))[0]
        unit_id = rng.choice(UNITS).unit_id
        event = TimelineEvent(at, kind, number, unit_id if kind == "visit" else "")
        if kind == "ballot":
            await self._submit_live_ballot(event)
        else:
            await self.perform(event)

    async def _complain(self, event: TimelineEvent) -> None:
        operator = await self._clients(OPERATOR)
        body = self._invented_complaint(event)
        response = await operator.register_complaint(body, key=event.key)
        receipt = response.body
        self.query_codes[receipt["number"]] = receipt["query_code"]

    def _invented_complaint(self, event: TimelineEvent) -> Json:
        rng = event.rng
        day = civil_day(event.at)
        weights = [1.35 - self._quality[unit.unit_id] for unit in UNITS]
        unit = rng.choices(UNITS, weights)[0]
        channel = rng.choices(CHANNELS, CHANNEL_WEIGHTS)[0]
        complaint = texts.complaint(rng, unit, day)
        drafted = channel == "online" and rng.random() < 0.5
        return complaint_body(complaint, self._campaign.id, channel, drafted=drafted)

    async def _submit_ballot(self, event: TimelineEvent) -> None:
        instrument, _, _ = event.about.partition("/")
        rng = event.rng
        units = _ballot_units(rng, instrument, event.number)
        answers = self._answers(rng, instrument, units)
        code = self._checkpoint.codes[event.about][ballot_position(event)]
        await self._client.submit_ballot(code, answers, key=event.key)

    async def _submit_live_ballot(self, event: TimelineEvent) -> None:
        codes = self._checkpoint.codes[LIVE_CODES]
        if not codes:
            return
        code = codes.pop()
        self._checkpoint.save()
        units = event.rng.sample(UNITS, LIVE_UNITS)
        answers = self._answers(event.rng, "hall", units)
        await self._client.submit_ballot(code, answers, key=event.key)
        self.sent["ballot"] += 1

    def _answers(
        self,
        rng: Random,
        instrument: str,
        units: Sequence[DemoUnit],
    ) -> Ballot:
        form = self._campaign.scheme.instrument(instrument)
        assert isinstance(form, Questionnaire), "ballots belong to a questionnaire"
        return ballot_answers(rng, self._campaign.scheme, form, units, self._quality)

    async def _inspect(self, event: TimelineEvent) -> None:
        inspector = await self._clients(INSPECTOR)
        visit = self._invented_visit(event)
        visit_id = id_of("demo", SEED, "visit", event.number, self._checkpoint.begins)
        await inspector.submit_visit(visit_id, visit)

    def _invented_visit(self, event: TimelineEvent) -> Json:
        rng = event.rng
        unit = UNITS_BY_ID[event.about]
        return visit_body(
            rng,
            self._campaign.id,
            self._campaign.scheme.checklists[0],
            unit,
            visited_at=event.at,
            faults=_fault_count(rng, self._quality[unit.unit_id]),
            covert_round=self._covert_round_at(event.at),
        )

    def _covert_round_at(self, at: datetime) -> str:
        """Return the covert round that inspects on the day of `at`, "" if none does."""
        first, last = covert_days(self._checkpoint.begins)
        is_covert = first <= civil_day(at) <= last
        return self._checkpoint.covert_round if is_covert else ""


def _fault_count(rng: Random, quality: float) -> int:
    weakness = 1 - quality
    weights = (4 * (1 - weakness), 2, 4 * weakness, 3 * weakness)
    return rng.choices((0, 1, 2, 3), weights)[0]


def _ballot_units(
    rng: Random,
    instrument: str,
    number: int,
) -> list[DemoUnit]:
    if instrument == "hall":
        return rng.sample(UNITS, rng.randint(3, 7))
    if instrument == "contacts":
        leads = BALLOTS["contacts", "contact_leads"]
        return [unit for unit in UNITS if unit.unit_no % leads == number % leads]
    return list(UNITS)
