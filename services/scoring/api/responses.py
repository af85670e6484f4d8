"""JSON responses with exact numbers."""

import msgspec
from starlette.responses import Response


def json_response(content: object) -> Response:
    """Return a JSON response. Decimals are text, so no digit is lost."""
    return Response(msgspec.json.encode(content), media_type="application/json")
