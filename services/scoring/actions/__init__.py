"""The verbs of scoring, by subject."""

from services.scoring.actions.boards import (
    Board,
    Explained,
    Row,
    as_json,
    boards_of,
    changes_of,
    current_campaign,
    explanation_of,
    live_board,
    own_score,
    tallies_of,
    unit_of,
)
from services.scoring.actions.campaigns import (
    UnitRow,
    campaign_of,
    create_campaign,
    record_outcomes,
    register_units,
    replace_rules,
    scheme_from_json,
    show_to_units,
    unit_rows,
)
from services.scoring.actions.inputs import (
    count_ballots,
    decide,
    decisions_on,
    enter_events,
    revoke,
)
from services.scoring.actions.recounts import recount, recount_nightly, verify_scores
from services.scoring.actions.running import rescore_changed, tell_scores
from services.scoring.store import all_campaigns, last_recount, versions

__all__ = [
    "Board",
    "Explained",
    "Row",
    "UnitRow",
    "all_campaigns",
    "as_json",
    "boards_of",
    "campaign_of",
    "changes_of",
    "count_ballots",
    "create_campaign",
    "current_campaign",
    "decide",
    "decisions_on",
    "enter_events",
    "explanation_of",
    "last_recount",
    "live_board",
    "own_score",
    "record_outcomes",
    "recount",
    "recount_nightly",
    "register_units",
    "replace_rules",
    "rescore_changed",
    "revoke",
    "scheme_from_json",
    "show_to_units",
    "tallies_of",
    "tell_scores",
    "unit_of",
    "unit_rows",
    "verify_scores",
    "versions",
]
