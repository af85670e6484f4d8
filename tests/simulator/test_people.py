"""The demo's people and units fit scheme J."""

from collections import Counter

from services.simulate.people import BODIES, CATEGORIES, DEMO_ACCOUNTS
from shared.appraisal.labels import Role
from shared.appraisal.schemes import load_scheme


def test_units_fill_the_four_categories_of_the_scheme():
    assert list(CATEGORIES) == [category.key for category in load_scheme("J", 2026).categories]
    assert all(8 <= count <= 14 for count in Counter(body.category for body in BODIES).values())
    assert [body.unit_no for body in BODIES] == list(range(1, len(BODIES) + 1))


def test_names_lead_to_one_unit_only():
    names = [name for body in BODIES for name in (body.name, *body.aliases, body.unit_id)]
    assert len(set(names)) == len(names)
    assert all(len(body.matters) == 3 for body in BODIES)


def test_every_role_is_introduced_and_units_have_both_their_people():
    assert {person.role for person in DEMO_ACCOUNTS} == set(Role)
    by_unit = Counter(person.unit_id for person in DEMO_ACCOUNTS if person.unit_id)
    assert sorted(by_unit.values()) == [2, 2, 2]
    assert len({person.name for person in DEMO_ACCOUNTS}) == len(DEMO_ACCOUNTS)
