"""Settings of notify alone: how notifications may leave the house. Each field is the environment variable
`FENGPING_NOTIFY_<NAME>`.
"""

import ipaddress
from typing import Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.notify.domain import PAUSES_SECONDS
from services.notify.transports import Network, Reach, Smtp


class NotifySettings(BaseSettings):
    """What leaves the house, and whereto. Without any of these, notifications stay in the inbox and go to
    public addresses over https.
    """

    model_config = SettingsConfigDict(
        env_prefix="FENGPING_NOTIFY_", extra="ignore", hide_input_in_errors=True
    )

    public_url: str = Field("", pattern=r"^(https?://[^/]+)?$")
    """Where people reach the pages: links in mails and messages begin with it. Empty: this machine.
    """
    smtp_host: str = ""
    """Empty: no mail."""
    smtp_port: int = Field(587, ge=1, le=65535)
    smtp_security: Literal["none", "starttls", "tls"] = "starttls"
    smtp_sender: str = Field("fengping@localhost", pattern=r"^[^@\s]+@[^@\s]+$")
    smtp_username: str = ""
    smtp_password: str = Field("", repr=False)
    hosts: str = ""
    """Comma-separated host names that webhooks may call, `*` as a wildcard; empty: any public host.
    """
    private_networks: str = ""
    """Comma-separated networks such as `10.8.0.0/16` that may be called although they are not
    public.
    """
    apprise_schemes: str = ""
    """Comma-separated Apprise schemes allowed besides those with a fixed host, e.g. `jsons,barks`.
    """
    timeout_seconds: float = Field(10, gt=0, le=30)
    pauses_seconds: tuple[float, ...] = PAUSES_SECONDS
    """Between one attempt and the next (JSON list); their number bounds the attempts."""
    rest_seconds: float = Field(30, ge=0)
    """An address that failed is left alone for this long."""
    keep_days: int = Field(730, ge=30)
    """Notifications older than this are forgotten."""

    @field_validator("private_networks")
    @classmethod
    def _networks(cls, text: str) -> str:
        list(map(ipaddress.ip_network, _listed(text)))
        return text

    def reach(self, *, trusting: bool) -> Reach:
        """What may be called. `trusting`: a test or demonstration, where everything runs on one
        machine.
        """
        networks: tuple[Network, ...] = tuple(
            map(ipaddress.ip_network, _listed(self.private_networks))
        )
        smtp = Smtp(
            self.smtp_host,
            self.smtp_port,
            self.smtp_sender,
            self.smtp_security,
            self.smtp_username,
            self.smtp_password,
        )
        return Reach(
            hosts=tuple(host.lower() for host in _listed(self.hosts)),
            networks=networks,
            private=trusting,
            schemes=frozenset(_listed(self.apprise_schemes))
            | (frozenset({"json"}) if trusting else frozenset()),
            smtp=smtp if self.smtp_host else None,
            seconds=self.timeout_seconds,
        )


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
