"""Settings of signing in through an identity provider, the variables `FENGPING_OIDC_<NAME>`."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.foundation.private_files import read_private

SECURE_URL = r"https://[^\s?#]+|http://(127\.0\.0\.1|\[::1\]|localhost)(:\d+)?(/[^\s?#]*)?"
"""Plain http only within this machine."""


class OidcSettings(BaseSettings):
    """How staff sign in through an identity provider. Without `issuer` they cannot."""

    model_config = SettingsConfigDict(
        env_prefix="FENGPING_OIDC_",
        extra="ignore",
        hide_input_in_errors=True,
    )

    issuer: str = Field("", pattern=f"^({SECURE_URL})?$")
    """The provider's issuer identifier, to the letter; `/.well-known/openid-configuration` below it
    describes the rest."""
    client_id: str = ""
    client_secret_file: Path | None = None
    """File with the client's secret, readable by its owner only. None: a public client."""
    label: str = Field("统一身份认证登录", min_length=2, max_length=20)
    """Text of the button on the sign-in page."""
    scopes: str = Field("openid profile", pattern=r"^openid( \S+)*$")
    username_claim: str = Field("preferred_username", min_length=1)
    """The claim of the ID token that is the user name here. Choose one that people cannot change
    and that is never given to somebody else."""
    second_factor_acr: str = ""
    """Comma-separated values of `acr` that stand for a second factor. Empty: none does."""
    second_factor_amr: str = ""
    """Comma-separated values of `amr`, as `otp,hwk`; one suffices. Empty: none does."""
    ca_file: Path | None = None
    """Authority that signed the provider's certificate, if it is not a public one."""

    @model_validator(mode="after")
    def _needs_client_id(self) -> Self:
        if self.issuer and not self.client_id:
            raise ValueError("FENGPING_OIDC_CLIENT_ID must be set with FENGPING_OIDC_ISSUER")
        return self

    @property
    def client_secret(self) -> str:
        """The client's secret, "" for a public client.

        Read at each use, so that it can be changed without a restart. Raises OpenToOthers, OSError.
        """
        file = self.client_secret_file
        return read_private(file).strip() if file is not None else ""

    @property
    def acr_values(self) -> list[str]:
        """Values of `acr` that stand for a second factor."""
        return _split(self.second_factor_acr)

    @property
    def amr_values(self) -> list[str]:
        """Values of `amr` that stand for a second factor."""
        return _split(self.second_factor_amr)


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
