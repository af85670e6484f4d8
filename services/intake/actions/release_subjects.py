"""What a redacted summary can be about: a complaint or a finding. One mechanism releases both.

A new kind of text is one function here and one line in `_SUBJECTS`.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import msgspec

from services.intake.actions import hand_over
from services.intake.domain.visits import FINDING_NUMBER
from services.intake.settings import context_of
from services.intake.store import complaints, findings, summaries, vault, visits
from services.intake.store.summaries import NewRelease
from shared.appraisal.errors import Rejected
from shared.appraisal.events import ComplaintSummaryReleased
from shared.security.policies import Account
from shared.storage.transaction import Transaction

Publish = Callable[[Transaction, NewRelease], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseSubject:
    """What a summary is about, locked. `known`: personal data that its original holds.

    `blocked`: why nothing is released, "" if something may be. `publish` tells the other services.
    """

    id: UUID
    number: str
    known: tuple[str, ...]
    original_version: int
    publish: Publish
    blocked: str = ""


async def lock_subject(tx: Transaction, number: str, by: Account) -> ReleaseSubject:
    """Return what has that number. Raises Rejected (404) unless this person may see it."""
    for pattern, lock in _SUBJECTS.items():
        if pattern.fullmatch(number):
            return await lock(tx, number, by)
    return await _complaint(tx, number, by)


async def _complaint(tx: Transaction, number: str, by: Account) -> ReleaseSubject:
    await complaints.lock(tx, {number})
    complaint = await complaints.get_visible(tx, number, by)
    into = complaint.merged_number

    async def publish(tx: Transaction, release: NewRelease) -> None:
        tx.publish(
            ComplaintSummaryReleased(
                occurred_at=tx.now,
                complaint_id=complaint.id,
                campaign_id=complaint.campaign_id,
                release=release.release,
                redacted_summary=release.redacted_summary,
            )
        )

    return ReleaseSubject(
        id=complaint.id,
        number=number,
        known=tuple(await vault.known_values(tx, context_of(tx).ring, complaint.id)),
        original_version=await summaries.original_version(tx, complaint.id),
        publish=publish,
        blocked=f"本件已并入 {into}，不再单独放行" if into is not None else "",
    )


async def _finding(tx: Transaction, number: str, by: Account) -> ReleaseSubject:
    finding = await findings.find_registered(tx, number, hidden_units=by.unit_ids, lock=True)
    if finding is None:
        raise Rejected("没有这个问题", status=404)

    async def publish(tx: Transaction, release: NewRelease) -> None:
        """Let a correction follow; the first text leaves with its batch."""
        if finding.handed_over_at is None:
            await hand_over.advance(tx, finding.batch_id)
            return
        visit = await visits.find(tx, finding.visit_id)
        assert visit is not None, "a finding belongs to a visit"
        corrected = msgspec.structs.replace(
            finding, release=release.release, redacted_summary=release.redacted_summary
        )
        received_on = await hand_over.shown_day(tx, visit)
        tx.publish(hand_over.released_event(tx, corrected, received_on))

    return ReleaseSubject(
        id=finding.id,
        number=number,
        known=(),
        original_version=1,
        publish=publish,
    )


Lock = Callable[[Transaction, str, Account], Awaitable[ReleaseSubject]]
_SUBJECTS: Final[Mapping[re.Pattern[str], Lock]] = {FINDING_NUMBER: _finding}
"""By the form of the number; every other number is a complaint's."""
