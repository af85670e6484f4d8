"""The packed form of ballots."""

from struct import iter_unpack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.appraisal import ballots
from shared.appraisal.errors import Rejected
from tests.scoring.factories import visit
from tests.scoring.inputs import ledger


@given(
    st.lists(
        st.tuples(st.integers(1, 65535), st.integers(0, 255), st.integers(0, 255)), max_size=100
    )
)
def test_packed_ballot_has_four_bytes_an_answer_and_is_reversible(answers):
    packed = ballots.pack(answers)

    assert len(packed) == 4 * len(answers)
    assert list(iter_unpack("<HBB", packed)) == answers


def test_duplicate_answer_is_detected():
    def twice(*answers):
        return ballots.has_duplicate_answers(ballots.packed_numbers(ballots.pack(answers)))

    assert not twice((1, 1, 1), (1, 2, 1), (2, 1, 1))
    assert twice((1, 1, 1), (2, 1, 1), (1, 1, 3))


@given(
    st.lists(
        st.tuples(st.integers(0, 65_535), st.integers(0, 255), st.integers(0, 255)), max_size=90
    )
)
def test_packed_answers_are_read_unchanged(answers):
    assert [
        ballots.answer_of(number) for number in ballots.packed_numbers(ballots.pack(answers))
    ] == answers


@pytest.mark.parametrize("answer", [(65_536, 1, 1), (1, 256, 1), (1, 1, 256), (-1, 1, 1)])
def test_answer_out_of_range_is_rejected(answer):
    with pytest.raises(Rejected):
        ballots.pack([answer])


def test_finding_outside_every_checklist_is_rejected():
    with pytest.raises(Rejected):
        ledger(visit("V-1", "U07", ("V77", "minor")))
