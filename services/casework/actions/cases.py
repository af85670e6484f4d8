"""What every action on a case does: load and check it, record the transition, reject PII."""

from typing import Any

from services.casework.domain.opening import SYSTEM_NAME, SYSTEM_ROLE
from services.casework.domain.states import (
    ALLOWED_ROLES,
    UNVERSIONED_ACTIONS,
    CaseAction,
    CaseState,
    check_version,
    next_state,
)
from services.casework.store import cases
from services.casework.tables import Case, CaseHistoryEntry
from shared.appraisal.errors import Rejected
from shared.foundation import telemetry
from shared.security.pii import certain_hits, find_pii_async
from shared.security.policies import Account
from shared.storage.transaction import Transaction


async def load_case(
    tx: Transaction,
    number: str,
    action: CaseAction,
    by: Account,
    *,
    expected_version: int | None = None,
) -> Case:
    """Return the case, locked, for `by` to take `action`.

    `expected_version` is the version on which the person decided; unversioned actions ignore it.
    Raises Rejected: 404 if the person may not find the case, 403 if the action is not theirs, 409
    if the state does not allow it or the case changed since (StaleVersion).
    """
    case = await cases.lock(tx, number, by)
    if case is None:
        raise Rejected("没有找到这个办件", status=404)
    if by.role not in ALLOWED_ROLES[action]:
        raise Rejected(f"“{action.label}”不在您的权限之内", status=403)
    if action not in UNVERSIONED_ACTIONS:
        check_version(expected_version, case.version)
    next_state(CaseState(case.state), action)
    return case


def record_transition(
    tx: Transaction,
    case: Case,
    action: CaseAction,
    by: Account | None,
    text: str = "",
    **details: Any,
) -> None:
    """Move the case to its next state and record who did what, when and why.

    `by` is None for the system. `details` are ids, codes and dates as text.
    """
    case.state = next_state(CaseState(case.state), action)
    case.version += action not in UNVERSIONED_ACTIONS
    tx.add(_history_entry(tx, case, action, by, text, details))
    tx.audit(
        f"case.{action}",
        case.number,
        str(by.id) if by else SYSTEM_ROLE,
        state=case.state,
        unit=case.unit_id or "",
        **details,
    )


def record_system_entry(tx: Transaction, case: Case, action: str) -> None:
    """Record what happened to a case without a transition and without a person here."""
    tx.add(_history_entry(tx, case, action, None, "", {}))
    tx.audit(f"case.{action}", case.number, SYSTEM_ROLE, state=case.state)


def _history_entry(
    tx: Transaction,
    case: Case,
    action: str,
    by: Account | None,
    text: str,
    details: dict[str, Any],
) -> CaseHistoryEntry:
    return CaseHistoryEntry(
        case_id=case.id,
        at=tx.now,
        action=action,
        state=case.state,
        unit_id=case.unit_id,
        by_id=by.id if by else None,
        by_name=by.display_name if by else SYSTEM_NAME,
        by_role=by.role.value if by else SYSTEM_ROLE,
        text=text,
        details=details,
    )


def event_fields(case: Case) -> dict[str, Any]:
    """Return the fields that every event of a case carries."""
    return {
        "case_id": case.id,
        "number": case.number,
        "campaign_id": case.campaign_id,
        "unit_id": case.unit_id,
    }


async def reject_pii(
    text: str,
    *,
    field: str,
    label: str,
) -> None:
    """Raise Rejected (422) if a text that others will read contains personal data.

    What a person would have to check passes: the author is on duty and writes addresses of offices.
    """
    kinds = await _pii_kinds(text)
    if kinds:
        telemetry.personal_data_blocked.labels("casework", field).inc()
        sentence = f"{label}中有个人信息（{'、'.join(kinds)}），请删去后再提交"
        raise Rejected(sentence, status=422, field=field)


async def _pii_kinds(text: str) -> list[str]:
    hits = certain_hits(await find_pii_async(text))
    return list(dict.fromkeys(hit.label for hit in hits))
