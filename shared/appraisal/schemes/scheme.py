"""The scheme (评议方案) of a campaign: immutable, comparable, and the same bytes on every machine.

Every rule behind a score, a deadline or a consequence has a stable `id` ("J4.1",
"J6.lapse_handle"): a ledger line names the id and the scheme's version. Points, weights and amounts
are Decimal and keep the digits they were written with. Small integers (`no`) identify things on
ballots, whose answers are triples (unit_no, item_no, option_no).
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Literal, Self, TypeVar

import msgspec

from shared.appraisal.schemes.base import SchemePart, SchemeRule
from shared.appraisal.schemes.case_rules import CaseRules, SelfAppraisal
from shared.appraisal.schemes.catalogue import Catalogue, Content, ProblemItem
from shared.appraisal.schemes.components import Adjustment, Component
from shared.appraisal.schemes.instruments import (
    Checklist,
    Instrument,
    Option,
    Questionnaire,
)
from shared.appraisal.schemes.questions import Choice
from shared.appraisal.schemes.results import (
    Award,
    Consequence,
    Grade,
    PenaltyStep,
    Publication,
    Ranking,
    Veto,
)
from shared.appraisal.schemes.scope import (
    AppraisalStage,
    Category,
    ListedUnit,
    ObjectKind,
    ObligationRule,
    Period,
    RepresentativeRule,
)

Keyed = TypeVar("Keyed", Instrument, Component, Category)
Identified = TypeVar("Identified", ObligationRule, ProblemItem, SchemeRule)


class Scheme(SchemePart, frozen=True, kw_only=True, dict=True):
    """The complete scheme of one campaign year. `version` is the office's number (R1).

    `fingerprint` identifies the content.
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
        """Return the scheme as JSON; equal schemes give the same bytes."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Return the scheme that `to_json` wrote; unknown fields are ignored.

        Raises msgspec.ValidationError.
        """
        return msgspec.json.decode(text, type=cls)

    @property
    def fingerprint(self) -> str:
        """Twelve hex digits that identify the content of the scheme."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:12]

    def option(self, no: int) -> Option | None:
        """Return the answer with that number."""
        return next((option for option in self.options if option.no == no), None)

    def instrument(self, key: str) -> Instrument | None:
        """Return the questionnaire, checklist or score sheet with that key."""
        return _with_key(self.instruments, key)

    @property
    def questionnaires(self) -> tuple[Questionnaire, ...]:
        """All questionnaires."""
        return tuple(form for form in self.instruments if isinstance(form, Questionnaire))

    @cached_property
    def offered_choices(self) -> Mapping[str, Mapping[int, Mapping[int, Choice]]]:
        """The choices that a ballot may carry: questionnaire key → question → choice number."""
        return {form.key: self._choices_by_question(form) for form in self.questionnaires}

    def _choices_by_question(self, form: Questionnaire) -> dict[int, dict[int, Choice]]:
        by_question: dict[int, dict[int, Choice]] = {}
        for item in form.items:
            by_question[item.no] = {choice.no: choice for choice in item.choices(self)}
        return by_question

    @property
    def checklists(self) -> tuple[Checklist, ...]:
        """All inspection checklists."""
        return tuple(form for form in self.instruments if isinstance(form, Checklist))

    def component(self, key: str) -> Component | None:
        """Return the component with that key."""
        return _with_key(self.components, key)

    def category(self, key: str) -> Category | None:
        """Return the category with that key."""
        return _with_key(self.categories, key)

    def obligation(self, id: str) -> ObligationRule | None:
        """Return the obligation with that rule id."""
        return _with_id(self.obligations, id)

    def problem(self, id: str) -> ProblemItem | None:
        """Return the catalogue entry with that id ("08")."""
        return _with_id(self.catalogue.entries, id)

    def rules(self) -> Iterator[SchemeRule]:
        """Yield every rule with an id, in the order of the scheme."""
        for _, part in parts(self):
            if isinstance(part, SchemeRule):
                yield part

    def rule(self, id: str) -> SchemeRule | None:
        """Return the rule with that id; ledger lines refer to it."""
        return _with_id(self.rules(), id)

    def undecided(self) -> list[tuple[str, str]]:
        """Return (place, label) of every value marked `ours`: the office must decide it."""
        found = ((path, part) for path, part in parts(self) if getattr(part, "ours", False))
        return [(getattr(part, "id", path), getattr(part, "label", path)) for path, part in found]


def _with_key(listed: Iterable[Keyed], key: str) -> Keyed | None:
    return next((part for part in listed if part.key == key), None)


def _with_id(listed: Iterable[Identified], id: str) -> Identified | None:
    return next((part for part in listed if part.id == id), None)


def parts(scheme: Scheme) -> Iterator[tuple[str, SchemePart]]:
    """Yield every part of the scheme with its path (`components[2].formula`), depth first."""
    yield from _parts("", scheme)


def _parts(path: str, value: object) -> Iterator[tuple[str, SchemePart]]:
    if isinstance(value, SchemePart):
        if path:
            yield path, value
        for name in value.__struct_fields__:
            yield from _parts(f"{path}.{name}".lstrip("."), getattr(value, name))
    elif isinstance(value, tuple):
        for index, element in enumerate(value):
            yield from _parts(f"{path}[{index}]", element)
