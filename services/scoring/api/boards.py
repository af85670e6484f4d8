"""Boards, live boards and tallies."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from starlette.responses import Response

from services.scoring.api.responses import json_response
from services.scoring.domain.campaign import Campaign
from services.scoring.domain.rank import UnitConsequence
from services.scoring.views import boards, tallies
from services.scoring.views.boards import Board, BoardRow
from services.scoring.views.campaigns import get_campaign
from shared.appraisal.labels import Role
from shared.security.policies import allow
from shared.web import Router, Tx

router = Router(prefix="/scoring/api")
OFFICE: Final = allow(Role.OFFICE)
BOARD: Final = allow(Role.OFFICE, Role.LEADER)


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardRowResponse:
    """A unit on a board. `rank` None: the unit is not ranked, for the reason in `unranked`."""

    unit_id: str
    name: str
    rank: int | None
    total: Decimal | None
    unranked: str
    sample: int
    grade: str | None
    components: dict[str, Decimal | None]
    contributions: dict[str, Decimal | None]
    adjusted: Decimal | None
    consequences: Sequence[UnitConsequence]

    @classmethod
    def of(cls, row: BoardRow) -> "BoardRowResponse":
        score = row.score
        return cls(
            unit_id=row.unit.unit_id,
            name=row.unit.name,
            rank=row.rank,
            total=row.total,
            unranked=row.unranked,
            sample=row.sample,
            grade=score.grade if score else None,
            components=score.marks if score else {},
            contributions=score.contributions if score else {},
            adjusted=score.adjusted if score else None,
            consequences=row.consequences,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoryResponse:
    category: str
    label: str
    units: Sequence[BoardRowResponse]

    @classmethod
    def of(cls, board: Board) -> "CategoryResponse":
        units = [BoardRowResponse.of(row) for row in board.rows]
        return cls(category=board.category.key, label=board.category.label, units=units)


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardResponse:
    campaign_id: str
    scheme_version: str
    state: str
    as_of: datetime
    categories: Sequence[CategoryResponse]

    @classmethod
    def of(
        cls,
        campaign: Campaign,
        boards: Sequence[Board],
        *,
        as_of: datetime,
    ) -> "BoardResponse":
        return cls(
            campaign_id=campaign.id,
            scheme_version=campaign.scheme.version,
            state="trial",
            as_of=as_of,
            categories=[CategoryResponse.of(board) for board in boards],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveUnitResponse:
    rank: int
    unit_id: str
    name: str
    total: Decimal


@router.get("/campaigns/{campaign_id}/board", policy=BOARD)
async def get_board(
    tx: Tx,
    campaign_id: str,
    category: str = "",
) -> Response:
    """Return running scores and ranks by category."""
    campaign = await get_campaign(tx, campaign_id)
    found = await boards.load_boards(tx, campaign, category)
    return json_response(BoardResponse.of(campaign, found, as_of=tx.now))


@router.get("/campaigns/{campaign_id}/live", policy=BOARD)
async def get_live_board(
    tx: Tx,
    campaign_id: str,
    category: str,
) -> Response:
    """Return the ranked units of a category from a shared copy, at most two seconds old."""
    campaign = await get_campaign(tx, campaign_id)
    units = [
        LiveUnitResponse(
            rank=rank,
            unit_id=unit.unit_id,
            name=unit.name,
            total=total,
        )
        for rank, unit, total in await boards.live_board(tx, campaign, category)
    ]
    return json_response({"units": units})


@router.get("/campaigns/{campaign_id}/tallies", policy=OFFICE)
async def list_tallies(
    tx: Tx,
    campaign_id: str,
    unit_id: str = "",
    instrument: str = "",
) -> Response:
    """Return answers counted by unit, questionnaire, group and item.

    `answer_counts` null: the group is too small to be shown.
    """
    campaign = await get_campaign(tx, campaign_id)
    found = await tallies.list_tallies(tx, campaign, unit_id=unit_id, instrument=instrument)
    return json_response({"campaign_id": campaign.id, "tallies": found})
