"""摘要审核: reviewers read the original beside the draft, edit, and release it with one key."""

from typing import Annotated, Any, Final

from fastapi import Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from services.intake.actions.summaries import release_summary, save_draft
from services.intake.domain.complaints import COMPLAINT_TEXT_MAX, REASON_MIN
from services.intake.domain.summaries import (
    StaleSummary,
    SummaryEdit,
    SummaryVersion,
    UnconfirmedPii,
)
from services.intake.views import releases as views
from services.intake.views.releases import ReleasePanel
from shared.appraisal.errors import Rejected
from shared.appraisal.labels import Role
from shared.security.pii import PiiKind
from shared.security.policies import Account, allow
from shared.storage.transaction import Transaction
from shared.web import (
    CurrentUser,
    Form,
    Idempotency,
    NotFound,
    Router,
    Tx,
    read_form,
    redirect,
    render_page,
)
from shared.web.forms import Input
from shared.web.rendering import format_time

router = Router(prefix="/intake/releases", include_in_schema=False)
REVIEWER: Final = allow(Role.REVIEWER)
Number = Annotated[str, Query(max_length=20)]


class SeenForm(Input):
    """A form that carries what its page showed. An empty text is kept as a draft too."""

    redacted_summary: str = Field("", title="转办摘要", max_length=COMPLAINT_TEXT_MAX)
    draft_version: int = Field(0, ge=0)
    release: int = Field(0, ge=0)

    @property
    def seen(self) -> SummaryVersion:
        """What the page showed."""
        return SummaryVersion(draft=self.draft_version, release=self.release)


class ReleaseForm(SeenForm):
    reason: dict[str, str] = Field(default_factory=dict, title="保留理由")

    @property
    def edit(self) -> SummaryEdit:
        """The text to release."""
        return SummaryEdit(text=self.redacted_summary, seen=self.seen, confirmed=self.reason)


@router.get("", policy=REVIEWER)
async def queue(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    after: Number = "",
) -> Response:
    """The queue with its first text open, or the one that follows `after`."""
    waiting = await views.queue(tx, user)
    number = views.next_number(waiting, after)
    if number:
        return RedirectResponse(_url(number), 303)
    return render_page(request, "releases.html", waiting=waiting, panel=None, as_of=tx.now)


def _url(number: str) -> str:
    return f"/intake/releases/{number}"


@router.get("/{number}", policy=REVIEWER)
async def release_page(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    number: str,
) -> Response:
    return await _render(request, tx, user, number)


async def _render(
    request: Request,
    tx: Transaction,
    user: Account,
    number: str,
    form: Form[Any] | None = None,
    status: int = 200,
    *,
    kinds: list[PiiKind] | None = None,
) -> Response:
    """Render one text. After a conflict (409) it shows the other text and what was typed."""
    panel = await views.release_panel(tx, number, user)
    if panel is None:
        raise NotFound
    shown = form or Form[Any].with_initial({"redacted_summary": panel.draft})
    shown.texts["draft_version"] = [str(panel.seen.draft)]
    shown.texts["release"] = [str(panel.seen.release)]
    return render_page(
        request,
        "releases.html",
        status,
        waiting=await views.queue(tx, user),
        panel=panel,
        form=shown,
        kinds=panel.kinds if kinds is None else kinds,
        segments=panel.marked_draft if form is None else [],
        conflict=status == 409,
        latest_release=_latest_text(panel),
        consequence=panel.consequence,
        reason_min=REASON_MIN,
        failed=status >= 400,
        as_of=tx.now,
    )


def _latest_text(panel: ReleasePanel) -> str:
    """The text that another person saved or released meanwhile."""
    return panel.draft if panel.awaits_release else panel.redacted_summary


@router.post("/{number}", policy=REVIEWER)
async def release(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    number: str,
) -> Response:
    """放行: the next text opens at once."""
    form = await read_form(request, ReleaseForm)
    if form.cleaned is None:
        return await _render(request, tx, user, number, form, 422)
    action = release_summary(tx, number=number, edit=form.cleaned.edit, by=user)
    try:
        return await idempotency.redirect(action, "/intake/releases")
    except StaleSummary as stale:
        form.add_error(stale.sentence)
        return await _render(request, tx, user, number, form, 409)
    except UnconfirmedPii as unconfirmed:
        form.add_error(unconfirmed.sentence, "redacted_summary")
        return await _render(request, tx, user, number, form, 422, kinds=unconfirmed.kinds)
    except Rejected as rejection:
        form.add_error(rejection.sentence, rejection.field or "")
        return await _render(request, tx, user, number, form, rejection.status)


@router.post("/{number}/draft", policy=REVIEWER)
async def keep_draft(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    number: str,
) -> Response:
    """Save the draft: a script shows the sentence, a browser without one sees the page again."""
    form = await read_form(request, ReleaseForm)
    if form.cleaned is None:
        return await _render(request, tx, user, number, form, 422)
    given = form.cleaned
    try:
        saved_at = await save_draft(
            tx, number=number, text=given.redacted_summary, seen=given.seen, by=user
        )
    except StaleSummary as stale:
        form.add_error(stale.sentence)
        return await _render(request, tx, user, number, form, 409)
    if request.headers.get("accept") == "text/plain":
        return PlainTextResponse(f"草稿已保存 {format_time(saved_at).striptags()}")
    return redirect(request, _url(number))


@router.post("/{number}/marks", policy=REVIEWER)
async def marks(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    number: str,
) -> Response:
    """Personal data in the text as it is typed."""
    text = str((await request.form()).get("redacted_summary") or "")[:COMPLAINT_TEXT_MAX]
    found = await views.marks_of(tx, number, text, user)
    return render_page(
        request,
        "release-marks.html",
        segments=found.segments,
        kinds=found.kinds,
        form=Form[Any](),
        reason_min=REASON_MIN,
    )
