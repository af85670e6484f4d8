"""Preparing Kafka for an installation: users, rules and topics, as its administrator."""

from shared.appraisal.events import TOPICS
from shared.foundation.settings import Settings
from shared.messaging.kafka_access import (
    ADMIN,
    MONITOR,
    ScramCredential,
    is_ours,
    rules,
    scram_credential,
    user_of,
)
from shared.messaging.kafka_admin import KafkaAdmin
from shared.messaging.topics import administering, create_topics, password_of
from shared.security.service_keys import KAFKA
from shared.storage.schema import SERVICES


async def prepare_kafka(settings: Settings) -> list[str]:
    """Create users, rules and missing topics, and return the names of those topics.

    Afterwards the rules of our users are exactly those of the table. Safe to repeat while the
    services run. Without SASL there are no users and no rules. Raises TopicMismatch.
    """
    async with administering(settings, ADMIN) as client:
        if settings.kafka_security_protocol.startswith("SASL"):
            admin = KafkaAdmin(client)
            await admin.store_users(_credentials(settings))
            await _synchronize_rules(admin, settings)
        return await create_topics(client, settings, TOPICS)


async def replace_password(settings: Settings, service: str, password: str) -> None:
    """Have the broker accept only `password` for a service's user from now on.

    Open connections stay; the next ones need the new password.
    """
    async with administering(settings, ADMIN) as client:
        user = user_of(service, settings)
        await KafkaAdmin(client).store_users([scram_credential(user, password)])


def _credentials(settings: Settings) -> list[ScramCredential]:
    """Return the credentials of all users; the monitor's only where it has a password."""
    names = list(SERVICES)
    if (settings.keys_of(MONITOR) / KAFKA.file).exists():
        names.append(MONITOR)
    return [
        scram_credential(user_of(each, settings), password_of(each, settings)) for each in names
    ]


async def _synchronize_rules(admin: KafkaAdmin, settings: Settings) -> None:
    users = [user_of(name, settings) for name in (*SERVICES, MONITOR)]
    wanted = rules(settings)
    found = {rule for rule in await admin.rules_of(users) if is_ours(rule, settings)}
    if wanted - found:
        await admin.add_rules(wanted - found)
    if found - wanted:
        await admin.remove_rules(found - wanted)
