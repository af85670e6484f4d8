"""Files of bodies: read, shown as a plan, then carried out as shown."""

from collections.abc import Sequence
from typing import Final

import msgspec
from pydantic import Field
from starlette.datastructures import UploadFile

from services.scoring.domain.register import UnitRow, unit_rows
from shared.appraisal.errors import Rejected
from shared.appraisal.imports import InvalidFile, load_table
from shared.web import Form
from shared.web.forms import Input

FILE_MAX_BYTES: Final = 8 * 1024 * 1024
ROWS_MAX: Final = 2000
ROWS_TEXT_MAX: Final = 4 * 1024 * 1024

_rows_decoder = msgspec.json.Decoder(list[UnitRow])


class RegisterFileForm(Input):
    """名册文件."""

    file: UploadFile = Field(title="名册文件")


class PlannedRowsForm(Input):
    """Rows as a preview showed them, and the digest of what they meant then."""

    rows: str = Field(title="名册", max_length=ROWS_TEXT_MAX)
    digest: str = Field(max_length=64)


async def read_rows(
    form: Form[RegisterFileForm],
    *,
    required: Sequence[str],
) -> list[UnitRow] | None:
    """Return the rows of the uploaded file; None, with the error in the form, if it has none."""
    if form.cleaned is None:
        return None
    file = form.cleaned.file
    await file.seek(0)
    try:
        rows = unit_rows(
            await load_table(file.filename or "名册", await file.read()),
            required=required,
        )
    except (InvalidFile, Rejected) as error:
        form.add_error(str(error), "file")
        return None
    if len(rows) > ROWS_MAX:
        form.add_error(f"一次最多导入 {ROWS_MAX} 行，请分成几个文件", "file")
        return None
    return rows


def encode_rows(rows: Sequence[UnitRow]) -> str:
    """Return rows as a preview hands them on."""
    return msgspec.json.encode(list(rows)).decode()


def decode_rows(text: str) -> list[UnitRow]:
    """Return the rows that a preview handed on. Raises Rejected (422) for anything else."""
    try:
        rows = _rows_decoder.decode(text)
    except msgspec.DecodeError as error:
        raise Rejected("名册内容不完整，请重新选择文件", status=422, field="file") from error
    if len(rows) > ROWS_MAX:
        raise Rejected(f"一次最多导入 {ROWS_MAX} 行，请分成几个文件", status=422, field="file")
    return rows
