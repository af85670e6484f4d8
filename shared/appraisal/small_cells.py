"""小单元格: what a table of ballots may show.

Two tables that differ by a few ballots must not show the answers of those few. So a count is shown
in steps of ten, a cell of one to nine ballots is not shown, and neither is a cell that the total
of its row would give away. Every page, file and API that shows counts of ballots to units or the
public takes them from here.
"""

from collections.abc import Hashable, Mapping
from typing import Final, TypeVar

STEP: Final = 10
"""Ballots by which a shown count changes, and below which nothing is shown."""
HIDDEN_MIN: Final = 2
"""Hidden cells of a row: a single one is the total less the others."""
CellT = TypeVar("CellT", bound=Hashable)


def stepped(count: int) -> int:
    """Return a count as it is shown: rounded down to a multiple of `STEP`."""
    return count // STEP * STEP


def shown_cells(counts: Mapping[CellT, int]) -> dict[CellT, int | None]:
    """Return the cells of one row as they are shown, None for those that are hidden.

    A row of fewer than `STEP` ballots is hidden completely. Otherwise cells below `STEP` are hidden
    with the smallest others, until the hidden ones are at least two, with `STEP` ballots
    together. An empty cell stays 0 while nothing is hidden.
    """
    if 0 < sum(counts.values()) < STEP:
        return dict.fromkeys(counts)
    hidden = _hidden(counts)
    if hidden:
        hidden |= {cell for cell, count in counts.items() if not count}
    return {cell: None if cell in hidden else stepped(count) for cell, count in counts.items()}


def _hidden(counts: Mapping[CellT, int]) -> set[CellT]:
    """Return the occupied cells to hide."""
    hidden = {cell for cell, count in counts.items() if 0 < count < STEP}
    if not hidden:
        return hidden
    large = [cell for cell, count in counts.items() if count >= STEP]
    for cell in sorted(large, key=lambda cell: counts[cell]):
        together = sum(counts[one] for one in hidden)
        if len(hidden) >= HIDDEN_MIN and together >= STEP:
            break
        hidden.add(cell)
    return hidden
