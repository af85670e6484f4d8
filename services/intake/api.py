"""Intake's doors for programs: sessions, complaints, codes, ballots, visits, imports, accounts."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import Form, Path, Query, Request, UploadFile
from pydantic import AwareDatetime, Field
from starlette.background import BackgroundTask
from starlette.responses import JSONResponse, Response

from services.intake.actions import accounts, ballots, complaints, imports, visits
from services.intake.actions.complaints import Entry, Registered, code_of
from services.intake.domain.complaints import (
    CODE_DIGITS,
    COMPLAINT_TEXT_MAX,
    REDACTED_SUMMARY_MAX,
    Report,
)
from services.intake.domain.visits import PHOTOS_MAX, Checked, Found
from services.intake.settings import Context
from services.intake.store import accounts as account_store
from services.intake.store import ballots as ballot_store
from services.intake.store import campaigns
from services.intake.store import imports as import_store
from services.intake.store.files import FILE_MAX_BYTES
from shared.appraisal.events import ComplaintChannel, Kind, Rejected, Urgency
from shared.appraisal.imports import FILE_MAX_BYTES as IMPORT_MAX_BYTES
from shared.appraisal.imports import report_csv
from shared.foundation import telemetry
from shared.security.policies import PUBLIC, SIGNED_IN, Account, allow
from shared.security.rate_limits import RateLimit
from shared.security.roles import Role
from shared.security.sessions import csrf_token, read_credential
from shared.security.sign_in import count_login_attempt, reset_login_failures
from shared.storage.connections import Database
from shared.storage.transaction import Transaction
from shared.web import (
    CurrentUser,
    Idempotency,
    NotFound,
    Router,
    TooManyRequests,
    Tx,
    client_network,
    enforce_rate_limit,
)
from shared.web.errors import error_response
from shared.web.forms import Input
from shared.web.idempotency import (
    KEY_HEADER,
    KEY_MAX,
    IdempotentCoalescer,
    MissingIdempotencyKey,
    StoredResponse,
)

router = Router(prefix="/intake/api", tags=["受理"])
R = Role
REGISTRARS: Final = allow(R.OPERATOR, R.REVIEWER, R.OFFICE, R.ADMIN)
OFFICE: Final = allow(R.OFFICE, R.ADMIN)
BALLOTS_A_MINUTE: Final = (600, 60)
"""From one address: a hall's tablets stand behind one; a script is slower than it would like."""


class ProblemDetail(Input):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    instance: str = ""
    errors: list[dict[str, str]] = Field(default_factory=list)


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The failures of a route, for OpenAPI."""
    reference = {"schema": {"$ref": "#/components/schemas/ProblemDetail"}}
    listed = (400, 401, 403, 422, *statuses)
    return {
        status: {"description": "失败", "content": {"application/problem+json": reference}}
        for status in sorted(set(listed))
    }


# ── sessions ──────────────────────────────────────────────────────────────────────────────────────


class SignIn(Input):
    name: str = Field(max_length=100)
    password: str = Field(max_length=256)


class Session(Input):
    token: str
    csrf: str
    account: dict[str, str | None]


@router.post(
    "/sessions",
    policy=PUBLIC,
    status_code=201,
    response_model=Session,
    responses={**problems(429), 422: {"model": ProblemDetail}},
)
async def sign_in(request: Request, tx: Tx, given: SignIn) -> Response:
    """A session token for `Authorization: Bearer`."""
    limiter, source = request.app.state.limiter, client_network(request)
    if wait := await count_login_attempt(limiter, given.name, source):
        telemetry.login_failures.labels("too_often").inc()
        raise TooManyRequests(wait)
    account = await accounts.sign_in(
        tx, name=given.name, password=given.password, agent=request.headers.get("user-agent", "")
    )
    if account is None:
        telemetry.login_failures.labels("wrong").inc()
        raise Rejected("用户名或密码不正确", status=401)
    await reset_login_failures(limiter, given.name, source)
    token = await request.app.state.sessions.create(account)
    shown = {
        "id": str(account.id),
        **{name: getattr(account, name) for name in ("name", "display_name", "role", "unit_id")},
    }
    return JSONResponse({"token": token, "csrf": csrf_token(token), "account": shown}, 201)


@router.delete("/sessions/current", policy=SIGNED_IN, status_code=204, responses=problems())
async def sign_out(request: Request) -> Response:
    """End the session of this token."""
    sessions = request.app.state.sessions
    credential = read_credential(request, sessions.cookie)
    if credential:
        await sessions.revoke(credential.token)
    return Response(status_code=204)


# ── complaints ────────────────────────────────────────────────────────────────────────────────────


class NewComplaint(Input):
    """A complaint to register. `redacted_summary` left out: drafted from `complaint_text` by masking what is
    personal.
    """

    campaign_id: str = Field(max_length=100)
    channel: ComplaintChannel
    kind: Kind
    urgency: Urgency = Urgency.NORMAL
    urgency_reason: str = Field("", max_length=200)
    unit_id: str | None = Field(None, max_length=100)
    problem_item: str | None = Field(None, max_length=20)
    complaint_text: str = Field(max_length=COMPLAINT_TEXT_MAX)
    redacted_summary: str | None = Field(None, max_length=REDACTED_SUMMARY_MAX)
    identity: Literal["real_name", "confidential", "anonymous"] = "confidential"
    name: str = Field("", max_length=50)
    phone: str = Field("", max_length=30)
    address: str = Field("", max_length=200)
    place: str = Field("", max_length=200)
    occurred_at: str = Field("", max_length=100, description="什么时候发生的，原话或日期")
    received_at: AwareDatetime | None = Field(
        None, description="补录时的收到时间，仅评议办和管理员可填"
    )
    merge_into: str = Field("", max_length=20, description="并入的诉求编号")

    def report(self) -> Report:
        """As the actions take it."""
        given = vars(self)
        return Report(
            occurred=self.occurred_at,
            **{name: given[name] for name in Report.__struct_fields__ if name != "occurred"},
        )


class ComplaintReceipt(Input):
    id: UUID
    number: str
    query_code: str = Field(pattern=rf"^\d{{{CODE_DIGITS}}}$")
    campaign_id: str
    unit_id: str | None
    redacted_summary: str
    received_at: datetime
    merged_into: str | None


@router.post(
    "/complaints",
    policy=REGISTRARS,
    status_code=201,
    response_model=ComplaintReceipt,
    responses=problems(409),
)
async def register_complaint(request: Request, user: CurrentUser, given: NewComplaint) -> Response:
    """Register a complaint. The query code is in the answer only: it is stored nowhere, not even
    for a repetition.
    """
    desk: IdempotentCoalescer[Entry, Registered] = request.app.state.desk
    stored = await desk(request, Entry(report=given.report(), by=user, merge_into=given.merge_into))
    code = code_of(request.app.state.context.ring, UUID(stored.body["id"]))
    return StoredResponse(
        stored.status, stored.body | {"query_code": code}, stored.replayed
    ).response()


class Similar(Input):
    id: UUID
    number: str
    likeness: float
    kind: Kind
    redacted_summary: str
    received_at: datetime
    repeats: int
    closed: bool


@router.get(
    "/complaints/similar", policy=REGISTRARS, response_model=list[Similar], responses=problems()
)
async def similar_complaints(
    tx: Tx,
    user: CurrentUser,
    campaign_id: Annotated[str, Query(max_length=100)],
    unit_id: Annotated[str, Query(max_length=100)],
    redacted_summary: Annotated[str, Query(max_length=REDACTED_SUMMARY_MAX)],
) -> Response:
    """疑似重复: about the same unit within seven days, alike in words."""
    found = await complaints.similar_complaints(
        tx, campaign_id=campaign_id, unit_id=unit_id, redacted_summary=redacted_summary, user=user
    )
    listed = [
        {
            "id": str(row["id"]),
            "received_at": row["received_at"].isoformat(),
            "closed": row["closed_at"] is not None,
        }
        | {
            name: row[name]
            for name in ("number", "likeness", "kind", "redacted_summary", "repeats")
        }
        for row in found
    ]
    return JSONResponse(listed)


class Merger(Input):
    into: str = Field(max_length=20)


@router.post(
    "/complaints/{number}/merger", policy=REGISTRARS, status_code=201, responses=problems(404, 409)
)
async def merge_complaint(
    tx: Tx, user: CurrentUser, idempotency: Idempotency, number: str, given: Merger
) -> Response:
    """并入 another complaint."""
    return await idempotency.respond(
        201, complaints.merge_complaint(tx, number=number, into=given.into, by=user)
    )


class Supplement(Input):
    text: str = Field(min_length=5, max_length=REDACTED_SUMMARY_MAX)


@router.post(
    "/complaints/{number}/supplements", policy=REGISTRARS, status_code=201, responses=problems(404)
)
async def add_supplement(
    tx: Tx, user: CurrentUser, idempotency: Idempotency, number: str, given: Supplement
) -> Response:
    """补充说明."""
    return await idempotency.respond(
        201, complaints.add_supplement(tx, number=number, text=given.text, by=user)
    )


# ── questionnaires ────────────────────────────────────────────────────────────────────────────────


class NewBatch(Input):
    campaign_id: str = Field(max_length=100)
    instrument: str = Field(max_length=50)
    group: str = Field(max_length=50)
    point: str | None = Field(None, max_length=100)
    count: int = Field(1, ge=1, le=ballots.BATCH_MAX)
    use: Literal["one_use", "place"] = "one_use"
    closes_on: date | None = None


class Batch(Input):
    id: UUID
    codes: list[str]


@router.post(
    "/token-batches",
    policy=OFFICE,
    status_code=201,
    response_model=Batch,
    responses={**problems(), 201: {"content": {"text/csv": {}}, "description": "问卷码，仅此一次"}},
)
async def issue_tokens(request: Request, tx: Tx, user: CurrentUser, given: NewBatch) -> Response:
    """Issue codes; they are shown this once, as JSON or (`Accept: text/csv`) as CSV. A repetition
    makes another batch: no key is taken.
    """
    batch_id, codes = await ballots.issue_tokens(tx, **given.model_dump(), by=user)
    if "text/csv" in request.headers.get("accept", ""):
        lines = [
            "code,url",
            *(f"{code},{request.url.scheme}://{request.url.netloc}/s/{code}" for code in codes),
        ]
        return Response(
            "\ufeff" + "\r\n".join(lines) + "\r\n", 201, media_type="text/csv; charset=utf-8"
        )
    return JSONResponse({"id": str(batch_id), "codes": codes}, 201)


@router.get("/token-batches", policy=OFFICE, responses=problems())
async def list_batches(
    tx: Tx, campaign_id: Annotated[str | None, Query(max_length=100)] = None
) -> Response:
    """The register of issuance: codes issued and ballots cast, by batch."""
    return JSONResponse(_plain(await ballot_store.batches(tx, campaign_id)))


def _plain(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows as JSON takes them."""
    return [
        {
            name: str(value) if isinstance(value, UUID | datetime | date) else value
            for name, value in row.items()
        }
        for row in rows
    ]


class NewBallot(Input):
    token: str = Field(max_length=60)
    answers: list[tuple[int, int, int]] = Field(
        max_length=20_000, description="[单位序号, 题号, 选项号]"
    )


@router.post("/ballots", policy=PUBLIC, status_code=201, responses=problems(404, 409, 410, 429))
async def cast_ballot(request: Request, tx: Tx, given: NewBallot) -> Response:
    """Cast a ballot. The answer says that it was taken, and nothing by which it could be found
    again.
    """
    key = request.headers.get(KEY_HEADER, "")
    if not 1 <= len(key) <= KEY_MAX:
        raise MissingIdempotencyKey
    await enforce_rate_limit(
        request, RateLimit(f"ballots/{client_network(request)}", *BALLOTS_A_MINUTE)
    )
    if wait := await ballots.place_wait(tx, request.app.state.limiter, given.token):
        too_many = TooManyRequests(
            wait
        )  # Answered, not raised: that the place was marked is to be committed.
        return error_response(request, too_many.status, too_many.sentence, headers=too_many.headers)
    await ballots.cast_ballot(tx, code=given.token, answers=given.answers, key=key, device=key)
    return JSONResponse({"accepted": True}, 201)


# ── visits ────────────────────────────────────────────────────────────────────────────────────────

INSPECTORS: Final = allow(R.INSPECTOR, R.OFFICE)
Digest = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")]


class Item(Input):
    item_id: str = Field(max_length=50)
    result: Literal["pass", "fail", "na"]
    note: str = Field("", max_length=2000)


class DescribedFinding(Input):
    item_id: str = Field(max_length=50)
    severity: Literal["minor", "ordinary", "serious"] = "ordinary"
    summary: str = Field(min_length=1, max_length=2000)


class Position(Input):
    latitude: float = Field(ge=-90, le=90)
    longitude: float = Field(ge=-180, le=180)
    accuracy_metres: float = Field(ge=0, le=1_000_000)


class VisitReport(Input):
    campaign_id: str = Field(max_length=100)
    unit_id: str = Field(max_length=100)
    mode: Literal["announced", "covert"]
    visited_at: AwareDatetime
    device_at: AwareDatetime | None = None
    position: Position | None = None
    place: str = Field("", max_length=200)
    items: list[Item] = Field(max_length=200)
    findings: list[DescribedFinding] = Field(default_factory=list, max_length=50)
    remarks: str = Field("", max_length=2000)
    photos: list[Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]] = Field(
        default_factory=list, max_length=PHOTOS_MAX
    )

    def report(self) -> visits.Report:
        """As the actions take it."""
        return visits.Report(
            campaign_id=self.campaign_id,
            unit_id=self.unit_id,
            mode=self.mode,
            visited_at=self.visited_at,
            device_at=self.device_at,
            place=self.place,
            remarks=self.remarks,
            photos=tuple(self.photos),
            **(self.position.model_dump() if self.position else {}),
            items=tuple(Checked(item.item_id, item.result, item.note) for item in self.items),
            findings=tuple(
                Found(found.item_id, found.severity, found.summary) for found in self.findings
            ),
        )


class VisitReceipt(Input):
    id: UUID
    number: str
    missing: list[str]


@router.put(
    "/visits/{visit_id}/photos/{sha256}",
    policy=INSPECTORS,
    body_max=FILE_MAX_BYTES,
    status_code=201,
    responses={**problems(404, 409, 413, 415), 200: {"description": "已有这张照片"}},
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def put_photo(
    request: Request, tx: Tx, user: CurrentUser, visit_id: UUID, sha256: Digest
) -> Response:
    """A photo of a visit, named by the SHA-256 of its bytes; any order, any number of times."""
    new = await visits.store_photo(
        tx, visit_id=visit_id, sha256=sha256, body=await request.body(), by=user
    )
    return JSONResponse({"sha256": sha256}, 201 if new else 200)


@router.post(
    "/visits/{visit_id}/commit",
    policy=INSPECTORS,
    status_code=201,
    response_model=VisitReceipt,
    responses={**problems(404, 409), 200: {"model": VisitReceipt, "description": "此前已收到"}},
)
async def commit_visit(tx: Tx, user: CurrentUser, visit_id: UUID, given: VisitReport) -> Response:
    """Hand a visit in. Its id is the key: sent again it gets the same answer. It counts once
    `missing` is empty.
    """
    accepted = await visits.submit_visit(tx, visit_id, given.report(), by=user)
    body = {"id": str(accepted.id), "number": accepted.number, "missing": accepted.missing}
    return JSONResponse(body, 201 if accepted.first else 200)


@router.get("/photos/{file_id}", policy=INSPECTORS, responses=problems(404))
async def photo(tx: Tx, user: CurrentUser, file_id: UUID) -> Response:
    """A photo without its metadata, for its inspector and the appraisal office."""
    body = await visits.read_photo(tx, file_id, by=user)
    if body is None:
        raise NotFound
    return Response(
        body, media_type="image/jpeg", headers={"Content-Disposition": "inline; filename=photo.jpg"}
    )


# ── imports ───────────────────────────────────────────────────────────────────────────────────────

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
    database: Database, context: Context, import_id: UUID, order: imports.Order
) -> None:
    task = asyncio.create_task(imports.run_import(database, context, import_id, order))
    _running.add(task)
    task.add_done_callback(_running.discard)


@router.get("/imports", policy=OFFICE, responses=problems())
async def list_imports(tx: Tx) -> Response:
    """The last imports."""
    return JSONResponse(_plain(await import_store.listed(tx)))


@router.get("/imports/{import_id}", policy=OFFICE, responses=problems(404))
async def import_progress(tx: Tx, import_id: UUID) -> Response:
    """How an import stands, with the rows refused so far (at most a thousand)."""
    found = await import_store.find(tx, import_id)
    if found is None:
        raise NotFound
    mistakes = [dict(row) for row in await import_store.mistakes(tx, import_id)]
    return JSONResponse(_plain([found])[0] | {"mistakes": mistakes})


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


# ── campaigns and accounts ────────────────────────────────────────────────────────────────────────


@router.get("/campaigns", policy=SIGNED_IN, responses=problems())
async def list_campaigns(tx: Tx) -> Response:
    """Campaigns as intake knows them: a newly published one is here a moment later."""
    return JSONResponse(
        [
            {"id": c.id, "title": c.title, "year": c.year, "units": len(c.units)}
            for c in await campaigns.running(tx)
        ]
    )


class NewAccount(Input):
    name: str = Field(max_length=40)
    display_name: str = Field("", max_length=40)
    role: Role
    unit_id: str | None = Field(None, max_length=100)
    password: str = Field(max_length=256)


class AccountChange(Input):
    display_name: str = Field(max_length=40)
    role: Role
    unit_id: str | None = Field(None, max_length=100)
    disabled: bool = False


class PasswordReset(Input):
    password: str = Field(max_length=256)


@router.post("/accounts", policy=allow(R.ADMIN), status_code=201, responses=problems(409))
async def create_account(
    tx: Tx, user: CurrentUser, idempotency: Idempotency, given: NewAccount
) -> Response:
    """A new account."""
    return await idempotency.respond(201, _account(tx, given, str(user.id)))


async def _account(tx: Transaction, given: NewAccount, by: str) -> dict[str, Any]:
    account = await accounts.create_account(tx, **given.model_dump(), by=by)
    return {
        "id": str(account.id),
        "name": account.name,
        "role": account.role,
        "unit_id": account.unit_id,
    }


@router.get("/accounts", policy=allow(R.ADMIN), responses=problems())
async def list_accounts(tx: Tx) -> Response:
    """All accounts."""
    return JSONResponse(_plain(await account_store.listed(tx)))


@router.put("/accounts/{account_id}", policy=allow(R.ADMIN), responses=problems(404, 409))
async def change_account(
    tx: Tx, user: CurrentUser, idempotency: Idempotency, account_id: UUID, given: AccountChange
) -> Response:
    """Change a role, a unit or a name, or disable an account; its sessions end at once."""
    return await idempotency.respond(200, _changed(tx, account_id, given, user))


async def _changed(
    tx: Transaction, account_id: UUID, given: AccountChange, user: Account
) -> dict[str, Any]:
    account = await accounts.change_account(tx, account_id, **given.model_dump(), by=user)
    return {"id": str(account.id), "role": account.role, "unit_id": account.unit_id}


@router.post(
    "/accounts/{account_id}/password",
    policy=allow(R.ADMIN),
    status_code=201,
    responses=problems(404),
)
async def reset_password(
    tx: Tx, user: CurrentUser, idempotency: Idempotency, account_id: UUID, given: PasswordReset
) -> Response:
    """A new password for somebody who forgot theirs."""
    return await idempotency.respond(
        201, accounts.reset_password(tx, account_id, password=given.password, by=user)
    )
