"""The act that decides about suspicious ballots, as two people approve it."""

from typing import Final

BALLOT_VERDICT_KEY: Final = "ballot_verdict"
