"""被举报单位 of a 举报 in the JSON API."""

from typing import Final

from pydantic import Field
from starlette.responses import Response

from services.intake.actions.accused import ACCUSED_MAX, NewAccusedRecord, record_accused
from services.intake.api.problems import problems
from services.intake.views.accused import AccusedPanel, accused_panel
from shared.appraisal.errors import Rejected
from shared.appraisal.labels import Role
from shared.security.policies import allow
from shared.web import CurrentUser, Idempotency, Router, Tx
from shared.web.forms import Input

router = Router(prefix="/intake/api/complaints/{number}/accused", tags=["受理"])
RECORDERS: Final = allow(Role.REVIEWER, Role.SUPERVISOR)


class AccusedResponse(Input):
    """`record`: how often the accused were recorded. Only if `is_needed` can they be recorded.

    `mentioned_unit_ids`: other bodies whose name or alias stands in the complaint.
    """

    number: str
    is_needed: bool
    record: int
    unit_ids: list[str]
    mentioned_unit_ids: list[str]

    @classmethod
    def of(cls, panel: AccusedPanel) -> "AccusedResponse":
        return cls(
            number=panel.complaint.number,
            is_needed=panel.is_needed,
            record=panel.record,
            unit_ids=panel.complaint.accused_unit_ids,
            mentioned_unit_ids=[each.id for each in panel.mentioned],
        )


@router.get("", policy=RECORDERS, responses=problems(404))
async def accused(
    tx: Tx,
    user: CurrentUser,
    number: str,
) -> AccusedResponse:
    """Whom a 举报 accuses."""
    panel = await accused_panel(tx, number, user)
    if panel is None:
        raise Rejected("没有这件诉求", status=404)
    return AccusedResponse.of(panel)


class AccusedRequest(Input):
    """The accused bodies, all of them. `reason` if nobody can be named or one is removed."""

    unit_ids: list[str] = Field(max_length=ACCUSED_MAX)
    reason: str = Field("", max_length=500)
    record: int = Field(ge=0, description="此前登记的次数")


class RecordedAccusedResponse(Input):
    number: str
    record: int
    unit_ids: list[str]


@router.post(
    "",
    policy=RECORDERS,
    status_code=201,
    response_model=RecordedAccusedResponse,
    responses=problems(404, 409),
)
async def record(
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    number: str,
    given: AccusedRequest,
) -> Response:
    """登记被举报单位. A later record replaces the earlier, and the case follows at once."""
    wanted = NewAccusedRecord(unit_ids=given.unit_ids, reason=given.reason, seen=given.record)
    action = record_accused(tx, number=number, given=wanted, by=user)
    return await idempotency.respond(201, action)
