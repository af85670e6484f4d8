"""Final results of earlier years in the JSON API."""

from decimal import Decimal
from typing import Final

from pydantic import Field
from starlette.responses import Response

from services.scoring.actions.approval_kinds.outcomes import OutcomesPayload, request_outcomes
from services.scoring.api.responses import requested
from services.scoring.store.outcomes import OutcomeRow
from shared.appraisal.labels import Role
from shared.security.approvals.domain import REASON_MAX
from shared.security.policies import allow
from shared.web import CurrentUser, Idempotency, Router, Tx
from shared.web.forms import Input

router = Router(prefix="/scoring/api")
OFFICE: Final = allow(Role.OFFICE)
UNITS_MAX: Final = 2000


class OutcomeRequest(Input):
    unit_id: str = Field(title="单位编号", max_length=40)
    category: str = Field(title="类别", max_length=40)
    total: Decimal | None = Field(None, title="得分", ge=0, le=100)
    rank: int | None = Field(None, title="名次", ge=1)
    from_bottom: int | None = Field(None, title="倒数名次", ge=1)
    grade: str | None = Field(None, title="等次", max_length=40)

    @property
    def row(self) -> OutcomeRow:
        return OutcomeRow(**self.model_dump())


class OutcomesRequest(Input):
    scheme: str = Field(title="方案", max_length=10)
    year: int = Field(title="年度", ge=2000, le=2100)
    outcomes: list[OutcomeRequest] = Field(title="结果", max_length=UNITS_MAX)
    reason: str = Field(title="申请理由", max_length=REASON_MAX)

    @property
    def payload(self) -> OutcomesPayload:
        rows = tuple(outcome.row for outcome in self.outcomes)
        return OutcomesPayload(self.scheme.upper(), self.year, rows)


@router.post("/outcomes", policy=OFFICE, status_code=202)
async def record_outcomes(
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    body: OutcomesRequest,
) -> Response:
    """Request to record or correct final results of an earlier year; nothing is overwritten."""
    action = request_outcomes(tx, body.payload, reason=body.reason, by=user)
    return await idempotency.respond(202, requested(action))
