"""What a scheme (评议方案) says, as types: immutable, comparable, and the same bytes on every
machine.

Every rule that a score, a deadline or a consequence rests on has a stable `id` ("J4.1",
"J6.lapse_handle"): a ledger line names the id and the scheme's version, and stays explainable for
ever. `ours=True` marks a value that the founding document leaves open and the office must decide
itself. `source` is a clause of that document or the id of a legal preset. Points, weights and
amounts are Decimal and keep the digits they were written with. Small integers (`no`) are for
ballots, whose answers travel as triples (unit_no, item_no, option_no).
"""

import hashlib
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Literal, Self

import msgspec

from shared.appraisal.calendar.deadlines import TimeLimit
from shared.appraisal.labels import CaseStage, ComplaintKind, Severity, Urgency


class SchemePart(msgspec.Struct, frozen=True, kw_only=True):
    """Base of everything in a scheme."""


class SchemeRule(SchemePart, frozen=True, kw_only=True):
    """Something that can be pointed at: `id` never changes its meaning, `label` is what people
    read.
    """

    id: str
    label: str
    ours: bool = False
    source: str = ""


# ── when and for whom ─────────────────────────────────────────────────────────────────────────────


class Period(SchemePart, frozen=True, kw_only=True):
    """First and last civil day (Asia/Shanghai), both included."""

    begins: date
    ends: date
    ours: bool = False


class AppraisalStage(SchemeRule, frozen=True, kw_only=True):
    """阶段, with its window."""

    begins: date
    ends: date


class ObligationRule(SchemeRule, frozen=True, kw_only=True):
    """An obligation of every unit with a due date (方案、自评报告 …), over at `closes` of the day `due`.

    `deliverable`: what has to be handed in. `remind`: working days before the due day on which the
    unit is reminded.
    """

    due: date
    deliverable: str
    closes: str = "17:30"
    remind: tuple[int, ...] = (5, 1)


class Category(SchemePart, frozen=True, kw_only=True):
    """类别: units are ranked only inside one. `includes` says in words who belongs there."""

    key: str
    label: str
    includes: str = ""


class ObjectKind(SchemePart, frozen=True, kw_only=True):
    """What can be appraised besides a unit: a group of people, a section, a window. `rolls_up`:
    counts for its unit.
    """

    key: str
    label: str
    rolls_up: bool = True


class ListedUnit(SchemePart, frozen=True, kw_only=True):
    """A unit that the founding document names: the seed of a campaign's register, in its order."""

    no: int
    name: str
    category: str


class RepresentativeRule(SchemeRule, frozen=True, kw_only=True):
    """评议代表: at least one in `one_new_in` is newly engaged each round; nobody serves two levels,
    except `shared`.
    """

    one_new_in: int
    one_level: bool = True
    shared: tuple[str, ...] = ()


# ── problems ──────────────────────────────────────────────────────────────────────────────────────


class ProblemItem(SchemePart, frozen=True, kw_only=True):
    """One entry of the catalogue. `id` ("08") is what complaints, findings and cases carry as
    `problem_item`.
    """

    id: str
    label: str


class ProblemHeading(SchemePart, frozen=True, kw_only=True):
    """A heading of the catalogue with its entries."""

    key: str
    label: str
    items: tuple[ProblemItem, ...]


class Catalogue(SchemeRule, frozen=True, kw_only=True):
    """问题目录: every complaint, finding and opinion is filed under one entry."""

    heads: tuple[ProblemHeading, ...]


class Content(SchemeRule, frozen=True, kw_only=True):
    """评议内容: what the appraisal is about."""


# ── instruments ───────────────────────────────────────────────────────────────────────────────────


class Option(SchemePart, frozen=True, kw_only=True):
    """An answer. `no` travels on ballots; `points` 0–100, None means not counted in the base
    (不了解).

    `asks_reason`: the questionnaire then offers reasons from the problem catalogue.
    """

    no: int
    code: str
    label: str
    points: Decimal | None
    asks_reason: bool = False
    ours: bool = False

    @property
    def counts(self) -> bool:
        """Whether the answer is in the base of rates and averages."""
        return self.points is not None


class RespondentGroup(SchemePart, frozen=True, kw_only=True):
    """评议主体: who answers. `weight`: share among the groups of the instrument. `quota`: ballots
    planned, if any.
    """

    key: str
    label: str
    weight: Decimal = Decimal(1)
    quota: int | None = None
    ours: bool = False


class QuestionnaireItem(SchemePart, frozen=True, kw_only=True):
    """A question asked about each unit. Item 1 is always the overall one: samples are counted on
    it.
    """

    no: int
    label: str
    weight: Decimal = Decimal(1)
    ours: bool = False


class Questionnaire(SchemePart, frozen=True, kw_only=True, tag_field="kind", tag="questionnaire"):
    """测评问卷. Options are the scheme's. `units`: every unit, or only those the respondent has
    dealt with or chosen.

    `scored`: False for a questionnaire that collects opinions and enters no component. `quota`:
    ballots planned in all.
    """

    key: str
    label: str
    groups: tuple[RespondentGroup, ...]
    items: tuple[QuestionnaireItem, ...]
    units: Literal["all", "chosen"] = "all"
    units_note: str = ""
    scored: bool = True
    quota: int | None = None
    stages: tuple[str, ...] = ()
    ours: bool = False

    def group(self, key: str) -> RespondentGroup | None:
        """The respondent group of that key."""
        return next((group for group in self.groups if group.key == key), None)

    def item(self, no: int) -> QuestionnaireItem | None:
        """The question of that number."""
        return next((item for item in self.items if item.no == no), None)


class CheckItem(SchemePart, frozen=True, kw_only=True):
    """检查项目. `amount`: points off for an ordinary finding; `problem`: catalogue entry that a
    finding is filed under.
    """

    no: int
    id: str
    label: str
    amount: Decimal
    problem: str
    ours: bool = False


class Checklist(SchemePart, frozen=True, kw_only=True, tag_field="kind", tag="checklist"):
    """明察暗访检查表."""

    key: str
    label: str
    items: tuple[CheckItem, ...]
    stages: tuple[str, ...] = ()
    ours: bool = False

    def item(self, id: str) -> CheckItem | None:
        """The checklist item of that id."""
        return next((item for item in self.items if item.id == id), None)


class ScoreSheet(SchemePart, frozen=True, kw_only=True, tag_field="kind", tag="score_sheet"):
    """评分表: a named group gives each unit 0–`maximum` points per item, written down by an officer
    of that group.
    """

    key: str
    label: str
    by: str
    items: tuple[QuestionnaireItem, ...]
    maximum: Decimal = Decimal(100)
    stages: tuple[str, ...] = ()
    ours: bool = False


Instrument = Questionnaire | Checklist | ScoreSheet

Absence = Literal["leave_out", "unranked", "full"]
"""A component without a value: its weight is shared by the others, the unit is not ranked, or it
counts 100.
"""


# ── components of the score ───────────────────────────────────────────────────────────────────────


class SatisfactionFormula(
    SchemePart, frozen=True, kw_only=True, tag_field="kind", tag="satisfaction"
):
    """Mean points of the counted answers: items by weight, then groups by weight; a group without
    answers drops out.

    `minimum`: counted answers to item 1 below which `below` holds; without any answer `absent`
    holds.
    """

    instruments: tuple[str, ...]
    minimum: int = 1
    below: Absence = "leave_out"
    absent: Absence = "leave_out"


class Severities(SchemePart, frozen=True, kw_only=True):
    """Factor on a checklist item's amount by the severity of the finding."""

    minor: Decimal
    ordinary: Decimal
    serious: Decimal


class InspectionFormula(SchemePart, frozen=True, kw_only=True, tag_field="kind", tag="inspection"):
    """100 less the amounts of the findings times their severity, not below 0.

    `spread`: over all visits of the campaign together ("sum"), or as the mean of the visits' marks
    ("mean_of_visits").
    """

    instrument: str
    severities: Severities
    spread: Literal["sum", "mean_of_visits"] = "sum"
    minimum: int = 1
    below: Absence = "leave_out"
    absent: Absence = "leave_out"


class HandlingFormula(SchemePart, frozen=True, kw_only=True, tag_field="kind", tag="handling"):
    """How the unit handled what people brought: shares of three measures, each 0–100, adding to
    100.

    `accepted_on_time`, `handled_on_time`: rate of the cases due or done by now that kept the
    deadline. `rated`: mean points of the complainants' answers (counted options). A measure without a
    base gives its share to the others. `minimum`: cases below which `below` holds; without any case
    `absent` holds.
    """

    accepted_on_time: Decimal
    handled_on_time: Decimal
    rated: Decimal
    minimum: int = 1
    below: Absence = "leave_out"
    absent: Absence = "leave_out"


class ScoreSheetFormula(SchemePart, frozen=True, kw_only=True, tag_field="kind", tag="scoring"):
    """Mean of a scoring sheet's points, brought to 0–100."""

    instrument: str
    minimum: int = 1
    below: Absence = "leave_out"
    absent: Absence = "leave_out"


Formula = SatisfactionFormula | InspectionFormula | HandlingFormula | ScoreSheetFormula


class Component(SchemeRule, frozen=True, kw_only=True):
    """A part of the score: `weight` percent of it, by `formula`. The weights of a scheme add to
    100.
    """

    key: str
    weight: Decimal
    formula: Formula


class Adjustment(SchemeRule, frozen=True, kw_only=True):
    """Points off (or on, among the bonuses) for an event, each time, at most `cap` in a campaign.

    `event`, with what narrows it: `deadline_lapsed` (`deadline`: a stage of the case rules),
    `finding` (`severity`), `case_returned`, `case_sent_back`, `obligation_lapsed`, `decision` (a
    person decides and gives the evidence). `kinds`: only cases of these kinds. `after`: the first
    so many in a campaign are free. `of`: "total", or the key of the component whose mark it lowers.
    `evidence`: what the ledger line links to.
    """

    event: Literal[
        "deadline_lapsed",
        "case_returned",
        "case_sent_back",
        "finding",
        "obligation_lapsed",
        "decision",
    ]
    amount: Decimal
    evidence: Literal["case", "visit", "obligation", "document"]
    cap: Decimal | None = None
    deadline: str | None = None
    severity: Severity | None = None
    kinds: tuple[ComplaintKind, ...] = ()
    after: int = 0
    of: str = "total"


# ── cases ─────────────────────────────────────────────────────────────────────────────────────────


class CaseLimit(SchemeRule, frozen=True, kw_only=True):
    """A time limit: which stage, for which kinds and urgencies (none named: all), how long, on what
    legal basis (`source`).
    """

    stage: CaseStage
    limit: TimeLimit
    kinds: tuple[ComplaintKind, ...] = ()
    urgencies: tuple[Urgency, ...] = ()

    def fits(self, stage: str, kind: ComplaintKind, urgency: Urgency) -> bool:
        """Whether this limit applies to such a case in that stage."""
        return (
            self.stage == stage
            and (not self.kinds or kind in self.kinds)
            and (not self.urgencies or urgency in self.urgencies)
        )


class ExtensionRule(SchemeRule, frozen=True, kw_only=True):
    """延期: asked before lapse, at most `limit` in all and `times` times, approved by every role
    named.
    """

    limit: TimeLimit
    times: int
    approvers: tuple[str, ...]


class ReturnRule(SchemeRule, frozen=True, kw_only=True):
    """退回: how long after being assigned a unit may say that it is not responsible, and who
    decides.
    """

    limit: TimeLimit
    decider: str


class Reason(SchemePart, frozen=True, kw_only=True):
    """A reason to choose from; `public` is the sentence that the person who reported reads."""

    code: str
    label: str
    public: str = ""


class CaseRules(SchemePart, frozen=True, kw_only=True):
    """办理规则. `not_by_accused`: kinds that never go to the accused unit or anything under it.

    `assigned_as_named`: kinds that go to the unit they name at once, without a reviewer. `no_case`:
    kinds that open no case.
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

    def limit(self, stage: str, kind: ComplaintKind, urgency: Urgency) -> CaseLimit | None:
        """The limit of a stage for such a case: the first that fits; None where the scheme sets
        none.
        """
        return next((one for one in self.limits if one.fits(stage, kind, urgency)), None)


class SelfAppraisal(SchemeRule, frozen=True, kw_only=True):
    """单位自评: opinions collected by these channels, each becoming an entry with a measure, due
    after `limit`.
    """

    channels: tuple[Reason, ...]
    limit: TimeLimit


# ── results ───────────────────────────────────────────────────────────────────────────────────────


class Ranking(SchemeRule, frozen=True, kw_only=True):
    """排名: inside a category, by total, highest first; then by `ties` in order; still equal units
    share a rank.

    `minimum_sample`: counted answers to item 1 over all scored questionnaires below which a unit has a
    mark but no rank. `decimals`: digits a total is rounded to (half even) before units are
    compared.
    """

    ties: tuple[Literal["dissatisfaction_rate", "findings", "late_cases"], ...]
    minimum_sample: int
    decimals: int = 2


class Grade(SchemeRule, frozen=True, kw_only=True):
    """等次 by mark: `at_least` points. The grades of a scheme go from best to worst, the last from
    0.
    """

    key: str
    at_least: Decimal


class Award(SchemeRule, frozen=True, kw_only=True):
    """Commended (先进单位): the `first` so many of a category."""

    category: str
    first: int


class Consequence(SchemeRule, frozen=True, kw_only=True):
    """后果: what befalls the `last` units of each category, or those of a `grade`, `years`
    campaigns in a row.

    Neither `last` nor `grade`: only ever by a person's decision (`by_decision`), with its evidence.
    """

    measure: str
    last: int | None = None
    grade: str | None = None
    years: int = 1
    by_decision: bool = False


class Veto(SchemeRule, frozen=True, kw_only=True):
    """一票否决: a decided fact that takes the unit out of the results, or out of awards and the
    best grade.
    """

    effect: Literal["disqualified", "no_award", "not_best_grade"]
    measure: str


class PenaltyStep(SchemeRule, frozen=True, kw_only=True):
    """What befalls a person at the `times`-th verified complaint in a year."""

    times: int
    measure: str


class Publication(SchemeRule, frozen=True, kw_only=True):
    """审定与公布. `approver` is a role; `uses` where results go; groups under `small_group` answers
    are never shown.
    """

    approved_by: str
    approver: str
    scopes: tuple[Reason, ...]
    uses: tuple[str, ...]
    appeal: TimeLimit
    appeal_decision: TimeLimit
    small_group: int = 5


class Scheme(SchemePart, frozen=True, kw_only=True):
    """A scheme for one campaign year, whole. `version` is the office's number of the rules, as R1;
    see `fingerprint`.
    """

    id: str
    name: str
    version: str
    document: str
    year: int
    period: Period
    categories: tuple[Category, ...]
    options: tuple[Option, ...]
    instruments: tuple[Instrument, ...]
    components: tuple[Component, ...]
    case_rules: CaseRules
    ranking: Ranking
    publication: Publication
    catalogue: Catalogue
    time_zone: Literal["Asia/Shanghai"] = "Asia/Shanghai"
    parent: str | None = None
    contents: tuple[Content, ...] = ()
    objects: tuple[ObjectKind, ...] = ()
    listed_units: tuple[ListedUnit, ...] = ()
    representatives: RepresentativeRule | None = None
    stages: tuple[AppraisalStage, ...] = ()
    obligations: tuple[ObligationRule, ...] = ()
    self_appraisal: SelfAppraisal | None = None
    deductions: tuple[Adjustment, ...] = ()
    bonuses: tuple[Adjustment, ...] = ()
    grades: tuple[Grade, ...] = ()
    awards: tuple[Award, ...] = ()
    consequences: tuple[Consequence, ...] = ()
    vetoes: tuple[Veto, ...] = ()
    person_ladder: tuple[PenaltyStep, ...] = ()

    def to_json(self) -> str:
        """The scheme as text; the same scheme gives the same bytes everywhere."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The scheme that `to_json` wrote; fields of a newer product are ignored. Raises
        msgspec.ValidationError.
        """
        return msgspec.json.decode(text, type=cls)

    @property
    def fingerprint(self) -> str:
        """Twelve hex digits that name this content: the same rules have the same, any change gives
        another.
        """
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:12]

    def option(self, no: int) -> Option | None:
        """The answer of that number."""
        return next((option for option in self.options if option.no == no), None)

    def instrument(self, key: str) -> Instrument | None:
        """The questionnaire, checklist or score sheet of that key."""
        return next((one for one in self.instruments if one.key == key), None)

    @property
    def questionnaires(self) -> tuple[Questionnaire, ...]:
        """All questionnaires."""
        return tuple(one for one in self.instruments if isinstance(one, Questionnaire))

    @property
    def checklists(self) -> tuple[Checklist, ...]:
        """All inspection checklists."""
        return tuple(one for one in self.instruments if isinstance(one, Checklist))

    def component(self, key: str) -> Component | None:
        """The part of the score of that key."""
        return next((one for one in self.components if one.key == key), None)

    def category(self, key: str) -> Category | None:
        """The category of that key."""
        return next((one for one in self.categories if one.key == key), None)

    def obligation(self, id: str) -> ObligationRule | None:
        """The obligation of that rule id."""
        return next((one for one in self.obligations if one.id == id), None)

    def problem(self, id: str) -> ProblemItem | None:
        """The catalogue entry of that id ("08")."""
        return next(
            (item for head in self.catalogue.heads for item in head.items if item.id == id), None
        )

    def rules(self) -> Iterator[SchemeRule]:
        """Every rule with an id, in the order of the scheme."""
        for _, part in parts(self):
            if isinstance(part, SchemeRule):
                yield part

    def rule(self, id: str) -> SchemeRule | None:
        """The rule of that id, for the page that explains a ledger line."""
        return next((rule for rule in self.rules() if rule.id == id), None)

    def undecided(self) -> list[tuple[str, str]]:
        """What the office must decide itself: (place, label) of every value marked `ours`."""
        found = ((path, part) for path, part in parts(self) if getattr(part, "ours", False))
        return [(getattr(part, "id", path), getattr(part, "label", path)) for path, part in found]


def parts(scheme: Scheme) -> Iterator[tuple[str, SchemePart]]:
    """Every part of the scheme with its path (`components[2].formula`), depth first, in order."""
    yield from _parts("", scheme)


def _parts(path: str, value: object) -> Iterator[tuple[str, SchemePart]]:
    if isinstance(value, SchemePart):
        if path:
            yield path, value
        for name in value.__struct_fields__:
            yield from _parts(f"{path}.{name}".lstrip("."), getattr(value, name))
    elif isinstance(value, tuple):
        for index, one in enumerate(value):
            yield from _parts(f"{path}[{index}]", one)
