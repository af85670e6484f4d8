"""What people entrust to the product is in the vault and nowhere else."""

import base64
import json
import zlib
from urllib.parse import quote

import pytest
from prometheus_client import generate_latest

from shared.appraisal.labels import Role
from shared.foundation.telemetry import REGISTRY
from shared.storage.schema import SERVICES
from tests import canary_search

pytestmark = pytest.mark.stack


def named(crawler, found):
    """Return the findings with the path by which each value came in."""
    paths = crawler.world.canaries.values()
    return sorted({f"{place}: {paths[value]} as {form}" for place, value, form in found})


OPEN_TEXTS = {"remarks": "intake.visits", "imported": "intake.imports"}
"""Words of staff that a table of intake holds unsealed: an inspector's remarks, and the name that
the office gave to a file.
"""


async def test_canaries_are_in_no_table_topic_cache_log_metric_or_trace(crawler, owner):
    world = crawler.world
    places = {name: content async for name, content in canary_search.tables(owner, SERVICES)}
    places |= await canary_search.topics(world.system.settings)
    places["cache"] = world.cache
    places["output"] = world.log_file.read_bytes()
    places["traces"] = "\n".join(world.spans).encode()
    places["metrics"] = generate_latest(REGISTRY)
    for path in world.system.settings.data_folder.rglob("*"):
        if path.is_file() and path != world.log_file:
            places[f"file {path.name}"] = path.read_bytes()

    paths = world.canaries.values()
    leaks = [
        leak
        for leak in canary_search.find(places, paths)
        if OPEN_TEXTS.get(paths[leak[1]].split()[0]) != leak[0]
    ]
    found = named(crawler, leaks)

    assert not found, "\n".join(found)
    for place in ("cache", "output", "traces", "metrics"):
        assert places[place], f"nothing to search: {place}"


READERS = {
    "opinion": {Role.OFFICE},
    "remarks": {Role.OFFICE, Role.INSPECTOR},
    "imported": {Role.OFFICE, Role.ADMIN},
}
COMPLAINT_READERS = {Role.OPERATOR, Role.REVIEWER, Role.SUPERVISOR}


def test_canaries_are_on_no_page_of_those_who_may_not_read_them(crawler, readings):
    paths = crawler.world.canaries.values()
    pages = {str(each): each for each in readings}
    contents = {place: each.answer.content for place, each in pages.items()}
    leaks = [
        leak
        for leak in canary_search.find(contents, paths)
        if not may_read(pages[leak[0]].account, paths[leak[1]])
    ]

    found = named(crawler, leaks)
    assert not found, "\n".join(found)


def may_read(account, path):
    """Return whether this account may read what came in by this path."""
    allowed = READERS.get(path.split()[0], COMPLAINT_READERS)
    return account is not None and account.role in allowed


LEAKS = {
    "plain": lambda value: value.encode(),
    "UTF-16": lambda value: value.encode("utf-16-le"),
    "base64": lambda value: base64.b64encode(f"x{value}".encode()),
    "JSON": lambda value: json.dumps({"name": value}).encode(),
    "URL": lambda value: quote(value).encode(),
}


@pytest.mark.parametrize("form", LEAKS)
def test_a_planted_leak_is_found_in_every_form(form):
    places = {"log": b"{" + LEAKS[form]("欧阳金丝雀") + b"}"}

    assert list(canary_search.find(places, ["欧阳金丝雀", "14199887766"]))


async def test_a_planted_leak_is_found_in_a_table_and_in_the_cache(world, owner):
    await owner.execute("create schema leak; create table leak.t (a bytea, b jsonb)")
    phone = "14199887766"
    await owner.execute(
        "insert into leak.t values ($1, $2)", zlib.compress(phone.encode()), '{"a": "欧阳金丝雀"}'
    )
    places = {name: content async for name, content in canary_search.tables(owner, ["leak"])}
    await owner.execute("drop schema leak cascade")

    found = {value for _, value, _ in canary_search.find(places, [phone, "欧阳金丝雀"])}
    assert found == {phone, "欧阳金丝雀"}
