"""A campaign of the J rules, its units, and the events that scoring consumes."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import count
from random import Random
from uuid import UUID, uuid5

from services.scoring.actions.ballots import apply_ballot_events
from services.scoring.actions.campaigns import create_campaign
from services.scoring.actions.integrity import record_holds
from services.scoring.actions.ledger import record_events
from services.scoring.actions.recounts import RecountResult, recount
from services.scoring.actions.rescoring import rescore_pending
from services.scoring.domain.ledger import ScoreSource
from services.scoring.domain.register import UnitRow
from services.scoring.domain.score import UnitScore
from services.scoring.settings import NEVER, ScoringContext
from services.scoring.store import rescores
from services.scoring.store.organisations import save_organisations
from services.scoring.store.scores import running_scores
from services.scoring.views.boards import BoardRow, load_board
from services.scoring.views.campaigns import get_campaign
from services.scoring.views.units import UnitExplanation, explain_score
from shared.appraisal.events import (
    BallotsReleased,
    CaseAccepted,
    CaseClosed,
    CaseOpened,
    CasePaused,
    CaseReturned,
    CaseSentBack,
    ComplaintRated,
    DeadlineLapsed,
    Event,
    Meta,
    ObligationLapsed,
    ReleasedBallot,
    VisitFinding,
    VisitHandedOver,
)
from shared.appraisal.labels import ComplaintKind, Role, Urgency
from shared.appraisal.schemes import Scheme, load_scheme
from shared.security.policies import Account
from shared.storage.connections import Database
from tests.organisations import body

NOON = datetime(2020, 9, 15, 4, tzinfo=UTC)
CAMPAIGN = "J-2020"
OFFICE = Account(UUID(int=1), "office", "评议办", Role.OFFICE)
SPACE = UUID("6f0c1c7e-0000-4000-8000-000000000000")
NAMES = (
    ("省委组织部", "party"),
    ("省总工会", "party"),
    ("省法院", "party"),
    ("省检察院", "party"),
    ("团省委", "party"),
    ("省妇联", "party"),
    ("省交通运输厅", "government"),
    ("省教育厅", "government"),
    ("省公安厅", "government"),
    ("省民政厅", "government"),
    ("省水利厅", "government"),
    ("省农业农村厅", "government"),
    ("省电力公司", "enterprise"),
    ("省广播电视台", "enterprise"),
)
UNITS = tuple(
    UnitRow(name=name, category=category, unit_id=f"U{no:02d}")
    for no, (name, category) in enumerate(NAMES, start=1)
)


@cache
def j_scheme() -> Scheme:
    """The shipped rules of J for 2020."""
    return load_scheme("J", 2020)


def uuid_of(*words: object) -> UUID:
    """The same id for the same words."""
    return uuid5(SPACE, ":".join(map(str, words)))


def ballot(
    no: int,
    answers: Iterable[tuple[int, int, int]],
    *,
    instrument: str = "cities",
    group: str = "city_units",
) -> BallotsReleased:
    """Return the release of one ballot."""
    return BallotsReleased(
        occurred_at=NOON,
        release_id=uuid_of("release", no),
        campaign_id=CAMPAIGN,
        instrument=instrument,
        group=group,
        ballots=(ReleasedBallot(ballot_id=uuid_of("ballot", no), answers=tuple(answers)),),
    )


class Case:
    """One case of one unit, event by event."""

    def __init__(
        self, number: str, unit_id: str, *, kind: ComplaintKind = ComplaintKind.COMPLAINT
    ) -> None:
        self.number = number
        self.kind = kind
        self.complaint_id = uuid_of("complaint", number)
        self.common = {
            "case_id": uuid_of("case", number),
            "number": number,
            "campaign_id": CAMPAIGN,
            "unit_id": unit_id,
        }

    def opened(self) -> CaseOpened:
        return CaseOpened(
            occurred_at=NOON,
            source="complaint",
            source_id=self.complaint_id,
            kind=self.kind,
            urgency=Urgency.NORMAL,
            problem_item="08",
            deadlines=(),
            **self.common,
        )

    def accepted(self, *, late: bool = False) -> CaseAccepted:
        return CaseAccepted(occurred_at=NOON, late=late, deadlines=(), **self.common)

    def lapsed(self, deadline: str = "handle") -> DeadlineLapsed:
        return DeadlineLapsed(occurred_at=NOON, deadline=deadline, due_at=NOON, **self.common)

    def paused(self) -> CasePaused:
        until = NOON + timedelta(days=14)
        return CasePaused(occurred_at=NOON, reason="supplement", until=until, **self.common)

    def returned(self) -> CaseReturned:
        return CaseReturned(
            occurred_at=NOON,
            from_unit_id=self.common["unit_id"],
            reason="not_ours",
            returns=1,
            **self.common,
        )

    def sent_back(self) -> CaseSentBack:
        return CaseSentBack(occurred_at=NOON, reason="答复不完整", **self.common)

    def closed(self, *, late: bool = False) -> CaseClosed:
        return CaseClosed(
            occurred_at=NOON,
            source="complaint",
            source_id=self.complaint_id,
            late=late,
            finding="substantiated",
            working_days=3,
            reply="已办结",
            **self.common,
        )

    def rated(self, option: int) -> ComplaintRated:
        return ComplaintRated(
            occurred_at=NOON, complaint_id=self.complaint_id, campaign_id=CAMPAIGN, option=option
        )


def visit(
    number: str, unit_id: str, *findings: tuple[str, str], passed: Sequence[str] = ("V01",)
) -> VisitHandedOver:
    """`findings`: (checklist item, severity)."""
    return VisitHandedOver(
        occurred_at=NOON,
        visit_id=uuid_of("visit", number),
        number=number,
        campaign_id=CAMPAIGN,
        unit_id=unit_id,
        mode="covert",
        passed=tuple(passed),
        findings=tuple(
            VisitFinding(
                finding_id=uuid_of("finding", number, at),
                item_id=item,
                severity=severity,
            )
            for at, (item, severity) in enumerate(findings)
        ),
    )


def late_plan(unit_id: str) -> ObligationLapsed:
    return ObligationLapsed(
        occurred_at=NOON,
        obligation_id=uuid_of("plan", unit_id),
        campaign_id=CAMPAIGN,
        unit_id=unit_id,
        obligation_rule_id="J2.plan",
        due_at=NOON,
    )


_offsets = count()


def consumed(event: Event, *, version: int = 1, partition: int = 0) -> tuple[Event, Meta]:
    """The event as the consumer passes it on; the event id depends on event and version only."""
    meta = Meta(
        event_id=uuid_of("event", event.name, event.key, version),
        type=event.name,
        key=event.key,
        version=version,
        occurred_at=event.occurred_at,
        topic=event.topic,
        partition=partition,
        offset=next(_offsets),
    )
    return event, meta


class Scoring:
    """The service's actions on a real database, called as the consumer and the jobs call them."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.context = ScoringContext()

    def transaction(self):
        return self.database.transaction(self.context)

    async def publish(self, units: Sequence[UnitRow] = UNITS, scheme: Scheme | None = None) -> None:
        """Record the units, create the campaign and score them."""
        await self.record(units)
        async with self.transaction() as tx:
            await create_campaign(tx, scheme=scheme or j_scheme(), by=OFFICE, units=units)
        await self.rescore_pending()

    async def record(self, units: Sequence[UnitRow] = UNITS) -> None:
        """Record units in the register under readable ids."""
        async with self.transaction() as tx:
            await save_organisations(tx, [body(unit.unit_id, unit.name) for unit in units])
            for unit in units:
                tx.audit("organisation.recorded", unit.unit_id, str(OFFICE.id))

    async def consume(self, *events: Event, partition: int = 0) -> None:
        """Consume events; versions count up per aggregate."""
        versions: dict[str, int] = {}
        pairs = []
        for event in events:
            versions[event.key] = versions.get(event.key, 0) + 1
            pairs.append(consumed(event, version=versions[event.key], partition=partition))
        await self.consume_batch(pairs)

    async def consume_batch(self, pairs: Sequence[tuple[Event, Meta]]) -> None:
        """Consume ballots in one batch and everything else in another, in one transaction."""
        ballots = [pair for pair in pairs if pair[1].topic == "ballots"]
        others = [pair for pair in pairs if pair[1].topic != "ballots"]
        self.context.scored_at.clear()  # as if time had passed since the batch before
        async with self.transaction() as tx:
            if ballots:
                await apply_ballot_events(tx, ballots)
                await record_holds(tx, [event for event, _ in ballots])
            if others:
                await record_events(tx, others)

    async def rescore_pending(self) -> None:
        """Run the job until nothing is left to score."""
        more = True
        while more:
            self.context.next_ballot_rescore_at = NEVER
            self.context.next_pending_rescore_at = NEVER
            async with self.transaction() as tx:
                more = await rescore_pending(tx)

    async def rescore_all(self) -> None:
        """Score every unit again from what is stored."""
        async with self.transaction() as tx:
            campaign = await get_campaign(tx, CAMPAIGN)
            await rescores.mark_dirty(
                tx, CAMPAIGN, shard=0, source=ScoreSource.RULES, unit_nos=campaign.by_no
            )
        await self.rescore_pending()

    async def board(self, category: str) -> list[BoardRow]:
        async with self.transaction() as tx:
            campaign = await get_campaign(tx, CAMPAIGN)
            board = await load_board(tx, campaign, category)
        return list(board.rows)

    async def explained(self, unit_id: str, version: str = "") -> UnitExplanation:
        async with self.transaction() as tx:
            campaign = await get_campaign(tx, CAMPAIGN)
            return await explain_score(tx, campaign, unit_id, version=version)

    async def score(self, unit_id: str) -> UnitScore | None:
        """The stored running score, or None."""
        async with self.transaction() as tx:
            campaign = await get_campaign(tx, CAMPAIGN)
            unit_no = campaign.numbers[unit_id]
            scores = await running_scores(tx, CAMPAIGN, campaign.scheme.version, [unit_no])
        return scores.get(unit_no)

    async def bytes(self) -> list[tuple[int, str | None]]:
        """Every score, as it is stored."""
        async with self.transaction() as tx:
            rows = await tx.fetch(
                "select unit_no, body from scores order by scheme_version, unit_no"
            )
        return [(row["unit_no"], row["body"]) for row in rows]

    async def recount(self) -> RecountResult:
        async with self.transaction() as tx:
            return await recount(tx, CAMPAIGN, by="office")

    async def published(self, name: str = "score.changed.v1") -> list[dict]:
        """The bodies of the published events of that name."""
        async with self.transaction() as tx:
            rows = await tx.fetch("select body from outbox where type = $1 order by id", name)
        return [json.loads(row["body"]) for row in rows]


def random_events(seed: int, *, events: int = 60) -> list[Event]:
    """Return a random but repeatable course of a campaign: ballots, cases, visits, ratings, late
    obligations.
    """
    rng = Random(seed)
    course: list[Event] = []
    scheme = j_scheme()
    options = [option.no for option in scheme.options]
    for no in range(events):
        unit = rng.choice(UNITS).unit_id
        roll = rng.random()
        if roll < 0.5:
            questionnaire = rng.choice(scheme.questionnaires)
            units = sorted(rng.sample(range(1, len(UNITS) + 1), k=rng.randint(1, len(UNITS))))
            answers = [
                (unit_no, item.no, rng.choice(options))
                for unit_no in units
                for item in questionnaire.items
            ]
            course.append(
                ballot(
                    seed * 1000 + no,
                    answers,
                    instrument=questionnaire.key,
                    group=rng.choice(questionnaire.groups).key,
                )
            )
        elif roll < 0.8:
            course += _course(
                rng, Case(f"ZF-{seed}-{no}", unit, kind=rng.choice(list(ComplaintKind)))
            )
        elif roll < 0.95:
            items = rng.sample(
                [item.id for item in scheme.checklists[0].items], k=rng.randint(0, 3)
            )
            course.append(
                visit(
                    f"V-{seed}-{no}",
                    unit,
                    *((item, rng.choice(["minor", "ordinary", "serious"])) for item in items),
                )
            )
        else:
            course.append(late_plan(unit))
    return list({(event.name, event.key): event for event in course}.values())


def _course(rng: Random, case: Case) -> list[Event]:
    steps: list[Event] = [case.opened()]
    if rng.random() < 0.3:
        steps.append(case.lapsed("accept"))
    if rng.random() < 0.15:
        return [*steps, case.returned()]
    steps.append(case.accepted(late=rng.random() < 0.2))
    if rng.random() < 0.2:
        steps.append(case.paused())
    if rng.random() < 0.3:
        steps.append(case.lapsed("handle"))
    if rng.random() < 0.2:
        steps.append(case.sent_back())
    if rng.random() < 0.8:
        steps.append(case.closed(late=rng.random() < 0.2))
        if rng.random() < 0.6:
            steps.append(case.rated(rng.choice([1, 2, 3, 9])))
    return steps
