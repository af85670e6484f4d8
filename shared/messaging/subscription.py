"""The FastStream broker and subscriber behind a consumer."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from aiokafka import ConsumerRebalanceListener, ConsumerRecord
from faststream import AckPolicy
from faststream.kafka import KafkaBroker, KafkaMessage
from faststream.security import BaseSecurity, SASLScram256, SASLScram512

from shared.foundation.settings import Settings
from shared.messaging.topics import client_options

OnBatch = Callable[[Sequence[ConsumerRecord]], Awaitable[None]]

POLL_INTERVAL_MAX_MILLISECONDS = 300_000
HEARTBEAT_MILLISECONDS = 1_000
FETCH_BYTES_MAX = 4_194_304
SHUTDOWN_SECONDS = 20
SASL_MECHANISMS = {"SCRAM-SHA-256": SASLScram256, "SCRAM-SHA-512": SASLScram512}
SASL_OPTIONS = ("sasl_mechanism", "sasl_plain_username", "sasl_plain_password")


def create_broker(
    settings: Settings,
    service: str,
    group: str,
) -> KafkaBroker:
    """Return the broker of a consumer group; it connects when it is started."""
    return KafkaBroker(
        **_broker_options(settings, service),
        enable_idempotence=True,
        acks="all",
        allow_auto_create_topics=False,
        graceful_timeout=SHUTDOWN_SECONDS,
        client_id=f"fengping-{group}",
        logger=None,
    )


def subscribe(
    broker: KafkaBroker,
    topics: Sequence[str],
    settings: Settings,
    *,
    group: str,
    listener: ConsumerRebalanceListener,
    on_batch: OnBatch,
) -> Any:
    """Return one batch subscriber for all topics; `on_batch` receives the raw records."""
    subscriber = broker.subscriber(
        *topics,
        group_id=group,
        batch=True,
        max_records=settings.batch_max,
        batch_timeout_ms=settings.fetch_wait_milliseconds,
        auto_offset_reset="earliest",
        ack_policy=AckPolicy.MANUAL,
        no_reply=True,
        max_poll_interval_ms=POLL_INTERVAL_MAX_MILLISECONDS,
        heartbeat_interval_ms=HEARTBEAT_MILLISECONDS,
        session_timeout_ms=round(1000 * settings.consumer_session_seconds),
        max_partition_fetch_bytes=FETCH_BYTES_MAX,
        listener=listener,
        parser=_parse,
        decoder=_decode,
    )

    @subscriber
    async def handle(message: KafkaMessage) -> None:
        raw = message.raw_message
        await on_batch(raw if isinstance(raw, tuple) else (raw,))

    return subscriber


def _broker_options(settings: Settings, service: str) -> dict[str, Any]:
    """Return the client options in FastStream's form, with its security object."""
    options = client_options(settings, service)
    protocol = options.pop("security_protocol")
    if protocol == "PLAINTEXT":
        return options
    sasl = {name: options.pop(name, None) for name in SASL_OPTIONS}
    tls = {"ssl_context": options.pop("ssl_context", None), "use_ssl": "SSL" in protocol.split("_")}
    security = _sasl(sasl, tls) if protocol.startswith("SASL") else BaseSecurity(**tls)
    return {**options, "security": security}


def _sasl(sasl: dict[str, Any], tls: dict[str, Any]) -> BaseSecurity:
    mechanism = SASL_MECHANISMS[sasl["sasl_mechanism"]]
    return mechanism(
        username=sasl["sasl_plain_username"],
        password=sasl["sasl_plain_password"],
        **tls,
    )


async def _parse(raw: Any) -> KafkaMessage:
    """Wrap the raw records without reading them, so that parsing cannot fail."""
    return KafkaMessage(
        body=b"",
        raw_message=raw,
        headers={},
        message_id="",
        correlation_id="",
        consumer=None,  # type: ignore[arg-type]
    )


async def _decode(message: KafkaMessage) -> bytes:
    return b""
