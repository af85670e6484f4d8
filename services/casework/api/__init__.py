"""The JSON API under /casework/api, by subject.

Errors are problem+json; every write takes an `Idempotency-Key`. Policies come from
`domain.states.ALLOWED_ROLES`; a case that a person may not see is not found (404).
"""

from services.casework.api import calendar, case_actions, cases, deadlines, obligations

routers = (
    cases.router,
    case_actions.router,
    deadlines.router,
    obligations.router,
    calendar.router,
)
