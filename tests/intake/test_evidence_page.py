"""Daily lines: printed once, checked later against the log; and the proof of a receipt number."""

from urllib.parse import urlencode

import pytest

from services.cli.verification import registration_proof, verify_installation
from shared.appraisal.labels import Role
from shared.security import log_sealing
from shared.security.daily_checkpoints import MalformedLine, list_daily_lines, read_line
from shared.verifier.findings import Difference
from tests.intake.conftest import complaint
from tests.intake.test_reconciliation import database_owner

stack = pytest.mark.stack


async def seal(office, note):
    async with office.transaction() as tx:
        tx.audit("audit.read", note, "somebody")
    async with office.transaction() as tx:
        await log_sealing.seal_log(tx, office.service.keys)


@pytest.fixture
async def line(office, servers, settings):
    """Yesterday's line; the log has grown since."""
    await seal(office, "yesterday")
    async with database_owner(servers, settings) as owner:
        await owner.execute("update checkpoints set at = at - interval '1 day'")
    await seal(office, "today")
    async with office.transaction() as tx:
        [line] = await list_daily_lines(tx, "intake")
    return line


async def page(office, text, role=Role.AUDITOR):
    async with await office.signed_in(role) as reader:
        return await reader.get(f"/intake/evidence?{urlencode({'line': text})}")


@stack
async def test_line_of_a_day_is_printed_and_agrees_later(office, line):
    for role in (Role.AUDITOR, Role.OFFICE):
        shown = await page(office, "", role)
        assert line.text in shown.text
        assert "一致：" in (await page(office, line.text.upper(), role)).text
    start = " ".join(line.text.split()[:11])
    assert "一致：" in (await page(office, start)).text, "eight groups are enough"
    assert (await page(office, "", Role.REVIEWER)).status_code == 403


@stack
async def test_rebuilt_log_contradicts_and_a_cut_log_misses_the_line(
    office, line, servers, settings
):
    async with database_owner(servers, settings) as owner:
        await owner.execute("update checkpoints set root = sha256(root) where size = $1", line.size)
    assert "矛盾：" in (await page(office, line.text)).text
    assert await differences(settings, line) == ["矛盾"]

    async with database_owner(servers, settings) as owner:
        await owner.execute("delete from checkpoints where size = $1", line.size)
    assert "缺失：" in (await page(office, line.text)).text
    assert await differences(settings, line) == ["缺失"]


async def differences(settings, line):
    findings = verify_installation(settings, None, lines=[line], on_progress=lambda _: None)
    found = [str(each) async for each in findings if isinstance(each, Difference)]
    return [text.split("：")[0][-2:] for text in found if text.startswith("daily line")]


@stack
@pytest.mark.parametrize(
    "text", ["intake", "intake 2026-11-28 7 abcd", "casework 2026-11-28 7 " + "ab" * 32]
)
async def test_line_that_cannot_be_checked_is_explained(office, text):
    assert (await page(office, text)).status_code == 422


@pytest.mark.parametrize("text", ["", "intake 2026-13-01 7 " + "ab" * 32, "intake 1 2 3"])
def test_malformed_line_is_refused(text):
    with pytest.raises(MalformedLine):
        read_line(text)


@stack
async def test_registration_is_proved_by_its_number_until_its_entry_is_changed(
    office, key, servers, settings
):
    async with await office.signed_in(Role.OPERATOR) as operator:
        answer = await operator.post("/intake/api/complaints", json=complaint(), headers=key())
    number = answer.json()["number"]
    assert await proved(settings, number) is False, "not sealed yet"
    await seal(office, "later")
    assert await proved(settings, number) is True
    assert await proved(settings, "TS-0") is False

    async with database_owner(servers, settings) as owner:
        await owner.execute("update audit set at = at - interval '1 minute' where position = 0")
        await owner.execute(
            "update audit set actor = 'nobody' where action = 'complaint.registered'"
        )

    assert await proved(settings, number) is False


async def proved(settings, number):
    is_proved, sentence = await registration_proof(settings, number)
    assert number in sentence
    return is_proved
