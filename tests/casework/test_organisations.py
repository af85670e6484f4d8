"""Cases belong to bodies of the register: the heir handles what its predecessors left."""

from contextlib import suppress
from datetime import date

import msgspec
import pytest

from services.casework.actions import assignment
from services.casework.domain.states import CaseState
from services.casework.views.case_lists import count_cases
from services.casework.views.cases import case_details
from shared.appraisal.errors import Rejected
from shared.appraisal.labels import ComplaintKind, OrganisationState, Role, SuccessionKind
from shared.appraisal.organisations import Successor
from tests.casework.conftest import CHEN, LI, SUN, World, person
from tests.organisations import body, know

pytestmark = pytest.mark.stack
HEIR = person(21, "何承接", Role.HANDLER, "merged")
HEIR_OF_BOTH = msgspec.structs.replace(HEIR, inherited_unit_ids=("health", "schools"))
HEIR_OF_HEALTH = msgspec.structs.replace(HEIR, inherited_unit_ids=("health",))


async def found(world: World, user) -> list[str]:
    """Numbers of the cases that a person can open; lists and counts must agree."""
    numbers = []
    for row in await world.rows("select number from cases order by number"):
        with suppress(Rejected):
            await world.do(case_details, number=row["number"], user=user)
            numbers.append(row["number"])
    counted = await world.do(count_cases, user=user)
    assert sum(counted.in_states(state) for state in CaseState) == len(numbers)
    return numbers


async def test_heir_finds_the_cases_of_its_predecessors_and_nobody_elses(world):
    of_health = await world.open()
    await world.open(unit_id="schools")

    assert await found(world, HEIR) == []
    assert await found(world, HEIR_OF_HEALTH) == [of_health]


async def test_heir_of_accused_and_investigator_finds_no_report_against_itself(world):
    number = await world.open(kind=ComplaintKind.REPORT)
    await world.do(assignment.assign_case, number=number, unit_id="schools", by=SUN)

    assert await found(world, CHEN) == [number]
    assert await found(world, LI) == []
    assert await found(world, HEIR_OF_BOTH) == []


EXCLUDED = {
    "stands under the accused": (body("schools", parent_id="health"),),
    "became the accused": (
        body(
            "schools",
            state=OrganisationState.ENDED,
            ended_on=date(2026, 1, 1),
            successors=(
                Successor(organisation_id="health", kind=SuccessionKind.MERGED, takes_over=True),
            ),
        ),
    ),
    "is what the accused became": (
        body(
            "health",
            state=OrganisationState.ENDED,
            ended_on=date(2026, 1, 1),
            successors=(
                Successor(organisation_id="schools", kind=SuccessionKind.MERGED, takes_over=True),
            ),
        ),
        body("schools"),
    ),
}


@pytest.mark.parametrize("organisations", EXCLUDED.values(), ids=EXCLUDED)
async def test_report_is_not_assigned_to_a_unit_whose_people_are_the_accuseds(world, organisations):
    async with world.database.transaction(world.context) as tx:
        await know(tx, *organisations)
    number = await world.open(kind=ComplaintKind.REPORT)

    with pytest.raises(Rejected, match="举报件不得转被举报单位"):
        await world.do(assignment.assign_case, number=number, unit_id="schools", by=SUN)
    await world.do(assignment.assign_case, number=number, unit_id="roads", by=SUN)
