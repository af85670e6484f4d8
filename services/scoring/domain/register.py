"""The unit register: rows of a register file, and the units they become."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from re import compile as pattern
from typing import Final

from services.scoring.domain.campaign import Campaign, CampaignUnit
from shared.appraisal.errors import Rejected
from shared.appraisal.imports import Table
from shared.appraisal.schemes import Scheme

UNIT_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "name": ("单位名称", "单位", "名称", "name"),
    "category": ("类别", "分类", "单位类别", "category"),
    "unit_id": ("单位编码", "编码", "代码", "unit_id"),
    "aliases": ("其他名称", "别名", "简称", "aliases"),
}
"""Accepted headings of the columns of a register file."""
_ALIAS_SEPARATOR: Final = pattern(r"[、；;,，|]")


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitRow:
    """A unit to register.

    `unit_id` "" lets the register assign a code. `category`: key or label of a category.
    """

    name: str
    category: str
    unit_id: str = ""
    aliases: tuple[str, ...] = ()


def split_aliases(text: str) -> tuple[str, ...]:
    """Return the names in a cell, separated by 、 ； ; , ， or |."""
    return _stripped(_ALIAS_SEPARATOR.split(text))


def _stripped(names: Iterable[str]) -> tuple[str, ...]:
    stripped = (name.strip() for name in names)
    return tuple(name for name in stripped if name)


def unit_row(fields: Mapping[str, str]) -> UnitRow:
    """Return the unit in one row of a file, its cells by field."""
    return UnitRow(
        name=fields["name"].strip(),
        category=fields["category"].strip(),
        unit_id=fields.get("unit_id", "").strip(),
        aliases=split_aliases(fields.get("aliases", "")),
    )


def unit_rows(table: Table) -> list[UnitRow]:
    """Return the units of a register file whose columns are named as in `UNIT_COLUMNS`.

    Raises Rejected (422) when the file has no column for the name or for the category.
    """
    columns = _column_numbers(table)
    if not {"name", "category"} <= columns.keys():
        raise Rejected(
            "文件须有“单位名称”和“类别”两列，可另有“单位编码”“其他名称”", status=422, field="file"
        )
    return [unit_row(_cells(cells, columns)) for _, cells in table.rows]


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


# ── registration ──────────────────────────────────────────────────────────────────────────────────


def registered_units(campaign: Campaign, rows: Sequence[UnitRow]) -> list[CampaignUnit]:
    """Return the units that the rows become; a registered unit keeps its number.

    A row is the same unit when its code is the same or, without a code, when its name is. Raises
    Rejected (422) for a row without a name, with a name of another unit, or of an unknown category.
    """
    units = {unit.unit_id: unit for unit in _units(campaign, rows)}
    return list(units.values())


def _units(campaign: Campaign, rows: Sequence[UnitRow]) -> Iterator[CampaignUnit]:
    by_name = {unit.name: unit.unit_id for unit in campaign.units}
    numbers = dict(campaign.numbers)
    next_no = max(campaign.by_no, default=0) + 1
    for line, row in enumerate(rows, start=1):
        name = row.name.strip()
        category = _category(campaign.scheme, row.category.strip(), line)
        unit_id = row.unit_id.strip() or by_name.get(name) or f"{category}-{next_no:03d}"
        _check_name(name, unit_id, by_name, line)
        if unit_id not in numbers:
            numbers[unit_id] = next_no
            next_no += 1
        yield CampaignUnit(
            unit_no=numbers[unit_id],
            unit_id=unit_id,
            name=name,
            category=category,
            aliases=_stripped(row.aliases),
        )


def _check_name(
    name: str,
    unit_id: str,
    by_name: dict[str, str],
    line: int,
) -> None:
    if not name:
        raise Rejected(f"第 {line} 行：单位名称为空", status=422)
    if by_name.setdefault(name, unit_id) != unit_id:
        raise Rejected(f"第 {line} 行：单位名称“{name}”与其他单位重复", status=422)


def _category(
    scheme: Scheme,
    text: str,
    line: int,
) -> str:
    for category in scheme.categories:
        if text in (category.key, category.label):
            return category.key
    labels = "、".join(category.label for category in scheme.categories)
    raise Rejected(f"第 {line} 行：没有“{text}”这个类别，应为 {labels} 之一", status=422)
