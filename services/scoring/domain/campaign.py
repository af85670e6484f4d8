"""A campaign under its current rules, with its units."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from shared.appraisal.errors import Rejected
from shared.appraisal.schemes import Category, Scheme


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignUnit:
    """A unit in a campaign's register. `unit_no`: its number on ballots."""

    unit_no: int
    unit_id: str
    name: str
    category: str
    aliases: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Campaign:
    """A campaign with its scheme, its units and the ids of its response groups.

    `revision` grows with every publication. `shown_to_units_at`: since when unit heads see the
    running score of their own unit.
    """

    id: str
    title: str
    year: int
    revision: int
    scheme: Scheme
    published_at: datetime
    shown_to_units_at: datetime | None
    units: tuple[CampaignUnit, ...]
    response_group_ids: Mapping[tuple[str, str], int]

    @cached_property
    def by_id(self) -> dict[str, CampaignUnit]:
        """Unit id → unit."""
        return {unit.unit_id: unit for unit in self.units}

    @cached_property
    def by_no(self) -> dict[int, CampaignUnit]:
        """unit_no → unit."""
        return {unit.unit_no: unit for unit in self.units}

    @cached_property
    def numbers(self) -> dict[str, int]:
        """Unit id → unit_no."""
        return {unit.unit_id: unit.unit_no for unit in self.units}

    @cached_property
    def response_groups(self) -> dict[int, tuple[str, str]]:
        """Response group id → (instrument, group)."""
        return {id: key for key, id in self.response_group_ids.items()}

    @property
    def is_shown_to_units(self) -> bool:
        """Whether unit heads see the running score of their own unit."""
        return self.shown_to_units_at is not None

    def in_category(self, key: str) -> list[CampaignUnit]:
        """Return the units of a category, in the order of the register."""
        return [unit for unit in self.units if unit.category == key]

    def unit(self, unit_id: str) -> CampaignUnit:
        """Return the unit. Raises Rejected (404) for one that is not in the register."""
        if unit_id not in self.by_id:
            raise Rejected("没有找到这个单位", status=404)
        return self.by_id[unit_id]

    def category(self, key: str) -> Category:
        """Return the category. Raises Rejected (404) for one that the scheme does not have."""
        category = self.scheme.category(key)
        if category is None:
            raise Rejected("没有这个类别", status=404)
        return category

    @property
    def first_category(self) -> str:
        """The first category with units, or the first of all."""
        keys = [category.key for category in self.scheme.categories]
        filled = (key for key in keys if self.in_category(key))
        return next(filled, keys[0])
