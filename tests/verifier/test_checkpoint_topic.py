"""Checkpoints on their topic: published once an hour, kept for ever, compared by `verify`."""

import asyncio
import json

import pytest
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from services.cli.verification import Outside, ask_kafka, verify_installation
from shared.messaging import prepare_kafka
from shared.messaging.kafka_access import ADMIN
from shared.messaging.topics import administering
from shared.runtime.service import Service
from shared.security.audit import Checkpoint
from shared.security.published_checkpoints import publish_checkpoint
from shared.verifier.findings import Difference
from shared.verifier.notes import read_note
from tests.conftest import VirtualClock
from tests.verifier.support import Installation, seal_log

CHECKPOINTS = "select count(*) from outbox where topic = 'checkpoints'"
UNPUBLISHED = "select count(*) from outbox where published_at is null"


@pytest.fixture
async def published(installation: Installation) -> Installation:
    """The installation, its checkpoints in Kafka."""
    await prepare_kafka(installation.settings)
    await publish(installation)
    return installation


async def publish(installation: Installation) -> None:
    for service in installation.services.values():
        await run_job(service)
        relay = asyncio.create_task(service.bus.relay.run())
        try:
            async with asyncio.timeout(60):
                while await count(service, UNPUBLISHED):
                    await asyncio.sleep(0.1)
        finally:
            relay.cancel()
            await asyncio.gather(relay, return_exceptions=True)


async def run_job(service: Service) -> None:
    async with service.database.transaction(service.context) as tx:
        await publish_checkpoint(tx, service.signer.verifier)


async def count(service: Service, sql: str) -> int:
    async with service.database.transaction() as tx:
        return await tx.fetchval(sql)


async def differences(installation: Installation, outside: Outside) -> list[str]:
    findings = verify_installation(installation.settings, outside, on_progress=lambda _: None)
    return [str(found) async for found in findings if isinstance(found, Difference)]


@pytest.mark.stack
async def test_topic_agrees_with_an_honest_log_and_names_one_that_was_cut(published, owner):
    outside = await ask_kafka(published.settings)

    assert {note.origin.rpartition("/")[2] for note in outside.notes} == set(published.services)
    assert await differences(published, outside) == []

    await owner.execute("delete from intake.audit where position > 0")
    await owner.execute("delete from intake.checkpoints where size > 1")
    await owner.execute("delete from intake.outbox where topic = 'checkpoints'")

    assert any(
        "audit log: fengping/intake" in line for line in await differences(published, outside)
    )


@pytest.mark.stack
async def test_log_rebuilt_with_the_real_key_contradicts_the_topic(published, owner):
    await owner.execute("update casework.audit set actor = 'nobody' where position = 0")
    await owner.execute(
        "update casework.audit set position = null, leaf_hash = null, proof = null, sealed_at = null"
    )
    await owner.execute("delete from casework.checkpoints; delete from casework.outbox")
    await seal_log(published.services["casework"])
    await publish(published)

    found = await differences(published, await ask_kafka(published.settings))

    assert any("audit log: fengping/casework" in line for line in found)


@pytest.mark.stack
async def test_log_whose_checkpoints_are_missing_from_the_topic_is_named(installation, owner):
    await prepare_kafka(installation.settings)

    found = await differences(installation, await ask_kafka(installation.settings))

    assert any("fengping/intake is not in Kafka's topic" in line for line in found)


@pytest.mark.stack
async def test_checkpoint_is_published_once_an_hour_and_when_the_log_has_grown(
    installation: Installation, clock: VirtualClock
):
    service = installation.services["intake"]
    await run_job(service)
    await run_job(service)
    await clock.advance(hours=2)
    await run_job(service)
    assert await count(service, CHECKPOINTS) == 1, "an unchanged log"

    async with service.database.transaction() as tx:
        tx.audit("audit.read", "intake", "somebody")
    await seal_log(service)
    await run_job(service)
    assert await count(service, CHECKPOINTS) == 2

    async with service.database.transaction() as tx:
        tx.audit("audit.read", "intake", "somebody")
        newest = await tx.fetchval("select body from outbox order by id desc limit 1")
    await seal_log(service)
    await run_job(service)
    assert await count(service, CHECKPOINTS) == 2, "within the hour"
    note = read_note(json.loads(newest)["note"])
    assert service.signer.verifier.verify_checkpoint(_checkpoint(note))


def _checkpoint(note):
    [(_, _, signature)] = note.signatures
    return Checkpoint(note.origin, note.size, note.root, signature)


@pytest.mark.stack
async def test_topic_keeps_checkpoints_for_ever(settings):
    await prepare_kafka(settings)
    names = [settings.topic_prefix + topic for topic in ("checkpoints", "ballots")]
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]

    async with administering(settings, ADMIN) as client:
        answers = await client.describe_configs(resources)

    retention = {
        resource[3]: config[1]
        for answer in answers
        for resource in answer.resources
        for config in resource[4]
        if config[0] == "retention.ms"
    }
    assert retention == {names[0]: "-1", names[1]: str(30 * 86_400_000)}
