"""Connections to Kafka, and its topics: created with their final partition count."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.helpers import create_ssl_context

from shared.foundation import telemetry
from shared.foundation.private_files import read_private
from shared.foundation.settings import Settings
from shared.foundation.telemetry import log
from shared.messaging.kafka_access import user_of, written_topics
from shared.security.service_keys import KAFKA

RETENTION_DAYS = 30
KEPT_FOREVER = frozenset({"checkpoints"})
"""Topics of which no record expires."""
NO_EXPIRY = "-1"
LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
ADMIN_TIMEOUT_MILLISECONDS = 20_000


class TopicMismatch(RuntimeError):
    """A topic exists with another number of partitions; the message says what to do."""


class InsecureKafka(RuntimeError):
    """Kafka is reached without authentication, or in plain text over a network."""


def check_security(settings: Settings) -> None:
    """Raise InsecureKafka unless a production installation authenticates and encrypts.

    Plain text is allowed to brokers on this machine.
    """
    protocol = settings.kafka_security_protocol
    if settings.environment != "production" or protocol == "SASL_SSL":
        return
    hosts = {server.rpartition(":")[0] for server in settings.kafka_bootstrap}
    if protocol != "SASL_PLAINTEXT" or not hosts <= LOOPBACK:
        raise InsecureKafka(
            f"FENGPING_KAFKA_SECURITY_PROTOCOL is {protocol}: production needs SASL_SSL, or "
            "SASL_PLAINTEXT with brokers on 127.0.0.1"
        )


def client_options(settings: Settings, service: str) -> dict[str, Any]:
    """Return the connection options of a service's Kafka clients.

    The password is read from its file for each client: a client that is made after a rotation has
    the new one.
    """
    options: dict[str, Any] = {
        "bootstrap_servers": settings.kafka_bootstrap,
        "security_protocol": settings.kafka_security_protocol,
    }
    if "SSL" in settings.kafka_security_protocol.split("_"):
        ca_file = settings.kafka_ca_file
        options["ssl_context"] = create_ssl_context(cafile=str(ca_file) if ca_file else None)
    if settings.kafka_security_protocol.startswith("SASL"):
        options |= _sasl_options(settings, service)
    return options


def _sasl_options(settings: Settings, service: str) -> dict[str, Any]:
    return {
        "sasl_mechanism": settings.kafka_sasl_mechanism,
        "sasl_plain_username": user_of(service, settings),
        "sasl_plain_password": password_of(service, settings),
    }


def password_of(service: str, settings: Settings) -> str:
    """Return the password of a service's Kafka user. Raises OSError if its file is not readable."""
    return read_private(settings.keys_of(service) / KAFKA.file).strip()


async def close_quietly(closing: Awaitable[Any], *, seconds: float) -> None:
    """Close a client in any state, suppressing its errors and its own cancellations.

    A cancellation of the caller is raised.
    """
    try:
        await asyncio.wait_for(closing, seconds)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task and task.cancelling():
            raise
    except Exception as error:
        log.debug("client not closed cleanly", **telemetry.describe(error))


@asynccontextmanager
async def administering(settings: Settings, service: str) -> AsyncIterator[AIOKafkaAdminClient]:
    """Open a client for administration, with the rights of a service or of the administrator."""
    options = client_options(settings, service)
    admin = AIOKafkaAdminClient(**options, request_timeout_ms=ADMIN_TIMEOUT_MILLISECONDS)
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()


async def create_own_topics(settings: Settings, service: str) -> None:
    """Create the topics that a service writes to, if they are missing.

    Raises TopicMismatch as `create_topics`.
    """
    async with administering(settings, service) as admin:
        await create_topics(admin, settings, written_topics(service))


async def create_topics(
    admin: AIOKafkaAdminClient,
    settings: Settings,
    topics: Sequence[str],
) -> list[str]:
    """Create the missing topics and return their names.

    Raises TopicMismatch if one exists with another partition count: changing it would break the
    order of events.
    """
    names = [settings.topic_prefix + topic for topic in topics]
    existing = await admin.list_topics()
    missing = sorted(set(names).difference(existing))
    if missing:
        await admin.create_topics([_new_topic(name, settings) for name in missing])
    await _check_partitions(admin, settings, names)
    return missing


def _new_topic(name: str, settings: Settings) -> NewTopic:
    configs = {
        "retention.ms": _retention(name.removeprefix(settings.topic_prefix)),
        "min.insync.replicas": str(settings.topic_min_insync),
        "cleanup.policy": "delete",
        # The broker's clock: it would reject records of a publisher whose clock is ahead, and soon
        # delete those of one whose clock is behind.
        "message.timestamp.type": "LogAppendTime",
    }
    return NewTopic(
        name,
        settings.topic_partitions,
        settings.topic_replication,
        topic_configs=configs,
    )


def _retention(topic: str) -> str:
    """Return how long Kafka keeps a record of a topic, in milliseconds."""
    return NO_EXPIRY if topic in KEPT_FOREVER else str(RETENTION_DAYS * 86_400_000)


async def _check_partitions(
    admin: AIOKafkaAdminClient,
    settings: Settings,
    names: Sequence[str],
) -> None:
    wanted = settings.topic_partitions
    for topic in await admin.describe_topics(names):
        found = len(topic["partitions"])
        if found and found != wanted:
            raise TopicMismatch(
                f"topic {topic['topic']} has {found} partitions, but FENGPING_TOPIC_PARTITIONS is "
                f"{wanted}: set it to {found}; it cannot change later"
            )
