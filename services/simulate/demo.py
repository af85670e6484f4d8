"""The demo: four weeks of a campaign in little more than a minute, then a quiet stream that keeps
the boards alive.

Legal time runs fast until it has caught up with the real one (`Pace`); everybody acts by it through
the public API. What happens, and under which keys, follows from the seed and the day on which the
demo began; a journal beside the data says how far it came. Killed and started again it goes on,
without a second of anything.
"""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, Final, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table

from services.simulate import texts
from services.simulate.client import Client, RequestRejected, Unanswered, id_of
from services.simulate.load import Campaign, ballot_answers, complaint_body, visit_body
from services.simulate.people import (
    BODIES,
    CATEGORIES,
    INSPECTOR,
    LEADER,
    OFFICE,
    OPERATOR,
    SUPERVISOR,
    Body,
)
from services.simulate.staff import People, Staff, standings
from shared.appraisal.calendar.holiday_notices import china
from shared.appraisal.schemes import Questionnaire
from shared.appraisal.schemes.files import FOLDER
from shared.foundation.clock import CHINA, real_now
from shared.foundation.settings import Settings

DAYS: Final = 28
CATCH_UP_SECONDS: Final = 70.0
FULL_RATE: Final = DAYS * 86_400 / CATCH_UP_SECONDS + 1
SLOWEST_RATE: Final = 1_000.0
STEER: Final = 1.6
LAG_HOURS: Final = (6.0, 14.0)
"""When the people of the demo are so far behind legal time, it may run faster again, or must run
slower: on a slow machine the demo takes longer instead of leaving its cases to lapse.
"""
SEED: Final = 20200812
STEPS_AT_ONCE_MAX: Final = 6
LIVE_SECONDS: Final = 4.0
PLAIN_LINE_EVERY: Final = 10
"""Where no bar can be drawn, a line is printed at each so-many-th look."""
STAFF_LOOK_SECONDS: Final = 0.2
STAFF_LOOK_SECONDS_LIVE: Final = 3.0
CAMPAIGN_LOOKS_MAX: Final = 300

PLAN_DUE_DAY: Final = 7
REPORT_DUE_DAYS_AFTER_NOW: Final = 8
BALLOTS: Final = {
    ("deputies", "npc"): 40,
    ("deputies", "cppcc"): 36,
    ("cities", "city_units"): 32,
    ("contacts", "contact_leads"): 11,
}
HALL_BALLOTS: Final = {("hall", "applicants"): 260, ("hall", "complainants"): 90}
"""How many ballots of each group; those of the hall are about a few units each, where people had
business.
"""
LIVE_BALLOTS: Final = 2_000
RATING_SHARE: Final = 0.3
RATINGS_MAX: Final = 25
"""The public query page answers one address thirty times an hour, and leaves the rest to whoever
watches the demo.
"""


@dataclass(frozen=True, slots=True)
class Pace:
    """Legal time runs from `anchor` since `started_at` (real), `rate` seconds a second, until it
    meets the real time.
    """

    anchor: datetime
    started_at: datetime
    rate: float

    @staticmethod
    def starting(now: datetime) -> "Pace":
        """Four weeks back, and slow until the people of the demo are at work."""
        return Pace(now - timedelta(days=DAYS), now, SLOWEST_RATE)

    def at(self, real: datetime) -> datetime:
        """Legal time at that real instant."""
        return min(self.anchor + (real - self.started_at) * self.rate, real)

    def seconds_until(self, legal: datetime, real: datetime) -> float:
        """Real seconds from `real` until it is legally `legal`; 0 when that is over."""
        wanted = (
            min(self.started_at + (legal - self.anchor) / self.rate, self.meets_at)
            if legal < self.meets_at
            else legal
        )
        return max(0.0, (wanted - real).total_seconds())

    @property
    def meets_at(self) -> datetime:
        """The real instant at which legal time has caught up."""
        return self.started_at + (self.started_at - self.anchor) / (self.rate - 1)

    def again(
        self, now: datetime, *, last_written_at: datetime | None, last_legal: datetime | None
    ) -> "Pace":
        """The pace on a second start. Killed while it was catching up, it goes on from the last
        legal instant anything was written at.
        """
        if last_written_at is not None and last_written_at >= self.meets_at:
            return self
        return Pace(last_legal or now - timedelta(days=DAYS), now, SLOWEST_RATE)


class LegalClock(Protocol):
    """The clock of a demo installation, as the program that keeps it gives it."""

    @property
    def pace(self) -> Pace:
        """How legal time runs now."""

    async def run_at(self, rate: float) -> None:
        """Let it run at this rate from now on."""


# ── what happens when ─────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, order=True)
class Step:
    """One thing that somebody outside does: `kind` complaint, ballot or visit, the `number`-th of
    its kind. `about` is a unit or a form.
    """

    at: datetime
    kind: str
    number: int
    about: str = ""

    @property
    def key(self) -> str:
        """Idempotency key, the same whenever this step is taken."""
        return str(id_of("demo", SEED, self.kind, self.number, self.at.date()))

    @property
    def rng(self) -> Random:
        return Random(f"{SEED}/{self.kind}/{self.number}")


def timeline(begins: date) -> list[Step]:
    """All steps of the four weeks, in order; the same for the same first day."""
    return sorted([*_complaints(begins), *_ballots(begins), *_visits(begins)])


def _complaints(begins: date) -> Iterator[Step]:
    rng, numbers, calendar = Random(f"{SEED}/complaints"), count(), china()
    for day in (begins + timedelta(days=n) for n in range(DAYS)):
        for _ in range(rng.randint(6, 11) if calendar.is_workday(day) else rng.randint(1, 4)):
            yield Step(_moment(day, rng, 8, 20), "complaint", next(numbers))


def _ballots(begins: date) -> Iterator[Step]:
    rng, numbers = Random(f"{SEED}/ballots"), count()
    days = [begins + timedelta(days=n) for n in range(PLAN_DUE_DAY + 1, DAYS)]
    for (instrument, group), many in (BALLOTS | HALL_BALLOTS).items():
        for _ in range(many):
            yield Step(
                _moment(rng.choice(days), rng, 9, 17),
                "ballot",
                next(numbers),
                f"{instrument}/{group}",
            )


def _visits(begins: date) -> Iterator[Step]:
    """Every unit once at least, at irregular times; some twice."""
    rng = Random(f"{SEED}/visits")
    days = [
        day
        for day in (begins + timedelta(days=n) for n in range(PLAN_DUE_DAY + 1, DAYS))
        if china().is_workday(day)
    ]
    units = rng.sample(BODIES, len(BODIES)) + rng.sample(BODIES, len(BODIES) // 3)
    for number, unit in enumerate(units):
        yield Step(
            _moment(days[number * len(days) // len(units)], rng, 9, 16),
            "visit",
            number,
            unit.unit_id,
        )


def _moment(day: date, rng: Random, first_hour: int, last_hour: int) -> datetime:
    minutes = rng.randint(first_hour * 60, last_hour * 60)
    return datetime.combine(
        day, time(minutes // 60, minutes % 60, rng.randrange(60)), CHINA
    ).astimezone(UTC)


def rules_around(begins: date) -> str:
    """Scheme J's text with its dates moved around the demo: plans are owed in the first week,
    self-appraisals shortly after today.
    """
    report = begins + timedelta(days=DAYS + REPORT_DUE_DAYS_AFTER_NOW)
    moved = {
        "08-15": begins,
        "09-01": begins + timedelta(days=PLAN_DUE_DAY),
        "09-02": begins + timedelta(days=PLAN_DUE_DAY + 1),
        "11-30": report,
        "12-01": report + timedelta(days=1),
        "12-10": report + timedelta(days=10),
    }
    text = (FOLDER / "j.yaml").read_text(encoding="utf-8")
    for written, day in moved.items():
        written_so = f"{day:%m-%d}" if day.year == begins.year else f'"+1 {day:%m-%d}"'
        for key in ("begins", "ends", "due"):
            text = text.replace(f"{key}: {written}", f"{key}: @{written_so}")
    return text.replace(": @", ": ")


# ── how far it came ───────────────────────────────────────────────────────────────────────────────


@dataclass
class Journal:
    """What must outlive a kill: the first day, the questionnaire codes, and how many steps are
    done. Readable by its owner only.
    """

    path: Path
    begins: date
    codes: dict[str, list[str]] = field(default_factory=dict)
    done: int = 0

    @staticmethod
    def open(path: Path, begins: date) -> "Journal":
        """The journal at `path`; a new one that begins on this day when there is none."""
        if not path.exists():
            return Journal(path, begins)
        kept = json.loads(path.read_text())
        return Journal(path, date.fromisoformat(kept["begins"]), kept["codes"], kept["done"])

    def save(self) -> None:
        """Write it in one step."""
        beside = self.path.with_suffix(".new")
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(
                {"begins": self.begins.isoformat(), "codes": self.codes, "done": self.done}, file
            )
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, self.path)


# ── the play ──────────────────────────────────────────────────────────────────────────────────────


async def play(settings: Settings, password: str, clock: LegalClock, console: Console) -> None:
    """Play until cancelled. Nothing that goes wrong here may stop the system it plays on: it is
    told, and the play ends.
    """
    url = f"http://{settings.host}:{settings.port}"
    journal = Journal.open(
        settings.data_folder / "demo-journal.json", clock.pace.anchor.astimezone(CHINA).date()
    )
    try:
        async with Client(url) as client:
            await Play(client, password, clock, journal, console).run()
    except* (RequestRejected, Unanswered) as troubles:
        console.print(
            "[red]the demo stopped:[/]", "; ".join(str(trouble) for trouble in leaves(troubles))
        )


def leaves(group: BaseException) -> list[BaseException]:
    """The exceptions in a group of groups."""
    return (
        [leaf for one in group.exceptions for leaf in leaves(one)]
        if isinstance(group, BaseExceptionGroup)
        else [group]
    )


class Play:
    """One play: the people outside by the timeline, the staff by what they see."""

    def __init__(
        self, client: Client, password: str, clock: LegalClock, journal: Journal, console: Console
    ) -> None:
        self._client, self._clock, self._journal, self._console = client, clock, journal, console
        self._people = People(client, password)
        self._standing = standings(SEED)
        self._staff = Staff(people=self._people, seed=SEED, standing=self._standing)
        self._steps = timeline(journal.begins)
        self._query_codes: dict[str, str] = {}
        self._rated = 0
        done = self._steps[: journal.done]
        self._sent = {
            kind: sum(step.kind == kind for step in done)
            for kind in ("complaint", "ballot", "visit")
        }
        self._finished: set[int] = set()
        self._figures: dict[str, Any] = {}
        self._looked_at: datetime | None = None
        self._campaign: Campaign

    @property
    def now(self) -> datetime:
        """Legal time."""
        return self._clock.pace.at(real_now())

    @property
    def _behind(self) -> bool:
        return self._journal.done < len(self._steps) or real_now() < self._clock.pace.meets_at

    async def run(self) -> None:
        await self._open_campaign()
        self._looked_at = self.now
        with self._progress() as progress:
            bar = progress.add_task("", total=DAYS)
            async with asyncio.TaskGroup() as tasks:
                for endless in (self._work(), self._hand_in(), self._rate(), self._count()):
                    tasks.create_task(endless)
                passing = [
                    tasks.create_task(self._show(progress, bar)),
                    tasks.create_task(self._steer()),
                ]
                await self._follow_timeline()
                await self._until_caught_up()
                for task in passing:
                    task.cancel()
                self._journal.save()
                progress.stop()
                self._tell_what_to_look_at()
                await self._stay_alive()

    async def _until(self, legal: datetime) -> None:
        """Sleep until it is legally `legal`, in short pieces: the pace may change meanwhile."""
        for _ in count():
            seconds = self._clock.pace.seconds_until(legal, real_now())
            if seconds <= 0:
                return
            await asyncio.sleep(min(seconds, 0.2))

    async def _until_caught_up(self) -> None:
        while self._behind:
            await self._until(min(self._clock.pace.meets_at, self.now + timedelta(hours=1)))

    async def _steer(self) -> None:
        """Slow legal time down while the people are behind it, and let it run again."""
        while self._behind:
            await asyncio.sleep(0.5)
            rate, lag = self._clock.pace.rate, self._lag_hours()
            wanted = (
                max(rate / STEER, SLOWEST_RATE)
                if lag > LAG_HOURS[1]
                else min(rate * STEER, FULL_RATE)
                if lag < LAG_HOURS[0]
                else rate
            )
            if wanted != rate:
                await self._clock.run_at(wanted)

    def _lag_hours(self) -> float:
        """How far the slowest of the people is behind legal time."""
        now, done = self.now, self._journal.done
        waiting = [self._looked_at or now, self._steps[done].at if done < len(self._steps) else now]
        return max(0.0, (now - min(waiting)) / timedelta(hours=1))

    # ── the campaign ──────────────────────────────────────────────────────────────────────────────

    async def _open_campaign(self) -> None:
        office, begins = await self._people(OFFICE), self._journal.begins
        campaign_id = f"J-{begins.year}"
        units = [
            {
                "unit_id": b.unit_id,
                "name": b.name,
                "category": b.category,
                "aliases": list(b.aliases),
            }
            for b in BODIES
        ]
        asked = {
            "rules": rules_around(begins),
            "year": begins.year,
            "campaign_id": campaign_id,
            "units": units,
            "title": f"{begins.year} 年省直机关基层群众评议机关作风（演示）",
        }
        # A key names one request, and is forgotten after some days: ask whether the campaign is
        # there already.
        with suppress(RequestRejected):
            await office.publish_campaign(asked, key=id_of("demo", SEED, campaign_id, begins))
        self._campaign = Campaign.of(*await office.campaign(campaign_id))
        await self._until_known(office, campaign_id)
        if not self._journal.codes:
            await self._issue_codes(office)
        self._journal.save()

    async def _until_known(self, office: Client, campaign_id: str) -> None:
        """Intake hears of a campaign a moment after it was published."""
        for _ in range(CAMPAIGN_LOOKS_MAX):
            if campaign_id in [one["id"] for one in await office.campaigns()]:
                return
            await asyncio.sleep(0.2)
        raise Unanswered(f"intake has not heard of campaign {campaign_id}")

    async def _issue_codes(self, office: Client) -> None:
        for (instrument, group), many in (
            BALLOTS | HALL_BALLOTS | {("hall", "live"): LIVE_BALLOTS}
        ).items():
            real_group = "applicants" if group == "live" else group
            point = "省政务大厅一层" if instrument == "hall" else None
            self._journal.codes[f"{instrument}/{group}"] = await office.issue_tokens(
                self._campaign.id, instrument, real_group, many, point
            )

    # ── people outside ────────────────────────────────────────────────────────────────────────────

    async def _follow_timeline(self) -> None:
        """Take each step when its time has come, a few at once."""
        free = asyncio.Semaphore(STEPS_AT_ONCE_MAX)
        async with asyncio.TaskGroup() as taking:
            for place, step in enumerate(self._steps[self._journal.done :], self._journal.done):
                await self._until(step.at)
                await free.acquire()
                taking.create_task(self._take(place, step, free))

    async def _take(self, place: int, step: Step, free: asyncio.Semaphore) -> None:
        try:
            await self._do(step)
        finally:
            free.release()
        self._finished.add(place)
        while self._journal.done in self._finished:
            self._finished.remove(self._journal.done)
            self._journal.done += 1

    async def _do(self, step: Step) -> None:
        doing: dict[str, Callable[[Step], Awaitable[None]]] = {
            "complaint": self._complain,
            "ballot": self._submit_ballot,
            "visit": self._inspect,
        }
        try:
            await doing[step.kind](step)
        except RequestRejected as rejected:
            # Asked again after the keys were forgotten: it was done before.
            if rejected.status not in (404, 409, 410, 422):
                raise
        self._sent[step.kind] += 1

    async def _complain(self, step: Step) -> None:
        rng, operator = step.rng, await self._people(OPERATOR)
        unit = rng.choices(BODIES, [1.35 - self._standing[body.unit_id] for body in BODIES])[0]
        channel = rng.choices(("hotline", "online", "letter", "counter"), (50, 38, 6, 6))[0]
        told = texts.complaint(rng, unit, step.at.astimezone(CHINA).date())
        body = complaint_body(
            told, self._campaign.id, channel, drafted=channel == "online" and rng.random() < 0.5
        )
        receipt = (await operator.register_complaint(body, key=step.key)).body
        self._query_codes[receipt["number"]] = receipt["query_code"]

    async def _submit_ballot(self, step: Step) -> None:
        instrument, _, group = step.about.partition("/")
        form = self._campaign.scheme.instrument(instrument)
        assert isinstance(form, Questionnaire), "ballot steps name a questionnaire"
        units = self._ballot_units(step.rng, instrument, step.number)
        answers = ballot_answers(step.rng, self._campaign.scheme, form, units, self._standing)
        place = self._place_of(step)
        await self._client.submit_ballot(
            self._journal.codes[f"{instrument}/{group}"][place], answers, key=step.key
        )

    def _ballot_units(self, rng: Random, instrument: str, number: int) -> list[Body]:
        if instrument == "hall":
            return rng.sample(BODIES, rng.randint(3, 7))
        if instrument == "contacts":
            leads = BALLOTS["contacts", "contact_leads"]
            return [body for body in BODIES if body.unit_no % leads == number % leads]
        return list(BODIES)

    def _place_of(self, step: Step) -> int:
        """Which code of its group a ballot uses: they are numbered through over all groups."""
        before = 0
        for (instrument, group), many in (BALLOTS | HALL_BALLOTS).items():
            if f"{instrument}/{group}" == step.about:
                return step.number - before
            before += many
        raise ValueError(step.about)

    async def _inspect(self, step: Step) -> None:
        rng, inspector = step.rng, await self._people(INSPECTOR)
        unit = next(body for body in BODIES if body.unit_id == step.about)
        weakness = 1 - self._standing[unit.unit_id]
        faults = rng.choices((0, 1, 2, 3), (4 * (1 - weakness), 2, 4 * weakness, 3 * weakness))[0]
        visit = visit_body(
            rng,
            self._campaign.id,
            self._campaign.scheme.checklists[0],
            unit,
            visited_at=step.at,
            faults=faults,
        )
        await inspector.submit_visit(
            id_of("demo", SEED, "visit", step.number, self._journal.begins), visit
        )

    # ── the staff ─────────────────────────────────────────────────────────────────────────────────

    async def _work(self) -> None:
        """Look at what is open, act on what is ready, again and again."""
        while True:
            looking_at = self.now
            ready = await self._staff.ready(looking_at)
            for first in range(0, len(ready), STEPS_AT_ONCE_MAX):
                await asyncio.gather(
                    *(
                        self._staff.do(row, rng)
                        for row, rng in ready[first : first + STEPS_AT_ONCE_MAX]
                    )
                )
            self._looked_at = looking_at
            await asyncio.sleep(STAFF_LOOK_SECONDS if self._behind else STAFF_LOOK_SECONDS_LIVE)

    async def _hand_in(self) -> None:
        """Units hand in what they owe."""
        while True:
            await self._staff.hand_in(self.now)
            await asyncio.sleep(
                5 * (STAFF_LOOK_SECONDS if self._behind else STAFF_LOOK_SECONDS_LIVE)
            )

    async def _rate(self) -> None:
        """Some of those whose complaint was closed say how it was handled."""
        supervisor = await self._people(SUPERVISOR)
        while self._rated < RATINGS_MAX:
            await asyncio.sleep(1)
            closed, self._staff.closed = self._staff.closed, []
            for number in closed:
                origin = (await supervisor.case(number))["origin"]
                code, rng = (
                    self._query_codes.pop(origin["source_number"], ""),
                    Random(f"{SEED}/rating/{number}"),
                )
                if code and rng.random() < RATING_SHARE:
                    option = rng.choices((1, 2, 3), (60, 25, 15))[0]
                    reason = rng.choice(texts.DISSATISFIED) if option == 3 else ""
                    await self._client.rate_handling(
                        origin["source_number"], code, option=option, reason=reason
                    )
                    self._rated += 1

    # ── what is shown ─────────────────────────────────────────────────────────────────────────────

    def _progress(self) -> Progress:
        return Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(20),
            console=self._console,
            transient=True,
        )

    async def _show(self, progress: Progress, bar: Any) -> None:
        for look in count():
            day = min(
                DAYS,
                (self.now - datetime.combine(self._journal.begins, time(0), CHINA))
                / timedelta(days=1),
            )
            progress.update(bar, completed=day, description=self._line(int(day) + 1))
            if not self._console.is_terminal and look % PLAIN_LINE_EVERY == 0:
                self._console.print(self._line(int(day) + 1))
            self._journal.save()
            await asyncio.sleep(0.5)

    def _line(self, day: int) -> str:
        sent, figures = self._sent, self._figures
        counted = "  ".join(
            f"{name} {figures.get(name, 0)}"
            for name in ("open", "closed", "lapsed", "notifications")
        )
        return (
            f"[bold]day {min(day, DAYS)}/{DAYS}[/] {self.now.astimezone(CHINA):%m-%d %H:%M}  complaints {sent['complaint']}  "
            f"ballots {sent['ballot']}  visits {sent['visit']}  {counted}"
        )

    async def _count(self) -> None:
        """Figures for whoever watches."""
        supervisor = await self._people(SUPERVISOR)
        while True:
            _, closed = await supervisor.cases(state=["closed", "struck_off"], size=1)
            lapsed = await supervisor.read("/casework/api/deadlines", state="lapsed", size=1000)
            self._figures |= {
                "open": sum(self._staff.counts.values()),
                "closed": closed,
                "lapsed": len(lapsed),
            }
            self._figures["notifications"] = (
                lambda unread: f"{unread}+" if unread >= 100 else unread
            )(await supervisor.unread())
            await asyncio.sleep(1.5 if self._behind else 30)

    def _tell_what_to_look_at(self) -> None:
        url = self._client.base_url
        table = Table(
            "look at",
            "as",
            title="The demo has caught up with today; a quiet stream goes on.",
            title_justify="left",
        )
        for path, person, what in (
            ("/scoring/", OFFICE, "rankings of the four categories, moving"),
            ("/casework/supervise", SUPERVISOR, "cases near, late, very late"),
            ("/notify/inbox", SUPERVISOR, "who was told what"),
            ("/scoring/", LEADER, "what will be approved"),
            ("/p/", None, "what the public sees"),
        ):
            table.add_row(f"{url}{path}  {what}", person.name if person else "anybody")
        self._console.print(f"{self._line(DAYS)}\n", table)

    # ── afterwards ────────────────────────────────────────────────────────────────────────────────

    async def _stay_alive(self) -> None:
        """One small thing every few seconds, until the program stops."""
        for _ in count():
            moment = real_now()
            number = int(moment.timestamp())
            rng = Random(number)
            kind = rng.choices(("complaint", "ballot", "visit"), (4, 5, 1))[0]
            about = {"ballot": "hall/live", "visit": rng.choice(BODIES).unit_id}.get(kind, "")
            with suppress(RequestRejected, Unanswered):
                await self._live(Step(moment, kind, number, about))
            await asyncio.sleep(LIVE_SECONDS)

    async def _live(self, step: Step) -> None:
        if step.kind != "ballot":
            return await self._do(step)
        codes = self._journal.codes["hall/live"]
        if not codes:
            return None
        form = self._campaign.scheme.instrument("hall")
        assert isinstance(form, Questionnaire), "the hall has a questionnaire"
        code = codes.pop()
        self._journal.save()
        answers = ballot_answers(
            step.rng, self._campaign.scheme, form, step.rng.sample(BODIES, 3), self._standing
        )
        await self._client.submit_ballot(code, answers, key=step.key)
        self._sent["ballot"] += 1
        return None


assert {body.category for body in BODIES} == set(CATEGORIES), "every category has its units"
