"""Problem details (RFC 9457) of the JSON API."""

from typing import Any

from pydantic import Field

from shared.web.forms import Input


class ProblemDetail(Input):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    instance: str = ""
    errors: list[dict[str, str]] = Field(default_factory=list)


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The failures of a route, for OpenAPI."""
    reference = {"schema": {"$ref": "#/components/schemas/ProblemDetail"}}
    listed = (400, 401, 403, 422, *statuses)
    return {
        status: {"description": "失败", "content": {"application/problem+json": reference}}
        for status in sorted(set(listed))
    }
