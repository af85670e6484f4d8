"""Sends notifications outside the installation: mail, signed webhooks and Apprise services.

No database is used here, and no transaction is open while a message is sent.

Context: an administrator types the addresses, and a server that calls any address can be made to
call internal machines (SSRF). A process may die between a call and the record of its result.
Decision: the host of a webhook is resolved once, every resolved address is checked against the
`OutboundPolicy`, and the connection goes to exactly that address, without proxies or redirects.
Apprise opens its own connections, so only schemes with a fixed vendor host are allowed, unless the
installation allows others. All attempts of a delivery carry the same key: as `webhook-id`,
`Idempotency-Key` or `Message-ID`.
Consequences: delivery is at least once; a receiver that remembers keys sees each message once.
"""

from services.notify.transports.dispatch import Transports, redact_address
from services.notify.transports.message import OutboundMessage, TransportError
from services.notify.transports.policy import OutboundPolicy, SmtpServer

__all__ = [
    "OutboundMessage",
    "OutboundPolicy",
    "SmtpServer",
    "TransportError",
    "Transports",
    "redact_address",
]
