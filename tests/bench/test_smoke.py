"""Every measurement still measures: in its short form, on the tests' own servers, without a word
about how fast.
"""

import pytest

from tests.bench.__main__ import chosen
from tests.bench.world import World

pytestmark = [pytest.mark.stack, pytest.mark.bench]


@pytest.mark.parametrize("bench", chosen([]), ids=lambda bench: bench.__name__)
async def test_measurement_returns_its_figures(bench, servers, tmp_path):
    world = World(servers, tmp_path, quick=True)

    figures = await bench(world)

    await world.close()
    assert figures
    assert all(figure.value > 0 for figure in figures), [figure.row() for figure in figures]
