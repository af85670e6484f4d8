"""Problem details (RFC 9457) of the JSON API, and rows as JSON."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

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


def json_rows(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows as JSON takes them."""
    return [
        {
            name: str(value) if isinstance(value, UUID | datetime | date) else value
            for name, value in row.items()
        }
        for row in rows
    ]
