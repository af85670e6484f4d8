"""G1 评分首页, G2 排名, and the units in the command palette."""

from typing import Any, Final

from fastapi.responses import JSONResponse
from starlette.requests import Request
from starlette.responses import Response

from services.scoring.domain.campaign import Campaign, CampaignUnit
from services.scoring.domain.rank import SMALL_CATEGORY
from services.scoring.views.boards import load_board, load_boards
from services.scoring.views.campaigns import current_campaign, get_campaign
from services.scoring.views.changes import list_changes
from services.scoring.views.recounts import newest_recount
from shared.appraisal.labels import Role
from shared.appraisal.schemes import scheme_ids
from shared.security.policies import allow
from shared.storage.transaction import Transaction
from shared.web import (
    CurrentUser,
    Form,
    PaletteResult,
    Router,
    Tx,
    is_htmx,
    matches_search,
    palette_results,
    redirect,
    render_fragment,
    render_page,
    search_terms,
)

router = Router(prefix="/scoring")
BOARD: Final = allow(Role.OFFICE, Role.LEADER)
RECENT_CHANGES: Final = 10
PALETTE_MAX: Final = 8


@router.get("/", policy=BOARD)
async def home(
    request: Request,
    tx: Tx,
    user: CurrentUser,
) -> Response:
    campaign = await current_campaign(tx)
    if campaign is None:
        return _empty_page(request, tx)
    return await _home_page(request, tx, campaign)


def _empty_page(request: Request, tx: Transaction) -> Response:
    form = Form[Any].with_initial({"year": tx.now.year})
    return render_page(request, "empty.html", schemes=scheme_ids(), form=form)


async def _home_page(
    request: Request,
    tx: Transaction,
    campaign: Campaign,
) -> Response:
    boards = await load_boards(tx, campaign)
    recent = await list_changes(tx, campaign, rows=RECENT_CHANGES)
    context: dict[str, Any] = {
        "campaign": campaign,
        "boards": boards,
        "changes": recent.changes,
        "as_of": tx.now,
    }
    if is_htmx(request):
        return render_fragment(request, "home.html", "live", **context)
    return render_page(
        request, "home.html", recount=await newest_recount(tx, campaign.id), **context
    )


@router.get("/rank", policy=BOARD)
async def current_ranking(
    request: Request,
    tx: Tx,
    category: str = "",
) -> Response:
    """The ranking of the current campaign."""
    campaign = await current_campaign(tx)
    if campaign is None:
        return redirect(request, "/scoring/")
    return await _ranking_page(request, tx, campaign, category)


@router.get("/palette", policy=BOARD)
async def palette(tx: Tx, q: str = "") -> Response:
    """Units of the current campaign by name, pinyin, initials or code."""
    campaign = await current_campaign(tx)
    if campaign is None:
        return JSONResponse(palette_results([]))
    return JSONResponse(palette_results(_search(campaign, q)))


def _search(campaign: Campaign, query: str) -> list[PaletteResult]:
    found = [unit for unit in campaign.units if _matches(unit, query)]
    return [_palette_result(campaign, unit) for unit in found[:PALETTE_MAX]]


def _matches(unit: CampaignUnit, query: str) -> bool:
    names = (unit.name, unit.unit_id, *unit.aliases)
    return any(matches_search(query, search_terms(name)) for name in names)


def _palette_result(campaign: Campaign, unit: CampaignUnit) -> PaletteResult:
    url = f"/scoring/{campaign.id}/units/{unit.unit_id}"
    return PaletteResult("单位", unit.name, url, "得分解释")


@router.get("/{campaign_id}/rank", policy=BOARD)
async def ranking(
    request: Request,
    tx: Tx,
    campaign_id: str,
    category: str = "",
) -> Response:
    """G2: one category in its order; unranked units last, with the reason."""
    campaign = await get_campaign(tx, campaign_id)
    return await _ranking_page(request, tx, campaign, category)


async def _ranking_page(
    request: Request,
    tx: Transaction,
    campaign: Campaign,
    category: str,
) -> Response:
    board = await load_board(tx, campaign, category or campaign.first_category)
    context: dict[str, Any] = {
        "campaign": campaign,
        "board": board,
        "small_category": SMALL_CATEGORY,
        "as_of": tx.now,
    }
    if is_htmx(request):
        return render_fragment(request, "rank.html", "rows", **context)
    return render_page(request, "rank.html", **context)
