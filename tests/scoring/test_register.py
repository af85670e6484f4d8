"""The unit register: files of the register page and of `fengping import` are read alike."""

import pytest

from services.scoring.domain.register import (
    UNIT_COLUMNS,
    UnitRow,
    split_aliases,
    unit_row,
    unit_rows,
)
from shared.appraisal.errors import Rejected
from shared.appraisal.imports import map_rows, read_mapping, read_table

MAPPING = """
kind: units
source: units
id: name
fields: {name: name, category: category, unit_id: unit_id, aliases: aliases}
"""
ALIASES = (
    "省交通厅、交通厅",
    "省交通厅；交通厅",
    "省交通厅;交通厅",
    "省交通厅,交通厅",
    "省交通厅，交通厅",
    "省交通厅|交通厅",
)


@pytest.mark.parametrize("aliases", ALIASES)
def test_register_page_and_import_accept_the_same_aliases(aliases):
    content = f"name\tcategory\tunit_id\taliases\n省交通运输厅\tgovernment\tU07\t{aliases}\n"
    table = read_table("units.csv", content.encode())

    uploaded = unit_rows(table)
    mapped = map_rows(table, read_mapping(MAPPING))
    imported = [
        unit_row({field: row.text(field) for field in UNIT_COLUMNS}, line=row.line)
        for row in mapped
    ]

    expected = UnitRow(
        name="省交通运输厅",
        category="government",
        unit_id="U07",
        aliases=("省交通厅", "交通厅"),
        line=2,
    )
    assert uploaded == imported == [expected]


def test_empty_aliases_are_left_out():
    assert split_aliases(" 、省交通厅 ；; ") == ("省交通厅",)


def test_register_file_without_a_category_column_is_rejected():
    table = read_table("units.csv", "单位名称,编码\n省交通运输厅,U07\n".encode())

    with pytest.raises(Rejected):
        unit_rows(table)
