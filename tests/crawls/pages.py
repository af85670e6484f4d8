"""Reads every page that needs no parameter, as those who see only a part of the world."""

from tests.crawls.crawler import ANONYMOUS, Crawler, comparable, routes_of
from tests.crawls.things import UNIT_ROLES
from tests.crawls.world import OWN, SECOND_INSPECTOR, SECOND_OPERATOR, World

Pages = dict[tuple[str, str], tuple[int, str]]
"""(viewer, route) → what the answer says."""


def outsiders(world: World) -> list[str]:
    """Return those from whom the hidden part of the world is hidden."""
    own = [
        name
        for name, account in world.people.items()
        if account.role in UNIT_ROLES and account.unit_id == OWN.unit_id
    ]
    return [ANONYMOUS, *own, SECOND_OPERATOR.name, SECOND_INSPECTOR.name]


async def read_pages(world: World) -> Pages:
    """Return what every outsider reads on every page without parameters."""
    crawler = Crawler(world, list(routes_of(world.system.services)), {})
    found: Pages = {}
    pages = [each for each in crawler.routes if each.reads]
    open_pages = [each for each in pages if not each.parameters and not each.required_query]
    for viewer in outsiders(world):
        for route in open_pages:
            if route.allows(crawler.viewers[viewer]):
                answer = await crawler.send(route, viewer, {})
                found[viewer, str(route)] = comparable(answer)
    return found
