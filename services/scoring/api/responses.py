"""JSON responses with exact numbers."""

from collections.abc import Awaitable
from dataclasses import dataclass
from uuid import UUID

import msgspec
from starlette.responses import Response


def json_response(content: object) -> Response:
    """Return a JSON response. Decimals are text, so no digit is lost."""
    return Response(msgspec.json.encode(content), media_type="application/json")


@dataclass(frozen=True, slots=True)
class RequestedResponse:
    """What was requested waits for a second person, under this id (双人审批)."""

    approval_id: UUID


async def requested(action: Awaitable[UUID]) -> RequestedResponse:
    """Run an action that requests an act, and return the id of the request for a response."""
    return RequestedResponse(await action)
