"""Which hosts and addresses this installation may call."""

import asyncio
import ipaddress
import socket
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Final, Literal

from services.notify.transports.message import TransportError

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """The mail server of the installation. `sender` is the address in `From`."""

    host: str
    port: int
    sender: str
    security: Literal["none", "starttls", "tls"] = "starttls"
    username: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class OutboundPolicy:
    """What this installation may call.

    `allowed_hosts` are patterns of host names; empty allows every public host. Addresses in
    `allowed_networks` may be called although they are private; `allow_private` allows all of them.
    `apprise_schemes` are allowed besides those with a fixed vendor host.
    """

    allowed_hosts: tuple[str, ...] = ()
    allowed_networks: tuple[IpNetwork, ...] = ()
    allow_private: bool = False
    apprise_schemes: frozenset[str] = frozenset()
    smtp: SmtpServer | None = None
    timeout_seconds: float = 10.0

    async def resolve(self, host: str, port: int) -> IpAddress:
        """Return the address to connect to.

        Raises TransportError if the host, or any of its addresses, is not allowed.
        """
        if not self._allows_host(host):
            raise TransportError("主机不在允许名单内", permanent=True)
        addresses = await _look_up(host, port)
        # A name with public and private addresses could lead inside at the next look-up.
        if not all(self.allows(address) for address in addresses):
            raise TransportError("地址属于内部网络，未被允许", permanent=True)
        return addresses[0]

    async def check_host(self, host: str, port: int) -> None:
        """Raise TransportError if the host is not allowed. A host that does not resolve passes."""
        try:
            await self.resolve(host, port)
        except TransportError as error:
            if error.permanent:
                raise

    def allows(self, address: IpAddress) -> bool:
        """Return whether this address may be called."""
        plain = getattr(address, "ipv4_mapped", None) or address
        return self.allow_private or is_public(plain) or self._is_in_allowed_network(plain)

    def _is_in_allowed_network(self, address: IpAddress) -> bool:
        same_version = [
            network for network in self.allowed_networks if network.version == address.version
        ]
        return any(address in network for network in same_version)

    def _allows_host(self, host: str) -> bool:
        if not self.allowed_hosts:
            return True
        return any(fnmatchcase(host.lower(), pattern) for pattern in self.allowed_hosts)


async def _look_up(host: str, port: int) -> list[IpAddress]:
    loop = asyncio.get_running_loop()
    try:
        entries = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise TransportError("域名无法解析") from error
    return [ipaddress.ip_address(entry[4][0]) for entry in entries]


_TRANSLATED: Final = (
    ipaddress.IPv6Network("64:ff9b::/96"),
    ipaddress.IPv6Network("64:ff9b:1::/48"),
    ipaddress.IPv6Network("2002::/16"),
    ipaddress.IPv6Network("2001::/32"),
    ipaddress.IPv6Network("::/96"),
)
"""IPv6 addresses that embed an IPv4 address; a translator could lead to a private one."""


def is_public(address: IpAddress) -> bool:
    """Return whether the address is on the Internet: no private network, no cloud metadata."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return is_public(address.ipv4_mapped)
        if any(address in network for network in _TRANSLATED):
            return False
    special = address.is_multicast or address.is_reserved or address.is_unspecified
    return address.is_global and not special
