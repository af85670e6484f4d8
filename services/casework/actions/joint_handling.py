"""会办: the responsible unit handles a case together with others. No deadline moves.

The other units are named as text, because a unit outside the register may take part. They do not
see the case: its summary reaches them through the responsible unit.
"""

from services.casework.actions.cases import load_case, record_transition, reject_pii
from services.casework.domain.states import CaseAction
from services.casework.store import context_of
from services.casework.tables import Case
from shared.appraisal.errors import Rejected
from shared.security.policies import Account
from shared.storage.organisations import known_register
from shared.storage.transaction import Transaction

UNITS_MIN = 2
REASON_MIN = 10


async def start_joint_handling(
    tx: Transaction,
    *,
    number: str,
    units: str,
    reason: str,
    by: Account,
    expected_version: int | None = None,
) -> Case:
    """会办 with the units named in `units`. Raises Rejected if one of them may not see the case."""
    case = await load_case(
        tx, number, CaseAction.START_JOINT_HANDLING, by, expected_version=expected_version
    )
    await reject_pii(units, field="units", label="会办单位")
    await reject_pii(reason, field="reason", label="会办事由")
    await _reject_excluded_name(tx, case, units)
    text = f"会办单位：{units.strip()}；事由：{reason.strip()}"
    record_transition(tx, case, CaseAction.START_JOINT_HANDLING, by, text)
    return case


async def _reject_excluded_name(
    tx: Transaction,
    case: Case,
    names: str,
) -> None:
    """Raise Rejected if the names contain any name of a body that the case excludes."""
    if not case.excluded_unit_ids:
        return
    register = await known_register(tx, context_of(tx).organisations)
    named = {each.id for each in register.mentioned_in(names)}
    if named & set(case.excluded_unit_ids):
        sentence = "举报件不得由被举报单位及应当回避的单位会办"
        raise Rejected(sentence, status=422, field="units")


async def end_joint_handling(
    tx: Transaction,
    *,
    number: str,
    by: Account,
    expected_version: int | None = None,
) -> Case:
    """结束会办: the responsible unit continues alone."""
    case = await load_case(
        tx, number, CaseAction.END_JOINT_HANDLING, by, expected_version=expected_version
    )
    record_transition(tx, case, CaseAction.END_JOINT_HANDLING, by)
    return case
