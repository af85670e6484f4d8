"""The demo: four weeks of a campaign in little more than a minute, then a quiet stream of events.

All accounts act through the public API by the legal time of a `DemoClock`. What happens, and under
which idempotency keys, follows from the seed and the day on which the demo began. A checkpoint
beside the data records the progress: a killed demo continues without doing anything twice.
"""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from datetime import date, datetime, time, timedelta
from random import Random
from typing import Final

from rich.console import Console

from services.simulate import texts
from services.simulate.accounts import INSPECTOR, OFFICE, REVIEWER, SUPERVISOR
from services.simulate.checkpoint import DemoCheckpoint
from services.simulate.client import Client, Json, id_of
from services.simulate.demo_clock import DAYS, AdjustableClock, adjusted_rate
from services.simulate.demo_console import DemoConsole, progress_line
from services.simulate.demo_public import LIVE_BALLOTS, DemoPublic
from services.simulate.errors import RequestRejected, Unanswered
from services.simulate.requests import TargetCampaign
from services.simulate.rounds import plan_covert_round
from services.simulate.staff import ClientPool, DemoStaff, unit_qualities
from services.simulate.timeline import (
    BALLOTS,
    HALL_BALLOTS,
    SEED,
    TimelineEvent,
    covert_days,
    demo_rules,
    timeline,
)
from services.simulate.units import CATEGORIES, UNITS, DemoUnit
from shared.appraisal.calendar.working_days import civil_day
from shared.foundation.clock import CHINA, real_now
from shared.foundation.settings import Settings

CONCURRENCY_MAX: Final = 6
WAIT_SECONDS_MAX: Final = 0.2
UPDATE_SECONDS: Final = 0.5
STAFF_SECONDS: Final = 0.2
STAFF_SECONDS_LIVE: Final = 3.0
OBLIGATIONS_FACTOR: Final = 5
COUNT_SECONDS: Final = 1.5
COUNT_SECONDS_LIVE: Final = 30.0
LIVE_SECONDS: Final = 4.0
CAMPAIGN_POLLS_MAX: Final = 300
RATING_SHARE: Final = 0.3
RATINGS_MAX: Final = 25
"""The public query page answers one address thirty times an hour; the rest is left for viewers."""
UNREAD_MAX: Final = 100
DEADLINES_MAX: Final = 1000

assert {unit.category for unit in UNITS} == set(CATEGORIES), "every category has units"


async def run_demo(
    settings: Settings,
    password: str,
    clock: AdjustableClock,
    console: Console,
) -> None:
    """Run the demo until cancelled.

    A failure is printed and ends the demo, not the installation.
    """
    begins = civil_day(clock.clock.anchor)
    checkpoint = DemoCheckpoint.open(settings.data_folder / "demo-checkpoint.json", begins)
    url = f"http://{settings.host}:{settings.port}"
    try:
        async with Client(url) as client:
            runner = DemoRunner(client, password, clock, checkpoint, console)
            await runner.run()
    except* (RequestRejected, Unanswered) as group:
        reasons = "; ".join(str(error) for error in _flattened(group))
        console.print("[red]the demo stopped:[/]", reasons)


def _flattened(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for nested in error.exceptions:
            yield from _flattened(nested)
    else:
        yield error


class DemoRunner:
    """Runs the public's timeline and the staff side by side."""

    def __init__(
        self,
        client: Client,
        password: str,
        clock: AdjustableClock,
        checkpoint: DemoCheckpoint,
        console: Console,
    ) -> None:
        self._client = client
        self._clock = clock
        self._checkpoint = checkpoint
        self._console = DemoConsole(console)
        self._clients = ClientPool(client, password)
        self._quality = unit_qualities(SEED)
        self._staff = DemoStaff(clients=self._clients, seed=SEED, quality=self._quality)
        self._timeline = timeline(checkpoint.begins)
        self._finished: set[int] = set()
        self._figures: dict[str, object] = {}
        self._staff_time: datetime | None = None
        self._rated = 0
        self._public: DemoPublic

    @property
    def now(self) -> datetime:
        """Legal time."""
        return self._clock.clock.at(real_now())

    @property
    def _is_behind(self) -> bool:
        has_events = self._checkpoint.done < len(self._timeline)
        return has_events or real_now() < self._clock.clock.meets_at

    async def run(self) -> None:
        """Play the four weeks, then keep the installation alive until cancelled."""
        await self._open_campaign()
        self._staff_time = self.now
        with self._console:
            async with asyncio.TaskGroup() as tasks:
                self._start_endless(tasks)
                await self._catch_up(tasks)
                await self._stay_alive()

    def _start_endless(self, tasks: asyncio.TaskGroup) -> None:
        endless = (
            self._release(),
            self._work(),
            self._fulfil(),
            self._rate(),
            self._count(),
        )
        for each in endless:
            tasks.create_task(each)

    async def _catch_up(self, tasks: asyncio.TaskGroup) -> None:
        """Play the four weeks until legal time meets real time."""
        showing = tasks.create_task(self._show_progress())
        adjusting = tasks.create_task(self._adjust_clock())
        await self._follow_timeline()
        await self._wait_until_caught_up()
        showing.cancel()
        adjusting.cancel()
        self._checkpoint.save()
        self._console.finish(self._line(DAYS), self._client.base_url)

    # ── time ──────────────────────────────────────────────────────────────────────────────────────

    async def _wait_until(self, legal: datetime) -> None:
        """Sleep until a legal instant, in short pieces: the rate of the clock may change."""
        while True:
            seconds = self._clock.clock.seconds_until(legal, real_now())
            if seconds <= 0:
                return
            await asyncio.sleep(min(seconds, WAIT_SECONDS_MAX))

    async def _wait_until_caught_up(self) -> None:
        while self._is_behind:
            in_an_hour = self.now + timedelta(hours=1)
            await self._wait_until(min(self._clock.clock.meets_at, in_an_hour))

    async def _adjust_clock(self) -> None:
        """Slow legal time down while the demo lags behind it, and speed it up again."""
        while self._is_behind:
            await asyncio.sleep(UPDATE_SECONDS)
            rate = self._clock.clock.rate
            adjusted = adjusted_rate(rate, self._lag_hours())
            if adjusted != rate:
                await self._clock.set_rate(adjusted)

    def _lag_hours(self) -> float:
        now = self.now
        done = self._checkpoint.done
        next_event_at = self._timeline[done].at if done < len(self._timeline) else now
        oldest = min(self._staff_time or now, next_event_at)
        return max(0.0, (now - oldest) / timedelta(hours=1))

    # ── the campaign ──────────────────────────────────────────────────────────────────────────────

    async def _open_campaign(self) -> None:
        office = await self._clients(OFFICE)
        campaign = await self._publish_campaign(office)
        await self._wait_for_campaign(office, campaign.id)
        if not self._checkpoint.codes:
            await self._issue_codes(office, campaign.id)
        if not self._checkpoint.covert_round:
            self._checkpoint.covert_round = await self._plan_round(office, campaign.id)
        self._checkpoint.save()
        self._public = DemoPublic(
            self._client,
            self._clients,
            campaign,
            self._checkpoint,
            self._quality,
        )
        done = self._timeline[: self._checkpoint.done]
        self._public.sent.update(event.kind for event in done)

    async def _publish_campaign(self, office: Client) -> TargetCampaign:
        begins = self._checkpoint.begins
        request = _campaign_request(begins)
        campaign_id = request["campaign_id"]
        key = id_of("demo", SEED, campaign_id, begins)
        # Idempotency keys expire after some days: a campaign that exists already is rejected.
        with suppress(RequestRejected):
            await office.publish_campaign(request, key=key)
        campaign, rules = await office.campaign(campaign_id)
        return TargetCampaign.of(campaign, rules)

    async def _wait_for_campaign(self, office: Client, campaign_id: str) -> None:
        """Wait until intake has consumed the campaign."""
        for _ in range(CAMPAIGN_POLLS_MAX):
            campaigns = await office.campaigns()
            if campaign_id in [campaign["id"] for campaign in campaigns]:
                return
            await asyncio.sleep(WAIT_SECONDS_MAX)
        raise Unanswered(f"intake has not received campaign {campaign_id}")

    async def _issue_codes(self, office: Client, campaign_id: str) -> None:
        ballots = BALLOTS | HALL_BALLOTS | {("hall", "live"): LIVE_BALLOTS}
        reviewer = await self._clients(REVIEWER)
        for (instrument, group), number in ballots.items():
            respondents = "applicants" if group == "live" else group
            batch = await office.request_codes(campaign_id, instrument, respondents, number)
            codes = await reviewer.open_codes(batch)
            self._checkpoint.codes[f"{instrument}/{group}"] = codes

    async def _plan_round(self, office: Client, campaign_id: str) -> str:
        """Plan the covert round of the second week; return its id."""
        inspector = await self._clients(INSPECTOR)
        begins, ends = covert_days(self._checkpoint.begins)
        key = id_of("demo", SEED, "round", campaign_id)
        return await plan_covert_round(
            office, campaign_id, inspector, begins_on=begins, ends_on=ends, key=key
        )

    # ── the public ────────────────────────────────────────────────────────────────────────────────

    async def _follow_timeline(self) -> None:
        """Perform each event at its time, a few concurrently."""
        free = asyncio.Semaphore(CONCURRENCY_MAX)
        start = self._checkpoint.done
        async with asyncio.TaskGroup() as tasks:
            for position, event in enumerate(self._timeline[start:], start):
                await self._wait_until(event.at)
                await free.acquire()
                tasks.create_task(self._perform(position, event, free))

    async def _perform(
        self,
        position: int,
        event: TimelineEvent,
        free: asyncio.Semaphore,
    ) -> None:
        try:
            await self._public.perform(event)
        finally:
            free.release()
        self._finished.add(position)
        while self._checkpoint.done in self._finished:
            self._finished.remove(self._checkpoint.done)
            self._checkpoint.done += 1

    async def _rate(self) -> None:
        """Rate the handling of some closed complaints."""
        supervisor = await self._clients(SUPERVISOR)
        while self._rated < RATINGS_MAX:
            await asyncio.sleep(1)
            closed = self._staff.closed
            self._staff.closed = []
            for number in closed:
                details = await supervisor.case(number)
                await self._rate_case(number, details["origin"]["source_number"])

    async def _rate_case(self, number: str, complaint_number: str) -> None:
        query_code = self._public.query_codes.pop(complaint_number, "")
        rng = Random(f"{SEED}/rating/{number}")
        if not query_code or rng.random() >= RATING_SHARE:
            return
        option, reason = _rating(rng)
        await self._client.rate_handling(complaint_number, query_code, option=option, reason=reason)
        self._rated += 1

    # ── the staff ─────────────────────────────────────────────────────────────────────────────────

    @property
    def _staff_seconds(self) -> float:
        return STAFF_SECONDS if self._is_behind else STAFF_SECONDS_LIVE

    async def _work(self) -> None:
        """Act on open cases as they become ready."""
        while True:
            now = self.now
            ready = await self._staff.ready(now)
            for first in range(0, len(ready), CONCURRENCY_MAX):
                batch = ready[first : first + CONCURRENCY_MAX]
                acting = [self._staff.act(case, rng) for case, rng in batch]
                await asyncio.gather(*acting)
            self._staff_time = now
            await asyncio.sleep(self._staff_seconds)

    async def _release(self) -> None:
        """Release redacted summaries as the reviewer comes to them."""
        while True:
            await self._staff.release_summaries(self.now)
            await asyncio.sleep(self._staff_seconds)

    async def _fulfil(self) -> None:
        """Submit what units owe."""
        while True:
            await self._staff.fulfil_obligations(self.now)
            await asyncio.sleep(OBLIGATIONS_FACTOR * self._staff_seconds)

    # ── display ───────────────────────────────────────────────────────────────────────────────────

    async def _show_progress(self) -> None:
        begins = datetime.combine(self._checkpoint.begins, time(0), CHINA)
        while True:
            days = (self.now - begins) / timedelta(days=1)
            self._console.update(days, self._line(int(days) + 1))
            self._checkpoint.save()
            await asyncio.sleep(UPDATE_SECONDS)

    def _line(self, day: int) -> str:
        return progress_line(day, self.now, self._public.sent, self._figures)

    async def _count(self) -> None:
        """Update the figures."""
        supervisor = await self._clients(SUPERVISOR)
        while True:
            self._figures = await self._read_figures(supervisor)
            await asyncio.sleep(COUNT_SECONDS if self._is_behind else COUNT_SECONDS_LIVE)

    async def _read_figures(self, supervisor: Client) -> dict[str, object]:
        _, closed = await supervisor.cases(state=["closed", "struck_off"], size=1)
        lapsed = await supervisor.read(
            "/casework/api/deadlines",
            state="lapsed",
            size=DEADLINES_MAX,
        )
        unread = await supervisor.unread()
        return {
            "open": self._staff.counts.total(),
            "closed": closed,
            "lapsed": len(lapsed),
            "notifications": f"{unread}+" if unread >= UNREAD_MAX else unread,
        }

    # ── afterwards ────────────────────────────────────────────────────────────────────────────────

    async def _stay_alive(self) -> None:
        """Do one small thing every few seconds, until cancelled."""
        while True:
            with suppress(RequestRejected, Unanswered):
                await self._public.perform_live(real_now())
            await asyncio.sleep(LIVE_SECONDS)


def _campaign_request(begins: date) -> Json:
    return {
        "rules": demo_rules(begins),
        "year": begins.year,
        "campaign_id": f"J-{begins.year}",
        "units": [_unit_request(unit) for unit in UNITS],
        "title": f"{begins.year} 年省直机关基层群众评议机关作风（演示）",
    }


def _unit_request(unit: DemoUnit) -> Json:
    return {
        "unit_id": unit.unit_id,
        "name": unit.name,
        "category": unit.category,
    }


def _rating(rng: Random) -> tuple[int, str]:
    """Return an option and the reason for it."""
    option = rng.choices((1, 2, 3), (60, 25, 15))[0]
    reason = rng.choice(texts.DISSATISFIED) if option == 3 else ""
    return option, reason
