"""S2 首页, S3 命令面板, and the help page that all services link to."""

from collections.abc import Iterator
from typing import Annotated

from fastapi import Query
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from services.intake.views import home
from shared.security.policies import SIGNED_IN, Account
from shared.web import (
    CurrentUser,
    MenuEntry,
    PaletteResult,
    Router,
    Tx,
    matches_search,
    palette_results,
    render_page,
    search_terms,
)
from shared.web.navigation import menu_for

router = Router(include_in_schema=False)


@router.get("/", policy=SIGNED_IN)
async def home_page(
    request: Request,
    tx: Tx,
    user: CurrentUser,
) -> Response:
    return render_page(
        request,
        "home.html",
        today=home.today_in_words(tx.now),
        tiles=await home.tiles(tx, user),
        links=list(_links(user)),
        as_of=tx.now,
    )


def _links(user: Account) -> Iterator[MenuEntry]:
    for entry in menu_for(user.role, "/").entries:
        if not entry.action and entry.url not in ("/", "/me"):
            yield entry


@router.get("/palette", policy=SIGNED_IN)
async def palette(user: CurrentUser, q: Annotated[str, Query(max_length=50)] = "") -> Response:
    """Pages and actions of this account that match by name; works without the other services."""
    entries = [
        entry
        for entry in menu_for(user.role, "/").entries
        if not q or matches_search(q, search_terms(entry.name))
    ]
    return JSONResponse(palette_results([_palette_result(entry) for entry in entries]))


def _palette_result(entry: MenuEntry) -> PaletteResult:
    shortcut = f"g {entry.key}" if entry.key else ""
    return PaletteResult(entry.group, entry.name, entry.url, shortcut)


@router.get("/help", policy=SIGNED_IN)
async def help_page(request: Request) -> Response:
    return render_page(request, "help.html")
