"""A campaign (评议活动) as its cases see it."""

from dataclasses import dataclass

from shared.appraisal.schemes import CaseRules, Scheme


@dataclass(frozen=True, slots=True)
class CampaignRules:
    """A campaign and the scheme in force, as scoring last published them."""

    id: str
    title: str
    year: int
    scheme_version: str
    scheme: Scheme

    @property
    def case_rules(self) -> CaseRules:
        """The scheme's rules for cases."""
        return self.scheme.case_rules

    def problem_label(self, item: str | None) -> str | None:
        """Return the label of an entry of the problem catalogue; None if there is none."""
        problem = self.scheme.problem(item) if item else None
        return problem.label if problem else None

    def problem_of_check(self, check_id: str) -> str | None:
        """Return the catalogue entry under which an item of an inspection checklist is filed."""
        for checklist in self.scheme.checklists:
            item = checklist.item(check_id)
            if item is not None:
                return item.problem
        return None
