"""The bodies of the requests that the demo and the load send."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from random import Random
from typing import Final

from services.simulate import texts
from services.simulate.client import Ballot, Json
from services.simulate.units import UNITS_BY_ID, DemoUnit
from shared.appraisal.calendar.working_days import civil_day
from shared.appraisal.schemes import Checklist, Questionnaire, Scheme

GENERIC_MATTERS: Final = ("材料受理", "证照办理", "政策咨询")
QUALITY_DEFAULT: Final = 0.8
UNKNOWN_SHARE: Final = 0.05


@dataclass(frozen=True, slots=True)
class TargetCampaign:
    """The campaign that requests refer to, as the API describes it."""

    id: str
    scheme: Scheme
    units: tuple[DemoUnit, ...]

    @staticmethod
    def of(campaign: Json, rules: str) -> "TargetCampaign":
        """Build the campaign from the scoring API's responses."""
        return TargetCampaign(
            campaign["campaign_id"],
            Scheme.from_json(rules),
            tuple(_unit_of(unit) for unit in campaign["units"]),
        )


def _unit_of(unit: Json) -> DemoUnit:
    known = UNITS_BY_ID.get(unit["unit_id"])
    if known and known.name == unit["name"]:
        return known
    return DemoUnit(
        unit_id=unit["unit_id"],
        code=unit["unit_id"],
        unit_no=unit["unit_no"],
        name=unit["name"],
        category=unit["category"],
        aliases=tuple(unit.get("aliases", ())),
        matters=GENERIC_MATTERS,
    )


def complaint_body(
    complaint: texts.InventedComplaint,
    campaign_id: str,
    channel: str,
    *,
    drafted: bool = False,
) -> Json:
    """Return the request that registers a complaint.

    With `drafted`, it has no redacted summary: the system drafts one from the complaint text.
    """
    return {
        "campaign_id": campaign_id,
        "channel": channel,
        "kind": complaint.kind,
        "urgency": complaint.urgency,
        "urgency_reason": complaint.urgency_reason,
        "unit_id": complaint.unit_id,
        "problem_item": complaint.problem_item,
        "complaint_text": complaint.complaint_text,
        "redacted_summary": None if drafted else complaint.redacted_summary,
        "identity": complaint.identity,
        "name": complaint.name,
        "phone": complaint.phone,
        "address": complaint.address,
        "place": complaint.place,
        "occurred_at": complaint.occurred,
    }


def ballot_answers(
    rng: Random,
    scheme: Scheme,
    form: Questionnaire,
    units: Sequence[DemoUnit],
    quality: Mapping[str, float],
) -> Ballot:
    """Return answers about these units.

    `quality` (0–1, by unit id) raises the share of satisfied answers.
    """
    return list(_answers(rng, scheme, form, units, quality))


def _answers(
    rng: Random,
    scheme: Scheme,
    form: Questionnaire,
    units: Sequence[DemoUnit],
    quality: Mapping[str, float],
) -> Iterator[tuple[int, int, int]]:
    counted = [option.no for option in scheme.options if option.counts]
    unknown = [option.no for option in scheme.options if not option.counts]
    for unit in units:
        mood = _mood(rng, quality.get(unit.unit_id, QUALITY_DEFAULT))
        for item in form.items:
            knows_nothing = unknown and rng.random() < UNKNOWN_SHARE
            options = unknown if knows_nothing else counted
            yield unit.unit_no, item.no, _option(rng, options, mood)


def _mood(rng: Random, quality: float) -> float:
    """Return how satisfied one respondent is, from 0 to 1."""
    return min(max(rng.gauss(quality, 0.15), 0.0), 1.0)


def _option(
    rng: Random,
    options: Sequence[int],
    mood: float,
) -> int:
    """Return one of the options, which go from best to worst; `mood` is 0 (bad) to 1."""
    position = int((1 - mood) * rng.uniform(0.4, 1.6) * len(options))
    return options[min(position, len(options) - 1)]


def visit_body(
    rng: Random,
    campaign_id: str,
    checklist: Checklist,
    unit: DemoUnit,
    *,
    visited_at: datetime,
    faults: int,
    covert_round: str = "",
) -> Json:
    """Return an inspection visit that finds `faults` items of the checklist wanting.

    `covert_round`: the round that it belongs to; an announced visit has none.
    """
    day = civil_day(visited_at)
    failed = _failed_items(rng, checklist, faults)
    notes = {item_id: texts.finding(rng, unit, item_id, day) for item_id in failed}
    return {
        "campaign_id": campaign_id,
        "unit_id": unit.unit_id,
        "round_id": covert_round or None,
        "mode": "covert" if covert_round else "announced",
        "visited_at": visited_at.isoformat(),
        "device_at": visited_at.isoformat(),
        "place": f"{unit.name}办事窗口",
        "items": [_checked_item(item.id, notes.get(item.id)) for item in checklist.items],
        "findings": [_described_finding(rng, item_id, note) for item_id, note in notes.items()],
        "remarks": texts.remark(rng),
    }


def _failed_items(
    rng: Random,
    checklist: Checklist,
    faults: int,
) -> list[str]:
    """Return some items, in the order of the checklist."""
    failed = {item.id for item in rng.sample(checklist.items, faults)}
    return [item.id for item in checklist.items if item.id in failed]


def _checked_item(item_id: str, note: str | None) -> Json:
    result = "pass" if note is None else "fail"
    return {"item_id": item_id, "result": result, "note": note or ""}


def _described_finding(
    rng: Random,
    item_id: str,
    summary: str,
) -> Json:
    severity = rng.choices(("minor", "ordinary", "serious"), (4, 5, 1))[0]
    return {"item_id": item_id, "severity": severity, "summary": summary}
