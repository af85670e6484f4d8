"""When a campaign runs and which organisations it appraises."""

from datetime import date

from shared.appraisal.schemes.base import SchemePart, SchemeRule


class Period(SchemePart, frozen=True, kw_only=True):
    """First and last civil day (Asia/Shanghai) of the campaign, both included."""

    begins: date
    ends: date
    ours: bool = False


class AppraisalStage(SchemeRule, frozen=True, kw_only=True):
    """阶段: a part of the campaign period, both days included."""

    begins: date
    ends: date


class ObligationRule(SchemeRule, frozen=True, kw_only=True):
    """What every unit must submit (方案、自评报告 …) by `closes` of the day `due`.

    `deliverable` names the document. `remind` lists the working days before `due` on which the
    unit is reminded, largest first.
    """

    due: date
    deliverable: str
    closes: str = "17:30"
    remind: tuple[int, ...] = (5, 1)


class Category(SchemePart, frozen=True, kw_only=True):
    """类别: units are ranked within one category. `includes` describes its members in prose."""

    key: str
    label: str
    includes: str = ""


class ObjectKind(SchemePart, frozen=True, kw_only=True):
    """What is appraised besides units: a group of people, a section, a window.

    With `rolls_up`, its results count for its unit.
    """

    key: str
    label: str
    rolls_up: bool = True


class ListedUnit(SchemePart, frozen=True, kw_only=True):
    """A unit that the founding document names; seeds a campaign's register in this order."""

    no: int
    name: str
    category: str


class RepresentativeRule(SchemeRule, frozen=True, kw_only=True):
    """评议代表: at least one in `one_new_in` is newly appointed each round.

    With `one_level`, no representative serves two levels, except those in `shared`.
    """

    one_new_in: int
    one_level: bool = True
    shared: tuple[str, ...] = ()
