"""A questionnaire with every kind of question, from the respondent to the office."""

from dataclasses import dataclass
from typing import Any

import httpx2
import msgspec
import pytest

from services.intake.actions.ballot_release import release_ballots
from services.intake.store import campaigns
from shared.appraisal.labels import Role
from shared.appraisal.schemes import load_scheme
from shared.appraisal.schemes.questions import AnyQuestion
from tests.intake.conftest import CAMPAIGN, UNITS, new_codes, published

J = load_scheme("J", 2026)
FIRST = J.questionnaires[0]
WORDS = "窗口太少，午间没有人值班"


def question(no: int, kind: str, label: str, **fields: Any) -> AnyQuestion:
    """Return a question as a scheme document spells it."""
    return msgspec.convert({"no": no, "kind": kind, "label": label} | fields, AnyQuestion)


QUESTIONS = (
    question(1, "single_choice", "总体评价"),
    question(2, "scale", "办事效率打几分"),
    question(
        3,
        "multiple_choice",
        "通过哪些渠道办事",
        options=[
            {"no": 1, "label": "窗口"},
            {"no": 2, "label": "网上"},
            {"no": 3, "label": "电话"},
        ],
    ),
    question(4, "reason", "不满意的原因"),
    question(5, "free_text", "其他意见"),
)


@dataclass
class Respondent:
    """A browser without JavaScript that opened a questionnaire code."""

    client: httpx2.AsyncClient
    code: str

    async def answer(self, place: int, **fields: Any) -> httpx2.Response:
        last = "?last=1" if place == len(QUESTIONS) else ""
        return await self.client.post(f"/s/{self.code}/{place}{last}", data=fields)

    async def page(self, place: int) -> str:
        return (await self.client.get(f"/s/{self.code}/{place}")).text


@pytest.fixture
async def respondent(office: Any) -> Respondent:
    scheme = msgspec.structs.replace(
        J, instruments=(msgspec.structs.replace(FIRST, items=QUESTIONS), *J.instruments[1:])
    )
    async with office.transaction() as tx:
        event = published(tx.now, UNITS[:1])
        event = msgspec.structs.replace(event, scheme=scheme.to_json(), scheme_version="2")
        await campaigns.save(tx, event, 2)
    codes = await new_codes(office, instrument=FIRST.key, group=FIRST.groups[0].key)
    return Respondent(office.client(), codes[0])


async def answer_all(respondent: Respondent) -> httpx2.Response:
    await respondent.answer(1, option="1")
    await respondent.answer(2, option="9")
    await respondent.answer(3, option=["1", "3"])
    await respondent.answer(4)
    return await respondent.answer(5, text=WORDS)


async def test_answers_of_every_kind_become_one_ballot(office, respondent):
    thanks = await answer_all(respondent)

    assert "您的评价已经收到" in thanks.text
    async with office.transaction() as tx:
        await release_ballots(tx)
    [(_, event)] = await office.events("ballots.released.v1")
    [ballot] = event["ballots"]
    assert ballot["answers"] == [[1, 1, 1], [1, 2, 9], [1, 3, 1], [1, 3, 3]]


async def test_a_written_opinion_is_encrypted_and_never_published(office, respondent):
    await answer_all(respondent)

    async with office.transaction() as tx:
        [stored] = await tx.fetch("select * from written_opinions")
        events = await tx.fetch("select body from outbox")
    assert WORDS.encode() not in stored["ciphertext"]
    assert not any(WORDS.encode() in row["body"] for row in events)
    assert (stored["received_hour"].minute, stored["received_hour"].second) == (0, 0)


async def test_the_office_reads_opinions_and_leaves_an_audit_entry(office, respondent):
    await answer_all(respondent)
    staff = await office.signed_in(Role.OFFICE)

    listed = await staff.get("/intake/questionnaires")
    read = await staff.get(f"/intake/questionnaires/{CAMPAIGN}/{FIRST.key}/opinions")

    assert f"/intake/questionnaires/{CAMPAIGN}/{FIRST.key}/opinions" in listed.text
    assert WORDS in read.text
    assert UNITS[0].name in read.text
    async with office.transaction() as tx:
        actors = await tx.fetch("select actor from audit where action = 'opinions.read'")
    assert [row["actor"] for row in actors] == [str(office.person(Role.OFFICE).id)]


@pytest.mark.parametrize("role", [Role.HANDLER, Role.REVIEWER, Role.LEADER])
async def test_nobody_but_the_office_reads_opinions(office, respondent, role):
    await answer_all(respondent)
    reader = await office.signed_in(role)

    answer = await reader.get(f"/intake/questionnaires/{CAMPAIGN}/{FIRST.key}/opinions")

    assert answer.status_code == 403
    assert WORDS not in answer.text


async def test_an_opinion_with_personal_data_is_rejected_and_kept_in_the_form(office, respondent):
    for place, fields in (
        (1, {"option": "1"}),
        (2, {"option": "9"}),
        (3, {"option": "1"}),
        (4, {}),
    ):
        await respondent.answer(place, **fields)

    rejected = await respondent.answer(5, text="找李主任，电话 13812345678")

    assert rejected.status_code == 422
    assert "13812345678" in rejected.text
    assert "请删去个人信息" in rejected.text
    async with office.transaction() as tx:
        assert await tx.fetchval("select count(*) from waiting_ballots") == 0


@pytest.mark.parametrize(
    ("place", "fields", "sentence"),
    [
        (2, {"option": "11"}, "请选一项"),
        (3, {}, "请至少选一项"),
        (4, {"option": ["1", "2", "3", "4"]}, "最多可以选 3 项"),
        (5, {"text": "长" * 501}, "最多 500 字，现有 501 字"),
    ],
)
async def test_an_answer_that_does_not_fit_says_what_to_do(respondent, place, fields, sentence):
    for earlier, given in (
        (1, {"option": "1"}),
        (2, {"option": "9"}),
        (3, {"option": "1"}),
        (4, {}),
    ):
        if earlier < place:
            await respondent.answer(earlier, **given)

    rejected = await respondent.answer(place, **fields)

    assert rejected.status_code == 422
    assert sentence in rejected.text


async def test_going_back_shows_what_was_answered(respondent):
    await respondent.answer(1, option="1")
    await respondent.answer(2, option="9")

    page = await respondent.page(2)

    assert page.count("checked") == 1
    assert 'value="9"' in page.partition("checked")[0][-200:]


async def test_the_api_takes_written_answers(office, respondent, key):
    answer = await office.client().post(
        "/intake/api/ballots",
        headers=key(),
        json={
            "token": respondent.code,
            "answers": [[1, 1, 1], [1, 3, 2], [1, 3, 3]],
            "texts": [{"unit_no": 1, "item_no": 5, "text": WORDS}],
        },
    )

    assert answer.status_code == 201
    async with office.transaction() as tx:
        assert await tx.fetchval("select count(*) from written_opinions") == 1


async def test_a_paper_form_prints_every_question(office, respondent):
    staff = await office.signed_in(Role.OFFICE)

    page = await staff.get(f"/intake/questionnaires/{CAMPAIGN}/{FIRST.key}/paper")

    assert [item.label in page.text for item in QUESTIONS] == [True] * len(QUESTIONS)
    assert "□ 窗口" in page.text
