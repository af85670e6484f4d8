"""检查轮次 in the JSON API, for the appraisal office."""

from datetime import date
from typing import Final
from uuid import UUID

from pydantic import Field
from starlette.responses import Response

from services.intake.actions import rounds
from services.intake.api.problems import problems
from services.intake.domain.rounds import NAME_MAX, RoundPlan, RoundState
from services.intake.views.rounds import RoundLine, list_rounds
from shared.appraisal.labels import Role, VisitMode
from shared.security.policies import allow
from shared.web import CurrentUser, Idempotency, Router, Tx
from shared.web.forms import Input

router = Router(prefix="/intake/api", tags=["检查轮次"])
OFFICE: Final = allow(Role.OFFICE)


class RoundRequest(Input):
    """`ends_on`: the last day. No units: all of the campaign."""

    campaign_id: str = Field(max_length=100)
    name: str = Field(max_length=NAME_MAX)
    mode: VisitMode
    begins_on: date
    ends_on: date
    team: list[UUID] = Field(max_length=200)
    units: list[str] = Field(default_factory=list, max_length=2000)

    def plan(self) -> RoundPlan:
        """Return what the office decided."""
        return RoundPlan(
            campaign_id=self.campaign_id,
            name=self.name,
            mode=self.mode,
            begins_on=self.begins_on,
            ends_on=self.ends_on,
            team=tuple(dict.fromkeys(self.team)),
            units=tuple(dict.fromkeys(self.units)),
        )


class PlannedResponse(Input):
    id: UUID


class RoundResponse(Input):
    id: UUID
    name: str
    mode: VisitMode
    begins_on: date
    last_day: date
    state: RoundState
    visits: int
    handed_over: int

    @classmethod
    def of(cls, line: RoundLine) -> "RoundResponse":
        return cls(
            id=line.round.id,
            name=line.round.name,
            mode=line.round.mode,
            begins_on=line.round.begins_on,
            last_day=line.round.last_day,
            state=line.state,
            visits=line.visits,
            handed_over=line.handed_over,
        )


@router.get("/rounds", policy=OFFICE, responses=problems())
async def list_all(tx: Tx) -> list[RoundResponse]:
    """检查轮次: those that begin last first."""
    return [RoundResponse.of(line) for line in await list_rounds(tx)]


@router.post(
    "/rounds",
    policy=OFFICE,
    status_code=201,
    response_model=PlannedResponse,
    responses=problems(409),
)
async def plan_round(
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    given: RoundRequest,
) -> Response:
    """Create a round."""

    async def planned() -> PlannedResponse:
        return PlannedResponse(id=await rounds.plan_round(tx, given.plan(), by=user))

    return await idempotency.respond(201, planned())


@router.post(
    "/rounds/{round_id}/closure", policy=OFFICE, status_code=204, responses=problems(404, 409)
)
async def close_round(tx: Tx, user: CurrentUser, round_id: UUID) -> None:
    """End a round early; before its first day that withdraws it."""
    await rounds.close_round(tx, round_id, by=user)
