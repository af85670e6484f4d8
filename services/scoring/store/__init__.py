"""Questions to scoring's schema, and the set-based statements behind its verbs. One file a subject."""

from services.scoring.store.events import (
    count_votes,
    enter,
    entry_of,
    keep_ballots,
    lines_about,
    lines_of,
    note_change,
    take_changes,
    touched_units,
    votes_of,
)
from services.scoring.store.recounts import differing, everything, keep_recount, last_recount, overdue_recount
from services.scoring.store.registers import Campaign, Registers, Unit, all_campaigns, newest_campaign, read_campaign, scheme_of, versions
from services.scoring.store.scores import (
    TELL_MAX,
    Moved,
    OutcomeRow,
    Written,
    bodies,
    count_movements,
    keep_explanation,
    keep_outcomes,
    kept_explanation,
    lock_scores,
    movements,
    note_moved,
    outcomes,
    state_on,
    take_untold,
    write_scores,
)

__all__ = [
    "TELL_MAX", "Campaign", "Moved", "OutcomeRow", "Registers", "Unit", "Written", "all_campaigns", "bodies", "count_movements",
    "count_votes", "differing", "enter", "entry_of", "everything", "keep_ballots", "keep_explanation", "keep_outcomes", "keep_recount",
    "kept_explanation", "last_recount", "lines_about", "lines_of", "lock_scores", "movements", "newest_campaign",
    "note_change", "note_moved", "outcomes", "overdue_recount", "read_campaign", "scheme_of", "state_on", "take_changes",
    "take_untold", "touched_units", "versions", "votes_of", "write_scores",
]  # fmt: skip
