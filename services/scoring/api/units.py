"""One unit: the explanation and the changes of its score."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Final

from fastapi import Query
from starlette.responses import Response

from services.scoring.api.responses import json_response
from services.scoring.domain.explanation import Explanation
from services.scoring.domain.rank import UnitConsequence
from services.scoring.views.campaigns import get_campaign
from services.scoring.views.changes import list_changes
from services.scoring.views.units import UnitExplanation, explain_score, own_score
from shared.appraisal.labels import Role
from shared.security.policies import allow
from shared.web import CurrentUser, Router, Tx

router = Router(prefix="/scoring/api")
BOARD: Final = allow(Role.OFFICE, Role.LEADER)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplanationResponse:
    campaign_id: str
    unit_id: str
    name: str
    category: str
    rank: int | None
    current: bool
    consequences: Sequence[UnitConsequence]
    explanation: Explanation

    @classmethod
    def of(cls, found: UnitExplanation) -> "ExplanationResponse":
        return cls(
            campaign_id=found.campaign.id,
            unit_id=found.unit.unit_id,
            name=found.unit.name,
            category=found.unit.category,
            rank=found.rank,
            current=found.current,
            consequences=found.consequences,
            explanation=found.explanation,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnScoreResponse:
    """What a unit head may see: no rank, no other unit."""

    campaign_id: str
    name: str
    explanation: Explanation
    shown: bool = True


@router.get("/campaigns/{campaign_id}/units/{unit_id}", policy=BOARD)
async def explain_unit(
    tx: Tx,
    campaign_id: str,
    unit_id: str,
    version: str = "",
) -> Response:
    """Explain a unit's score. `version`: superseded rules."""
    campaign = await get_campaign(tx, campaign_id)
    found = await explain_score(tx, campaign, unit_id, version=version)
    return json_response(ExplanationResponse.of(found))


@router.get("/campaigns/{campaign_id}/units/{unit_id}/changes", policy=BOARD)
async def list_unit_changes(
    tx: Tx,
    campaign_id: str,
    unit_id: str,
    source: str = "",
    since: date | None = None,
    page: Annotated[int, Query(ge=1, le=10_000)] = 1,
) -> Response:
    """Return the changes of a unit's total, newest first."""
    campaign = await get_campaign(tx, campaign_id)
    found = await list_changes(
        tx,
        campaign,
        unit_id=unit_id,
        source=source,
        since=since,
        page=page,
    )
    return json_response({"total": found.total, "changes": found.changes})


@router.get("/mine", policy=allow(Role.UNIT_HEAD))
async def get_own_score(tx: Tx, user: CurrentUser) -> Response:
    """Return the running score of the user's own unit, once the office shows it."""
    found = await own_score(tx, unit_id=user.unit_id)
    if found is None:
        return json_response({"shown": False})
    response = OwnScoreResponse(
        campaign_id=found.campaign.id, name=found.unit.name, explanation=found.explanation
    )
    return json_response(response)
