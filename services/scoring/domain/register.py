"""参评单位名册: the rows of a register file, and the organisations that they mean.

A row never means a body by a number that its file made up. It names one by the id or the official
code that the register knows, and then the name must fit; or by its exact current name or alias.
Everything else is an error of that row, or a new body if the row says so (新登记).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from re import compile as pattern
from typing import Final, TypeVar

import msgspec

from services.scoring.domain.campaign import Campaign, CampaignUnit
from services.scoring.domain.organisations import OrganisationDraft, holder_of, new_organisation
from shared.appraisal.errors import Rejected
from shared.appraisal.imports import RowError, Table
from shared.appraisal.labels import LabelledEnum, OrganisationKind, OrganisationLevel
from shared.appraisal.organisations import (
    Organisation,
    OrganisationRegister,
    normalise_code,
)
from shared.appraisal.schemes import Scheme

UNIT_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "name": ("单位名称", "单位", "名称", "name"),
    "category": ("类别", "分类", "单位类别", "category"),
    "unit_id": ("单位编号", "unit_id"),
    "official_code": ("官方代码", "统一社会信用代码", "official_code"),
    "parent": ("上级单位", "parent"),
    "kind": ("机构类型", "kind"),
    "level": ("层级", "level"),
    "aliases": ("其他名称", "别名", "简称", "aliases"),
    "create": ("新登记", "create"),
}
"""Accepted headings of the columns of a register file. Other columns, such as local codes, are not
read.
"""
YES: Final = frozenset({"是", "新", "新登记", "yes", "true", "1", "y"})
MemberT = TypeVar("MemberT", bound=LabelledEnum)
_ALIAS_SEPARATOR: Final = pattern(r"[、；;,，|]")


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitRow:
    """A body in one row of a file. `line`: its line there, or its position in a request.

    `category`: key or label of a category; "" where the row only enters the register. `parent`: id,
    official code or name of the body above. `create`: record a new body unless it is known.
    """

    name: str
    category: str = ""
    unit_id: str = ""
    official_code: str = ""
    parent: str = ""
    kind: str = ""
    level: str = ""
    aliases: tuple[str, ...] = ()
    create: bool = False
    line: int = 0


def split_aliases(text: str) -> tuple[str, ...]:
    """Return the names in a cell, separated by 、 ； ; , ， or |."""
    stripped = (name.strip() for name in _ALIAS_SEPARATOR.split(text))
    return tuple(name for name in stripped if name)


def unit_row(fields: Mapping[str, str], *, line: int = 0) -> UnitRow:
    """Return the body in one row of a file, its cells by field."""
    texts = {field: fields.get(field, "").strip() for field in UNIT_COLUMNS}
    aliases = split_aliases(texts.pop("aliases"))
    create = texts.pop("create").casefold() in YES
    return UnitRow(**texts, aliases=aliases, create=create, line=line)


def unit_rows(table: Table, *, required: Sequence[str] = ("name", "category")) -> list[UnitRow]:
    """Return the bodies of a file whose columns are named as in `UNIT_COLUMNS`.

    Raises Rejected (422) when the file lacks a required column.
    """
    columns = _column_numbers(table)
    missing = [UNIT_COLUMNS[field][0] for field in required if field not in columns]
    if missing:
        raise Rejected(f"文件须有“{'”“'.join(missing)}”列", status=422, field="file")
    return [unit_row(_cells(cells, columns), line=line) for line, cells in table.rows]


def _column_numbers(table: Table) -> dict[str, int]:
    """Field → number of its column, for the fields that the file has."""
    columns: dict[str, int] = {}
    for field, headings in UNIT_COLUMNS.items():
        matching = (at for at, heading in enumerate(table.columns) if heading in headings)
        if (number := next(matching, None)) is not None:
            columns[field] = number
    return columns


def _cells(cells: Sequence[str], columns: Mapping[str, int]) -> dict[str, str]:
    return {field: cells[at] if at < len(cells) else "" for field, at in columns.items()}


# ── matching ──────────────────────────────────────────────────────────────────────────────────────


def match_row(register: OrganisationRegister, row: UnitRow) -> Organisation | None:
    """Return the known body that a row means, None for one to be recorded.

    Raises Rejected (422) when the row contradicts the register, fits several bodies, or fits none
    and does not ask for a new one.
    """
    if row.unit_id:
        return _checked_match(register.find(row.unit_id), row, f"编号“{row.unit_id}”")
    code = normalise_code(row.official_code)
    holder = holder_of(register.by_id.values(), code) if code else None
    if holder is not None:
        return _checked_match(holder, row, f"官方代码“{code}”")
    return _match_name(register, row, code)


def _checked_match(
    organisation: Organisation | None,
    row: UnitRow,
    meaning: str,
) -> Organisation:
    if organisation is None:
        raise Rejected(f"单位名册中没有{meaning}的单位", status=422)
    if row.name and not organisation.is_called(row.name):
        raise Rejected(
            f"{meaning}在单位名册中是“{organisation.name}”，与“{row.name}”不符；"
            "确已更名的，请先在名册中登记更名",
            status=422,
        )
    return _checked_active(organisation)


def _checked_active(organisation: Organisation) -> Organisation:
    if not organisation.is_active:
        raise Rejected(f"“{organisation.name}”{organisation.state.label}，不能参评", status=422)
    return organisation


def _match_name(
    register: OrganisationRegister,
    row: UnitRow,
    code: str,
) -> Organisation | None:
    found = _namesakes(register, row, code)
    if len(found) > 1:
        paths = "；".join(f"{each.id} {register.path(each.id)}" for each in found)
        raise Rejected(f"有几个单位叫“{row.name}”，请填写单位编号：{paths}", status=422)
    if found:
        return found[0]
    if not row.create:
        raise Rejected(
            f"单位名册中没有“{row.name}”；如是新单位，请先登记，或在“新登记”列填“是”", status=422
        )
    return None


def _namesakes(
    register: OrganisationRegister,
    row: UnitRow,
    code: str,
) -> list[Organisation]:
    """The active bodies of that name; a body with another code, or under another parent, is not.

    A row that may record a new body only means a known one under the very parent that it names:
    otherwise a second 民政局 would become the first one.
    """
    found = [each for each in register.active() if each.is_called(row.name)]
    if code:
        found = [each for each in found if each.official_code is None]
    if row.parent or row.create:
        parent_id = parent_of(register, row)
        found = [each for each in found if each.parent_id == parent_id]
    return found


def parent_of(register: OrganisationRegister, row: UnitRow) -> str | None:
    """Return the id of the body that the row names as its parent, None if it names none.

    Raises Rejected (422) for an unknown or ambiguous one.
    """
    if not row.parent:
        return None
    if row.parent in register.by_id:
        return row.parent
    holder = holder_of(register.by_id.values(), normalise_code(row.parent))
    if holder is not None:
        return holder.id
    found = [each.id for each in register.active() if each.is_called(row.parent)]
    if len(found) != 1:
        reason = "有几个单位叫" if found else "单位名册中没有上级单位"
        raise Rejected(f"{reason}“{row.parent}”", status=422, field="parent")
    return found[0]


def draft_of(register: OrganisationRegister, row: UnitRow) -> OrganisationDraft:
    """Return the new body that a row describes. Raises Rejected (422) for an unknown word in it."""
    return OrganisationDraft(
        name=row.name,
        kind=_member(OrganisationKind, row.kind, OrganisationKind.UNIT, "机构类型"),
        level=_member(OrganisationLevel, row.level, OrganisationLevel.PROVINCE, "层级"),
        official_code=row.official_code,
        parent_id=parent_of(register, row),
        aliases=row.aliases,
    )


def _member(
    members: type[MemberT],
    text: str,
    default: MemberT,
    title: str,
) -> MemberT:
    if not text:
        return default
    for member in members:
        if text in (member.value, member.label):
            return member
    labels = "、".join(member.label for member in members)
    raise Rejected(f"没有“{text}”这个{title}，应为 {labels} 之一", status=422)


# ── a whole file ──────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class PlannedRow:
    """What becomes of a row: the body, whether it is new, and its category in the campaign.

    The id of a new body is only assigned when the plan is carried out; until then it is "".
    """

    row: UnitRow
    organisation: Organisation
    is_new: bool
    category: str = ""


@dataclass(frozen=True, slots=True)
class RegisterPlan:
    """What a whole file means. Nothing is carried out while there are errors.

    `register`: as it would be afterwards, with provisional ids of new bodies.
    """

    rows: tuple[PlannedRow, ...]
    errors: tuple[RowError, ...]
    register: OrganisationRegister

    def path(self, planned: PlannedRow) -> str:
        """Return the names from the top down to the body of a row: namesakes differ in it."""
        return self.register.path(planned.organisation.id)

    def raise_errors(self) -> None:
        """Raise Rejected (422) with the first mistakes, if there are any."""
        if not self.errors:
            return
        first = [f"第 {error.line} 行：{error.reason}" for error in self.errors[:ERRORS_SHOWN]]
        more = len(self.errors) - len(first)
        ending = f"；另有 {more} 行有误" if more else ""
        raise Rejected("；".join(first) + ending, status=422, field="file")

    @property
    def digest(self) -> str:
        """What the plan would do: another body, a new one or another category changes it."""
        meant = [(one.organisation, one.is_new, one.category) for one in self.rows]
        return sha256(msgspec.json.encode(meant)).hexdigest()

    def check_digest(self, expected: str | None) -> None:
        """Raise Rejected (409) when the rows no longer mean what somebody was shown."""
        if expected is not None and self.digest != expected:
            raise Rejected("核对之后名册有了变动，请重新核对")

    @property
    def new_count(self) -> int:
        return sum(planned.is_new for planned in self.rows)


ERRORS_SHOWN: Final = 5


def plan_rows(
    register: OrganisationRegister,
    rows: Iterable[UnitRow],
    scheme: Scheme | None = None,
) -> RegisterPlan:
    """Return what the rows mean. With a scheme, each needs one of its categories."""
    planned: list[PlannedRow] = []
    errors: list[RowError] = []
    known = dict(register.by_id)
    taken: set[str] = set()
    for position, row in enumerate(rows, start=1):
        line = row.line or position
        try:
            one = _planned(OrganisationRegister(known), row, f"line {line}", scheme)
            _check_repeated(one.organisation, taken)
        except Rejected as error:
            errors.append(RowError(line, "", error.sentence))
        else:
            taken.add(one.organisation.id)
            known[one.organisation.id] = one.organisation
            planned.append(one)
    return RegisterPlan(tuple(planned), tuple(errors), OrganisationRegister(known))


def _planned(
    register: OrganisationRegister,
    row: UnitRow,
    provisional_id: str,
    scheme: Scheme | None,
) -> PlannedRow:
    category = _category(scheme, row.category) if scheme else ""
    found = match_row(register, row)
    if found is not None:
        return PlannedRow(row, found, False, category)
    new = new_organisation(register, provisional_id, draft_of(register, row))
    return PlannedRow(row, new, True, category)


def _check_repeated(organisation: Organisation, taken: set[str]) -> None:
    if organisation.id in taken:
        raise Rejected(f"“{organisation.name}”在文件中出现了两次", status=422)


def _category(scheme: Scheme, text: str) -> str:
    for category in scheme.categories:
        if text in (category.key, category.label):
            return category.key
    labels = "、".join(category.label for category in scheme.categories)
    raise Rejected(f"没有“{text}”这个类别，应为 {labels} 之一", status=422)


# ── enrolment ─────────────────────────────────────────────────────────────────────────────────────


def enrolled_units(
    campaign: Campaign,
    enrolled: Iterable[tuple[Organisation, str]],
    *,
    next_no: int,
) -> list[CampaignUnit]:
    """Return bodies as units of the campaign, each with its category.

    A unit that takes part already keeps its number; the others are numbered from `next_no` on.
    """
    numbers = dict(campaign.numbers)
    units: list[CampaignUnit] = []
    for organisation, category in enrolled:
        if organisation.id not in numbers:
            numbers[organisation.id] = next_no
            next_no += 1
        units.append(campaign_unit(organisation, numbers[organisation.id], category))
    return units


def campaign_unit(
    organisation: Organisation,
    unit_no: int,
    category: str,
) -> CampaignUnit:
    """Return the body as a unit of a campaign, under its names of today."""
    return CampaignUnit(
        unit_no=unit_no,
        unit_id=organisation.id,
        name=organisation.name,
        category=category,
        aliases=organisation.other_names,
    )
