"""通知模板: the text of each kind of notification."""

from pydantic import Field, field_validator
from starlette.requests import Request
from starlette.responses import Response

from services.notify.actions.templates import edit_template, template_problem
from services.notify.domain.rules import NotificationKind
from services.notify.domain.templates import (
    TEMPLATE_FIELDS,
    TEXT_MAX,
    preview,
    text_problem,
)
from services.notify.views.templates import CurrentTemplate, current_templates, template_history
from shared.appraisal.labels import Role
from shared.security.policies import allow
from shared.storage.transaction import Transaction
from shared.web import (
    CurrentUser,
    Form,
    Idempotency,
    Router,
    Tx,
    read_form,
    render_fragment,
    render_page,
)
from shared.web.forms import Input

router = Router(prefix="/notify/templates", include_in_schema=False)
ADMIN = allow(Role.ADMIN)


class TemplateForm(Input):
    """A new text. `based_on` is the version that the person edited."""

    text: str = Field(title="模板内容")
    based_on: int = Field(title="版本", ge=1)

    @field_validator("text")
    @classmethod
    def _check_text(cls, text: str) -> str:
        if problem := template_problem(text):
            raise ValueError(problem)
        return text


@router.get("", policy=ADMIN)
async def templates(request: Request, tx: Tx) -> Response:
    return render_page(request, "templates.html", templates=await current_templates(tx))


@router.get("/{kind}", policy=ADMIN)
async def template(
    request: Request,
    tx: Tx,
    kind: NotificationKind,
) -> Response:
    return await _template_page(request, tx, kind)


@router.post("/{kind}", policy=ADMIN)
async def write_template(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    kind: NotificationKind,
) -> Response:
    form = await read_form(request, TemplateForm)
    template = form.cleaned
    if template is None:
        return await _template_page(request, tx, kind, form)
    edited = edit_template(tx, kind=kind, by=user, **template.model_dump())
    return await idempotency.redirect(edited, to=f"/notify/templates/{kind}")


@router.post("/{kind}/preview", policy=ADMIN)
async def template_preview(
    request: Request,
    tx: Tx,
    kind: NotificationKind,
) -> Response:
    """The preview of the text being typed."""
    text = str((await request.form()).get("text", ""))
    return render_fragment(
        request,
        "template.html",
        "preview",
        preview=preview(kind, text, tx.now),
        problem=text_problem(text),
    )


async def _template_page(
    request: Request,
    tx: Transaction,
    kind: NotificationKind,
    rejected: Form[TemplateForm] | None = None,
) -> Response:
    history = await template_history(tx, kind)
    form = rejected or _edit_form(history.current)
    return render_page(
        request,
        "template.html",
        422 if rejected else 200,
        failed=bool(rejected),
        form=form,
        history=history,
        fields=TEMPLATE_FIELDS,
        text_max=TEXT_MAX,
        preview=preview(kind, form.value("text"), tx.now),
    )


def _edit_form(current: CurrentTemplate) -> Form[TemplateForm]:
    initial = {"text": current.text, "based_on": current.version}
    return Form[TemplateForm].with_initial(initial)
