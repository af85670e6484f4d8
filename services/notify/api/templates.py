"""Templates."""

from pydantic import Field
from starlette.responses import Response

from services.notify.actions.templates import edit_template
from services.notify.api.base import ADMIN, api_router
from services.notify.domain.rules import NotificationKind
from shared.web import CurrentUser, Idempotency, Tx
from shared.web.forms import Input

router = api_router()


class TemplateRequest(Input):
    """A new text. A version newer than `based_on` causes a 409."""

    text: str = Field(title="模板内容")
    based_on: int = Field(title="版本", ge=1)


@router.put("/templates/{kind}", policy=ADMIN)
async def write_template(
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    kind: NotificationKind,
    body: TemplateRequest,
) -> Response:
    """Write the next version of a template and return its number."""
    edited = edit_template(
        tx,
        kind=kind,
        text=body.text,
        based_on=body.based_on,
        by=user,
    )
    return await idempotency.respond(200, edited)
