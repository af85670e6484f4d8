"""Who may do what in Kafka: one user per service, and rules from the table of owners and consumers.

Context: whoever reaches an open broker reads every event and writes any. One user for all services
lets a compromised notify write ballots.
Decision: each service authenticates (SASL/SCRAM-SHA-512) as a user of its own. It writes to the
topics that it owns, reads them and those that it consumes, and uses its own consumer group; every
other operation is refused. It may create its own topics, so that the owner of a topic refills a
broker that lost its disk. The administrator, whom only `fengping up` and `fengping migrate` use,
creates users, rules and topics, and removes rules that the table does not contain.
Consequences: a new topic or consumer is a line in `shared/appraisal/events/registry.py`. With the
MAC of events (`event_mac`), a forgery takes the owner's password and its key.
"""

import hmac
from collections.abc import Iterator
from enum import IntEnum
from hashlib import pbkdf2_hmac
from typing import NamedTuple

from shared.appraisal.events import SHARED_TOPICS, TOPICS, consumed_topics, owned_topics
from shared.foundation.settings import Settings
from shared.storage.schema import SERVICES

ADMIN = "admin"
"""Who administers Kafka: not a service, but has a folder of keys like one."""
MONITOR = "monitor"
"""Who watches the brokers, as docker-compose.yml's exporter does: describes topics, no more."""
SCRAM_HASH = "sha512"
SCRAM_ITERATIONS = 4096
"""Passwords have 192 random bits, which no number of iterations would protect better."""
SALT_BYTES = 24


LITERAL = 3
"""The pattern of a rule for one name."""


class AclResource(IntEnum):
    """What a rule is about, as numbered by Kafka's protocol."""

    TOPIC = 2
    GROUP = 3


class AclOperation(IntEnum):
    """What a rule allows, as numbered by Kafka's protocol."""

    READ = 3
    WRITE = 4
    CREATE = 5
    DESCRIBE = 8


class AccessRule(NamedTuple):
    """One user may do one thing with the topic or group of exactly this name.

    Operation, resource and pattern are Kafka's numbers: a rule that somebody else made may have
    others than ours.
    """

    user: str
    operation: int
    resource: int
    name: str
    pattern: int = LITERAL


def user_of(service: str, settings: Settings) -> str:
    """Return the name of a service's user."""
    return settings.kafka_user_prefix + service


def group_of(service: str, settings: Settings) -> str:
    """Return the consumer group of a service."""
    return f"{settings.topic_prefix}fengping-{service}"


def written_topics(service: str) -> list[str]:
    """Return the topics that a service writes to."""
    return sorted({*owned_topics(service), *SHARED_TOPICS})


def rules(settings: Settings) -> set[AccessRule]:
    """Return every rule of this installation; what has no rule is refused."""
    found = {rule for service in SERVICES for rule in _rules_of(service, settings)}
    monitor = user_of(MONITOR, settings)
    for topic in TOPICS:
        name = settings.topic_prefix + topic
        found.add(AccessRule(monitor, AclOperation.DESCRIBE, AclResource.TOPIC, name))
    return found


def is_ours(rule: AccessRule, settings: Settings) -> bool:
    """Return whether a rule of our users is about this installation, or about every name."""
    return rule.name.startswith(settings.topic_prefix) or rule.name == "*"


def _rules_of(service: str, settings: Settings) -> Iterator[AccessRule]:
    user = user_of(service, settings)
    written = written_topics(service)
    for topic in written:
        for operation in (AclOperation.WRITE, AclOperation.CREATE):
            yield AccessRule(user, operation, AclResource.TOPIC, settings.topic_prefix + topic)
    # Its own too: the relay reads back the last record that was acknowledged.
    for topic in {*written, *consumed_topics(service)}:
        for operation in (AclOperation.READ, AclOperation.DESCRIBE):
            yield AccessRule(user, operation, AclResource.TOPIC, settings.topic_prefix + topic)
    yield AccessRule(user, AclOperation.READ, AclResource.GROUP, group_of(service, settings))


class ScramCredential(NamedTuple):
    """What Kafka stores of a password."""

    user: str
    iterations: int
    salt: bytes
    salted_password: bytes


def scram_credential(user: str, password: str) -> ScramCredential:
    """Return the credential of a random password.

    The salt follows from password and user: storing the same password twice changes nothing, so
    that no client fails that signs in at that moment.
    """
    salt = hmac.digest(password.encode(), f"fengping/scram/{user}".encode(), "sha256")[:SALT_BYTES]
    salted = pbkdf2_hmac(SCRAM_HASH, password.encode(), salt, SCRAM_ITERATIONS)
    return ScramCredential(user, SCRAM_ITERATIONS, salt, salted)
