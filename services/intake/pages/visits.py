"""I11–I13: the field app, which works without a network, and the list of visits for the office."""

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Final
from uuid import UUID

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from services.intake.views import visits
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
    static_url,
)

router = Router(prefix="/intake/field", include_in_schema=False)
SHELL: Final = "/intake/field/"
STATIC: Final = Path(__file__).parents[1] / "static"
SCRIPTS: Final = (
    "idb.min.js",
    "field-dom.js",
    "field-storage.js",
    "field-images.js",
    "field-sync.js",
    "field-status.js",
    "field-form.js",
    "field-pages.js",
    "field.js",
)
"""The scripts of the field app, in the order in which they are loaded."""
FILES: Final = ("fengping.css", "intake.css", *SCRIPTS, "icon.svg")
PING_WORD: Final = "fengping-field"
OFFICE: Final = allow(Role.OFFICE)
FIELD_ROLES: Final = (Role.INSPECTOR, Role.OFFICE)


@router.get("/", policy=PUBLIC)
@router.get("/queue", policy=PUBLIC)
@router.get("/visit/{visit_id}", policy=PUBLIC)
async def shell(request: Request) -> Response:
    """The page of the field app. Its content is on the phone, so opening it takes no session."""
    return render_page(request, "field.html", scripts=SCRIPTS)


@router.get("/ping", policy=PUBLIC)
async def ping(request: Request, user: OptionalUser) -> Response:
    """Tell the phone that it reached this server, not a captive portal, and who is signed in."""
    if user is None or user.role not in FIELD_ROLES:
        return JSONResponse({"word": PING_WORD, "account": None, "csrf": ""})
    credential = read_credential(request, request.app.state.sessions.cookie)
    body = {
        "word": PING_WORD,
        "account": {"id": str(user.id), "name": user.display_name},
        "csrf": csrf_token(credential.token) if credential else "",
    }
    return JSONResponse(body)


@router.get("/data", policy=allow(*FIELD_ROLES))
async def reference_data(tx: Tx, user: CurrentUser) -> Response:
    """Units and checklist: what a phone needs to record a visit without a network."""
    reference = await visits.field_reference(tx, user)
    if reference is None:
        raise NotFound
    return Response(msgspec.json.encode(reference), media_type="application/json")


@router.get("/sw.js", policy=PUBLIC)
async def service_worker(request: Request) -> Response:
    """The service worker with the URLs that it caches; changed files make a new version."""
    templates = request.app.state.templates
    urls = [static_url(name, STATIC) for name in FILES]
    page = templates.get_template("field.html")
    version = _version(page.filename, tuple(urls))
    script = templates.get_template("sw.js")
    body = script.render(
        version=f"field-{version}",
        shell=SHELL,
        files=urls,
        data=f"{SHELL}data",
    )
    return Response(body, media_type="text/javascript", headers={"Cache-Control": "no-cache"})


@cache
def _version(shell: str, files: tuple[str, ...]) -> str:
    """Return twelve digits that change with the page or any of its files."""
    content = Path(shell).read_bytes() + json.dumps(files).encode()
    return hashlib.sha256(content).hexdigest()[:12]


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


@router.get("/plans", policy=OFFICE)
async def list_visits(request: Request, tx: Tx) -> Response:
    lines = await visits.list_recent(tx)
    return render_page(request, "visits.html", lines=lines, as_of=tx.now)


@router.get("/plans/{visit_id}", policy=OFFICE)
async def visit_page(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    visit_id: UUID,
) -> Response:
    detail = await visits.find(tx, visit_id, user)
    if detail is None:
        raise NotFound
    return render_page(request, "visit.html", detail=detail, visit=detail.visit)
