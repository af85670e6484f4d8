"""回避: whom a case accuses, and which bodies may therefore neither handle nor see it.

The accused come from intake, where a person records them. What follows from them by the scheme and
by the register of organisations is stored with the case, so that no query can forget it, and is
derived again whenever the accused, the scheme or the register changes.
"""

from collections.abc import Collection
from typing import Final
from uuid import UUID

from services.casework.actions.cases import event_fields, record_system_entry, record_transition
from services.casework.actions.deadlines import CaseDeadlines
from services.casework.domain.deadlines import BINDING_UNITS, DeadlineKind
from services.casework.domain.extensions import ExtensionState
from services.casework.domain.opening import SYSTEM_ROLE
from services.casework.domain.states import ACCUSED_RECORDED, WITH_UNIT, CaseAction
from services.casework.store import campaigns, cases, context_of, exclusions
from services.casework.tables import Case
from shared.appraisal.events import CaseUnitsExcluded, CaseWithdrawn, ComplaintAccusedRecorded
from shared.appraisal.labels import CaseSource
from shared.appraisal.schemes import CaseRules
from shared.storage.organisations import excluded_bodies
from shared.storage.transaction import Transaction

WITHDRAWN_TEXT: Final = "承办单位应当回避，收回重新分办"


async def record_accused(tx: Transaction, event: ComplaintAccusedRecorded) -> None:
    """Store whom the case accuses; a unit that is excluded by it loses the case at once.

    Ignores a complaint without a case and a record that a later one has replaced.
    """
    case = await cases.lock_of_source(tx, CaseSource.COMPLAINT, event.complaint_id)
    if case is None or event.record <= case.accused_record:
        return
    case.accused_unit_ids = list(event.unit_ids)
    case.accused_record = event.record
    record_system_entry(tx, case, ACCUSED_RECORDED)
    await _derive(tx, case)


async def refresh_exclusions(tx: Transaction) -> None:
    """Derive the excluded bodies of every case again, after the register or a scheme changed."""
    for case_id in await _outdated(tx):
        case = await cases.lock_by_id(tx, case_id)
        await _derive(tx, case)


async def _outdated(tx: Transaction) -> list[UUID]:
    """Return the cases whose stored bodies differ from those that follow now."""
    outdated: list[UUID] = []
    rules: dict[str, CaseRules] = {}
    register = context_of(tx).organisations
    for row in await exclusions.with_accused(tx):
        if row.campaign_id not in rules:
            rules[row.campaign_id] = (await campaigns.get(tx, row.campaign_id)).case_rules
        following = await excluded_bodies(
            tx, register, row.accused_unit_ids, rules[row.campaign_id]
        )
        if following != frozenset(row.excluded_unit_ids):
            outdated.append(row.id)
    return outdated


async def _derive(tx: Transaction, case: Case) -> None:
    rules = (await campaigns.get(tx, case.campaign_id)).case_rules
    register = context_of(tx).organisations
    excluded = await excluded_bodies(tx, register, case.accused_unit_ids, rules)
    if excluded == frozenset(case.excluded_unit_ids):
        return
    tx.audit("case.exclude", case.number, SYSTEM_ROLE, unit_ids=sorted(excluded))
    tx.publish(
        CaseUnitsExcluded(
            occurred_at=tx.now,
            excluded_unit_ids=tuple(sorted(excluded)),
            **event_fields(case),
        )
    )
    await withdraw_from_excluded(tx, case, excluded)
    case.excluded_unit_ids = sorted(excluded)


async def withdraw_from_excluded(
    tx: Transaction,
    case: Case,
    excluded: Collection[str],
) -> None:
    """回避收回: take an open case from its unit, if that may not have it any more."""
    unit_id = case.unit_id
    if unit_id is None or unit_id not in excluded or case.state not in WITH_UNIT:
        return
    deadlines = await CaseDeadlines.of(tx, case)
    await end_requests(tx, case)
    take_from_unit(tx, deadlines)


def take_from_unit(tx: Transaction, deadlines: CaseDeadlines) -> None:
    """Take an open case from its excluded unit; it waits to be assigned again.

    The requests of the unit are ended already: the database holds no case of an excluded unit, so
    nothing may be read between the reasons for this and this.
    """
    case = deadlines.case
    unit_id = case.unit_id
    assert unit_id is not None, "only a case with a unit is withdrawn"
    deadlines.cancel(*BINDING_UNITS)
    record_transition(tx, case, CaseAction.WITHDRAW, None, WITHDRAWN_TEXT)
    case.unit_id = None
    case.handler_id = None
    case.handler_name = None
    deadlines.start(DeadlineKind.ASSIGN)
    tx.publish(
        CaseWithdrawn(
            occurred_at=tx.now,
            from_unit_id=unit_id,
            deadlines=deadlines.sets(DeadlineKind.ASSIGN),
            **event_fields(case),
        )
    )


async def end_requests(tx: Transaction, case: Case) -> None:
    """End what the unit asked for: its extension request, and a pause of its clock."""
    request = cases.open_request(await cases.extensions(tx, case.id))
    if request is not None:
        request.state = ExtensionState.REFUSED
        request.decided_at = tx.now
    for suspension in await cases.suspensions(tx, case.id):
        suspension.ended_at = suspension.ended_at or tx.now
