"""The rules of scoring, pure: the same events give the same marks, in whatever order and however
often they come.

Context: a score moves people's careers; whoever asks "why" must be able to recompute it on paper.
Decision: arithmetic is exact (fractions). A component's mark is rounded once, half even, to the
scheme's `ranking.decimals`; what a component contributes is its *rounded* mark times its weight, so
that a person with the page in hand gets the same number; the total is rounded once more, half even.
Displayed contributions are rounded by largest remainder and add up to the displayed total.
Consequences: no order of addition can change a digit; a recount in any language that has fractions
agrees to the last digit.
Alternatives: floating point (order matters), rounding only at the end (what is displayed does not
add up).

`ballots` packs and checks; `entries` turns events into ledger lines; `score` marks a unit; `rank`
orders units and finds consequences; `explain` puts a score into words; `recount` is the second,
independent program and imports none of them.
"""
