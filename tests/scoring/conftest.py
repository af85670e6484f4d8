"""Scoring on a fresh database."""

from collections.abc import Callable

import pytest

from shared.storage.connections import Database
from tests.scoring.factories import Scoring


@pytest.fixture
async def scoring(database: Callable[[str], Database]) -> Scoring:
    """The service's actions, with the J campaign of 2020 published."""
    made = Scoring(database("scoring"))
    await made.publish()
    return made
