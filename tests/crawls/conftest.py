"""One world for all crawls of a run."""

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib import import_module
from pathlib import Path

import asyncpg
import pytest
import structlog
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from services.cli.demo_register import seed_register
from shared.foundation import tracing
from shared.foundation.settings import Settings
from shared.foundation.telemetry import configure_logging
from shared.messaging import prepare_kafka
from shared.runtime.service import Service
from shared.storage.schema import SERVICES
from tests import canary_search
from tests.conftest import VirtualClock, named, on_server, settings_for
from tests.crawls.crawler import (
    Crawler,
    Reading,
    changed,
    make_crawler,
    read_everything,
    snapshot,
)
from tests.crawls.pages import read_pages
from tests.crawls.world import World, hidden_part, make_accounts, own_part
from tests.journeys.conftest import System, choose_port, shanghai

DATABASE = "fengping_crawls"
MARKS_OF_READING = {'"notify"."read_receipts"', '"intake"."second_factors"'}
"""Who saw a notification; a secret that was shown, and counts once a code confirmed it."""


@pytest.fixture(scope="session")
async def crawl_settings(servers, template, tmp_path_factory) -> Settings:
    """Settings of an installation for all crawls."""
    owner = servers.postgres.superuser_url
    await on_server(owner, f"create database {DATABASE} template {template} owner fengping")
    folder = tmp_path_factory.mktemp("crawls")
    settings = settings_for(servers, named(servers.postgres_url, DATABASE), folder)
    port = choose_port()
    ports = {"port": port, "internal_port": choose_port([port])}
    return settings.model_copy(update=ports | {"host": "127.0.0.1"})


@pytest.fixture(scope="session")
async def world(servers, crawl_settings) -> AsyncIterator[World]:
    """The world after its whole story; its services answer, but their jobs and consumers rest."""
    settings = crawl_settings
    clock = VirtualClock(settings.database_url)
    await clock.set(shanghai(3, 10), rate=0)
    await prepare_kafka(settings)
    await seed_register(settings.database_url)
    owner_url = named(servers.postgres.superuser_url, DATABASE)
    made = World(System(settings), owner_url, log_file=Path(settings.data_folder) / "output")
    await make_accounts(made)
    with written_to(made.log_file), spans_of(made):
        await made.system.open()
        await own_part(made, clock)
        await read_pages(made)  # marks notifications as seen
        made.pages_before = await read_pages(made)
        await hidden_part(made)
        made.pages_after = await read_pages(made)
        made.cache = await canary_search.cache(settings.redis_url)
        await made.system.close()
    made.system.services = {name: resting(name, settings) for name in SERVICES}
    yield made
    for service in made.system.services.values():
        await service.close()


def resting(name: str, settings: Settings) -> Service:
    """Return a service that answers requests and does nothing else."""
    service: Service = import_module(f"services.{name}.app").build(settings)
    return service


@contextmanager
def written_to(path: Path) -> Iterator[None]:
    """Write what the services log or print to a file."""
    before, handlers = structlog.get_config(), logging.getLogger().handlers[:]
    with path.open("w") as file, redirect_stdout(file), redirect_stderr(file):
        configure_logging(stream=file)
        try:
            yield
        finally:
            structlog.configure(**before)
            logging.getLogger().handlers[:] = handlers


@contextmanager
def spans_of(world: World) -> Iterator[None]:
    """Record the traces of the world."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tracing, "_tracer", provider.get_tracer("crawls"))
        yield
    world.spans = [span.to_json() for span in exporter.get_finished_spans()]


@pytest.fixture(scope="session")
async def owner(world) -> AsyncIterator[asyncpg.Connection]:
    """Somebody who may read every table."""
    connection = await asyncpg.connect(world.owner_url)
    yield connection
    await connection.close()


@pytest.fixture(scope="session")
async def crawler(world, owner) -> Crawler:
    return await make_crawler(world, owner)


@pytest.fixture(scope="session")
async def readings(crawler, owner) -> list[Reading]:
    """All that anybody may read. Reading changes nothing but the marks of reading."""
    before = await snapshot(owner)
    found = await read_everything(crawler)
    assert set(changed(before, await snapshot(owner))) <= MARKS_OF_READING
    return found
