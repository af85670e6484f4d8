"""The people who work on cases in the demo: each looks at the list as it is now and does what is
theirs, when they are ready.

Nobody remembers anything: what somebody does with a case, and when, follows from the seed and the
case's number. So a demo that was killed goes on where the system stands.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from random import Random
from typing import Final

from services.simulate import texts
from services.simulate.client import Client, Json, RequestRejected, id_of
from services.simulate.people import (
    BODIES,
    BODY,
    REVIEWER,
    SUPERVISOR,
    Body,
    Person,
    handler_of,
    head_of,
)
from shared.appraisal.calendar.holiday_notices import china
from shared.appraisal.calendar.working_days import WorkCalendar
from shared.foundation.clock import CHINA

OPEN: Final = ("pending", "assigned", "handling", "reviewing")
OFFICE_HOURS: Final = (time(8, 40), time(17, 10))
EXTENSION_DAYS: Final = 3
ONE_DAY: Final = timedelta(days=1)
LOOKING_INTO_REPORTS: Final = ("D05", "D02")
Act = Callable[[Json, Random], Awaitable[None]]


def standings(seed: int) -> dict[str, float]:
    """How well each unit works, 0 to 1: most well, a few badly."""
    return {
        body.unit_id: min(
            0.97, max(0.3, Random(f"{seed}/standing/{body.unit_id}").gauss(0.78, 0.15))
        )
        for body in BODIES
    }


def in_office_hours(at: datetime, calendar: WorkCalendar, rng: Random) -> datetime:
    """`at`, or the next moment at which somebody sits in the office."""
    local = at.astimezone(CHINA)
    if local.time() > OFFICE_HOURS[1]:
        local = datetime.combine(local.date() + ONE_DAY, time(0), CHINA)
    while not calendar.is_workday(local.date()):
        local = datetime.combine(local.date() + ONE_DAY, time(0), CHINA)
    if local.time() < OFFICE_HOURS[0]:
        local = datetime.combine(local.date(), OFFICE_HOURS[0], CHINA) + timedelta(
            minutes=rng.randint(0, 90)
        )
    return local


class People:
    """Signs people in when they are first needed."""

    def __init__(self, client: Client, password: str) -> None:
        self._client, self._password = client, password
        self._known: dict[str, Client] = {}

    async def __call__(self, person: Person) -> Client:
        if person.name not in self._known:
            self._known[person.name] = await self._client.sign_in(person.name, self._password)
        return self._known[person.name]


@dataclass(frozen=True, slots=True)
class Seen:
    """A case in a state: since when (legal time) it stands there for all the staff know, and when
    its person will act (None: never).
    """

    since: datetime
    act_at: datetime | None


@dataclass(kw_only=True)
class Staff:
    """Reviewer, handlers, unit heads and supervisor. `round` is one look at everything that is
    open.
    """

    people: People
    seed: int
    standing: Mapping[str, float]
    units: tuple[Body, ...] = BODIES
    calendar: WorkCalendar = field(default_factory=china)
    counts: dict[str, int] = field(default_factory=dict)
    """Cases by state, as last seen."""
    closed: list[str] = field(default_factory=list)
    """Numbers of the cases closed since somebody emptied this list."""
    _seen: dict[tuple[str, int], Seen] = field(default_factory=dict)

    async def ready(self, now: datetime) -> list[tuple[Json, Random]]:
        """The open cases whose person acts now."""
        supervisor = await self.people(SUPERVISOR)
        rows, page = [], 1
        while True:
            found, total = await supervisor.cases(state=list(OPEN), page=page)
            rows += found
            if not found or len(rows) >= total:
                break
            page += 1
        self.counts = {state: sum(row["state"] == state for row in rows) for state in OPEN}
        chosen = [
            (row, Random(f"{self.seed}/{row['number']}/{row['version']}"))
            for row in rows
            if is_ours(row)
        ]
        return [(row, rng) for row, rng in chosen if self._is_ready(row, rng, now)]

    def _is_ready(self, row: Json, rng: Random, now: datetime) -> bool:
        key = (row["number"], row["version"])
        if key not in self._seen:
            self._seen[key] = Seen(now, self._when(row, rng, now))
        at = self._seen[key].act_at
        return at is not None and now >= at

    def _when(self, row: Json, rng: Random, now: datetime) -> datetime | None:
        """When somebody deals with the case: most in time, some late, a few never; the worse the
        unit stands, the more.
        """
        if row["state"] in ("pending", "reviewing"):
            return in_office_hours(now + timedelta(hours=rng.uniform(1, 8)), self.calendar, rng)
        weakness = 1 - self.standing.get(row["unit_id"], 0.8)
        due, luck = _instant(row["due_at"]), rng.random()
        if luck < 0.12 * weakness:
            return None
        if due is None or due <= now or luck < 0.55 * weakness:
            return in_office_hours(
                (due or now) + timedelta(hours=rng.uniform(3, 60)), self.calendar, rng
            )
        planned = in_office_hours(now + (due - now) * rng.uniform(0.1, 0.75), self.calendar, rng)
        return min(planned, max(now, due - timedelta(hours=2)))

    async def do(self, row: Json, rng: Random) -> None:
        """What the case's person does with it now. What the system refuses has been done by
        somebody else, or cannot be done any more.
        """
        acts: dict[str, Act] = {
            "pending": self._dispatch,
            "assigned": self._take_on,
            "handling": self._handle,
            "reviewing": self._review,
        }
        try:
            await acts[row["state"]](row, rng)
        except RequestRejected as rejected:
            if rejected.status not in (403, 404, 409, 422):
                raise
            self._seen[(row["number"], row["version"])] = Seen(
                self._seen[(row["number"], row["version"])].since, None
            )

    async def _dispatch(self, row: Json, rng: Random) -> None:
        reviewer, number, version = await self.people(REVIEWER), row["number"], row["version"]
        if rng.random() < 0.08:
            refusal = {"reason": "in_procedure", "explanation": ""}
            await reviewer.act(
                number, "non-acceptance", refusal, key=id_of(number, version, "refuse")
            )
            return
        accused = (await reviewer.case(number))["origin"]["named_unit_id"]
        # A report never goes to the unit it accuses: one commission looks into it, or else the
        # other.
        unit = next(one for one in LOOKING_INTO_REPORTS if one != accused)
        assignment = {"unit_id": unit, "opinion": "请核查后按期反馈。"}
        await reviewer.act(number, "assignment", assignment, key=id_of(number, version, "assign"))

    async def _take_on(self, row: Json, rng: Random) -> None:
        handler, number = await self.people(handler_of(row["unit_id"])), row["number"]
        if rng.random() < 0.03 and row["kind"] == "complaint":
            reason = {"reason": "not_ours", "basis": rng.choice(texts.RETURNED)}
            await handler.act(number, "return", reason, key=id_of(number, row["version"], "return"))
            return
        await handler.accept_case(number, key=id_of(number, row["version"], "accept"))

    async def _handle(self, row: Json, rng: Random) -> None:
        handler, number, version = (
            await self.people(handler_of(row["unit_id"])),
            row["number"],
            row["version"],
        )
        if (
            rng.random() < 0.10
            and row["deadline_status"] in ("normal", "warning")
            and await self._extend(handler, row, rng)
        ):
            return
        result = texts.outcome(rng)
        body = {
            "account": result.account,
            "finding": result.finding,
            "measures": result.measures,
            "reply": result.reply,
        }
        await handler.submit_result(number, body, key=id_of(number, version, "submit"))

    async def _extend(self, handler: Client, row: Json, rng: Random) -> bool:
        """Ask for more time; the head of the unit and the supervisor agree. False when it was had
        before, or is too late.
        """
        number, version = row["number"], row["version"]
        asked = {"amount": EXTENSION_DAYS, "reason": rng.choice(texts.EXTENDED)}
        try:
            await handler.act(number, "extension", asked, key=id_of(number, version, "extension"))
        except RequestRejected:
            return False
        agreed = {"agree": True, "opinion": "同意延期，请抓紧办理。"}
        for person in (head_of(row["unit_id"]), SUPERVISOR):
            await (await self.people(person)).act(
                number,
                "extension/approval",
                agreed,
                key=id_of(number, version, "agree", person.name),
            )
        return True

    async def _review(self, row: Json, rng: Random) -> None:
        supervisor, number, approve = (
            await self.people(SUPERVISOR),
            row["number"],
            rng.random() > 0.12,
        )
        opinion = rng.choice(texts.APPROVED if approve else texts.SENT_BACK)
        await supervisor.review_case(
            number, approve=approve, opinion=opinion, key=id_of(number, row["version"], "review")
        )
        if approve:
            self.closed.append(number)

    # ── obligations ────────────────────────────────────────────────────────────────────────────────────

    async def hand_in(self, now: datetime) -> None:
        """Units hand in what they owe: most before it is due, a few late, one or two not at all."""
        for obligation in filter(is_ours, await (await self.people(SUPERVISOR)).obligations()):
            rng, due = (
                Random(f"{self.seed}/{obligation['unit_id']}/{obligation['obligation_rule_id']}"),
                _instant(obligation["due_at"]),
            )
            assert due is not None, "an obligation has its day"
            lag = rng.choices((-rng.uniform(14, 150), rng.uniform(3, 70), None), (86, 10, 4))[0]
            if (
                obligation["fulfilled_at"] is None
                and lag is not None
                and now >= due + timedelta(hours=lag)
            ):
                handler = await self.people(handler_of(obligation["unit_id"]))
                document = f"关于报送{obligation['deliverable']}的函（办函〔{due.year}〕{rng.randint(3, 99)}号）"
                await handler.write(
                    f"/casework/api/obligations/{obligation['id']}/fulfilment",
                    {"document": document},
                    key=id_of(obligation["id"]),
                )


def is_ours(row: Json) -> bool:
    """Is nobody at it yet, or a unit of the demo? Units that somebody registered beside them have
    people of their own.
    """
    return row["unit_id"] is None or row["unit_id"] in BODY


def _instant(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
