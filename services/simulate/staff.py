"""The staff of the demo: handle open cases and obligations as the real roles would.

What happens to a case, and when, follows from the seed and the case's number. Nothing is stored: a
killed demo continues from the state of the system.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from itertools import count
from random import Random
from typing import Final

import msgspec

from services.simulate import texts
from services.simulate.accounts import REVIEWER, SUPERVISOR, DemoAccount, handler_of, head_of
from services.simulate.client import Client, Json, id_of
from services.simulate.errors import RequestRejected
from services.simulate.releases import release_summary, waiting_summaries
from services.simulate.units import UNITS, UNITS_BY_CODE, UNITS_BY_ID
from shared.appraisal.calendar.holiday_notices import china
from shared.appraisal.calendar.working_days import WorkCalendar
from shared.foundation.clock import CHINA

OPEN_STATES: Final = ("pending", "assigned", "handling", "reviewing")
OFFICE_HOURS: Final = (time(8, 40), time(17, 10))
EXTENSION_DAYS: Final = 3
RELEASE_HOURS: Final = (0.1, 3)
"""How long a redacted summary waits for the reviewer."""
ONE_DAY: Final = timedelta(days=1)
REPORT_UNIT_IDS: Final = (UNITS_BY_CODE["D05"].unit_id, UNITS_BY_CODE["D02"].unit_id)
"""The units that investigate reports (举报)."""
NOT_ACCEPTED_SHARE: Final = 0.08
RETURNED_SHARE: Final = 0.03
EXTENDED_SHARE: Final = 0.10
SENT_BACK_SHARE: Final = 0.12
NEVER_SHARE: Final = 0.12
LATE_SHARE: Final = 0.55
"""Shares of cases that a unit of quality 0 never handles, or handles late."""
QUALITY_DEFAULT: Final = 0.8
TOLERATED_STATUSES: Final = frozenset({403, 404, 409, 422})
"""Another account has acted already, or the action is no longer possible."""


def unit_qualities(seed: int) -> dict[str, float]:
    """Return how well each unit works, from 0 to 1: most well, a few badly."""
    return {unit.unit_id: _quality(Random(f"{seed}/standing/{unit.code}")) for unit in UNITS}


def _quality(rng: Random) -> float:
    return min(0.97, max(0.3, rng.gauss(0.78, 0.15)))


def in_office_hours(
    at: datetime,
    calendar: WorkCalendar,
    rng: Random,
) -> datetime:
    """Return `at`, or the next instant within office hours."""
    opens, closes = OFFICE_HOURS
    local = at.astimezone(CHINA)
    if local.time() > closes:
        local = _next_midnight(local)
    while not calendar.is_workday(local.date()):
        local = _next_midnight(local)
    if local.time() >= opens:
        return local
    opening = datetime.combine(local.date(), opens, CHINA)
    return opening + timedelta(minutes=rng.randint(0, 90))


def _next_midnight(local: datetime) -> datetime:
    return datetime.combine(local.date() + ONE_DAY, time(0), CHINA)


class ClientPool:
    """Returns a signed-in client for an account; signs in on first use."""

    def __init__(self, client: Client, password: str) -> None:
        self._client = client
        self._password = password
        self._signed_in: dict[str, Client] = {}

    async def __call__(self, account: DemoAccount) -> Client:
        if account.name not in self._signed_in:
            client = await self._client.sign_in(account.name, self._password)
            self._signed_in[account.name] = client
        return self._signed_in[account.name]


CaseVersion = tuple[str, int]


class OpenCase(msgspec.Struct, frozen=True):
    """A case as a list of the API shows it; `due_at` is that of its first deadline."""

    number: str
    version: int
    state: str
    kind: str
    unit_id: str | None
    due_at: datetime | None
    deadline_status: str | None
    released: bool

    @property
    def key(self) -> CaseVersion:
        return self.number, self.version

    @property
    def assigned_unit(self) -> str:
        assert self.unit_id is not None, "only an assigned case is handled by a unit"
        return self.unit_id


CaseAction = Callable[[OpenCase, Random], Awaitable[None]]


@dataclass(kw_only=True)
class DemoStaff:
    """Reviewer, handlers, unit heads and supervisor."""

    clients: ClientPool
    seed: int
    quality: Mapping[str, float]
    calendar: WorkCalendar = field(default_factory=china)
    counts: Counter[str] = field(default_factory=Counter)
    """Open cases by state, as last read."""
    closed: list[str] = field(default_factory=list)
    """Numbers of the cases closed since this list was last emptied."""
    _act_at: dict[CaseVersion, datetime | None] = field(default_factory=dict)
    """When each version of a case is acted on (legal time); None: never."""

    async def ready(self, now: datetime) -> list[tuple[OpenCase, Random]]:
        """Return the open cases to act on now: those whose redacted summary was released."""
        cases = await self._open_cases()
        self.counts = Counter(case.state for case in cases)
        own = self._own(cases)
        return [(case, rng) for case, rng in own if self._is_ready(case, rng, now)]

    async def _open_cases(self) -> list[OpenCase]:
        supervisor = await self.clients(SUPERVISOR)
        cases: list[OpenCase] = []
        for page in count(1):
            found, total = await supervisor.cases(state=list(OPEN_STATES), page=page)
            cases += msgspec.convert(found, type=list[OpenCase])
            if not found or len(cases) >= total:
                break
        return cases

    def _own(self, cases: list[OpenCase]) -> Iterator[tuple[OpenCase, Random]]:
        for case in cases:
            if case.released and belongs_to_demo(case.unit_id):
                yield case, Random(f"{self.seed}/{case.number}/{case.version}")

    def _is_ready(
        self,
        case: OpenCase,
        rng: Random,
        now: datetime,
    ) -> bool:
        if case.key not in self._act_at:
            self._act_at[case.key] = self._planned_at(case, rng, now)
        act_at = self._act_at[case.key]
        return act_at is not None and now >= act_at

    def _planned_at(
        self,
        case: OpenCase,
        rng: Random,
        now: datetime,
    ) -> datetime | None:
        """Return when a case is acted on: mostly in time; the worse the unit, the more often late
        or never.
        """
        if case.state in ("pending", "reviewing"):
            hours = rng.uniform(1, 8)
            return self._in_office_hours(now + timedelta(hours=hours), rng)
        return self._planned_by_unit(case, rng, now)

    def _planned_by_unit(
        self,
        case: OpenCase,
        rng: Random,
        now: datetime,
    ) -> datetime | None:
        weakness = 1 - self.quality.get(case.unit_id or "", QUALITY_DEFAULT)
        due = case.due_at
        luck = rng.random()
        if luck < NEVER_SHARE * weakness:
            return None
        if due is None or due <= now or luck < LATE_SHARE * weakness:
            late_by = timedelta(hours=rng.uniform(3, 60))
            return self._in_office_hours((due or now) + late_by, rng)
        return self._planned_before(due, rng, now)

    def _planned_before(
        self,
        due: datetime,
        rng: Random,
        now: datetime,
    ) -> datetime:
        share = rng.uniform(0.1, 0.75)
        planned = self._in_office_hours(now + (due - now) * share, rng)
        latest = max(now, due - timedelta(hours=2))
        return min(planned, latest)

    def _in_office_hours(self, at: datetime, rng: Random) -> datetime:
        return in_office_hours(at, self.calendar, rng)

    async def act(self, case: OpenCase, rng: Random) -> None:
        """Act on a case as its state requires."""
        actions: dict[str, CaseAction] = {
            "pending": self._triage,
            "assigned": self._accept,
            "handling": self._handle,
            "reviewing": self._review,
        }
        try:
            await actions[case.state](case, rng)
        except RequestRejected as rejected:
            if rejected.status not in TOLERATED_STATUSES:
                raise
            self._act_at[case.key] = None

    async def _triage(self, case: OpenCase, rng: Random) -> None:
        reviewer = await self.clients(REVIEWER)
        if rng.random() < NOT_ACCEPTED_SHARE:
            await self._refuse(reviewer, case)
        else:
            await self._assign(reviewer, case)

    async def _refuse(self, reviewer: Client, case: OpenCase) -> None:
        number, version = case.key
        refusal = {"reason": "in_procedure", "explanation": ""}
        key = id_of(number, version, "refuse")
        await reviewer.act(number, "non-acceptance", refusal, key=key)

    async def _assign(self, reviewer: Client, case: OpenCase) -> None:
        number, version = case.key
        details = await reviewer.case(number)
        accused = details["origin"]["named_unit_id"]
        # A report is never assigned to the unit that it accuses.
        unit_id = next(unit_id for unit_id in REPORT_UNIT_IDS if unit_id != accused)
        assignment = {"unit_id": unit_id, "opinion": "请核查后按期反馈。"}
        key = id_of(number, version, "assign")
        await reviewer.act(number, "assignment", assignment, key=key)

    async def _accept(self, case: OpenCase, rng: Random) -> None:
        handler = await self.clients(handler_of(case.assigned_unit))
        number, version = case.key
        if rng.random() < RETURNED_SHARE and case.kind == "complaint":
            reason = {"reason": "not_ours", "basis": rng.choice(texts.RETURNED)}
            key = id_of(number, version, "return")
            await handler.act(number, "return", reason, key=key)
            return
        key = id_of(number, version, "accept")
        await handler.accept_case(number, key=key)

    async def _handle(self, case: OpenCase, rng: Random) -> None:
        handler = await self.clients(handler_of(case.assigned_unit))
        wants_extension = rng.random() < EXTENDED_SHARE
        may_extend = wants_extension and case.deadline_status in ("normal", "warning")
        if may_extend and await self._extend(handler, case, rng):
            return
        await self._submit(handler, case, texts.outcome(rng))

    async def _submit(
        self,
        handler: Client,
        case: OpenCase,
        result: texts.HandlingResult,
    ) -> None:
        number, version = case.key
        body = {
            "account": result.account,
            "finding": result.finding,
            "measures": result.measures,
            "reply": result.reply,
        }
        key = id_of(number, version, "submit")
        await handler.submit_result(number, body, key=key)

    async def _extend(
        self,
        handler: Client,
        case: OpenCase,
        rng: Random,
    ) -> bool:
        """Request an extension and approve it. Return False if the system rejects it."""
        number, version = case.key
        request = {"amount": EXTENSION_DAYS, "reason": rng.choice(texts.EXTENDED)}
        key = id_of(number, version, "extension")
        try:
            await handler.act(number, "extension", request, key=key)
        except RequestRejected:
            return False
        for account in (head_of(case.assigned_unit), SUPERVISOR):
            await self._approve_extension(case, account)
        return True

    async def _approve_extension(self, case: OpenCase, account: DemoAccount) -> None:
        approver = await self.clients(account)
        number, version = case.key
        approval = {"agree": True, "opinion": "同意延期，请抓紧办理。"}
        key = id_of(number, version, "agree", account.name)
        await approver.act(number, "extension/approval", approval, key=key)

    async def _review(self, case: OpenCase, rng: Random) -> None:
        supervisor = await self.clients(SUPERVISOR)
        number, version = case.key
        approve = rng.random() > SENT_BACK_SHARE
        opinions = texts.APPROVED if approve else texts.SENT_BACK
        opinion = rng.choice(opinions)
        key = id_of(number, version, "review")
        await supervisor.review_case(number, approve=approve, opinion=opinion, key=key)
        if approve:
            self.closed.append(number)

    # ── redacted summaries ────────────────────────────────────────────────────────────────────────

    async def release_summaries(self, now: datetime) -> None:
        """Release the redacted summaries that have waited long enough, as the reviewer does."""
        reviewer = await self.clients(REVIEWER)
        for waiting in await waiting_summaries(reviewer):
            number = waiting["number"]
            if now >= self._release_time(number, waiting["registered_at"]):
                await self._release(reviewer, number)

    def _release_time(self, number: str, registered_at: str) -> datetime:
        rng = Random(f"{self.seed}/release/{number}")
        hours = rng.uniform(*RELEASE_HOURS)
        planned = datetime.fromisoformat(registered_at) + timedelta(hours=hours)
        return self._in_office_hours(planned, rng)

    async def _release(self, reviewer: Client, number: str) -> None:
        try:
            await release_summary(reviewer, number, key=id_of(number, "release"))
        except RequestRejected as rejected:
            if rejected.status not in TOLERATED_STATUSES:
                raise

    # ── obligations ───────────────────────────────────────────────────────────────────────────────

    async def fulfil_obligations(self, now: datetime) -> None:
        """Submit what units owe: most before it is due, a few late, one or two never."""
        supervisor = await self.clients(SUPERVISOR)
        for obligation in await supervisor.obligations():
            if belongs_to_demo(obligation["unit_id"]) and obligation["fulfilled_at"] is None:
                await self._fulfil(obligation, now)

    async def _fulfil(self, obligation: Json, now: datetime) -> None:
        unit_id = obligation["unit_id"]
        rng = Random(f"{self.seed}/{unit_id}/{obligation['obligation_rule_id']}")
        due = datetime.fromisoformat(obligation["due_at"])
        lags = (-rng.uniform(14, 150), rng.uniform(3, 70), None)
        lag_hours = rng.choices(lags, (86, 10, 4))[0]
        if lag_hours is None or now < due + timedelta(hours=lag_hours):
            return
        reference = f"办函〔{due.year}〕{rng.randint(3, 99)}号"
        await self._send_document(obligation, reference)

    async def _send_document(self, obligation: Json, reference: str) -> None:
        obligation_id = obligation["id"]
        handler = await self.clients(handler_of(obligation["unit_id"]))
        document = f"关于报送{obligation['deliverable']}的函（{reference}）"
        await handler.write(
            f"/casework/api/obligations/{obligation_id}/fulfilment",
            {"document": document},
            key=id_of(obligation_id),
        )


def belongs_to_demo(unit_id: str | None) -> bool:
    """Return whether a case or obligation has no unit yet, or a unit of the demo.

    Other units may be registered beside them.
    """
    return unit_id is None or unit_id in UNITS_BY_ID
