"""Deadlines of cases and obligations."""

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from fastapi import Query

from services.casework.api.routing import READERS, CaseworkResponse, api_router
from services.casework.domain.deadlines import DeadlineState
from services.casework.store.deadlines import DeadlineFilter
from services.casework.views.deadlines import list_deadlines
from shared.web import CurrentUser, Tx
from shared.web.day_precision import in_days

router = api_router()


class DeadlineListItemResponse(CaseworkResponse):
    """A deadline of a case (`number`) or of an obligation (`obligation_id`, `label`)."""

    id: UUID
    kind: str
    number: str | None
    obligation_id: UUID | None
    label: str | None
    unit_id: str | None
    state: DeadlineState
    starts_at: datetime
    due_at: datetime
    warn_at: datetime
    provisional: bool
    rule_id: str
    scheme_version: str
    calendar_version: str
    warned_at: datetime | None
    lapsed_at: datetime | None
    ended_at: datetime | None


@router.get("/deadlines", policy=READERS, response_model=list[DeadlineListItemResponse])
async def get_deadlines(
    tx: Tx,
    user: CurrentUser,
    state: DeadlineState | None = None,
    kind: Annotated[str | None, Query(max_length=20)] = None,
    before: datetime | None = None,
    size: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> list[DeadlineListItemResponse]:
    """期限, in order of time. `before` without a time zone is UTC."""
    if before is not None and before.tzinfo is None:
        before = before.replace(tzinfo=UTC)
    found = await list_deadlines(tx, user, DeadlineFilter(state, kind, before), limit=size)
    items = [DeadlineListItemResponse.model_validate(deadline) for deadline in found]
    return [in_days(item, user) for item in items]
