"""Evidence archives: honest data has no difference, and every edit of a database owner is named."""

from random import Random

import pytest
from asyncpg import Connection

from shared.verifier.findings import Remark
from shared.verifier.notes import read_notes
from tests.verifier import edits
from tests.verifier.support import SERVICES, Installation

pytestmark = pytest.mark.stack


async def test_honest_installation_has_no_difference(installation: Installation, tmp_path):
    findings = await installation.findings(tmp_path)

    assert [str(each) for each in findings if not isinstance(each, Remark)] == []


async def test_same_data_gives_the_same_bytes(installation: Installation, tmp_path):
    first = (await installation.export(tmp_path)).read_bytes()

    assert (await installation.export(tmp_path)).read_bytes() == first


async def test_a_hundred_of_a_hundred_edits_are_named(
    installation: Installation, owner: Connection, tmp_path
):
    kept = read_notes(await installation.notes())
    for service in SERVICES:
        await edits.keep(owner, service, f"now_{service}")
    missed = []

    for seed in range(100):
        rng = Random(seed)
        kind = rng.choice(sorted(edits.EDITS))
        edit = rng.choice(edits.EDITS[kind])
        named = await edit(owner, rng)
        differences = await installation.differences(tmp_path, checkpoints=kept)
        if not any(named in str(each) for each in differences):
            missed.append((seed, kind, edit.__name__, named, list(map(str, differences))[:5]))
        for service in SERVICES:
            await edits.restore(owner, f"now_{service}", service)

    assert missed == []
    assert await installation.differences(tmp_path, checkpoints=kept) == []


async def test_seal_whose_entry_was_rewritten_is_named(
    installation: Installation, owner: Connection, tmp_path
):
    """Everything else of the seal fits: only the proof of the entry shows that it was changed."""
    await owner.execute(
        "update casework.audit set actor = 'nobody' where position = "
        "(select max(position) from casework.audit where action = 'inputs.sealed')"
    )

    found = await installation.differences(tmp_path)

    assert [str(each) for each in found if "is not in the signed audit log" in str(each)]


async def test_score_that_does_not_follow_from_its_inputs_is_named(
    installation: Installation, owner: Connection, tmp_path
):
    await owner.execute(
        "update scoring.scores set body = regexp_replace(body, '\"sample\":[0-9]+', "
        "'\"sample\":999'), sample = 999 where unit_no = 7"
    )

    found = await installation.differences(tmp_path)

    assert any("unit 7 has sample 999 instead of" in str(each) for each in found)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"by_one": True}, "was decided by one person"),
        ({"decided": False}, "has no decision that its ballots are void"),
    ],
)
async def test_a_void_that_two_people_did_not_decide_is_named(
    installation: Installation, tmp_path, given, expected
):
    await installation.void(**given)
    await installation.seal()

    assert [expected] == [found.sentence for found in await installation.differences(tmp_path)]
