"""A case under random actions of random people at random times, checked against a small model.

After every action: the state is the model's, an illegal action changed nothing, an open case has an
active deadline, and no lapse was published twice, early, or after the deadline was completed.
"""

import random
from collections import Counter
from datetime import timedelta

import pytest

from services.casework.actions import (
    assignment,
    extensions,
    handling,
    joint_handling,
    pauses,
    review,
)
from services.casework.domain.states import (
    ALLOWED_ROLES,
    OPEN_STATES,
    TRANSITIONS,
    CaseAction,
    CaseState,
)
from shared.appraisal.errors import Rejected
from shared.appraisal.events import DeadlineLapsed
from shared.appraisal.labels import ComplaintKind
from tests.casework.conftest import ACCOUNT, BASIS, CHEN, LI, REPLY, SUN, WANG, ZHANG, ZHAO

pytestmark = pytest.mark.stack

STEPS = 60
OPINION = "请补充整改完成的时间和佐证材料"
ACTS = {
    CaseAction.ASSIGN: lambda rng: (
        assignment.assign_case,
        {"unit_id": rng.choice(["health", "schools"])},
    ),
    CaseAction.REFUSE: lambda rng: (
        assignment.refuse_case,
        {"reason": "unclear", "explanation": ""},
    ),
    CaseAction.ACCEPT: lambda rng: (handling.accept_case, {}),
    CaseAction.TAKE_OVER: lambda rng: (handling.take_over_case, {}),
    CaseAction.RETURN: lambda rng: (assignment.return_case, {"reason": "not_ours", "basis": BASIS}),
    CaseAction.NOTE: lambda rng: (handling.note_progress, {"text": "已核实"}),
    CaseAction.REQUEST_EXTENSION: lambda rng: (
        extensions.request_extension,
        {"amount": rng.randint(1, 6), "reason": "需到外地调取证据材料"},
    ),
    CaseAction.DECIDE_EXTENSION: lambda rng: (
        extensions.decide_extension,
        {"agree": rng.random() < 0.8, "opinion": ""},
    ),
    CaseAction.START_JOINT_HANDLING: lambda rng: (
        joint_handling.start_joint_handling,
        {"units": "省教育厅、省公安厅", "reason": "涉及两个单位的职责"},
    ),
    CaseAction.END_JOINT_HANDLING: lambda rng: (joint_handling.end_joint_handling, {}),
    CaseAction.PAUSE: lambda rng: (pauses.pause_case, {"reason": "supplement"}),
    CaseAction.RESUME: lambda rng: (pauses.resume_case, {}),
    CaseAction.SUBMIT: lambda rng: (
        handling.submit_result,
        {
            "account": ACCOUNT,
            "finding": "partly_substantiated",
            "measures": "实行 AB 岗",
            "reply": REPLY,
        },
    ),
    CaseAction.APPROVE: lambda rng: (review.approve_result, {"opinion": ""}),
    CaseAction.SEND_BACK: lambda rng: (review.send_back_result, {"opinion": OPINION}),
    CaseAction.STRIKE_OFF: lambda rng: (review.strike_off_case, {"opinion": OPINION}),
    CaseAction.URGE: lambda rng: (handling.urge_unit, {"text": "请尽快办理"}),
}
# Actions that end a case are rare, so that stories are long.
WEIGHTS = {CaseAction.REFUSE: 0.1, CaseAction.STRIKE_OFF: 0.3, CaseAction.APPROVE: 0.4}


class Model:
    """The expected state: the table of transitions alone."""

    def __init__(self) -> None:
        self.state = CaseState.PENDING
        self.unit: str | None = None

    def apply(self, action: CaseAction, fields: dict) -> None:
        self.state = TRANSITIONS[self.state][action]
        self.unit = fields.get("unit_id", None if action is CaseAction.RETURN else self.unit)

    def allows(self, action: CaseAction) -> bool:
        return action in TRANSITIONS[self.state]


async def check(world, number, model):
    case = await world.case(number)
    assert (case.state, case.unit_id) == (model.state, model.unit)
    deadlines = await world.rows(
        "select d.* from deadlines d join cases c on c.id = d.case_id where c.number = $1", number
    )
    running = [row for row in deadlines if row["state"] in ("running", "lapsed", "paused")]
    assert bool(running) == (model.state in OPEN_STATES), (model.state, running)
    assert max(Counter(row["kind"] for row in running).values(), default=1) == 1
    now = await world.clock.now()
    for row in deadlines:
        assert row["lapsed_at"] is None or row["due_at"] <= row["lapsed_at"] <= now + timedelta(
            seconds=1
        )
        assert not (
            row["state"] == "completed"
            and row["lapsed_at"] is None
            and row["ended_at"] > row["due_at"]
        ), "completed late and no lapse published"


async def take_random_action(
    world,
    number,
    model,
    rng,
):
    action = rng.choices(list(ACTS), [WEIGHTS.get(each, 1.0) for each in ACTS])[0]
    user = rng.choice([LI, WANG, CHEN, ZHANG, SUN, ZHAO, ZHAO])
    act, fields = ACTS[action](rng)
    if action is CaseAction.PAUSE:
        fields["until"] = await world.clock.now() + timedelta(days=rng.randint(1, 20))
    try:
        await world.do(act, number=number, by=user, **fields)
    except Rejected:
        return
    assert model.allows(action), f"{action} went through in {model.state}"
    model.apply(action, fields)


@pytest.mark.parametrize("seed", range(6))
async def test_no_order_of_actions_breaks_a_case(world, seed):
    rng, model = random.Random(seed), Model()
    number = await world.open(kind=ComplaintKind.REPORT, unit_id="roads")

    for _ in range(STEPS):
        await take_random_action(world, number, model, rng)
        if rng.random() < 0.2:
            await world.clock.advance(hours=rng.choice([1, 8, 24, 72]))
            if (
                await world.do(pauses.resume_due_cases)
                or (await world.case(number)).state != model.state
            ):
                model.state = CaseState((await world.case(number)).state)
        if rng.random() < 0.4:
            await world.sweep()
        await check(world, number, model)

    await world.clock.advance(days=200)
    await world.sweep()
    published = Counter(
        (event.deadline, event.due_at) for event in await world.events(DeadlineLapsed)
    )
    marked = await world.value(
        "select count(*) from deadlines where case_id is not null and lapsed_at is not null"
    )
    assert max(published.values(), default=1) == 1, f"seed {seed}: published twice"
    assert sum(published.values()) == marked


def test_random_actions_cover_every_action_of_a_person():
    assert ACTS.keys() == {action for action, roles in ALLOWED_ROLES.items() if roles}
