"""Chooses the transport of an address by its channel."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final, Protocol
from uuid import UUID

from services.notify.domain.channels import Channel, channel_of
from services.notify.transports import apprise, mail, webhook
from services.notify.transports.message import OutboundMessage, TransportError
from services.notify.transports.policy import OutboundPolicy


class Transport(Protocol):
    """Sends messages through one channel."""

    async def check(self, address: str) -> None:
        """Raise TransportError if the address can never be used."""

    async def send(self, address: str, message: OutboundMessage) -> None:
        """Send one message. Raises TransportError."""


class Transports:
    """The transports of all channels."""

    def __init__(self, policy: OutboundPolicy, signing_key: Callable[[UUID], bytes]) -> None:
        self.signing_key = signing_key
        self._timeout_seconds = policy.timeout_seconds
        self._by_channel: Mapping[Channel, Transport] = {
            Channel.MAIL: mail.MailTransport(policy),
            Channel.WEBHOOK: webhook.WebhookTransport(policy, signing_key),
            Channel.APPRISE: apprise.AppriseTransport(policy),
        }

    async def check(self, address: str) -> None:
        """Raise TransportError with the reason if the address can never be used.

        A host that does not resolve at the moment passes.
        """
        await self._by_channel[channel_of(address)].check(address)

    async def send(self, address: str, message: OutboundMessage) -> None:
        """Send one message; returning means that the receiver accepted it.

        Raises TransportError, at the latest after the timeout of the policy.
        """
        transport = self._by_channel[channel_of(address)]
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await transport.send(address, message)
        except TimeoutError as error:
            raise TransportError("对方超时未响应") from error


_REDACTIONS: Final[Mapping[Channel, Callable[[str], str]]] = {
    Channel.MAIL: mail.redact,
    Channel.WEBHOOK: webhook.redact,
    Channel.APPRISE: apprise.redact,
}


def redact_address(address: str) -> str:
    """Return what pages and logs may show: enough to recognise an address, not to use it."""
    return _REDACTIONS[channel_of(address)](address)
