"""What the hotline desk looks up while the operator types.

Lookups that concern the complainant are posted: a phone number never appears in a URL.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Query
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response

from services.intake.actions.caller_history import look_up_caller
from services.intake.actions.redaction import draft_redacted_summary
from services.intake.domain.complaints import (
    REASON_MIN,
    REDACTED_SUMMARY_MAX,
    withheld_phrases,
)
from services.intake.pages.hotline import OPERATORS, draft_id_of
from services.intake.pages.hotline_ticket import spoken_date_problem
from services.intake.store import campaigns
from services.intake.store.complaint_lists import EarlierComplaint, SimilarComplaint
from services.intake.views import complaints, suggestions
from services.intake.views.suggestions import Suggestion
from shared.appraisal.errors import Rejected
from shared.appraisal.labels import Role
from shared.security.policies import Account, allow
from shared.storage.transaction import Transaction
from shared.web import CurrentUser, Limiter, Router, Tx, render_page
from shared.web.spoken_dates import parse_spoken_date

router = Router(prefix="/intake/desk", include_in_schema=False)
SUGGESTED_TO: Final = allow(Role.OPERATOR, Role.REVIEWER, Role.OFFICE)
SUMMARY_MIN: Final = 2 * REASON_MIN
"""Characters of a summary from which similar complaints are searched."""
SearchText = Annotated[str, Query(max_length=50)]


@router.get("/units", policy=SUGGESTED_TO)
async def unit_options(tx: Tx, q: SearchText = "") -> Response:
    """Units for the combobox."""
    campaign = await campaigns.current(tx)
    found = suggestions.suggest_units(campaign, q) if campaign else suggestions.suggest_unsure(q)
    return _options(found)


@router.get("/problems", policy=SUGGESTED_TO)
async def problem_options(tx: Tx, q: SearchText = "") -> Response:
    """Items of the problem catalogue for the combobox."""
    campaign = await campaigns.current(tx)
    if campaign is None:
        return JSONResponse([])
    return _options([*suggestions.suggest_problems(campaign, q), suggestions.UNSURE_SUGGESTION])


def _options(found: list[Suggestion]) -> Response:
    return JSONResponse(
        [{"value": each.value, "text": each.text, "hint": each.hint} for each in found]
    )


@router.get("/occurred", policy=OPERATORS)
async def parsed_date(tx: Tx, occurred: Annotated[str, Query(max_length=100)] = "") -> Response:
    """The date and time that the server reads in a spoken date, or what is wrong with it."""
    if not occurred.strip():
        return HTMLResponse("")
    problem = spoken_date_problem(occurred, tx.now)
    shown = problem or str(parse_spoken_date(occurred, tx.now))
    return PlainTextResponse(shown, media_type="text/html")


@router.post("/draft-summary", policy=OPERATORS)
async def draft_summary(request: Request) -> Response:
    """由原文生成草稿: the complaint text with personal data masked."""
    sent = await request.form()
    sent_values = [_text(sent, name).strip() for name in ("name", "phone")]
    known_values = [value for value in sent_values if value]
    known_values += withheld_phrases(_text(sent, "withhold"))
    complaint_text = _text(sent, "complaint_text")[:REDACTED_SUMMARY_MAX]
    return PlainTextResponse(await draft_redacted_summary(complaint_text, known_values))


def _text(sent: FormData, name: str) -> str:
    """Return a field of the form, or "" if it was not sent."""
    return str(sent.get(name) or "")


@router.post("/history", policy=OPERATORS)
async def complainant_history(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    limiter: Limiter,
) -> Response:
    """该号码历史, for the phone number and the ticket in the body."""
    sent = await request.form()
    phone = _text(sent, "phone")
    problem = ""
    found: Sequence[EarlierComplaint] = ()
    try:
        found = await look_up_caller(
            tx, limiter, ticket_id=draft_id_of(sent), phone=phone, account=user
        )
    except Rejected as rejection:
        problem = rejection.sentence
    return render_page(
        request,
        "desk-history.html",
        complaints=found,
        problem=problem,
        has_phone=bool(phone),
        user_id=user.id,
    )


@dataclass(frozen=True, slots=True)
class SimilarQuery:
    """What the desk knows when it searches for similar complaints."""

    campaign_id: str
    unit_id: str
    summary: str

    @classmethod
    async def of_form(cls, sent: FormData) -> "SimilarQuery":
        """Return the query that the desk's form describes."""
        given = _text(sent, "redacted_summary").strip()
        return cls(
            campaign_id=_text(sent, "campaign_id"),
            unit_id=_text(sent, "unit_id"),
            summary=given or await draft_redacted_summary(_text(sent, "complaint_text")),
        )

    @property
    def is_ready(self) -> bool:
        """Whether a unit is selected and the summary is long enough to compare."""
        return bool(self.unit_id) and len(self.summary) >= SUMMARY_MIN


@router.post("/similar", policy=OPERATORS)
async def similar_complaints(
    request: Request,
    tx: Tx,
    user: CurrentUser,
) -> Response:
    """疑似重复, for the unit and the texts in the body."""
    query = await SimilarQuery.of_form(await request.form())
    return render_page(
        request,
        "desk-similar.html",
        complaints=await _similar(tx, query, user),
        ready=query.is_ready,
    )


async def _similar(
    tx: Transaction,
    query: SimilarQuery,
    user: Account,
) -> list[SimilarComplaint]:
    if not query.is_ready:
        return []
    return await complaints.similar_complaints(
        tx,
        campaign_id=query.campaign_id,
        unit_id=query.unit_id,
        redacted_summary=query.summary[:REDACTED_SUMMARY_MAX],
        account=user,
    )
