"""A code is good for one ballot, and no ballot leads to a person or to a minute."""

import asyncio
import json
import re
from collections import Counter
from datetime import UTC, datetime
from uuid import UUID, uuid4

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.intake.actions.ballot_release import release_ballots
from services.intake.actions.ballots import PLACE_BALLOTS, place_wait_seconds
from services.intake.domain import ballot_release
from services.intake.domain.ballot_release import plan_releases, releasable
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
from shared.foundation import tracing
from tests.intake.conftest import CAMPAIGN, new_codes

SCHEME = load_scheme("J", 2026)
QUESTIONNAIRE = SCHEME.questionnaires[0]
GROUP = QUESTIONNAIRE.groups[0].key
OPTION = SCHEME.options[0].no
ANSWERS = [[1, 1, OPTION], [2, 1, OPTION]]
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


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


@given(st.dictionaries(st.integers(), st.frozensets(st.integers(1, 6), min_size=1), max_size=60))
def test_a_release_has_many_ballots_about_each_unit_or_none(waiting):
    chosen = releasable(waiting, at_least=10)

    counts = Counter(unit for ballot in chosen for unit in waiting[ballot])
    assert all(count >= 10 for count in counts.values())


@given(
    st.dictionaries(st.integers(), st.frozensets(st.integers(1, 4), min_size=1), max_size=90),
    st.integers(10, 40),
)
def test_planned_releases_fit_into_events_and_leave_no_release_behind(waiting, answers_max):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ballot_release, "ANSWERS_MAX", answers_max)
        planned = plan_releases(waiting, at_least=3, answers=lambda ballot: len(waiting[ballot]))

    for chosen in planned:
        counts = Counter(unit for ballot in chosen for unit in waiting[ballot])
        assert min(counts.values()) >= 3
        assert sum(counts.values()) <= answers_max
    released = [ballot for chosen in planned for ballot in chosen]
    assert len(released) == len(set(released))
    left = {ballot: waiting[ballot] for ballot in waiting if ballot not in set(released)}
    if not planned:
        assert sum(map(len, left.values())) > answers_max or not releasable(left, at_least=3)


def test_ballots_about_rare_units_do_not_hold_up_the_others():
    waiting = {n: frozenset({1000 + n}) for n in range(500)}
    waiting |= {500 + n: frozenset({1}) for n in range(12)}

    [chosen] = plan_releases(waiting, at_least=10, answers=lambda _: 1)

    assert chosen == list(range(500, 512))


def test_more_ballots_than_one_event_holds_are_released_in_several(monkeypatch):
    monkeypatch.setattr(ballot_release, "ANSWERS_MAX", 100)
    waiting = {n: frozenset({1, 2}) for n in range(120)}

    planned = plan_releases(waiting, at_least=10, answers=lambda _: 2)

    assert [len(chosen) for chosen in planned] == [50, 50, 20]


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
    """Return `count` codes of a batch, which has at least ten unless it is a place's."""
    given = {"instrument": QUESTIONNAIRE.key, "group": GROUP, "count": max(count, 10)} | changes
    if given.get("use") == "place":
        given |= {"count": 1, "expected": 500}
    return (await new_codes(office, **given))[:count]


async def cast(client, code, answers=ANSWERS, key=None):
    return await client.post(
        "/intake/api/ballots",
        json={"token": code, "answers": answers},
        headers={"idempotency-key": key or str(uuid4())},
    )


async def released(office):
    """Release the waiting ballots, as a job under a trace does; return the published events."""
    with tracing.span("release"):
        async with office.transaction() as tx:
            await release_ballots(tx)
    return [event for _, event in await office.events("ballots.released.v1")]


async def cast_by_everybody(office, count, answers=ANSWERS):
    issued = await codes(office, count)
    async with office.client() as respondents:
        for code in issued:
            assert (await cast(respondents, code, answers)).status_code == 201
    return issued


@stack
async def test_ballot_is_published_without_person_or_minute(office):
    [code] = await codes(office)
    async with office.client(traceparent=TRACEPARENT) as respondent:
        answer = await cast(respondent, code)

    assert (answer.status_code, answer.json()) == (201, {"accepted": True})
    assert await office.events("ballot%") == []
    [event] = await released(office)
    [ballot] = event["ballots"]
    assert ballot["answers"] == ANSWERS
    assert event["group"] == GROUP
    assert event["occurred_at"].endswith(":00:00Z")
    assert code not in json.dumps(event)
    assert UUID(ballot["ballot_id"]).version == 4
    async with office.transaction() as tx:
        assert await tx.fetchval("select count(*) from outbox where trace is not null") == 0


@stack
async def test_nine_ballots_wait_for_the_tenth(office):
    office.context.settings.ballot_release_min = 10
    await cast_by_everybody(office, 9)
    assert await released(office) == []

    await cast_by_everybody(office, 1)

    [event] = await released(office)
    assert len(event["ballots"]) == 10


@stack
async def test_a_unit_with_few_ballots_waits_while_the_others_are_released(office):
    office.context.settings.ballot_release_min = 10
    await cast_by_everybody(office, 12)
    await cast_by_everybody(office, 2, [[1, 1, OPTION], [3, 1, OPTION]])

    [event] = await released(office)

    units = Counter(answer[0] for ballot in event["ballots"] for answer in ballot["answers"])
    assert units == {1: 12, 2: 12}


@stack
async def test_the_last_ballots_are_released_when_no_code_can_be_used(office, clock):
    office.context.settings.ballot_release_min = 10
    issued = await codes(office, 3, closes_on="2026-12-01")
    async with office.client() as respondents:
        for code in issued:
            await cast(respondents, code)
    assert await released(office) == []

    await clock.set(datetime(2026, 12, 2, 1, tzinfo=UTC))

    [event] = await released(office)
    assert len(event["ballots"]) == 3


@stack
async def test_released_ballots_are_in_no_order_and_lead_to_no_code(office):
    answers = [[[1, 1, 1 + n % 3], [2, 1, 1 + n // 3 % 3]] for n in range(27)]
    issued = await codes(office, 27)
    async with office.client() as respondents:
        for code, given in zip(issued, answers, strict=True):
            await cast(respondents, code, given)
    async with office.transaction() as tx:
        rows = await tx.fetch("select answers from waiting_ballots order by id")
    waiting = [[list(answer) for answer in unpack(row["answers"])] for row in rows]

    [event] = await released(office)

    published = [ballot["answers"] for ballot in event["ballots"]]
    assert sorted(published) == sorted(answers)
    assert published not in (answers, waiting)
    derived = {str(ballot_id(code)) for code in issued}
    assert derived.isdisjoint(ballot["ballot_id"] for ballot in event["ballots"])
    async with office.transaction() as tx:
        linked = await tx.fetchval(
            "select count(*) from ballots b join spent_codes s on s.xmin = b.xmin or s.id = b.id"
        )
        assert linked == 0
        assert await tx.fetchval("select count(*) from waiting_ballots") == 0


@stack
async def test_two_hundred_concurrent_ballots_of_one_code_count_once(office):
    [code] = await codes(office)
    async with office.client() as crowd:
        answers = await asyncio.gather(*(cast(crowd, code) for _ in range(200)))

    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 199
    async with office.transaction() as tx:
        assert await tx.fetchval("select count(*) from waiting_ballots") == 1
    [event] = await released(office)
    assert len(event["ballots"]) == 1


@stack
async def test_retry_with_the_same_key_is_accepted(office):
    [code] = await codes(office)
    async with office.client() as respondent:
        first, again = [await cast(respondent, code, key="the-same") for _ in range(2)]
        other = await cast(respondent, code, key="another")

    assert [first.status_code, again.status_code, other.status_code] == [201, 201, 409]
    [event] = await released(office)
    assert len(event["ballots"]) == 1


@stack
async def test_neither_code_nor_sender_nor_minute_is_stored(office):
    [code] = await codes(office)
    async with office.client() as respondent:
        await cast(respondent, code, key="k-4711")

    await released(office)
    async with office.transaction() as tx:
        rows = [
            row[0]
            for table in ("tokens", "spent_codes", "ballots", "idempotency", "audit")
            for row in await tx.fetch(f"select t::text from {table} t")
        ]
        ballot = await tx.fetchrow("select * from ballots")
    text = "\n".join(rows)
    assert code not in text
    assert "k-4711" not in text
    assert (ballot["released_hour"].minute, ballot["released_hour"].second) == (0, 0)
    assert not any("ballot" in row for row in rows if "tokens." not in row)


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


async def requested(office, **changes):
    """Return the id of a batch that the office requested."""
    given = {"campaign_id": CAMPAIGN, "instrument": QUESTIONNAIRE.key, "group": GROUP, "count": 10}
    async with await office.signed_in(Role.OFFICE) as chen:
        answer = await chen.post("/intake/api/token-batches", json=given | changes)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


@stack
async def test_codes_are_returned_as_csv_on_request(office):
    url = f"/intake/api/token-batches/{await requested(office)}/codes"
    async with await office.signed_in(Role.REVIEWER) as opener:
        answer = await opener.post(url, headers={"accept": "text/csv"})
    lines = answer.text.removeprefix("\ufeff").split()
    assert lines[0] == "code,url"
    assert len(lines) == 11
    assert "/s/" in lines[1]


@stack
async def test_the_requester_cannot_open_the_batch(office):
    url = f"/intake/api/token-batches/{await requested(office)}/codes"
    async with await office.signed_in(Role.OFFICE) as requester:
        answer = await requester.post(url)

    assert answer.status_code == 403
    async with office.transaction() as tx:
        assert await tx.fetchval("select count(*) from tokens") == 0


@stack
async def test_a_batch_is_opened_once(office):
    url = f"/intake/api/token-batches/{await requested(office)}/codes"
    async with await office.signed_in(Role.REVIEWER) as opener:
        first, again = [await opener.post(url) for _ in range(2)]

    assert (first.status_code, again.status_code) == (201, 409)
    assert "不能再次查看" in again.json()["detail"]
    async with office.transaction() as tx:
        actions = await tx.fetch(
            "select action from audit where action like 'tokens.%' order by id"
        )
    assert [row["action"] for row in actions] == ["tokens.requested", "tokens.opened"]


@stack
async def test_a_small_batch_is_refused(office):
    given = {"campaign_id": CAMPAIGN, "instrument": QUESTIONNAIRE.key, "group": GROUP, "count": 9}
    async with await office.signed_in(Role.OFFICE) as chen:
        answer = await chen.post("/intake/api/token-batches", json=given)

    assert answer.status_code == 422
    assert "太少" in answer.json()["detail"]


@stack
async def test_office_requests_and_reviewer_opens_on_pages(office, key):
    async with await office.signed_in(Role.OFFICE) as chen:
        form = {"group": f"{QUESTIONNAIRE.key}/{GROUP}", "use": "one_use", "count": "12"}
        await chen.post(f"/intake/codes/{CAMPAIGN}", data=form, headers=key())
        own = await chen.get("/intake/codes")
    async with await office.signed_in(Role.REVIEWER) as opener:
        listed = await opener.get("/intake/codes")
        [path] = set(re.findall(r"/intake/codes/[0-9a-f-]{36}/codes(?=\")", listed.text))
        slips = await opener.post(path)

    assert "待开封" in own.text
    assert "开封打印" not in own.text
    assert slips.text.count("/s/") == 12


async def fill_in(client, code):
    """Answer every question on the pages; return the last page."""
    page = await client.get(f"/s/{code}", follow_redirects=True)
    for place in range(1, 99):
        if page.status_code != 200 or "option" not in page.text:
            return page
        page = await client.post(
            f"/s/{code}/{place}", data={"option": str(OPTION)}, follow_redirects=True
        )
    raise AssertionError("the questionnaire has no end")


async def ballots_waiting(office):
    async with office.transaction() as tx:
        return await tx.fetchval("select count(*) from waiting_ballots")


def device(office, network):
    """Return a browser behind that network address."""
    transport = httpx2.ASGITransport(app=office.service.app, client=(network, 4711))
    return httpx2.AsyncClient(transport=transport, base_url="http://intake.test")


@stack
async def test_place_code_is_good_for_one_ballot_per_device(office):
    [code] = await codes(office, use="place", unit_id="tcm")
    assert len(code) == 8
    async with device(office, "192.0.2.1") as one, device(office, "192.0.2.2") as other:
        pages = [await fill_in(client, code) for client in (one, other, one)]

    assert ["谢谢" in page.text for page in pages] == [True, True, False]
    assert "已经填过" in pages[2].text
    assert await ballots_waiting(office) == 2


@stack
async def test_a_script_with_a_new_cookie_each_time_casts_one_ballot_a_minute(office):
    [code] = await codes(office, use="place", unit_id="tcm")
    pages = []
    for _ in range(5):
        async with device(office, "192.0.2.1") as script:
            pages.append(await fill_in(script, code))

    assert ["谢谢" in page.text for page in pages] == [True] + [False] * 4
    assert "一分钟" in pages[1].text
    assert await ballots_waiting(office) == 1


@stack
async def test_place_code_is_refused_by_the_api(office):
    [code] = await codes(office, use="place", unit_id="tcm")
    async with office.client() as script:
        answer = await cast(script, code)

    assert answer.status_code == 403
    assert await ballots_waiting(office) == 0


@stack
@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"use": "place", "expected": 500}, "unit_id"),
        ({"use": "one_use", "unit_id": "tcm"}, "unit_id"),
        ({"use": "place", "unit_id": "tcm"}, "expected"),
        ({"use": "one_use", "expected": 500}, "expected"),
    ],
)
async def test_only_a_place_code_names_a_unit_and_the_ballots_expected(office, given, field):
    async with await office.signed_in(Role.OFFICE) as chen:
        batch = {"campaign_id": CAMPAIGN, "instrument": QUESTIONNAIRE.key, "group": GROUP}
        batch["count"] = 1 if given["use"] == "place" else 10
        answer = await chen.post("/intake/api/token-batches", json=batch | given)

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field


@stack
async def test_place_code_used_too_fast_is_rate_limited_and_marked(office):
    [code] = await codes(office, use="place", unit_id="tcm")
    times, _ = PLACE_BALLOTS
    limiter = office.service.app.state.limiter
    waits = []
    for number in range(times + 2):
        async with office.transaction() as tx:
            network = f"192.0.2.{number}"
            waits.append(await place_wait_seconds(tx, limiter, code, network=network))
    async with await office.signed_in(Role.OFFICE) as chen:
        [batch] = (
            await chen.get("/intake/api/token-batches", params={"campaign_id": CAMPAIGN})
        ).json()

    assert waits[:times] == [None] * times
    assert all(wait > 0 for wait in waits[times:])
    assert batch["flooded_at"] is not None
