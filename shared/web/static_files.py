"""Static files: named by the hash of their content, so that a browser may keep them for ever and
never has a stale one.
"""

import hashlib
from functools import cache
from pathlib import Path
from typing import Final

from fastapi import FastAPI
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

STATIC: Final = Path(__file__).parent / "static"
FOR_EVER: Final = "public, max-age=31536000, immutable"


@cache
def static_url(name: str) -> str:
    """`/static/<first 12 digits of its SHA-256>/<name>`. Raises FileNotFoundError for a file that
    is not there.
    """
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
    return f"/static/{digest}/{name}"


class HashedFiles(StaticFiles):
    """Serves `/static/<hash>/<name>` and, for what cannot know the hash (a service worker's list),
    `/static/<name>`.
    """

    async def get_response(self, path: str, scope: Scope) -> Response:
        digest, _, name = path.partition("/")
        hashed = len(digest) == 12 and bool(name) and all(c in "0123456789abcdef" for c in digest)
        response = await super().get_response(name if hashed else path, scope)
        current = (
            hashed
            and response.status_code in (200, 304)
            and static_url(name).split("/")[2] == digest
        )
        # An old hash may still be asked for while a new version rolls out: it is answered, but not
        # kept.
        response.headers["Cache-Control"] = FOR_EVER if current else "no-cache"
        return response


def install_static(app: FastAPI) -> None:
    """Serve the shared static files under `/static`."""
    app.mount("/static", HashedFiles(directory=STATIC), name="static")
