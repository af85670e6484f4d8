"""Imports in the JSON API."""

import asyncio
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import Form, Request, UploadFile
from starlette.background import BackgroundTask
from starlette.responses import JSONResponse, Response

from services.intake.actions import imports
from services.intake.api.problems import problems
from services.intake.api.responses import json_response
from services.intake.store import imports as store
from shared.appraisal.imports import FILE_MAX_BYTES as IMPORT_MAX_BYTES
from shared.appraisal.imports import report_csv
from shared.appraisal.labels import Role
from shared.security.policies import allow
from shared.web import CurrentUser, NotFound, Router, Transactions, Tx
from shared.web.forms import Input

router = Router(prefix="/intake/api", tags=["受理"])
OFFICE: Final = allow(Role.OFFICE, Role.ADMIN)
FORM_OVERHEAD_BYTES: Final = 1024 * 1024
"""What mapping and boundaries may add to the file."""

_running: Final[set[asyncio.Task[Any]]] = set()
"""Running imports: the event loop keeps only weak references to tasks."""


class ImportStartedResponse(Input):
    id: UUID
    total: int


@router.post(
    "/imports",
    policy=OFFICE,
    body_max=IMPORT_MAX_BYTES + FORM_OVERHEAD_BYTES,
    status_code=202,
    response_model=ImportStartedResponse,
    responses={**problems(), 202: {"description": "已开始"}},
)
async def start_import(
    request: Request,
    transactions: Transactions,
    user: CurrentUser,
    file: UploadFile,
    mapping: UploadFile,
    campaign_id: Annotated[str, Form()],
    dry_run: Annotated[bool, Form()] = False,
) -> Response:
    """Import a CSV or XLSX file through a mapping.

    The same file sent again imports only what is missing, so no idempotency key is needed.
    """
    mapping_bytes = await mapping.read()
    job = await imports.read_job(
        file_name=file.filename or "file",
        content=await file.read(),
        mapping=mapping_bytes.decode(errors="replace"),
        campaign_id=campaign_id,
        dry_run=dry_run,
        by=user,
    )
    async with transactions() as tx:
        import_id = await imports.start_import(tx, job)
    return _accepted(request, import_id, job)


def _accepted(
    request: Request,
    import_id: UUID,
    job: imports.ImportJob,
) -> Response:
    # The import runs after this transaction is committed, in its own transactions.
    return JSONResponse(
        {"id": str(import_id), "total": job.total},
        202,
        headers={"Location": f"{router.prefix}/imports/{import_id}"},
        background=BackgroundTask(_run_in_background, request, import_id, job),
    )


async def _run_in_background(
    request: Request,
    import_id: UUID,
    job: imports.ImportJob,
) -> None:
    state = request.app.state
    running = imports.run_import(state.database, state.context, import_id, job)
    task = asyncio.create_task(running)
    _running.add(task)
    task.add_done_callback(_running.discard)


@router.get("/imports", policy=OFFICE, responses=problems())
async def list_imports(tx: Tx) -> Response:
    """List the last imports."""
    return json_response(await store.list_recent(tx))


@router.get("/imports/{import_id}", policy=OFFICE, responses=problems(404))
async def import_progress(tx: Tx, import_id: UUID) -> Response:
    """Return the counts of an import and the rows rejected so far (at most a thousand)."""
    progress = await store.find_progress(tx, import_id)
    if progress is None:
        raise NotFound
    return json_response(progress)


@router.get("/imports/{import_id}/report.csv", policy=OFFICE, responses=problems(404))
async def import_report(tx: Tx, import_id: UUID) -> Response:
    """Return the rejected rows as CSV: line, column, reason."""
    progress = await store.find_progress(tx, import_id)
    if progress is None:
        raise NotFound
    rows = [(error.line, error.column, error.reason) for error in progress.errors]
    report = report_csv(rows)
    headers = {"Content-Disposition": f"attachment; filename=import-{import_id}.csv"}
    return Response(report, media_type="text/csv; charset=utf-8", headers=headers)
