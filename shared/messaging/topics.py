"""Topics are made by the `migrate` step, with their final partition count, never by clients."""

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
    """A topic exists with another number of partitions; the sentence says what to do."""


def client_options(settings: Settings) -> dict[str, Any]:
    """Connection options shared by every Kafka client of this process."""
    options: dict[str, Any] = {
        "bootstrap_servers": settings.kafka_bootstrap,
        "security_protocol": settings.kafka_security_protocol,
    }
    if "SSL" in settings.kafka_security_protocol.split("_"):
        options["ssl_context"] = create_ssl_context(
            cafile=str(settings.kafka_ca_file) if settings.kafka_ca_file else None
        )
    if settings.kafka_security_protocol.startswith("SASL"):
        options |= {
            "sasl_mechanism": settings.kafka_sasl_mechanism,
            "sasl_plain_username": settings.kafka_username,
            "sasl_plain_password": settings.kafka_password,
        }
    return options


async def close_quietly(closing: Awaitable[Any], *, seconds: float) -> None:
    """Close a client that may be in any state. Its own cancellations and errors end here; an order
    to the caller to stop does not.
    """
    try:
        await asyncio.wait_for(closing, seconds)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task and task.cancelling():
            raise
    except Exception as error:
        log.debug("client not closed in order", **telemetry.describe(error))


async def create_topics(settings: Settings) -> list[str]:
    """Make the topics that are missing; gives their names.

    Raises TopicMismatch when one exists with another partition count: changing it would break the
    order of aggregates.
    """
    admin = AIOKafkaAdminClient(**client_options(settings), request_timeout_ms=20_000)
    await admin.start()
    try:
        missing = sorted(
            {settings.topic_prefix + name for name in TOPICS} - set(await admin.list_topics())
        )
        if missing:
            configs = {
                "retention.ms": str(RETENTION_DAYS * 86_400_000),
                "min.insync.replicas": str(settings.topic_min_insync),
                "cleanup.policy": "delete",
                # The brokers' clock: they refuse records from a sender's future, and would delete
                # those from its past.
                "message.timestamp.type": "LogAppendTime",
            }
            await admin.create_topics(
                [
                    NewTopic(
                        name,
                        settings.topic_partitions,
                        settings.topic_replication,
                        topic_configs=configs,
                    )
                    for name in missing
                ]
            )
        await _check_partitions(admin, settings)
        return missing
    finally:
        await admin.close()


async def _check_partitions(admin: AIOKafkaAdminClient, settings: Settings) -> None:
    for topic in await admin.describe_topics([settings.topic_prefix + name for name in TOPICS]):
        found = len(topic["partitions"])
        if found and found != settings.topic_partitions:
            raise TopicMismatch(
                f"topic {topic['topic']} has {found} partitions, FENGPING_TOPIC_PARTITIONS says {settings.topic_partitions}: "
                f"set it to {found}; the number cannot change while events are kept"
            )
