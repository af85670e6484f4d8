"""Rules for handling cases: time limits, extensions, returns and reasons."""

from collections.abc import Iterable

from shared.appraisal.calendar.deadlines import TimeLimit
from shared.appraisal.labels import CaseStage, ComplaintKind, Urgency
from shared.appraisal.schemes.base import SchemePart, SchemeRule


class CaseLimit(SchemeRule, frozen=True, kw_only=True):
    """The time limit of a stage for the named kinds and urgencies (all, if none is named).

    `source` is its legal basis.
    """

    stage: CaseStage
    limit: TimeLimit
    kinds: tuple[ComplaintKind, ...] = ()
    urgencies: tuple[Urgency, ...] = ()

    def fits(
        self,
        stage: str,
        kind: ComplaintKind,
        urgency: Urgency,
    ) -> bool:
        """Return whether this limit applies to such a case in that stage."""
        return (
            self.stage == stage
            and (not self.kinds or kind in self.kinds)
            and (not self.urgencies or urgency in self.urgencies)
        )


class ExtensionRule(SchemeRule, frozen=True, kw_only=True):
    """延期: requested before the deadline lapses and approved by every role in `approvers`.

    At most `times` extensions, of at most `limit` in total.
    """

    limit: TimeLimit
    times: int
    approvers: tuple[str, ...]


class ReturnRule(SchemeRule, frozen=True, kw_only=True):
    """退回: within `limit` of assignment a unit may state that it is not responsible.

    The role `decider` decides.
    """

    limit: TimeLimit
    decider: str


class Reason(SchemePart, frozen=True, kw_only=True):
    """A reason to choose from. `public` is the sentence that the complainant reads."""

    code: str
    label: str
    public: str = ""


def reason_choices(reasons: Iterable[Reason]) -> list[tuple[str, str]]:
    """Return (code, label) of each reason, as form fields take them."""
    return [(reason.code, reason.label) for reason in reasons]


class CaseRules(SchemePart, frozen=True, kw_only=True):
    """办理规则.

    `not_by_accused`: kinds of which the accused bodies and everything under them may neither handle
    nor see a case. 举报 is always one, whatever the scheme lists.
    `not_by_superiors`: the bodies over the accused are excluded as well.
    `assigned_as_named`: kinds that are assigned to the unit they name, without a reviewer.
    `no_case`: kinds that open no case.
    `reviewer_releases`: a reviewer releases the redacted summary of every complaint; otherwise
    operators release those that they wrote. No scheme can do without the release.
    """

    limits: tuple[CaseLimit, ...]
    extension: ExtensionRule
    returning: ReturnRule
    not_by_accused: tuple[ComplaintKind, ...]
    not_accepted_reasons: tuple[Reason, ...]
    return_reasons: tuple[Reason, ...]
    pause_reasons: tuple[Reason, ...]
    assigned_as_named: tuple[ComplaintKind, ...] = (
        ComplaintKind.COMPLAINT,
        ComplaintKind.SUGGESTION,
        ComplaintKind.INQUIRY,
        ComplaintKind.PRAISE,
        ComplaintKind.FINDING,
    )
    no_case: tuple[ComplaintKind, ...] = ()
    reviewer_releases: bool = False
    not_by_superiors: bool = False

    def excludes_accused(self, kind: ComplaintKind) -> bool:
        """Return whether the accused of such a complaint may neither handle nor see it.

        Source: 纪检监察机关处理检举控告工作规则 第四十七条.
        """
        return kind is ComplaintKind.REPORT or kind in self.not_by_accused

    def limit(
        self,
        stage: str,
        kind: ComplaintKind,
        urgency: Urgency,
    ) -> CaseLimit | None:
        """Return the first limit of a stage that fits such a case; None if the scheme sets none."""
        return next((one for one in self.limits if one.fits(stage, kind, urgency)), None)


class SelfAppraisal(SchemeRule, frozen=True, kw_only=True):
    """单位自评: each opinion collected by one of `channels` needs a measure within `limit`."""

    channels: tuple[Reason, ...]
    limit: TimeLimit
