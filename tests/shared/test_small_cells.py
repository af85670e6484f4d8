"""No shown table, and no difference of two, gives away a cell of one to nine ballots."""

from hypothesis import given
from hypothesis import strategies as st

from shared.appraisal.small_cells import STEP, shown_cells, stepped

CELLS = st.dictionaries(st.integers(1, 6), st.integers(0, 60), min_size=1, max_size=6)


def test_a_small_cell_takes_the_one_with_it_that_the_total_would_give_away():
    assert shown_cells({"dissatisfied": 9, "satisfied": 41}) == {
        "dissatisfied": None,
        "satisfied": None,
    }


def test_counts_are_shown_in_steps_of_ten():
    assert shown_cells({1: 412, 2: 19, 3: 0}) == {1: 410, 2: 10, 3: 0}
    assert shown_cells({1: 4, 2: 3, 3: 0}) == {1: None, 2: None, 3: None}
    assert stepped(9) == 0


@given(CELLS)
def test_no_cell_below_ten_is_shown(counts):
    for cell, number in shown_cells(counts).items():
        assert number is None or number == 0 == counts[cell] or STEP <= number <= counts[cell]


@given(CELLS)
def test_the_hidden_cells_of_a_row_cannot_be_taken_apart(counts):
    """Whoever knows the exact total learns a sum of at least ten ballots in two or more cells."""
    shown = shown_cells(counts)
    hidden = [counts[cell] for cell, number in shown.items() if number is None]
    total = sum(counts.values())
    if hidden and total >= STEP and total != max(counts.values()):
        assert sum(1 for count in hidden if count) >= 2
        assert sum(hidden) >= STEP


@given(CELLS, st.data())
def test_the_difference_of_two_tables_isolates_no_ballot(before, data):
    """A release adds at least ten ballots; a cell may grow by one of them."""
    grown = data.draw(st.fixed_dictionaries({cell: st.integers(0, 12) for cell in before}))
    after = {cell: count + grown[cell] for cell, count in before.items()}
    earlier, later = shown_cells(before), shown_cells(after)
    for cell in before:
        first, second = earlier[cell], later[cell]
        if first is not None and second is not None:
            assert (second - first) % STEP == 0
