"""Topics, created by `fengping migrate` with their final partition count, never by clients."""

import asyncio
from collections.abc import Awaitable
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.helpers import create_ssl_context

from shared.appraisal.events import TOPICS
from shared.foundation import telemetry
from shared.foundation.settings import Settings
from shared.foundation.telemetry import log

RETENTION_DAYS = 30


class TopicMismatch(RuntimeError):
    """A topic exists with another number of partitions; the message says what to do."""


def client_options(settings: Settings) -> dict[str, Any]:
    """Return the connection options of every Kafka client."""
    options: dict[str, Any] = {
        "bootstrap_servers": settings.kafka_bootstrap,
        "security_protocol": settings.kafka_security_protocol,
    }
    if "SSL" in settings.kafka_security_protocol.split("_"):
        ca_file = settings.kafka_ca_file
        options["ssl_context"] = create_ssl_context(cafile=str(ca_file) if ca_file else None)
    if settings.kafka_security_protocol.startswith("SASL"):
        options |= _sasl_options(settings)
    return options


def _sasl_options(settings: Settings) -> dict[str, Any]:
    return {
        "sasl_mechanism": settings.kafka_sasl_mechanism,
        "sasl_plain_username": settings.kafka_username,
        "sasl_plain_password": settings.kafka_password,
    }


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


async def create_topics(settings: Settings) -> list[str]:
    """Create the missing topics and return their names.

    Raises TopicMismatch if one exists with another partition count: changing it would break the
    order of events.
    """
    admin = AIOKafkaAdminClient(**client_options(settings), request_timeout_ms=20_000)
    await admin.start()
    try:
        missing = await _create_missing(admin, settings)
        await _check_partitions(admin, settings)
        return missing
    finally:
        await admin.close()


async def _create_missing(admin: AIOKafkaAdminClient, settings: Settings) -> list[str]:
    existing = await admin.list_topics()
    missing = sorted(set(_topic_names(settings)).difference(existing))
    if missing:
        await admin.create_topics([_new_topic(name, settings) for name in missing])
    return missing


def _topic_names(settings: Settings) -> list[str]:
    return [settings.topic_prefix + name for name in TOPICS]


def _new_topic(name: str, settings: Settings) -> NewTopic:
    configs = {
        "retention.ms": str(RETENTION_DAYS * 86_400_000),
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


async def _check_partitions(admin: AIOKafkaAdminClient, settings: Settings) -> None:
    wanted = settings.topic_partitions
    for topic in await admin.describe_topics(_topic_names(settings)):
        found = len(topic["partitions"])
        if found and found != wanted:
            raise TopicMismatch(
                f"topic {topic['topic']} has {found} partitions, but FENGPING_TOPIC_PARTITIONS is "
                f"{wanted}: set it to {found}; it cannot change later"
            )
