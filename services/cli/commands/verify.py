"""`fengping verify`: check audit logs and scores."""

import typer

from services.cli.console import DATA, DataFolder, in_each_service, out, run
from services.cli.installation import installed_settings
from shared.security import audit
from shared.security.service_keys import service_keys
from shared.storage.schema import SERVICES
from shared.storage.transaction import Transaction


def verify(data: DataFolder = DATA) -> None:
    """Check audit logs against their signed checkpoints, and scores against a recount."""
    from services.scoring.actions.recounts import verify_scores

    settings = installed_settings(data)
    failures: list[str] = []

    async def check(service: str, tx: Transaction) -> None:
        verifier = service_keys(service, settings).signing.signer(service).verifier
        violation = await audit.verify_log(tx, verifier)
        out.print(f"{service}: audit log {violation.sentence if violation else 'complete'}")
        if violation:
            failures.append(violation.sentence)
        if service == "scoring":
            differing = await verify_scores(tx)
            out.print(f"scoring: {len(differing)} scores differ from the recount")
            failures.extend(str(score) for score in differing)

    run(in_each_service(settings, SERVICES, check))
    if failures:
        raise typer.Exit(1)
