"""`fengping migrate`: bring an installation to its newest version."""

from services.cli.console import DATA, DataFolder, out, run
from services.cli.installation import install_schemas, installed_settings
from services.cli.witness_process import trust_logs
from shared.messaging import prepare_kafka


def migrate(data: DataFolder = DATA) -> None:
    """Migrate schemas; create missing roles, keys and topics. Safe to run twice."""
    settings = installed_settings(data)
    versions, created = run(install_schemas(settings))
    for service, version in versions.items():
        out.print(f"{service}: {version}")
    out.print("keys made:", ", ".join(created) or "none missing")
    if settings.witness_logs is not None:
        trust_logs(settings.witness_logs, settings)
    topics = run(prepare_kafka(settings))
    out.print("topics made:", ", ".join(topics) or "none missing")
