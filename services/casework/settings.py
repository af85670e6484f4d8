"""Settings of casework, each an environment variable `FENGPING_CASEWORK_<NAME>`."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class CaseworkSettings(BaseSettings):
    """Sizes of batches and pages. Rules and limits belong to the scheme."""

    model_config = SettingsConfigDict(
        env_prefix="FENGPING_CASEWORK_", extra="ignore", hide_input_in_errors=True
    )

    sweep_batch: int = Field(500, ge=1, le=5000)
    """Deadlines that one transaction publishes."""
    page_rows: int = Field(50, ge=10, le=200)
    """Rows on one page of a list."""
