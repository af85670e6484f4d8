"""What each service may do in Kafka, tried on a real broker: the table and nothing else."""

import asyncio
from contextlib import asynccontextmanager
from itertools import product
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewTopic
from aiokafka.errors import KafkaError

from shared.appraisal.events import CONSUMERS, OWNERS, SHARED_TOPICS, TOPICS
from shared.foundation.private_files import write_private
from shared.foundation.settings import Settings
from shared.messaging import kafka_access, prepare_kafka
from shared.messaging.kafka_access import (
    ADMIN,
    AccessRule,
    AclOperation,
    AclResource,
    group_of,
    user_of,
)
from shared.messaging.kafka_admin import KafkaAdmin
from shared.messaging.provisioning import replace_password
from shared.messaging.topics import (
    InsecureKafka,
    administering,
    check_security,
    client_options,
    create_own_topics,
    password_of,
)
from shared.storage.schema import SERVICES
from tests.shared.test_messaging import rated, until, world

__all__ = ["world"]
SECONDS = 4_000


@pytest.fixture
async def kafka(core):
    """An installation whose topics each hold one record of the administrator."""
    settings, _ = core
    await prepare_kafka(settings)
    async with producing(settings, ADMIN) as producer:
        for topic in TOPICS:
            await producer.send_and_wait(settings.topic_prefix + topic, b"x", partition=0)
    return settings


@asynccontextmanager
async def producing(settings, service):
    producer = AIOKafkaProducer(
        **client_options(settings, service), acks="all", request_timeout_ms=SECONDS
    )
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def can_write(settings, service, topic):
    async with producing(settings, service) as producer:
        try:
            await producer.send_and_wait(settings.topic_prefix + topic, b"y", partition=0)
        except KafkaError:
            return False
    return True


async def can_read(settings, service, topic):
    consumer = AIOKafkaConsumer(**client_options(settings, service), auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign([TopicPartition(settings.topic_prefix + topic, 0)])
        async with asyncio.timeout(SECONDS / 1000):
            return await consumer.getone() is not None
    except (KafkaError, TimeoutError):
        return False
    finally:
        await consumer.stop()


async def can_use_group(settings, service, owner):
    consumer = AIOKafkaConsumer(
        **client_options(settings, service),
        group_id=group_of(owner, settings),
        enable_auto_commit=False,
        request_timeout_ms=SECONDS,
    )
    place = TopicPartition(settings.topic_prefix + "resends", 0)
    await consumer.start()
    try:
        consumer.assign([place])
        async with asyncio.timeout(SECONDS / 1000):
            await consumer.commit({place: 0})
    except (KafkaError, TimeoutError):
        return False
    finally:
        await consumer.stop()
    return True


async def tried(attempt, settings, others):
    """Return the pairs of service and thing for which an attempt succeeds."""
    pairs = list(product(SERVICES, others))
    outcomes = await asyncio.gather(*(attempt(settings, *pair) for pair in pairs))
    return {pair for pair, allowed in zip(pairs, outcomes, strict=True) if allowed}


@pytest.mark.stack
async def test_only_the_owner_writes_a_topic(kafka):
    allowed = {(owner, topic) for topic, owner in OWNERS.items()}
    shared = set(product(SERVICES, SHARED_TOPICS))

    assert await tried(can_write, kafka, TOPICS) == allowed | shared


@pytest.mark.stack
async def test_only_owner_and_consumers_read_a_topic(kafka):
    allowed = {(owner, topic) for topic, owner in OWNERS.items()}
    allowed |= {(each, topic) for topic, consumers in CONSUMERS.items() for each in consumers}
    shared = set(product(SERVICES, SHARED_TOPICS))

    assert await tried(can_read, kafka, TOPICS) == allowed | shared


@pytest.mark.stack
async def test_a_service_uses_its_own_group_only(kafka):
    own = {(service, service) for service in SERVICES}

    assert await tried(can_use_group, kafka, SERVICES) == own


@pytest.mark.stack
@pytest.mark.parametrize("service", SERVICES)
async def test_no_service_administers_kafka(kafka, service):
    user = user_of(service, kafka)
    wanted = AccessRule(user, AclOperation.WRITE, AclResource.TOPIC, kafka.topic_prefix + "stolen")
    credential = kafka_access.scram_credential(user_of("intake", kafka), "guess")
    async with administering(kafka, service) as client:
        admin = KafkaAdmin(client)
        with pytest.raises(KafkaError):
            await admin.add_rules([wanted])
        with pytest.raises(KafkaError):
            await admin.rules_of([user])
        with pytest.raises(KafkaError):
            await admin.store_users([credential])
        await client.create_topics([NewTopic(kafka.topic_prefix + "stolen", 1, 1)])
        await client.delete_topics([kafka.topic_prefix + topic for topic in TOPICS])

    async with administering(kafka, ADMIN) as client:
        names = await client.list_topics()
        assert {kafka.topic_prefix + topic for topic in TOPICS} <= set(names)
        assert kafka.topic_prefix + "stolen" not in names


@pytest.mark.stack
async def test_owner_creates_its_missing_topics_and_no_others(kafka):
    """As its relay does when a broker has lost its disk."""
    names = {kafka.topic_prefix + topic for topic in TOPICS}
    async with administering(kafka, ADMIN) as client:
        await client.delete_topics(sorted(names))
        await asyncio.sleep(1)

        await create_own_topics(kafka, "intake")

        found = names & set(await client.list_topics())
    assert found == {kafka.topic_prefix + topic for topic in kafka_access.written_topics("intake")}


@pytest.mark.stack
async def test_rules_that_the_table_does_not_have_are_removed(kafka):
    notify = user_of("notify", kafka)
    topic = kafka.topic_prefix + "ballots"
    async with administering(kafka, ADMIN) as client:
        admin = KafkaAdmin(client)
        await admin.add_rules([AccessRule(notify, AclOperation.WRITE, AclResource.TOPIC, topic)])
        await admin.add_rules(
            [AccessRule(notify, AclOperation.WRITE, AclResource.TOPIC, topic, pattern=4)]
        )

        await prepare_kafka(kafka)

        found = await admin.rules_of([notify])
    ours = {rule for rule in found if rule.name.startswith(kafka.topic_prefix)}
    assert ours == {rule for rule in kafka_access.rules(kafka) if rule.user == notify}


@pytest.mark.stack
async def test_password_is_replaced_while_clients_are_connected(kafka):
    """Open connections go on; the next ones need the new password."""
    old = password_of("intake", kafka)
    path = kafka.keys_of("intake") / "kafka"
    try:
        async with producing(kafka, "intake") as connected:
            await connected.send_and_wait(kafka.topic_prefix + "ballots", b"z", partition=0)
            await replace_password(kafka, "intake", "another-password")
            await connected.send_and_wait(kafka.topic_prefix + "ballots", b"z", partition=0)
            with pytest.raises(KafkaError):
                async with producing(kafka, "intake"):
                    pass
            write_private(path, "another-password\n")
            assert await can_write(kafka, "intake", "ballots")
    finally:
        write_private(path, old + "\n")
        await prepare_kafka(kafka)
    assert await can_write(kafka, "intake", "ballots")


def test_credential_of_a_password_is_always_the_same():
    first = kafka_access.scram_credential("fengping-intake", "a-password")

    assert first == kafka_access.scram_credential("fengping-intake", "a-password")
    assert first.salt != kafka_access.scram_credential("fengping-notify", "a-password").salt
    assert first.salt != kafka_access.scram_credential("fengping-intake", "b-password").salt


@pytest.mark.parametrize(
    ("protocol", "servers"),
    [
        ("PLAINTEXT", "127.0.0.1:9092"),
        ("SSL", "kafka:9093"),
        ("SASL_PLAINTEXT", "kafka:9092"),
        ("SASL_PLAINTEXT", "127.0.0.1:9092,kafka:9092"),
    ],
)
def test_production_refuses_kafka_without_authentication_or_encryption(protocol, servers):
    settings = Settings(kafka_security_protocol=protocol, kafka_servers=servers)

    with pytest.raises(InsecureKafka, match=protocol):
        check_security(settings)


@pytest.mark.parametrize(
    ("protocol", "servers"), [("SASL_SSL", "kafka:9093"), ("SASL_PLAINTEXT", "127.0.0.1:9092")]
)
def test_production_accepts_kafka_that_authenticates_and_encrypts(protocol, servers):
    check_security(Settings(kafka_security_protocol=protocol, kafka_servers=servers))


@pytest.mark.stack
async def test_rotated_passwords_lose_no_event_even_when_every_connection_breaks(world, servers):
    """A client keeps the password it was made with: one that cannot connect is made again."""
    settings = world.settings
    settings.stall_seconds = 3.0
    old = {service: password_of(service, settings) for service in ("intake", "scoring")}
    try:
        async with world.run():
            await world.publish(*(rated(uuid4()) for _ in range(20)))
            await world.settled(20)
            for service in old:
                await replace_password(settings, service, "another-password")
                write_private(settings.keys_of(service) / "kafka", "another-password\n")
            await world.publish(*(rated(uuid4()) for _ in range(20)))
            await world.settled(40)
            await servers.brokers[0].stop()
            await world.publish(*(rated(uuid4()) for _ in range(20)))
            await servers.brokers[0].start()
            await until(lambda: _effects_are(world, 60), 90)
    finally:
        for service, password in old.items():
            write_private(settings.keys_of(service) / "kafka", password + "\n")
        await prepare_kafka(settings)


async def _effects_are(world, count):
    return len(await world.recorder.effects(world.consumer_db)) == count
