"""Appraisal schemes (评议方案) as data: types, shipped presets and a loader.

    scheme = load_scheme("J", 2020)              # the preset with the dates of that year
    scheme.to_json() / Scheme.from_json(text)    # byte-stable; travels in CampaignPublished
    check(scheme)                                # violations in a scheme edited on a page

The ids in each file (J4.1 …) refer to the rows of the founding documents.
"""

from shared.appraisal.schemes.base import SchemePart, SchemeRule
from shared.appraisal.schemes.case_rules import (
    CaseLimit,
    CaseRules,
    ExtensionRule,
    Reason,
    ReturnRule,
    SelfAppraisal,
)
from shared.appraisal.schemes.catalogue import Catalogue, Content, ProblemHeading, ProblemItem
from shared.appraisal.schemes.checks import check
from shared.appraisal.schemes.components import (
    Adjustment,
    Component,
    Formula,
    HandlingFormula,
    InspectionFormula,
    SatisfactionFormula,
    ScoreSheetFormula,
    Severities,
)
from shared.appraisal.schemes.files import (
    SchemeError,
    SchemeMistake,
    load_scheme,
    read_scheme,
    scheme_ids,
)
from shared.appraisal.schemes.instruments import (
    CheckItem,
    Checklist,
    Instrument,
    Option,
    Questionnaire,
    RespondentGroup,
    ScoreSheet,
    ScoreSheetItem,
)
from shared.appraisal.schemes.results import (
    Award,
    Consequence,
    Grade,
    PenaltyStep,
    Publication,
    Ranking,
    Veto,
)
from shared.appraisal.schemes.scheme import Scheme, parts
from shared.appraisal.schemes.scope import (
    AppraisalStage,
    Category,
    ListedUnit,
    ObjectKind,
    ObligationRule,
    Period,
    RepresentativeRule,
)

__all__ = [
    "Adjustment",
    "AppraisalStage",
    "Award",
    "CaseLimit",
    "CaseRules",
    "Catalogue",
    "Category",
    "CheckItem",
    "Checklist",
    "Component",
    "Consequence",
    "Content",
    "ExtensionRule",
    "Formula",
    "Grade",
    "HandlingFormula",
    "InspectionFormula",
    "Instrument",
    "ListedUnit",
    "ObjectKind",
    "ObligationRule",
    "Option",
    "PenaltyStep",
    "Period",
    "ProblemHeading",
    "ProblemItem",
    "Publication",
    "Questionnaire",
    "Ranking",
    "Reason",
    "RepresentativeRule",
    "RespondentGroup",
    "ReturnRule",
    "SatisfactionFormula",
    "Scheme",
    "SchemeError",
    "SchemeMistake",
    "SchemePart",
    "SchemeRule",
    "ScoreSheet",
    "ScoreSheetFormula",
    "ScoreSheetItem",
    "SelfAppraisal",
    "Severities",
    "Veto",
    "check",
    "load_scheme",
    "parts",
    "read_scheme",
    "scheme_ids",
]
