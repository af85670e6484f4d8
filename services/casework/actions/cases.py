"""What every act on one case has in common: find it, check that this person may do it now, leave a
step.
"""

from typing import Any

from services.casework.domain import MAY, State, Verb, move, refuse_stale
from services.casework.store import cases
from services.casework.tables import Case, Step
from shared.appraisal.errors import Rejected
from shared.foundation import telemetry
from shared.security.pii import find_pii
from shared.security.policies import Account
from shared.storage.transaction import Transaction

QUIET = frozenset({Verb.NOTE, Verb.URGE})
"""Acts that change nothing anybody decides on: a form opened before them is not stale."""


async def load(
    tx: Transaction, number: str, verb: Verb, by: Account, *, expected_version: int | None = None
) -> Case:
    """The case of that number, locked, for `by` to do `verb`. `expected_version`: the version this person
    decided on.

    Raises Rejected: 404 when the person may not find it, 403 when the verb is not theirs, 409 when
    the state does not allow it or the case changed since (`Stale`).
    """
    case = await cases.to_change(tx, number, by)
    if case is None:
        raise Rejected("没有找到这个办件", status=404)
    if by.role not in MAY[verb]:
        raise Rejected(f"“{verb.label}”不在您的权限之内", status=403)
    if verb not in QUIET:
        refuse_stale(expected_version, case.version)
    move(State(case.state), verb)
    return case


def take_step(
    tx: Transaction, case: Case, verb: Verb, by: Account | None, text: str = "", **facts: Any
) -> None:
    """Move the case on and leave who did it, when and why. `by` None: the rules themselves.
    `facts`: ids, codes, dates as text.
    """
    case.state = move(State(case.state), verb)
    case.version += verb not in QUIET
    tx.add(
        Step(
            case_id=case.id,
            at=tx.now,
            verb=verb,
            state=case.state,
            unit_id=case.unit_id,
            by_id=by.id if by else None,
            by_name=by.display_name if by else "系统",
            by_role=by.role.value if by else "system",
            text=text,
            facts=facts,
        )
    )
    tx.audit(
        f"case.{verb}",
        case.number,
        str(by.id) if by else "system",
        state=case.state,
        unit=case.unit_id or "",
        **facts,
    )


def keys(case: Case) -> dict[str, Any]:
    """What every event of a case says."""
    return {
        "case_id": case.id,
        "number": case.number,
        "campaign_id": case.campaign_id,
        "unit_id": case.unit_id,
    }


def refuse_personal_data(text: str, *, field: str, label: str) -> None:
    """Raise Rejected when a text that leaves the house names or numbers a person."""
    if found := find_pii(text):
        telemetry.personal_data_blocked.labels("casework", field).inc()
        kinds = "、".join(dict.fromkeys(hit.kind.label for hit in found))
        raise Rejected(f"{label}中有个人信息（{kinds}），请删去后再提交", status=422, field=field)
