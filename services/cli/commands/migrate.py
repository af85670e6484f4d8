"""`fengping migrate`: bring an installation to its newest version."""

from services.cli.console import DATA, DataFolder, out, run
from services.cli.installation import create_missing_keys, installed_settings
from shared.messaging import prepare_kafka
from shared.storage.migrations import migrate as migrate_schemas


def migrate(data: DataFolder = DATA) -> None:
    """Migrate every schema and create missing topics. Safe to run twice."""
    settings = installed_settings(data)
    for service, version in run(migrate_schemas(settings.database_url)).items():
        out.print(f"{service}: {version}")
    created = run(create_missing_keys(settings))
    out.print("keys made:", ", ".join(created) or "none missing")
    topics = run(prepare_kafka(settings))
    out.print("topics made:", ", ".join(topics) or "none missing")
