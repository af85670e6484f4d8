"""I4 分派: what waits for a reviewer, one beside the other, so that the next one is there when this
one is done.
"""

from typing import Annotated, Any

from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response

from services.casework.actions import reading
from services.casework.domain import State, Verb
from services.casework.pages.words import render_casework_page
from services.casework.store import reference
from services.casework.store.cases import Filter
from shared.appraisal.labels import Role
from shared.security.policies import allow
from shared.web import CurrentUser, Form, Router, Tx

router = Router(prefix="/casework")
REVIEWER = allow(Role.REVIEWER)


@router.get("/triage", policy=REVIEWER)
async def triage_page(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    case: str = "",
    returned: bool = False,
    q: Annotated[str, Query(max_length=100)] = "",
    page: Annotated[int, Query(ge=1, le=100_000)] = 1,
) -> Response:
    wanted = Filter(states=(State.PENDING,), returned=returned, q=q.strip())
    listing = await reading.case_list(tx, user, wanted, page=page)
    number = case or (listing.rows[0].number if listing.rows else "")
    view = await reading.case_view(tx, number, user) if number else None
    counted = await reading.tally(tx, user)
    units = await reference.units(tx, view.campaign.id) if view else []
    allowed = [
        (unit["unit_id"], unit["name"])
        for unit in units
        if view and unit["unit_id"] != view.excluded_unit_id
    ]
    return render_casework_page(
        request,
        "triage.html",
        listing=listing,
        case=view,
        units=allowed,
        counted=counted,
        returned=returned,
        q=q,
        Verb=Verb,
        form=Form[Any].with_initial(_start(view)),
        rules=view.campaign.scheme.case_rules if view else None,
        as_of=tx.now,
        values={"returned": "1" if returned else "", "q": q.strip()},
    )


def _start(view: reading.CaseView | None) -> dict[str, object]:
    if view is None:
        return {}
    named = view.origin.named_unit_id if view.origin else None
    return {
        "expected_version": view.version,
        "unit_id": named if named != view.excluded_unit_id else None,
    }
