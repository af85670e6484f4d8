"""Bad input on every route of every service: never a 5xx, and control characters are always 422.

The requests are generated from the routers, so a new route is covered without a new test.
"""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from shared.storage.schema import SERVICES
from shared.web.routing import PolicyRoute
from tests.hostile.conftest import Target
from tests.hostile.examples import (
    CONTROL_CHARACTERS,
    DATES,
    NUMBERS,
    STRUCTURES,
    TEXTS,
    body_example,
    body_model,
    form_fields,
    path_example,
    path_parameters,
    places,
    replaced,
)

pytestmark = pytest.mark.stack
Request = tuple[str, dict[str, Any]]
"""Path and arguments of a request."""
IN_SINGLE_FIELDS = {"a\0b", "0001-01-01", str(10**30)}
"""Forms get every value in all fields at once, and these in one field after the other."""
JSON = {"content-type": "application/json"}


def dumps(document: Any) -> bytes:
    import json

    return json.dumps(document).encode()


def query_names(route: PolicyRoute) -> list[str]:
    names = [field.alias for field in route.dependant.query_params]
    return names or ["q"]


def writes(route: PolicyRoute) -> bool:
    return "GET" not in route.methods


def with_value(path: str, route: PolicyRoute, value: str) -> Iterator[Request]:
    """Yield requests that carry a text in each parameter of path, query and body in turn."""
    plain = path_example(path)
    for name in path_parameters(path):
        yield path_example(path, **{name: quote(value, safe="")}), {}
    for name in query_names(route):
        yield plain, {"params": {name: value}}
    if not writes(route):
        return
    model = body_model(route)
    if model:
        document = body_example(model)
        for place in places(document):
            yield plain, {"content": dumps(replaced(document, place, value)), "headers": JSON}
    elif not route.body_field:
        names = form_fields(route)
        yield plain, {"data": dict.fromkeys(names, value)}
        for name in names if value in IN_SINGLE_FIELDS else ():
            yield plain, {"data": {name: value}}


def in_body(path: str, route: PolicyRoute, value: Any) -> Iterator[Request]:
    """Yield requests with any JSON value in each place of the body in turn."""
    model = body_model(route)
    if model and writes(route):
        document = body_example(model)
        for place in places(document):
            content = dumps(replaced(document, place, value))
            yield path_example(path), {"content": content, "headers": JSON}


async def statuses(target: Target, requests: Iterator[tuple[PolicyRoute, Request]]) -> list[str]:
    """Send the requests; return those that crashed."""
    crashed = []
    for route, (path, arguments) in requests:
        answer = await target.send(route, path, **arguments)
        if answer.status_code >= 500:
            crashed.append(f"{answer.status_code} {sorted(route.methods)} {path} {arguments}"[:200])
    return crashed


def all_requests(target: Target) -> Iterator[tuple[PolicyRoute, Request]]:
    for path, route in target.routes():
        for text in (*TEXTS, *DATES):
            for request in with_value(path, route, text):
                yield route, request
        for value in (*NUMBERS, *STRUCTURES):
            for request in in_body(path, route, value):
                yield route, request


@pytest.mark.parametrize("name", SERVICES)
async def test_no_value_in_any_place_makes_a_route_fail(target, name):
    service = await target(name)

    crashed = await statuses(service, all_requests(service))

    assert not crashed, f"{len(crashed)} requests failed:\n" + "\n".join(crashed[:20])


def accepted(path: str, arguments: dict[str, Any]) -> set[int]:
    """Return the right answers to a control character in one place."""
    if "data" in arguments:
        # A form may be refused for another reason first, or ignored.
        return {204, 303, 403, 404, 409, 422}
    # A text matches no `{place:int}`: there is no such route.
    return {404, 422} if ":int" in path and not arguments else {422}


@pytest.mark.parametrize("name", SERVICES)
async def test_control_characters_are_422_in_every_place_of_every_route(target, name):
    service = await target(name)
    wrong = []
    for path, route in service.routes():
        for text in CONTROL_CHARACTERS:
            for request_path, arguments in with_value(path, route, text):
                answer = await service.send(route, request_path, **arguments)
                if answer.status_code not in accepted(path, arguments):
                    wrong.append(f"{answer.status_code} {path} {arguments}"[:160])

    assert not wrong, f"{len(wrong)} answers:\n" + "\n".join(wrong[:20])
