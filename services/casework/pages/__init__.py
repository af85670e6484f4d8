"""The pages of casework, by subject."""

from services.casework.pages import (
    approvals,
    calendar,
    case,
    case_actions,
    ledger,
    obligations,
    queue,
    supervision,
    triage,
)

routers = (
    queue.router,
    case.router,
    case_actions.router,
    triage.router,
    approvals.router,
    supervision.router,
    ledger.router,
    obligations.router,
    calendar.router,
)
