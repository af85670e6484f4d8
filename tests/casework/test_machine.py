"""A case under random acts of random people at random times, beside a model of a hundred lines.

After every act: the state is the model's, an illegal act changed nothing, an open case is owed by
some deadline that runs or has lapsed, and no deadline was ever told twice, early, or after it was
met.
"""

import random
from collections import Counter
from datetime import timedelta

import pytest

from services.casework.actions import dispatch, extensions, handling
from services.casework.domain import NEXT, OPEN, State, Verb
from shared.appraisal.errors import Rejected
from shared.appraisal.events import DeadlineLapsed
from shared.appraisal.labels import ComplaintKind
from tests.casework.conftest import ACCOUNT, BASIS, CHEN, LI, REPLY, SUN, WANG, ZHANG, ZHAO

pytestmark = pytest.mark.stack

STEPS = 60
OPINION = "请补充整改完成的时间和佐证材料"
ACTS = {
    Verb.ASSIGN: lambda rng: (dispatch.assign_case, {"unit_id": rng.choice(["health", "schools"])}),
    Verb.REFUSE: lambda rng: (dispatch.refuse_case, {"reason": "unclear", "explanation": ""}),
    Verb.ACCEPT: lambda rng: (handling.accept_case, {}),
    Verb.TAKE_OVER: lambda rng: (handling.take_case_over, {}),
    Verb.RETURN: lambda rng: (dispatch.return_case, {"reason": "not_ours", "basis": BASIS}),
    Verb.NOTE: lambda rng: (handling.note_progress, {"text": "已核实"}),
    Verb.ASK_EXTENSION: lambda rng: (
        extensions.ask_extension,
        {"amount": rng.randint(1, 6), "reason": "需到外地调取证据材料"},
    ),
    Verb.DECIDE_EXTENSION: lambda rng: (
        extensions.decide_extension,
        {"agree": rng.random() < 0.8, "opinion": ""},
    ),
    Verb.PAUSE: lambda rng: (handling.pause_case, {"reason": "supplement"}),
    Verb.RESUME: lambda rng: (handling.resume_case, {}),
    Verb.SUBMIT: lambda rng: (
        handling.submit_result,
        {
            "account": ACCOUNT,
            "finding": "partly_substantiated",
            "measures": "实行 AB 岗",
            "reply": REPLY,
        },
    ),
    Verb.APPROVE: lambda rng: (handling.approve_result, {"opinion": ""}),
    Verb.SEND_BACK: lambda rng: (handling.send_result_back, {"opinion": OPINION}),
    Verb.STRIKE_OFF: lambda rng: (handling.strike_off, {"opinion": OPINION}),
    Verb.URGE: lambda rng: (handling.urge_unit, {"text": "请尽快办理"}),
}
# Acts that end the story are rare, so that stories are long.
WEIGHTS = {Verb.REFUSE: 0.1, Verb.STRIKE_OFF: 0.3, Verb.APPROVE: 0.4}


class Model:
    """What the state must be: the table alone, moved only by acts that went through."""

    def __init__(self) -> None:
        self.state = State.PENDING
        self.unit: str | None = None

    def did(self, verb: Verb, said: dict) -> None:
        self.state = NEXT[self.state][verb]
        self.unit = said.get("unit_id", None if verb is Verb.RETURN else self.unit)

    def could(self, verb: Verb) -> bool:
        return verb in NEXT[self.state]


async def check(world, number, model):
    case = await world.case(number)
    assert (case.state, case.unit_id) == (model.state, model.unit)
    owed = await world.rows(
        "select d.* from deadlines d join cases c on c.id = d.case_id where c.number = $1", number
    )
    running = [row for row in owed if row["state"] in ("running", "lapsed", "paused")]
    assert bool(running) == (model.state in OPEN), (model.state, running)
    assert max(Counter(row["kind"] for row in running).values(), default=1) == 1
    now = await world.clock.now()
    for row in owed:
        assert row["lapsed_at"] is None or row["due_at"] <= row["lapsed_at"] <= now + timedelta(
            seconds=1
        )
        assert not (
            row["state"] == "completed"
            and row["lapsed_at"] is None
            and row["ended_at"] > row["due_at"]
        ), "met late and never told"


async def step(world, number, model, rng):
    verb = rng.choices(list(ACTS), [WEIGHTS.get(each, 1.0) for each in ACTS])[0]
    who = rng.choice([LI, WANG, CHEN, ZHANG, SUN, ZHAO, ZHAO])
    act, said = ACTS[verb](rng)
    if verb is Verb.PAUSE:
        said["until"] = await world.clock.now() + timedelta(days=rng.randint(1, 20))
    try:
        await world.do(act, number=number, by=who, **said)
    except Rejected:
        return
    assert model.could(verb), f"{verb} went through in {model.state}"
    model.did(verb, said)


@pytest.mark.parametrize("seed", range(6))
async def test_no_order_of_acts_breaks_a_case(world, seed):
    rng, model = random.Random(seed), Model()
    number = await world.open(kind=ComplaintKind.REPORT, unit_id="roads")

    for _ in range(STEPS):
        await step(world, number, model, rng)
        if rng.random() < 0.2:
            await world.clock.advance(hours=rng.choice([1, 8, 24, 72]))
            if (
                await world.do(handling.resume_due)
                or (await world.case(number)).state != model.state
            ):
                model.state = State((await world.case(number)).state)
        if rng.random() < 0.4:
            await world.sweep()
        await check(world, number, model)

    await world.clock.advance(days=200)
    await world.sweep()
    told = Counter((event.deadline, event.due_at) for event in await world.said(DeadlineLapsed))
    marked = await world.value(
        "select count(*) from deadlines where case_id is not null and lapsed_at is not null"
    )
    assert max(told.values(), default=1) == 1, f"seed {seed}: told twice"
    assert sum(told.values()) == marked
