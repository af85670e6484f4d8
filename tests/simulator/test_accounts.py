"""The demo's accounts and units fit scheme J."""

from collections import Counter

from services.simulate.accounts import DEMO_ACCOUNTS
from services.simulate.units import CATEGORIES, UNITS
from shared.appraisal.labels import Role
from shared.appraisal.schemes import load_scheme


def test_units_fill_the_four_categories_of_the_scheme():
    assert list(CATEGORIES) == [category.key for category in load_scheme("J", 2026).categories]
    assert all(8 <= count <= 14 for count in Counter(unit.category for unit in UNITS).values())
    assert [unit.unit_no for unit in UNITS] == list(range(1, len(UNITS) + 1))


def test_names_identify_one_unit():
    names = [name for unit in UNITS for name in (unit.name, *unit.aliases, unit.unit_id, unit.code)]
    assert len(set(names)) == len(names)
    assert all(len(unit.matters) == 3 for unit in UNITS)


def test_every_role_has_an_account_and_shown_units_have_two():
    assert {account.role for account in DEMO_ACCOUNTS} == set(Role)
    by_unit = Counter(account.unit_id for account in DEMO_ACCOUNTS if account.unit_id)
    assert sorted(by_unit.values()) == [2, 2, 2]
    assert len({account.name for account in DEMO_ACCOUNTS}) == len(DEMO_ACCOUNTS)
