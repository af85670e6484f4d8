"""The rules of scoring, pure: the same events give the same marks, in any order and repetition.

Context: a score affects people's careers, and everyone affected must be able to recompute it on
paper.
Decision: arithmetic is exact (fractions). A component's mark is rounded once, half even, to the
scheme's `ranking.decimals`. A component contributes its *rounded* mark times its weight, so a
person with the page in hand gets the same number. The total is rounded once more, half even.
Displayed contributions are rounded by largest remainder and add up to the displayed total.
Consequences: no order of addition can change a digit, and a recount in any language with fractions
agrees to the last digit.
Alternatives: floating point (order matters), rounding only at the end (displayed numbers do not add
up).

`recount` is a second, independent program and imports none of the other modules.
"""
