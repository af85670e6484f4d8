"""Static files under URLs with the hash of their content, cached by browsers without expiry."""

import hashlib
import re
from functools import cache
from pathlib import Path
from typing import Final

from fastapi import FastAPI
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

STATIC: Final = Path(__file__).parent / "static"
IMMUTABLE: Final = "public, max-age=31536000, immutable"
_HASHED_PATH: Final = re.compile(r"(?P<digest>[0-9a-f]{12})/(?P<name>.+)")


@cache
def static_url(name: str) -> str:
    """Return `/static/<first 12 digits of the SHA-256>/<name>`. Raises FileNotFoundError."""
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
    return f"/static/{digest}/{name}"


class HashedFiles(StaticFiles):
    """Serves `/static/<hash>/<name>` and `/static/<name>`, for clients that do not know the hash."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        hashed = _HASHED_PATH.fullmatch(path)
        name = hashed["name"] if hashed else path
        response = await super().get_response(name, scope)
        is_served = response.status_code in (200, 304)
        # An old hash is still requested while a new version rolls out: served, but not cached.
        is_current = is_served and hashed and static_url(name) == f"/static/{path}"
        response.headers["Cache-Control"] = IMMUTABLE if is_current else "no-cache"
        return response


def install_static(app: FastAPI) -> None:
    """Serve the shared static files under `/static`."""
    app.mount("/static", HashedFiles(directory=STATIC), name="static")
