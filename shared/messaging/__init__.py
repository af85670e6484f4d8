"""Messaging over Kafka: outbox relay, consumer with inbox, dead letters, envelope, contracts."""

from shared.messaging.bus import Bus
from shared.messaging.handlers import Handlers
from shared.messaging.topics import TopicMismatch, create_topics

__all__ = ["Bus", "Handlers", "TopicMismatch", "create_topics"]
