"""I11–I13: the field pages, which work without a network, and what the appraisal office sees of the
visits handed in.
"""

import hashlib
import json
from functools import cache
from pathlib import Path as FilePath
from typing import Any, Final
from uuid import UUID

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from services.intake.pages.words import WORDS
from services.intake.store import campaigns, files
from services.intake.store import visits as store
from shared.appraisal.labels import Role
from shared.security.policies import PUBLIC, allow
from shared.security.sessions import csrf_token, read_credential
from shared.web import (
    CurrentUser,
    NotFound,
    OptionalUser,
    Router,
    Tx,
    render_page,
    search_terms,
    static_url,
)

router = Router(prefix="/intake/field", include_in_schema=False)
SHELL: Final = "/intake/field/"
FILES: Final = ("fengping.css", "intake.css", "field.js", "icon.svg")
PING_WORD: Final = "fengping-field"


@router.get("/", policy=PUBLIC)
@router.get("/queue", policy=PUBLIC)
@router.get("/visit/{visit_id}", policy=PUBLIC)
async def shell(request: Request) -> Response:
    """The same page for all: what it shows is on the phone. It says nothing about anybody, so no
    session is needed to open it.
    """
    return render_page(request, "field.html")


@router.get("/ping", policy=PUBLIC)
async def ping(request: Request, user: OptionalUser) -> Response:
    """Is this our server, and who is signed in? A captive portal does not know the word."""
    credential = read_credential(request, request.app.state.sessions.cookie)
    known = user if user and user.role in (Role.INSPECTOR, Role.OFFICE) else None
    account = {"id": str(known.id), "name": known.display_name} if known else None
    return JSONResponse(
        {
            "word": PING_WORD,
            "account": account,
            "csrf": csrf_token(credential.token) if credential and known else "",
        }
    )


@router.get("/data", policy=allow(Role.INSPECTOR, Role.OFFICE))
async def data(tx: Tx, user: CurrentUser) -> Response:
    """What a phone needs to fill in a visit without a network: units with their spellings, and the
    checklist. No complaint, no person.
    """
    campaign = await campaigns.current(tx)
    if campaign is None:
        raise NotFound
    units = [
        {
            "id": u.unit_id,
            "name": u.name,
            "find": " ".join(search_terms(name) for name in (u.name, *u.aliases)),
        }
        for u in campaign.units.values()
    ]
    items = [{"id": item.id, "label": item.label} for item in campaign.checklist.items]
    return JSONResponse(
        {
            "campaign_id": campaign.id,
            "title": campaign.title,
            "units": units,
            "items": items,
            "account": str(user.id),
        }
    )


@router.get("/sw.js", policy=PUBLIC)
async def service_worker(request: Request) -> Response:
    """The service worker, with the names of the files it keeps; new files make a new version."""
    urls = [static_url(name) for name in FILES]
    version = _version(request.app.state.templates.get_template("field.html").filename, tuple(urls))
    values = {
        "version_hash": f"field-{version}",
        "shell": SHELL,
        "files": urls,
        "data": f"{SHELL}data",
    }
    body = request.app.state.templates.get_template("sw.js").render(**values)
    return Response(body, media_type="text/javascript", headers={"Cache-Control": "no-cache"})


@cache
def _version(shell: str, files: tuple[str, ...]) -> str:
    """Twelve digits that change with the shell or any of its files."""
    return hashlib.sha256(FilePath(shell).read_bytes() + json.dumps(files).encode()).hexdigest()[
        :12
    ]


@router.get("/manifest.webmanifest", policy=PUBLIC)
async def manifest() -> Response:
    body = {
        "name": "外勤检查",
        "short_name": "外勤检查",
        "lang": "zh-CN",
        "start_url": SHELL,
        "scope": SHELL,
        "display": "standalone",
        "background_color": "#f4f6f9",
        "theme_color": "#163e73",
        "icons": [{"src": static_url("icon.svg"), "sizes": "any", "type": "image/svg+xml"}],
    }
    return JSONResponse(body, media_type="application/manifest+json")


# ── the appraisal office ──────────────────────────────────────────────────────────────────────────


@router.get("/plans", policy=allow(Role.OFFICE))
async def plans(request: Request, tx: Tx) -> Response:
    """Visits handed in, newest first."""
    return render_page(
        request,
        "plans.html",
        rows=await store.recent(tx),
        campaign=await campaigns.current(tx),
        as_of=tx.now,
        **WORDS,
    )


@router.get("/plans/{visit_id}", policy=allow(Role.OFFICE))
async def visit(request: Request, tx: Tx, visit_id: UUID) -> Response:
    row: Any = await store.one(tx, visit_id)
    if row is None:
        raise NotFound
    campaign = await campaigns.get(tx, row["campaign_id"])
    labels = {item.id: item.label for item in campaign.checklist.items}
    return render_page(
        request,
        "visit.html",
        row=row,
        items=json.loads(row["items_text"]),
        campaign=campaign,
        labels=labels,
        files=await files.list_for(tx, visit_id),
        missing=await store.missing(tx, visit_id, row["photos"]),
        **WORDS,
    )
