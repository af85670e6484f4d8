"""The runbook: its commands work, and its figures are those of the manifests."""

import re
from uuid import UUID

import asyncpg
import pytest
import yaml

from shared.foundation.settings import Settings
from tests.deploy.tools import DEPLOY, ROOT, output_of

REQUEST = UUID(int=1)
RUNBOOK = (ROOT / "docs/runbook.md").read_text(encoding="utf-8")


@pytest.mark.stack
async def test_every_runbook_query_runs(settings, database):
    questions = re.findall(r"^```sql\n(.+?)^```", RUNBOOK, re.MULTILINE | re.DOTALL)

    async with database("intake").transaction() as tx:
        await tx.run(
            """
            insert into approvals (id, kind, subject, basis, facts, reason, requested_by,
              requester_name, requested_at, expires_at, state, decided_by, decider_name, decided_at)
            values ($1, 'identity_opening', 'a-complaint', '', '[]', '核对回访电话', 'an-account',
              '张立', now(), now(), 'approved', 'another-account', '周敏', now())
            """,
            REQUEST,
        )
        tx.audit("approval.approved", "a-complaint", "another-account")
        tx.audit("identity.opened", "a-complaint", "an-account", request=str(REQUEST))
    migrating = await asyncpg.connect(settings.database_url)
    answers = [await migrating.fetch(question) for question in questions]
    await migrating.close()

    assert [row["reason"] for answer in answers for row in answer] == ["核对回访电话"]


def test_the_connections_that_production_may_open_are_those_of_its_manifests():
    objects = list(
        yaml.safe_load_all(output_of("kubectl", "kustomize", DEPLOY / "k8s/overlays/production"))
    )
    most = {
        each["metadata"]["name"]: each["spec"]["replicas"]
        for each in objects
        if each["kind"] == "Deployment"
    }
    most |= {
        each["metadata"]["name"]: each["spec"]["maxReplicas"]
        for each in objects
        if each["kind"] == "HorizontalPodAutoscaler"
    }
    of_a_process = 2 * Settings.model_fields["pool_size"].default + 1
    at_rest, rolling_out = (
        of_a_process * processes
        for processes in (sum(most.values()), sum(most.values()) + len(most))
    )
    runbook = re.sub(r"\s+", " ", RUNBOOK)

    assert f"{of_a_process} with the usual {Settings.model_fields['pool_size'].default}" in runbook
    assert (
        ", ".join(f"{name} {most[name]}" for name in ("intake", "scoring", "casework", "notify"))
        in runbook
    )
    assert f"{at_rest} connections, and {rolling_out} while a rollout" in runbook
