"""Settings of notify, and the context that its actions and views find in the transaction.

Each setting is the environment variable `FENGPING_NOTIFY_<NAME>`.
"""

import ipaddress
from dataclasses import dataclass
from typing import Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.notify.domain.delivery import RETRY_DELAYS_SECONDS
from services.notify.transports import OutboundPolicy, SmtpServer, Transports
from services.notify.transports.policy import IpNetwork
from shared.appraisal.calendar.working_days import WorkCalendar
from shared.security.keyring import KeyRing
from shared.storage.transaction import Transaction


class NotifySettings(BaseSettings):
    """How notifications leave the installation.

    By default there is no mail, and webhooks may call public hosts over https.
    """

    model_config = SettingsConfigDict(
        env_prefix="FENGPING_NOTIFY_",
        extra="ignore",
        hide_input_in_errors=True,
    )

    smtp_host: str = ""
    """Empty: no mail."""
    smtp_port: int = Field(587, ge=1, le=65535)
    smtp_security: Literal["none", "starttls", "tls"] = "starttls"
    smtp_sender: str = Field("fengping@localhost", pattern=r"^[^@\s]+@[^@\s]+$")
    smtp_username: str = ""
    smtp_password: str = Field("", repr=False)
    hosts: str = ""
    """Comma-separated host names that webhooks may call, with `*` as a wildcard. Empty: any public
    host.
    """
    private_networks: str = ""
    """Comma-separated networks such as `10.8.0.0/16` that may be called although they are private.
    """
    apprise_schemes: str = ""
    """Comma-separated Apprise schemes allowed besides those with a fixed vendor host, such as
    `jsons,barks`.
    """
    timeout_seconds: float = Field(10, gt=0, le=30)
    retry_delays_seconds: tuple[float, ...] = RETRY_DELAYS_SECONDS
    """Delay after each failed attempt (JSON list). Its length bounds the attempts."""
    failure_cooldown_seconds: float = Field(30, ge=0)
    """A subscription is paused for this long after a failed attempt."""
    retention_days: int = Field(730, ge=30)
    """Older notifications are deleted."""

    @field_validator("private_networks")
    @classmethod
    def _check_networks(cls, text: str) -> str:
        _parse_networks(text)
        return text

    def outbound_policy(self, *, allow_private: bool) -> OutboundPolicy:
        """Return what may be called.

        `allow_private` is for tests and demonstrations that run on one machine.
        """
        hosts = _split(self.hosts)
        test_schemes = ["json"] if allow_private else []
        schemes = [*_split(self.apprise_schemes), *test_schemes]
        return OutboundPolicy(
            allowed_hosts=tuple(host.lower() for host in hosts),
            allowed_networks=_parse_networks(self.private_networks),
            allow_private=allow_private,
            apprise_schemes=frozenset(schemes),
            smtp=self._smtp_server() if self.smtp_host else None,
            timeout_seconds=self.timeout_seconds,
        )

    def _smtp_server(self) -> SmtpServer:
        return SmtpServer(
            self.smtp_host,
            self.smtp_port,
            self.smtp_sender,
            self.smtp_security,
            self.smtp_username,
            self.smtp_password,
        )


def _split(text: str) -> list[str]:
    parts = (part.strip() for part in text.split(","))
    return [part for part in parts if part]


def _parse_networks(text: str) -> tuple[IpNetwork, ...]:
    return tuple(ipaddress.ip_network(network) for network in _split(text))


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifyContext:
    """What actions and views of notify find at `tx.context`."""

    ring: KeyRing
    calendar: WorkCalendar
    transports: Transports
    public_url: str
    retry_delays_seconds: tuple[float, ...]
    failure_cooldown_seconds: float
    retention_days: int


def context_of(tx: Transaction) -> NotifyContext:
    """Return the context of a transaction of notify."""
    assert isinstance(tx.context, NotifyContext), "actions of notify run in its own transactions"
    return tx.context
