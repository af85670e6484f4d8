"""What an office may set about casework, each an environment variable `FENGPING_CASEWORK_<NAME>`."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class CaseworkSettings(BaseSettings):
    """Sizes and rhythms; rules and limits are the scheme's."""

    model_config = SettingsConfigDict(
        env_prefix="FENGPING_CASEWORK_", extra="ignore", hide_input_in_errors=True
    )

    sweep_batch: int = Field(500, ge=1, le=5000)
    """Deadlines told in one transaction."""
    page_rows: int = Field(50, ge=10, le=200)
    """Rows of a queue page."""
