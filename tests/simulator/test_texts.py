"""Invented texts: determined by the seed, varied, with personal data in complaint texts only."""

from datetime import date
from random import Random

import pytest

from services.simulate import scenes, texts
from services.simulate.units import UNITS, UNITS_BY_CODE
from shared.appraisal.labels import ComplaintKind
from shared.appraisal.schemes import load_scheme
from shared.security.pii import PiiKind, find_pii

DAY = date(2026, 11, 2)
J = load_scheme("J", 2026)
ITEMS = [problem.id for head in J.catalogue.heads for problem in head.items]


def complaints(count: int, seed: int = 7) -> list[texts.InventedComplaint]:
    rng = Random(seed)
    return [texts.complaint(rng, rng.choice(UNITS), DAY) for _ in range(count)]


def test_same_seed_gives_the_same_complaints():
    assert complaints(50) == complaints(50)
    assert complaints(50) != complaints(50, seed=8)


def test_a_thousand_complaints_differ():
    invented = complaints(1000)

    assert len({complaint.complaint_text for complaint in invented}) >= 995
    assert len({complaint.redacted_summary for complaint in invented}) >= 900


def test_complaint_texts_have_personal_data_and_summaries_have_none():
    invented = complaints(1000)

    named = [complaint for complaint in invented if complaint.identity != "anonymous"]
    found = [
        {hit.kind for hit in find_pii(complaint.complaint_text, [complaint.name, complaint.phone])}
        for complaint in named
    ]
    assert all(found), "a complaint text contains the contact data of its complainant"
    assert {PiiKind.KNOWN, PiiKind.ID_CARD, PiiKind.EMAIL} <= set().union(*found)
    assert not [
        complaint.redacted_summary
        for complaint in invented
        if find_pii(complaint.redacted_summary, filter(None, (complaint.name, complaint.phone)))
    ]


def test_anonymous_complaints_have_no_personal_data():
    for complaint in complaints(1000):
        if complaint.identity == "anonymous":
            assert (complaint.name, complaint.phone, complaint.address) == ("", "", "")
            assert not find_pii(complaint.complaint_text)


def test_every_kind_of_complaint_occurs():
    invented = complaints(1000)

    assert {complaint.kind for complaint in invented} == set(ComplaintKind) - {
        ComplaintKind.FINDING
    }
    assert {
        complaint.problem_item for complaint in invented if complaint.kind is ComplaintKind.REPORT
    } == set(scenes.REPORTED)
    assert all(complaint.urgency_reason for complaint in invented if complaint.urgency != "normal")


@pytest.mark.parametrize("item", ITEMS)
def test_every_catalogue_item_has_texts(item: str):
    complaint = texts.complaint(Random(1), UNITS_BY_CODE["G02"], DAY, item)

    assert complaint.problem_item == item
    assert len(complaint.complaint_text) >= 30
    assert len(complaint.redacted_summary) >= 20
    assert "{" not in complaint.complaint_text + complaint.redacted_summary


def test_invented_numbers_are_never_assigned():
    rng = Random(3)
    assert all(
        texts.mobile(rng).startswith("141") and len(texts.mobile(rng)) == 11 for _ in range(100)
    )
    assert all(texts.identity_card(rng).startswith("229999") for _ in range(100))


@pytest.mark.parametrize("seed", range(60))
def test_results_are_long_enough_without_personal_data(seed: int):
    result = texts.outcome(Random(seed))

    assert result.finding in ("substantiated", "partly_substantiated", "unsubstantiated")
    assert len(result.account) >= 50
    assert len(result.reply) >= 30
    assert len(result.measures) >= 20
    assert not find_pii(result.account + result.measures + result.reply)


def test_every_checklist_item_has_findings():
    for item in J.checklists[0].items:
        for seed in range(20):
            finding = texts.finding(Random(seed), UNITS_BY_CODE["Z01"], item.id, DAY)
            assert len(finding) >= 10
            assert "{" not in finding
            assert not find_pii(finding)


def test_reasons_are_as_long_as_the_forms_require():
    assert all(len(words) >= 10 for words in (*texts.SENT_BACK, *texts.EXTENDED, *texts.APPROVED))
    assert all(len(words) >= 20 for words in texts.RETURNED)
    assert not [
        words
        for words in (*texts.SENT_BACK, *texts.RETURNED, *texts.EXTENDED, *texts.APPROVED)
        if find_pii(words)
    ]
