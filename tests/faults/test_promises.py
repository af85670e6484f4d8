"""Small promises of the core on which the rig's findings rest."""

import io
import json
from collections import Counter
from importlib import import_module

import pytest

from shared.foundation import telemetry
from shared.foundation.telemetry import configure_logging, log
from shared.storage.connections import Address, direct_connection
from shared.storage.schema import SERVICES
from tests.faults.fault_actions import FAULTS
from tests.faults.mutants.catalogue import CATALOGUE
from tests.faults.mutants.source_edit import Edit, MisfitEdit
from tests.faults.plans import JOBS, SHORT, places, plan
from tests.faults.process_group import ROOT


@pytest.mark.stack
async def test_a_commit_waits_for_the_disk(core):
    settings, open_schema = core
    database = await open_schema("intake")
    direct = await direct_connection(Address(settings.database_url, "intake"), "test")

    async with database.transaction() as tx:
        pooled = await tx.fetchval("show synchronous_commit")
    alone = await direct.fetchval("show synchronous_commit")
    await direct.close()

    assert (pooled, alone) == ("on", "on")


def test_an_error_is_logged_without_its_text():
    logged = io.StringIO()
    configure_logging(stream=logged)
    try:
        raise ValueError("duplicate key: (phone)=(13912345678)")
    except ValueError as error:
        log.error("job failed", service="intake", **telemetry.describe(error))
    finally:
        configure_logging()

    assert json.loads(logged.getvalue())["error"] == "ValueError"
    assert "13912345678" not in logged.getvalue()


def test_the_same_seed_is_the_same_plan():
    assert [plan(seed).faults for seed in range(200)] == [plan(seed).faults for seed in range(200)]
    assert len({plan(seed).faults for seed in range(200)}) > 190


def test_fifty_seeds_in_a_row_reach_everything_that_can_break():
    for start in (1, 20, 300):
        plans = [plan(seed) for seed in range(start, start + 50)]
        armed = Counter(
            (service, life.partition("=")[0])
            for each in plans
            for service, lives in each.lives.items()
            for life in lives
        )
        struck = Counter(
            scheduled_fault.name for each in plans for scheduled_fault in each.scheduled
        )

        assert {each.replicas for each in plans} == {1, 3}
        assert min(armed[service, place] for service in SERVICES for place in places(service)) >= 3
        assert min(struck[name] for name in FAULTS) >= 2


def test_every_short_plan_says_what_it_breaks():
    assert all(each.lives or each.scheduled for each in SHORT)
    assert len({each.seed for each in SHORT}) == len(SHORT)


@pytest.mark.parametrize("service", SERVICES)
def test_every_place_at_which_a_plan_kills_is_in_the_sources(service):
    """A failpoint that was renamed would never be reached again, without a word."""
    sources = "".join(
        path.read_text(encoding="utf-8")
        for package in ("shared", "services")
        for path in (ROOT / package).rglob("*.py")
    )
    jobs = {job.name for job in import_module(f"services.{service}.jobs").jobs.table} | {
        "seal_audit",
        "forget_idempotency_keys",
    }

    assert set(JOBS[service]) <= jobs
    assert [
        place
        for place in places(service)
        if not place.startswith("job.") and f'failpoint("{place}")' not in sources
    ] == []


def misfit(edit: Edit) -> str | None:
    try:
        edit.locate(ROOT)
    except MisfitEdit as error:
        return str(error)
    return None


def test_every_mutant_fits_the_sources():
    edits = [(mutant, edit) for mutant in CATALOGUE for edit in mutant.edits]
    misfits = [(mutant.name, misfit(edit)) for mutant, edit in edits if misfit(edit)]

    assert misfits == []


def test_a_snippet_is_found_whatever_its_line_breaks(tmp_path):
    source = tmp_path / "rules.py"
    source.write_text(
        "def rule():\n    call(\n        first,\n        second,\n    )\n    return 1\n"
    )

    Edit("rules.py", "call(first, second)", "if True:\n    call(second)\n").apply(tmp_path)

    assert source.read_text() == "def rule():\n    if True:\n        call(second)\n    return 1\n"


def test_a_snippet_that_occurs_twice_does_not_fit(tmp_path):
    (tmp_path / "rules.py").write_text("a = 1\nb = 1\n")

    with pytest.raises(MisfitEdit, match="2 times"):
        Edit("rules.py", "= 1", "= 2").locate(tmp_path)
