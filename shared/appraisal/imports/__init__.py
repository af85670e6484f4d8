"""Import files of other systems, row by row, through a mapping that an office can write itself.

    mapping = read_mapping(Path("deploy/imports/messages.yaml").read_text())
    table = await load_table("messages.csv", content)
    for row in map_rows(table, mapping):    # MappedRow or RowError, in the order of the file
        ...

`mapping.py` describes the mapping's format. Errors name the line, the column and the mistake, never
the content of a row.
"""

from shared.appraisal.imports.mapping import (
    KINDS,
    AnswerColumn,
    FieldSource,
    InvalidMapping,
    RowMapping,
    read_mapping,
)
from shared.appraisal.imports.rows import MappedRow, RowError, escape_formula, map_rows, report_csv
from shared.appraisal.imports.tables import (
    FILE_MAX_BYTES,
    InvalidFile,
    Table,
    load_table,
    read_table,
)

__all__ = [
    "FILE_MAX_BYTES",
    "KINDS",
    "AnswerColumn",
    "FieldSource",
    "InvalidFile",
    "InvalidMapping",
    "MappedRow",
    "RowError",
    "RowMapping",
    "Table",
    "escape_formula",
    "load_table",
    "map_rows",
    "read_mapping",
    "read_table",
    "report_csv",
]
