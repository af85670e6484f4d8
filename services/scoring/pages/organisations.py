"""机构名册: every body of the installation, and the acts that change it."""

from datetime import date
from typing import Annotated, Any, Final

from fastapi import Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from services.scoring.actions import organisations as actions
from services.scoring.domain.organisations import OrganisationDraft
from services.scoring.domain.register import split_aliases
from services.scoring.pages.enrolment import Preview
from services.scoring.pages.register_files import (
    FILE_MAX_BYTES,
    PlannedRowsForm,
    RegisterFileForm,
    decode_rows,
    read_rows,
)
from services.scoring.views import organisations as views
from shared.appraisal.errors import Rejected
from shared.appraisal.labels import OrganisationKind, OrganisationLevel, OrganisationState, Role
from shared.appraisal.organisations import Organisation
from shared.security.policies import allow
from shared.storage.transaction import Transaction
from shared.web import CurrentUser, Form, Idempotency, Router, Tx, read_form, render_page
from shared.web.forms import Input

router = Router(prefix="/scoring/organisations")
OFFICE: Final = allow(Role.OFFICE, Role.ADMIN)


class DescriptionForm(Input):
    """What is on record about a body besides its name and its parent."""

    kind: OrganisationKind = Field(OrganisationKind.UNIT, title="机构类型")
    level: OrganisationLevel = Field(OrganisationLevel.PROVINCE, title="层级")
    official_code: str = Field("", title="官方代码", max_length=40)
    aliases: str = Field("", title="其他名称", max_length=2000)


class RecordForm(DescriptionForm):
    """登记."""

    name: str = Field(title="单位名称", max_length=80)
    parent_id: str = Field("", title="上级单位", max_length=40)

    @property
    def draft(self) -> OrganisationDraft:
        return OrganisationDraft(
            name=self.name,
            kind=self.kind,
            level=self.level,
            official_code=self.official_code,
            parent_id=self.parent_id or None,
            aliases=split_aliases(self.aliases),
        )


class RenameForm(Input):
    """更名."""

    name: str = Field(title="新名称", max_length=80)
    valid_from: date = Field(title="更名日期")


class MoveForm(Input):
    """改设上级; an empty parent puts the body at the top."""

    parent_id: str = Field("", title="上级单位", max_length=40)


class MergerForm(Input):
    """合并."""

    into_id: str = Field(title="并入单位", min_length=1, max_length=40)
    merged_on: date = Field(title="合并日期")


class SplitForm(Input):
    """分设."""

    successor_ids: list[str] = Field(title="承接单位", min_length=1, max_length=20)
    heir_id: str = Field(title="承接未办结事项的单位", min_length=1, max_length=40)
    split_on: date = Field(title="分设日期")


# ── the register ──────────────────────────────────────────────────────────────────────────────────


@router.get("", policy=OFFICE)
async def organisations_page(
    request: Request,
    tx: Tx,
    q: Annotated[str, Query(max_length=80)] = "",
    state: str = "",
) -> Response:
    """The bodies that match a search by id, code or any of their names."""
    return await _list_page(request, tx, Form[Any](), term=q, state=state)


async def _list_page(
    request: Request,
    tx: Transaction,
    form: Form[Any],
    status: int = 200,
    *,
    term: str = "",
    state: str = "",
    preview: Preview | None = None,
) -> Response:
    return render_page(
        request,
        "organisations.html",
        status,
        found=await views.list_organisations(tx, term=term, state=state),
        parents=await views.organisation_choices(tx),
        term=term,
        state=state,
        states=OrganisationState.choices(),
        kinds=OrganisationKind.choices(),
        levels=OrganisationLevel.choices(),
        form=form,
        preview=preview,
        failed=status >= 400,
    )


@router.post("", policy=OFFICE)
async def record_organisation(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
) -> Response:
    form = await read_form(request, RecordForm)
    if form.cleaned is None:
        return await _list_page(request, tx, form, 422)
    action = actions.record_organisation(tx, draft=form.cleaned.draft, by=user)
    return await idempotency.redirect(action, to=_url)


@router.post("/preview", policy=OFFICE, body_max=FILE_MAX_BYTES)
async def preview_import(request: Request, tx: Tx) -> Response:
    """Show which bodies of a file (CSV or XLSX) are known and which would be recorded."""
    form = await read_form(request, RegisterFileForm)
    rows = await read_rows(form, required=("name",))
    if rows is None:
        return await _list_page(request, tx, form, 422)
    plan = await views.plan_records(tx, rows)
    status = 422 if plan.errors else 200
    return await _list_page(request, tx, form, status, preview=Preview.of(plan, rows))


@router.post("/import", policy=OFFICE, body_max=FILE_MAX_BYTES)
async def import_organisations(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
) -> Response:
    """Record the bodies of a file as the preview showed them."""
    form = await read_form(request, PlannedRowsForm)
    if form.cleaned is None:
        raise Rejected("名册内容不完整，请重新选择文件", status=422, field="file")
    action = actions.record_organisations(
        tx,
        rows=decode_rows(form.cleaned.rows),
        by=user,
        expected_digest=form.cleaned.digest,
    )
    return await idempotency.redirect(action, to="/scoring/organisations")


# ── one body ──────────────────────────────────────────────────────────────────────────────────────


@router.get("/{organisation_id}", policy=OFFICE)
async def organisation_page(
    request: Request,
    tx: Tx,
    organisation_id: str,
) -> Response:
    """A body with its history and the acts that change it."""
    return await _organisation_page(request, tx, organisation_id, None)


async def _organisation_page(
    request: Request,
    tx: Transaction,
    organisation_id: str,
    form: Form[Any] | None,
) -> Response:
    found = await views.organisation_view(tx, organisation_id)
    return render_page(
        request,
        "organisation.html",
        422 if form else 200,
        found=found,
        organisation=found.organisation,
        kinds=OrganisationKind.choices(),
        levels=OrganisationLevel.choices(),
        form=form or _initial(found.organisation),
        failed=form is not None,
    )


def _initial(organisation: Organisation) -> Form[Any]:
    return Form[Any].with_initial(
        {
            "kind": organisation.kind,
            "level": organisation.level,
            "official_code": organisation.official_code or "",
            "aliases": "、".join(organisation.aliases),
            "parent_id": organisation.parent_id or "",
        }
    )


def _url(organisation: Organisation) -> str:
    return f"/scoring/organisations/{organisation.id}"


@router.post("/{organisation_id}/description", policy=OFFICE)
async def amend(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    organisation_id: str,
) -> Response:
    """更正登记信息."""
    form = await read_form(request, DescriptionForm)
    if form.cleaned is None:
        return await _organisation_page(request, tx, organisation_id, form)
    action = actions.amend_organisation(
        tx,
        organisation_id=organisation_id,
        kind=form.cleaned.kind,
        level=form.cleaned.level,
        official_code=form.cleaned.official_code,
        aliases=split_aliases(form.cleaned.aliases),
        by=user,
    )
    return await idempotency.redirect(action, to=_url)


@router.post("/{organisation_id}/names", policy=OFFICE)
async def rename(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    organisation_id: str,
) -> Response:
    """更名."""
    form = await read_form(request, RenameForm)
    if form.cleaned is None:
        return await _organisation_page(request, tx, organisation_id, form)
    values = form.cleaned.model_dump()
    action = actions.rename_organisation(tx, organisation_id=organisation_id, by=user, **values)
    return await idempotency.redirect(action, to=_url)


@router.post("/{organisation_id}/parent", policy=OFFICE)
async def move(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    organisation_id: str,
) -> Response:
    """改设上级."""
    form = await read_form(request, MoveForm)
    if form.cleaned is None:
        return await _organisation_page(request, tx, organisation_id, form)
    parent_id = form.cleaned.parent_id or None
    action = actions.move_organisation(
        tx, organisation_id=organisation_id, parent_id=parent_id, by=user
    )
    return await idempotency.redirect(action, to=_url)


@router.post("/{organisation_id}/merger", policy=OFFICE)
async def merge(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    organisation_id: str,
) -> Response:
    """合并 into another body."""
    form = await read_form(request, MergerForm)
    if form.cleaned is None:
        return await _organisation_page(request, tx, organisation_id, form)
    action = actions.merge_organisations(
        tx,
        organisation_ids=[organisation_id],
        into_id=form.cleaned.into_id,
        on=form.cleaned.merged_on,
        by=user,
    )
    return await idempotency.redirect(action, to=f"/scoring/organisations/{organisation_id}")


@router.post("/{organisation_id}/split", policy=OFFICE)
async def split(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    organisation_id: str,
) -> Response:
    """分设 into several bodies."""
    form = await read_form(request, SplitForm)
    if form.cleaned is None:
        return await _organisation_page(request, tx, organisation_id, form)
    action = actions.split_organisation(
        tx,
        organisation_id=organisation_id,
        successor_ids=form.cleaned.successor_ids,
        heir_id=form.cleaned.heir_id,
        on=form.cleaned.split_on,
        by=user,
    )
    return await idempotency.redirect(action, to=_url)


@router.post("/{organisation_id}/withdrawal", policy=OFFICE)
async def withdraw(
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    organisation_id: str,
) -> Response:
    """撤回登记."""
    action = actions.withdraw_organisation(tx, organisation_id=organisation_id, by=user)
    return await idempotency.redirect(action, to=_url)
