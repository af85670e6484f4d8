"""Typed read models as JSON."""

from typing import Any

import msgspec
from starlette.responses import Response


def json_response(content: Any, status: int = 200) -> Response:
    """Return dataclasses, structs and containers of them as JSON; instants in RFC 3339."""
    return Response(msgspec.json.encode(content), status, media_type="application/json")
