"""摘要审核 in the JSON API: the queue, one complaint, and the release of its redacted summary."""

from datetime import datetime
from typing import Final

from pydantic import Field
from starlette.responses import Response

from services.intake.actions.summaries import release_summary
from services.intake.api.problems import problems
from services.intake.domain.complaints import REDACTED_SUMMARY_MAX
from services.intake.domain.summaries import SummaryEdit, SummaryVersion
from services.intake.views import releases as views
from services.intake.views.releases import ReleasePanel, WaitingSummary
from shared.appraisal.errors import Rejected
from shared.appraisal.labels import ComplaintChannel, ComplaintKind, Role, Urgency
from shared.security.pii import PiiKind
from shared.security.policies import allow
from shared.web import CurrentUser, Idempotency, Router, Tx
from shared.web.forms import Input

router = Router(prefix="/intake/api", tags=["摘要审核"])
REVIEWER: Final = allow(Role.REVIEWER)


class WaitingResponse(Input):
    number: str
    campaign_id: str
    kind: ComplaintKind
    urgency: Urgency
    channel: ComplaintChannel | None
    unit_id: str | None
    registered_at: datetime
    due_at: datetime | None
    is_late: bool

    @classmethod
    def of(cls, waiting: WaitingSummary) -> "WaitingResponse":
        row = waiting.row
        return cls(
            number=row.number,
            campaign_id=row.campaign_id,
            kind=row.kind,
            urgency=row.urgency,
            channel=row.channel,
            unit_id=row.unit_id,
            registered_at=row.registered_at,
            due_at=row.release_due_at,
            is_late=waiting.is_late,
        )


@router.get("/releases", policy=REVIEWER, responses=problems())
async def waiting_summaries(tx: Tx, user: CurrentUser) -> list[WaitingResponse]:
    """待审核摘要: critical complaints first, then the oldest."""
    return [WaitingResponse.of(each) for each in await views.queue(tx, user)]


class SummaryResponse(Input):
    """The original and the draft. Send `draft_version` and `release` back with the release."""

    number: str
    complaint_text: str
    withhold: str
    redacted_summary: str
    draft_version: int
    release: int
    awaits_release: bool
    awaits_accused: bool
    personal_data: list[PiiKind]

    @classmethod
    def of(cls, panel: ReleasePanel) -> "SummaryResponse":
        return cls(
            number=panel.number,
            complaint_text="".join(segment.text for segment in panel.original),
            withhold=panel.withhold,
            redacted_summary=panel.draft,
            draft_version=panel.seen.draft,
            release=panel.seen.release,
            awaits_release=panel.awaits_release,
            awaits_accused=panel.accused is not None and panel.accused.is_awaited,
            personal_data=panel.kinds,
        )


@router.get("/releases/{number}", policy=REVIEWER, responses=problems(404))
async def summary(tx: Tx, user: CurrentUser, number: str) -> SummaryResponse:
    """One complaint or finding with its original text; reading is recorded in the audit log."""
    panel = await views.release_panel(tx, number, user)
    if panel is None:
        raise Rejected("没有这一件", status=404)
    return SummaryResponse.of(panel)


class ReleaseRequest(Input):
    """`confirmed`: kinds of personal data that stay in the text, each with its reason."""

    redacted_summary: str = Field(max_length=REDACTED_SUMMARY_MAX)
    draft_version: int = Field(ge=0)
    release: int = Field(0, ge=0, description="此前放行的次数")
    confirmed: dict[PiiKind, str] = Field(default_factory=dict)


class ReleaseResponse(Input):
    number: str
    release: int
    redacted_summary: str


@router.post(
    "/releases/{number}",
    policy=REVIEWER,
    status_code=201,
    response_model=ReleaseResponse,
    responses=problems(404, 409),
)
async def release(
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    number: str,
    given: ReleaseRequest,
) -> Response:
    """放行: this text is what the unit reads. A later release corrects it."""
    edit = SummaryEdit(
        text=given.redacted_summary,
        seen=SummaryVersion(draft=given.draft_version, release=given.release),
        confirmed={kind.value: reason for kind, reason in given.confirmed.items()},
    )
    action = release_summary(tx, number=number, edit=edit, by=user)
    return await idempotency.respond(201, action)
