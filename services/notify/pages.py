"""Notify for people: N1 消息中心, N2 模板, N3 发送记录, N5 订阅与升级."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import Path, Query
from pydantic import Field, field_validator
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from services.notify import actions, domain, store
from services.notify.domain import KINDS, RULES, STAGES, Audience, Channel, DeliveryState
from services.notify.tables import Template
from shared.appraisal.errors import Rejected
from shared.appraisal.labels import Role
from shared.security.policies import SIGNED_IN, Account, allow
from shared.storage.transaction import Transaction, new_id
from shared.web import (
    CurrentUser,
    Form,
    Idempotency,
    NotFound,
    Router,
    Tx,
    is_htmx,
    read_form,
    redirect,
    render_fragment,
    render_page,
)
from shared.web.forms import Input

router = Router(prefix="/notify", include_in_schema=False)
ADMIN: Final = allow(Role.ADMIN)
ROWS: Final = 50
Kind = Annotated[str, Path(pattern=f"^({'|'.join(KINDS)})$")]
LOOKS: Final = {
    "deadline_lapsed": "over",
    "deadline_unanswered": "over",
    "obligation_lapsed": "over",
    "deadline_warned": "warn",
    "obligation_warned": "warn",
    "score_fell": "warn",
    "case_closed": "done",
    "case_struck_off": "done",
}
"""Badges of what is late, nearly late or over; all other notifications carry a plain tag."""
CALLS: Final = {
    "assign": "去分办",
    "accept": "去签收",
    "handle": "去办理",
    "review": "去审核",
    "rectify": "去整改",
    "obligation": "去报送",
}
"""What a notification asks those who must act; everybody else may look."""
STATE_LOOKS: Final = {"waiting": "hold", "delivered": "ok", "failed": "over", "withdrawn": "hold"}

# ── 消息中心 ──────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Line:
    """One notification in the inbox."""

    id: UUID
    title: str
    look: str
    text: str
    call: str
    occurred_at: datetime
    state: str
    """已读 已处理 已了结, "" while it is unread."""


@dataclass(frozen=True, slots=True)
class Matter:
    """All notifications about one subject, the newest first."""

    id: str
    subject: str
    lines: Sequence[Line]

    @property
    def unread(self) -> bool:
        return any(not line.state for line in self.lines)

    @property
    def done(self) -> bool:
        return all(line.state in ("已处理", "已了结") for line in self.lines)


def _line(row: store.Row) -> Line:
    state = (
        "已处理"
        if row["done_at"]
        else "已了结"
        if row["settled_at"]
        else "已读"
        if row["seen_at"]
        else ""
    )
    kind, stage = row["kind"], row["stage"]
    mine = not row["settled_at"] and stage in STAGES and row["role"] in STAGES[stage].owners
    call = CALLS.get(stage, "查看") if mine else "查看"
    return Line(
        row["id"],
        RULES[kind].title,
        LOOKS.get(kind, ""),
        row["text"],
        call,
        row["occurred_at"],
        state,
    )


def _matters(rows: Sequence[store.Row]) -> list[Matter]:
    grouped = [list(group) for _, group in groupby(rows, key=lambda row: row["subject_id"])]
    return [
        Matter(group[0]["subject_id"], group[0]["subject"], [_line(row) for row in group])
        for group in grouped
    ]


@router.get("/inbox", policy=SIGNED_IN)
async def inbox(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    view: Annotated[str, Query(pattern="^(unread|all)$")] = "unread",
    before: UUID | None = None,
) -> Response:
    rows = await store.inbox(
        tx, user, all_=view == "all", before=str(before) if before else None, limit=ROWS + 1
    )
    matters = _matters(rows)
    shown: dict[str, Any] = {
        "matters": matters[:ROWS],
        "view": view,
        "unread": await store.count_unread(tx, user),
        "before": before,
        "as_of": tx.now,
        "next": str(max(line.id for line in matters[ROWS - 1].lines))
        if len(matters) > ROWS
        else None,
    }
    return (
        render_fragment(request, "inbox.html", "matters", **shown)
        if is_htmx(request)
        else render_page(request, "inbox.html", **shown)
    )


@router.get("/inbox/unread", policy=SIGNED_IN)
async def unread(tx: Tx, user: CurrentUser) -> Response:
    """The number in the top bar, nothing when it is zero. Every page asks now and then."""
    count = await store.count_unread(tx, user)
    return HTMLResponse(
        "" if not count else "99+" if count >= store.UNREAD_SHOWN_MAX else str(count)
    )


@router.get("/notifications/{notification_id}", policy=SIGNED_IN)
async def open_notification(
    request: Request, tx: Tx, user: CurrentUser, notification_id: UUID
) -> Response:
    """On to the page where something can be done about it; it counts as read."""
    link = await actions.open_notification(tx, user=user, notification_id=notification_id)
    if link is None:
        raise NotFound
    return redirect(request, link)


class Reading(Input):
    """What was pressed: the row's button (`only`), the one for what is ticked, or the one for all
    (`every`).
    """

    subjects: list[str] = Field([], title="消息")
    only: str | None = None
    every: bool = False
    view: str = "unread"


@router.post("/inbox/reading", policy=SIGNED_IN)
async def mark_done(
    request: Request, tx: Tx, user: CurrentUser, idempotency: Idempotency
) -> Response:
    form = await read_form(request, Reading)
    if form.cleaned is None or not (
        form.cleaned.only or form.cleaned.subjects or form.cleaned.every
    ):
        raise Rejected("请先选中要标记的消息", status=422)
    chosen = (
        None
        if form.cleaned.every
        else [form.cleaned.only]
        if form.cleaned.only
        else form.cleaned.subjects
    )
    back = "/notify/inbox" if form.cleaned.view == "unread" else "/notify/inbox?view=all"
    return await idempotency.redirect(
        actions.mark_read(tx, user=user, done=True, subjects=chosen), to=back
    )


# ── 发送记录 ──────────────────────────────────────────────────────────────────────────────────────


@router.get("/log", policy=allow(Role.ADMIN, Role.SUPERVISOR))
async def log(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    state: str = "",
    channel: str = "",
    number: str = "",
    before: UUID | None = None,
) -> Response:
    rows = await store.delivery_log(
        tx,
        role=None if user.role is Role.ADMIN else user.role,
        state=state or None,
        channel=channel or None,
        number=number.strip() or None,
        before=before,
        limit=ROWS + 1,
    )
    return render_page(
        request,
        "log.html",
        as_of=tx.now,
        deliveries=rows[:ROWS],
        next=str(rows[ROWS - 1]["id"]) if len(rows) > ROWS else None,
        failing=[
            each
            for each in await store.subscriptions(tx)
            if each.failing_since and user.role in (Role.ADMIN, each.role)
        ],
        form=Form.with_initial({"state": state, "channel": channel, "number": number}),
        query={"state": state, "channel": channel, "number": number},
        filtered=bool(state or channel or number.strip() or before),
        states=_labelled(DeliveryState),
        channels=_labelled(Channel),
        rules=RULES,
        roles={role: role.label for role in Role},
        channel=Channel,
        delivery=DeliveryState,
        looks=STATE_LOOKS,
        may_resend=user.role is Role.ADMIN,
    )


def _labelled(values: Any) -> list[tuple[str, str]]:
    return [(value.value, value.label) for value in values]


@router.post("/log/{delivery_id}/resending", policy=ADMIN)
async def resend(
    tx: Tx, user: CurrentUser, idempotency: Idempotency, delivery_id: UUID
) -> Response:
    return await idempotency.redirect(
        actions.send_again(tx, delivery_id=delivery_id, by=user), to="/notify/log"
    )


# ── 模板 ──────────────────────────────────────────────────────────────────────────────────────────


class TemplateForm(Input):
    """A text, written on the version that was read."""

    text: str = Field(title="模板内容")
    based_on: int = Field(title="版本", ge=1)

    @field_validator("text")
    @classmethod
    def _usable(cls, text: str) -> str:
        if problem := actions.template_problem(text):
            raise ValueError(problem)
        return text


@router.get("/templates", policy=ADMIN)
async def templates(request: Request, tx: Tx) -> Response:
    return render_page(
        request, "templates.html", rules=RULES, newest=await store.newest_templates(tx)
    )


@router.get("/templates/{kind}", policy=ADMIN)
async def template(request: Request, tx: Tx, kind: Kind) -> Response:
    return await _template_page(request, tx, kind)


async def _template_page(
    request: Request, tx: Transaction, kind: str, form: Form[TemplateForm] | None = None
) -> Response:
    versions = await store.template_versions(tx, kind)
    current = (versions[0].version, versions[0].text) if versions else (1, RULES[kind].text)
    shown = form or Form[TemplateForm].with_initial({"text": current[1], "based_on": current[0]})
    return render_page(
        request,
        "template.html",
        422 if form else 200,
        failed=bool(form),
        form=shown,
        kind=kind,
        rule=RULES[kind],
        current=current[0],
        past=_history(kind, versions),
        fields=domain.FIELDS,
        preview=_preview(kind, shown.value("text"), tx.now),
        text_max=domain.TEXT_MAX,
    )


def _history(kind: str, versions: Sequence[Template]) -> list[dict[str, Any]]:
    """All versions as steps of a timeline, the newest first; the first came with the program."""
    written = [
        {"at": each.created_at, "title": f"第 {each.version} 版", "text": each.text}
        for each in versions
    ]
    return [*written, {"at": None, "title": "第 1 版（系统预置）", "text": RULES[kind].text}]


def _preview(kind: str, text: str, now: datetime) -> str:
    """The text as it would read today; "" while it cannot be used."""
    return "" if domain.text_problem(text) else domain.render(text, domain.sample(kind, now))


@router.post("/templates/{kind}", policy=ADMIN)
async def write_template(
    request: Request, tx: Tx, user: CurrentUser, idempotency: Idempotency, kind: Kind
) -> Response:
    form = await read_form(request, TemplateForm)
    if form.cleaned is None:
        return await _template_page(request, tx, kind, form)
    written = actions.write_template(
        tx, kind=kind, text=form.cleaned.text, based_on=form.cleaned.based_on, by=user
    )
    return await idempotency.redirect(written, to=f"/notify/templates/{kind}")


@router.post("/templates/{kind}/preview", policy=ADMIN)
async def preview(request: Request, tx: Tx, kind: Kind) -> Response:
    """The preview beside the field, as it is typed."""
    text = str((await request.form()).get("text", ""))
    return render_fragment(
        request,
        "template.html",
        "preview",
        preview=_preview(kind, text, tx.now),
        problem=domain.text_problem(text),
    )


# ── 订阅与升级 ────────────────────────────────────────────────────────────────────────────────────


class SubscriptionForm(Input):
    """Where an audience's notifications go."""

    role: Audience = Field(title="角色")
    unit_id: str | None = Field(None, title="单位", max_length=100)
    address: str = Field(title="接收地址", max_length=2000)
    kinds: list[str] = Field([], title="通知种类")

    @field_validator("kinds")
    @classmethod
    def _known(cls, kinds: list[str]) -> list[str]:
        if set(kinds) - set(KINDS):
            raise ValueError("“通知种类”请从列出的选项中选择")
        return kinds


@router.get("/rules", policy=ADMIN)
async def rules(request: Request, tx: Tx) -> Response:
    return await _rules_page(request, tx)


async def _rules_page(
    request: Request, tx: Transaction, form: Form[SubscriptionForm] | None = None
) -> Response:
    units = await store.unit_names(tx)
    rows = await store.subscriptions(tx)
    return render_page(
        request,
        "rules.html",
        422 if form else 200,
        failed=bool(form),
        form=form or Form[SubscriptionForm].with_initial(),
        ladder=domain.ladder(),
        roles={role: role.label for role in Role},
        audiences=[(role.value, Role(role).label) for role in Audience],
        units=units,
        rules=RULES,
        kinds=[(kind, RULES[kind].title) for kind in KINDS],
        channel=Channel,
        subscriptions=[(row, actions.webhook_secret(tx.context, row)) for row in rows],
        today=await actions.today_count(tx),
        stages=STAGES,
        opens=domain.OPENS_HOUR,
        closes=domain.CLOSES_HOUR,
    )


@router.post("/rules", policy=ADMIN)
async def subscribe(
    request: Request, tx: Tx, user: CurrentUser, idempotency: Idempotency
) -> Response:
    form = await read_form(request, SubscriptionForm)
    if form.cleaned is not None:
        await _check(tx, form, form.cleaned)
    if form.cleaned is None:
        return await _rules_page(request, tx, form)
    return await idempotency.redirect(_subscribe(tx, form.cleaned, user), to="/notify/rules")


async def _check(tx: Transaction, form: Form[SubscriptionForm], wanted: SubscriptionForm) -> None:
    try:
        await actions.check_subscription(
            tx, role=wanted.role, unit_id=wanted.unit_id, address=wanted.address
        )
    except Rejected as refusal:
        form.add_error(refusal.sentence, refusal.field or "")


async def _subscribe(tx: Transaction, wanted: SubscriptionForm, user: Account) -> None:
    await actions.subscribe(tx, subscription_id=new_id(), by=user, **wanted.model_dump())


@router.post("/rules/{subscription_id}/end", policy=ADMIN)
async def stop(
    tx: Tx, user: CurrentUser, idempotency: Idempotency, subscription_id: UUID
) -> Response:
    return await idempotency.redirect(
        actions.stop_subscription(tx, subscription_id=subscription_id, by=user), to="/notify/rules"
    )
