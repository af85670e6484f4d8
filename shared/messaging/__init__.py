"""Messaging over Kafka: outbox relay, consumer with inbox, dead letters, envelope, contracts."""

from shared.messaging.bus import Bus
from shared.messaging.handlers import Handlers
from shared.messaging.provisioning import prepare_kafka
from shared.messaging.topics import TopicMismatch

__all__ = ["Bus", "Handlers", "TopicMismatch", "prepare_kafka"]
