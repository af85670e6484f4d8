"""What is broken when: a plan follows from its seed alone, so that a run can be repeated."""

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tests.faults.fault_actions import FAULTS

CardT = TypeVar("CardT")

WRITERS = ("transaction.before_commit", "transaction.after_commit")
RELAY = (
    "relay.after_select",
    "relay.after_send",
    "relay.after_ack",
    "relay.after_mark_published",
)
CONSUMER = (
    "consumer.after_fetch",
    "consumer.after_inbox",
    "consumer.after_effect",
    "consumer.after_commit",
    "consumer.after_offset_commit",
)
DEAD_LETTERING = ("consumer.during_dead_letter", "consumer.after_dead_letter")
SENDER_WORKERS = ("delivery.claimed", "delivery.sent")
JOBS = {
    "intake": ("seal_audit",),
    "casework": ("lapse_deadlines", "warn_deadlines", "seal_audit"),
    "scoring": ("rescore", "publish"),
    "notify": ("escalate", "seal_audit"),
}


@dataclass(frozen=True, slots=True)
class ScheduledFault:
    """A fault after so many operations of the load were answered."""

    after: int
    name: str
    how: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        assert self.name in FAULTS, f"there is no fault {self.name}"


@dataclass(frozen=True, slots=True)
class Plan:
    """One run: so many operations at such a rate; `lives`: failpoints of each service's next
    incarnations; scheduled by operation.
    """

    seed: int
    title: str
    operations: int = 60
    rate: float = 20.0
    replicas: int = 1
    """Of every service."""
    lives: Mapping[str, Sequence[str]] = field(default_factory=dict)
    scheduled: Sequence[ScheduledFault] = ()

    @property
    def faults(self) -> str:
        """In one line."""
        armed = [f"{service}: {', '.join(lives)}" for service, lives in self.lives.items()]
        several = [f"{self.replicas} of each"] if self.replicas > 1 else []
        return "; ".join(
            [
                *several,
                *armed,
                *(
                    f"{scheduled_fault.name}{dict(scheduled_fault.how) or ''} after {scheduled_fault.after}"
                    for scheduled_fault in self.scheduled
                ),
            ]
        )


def places(service: str) -> list[str]:
    """Every failpoint that a service passes."""
    jobs = [
        f"job.{name}.{when}" for name in JOBS[service] for when in ("before_commit", "after_commit")
    ]
    return [*WRITERS, *RELAY, *CONSUMER, *jobs, *(SENDER_WORKERS if service == "notify" else ())]


_FAULT_ARGUMENTS: dict[str, tuple[Mapping[str, Any], ...]] = {
    "killed": tuple({"service": s} for s in JOBS),
    "all_killed": ({}, {"times": 2}),
    "frozen": ({"service": "casework"}, {"service": "scoring"}),
    "relay_frozen": ({"service": "intake"}, {"service": "casework"}),
    "terminated": ({},),
    "slowed": ({"service": "casework"}, {"service": "scoring", "each": 1.0}),
    "rebalanced": ({"service": "casework"}, {"service": "scoring", "turns": 3}),
    "broker_killed": ({}, {"times": 2}, {"seconds": 12}),
    "brokers_away": ({}, {"seconds": 20}),
    "brokers_wiped": ({}, {"seconds": 5}),
    "postgres_killed": ({}, {"times": 2}, {"seconds": 6}),
    "server_frozen": (
        {"server": "postgres"},
        {"server": "valkey"},
        {"server": "broker", "seconds": 15.0},
        {"server": "broker"},
    ),
    "redis_flushed": ({},),
    "redis_killed": ({},),
    "repeated": ({}, {"events": 200}),
    "lost_in_the_log": ({},),
    "out_of_order": ({},),
    "poisoned": ({"topic": "complaints"}, {"topic": "ballots"}, {"topic": "cases"}),
    "dead_lettered_and_replayed": (
        {"service": "notify"},
        {"service": "casework"},
        {"service": "scoring"},
    ),
    "answers_lost": ({},),
    "service_clock_wrong": (
        {"by": "+40d"},
        {"by": "+2h"},
        {"by": "-2h"},
        {"service": "intake", "by": "-1d"},
    ),
    "database_clock_jumps": ({"by": "40 days"}, {"by": "-2 hours"}),
    # Two of them on one installation end before its questionnaires close.
    "lapse_wave": ({"days": 7}, {"days": 10, "kills": 4}),
}
_PLACES = [(service, place) for service in JOBS for place in places(service)]
ARMED = 5
"""Failpoints of one plan."""


def plan(seed: int) -> Plan:
    """The plan of this seed: the next five failpoints, the next scheduled_fault or two, and one or three
    replicas of each service.

    Failpoints and scheduled are dealt like cards, shuffled anew when all were played: fifty seeds in a
    row have each failpoint of each service three times, each scheduled_fault twice.
    """
    rng = random.Random(f"plan/{seed}")
    lives: dict[str, list[str]] = {}
    for turn in range(ARMED * seed, ARMED * (seed + 1)):
        service, place = _dealt(_PLACES, turn)
        lives.setdefault(service, []).append(f"{place}=kill@{rng.randint(1, 6)}")
    operations = rng.choice((60, 90, 120))
    names = [
        _dealt(sorted(_FAULT_ARGUMENTS), turn) for turn in range(3 * seed // 2, 3 * (seed + 1) // 2)
    ]
    scheduled = [
        ScheduledFault(rng.randint(5, operations - 10), name, rng.choice(_FAULT_ARGUMENTS[name]))
        for name in names
    ]
    scheduled.sort(key=lambda scheduled_fault: scheduled_fault.after)
    return Plan(
        seed,
        "random",
        operations,
        rng.choice((15.0, 25.0)),
        rng.choice((1, 3, 3)),
        lives,
        scheduled,
    )


def _dealt(cards: Sequence[CardT], turn: int) -> CardT:
    """The card of this turn, each of them once before any comes again."""
    deck, place = divmod(turn, len(cards))
    return random.Random(f"deck/{deck}").sample(cards, len(cards))[place]


def _armed(*pairs: tuple[str, int]) -> list[str]:
    return [f"{place}=kill@{nth}" for place, nth in pairs]


def reaching(missed: Collection[str]) -> Plan:
    """A plan for places at which nobody died, because the machine was busy and a process lived too
    short: once more, at the first hit.
    """
    here = [place for place in (*RELAY, *CONSUMER) if place in missed]
    lives = {
        "intake": _armed(*((place, 5) for place in WRITERS if place in missed)),
        "casework": _armed(*((place, 1) for place in here)),
    }
    return Plan(
        99,
        "the places that were missed",
        90,
        5.0,
        lives={service: armed for service, armed in lives.items() if armed},
    )


SHORT: tuple[Plan, ...] = (
    # A consumer that was killed is missed for six seconds (its session): each service dies twice at
    # most while it hears.
    Plan(
        1,
        "every step of a write, a relay and a consumer dies once",
        90,
        5.0,
        lives={
            "intake": _armed(
                ("consumer.after_fetch", 1),
                ("transaction.before_commit", 25),
                ("relay.after_select", 2),
            ),
            "casework": _armed(
                ("consumer.after_inbox", 2),
                ("consumer.after_effect", 2),
                ("relay.after_send", 2),
                ("relay.after_mark_published", 2),
            ),
            "scoring": _armed(
                ("consumer.after_commit", 3),
                ("relay.after_ack", 2),
                ("job.rescore.before_commit", 5),
                ("job.publish.after_commit", 5),
            ),
            "notify": _armed(
                ("consumer.after_offset_commit", 2),
                ("job.escalate.before_commit", 3),
                ("transaction.after_commit", 20),
            ),
        },
    ),
    Plan(
        2,
        "poison, repetition, disorder and loss in the log",
        70,
        14.0,
        lives={"casework": [f"{DEAD_LETTERING[0]}=kill@1", f"{DEAD_LETTERING[1]}=kill@1"]},
        scheduled=(
            ScheduledFault(10, "poisoned", {"topic": "complaints"}),
            ScheduledFault(20, "repeated"),
            ScheduledFault(30, "lost_in_the_log"),
            ScheduledFault(45, "out_of_order"),
            ScheduledFault(60, "answers_lost"),
        ),
    ),
    Plan(
        3,
        "servers die",
        90,
        12.0,
        scheduled=(
            ScheduledFault(10, "broker_killed"),
            ScheduledFault(25, "postgres_killed"),
            ScheduledFault(40, "redis_killed"),
            ScheduledFault(55, "all_killed"),
            ScheduledFault(75, "brokers_wiped"),
        ),
    ),
    Plan(
        4,
        "a zombie, a rebalance, a bug and its cure",
        30,
        10.0,
        scheduled=(
            ScheduledFault(5, "dead_lettered_and_replayed", {"service": "notify"}),
            ScheduledFault(10, "frozen", {"service": "casework"}),
            ScheduledFault(20, "rebalanced", {"service": "scoring", "turns": 2}),
        ),
    ),
    Plan(
        5,
        "time jumps, and everything falls due at once",
        40,
        12.0,
        lives={"notify": _armed(("delivery.sent", 1), ("delivery.claimed", 4))},
        scheduled=(
            ScheduledFault(10, "service_clock_wrong", {"seconds": 5.0}),
            ScheduledFault(25, "database_clock_jumps"),
            ScheduledFault(38, "lapse_wave", {"days": 9}),
        ),
    ),
)
"""What every change must pass: few runs that reach every kind of failpoint and most faults."""
