"""审计日志: the audit log of one service, for auditors and nobody else. Reading it is audited."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter
from pydantic import Field
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import Response

from shared.appraisal.imports import escape_formula
from shared.foundation.clock import CHINA
from shared.security import audit_reading
from shared.security.audit_reading import (
    COUNTED_MAX,
    EXPORTED_MAX,
    ROWS_PER_PAGE,
    AuditDirectory,
    AuditFilter,
    AuditLine,
    SeenSubject,
)
from shared.security.policies import Account
from shared.storage.transaction import Transaction
from shared.web.app_state import app_state
from shared.web.dependencies import CurrentUser, Tx
from shared.web.forms import Form, Input, check_form
from shared.web.navigation import AUDIT_PAGES, AUDITOR
from shared.web.rendering import render_page
from shared.web.routing import Router

FIRST_DAY: Final = date(2000, 1, 1)
LAST_DAY: Final = date(2100, 1, 1)
PAGE_MAX: Final = COUNTED_MAX // ROWS_PER_PAGE
SUBJECT_COLUMNS: Final = ("对象", "对象名称", "次数", "首次", "末次")
LINE_COLUMNS: Final = ("时间", "账号", "账号名称", "操作", "对象", "对象名称", "详情")
VIEWS: Final = [("entries", "逐条记录"), ("subjects", "看过哪些对象")]


class AuditQuery(Input):
    """The filters, as the address of the page carries them."""

    account: str = Field("", title="账号", max_length=100)
    action: str = Field("", title="操作", max_length=60)
    subject: str = Field("", title="对象", max_length=100)
    since: date | None = Field(None, title="起始日期", ge=FIRST_DAY, le=LAST_DAY)
    until: date | None = Field(None, title="截止日期", ge=FIRST_DAY, le=LAST_DAY)
    view: str = Field("entries", pattern="^(entries|subjects)$")
    page: int = Field(1, ge=1, le=PAGE_MAX)

    @property
    def values(self) -> dict[str, Any]:
        """The filters as parts of a query string."""
        return {
            "account": self.account,
            "action": self.action,
            "subject": self.subject,
            "since": self.since or "",
            "until": self.until or "",
            "view": self.view if self.view != "entries" else "",
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditListing:
    """What the filters found. `names` maps ids of accounts and subjects to names."""

    lines: Sequence[AuditLine] = ()
    subjects: Sequence[SeenSubject] = ()
    names: dict[str, str]
    total: int = 0


def audit_router(prefix: str, directory: AuditDirectory) -> APIRouter:
    """Return the routes of a service's audit log. `prefix` is the service's, as `/intake`."""
    router = Router(prefix=f"{prefix}/audit", include_in_schema=False)

    @router.get("", policy=AUDITOR)
    async def audit_page(request: Request, tx: Tx, user: CurrentUser) -> Response:
        form = _read_query(request)
        return await _render(request, tx, user, form, directory)

    @router.get("/export", policy=AUDITOR)
    async def export(request: Request, tx: Tx, user: CurrentUser) -> Response:
        form = _read_query(request)
        if form.cleaned is None:
            return await _render(request, tx, user, form, directory)
        return await _export(request, tx, user, form.cleaned, directory)

    return router


def _read_query(request: Request) -> Form[AuditQuery]:
    items: list[tuple[str, str | UploadFile]] = [*request.query_params.multi_items()]
    return check_form(FormData(items), AuditQuery)


async def _render(
    request: Request,
    tx: Transaction,
    user: Account,
    form: Form[AuditQuery],
    directory: AuditDirectory,
) -> Response:
    query = form.cleaned
    listing = await _listing(tx, user, query, directory) if query else AuditListing(names={})
    shown = query or AuditQuery()
    path = f"/{app_state(request).service}/audit"
    return render_page(
        request,
        "audit.html",
        200 if query else 422,
        form=form,
        query=shown,
        listing=listing,
        last_page=max(1, -(-listing.total // ROWS_PER_PAGE)),
        counted_max=COUNTED_MAX,
        directory=directory,
        actions=directory.action_choices(),
        views=VIEWS,
        path=path,
        tabs=_tabs(shown),
        failed=query is None,
    )


def _tabs(query: AuditQuery) -> list[tuple[str, str, None]]:
    """Return the logs of all services with the same account and days."""
    kept = {"account": query.account, "since": query.since, "until": query.until}
    chosen = {name: value for name, value in kept.items() if value}
    suffix = f"?{urlencode(chosen)}" if chosen else ""
    return [(name, url + suffix, None) for url, name in AUDIT_PAGES.items()]


async def _listing(
    tx: Transaction,
    user: Account,
    query: AuditQuery,
    directory: AuditDirectory,
) -> AuditListing:
    wanted = await _filter(tx, query, directory)
    tx.audit("audit.read", wanted.actor or tx.service, str(user.id), **_facts(query))
    if wanted.reads_only:
        return await _seen(tx, wanted, directory)
    offset = (query.page - 1) * ROWS_PER_PAGE
    lines = await audit_reading.list_entries(tx, wanted, offset=offset)
    total = await audit_reading.count_entries(tx, wanted)
    ids = {line.actor for line in lines} | {line.subject for line in lines}
    return AuditListing(lines=lines, names=await _names(tx, ids, directory), total=total)


async def _seen(
    tx: Transaction,
    wanted: AuditFilter,
    directory: AuditDirectory,
) -> AuditListing:
    subjects = await audit_reading.list_seen_subjects(tx, wanted)
    ids = {each.subject for each in subjects} | {wanted.actor}
    return AuditListing(subjects=subjects, names=await _names(tx, ids, directory))


async def _names(
    tx: Transaction,
    ids: set[str],
    directory: AuditDirectory,
) -> dict[str, str]:
    return dict(await directory.names(tx, sorted(ids)))


async def _filter(
    tx: Transaction,
    query: AuditQuery,
    directory: AuditDirectory,
) -> AuditFilter:
    wanted = AuditFilter(
        action=query.action,
        since=_midnight(query.since),
        until=_midnight(query.until + timedelta(days=1)) if query.until else None,
        reads_only=query.view == "subjects",
    )
    actor = await directory.find(tx, query.account) if query.account else ""
    subject = await directory.find(tx, query.subject) if query.subject else ""
    return replace(wanted, actor=actor, subject=subject)


def _midnight(day: date | None) -> datetime | None:
    return datetime.combine(day, time.min, CHINA) if day else None


def _facts(query: AuditQuery) -> dict[str, Any]:
    """Return what the audit entry keeps: no text that somebody typed."""
    return {
        "view": query.view,
        "since": str(query.since) if query.since else None,
        "until": str(query.until) if query.until else None,
        "page": query.page,
    }


# ── export ────────────────────────────────────────────────────────────────────────────────────────


async def _export(
    request: Request,
    tx: Transaction,
    user: Account,
    query: AuditQuery,
    directory: AuditDirectory,
) -> Response:
    """The newest EXPORTED_MAX entries, or all subjects seen, as CSV for a spreadsheet."""
    wanted = await _filter(tx, query, directory)
    tx.audit("audit.exported", wanted.actor or tx.service, str(user.id), **_facts(query))
    rows = await _rows(tx, wanted, directory)
    name = f"audit-{app_state(request).service}-{tx.now.astimezone(CHINA):%Y%m%d}.csv"
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return Response(_csv(rows), media_type="text/csv; charset=utf-8", headers=headers)


async def _rows(
    tx: Transaction,
    wanted: AuditFilter,
    directory: AuditDirectory,
) -> list[Sequence[str]]:
    if wanted.reads_only:
        subjects = await audit_reading.list_seen_subjects(tx, wanted)
        names = await _names(tx, {each.subject for each in subjects}, directory)
        return [SUBJECT_COLUMNS, *(_subject_row(each, names) for each in subjects)]
    lines = await audit_reading.list_entries(tx, wanted, limit=EXPORTED_MAX)
    ids = {line.actor for line in lines} | {line.subject for line in lines}
    names = await _names(tx, ids, directory)
    return [LINE_COLUMNS, *(_line_row(line, names, directory) for line in lines)]


def _subject_row(seen: SeenSubject, names: dict[str, str]) -> Sequence[str]:
    return (
        seen.subject,
        names.get(seen.subject, ""),
        str(seen.times),
        _local(seen.first_at),
        _local(seen.last_at),
    )


def _line_row(
    line: AuditLine,
    names: dict[str, str],
    directory: AuditDirectory,
) -> Sequence[str]:
    return (
        _local(line.at),
        line.actor,
        names.get(line.actor, ""),
        directory.action_label(line.action),
        line.subject,
        names.get(line.subject, ""),
        line.details_text,
    )


def _local(instant: datetime) -> str:
    return f"{instant.astimezone(CHINA):%Y-%m-%d %H:%M:%S}"


def _csv(rows: Sequence[Sequence[str]]) -> bytes:
    written = io.StringIO()
    writer = csv.writer(written)
    for row in rows:
        writer.writerow([escape_formula(cell) for cell in row])
    return ("\ufeff" + written.getvalue()).encode()
