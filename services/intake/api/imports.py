"""Imports in the JSON API."""

import asyncio
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import Form, Request, UploadFile
from starlette.background import BackgroundTask
from starlette.responses import JSONResponse, Response

from services.intake.actions import imports
from services.intake.api.problems import json_rows, problems
from services.intake.settings import IntakeContext
from services.intake.store import imports as import_store
from shared.appraisal.imports import FILE_MAX_BYTES as IMPORT_MAX_BYTES
from shared.appraisal.imports import report_csv
from shared.appraisal.labels import Role
from shared.security.policies import allow
from shared.storage.connections import Database
from shared.web import (
    CurrentUser,
    NotFound,
    Router,
    Tx,
)

router = Router(prefix="/intake/api", tags=["受理"])
OFFICE: Final = allow(Role.OFFICE, Role.ADMIN)

_running: Final[set[asyncio.Task[Any]]] = set()
"""Imports at work: the loop itself keeps no hold of a task."""


@router.post(
    "/imports",
    policy=OFFICE,
    body_max=IMPORT_MAX_BYTES + 1024 * 1024,
    status_code=202,
    responses={**problems(), 202: {"description": "已开始"}},
)
async def start_import(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    file: UploadFile,
    mapping: UploadFile,
    campaign_id: Annotated[str, Form()],
    dry_run: Annotated[bool, Form()] = False,
) -> Response:
    """Import a CSV or XLSX file through a mapping. Sending the same file again takes only what is
    not in yet, so no key is needed.
    """
    order = await asyncio.to_thread(
        imports.read_order,
        file_name=file.filename or "file",
        content=await file.read(),
        mapping=(await mapping.read()).decode(errors="replace"),
        campaign_id=campaign_id,
        dry_run=dry_run,
        by=user,
    )
    import_id = await imports.begin_import(tx, order)
    body = {"id": str(import_id), "total": len(order.table.rows)}
    # It begins after the answer, when this transaction is committed, in transactions of its own.
    begin = BackgroundTask(
        _begin, request.app.state.database, request.app.state.context, import_id, order
    )
    return JSONResponse(
        body, 202, headers={"Location": f"{router.prefix}/imports/{import_id}"}, background=begin
    )


async def _begin(
    database: Database, context: IntakeContext, import_id: UUID, order: imports.Order
) -> None:
    task = asyncio.create_task(imports.run_import(database, context, import_id, order))
    _running.add(task)
    task.add_done_callback(_running.discard)


@router.get("/imports", policy=OFFICE, responses=problems())
async def list_imports(tx: Tx) -> Response:
    """The last imports."""
    return JSONResponse(json_rows(await import_store.listed(tx)))


@router.get("/imports/{import_id}", policy=OFFICE, responses=problems(404))
async def import_progress(tx: Tx, import_id: UUID) -> Response:
    """How an import stands, with the rows refused so far (at most a thousand)."""
    found = await import_store.find(tx, import_id)
    if found is None:
        raise NotFound
    mistakes = [dict(row) for row in await import_store.mistakes(tx, import_id)]
    return JSONResponse(json_rows([found])[0] | {"mistakes": mistakes})


@router.get("/imports/{import_id}/report.csv", policy=OFFICE, responses=problems(404))
async def import_report(tx: Tx, import_id: UUID) -> Response:
    """The refused rows as CSV: line, column, reason."""
    if await import_store.find(tx, import_id) is None:
        raise NotFound
    mistakes = [
        (row["line"], row["column"], row["reason"])
        for row in await import_store.mistakes(tx, import_id)
    ]
    headers = {"Content-Disposition": f"attachment; filename=import-{import_id}.csv"}
    return Response(report_csv(mistakes), media_type="text/csv; charset=utf-8", headers=headers)
