"""Which actions a person is offered on a case."""

from dataclasses import dataclass
from datetime import datetime

from services.casework.domain.assignment import awaits_accused
from services.casework.domain.campaigns import CampaignRules
from services.casework.domain.deadlines import DeadlineKind
from services.casework.domain.extensions import ExtensionState, missing_approvals
from services.casework.domain.states import CaseAction, CaseState, permitted_actions
from services.casework.store import cases
from services.casework.tables import Case, Extension
from services.casework.views.deadlines import DeadlineDetails
from shared.appraisal.labels import ComplaintKind
from shared.security.policies import Account


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedActions:
    """Decides which actions a person is offered: one that would be rejected is not."""

    case: Case
    campaign: CampaignRules
    user: Account
    extensions: list[Extension]
    deadlines: list[DeadlineDetails]
    returnable_until: datetime | None
    now: datetime

    def actions(self) -> list[CaseAction]:
        """Return the actions that this person can take now."""
        hidden = {
            CaseAction.DECIDE_EXTENSION: not self._may_decide_extension,
            CaseAction.REQUEST_EXTENSION: not self._may_request_extension,
            CaseAction.TAKE_OVER: self.case.handler_id == self.user.id,
            CaseAction.RETURN: not self._may_return,
            CaseAction.PAUSE: self._is_past_due,
            CaseAction.ASSIGN: self.case.released_at is None or self._awaits_accused,
        }
        permitted = permitted_actions(CaseState(self.case.state), self.user.role)
        return [action for action in permitted if not hidden.get(action, False)]

    @property
    def _awaits_accused(self) -> bool:
        kind = ComplaintKind(self.case.kind)
        return awaits_accused(kind, self.case.accused_record, self.campaign.case_rules)

    @property
    def _may_decide_extension(self) -> bool:
        request = cases.open_request(self.extensions)
        if request is None:
            return False
        missing = missing_approvals(self.campaign.case_rules, request.approved_by)
        return self.user.role.value in missing

    @property
    def _may_request_extension(self) -> bool:
        if self._is_past_due or cases.open_request(self.extensions) is not None:
            return False
        used = sum(ExtensionState(each.state).counts for each in self.extensions)
        return used < self.campaign.case_rules.extension.times

    @property
    def _may_return(self) -> bool:
        return self.returnable_until is not None and self.now < self.returnable_until

    @property
    def _is_past_due(self) -> bool:
        active = [each for each in self.deadlines if each.is_active]
        handling = [each for each in active if each.kind == DeadlineKind.HANDLE]
        return not handling or handling[0].due_at <= self.now
