"""Writes evidence archives and verifies an installation by them."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from services.cli.installation import build
from shared.foundation.settings import Settings
from shared.runtime.service import Service
from shared.security.evidence_archive import EvidenceArchive

EXPORTING_SERVICES: Final = ("scoring", "casework", "intake")
"""In this order: what scoring has consumed is then in the later snapshots of its owners."""
OnPart = Callable[[str, int], None]
"""Receives the service whose part is written, and its number from 1."""


async def write_archive(
    services: Mapping[str, Service],
    campaign_id: str,
    file: Path,
    *,
    on_part: OnPart = lambda *_: None,
) -> None:
    """Write one archive with the parts of all services. Raises Rejected for an unknown campaign."""
    with EvidenceArchive(file, campaign_id) as archive:
        for number, name in enumerate(EXPORTING_SERVICES, 1):
            on_part(name, number)
            await services[name].export_evidence(archive, campaign_id)


@asynccontextmanager
async def exporting_services(settings: Settings) -> AsyncIterator[dict[str, Service]]:
    """Build the services that export, and close them."""
    services = {name: build(name, settings) for name in EXPORTING_SERVICES}
    try:
        yield services
    finally:
        for service in services.values():
            await service.close()


async def campaign_ids(scoring: Service) -> list[str]:
    """Return the ids of all campaigns."""
    from services.scoring.views.campaigns import list_campaigns

    async with scoring.database.transaction(scoring.context) as tx:
        return [campaign.id for campaign in await list_campaigns(tx)]
