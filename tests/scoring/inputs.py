"""Inputs of a score: ledger entries and answer counts."""

from dataclasses import replace
from uuid import UUID

from services.scoring.domain.inputs import score_inputs
from services.scoring.domain.ledger import LedgerEntry, ledger_entries
from services.scoring.domain.score import score_unit
from tests.scoring.factories import UNITS, consumed, j_scheme

J = j_scheme()
NUMBERS = {unit.unit_id: at for at, unit in enumerate(UNITS, start=1)}


def ledger(*events) -> list[LedgerEntry]:
    """Return the entries of events, each with the next version of its aggregate."""
    versions, lines = {}, []
    for event in events:
        versions[event.key] = versions.get(event.key, 0) + 1
        lines += ledger_entries(
            *consumed(event, version=versions[event.key]), scheme=J, units=NUMBERS
        )
    kinds = {line.subject_id: line.kind for line in lines if line.kind}
    return [of_kind(line, kinds) for line in lines]


def of_kind(line: LedgerEntry, kinds: dict[UUID, str]) -> LedgerEntry:
    return replace(line, kind=kinds.get(line.subject_id))


def marked(answer_counts=None, entries=(), scheme=J):
    return score_unit(score_inputs(scheme, answer_counts or {}, entries), 7)


def cities(satisfied=0, fair=0, not_satisfied=0, unknown=0, items=(1, 2, 3, 4, 5)) -> dict:
    numbers = {1: satisfied, 2: fair, 3: not_satisfied, 9: unknown}
    return {
        ("cities", "city_units", item, option): number
        for item in items
        for option, number in numbers.items()
    }
