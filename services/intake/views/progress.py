"""办理进度: what a complainant sees with number and query code."""

from datetime import datetime
from uuid import UUID

import msgspec

from services.intake.domain.progress import ProgressStage, StageState, progress_stages
from services.intake.domain.query_codes import (
    code_matches,
    parse_number,
    parse_query_code,
    query_code,
)
from services.intake.settings import context_of
from services.intake.store import campaigns, complaints
from services.intake.store import progress as store
from services.intake.store.progress import ProgressRow, RegistrationSeal
from services.intake.views.identity_openings import IdentityRecord, identity_records
from services.intake.views.timeline import TimelineEntry
from shared.appraisal.errors import Rejected
from shared.appraisal.schemes import Option
from shared.security.keyring import KeyRing
from shared.storage.transaction import Transaction
from shared.web.rendering import format_date

NO_COMPLAINT = UUID(int=0)
WRONG_NUMBER_OR_CODE = "编号或查询码不正确，请核对后再试"
"""One sentence for an unknown number and for a wrong code."""
_KINDS: dict[StageState, str] = {"pending": "to", "refused": "over"}


class ProgressView(msgspec.Struct, frozen=True, kw_only=True):
    """Stages, dates and the reply; nothing of what the complainant wrote."""

    row: ProgressRow
    stages: list[ProgressStage]
    options: list[Option]
    identity_records: list[IdentityRecord]
    seal: RegistrationSeal | None

    @property
    def timeline(self) -> list[TimelineEntry]:
        """The stages of the complaint, for the page."""
        return [self._entry(stage) for stage in self.stages]

    def _entry(self, stage: ProgressStage) -> TimelineEntry:
        due = self.due if stage.is_handling else ""
        return TimelineEntry(stage.at, stage.label, _KINDS.get(stage.state, ""), due)

    @property
    def due(self) -> str:
        """The handling deadline while the case is open."""
        if self.row.open_due_at is None:
            return ""
        provisional = "（暂定）" if self.row.provisional else ""
        return f"最迟 {format_date(self.row.open_due_at).striptags()}{provisional}"

    @property
    def choices(self) -> list[tuple[int, str]]:
        """The options of the rating, for a form."""
        return [(option.no, option.label) for option in self.options]

    @property
    def rating(self) -> str:
        """The label of the rating given, or ""."""
        labels = dict(self.choices)
        return "" if self.row.rated is None else labels.get(self.row.rated, "")

    def updated_at(self, now: datetime) -> datetime:
        """Return when casework last published a change, or `now` if it has not."""
        return self.row.updated_at or now


async def query_progress(
    tx: Transaction,
    *,
    number: str,
    code: str,
) -> ProgressView:
    """Return the progress of a complaint to someone who has its number and query code.

    Raises Rejected (404), alike for an unknown number and a wrong code.
    """
    complaint_id = await complaints.find_id(tx, parse_number(number))
    given = parse_query_code(code)
    # The code is checked even if there is no such complaint, so that timing reveals nothing.
    secret = context_of(tx).ring.derive_key("query-code")
    matches = code_matches(secret, complaint_id or NO_COMPLAINT, given)
    if complaint_id is None or not given or not matches:
        raise Rejected(WRONG_NUMBER_OR_CODE, status=404)
    return await progress_of(tx, complaint_id)


async def progress_of(tx: Transaction, complaint_id: UUID) -> ProgressView:
    """Return the progress of a complaint that exists."""
    row = await store.get(tx, complaint_id)
    campaign = await campaigns.get(tx, row.campaign_id)
    return ProgressView(
        row=row,
        stages=progress_stages(row.milestones),
        options=list(campaign.scheme.options),
        identity_records=await identity_records(tx, complaint_id),
        seal=await store.registration_seal(tx, complaint_id),
    )


def query_code_of(ring: KeyRing, complaint_id: UUID) -> str:
    """查询码 of a complaint."""
    return query_code(ring.derive_key("query-code"), complaint_id)
