"""The texts of the simulator: the same by seed, hardly ever alike, full of personal data where
complainants speak, free of it afterwards.
"""

from datetime import date
from random import Random

import pytest

from services.simulate import scenes, texts
from services.simulate.people import BODIES, BODY
from shared.appraisal.labels import ComplaintKind
from shared.appraisal.schemes import load_scheme
from shared.security.pii import PiiKind, find_pii

DAY = date(2026, 11, 2)
J = load_scheme("J", 2026)
ITEMS = [problem.id for head in J.catalogue.heads for problem in head.items]


def told(count: int, seed: int = 7) -> list[texts.Told]:
    rng = Random(seed)
    return [texts.complaint(rng, rng.choice(BODIES), DAY) for _ in range(count)]


def test_same_seed_tells_the_same_stories():
    assert told(50) == told(50)
    assert told(50) != told(50, seed=8)


def test_thousand_complaints_are_not_alike():
    stories = told(1000)

    assert len({story.complaint_text for story in stories}) >= 995
    assert len({story.redacted_summary for story in stories}) >= 900


def test_what_complainants_say_gives_the_redaction_work_and_what_units_read_is_clean():
    stories = told(1000)

    named = [story for story in stories if story.identity != "anonymous"]
    found = [
        {hit.kind for hit in find_pii(story.complaint_text, [story.name, story.phone])}
        for story in named
    ]
    assert all(found), "whoever leaves a number says it in the middle of the story"
    assert {PiiKind.KNOWN, PiiKind.ID_CARD, PiiKind.EMAIL} <= set().union(*found)
    assert not [
        story.redacted_summary
        for story in stories
        if find_pii(story.redacted_summary, filter(None, (story.name, story.phone)))
    ]


def test_anonymous_complainants_leave_nothing():
    for story in told(1000):
        if story.identity == "anonymous":
            assert (story.name, story.phone, story.address) == ("", "", "")
            assert not find_pii(story.complaint_text)


def test_every_kind_of_matter_is_told():
    stories = told(1000)

    assert {story.kind for story in stories} == set(ComplaintKind) - {ComplaintKind.FINDING}
    assert {story.problem_item for story in stories if story.kind is ComplaintKind.REPORT} == set(
        scenes.REPORTED
    )
    assert all(story.urgency_reason for story in stories if story.urgency != "normal")


@pytest.mark.parametrize("item", ITEMS)
def test_every_item_of_the_catalogue_has_its_scenes(item: str):
    story = texts.complaint(Random(1), BODY["G02"], DAY, item)

    assert story.problem_item == item
    assert len(story.complaint_text) >= 30
    assert len(story.redacted_summary) >= 20
    assert "{" not in story.complaint_text + story.redacted_summary


def test_nobody_can_be_reached_by_the_invented_numbers():
    rng = Random(3)
    assert all(
        texts.mobile(rng).startswith("141") and len(texts.mobile(rng)) == 11 for _ in range(100)
    )
    assert all(texts.identity_card(rng).startswith("229999") for _ in range(100))


@pytest.mark.parametrize("seed", range(60))
def test_results_are_long_enough_and_name_nobody(seed: int):
    result = texts.outcome(Random(seed))

    assert result.finding in ("substantiated", "partly_substantiated", "unsubstantiated")
    assert len(result.account) >= 50
    assert len(result.reply) >= 30
    assert len(result.measures) >= 20
    assert not find_pii(result.account + result.measures + result.reply)


def test_every_line_of_the_checklist_can_be_found_wanting():
    for item in J.checklists[0].items:
        for seed in range(20):
            seen = texts.finding(Random(seed), BODY["Z01"], item.id, DAY)
            assert len(seen) >= 10
            assert "{" not in seen
            assert not find_pii(seen)


def test_reasons_are_as_long_as_the_forms_ask():
    assert all(len(words) >= 10 for words in (*texts.SENT_BACK, *texts.EXTENDED, *texts.APPROVED))
    assert all(len(words) >= 20 for words in texts.RETURNED)
    assert not [
        words
        for words in (*texts.SENT_BACK, *texts.RETURNED, *texts.EXTENDED, *texts.APPROVED)
        if find_pii(words)
    ]
