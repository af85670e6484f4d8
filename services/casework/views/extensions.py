"""Extensions that a person can decide."""

from services.casework.domain.states import CaseAction
from services.casework.store import case_lists
from services.casework.views.cases import CaseDetails, case_details
from shared.security.policies import Account
from shared.storage.transaction import Transaction


async def cases_to_approve(tx: Transaction, user: Account) -> list[CaseDetails]:
    """Return the cases whose extension awaits this person's decision, the one due first on top."""
    numbers = await case_lists.numbers_with_extension_request(tx, user)
    details = [await case_details(tx, number, user) for number in numbers]
    return [case for case in details if CaseAction.DECIDE_EXTENSION in case.actions]
