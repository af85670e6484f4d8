"""Static files under URLs with the hash of their content, cached by browsers without expiry.

A service's own files, in `static/` beside its `templates/`, come before the shared ones.
"""

import hashlib
import re
from collections.abc import Sequence
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
def static_url(name: str, folder: Path = STATIC) -> str:
    """Return `/static/<first 12 digits of the SHA-256>/<name>`.

    The file is looked up in `folder`, then among the shared files. Raises FileNotFoundError.
    """
    own = folder / name
    content = (own if own.exists() else STATIC / name).read_bytes()
    return f"/static/{hashlib.sha256(content).hexdigest()[:12]}/{name}"


class HashedFiles(StaticFiles):
    """Serves `/static/<hash>/<name>`, and `/static/<name>` for clients without the hash."""

    def __init__(self, folder: Path) -> None:
        super().__init__(directory=STATIC)
        self._folder = folder
        self.all_directories: Sequence[Path] = (folder, STATIC)  # type: ignore[assignment]

    async def get_response(self, path: str, scope: Scope) -> Response:
        hashed = _HASHED_PATH.fullmatch(path)
        name = hashed["name"] if hashed else path
        response = await super().get_response(name, scope)
        is_served = response.status_code in (200, 304)
        # An old hash is still requested while a new version rolls out: served, but not cached.
        is_current = is_served and hashed and static_url(name, self._folder) == f"/static/{path}"
        response.headers["Cache-Control"] = IMMUTABLE if is_current else "no-cache"
        return response


def static_folder(templates: Path) -> Path:
    """Return the folder of a service's own static files."""
    return templates.with_name("static")


def install_static(app: FastAPI, folder: Path | None) -> None:
    """Serve the files of `folder` and the shared ones under `/static`."""
    app.mount("/static", HashedFiles(folder or STATIC), name="static")
