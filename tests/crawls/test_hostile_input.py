"""Requests that no page makes, on every route: never a 5xx, and nothing changes."""

from contextlib import suppress

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

from shared.storage.schema import SERVICES
from tests.crawls.crawler import changed, plausible_body, snapshot
from tests.hostile.examples import body_model

pytestmark = pytest.mark.stack
EXAMPLES = 8
"""Negative requests for each operation of an OpenAPI document."""
UNGRANTED = {"score": 100, "status": "closed", "unit_id": "D000001", "id": "1", "role": "admin"}
SQL = (
    "' or '1'='1",
    "1; drop table cases; --",
    "%' union select password_hash from intake.accounts --",
    "\\'; select pg_sleep(5); --",
    "(select version())",
    "甲\r\nlevel=error forged=line",
)


def somebody(crawler, route):
    """Return a person whom the route admits."""
    return next(name for name, account in crawler.viewers.items() if route.allows(account))


def negative_cases(operation, path_values):
    """Return requests that break the schema of an operation, always the same."""
    found = []
    fixed = {"path_parameters": path_values} if path_values else {}

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=GenerationMode.NEGATIVE, **fixed))
    def collect(case):
        found.append(case)

    with suppress(Unsatisfiable):  # a body of any bytes: nothing breaks its schema
        collect()
    return found


@pytest.mark.parametrize("service", SERVICES)
async def test_negative_data_of_the_openapi_document_gets_no_5xx(crawler, service):
    routes = {(route.method, route.path): route for route in crawler.routes}
    app = crawler.world.system.services[service].app
    schema = schemathesis.openapi.from_dict(app.openapi())
    crashed, sent = [], 0
    for result in schema.get_all_operations():
        operation = result.ok()
        if not list(operation.query) and not list(operation.body):
            continue
        route = routes[operation.method.upper(), operation.path]
        for case in negative_cases(operation, crawler.any_values(route)):
            arguments = case.as_transport_kwargs(base_url="http://crawl.test")
            request = {name: arguments[name] for name in SENT & arguments.keys()}
            answer = await crawler.send(
                route, somebody(crawler, route), case.path_parameters, **request
            )
            sent += 1
            if answer.status_code >= 500:
                crashed.append(f"{answer.status_code} {route} {request}"[:300])

    assert not crashed, "\n".join(crashed)
    assert sent >= EXAMPLES


SENT = {"params", "json", "data", "files", "headers"}


async def test_fields_that_a_form_does_not_have_are_refused_and_change_nothing(crawler, owner):
    before = await snapshot(owner)
    wrong = []
    for route in crawler.routes:
        model = body_model(route.route)
        if route.reads or model is None:
            continue
        for name, value in UNGRANTED.items():
            if name in model.model_fields:
                continue
            body = plausible_body(route, **{name: value})
            answer = await crawler.send(
                route, somebody(crawler, route), crawler.any_values(route), **body
            )
            if answer.status_code != 422:
                wrong.append(f"{answer.status_code} {route} with {name}")

    assert not wrong, "\n".join(wrong)
    assert changed(before, await snapshot(owner)) == []


async def test_statements_in_filters_change_and_reveal_nothing(crawler, owner):
    before = await snapshot(owner)
    wrong = []
    for route in crawler.routes:
        names = [field.alias for field in route.route.dependant.query_params]
        if not route.reads or not names:
            continue
        for word in SQL:
            answer = await crawler.send(
                route,
                somebody(crawler, route),
                crawler.any_values(route),
                params=dict.fromkeys(names, word),
            )
            if answer.status_code >= 500 or "argon2id" in answer.text:
                wrong.append(f"{answer.status_code} {route} {word}")

    assert not wrong, "\n".join(wrong)
    assert changed(before, await snapshot(owner)) == []
