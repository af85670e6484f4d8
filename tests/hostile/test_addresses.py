"""Addresses: links use the configured one, and what describes the API is for those who need it."""

import pytest

from shared.appraisal.labels import Role
from shared.storage.schema import SERVICES

pytestmark = pytest.mark.stack


async def test_redirect_does_not_repeat_the_host_of_the_request(target):
    service = await target("intake")
    async with service.client() as visitor:
        moved = await visitor.get("/p", headers={"host": "evil.example"})

    assert (moved.status_code, moved.headers["location"]) == (307, "/p/")


@pytest.mark.parametrize("host", ["evil.example/login?", "a@b", "a b"])
async def test_host_that_is_no_host_is_refused(target, host):
    service = await target("intake")
    async with service.client() as visitor:
        assert (await visitor.get("/p/", headers={"host": host})).status_code == 422


@pytest.mark.parametrize("name", SERVICES)
async def test_public_port_exposes_neither_readiness_nor_metrics(target, name):
    service = await target(name)
    async with service.client(Role.ADMIN) as client:
        alive = await client.get("/livez")
        statuses = {path: (await client.get(path)).status_code for path in ("/readyz", "/metrics")}

    assert (alive.status_code, alive.json()) == (200, {"alive": "yes"})
    assert statuses == {"/readyz": 404, "/metrics": 404}


@pytest.mark.parametrize("name", SERVICES)
async def test_openapi_document_is_for_the_office_and_administrators(target, name):
    service = await target(name)
    path = f"/{name}/api/openapi.json"
    statuses = {}
    for role in (None, Role.HANDLER, Role.OPERATOR, Role.OFFICE, Role.ADMIN):
        async with service.client(role) as client:
            statuses[role] = (await client.get(path)).status_code

    assert statuses == {
        None: 401,
        Role.HANDLER: 403,
        Role.OPERATOR: 403,
        Role.OFFICE: 200,
        Role.ADMIN: 200,
    }
