"""Settings of a process, read once from the environment (`FENGPING_…`)."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

Environment = Literal["production", "demo", "test"]
BALLOT_RELEASE_FLOOR = 10
"""Fewer ballots would show an observer of the tallies what one person answered."""


class Settings(BaseSettings):
    """Settings of every service. Each field is the environment variable `FENGPING_<NAME>`.

    The embedded stack, compose and Kubernetes differ only in these values. A malformed value stops
    the process at start with the variable's name.
    """

    model_config = SettingsConfigDict(
        env_prefix="FENGPING_", extra="ignore", hide_input_in_errors=True
    )

    environment: Environment = "production"
    """`demo` and `test` allow virtual time; production refuses it."""
    database_url: str = Field("postgresql://fengping@127.0.0.1:5432/fengping", repr=False)
    redis_url: str = Field("redis://127.0.0.1:6379/0", repr=False)
    kafka_servers: str = "127.0.0.1:9092"
    """Comma-separated `host:port`."""
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_sasl_mechanism: Literal["SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    kafka_user_prefix: str = "fengping-"
    """Each service is the user of this prefix and its name; its password is in the file `kafka` of
    its folder of keys."""
    kafka_ca_file: Path | None = None
    """The authority that signed the brokers' certificates."""
    topic_prefix: str = Field("", pattern=r"^([a-z0-9-]+\.)?$")
    """Prefix (`name.`) of every topic and group, for several installations on one cluster."""
    topic_partitions: int = Field(6, ge=1)
    """Fixed when the topics are created. Changing it later would break the order of events."""
    topic_replication: int = Field(1, ge=1)
    topic_min_insync: int = Field(1, ge=1)
    host: str = "127.0.0.1"
    port: int = Field(8080, ge=0, le=65535)
    internal_host: str = "127.0.0.1"
    """Address of `/readyz` and `/metrics`: reachable for probes and Prometheus, nobody else."""
    internal_port: int | None = Field(None, ge=0, le=65535)
    """Port of `/readyz` and `/metrics`. Default: the port after `port`."""
    data_folder: Path = Path(".fengping")
    """Files that are not in the database: original photos, attachments, keys."""
    keys_folder: Path | None = None
    """One folder of keys per service; default `<data_folder>/keys`. A process needs its own only.
    """
    witness_url: str = ""
    """Where the witness listens, as `http://witness:8090`; empty: none cosigns the audit logs."""
    witness_logs: Path | None = None
    """The witness's list of trusted logs: `fengping migrate` adds the public keys of ours to it."""
    checkpoint_file: Path | None = None
    """Every checkpoint is appended here. Put it where the database's owner cannot write, and allow
    appending only.
    """
    https: bool = False
    """Served over TLS: cookies get the `__Host-` prefix and the Secure flag."""
    trusted_proxies: str = ""
    """Comma-separated addresses whose X-Forwarded-For header is trusted."""
    public_url: str = Field("", pattern=r"^(https?://[^/]+)?$")
    """Address that people enter, as `https://fengping.example`: every absolute link begins with it,
    never with what a request claims in its Host header. Empty: host and port of this process.
    """
    connections_per_address: int = Field(200, ge=1)
    """Connections that one address may have open at once; trusted proxies are exempt."""
    contact_phone: str = "0431-12345"
    organisation: str = "作风建设领导小组办公室"
    banner: str = ""
    """Announcement shown above every page, for example during an outage."""
    complainant_retention_days: int = Field(0, ge=0)
    """保存期限: complainant data retention. This long after a case is closed, the keys of the
    complaint text and of the complainant's identity are destroyed. 0 keeps them. Set it to what
    your records regulations require.
    """
    identity_openings_per_hour: int = Field(10, ge=1)
    """Identities of complainants that one account may open within an hour; the next try alerts."""
    identity_openings_per_hour_in_total: int = Field(30, ge=1)
    """As `identity_openings_per_hour`, for all accounts together."""
    second_factor: Literal["required", "waived"] = "required"
    """`waived`: privileged accounts sign in without a one-time code; production refuses it."""
    ballot_release_min: int = Field(10, ge=1)
    """Ballots about a unit that are released to be counted at once; at least 10 but in a test."""
    source_checks: Literal["active", "waived"] = "active"
    """`waived`: bursts and common sources of ballots are not looked for, because a load generator
    sends them all; production refuses it.
    """
    session_idle_minutes: int = Field(30, ge=1)
    session_absolute_hours: int = Field(12, ge=1)
    pool_size: int = Field(10, ge=2)
    """Database connections that each process keeps; twice as many under load, plus the relay's."""
    batch_max: int = Field(2_000, ge=1)
    """Maximum number of events that are fetched at once and applied in one transaction."""
    fetch_wait_milliseconds: int = Field(500, ge=1)
    """How long one fetch waits for the first event."""
    consumer_session_seconds: float = Field(10, ge=6)
    """Session time-out: a silent consumer loses its partitions after this time."""
    stall_seconds: float = Field(30, gt=0)
    """After this time with lag and without progress, `/readyz` fails."""
    log_level: str = "INFO"

    @model_validator(mode="after")
    def _production_requires_second_factor(self) -> Self:
        if self.environment == "production" and self.second_factor == "waived":
            raise ValueError("FENGPING_SECOND_FACTOR=waived is for demonstrations only")
        return self

    @model_validator(mode="after")
    def _production_checks_sources(self) -> Self:
        if self.environment == "production" and self.source_checks == "waived":
            raise ValueError("FENGPING_SOURCE_CHECKS=waived is for demonstrations only")
        return self

    @field_validator("ballot_release_min")
    @classmethod
    def _hide_single_ballots(cls, value: int, info: ValidationInfo) -> int:
        if value < BALLOT_RELEASE_FLOOR and info.data.get("environment") != "test":
            raise ValueError(f"must be at least {BALLOT_RELEASE_FLOOR}")
        return value

    @property
    def health_port(self) -> int:
        """The port of `/readyz` and `/metrics`."""
        return self.port + 1 if self.internal_port is None else self.internal_port

    @property
    def site_url(self) -> str:
        """What absolute links begin with."""
        return self.public_url or f"http://{self.host}:{self.port}"

    @property
    def kafka_bootstrap(self) -> list[str]:
        """The brokers that clients connect to first."""
        return [server.strip() for server in self.kafka_servers.split(",") if server.strip()]

    def keys_of(self, service: str) -> Path:
        """Return the folder of a service's keys."""
        return (self.keys_folder or self.data_folder / "keys") / service
