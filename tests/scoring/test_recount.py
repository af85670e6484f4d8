"""The independent recount, and properties that hold for any events."""

import ast
from pathlib import Path
from random import Random

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from services.scoring.domain.explanation import explain
from services.scoring.domain.inputs import score_inputs
from services.scoring.domain.ledger import ledger_entries
from services.scoring.domain.score import score_unit
from shared.appraisal import ballots
from shared.appraisal.events import BallotsReleased
from shared.verifier import recount as program
from shared.verifier.recount import Recounter
from tests.scoring.factories import consumed, random_events
from tests.scoring.inputs import NUMBERS, J, of_kind


def folded(pairs) -> tuple[dict, dict]:
    """AnswerCounts and lines by unit, as the store would give them."""
    answer_counts = {no: {} for no in NUMBERS.values()}
    lines = []
    for event, meta in pairs:
        if isinstance(event, BallotsReleased):
            for unit, item, option in (a for b in event.ballots for a in b.answers):
                key = (event.instrument, event.group, item, option)
                answer_counts[unit][key] = answer_counts[unit].get(key, 0) + 1
        else:
            lines += ledger_entries(event, meta, scheme=J, units=NUMBERS)
    closed = {line.source_id: line.unit_no for line in lines if line.measure == "case_closed"}
    kinds = {line.subject_id: line.kind for line in lines if line.kind}
    owned = {no: [] for no in NUMBERS.values()}
    for line in lines:
        owner = closed.get(line.subject_id) if line.measure == "rated" else line.unit_no
        if owner:
            owned[owner].append(of_kind(line, kinds))
    return answer_counts, owned


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.randoms(use_true_random=False))
def test_order_of_events_does_not_change_bytes_and_displayed_parts_add_up(seed, rng: Random):
    life = [consumed(event) for event in random_events(seed, events=25)]
    answer_counts, lines = folded(life)
    rng.shuffle(life)
    answer_counts_again, lines_again = folded(life)

    for no in NUMBERS.values():
        inputs, again = (
            score_inputs(J, answer_counts[no], lines[no]),
            score_inputs(J, answer_counts_again[no], lines_again[no]),
        )
        score = score_unit(inputs, no)
        assert msgspec.json.encode(explain(inputs, score)) == msgspec.json.encode(
            explain(again, score_unit(again, no))
        )
        if score.total is not None:
            parts = [one.contribution for one in score.components if one.contribution is not None]
            assert sum(parts) + score.adjusted + score.clamped == score.total
            assert 0 <= score.total <= 100


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000))
def test_recount_gives_the_same_numbers(seed):
    life = [consumed(event) for event in random_events(seed, events=30)]
    count = Recounter(J.to_json(), NUMBERS.values())
    for event, meta in life:
        if isinstance(event, BallotsReleased):
            for ballot in event.ballots:
                count.add_ballot(event.instrument, event.group, ballots.pack(ballot.answers))
        else:
            for line in ledger_entries(event, meta, scheme=J, units=NUMBERS):
                count.add_row(msgspec.json.decode(msgspec.json.encode(line)))
    answer_counts, lines = folded(life)

    results = count.results()

    for no in NUMBERS.values():
        score = score_unit(score_inputs(J, answer_counts[no], lines[no]), no)
        assert results[no]["total"] == (None if score.total is None else str(score.total))
        assert results[no]["ranked"] == score.ranked
        assert results[no]["marks"] == {
            one.key: None if one.mark is None else str(one.mark) for one in score.components
        }


def test_recount_imports_no_code_of_the_codebase():
    imports = [
        node
        for node in ast.walk(ast.parse(Path(program.__file__).read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    names = {alias.name for node in imports for alias in node.names} | {
        getattr(node, "module", "") for node in imports
    }
    assert not any(str(name).startswith(("services", "shared")) for name in names)
