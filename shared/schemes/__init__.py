"""Appraisal schemes (评议方案) as data: types, shipped presets, and a loader whose errors name the line.

    scheme = load_scheme("J", 2020)              -> Scheme, dates of that year
    scheme.to_json() / Scheme.from_json(text)    -> the same bytes; travels in CampaignPublished
    check(scheme)                                -> what is wrong with a scheme edited on a page

Rows of the founding documents: see the ids in each file (J4.1 …). Values marked `ours` are for the office to decide.
"""

from shared.schemes.checks import check
from shared.schemes.files import Mistake, SchemeError, load_scheme, read_scheme, scheme_ids
from shared.schemes.model import (
    Adjustment,
    Award,
    Ballot,
    BallotItem,
    CaseLimit,
    CaseRules,
    CaseStage,
    Catalogue,
    Category,
    CheckItem,
    Checklist,
    Component,
    Consequence,
    Content,
    Extension,
    Formula,
    Grade,
    Group,
    Handling,
    Inspection,
    Instrument,
    ListedUnit,
    ObjectKind,
    Obligation,
    Option,
    Part,
    Period,
    Problem,
    ProblemHead,
    Publication,
    Ranking,
    Reason,
    RepresentativeRule,
    Return,
    Rule,
    Satisfaction,
    Scheme,
    Scoring,
    SelfAppraisal,
    Severities,
    Sheet,
    Stage,
    Step,
    Veto,
    parts,
)

__all__ = [
    "Adjustment", "Award", "Ballot", "BallotItem", "CaseLimit", "CaseRules", "CaseStage", "Catalogue", "Category",
    "CheckItem", "Checklist", "Component", "Consequence", "Content", "Extension", "Formula", "Grade", "Group", "Handling",
    "Inspection", "Instrument", "ListedUnit", "Mistake", "ObjectKind", "Obligation", "Option", "Part", "Period", "Problem", "ProblemHead",
    "Publication", "Ranking", "Reason", "RepresentativeRule", "Return", "Rule", "Satisfaction", "Scheme", "SchemeError", "Scoring",
    "SelfAppraisal", "Severities", "Sheet", "Stage", "Step", "Veto", "check", "load_scheme", "parts", "read_scheme",
    "scheme_ids",
]  # fmt: skip
