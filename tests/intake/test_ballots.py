"""A code is good for one ballot, and no ballot leads to a person or to a minute."""

import asyncio
import json
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from services.intake.actions.ballots import PLACE_BALLOTS
from services.intake.domain.ballots import (
    ballot_id,
    check_answers,
    hour_of,
    read_token,
    receipt_of,
    token_hash,
)
from shared.appraisal.ballots import pack, unpack
from shared.appraisal.errors import Rejected
from shared.appraisal.labels import Role
from shared.appraisal.schemes import load_scheme
from tests.intake.conftest import CAMPAIGN

SCHEME = load_scheme("J", 2026)
QUESTIONNAIRE = SCHEME.questionnaires[0]
GROUP = QUESTIONNAIRE.groups[0].key
OPTION = SCHEME.options[0].no
ANSWERS = [[1, 1, OPTION], [2, 1, OPTION]]


# ── rules ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("ABCD-EFGH", "abcdefgh"),
        ("0i1l o234", "01110234"),
        ("ａｂｃｄ１２３４", "abcd1234"),
        ("abc", ""),
        ("abcdefgu", ""),
        ("x" * 26, "x" * 26),
        ("x" * 27, ""),
    ],
)
def test_codes_are_normalised(typed, code):
    assert read_token(typed) == code


def test_packed_answers_are_read_back():
    answers = [(65535, 255, 99), (1, 1, 1), (1, 2, 9)]
    assert unpack(pack(sorted(answers))) == sorted(answers)
    assert len(pack(answers)) == 4 * len(answers)


def test_ballot_id_is_derived_from_the_code():
    one, other = "0" * 26, "1" * 26
    assert ballot_id(one) == ballot_id(one) != ballot_id(other)
    assert ballot_id(one, "telephone") != ballot_id(one)
    assert token_hash(one)[:16] != ballot_id(one).bytes
    assert receipt_of(one, "k") != receipt_of(one, "l")


def test_only_the_hour_is_stored():
    assert hour_of(datetime(2026, 11, 20, 4, 59, 59, 999, tzinfo=UTC)) == datetime(
        2026, 11, 20, 4, tzinfo=UTC
    )


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([], "还没有作答"),
        ([(9, 1, OPTION)], "单位"),
        ([(1, 200, OPTION)], "题"),
        ([(1, 1, 98)], "选项"),
        ([(1, 1, OPTION), (1, 1, OPTION)], "一个答案"),
        ([(1, 1, OPTION)] * 99, "答案比题目多"),
    ],
)
def test_answers_outside_the_questionnaire_are_rejected(answers, expected):
    with pytest.raises(Rejected) as rejected:
        check_answers(SCHEME, QUESTIONNAIRE, {1, 2, 3, 4}, answers)
    assert expected in rejected.value.sentence


# ── actions and API ─────────────────────────────────────────────────────────────────────────────

stack = pytest.mark.stack


async def codes(office, count=1, **changes):
    async with await office.signed_in(Role.OFFICE) as chen:
        given = {
            "campaign_id": CAMPAIGN,
            "instrument": QUESTIONNAIRE.key,
            "group": GROUP,
            "point": "政务大厅 3 号窗口",
            "count": count,
        }
        answer = await chen.post("/intake/api/token-batches", json=given | changes)
    assert answer.status_code == 201, answer.text
    return answer.json()["codes"]


async def cast(client, code, answers=ANSWERS, key=None):
    return await client.post(
        "/intake/api/ballots",
        json={"token": code, "answers": answers},
        headers={"idempotency-key": key or str(uuid4())},
    )


@stack
async def test_ballot_is_published_without_person_or_minute(office):
    [code] = await codes(office)
    async with office.client() as respondent:
        answer = await cast(respondent, code)

    assert (answer.status_code, answer.json()) == (201, {"accepted": True})
    [(_, event)] = await office.events("ballot%")
    assert event["answers"] == ANSWERS
    assert (event["group"], event["point"]) == (GROUP, "政务大厅 3 号窗口")
    assert event["occurred_at"].endswith(":00:00Z")
    assert code not in json.dumps(event)


@stack
async def test_two_hundred_concurrent_ballots_of_one_code_count_once(office):
    [code] = await codes(office)
    async with office.client() as crowd:
        answers = await asyncio.gather(*(cast(crowd, code) for _ in range(200)))

    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 199
    assert len(await office.events("ballot%")) == 1
    async with office.transaction() as tx:
        assert await tx.fetchval("select count(*) from ballots") == 1


@stack
async def test_retry_with_the_same_key_is_accepted(office):
    [code] = await codes(office)
    async with office.client() as respondent:
        first, again = [await cast(respondent, code, key="the-same") for _ in range(2)]
        other = await cast(respondent, code, key="another")

    assert [first.status_code, again.status_code, other.status_code] == [201, 201, 409]
    assert len(await office.events("ballot%")) == 1


@stack
async def test_neither_code_nor_sender_nor_minute_is_stored(office):
    [code] = await codes(office)
    async with office.client() as respondent:
        await cast(respondent, code, key="k-4711")

    async with office.transaction() as tx:
        rows = [
            row[0]
            for table in ("tokens", "ballots", "idempotency", "audit")
            for row in await tx.fetch(f"select t::text from {table} t")
        ]
        ballot = await tx.fetchrow("select * from ballots")
    text = "\n".join(rows)
    assert code not in text
    assert "k-4711" not in text
    assert (ballot["cast_hour"].minute, ballot["cast_hour"].second) == (0, 0)
    assert not any("ballot" in row for row in rows if "tokens.issued" not in row)


@stack
@pytest.mark.parametrize("answers", [[[9, 1, OPTION]], [[1, 1, 98]], [], [[1, 1]], "x"])
async def test_invalid_answers_do_not_spend_the_code(office, answers):
    [code] = await codes(office)
    async with office.client() as respondent:
        rejected = await cast(respondent, code, answers)
        accepted = await cast(respondent, code)

    assert (rejected.status_code, accepted.status_code) == (422, 201)


@stack
async def test_unknown_and_closed_codes_are_rejected(office, clock):
    [code] = await codes(office, closes_on="2026-12-01")
    async with office.client() as respondent:
        unknown = await cast(respondent, "0" * 26)
        await clock.set(datetime(2026, 12, 2, 1, tzinfo=UTC))
        closed = await cast(respondent, code)

    assert (unknown.status_code, closed.status_code) == (404, 410)
    assert "2026-12-01" in closed.json()["detail"]


@stack
async def test_issued_codes_are_unique_and_long(office):
    issued = await codes(office, 1000)
    assert len(set(issued)) == 1000
    assert {len(code) for code in issued} == {26}
    async with await office.signed_in(Role.OFFICE) as chen:
        [batch] = (
            await chen.get("/intake/api/token-batches", params={"campaign_id": CAMPAIGN})
        ).json()
    assert (batch["issued"], batch["cast"]) == (1000, 0)


@stack
async def test_codes_are_returned_as_csv_on_request(office):
    async with await office.signed_in(Role.OFFICE) as chen:
        given = {
            "campaign_id": CAMPAIGN,
            "instrument": QUESTIONNAIRE.key,
            "group": GROUP,
            "count": 3,
        }
        answer = await chen.post(
            "/intake/api/token-batches", json=given, headers={"accept": "text/csv"}
        )
    lines = answer.text.removeprefix("\ufeff").split()
    assert lines[0] == "code,url"
    assert len(lines) == 4
    assert "/s/" in lines[1]


@stack
async def test_place_code_is_good_for_one_ballot_per_device(office):
    [code] = await codes(office, use="place")
    assert len(code) == 8
    async with office.client() as hall:
        answers = [
            await cast(hall, code, key=device) for device in ("tablet-1", "tablet-2", "tablet-1")
        ]
    assert [answer.status_code for answer in answers] == [201, 201, 201]
    assert len(await office.events("ballot%")) == 2


@stack
async def test_place_code_used_too_fast_is_rate_limited_and_marked(office):
    [code] = await codes(office, use="place")
    times, _ = PLACE_BALLOTS
    async with office.client() as script:
        answers = [await cast(script, code, key=f"device-{n}") for n in range(times + 2)]
    async with await office.signed_in(Role.OFFICE) as chen:
        [batch] = (
            await chen.get("/intake/api/token-batches", params={"campaign_id": CAMPAIGN})
        ).json()

    assert [answer.status_code for answer in answers] == [201] * times + [429] * 2
    assert int(answers[-1].headers["retry-after"]) > 0
    assert (batch["cast"], batch["flooded_at"] is not None) == (times, True)
    assert len(await office.events("ballot%")) == times
