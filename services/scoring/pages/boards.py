"""G1 评分首页, G2 排名, and the part of the command palette that knows units."""

from typing import Any, Final

from fastapi.responses import JSONResponse
from starlette.requests import Request
from starlette.responses import Response

from services.scoring import actions
from services.scoring.domain.entries import SOURCE_LABELS
from services.scoring.domain.rank import SMALL_CATEGORY
from services.scoring.pages import charts
from services.scoring.store import Campaign
from shared.appraisal.labels import Role
from shared.appraisal.schemes import scheme_ids
from shared.security.policies import allow
from shared.storage.transaction import Transaction
from shared.web import (
    CurrentUser,
    Form,
    Idempotency,
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
BOARD, OFFICE = allow(Role.OFFICE, Role.LEADER), allow(Role.OFFICE)
MOVES_SHOWN: Final = 10
HITS_MAX: Final = 8
AT_EACH_END: Final = 3
"""Units of a category shown on the first page: so many from the top and from the bottom."""


@router.get("/", policy=BOARD)
async def home(request: Request, tx: Tx, user: CurrentUser) -> Response:
    campaign = await actions.current_campaign(tx)
    if campaign is None:
        return render_page(
            request,
            "empty.html",
            schemes=scheme_ids(),
            form=Form[Any].with_initial({"year": tx.now.year}),
        )
    if is_htmx(request):
        return render_fragment(
            request, "home.html", "live", **await _live(tx, campaign), as_of=tx.now
        )
    known: dict[str, Any] = {
        "campaigns": await actions.all_campaigns(tx),
        "last": await actions.last_recount(tx, campaign.id),
        "undecided": campaign.scheme.undecided(),
        "as_of": tx.now,
    }
    return render_page(request, "home.html", **await _live(tx, campaign), **known)


async def _live(tx: Transaction, campaign: Campaign) -> dict[str, Any]:
    boards = await actions.boards_of(tx, campaign)
    moves, _ = await actions.changes_of(tx, campaign, rows=MOVES_SHOWN)
    return {
        "campaign": campaign,
        "boards": boards,
        "moves": moves,
        "sources": SOURCE_LABELS,
        "small": SMALL_CATEGORY,
        "ends": {board.category.key: _ends(_totals(board)) for board in boards if board.rows},
    }


def _totals(board: actions.Board) -> list[Any]:
    """(rank, unit, total) of the ranked units, of the same look at the database as everything else
    on the page.
    """
    return [(row.place.rank, row.unit, row.score.total) for row in board.ranked if row.score]


def _ends(rows: list[Any]) -> list[Any]:
    """The first and the last of a board; all of a short one."""
    return (
        rows if len(rows) <= 2 * AT_EACH_END else [*rows[:AT_EACH_END], None, *rows[-AT_EACH_END:]]
    )


@router.get("/rank", policy=BOARD)
async def newest_rank(request: Request, tx: Tx, category: str = "") -> Response:
    """The ranking of the newest campaign."""
    campaign = await actions.current_campaign(tx)
    return (
        await _ranking(request, tx, campaign, category)
        if campaign
        else redirect(request, "/scoring/")
    )


@router.get("/palette", policy=BOARD)
async def palette(tx: Tx, q: str = "") -> Response:
    """Units by name, pinyin, initials or code."""
    campaign = await actions.current_campaign(tx)
    units = campaign.units if campaign else ()
    found = [
        unit
        for unit in units
        if any(
            matches_search(q, search_terms(name))
            for name in (unit.name, unit.unit_id, *unit.aliases)
        )
    ]
    return JSONResponse(
        palette_results(
            [
                PaletteResult(
                    "单位", unit.name, f"/scoring/{campaign.id}/units/{unit.unit_id}", "得分解释"
                )
                for unit in found[:HITS_MAX]
                if campaign
            ]
        )
    )


@router.get("/{campaign_id}/rank", policy=BOARD)
async def ranking(request: Request, tx: Tx, campaign_id: str, category: str = "") -> Response:
    """G2: one category in its order; those without a rank apart, with the reason."""
    return await _ranking(request, tx, await actions.campaign_of(tx, campaign_id), category)


async def _ranking(
    request: Request, tx: Transaction, campaign: Campaign, category: str
) -> Response:
    first = next(
        (one.key for one in campaign.scheme.categories if campaign.in_category(one.key)),
        campaign.scheme.categories[0].key,
    )
    [board] = await actions.boards_of(tx, campaign, category or first)
    pieces = {
        row.unit.unit_no: charts.contributions(campaign.scheme, row.score.components)
        for row in board.rows
        if row.score
    }
    shown: dict[str, Any] = {
        "campaign": campaign,
        "board": board,
        "pieces": pieces,
        "tones": charts.tones(campaign.scheme),
        "small": SMALL_CATEGORY,
        "as_of": tx.now,
    }
    return (
        render_fragment(request, "rank.html", "rows", **shown)
        if is_htmx(request)
        else render_page(request, "rank.html", **shown)
    )


@router.post("/{campaign_id}/recounts", policy=OFFICE)
async def recount(
    request: Request, tx: Tx, user: CurrentUser, idempotency: Idempotency, campaign_id: str
) -> Response:
    """重放核对."""
    return await idempotency.redirect(
        actions.recount(tx, campaign_id, by=str(user.id)), to=f"/scoring/{campaign_id}/recounts"
    )


@router.get("/{campaign_id}/recounts", policy=BOARD)
async def last_recount(request: Request, tx: Tx, campaign_id: str) -> Response:
    campaign = await actions.campaign_of(tx, campaign_id)
    return render_page(
        request,
        "recount.html",
        campaign=campaign,
        last=await actions.last_recount(tx, campaign_id),
        as_of=tx.now,
    )
