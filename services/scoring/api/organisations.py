"""The register of organisations in the JSON API."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Final

from fastapi import Query
from pydantic import Field
from starlette.responses import Response

from services.scoring.actions import organisations as actions
from services.scoring.api.responses import json_response
from services.scoring.domain.organisations import OrganisationDraft
from services.scoring.views import organisations as views
from shared.appraisal.labels import OrganisationKind, OrganisationLevel, Role
from shared.appraisal.organisations import Organisation
from shared.security.policies import allow
from shared.web import CurrentUser, Idempotency, Router, Tx
from shared.web.forms import Input

router = Router(prefix="/scoring/api/organisations")
OFFICE: Final = allow(Role.OFFICE, Role.ADMIN)


class DescriptionRequest(Input):
    """What is on record about a body besides its name and its parent."""

    kind: OrganisationKind = Field(OrganisationKind.UNIT, title="机构类型")
    level: OrganisationLevel = Field(OrganisationLevel.PROVINCE, title="层级")
    official_code: str = Field("", title="官方代码", max_length=40)
    aliases: list[str] = Field(default_factory=list, title="其他名称", max_length=20)


class OrganisationRequest(DescriptionRequest):
    name: str = Field(title="单位名称", max_length=80)
    parent_id: str | None = Field(None, title="上级单位", max_length=40)

    @property
    def draft(self) -> OrganisationDraft:
        fields = self.model_dump()
        return OrganisationDraft(**fields | {"aliases": tuple(self.aliases)})


class RenameRequest(Input):
    name: str = Field(title="新名称", max_length=80)
    valid_from: date = Field(title="更名日期")


class MoveRequest(Input):
    parent_id: str | None = Field(title="上级单位", max_length=40)


class MergerRequest(Input):
    """`organisation_ids` end, `into_id` takes over."""

    organisation_ids: list[str] = Field(title="被合并单位", min_length=1, max_length=20)
    into_id: str = Field(title="并入单位", max_length=40)
    on: date = Field(title="合并日期")


class SplitRequest(Input):
    successor_ids: list[str] = Field(title="承接单位", min_length=1, max_length=20)
    heir_id: str = Field(title="承接未办结事项的单位", max_length=40)
    on: date = Field(title="分设日期")


@dataclass(frozen=True, slots=True, kw_only=True)
class OrganisationListResponse:
    """`total` counts all bodies that match; at most 200 are listed."""

    total: int
    organisations: Sequence[Organisation]


@router.get("", policy=OFFICE)
async def list_organisations(
    tx: Tx,
    q: Annotated[str, Query(max_length=80)] = "",
    state: str = "",
) -> Response:
    """Return bodies whose id, code or one of whose names contains `q`."""
    found = await views.list_organisations(tx, term=q, state=state)
    return json_response(OrganisationListResponse(total=found.total, organisations=found.rows))


@router.get("/{organisation_id}", policy=OFFICE)
async def get_organisation(tx: Tx, organisation_id: str) -> Response:
    """Return one body with its names and successors."""
    found = await views.organisation_view(tx, organisation_id)
    return json_response(found.organisation)


@router.post("", policy=OFFICE, status_code=201)
async def record_organisation(
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    body: OrganisationRequest,
) -> Response:
    """Record a new body; the register assigns its id."""
    action = actions.record_organisation(tx, draft=body.draft, by=user)
    return await idempotency.respond(201, action)


@router.put("/{organisation_id}/description", policy=OFFICE)
async def amend_organisation(
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    organisation_id: str,
    body: DescriptionRequest,
) -> Response:
    """Correct kind, level, official code and aliases of a body."""
    action = actions.amend_organisation(
        tx, organisation_id=organisation_id, by=user, **body.model_dump()
    )
    return await idempotency.respond(200, action)


@router.post("/{organisation_id}/names", policy=OFFICE, status_code=201)
async def rename_organisation(
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    organisation_id: str,
    body: RenameRequest,
) -> Response:
    """Give a body another name from a day on."""
    action = actions.rename_organisation(
        tx, organisation_id=organisation_id, by=user, **body.model_dump()
    )
    return await idempotency.respond(201, action)


@router.put("/{organisation_id}/parent", policy=OFFICE)
async def move_organisation(
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    organisation_id: str,
    body: MoveRequest,
) -> Response:
    """Put a body under another one, or at the top."""
    action = actions.move_organisation(
        tx, organisation_id=organisation_id, parent_id=body.parent_id, by=user
    )
    return await idempotency.respond(200, action)


@router.post("/mergers", policy=OFFICE, status_code=201)
async def merge_organisations(
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    body: MergerRequest,
) -> Response:
    """Merge bodies into one that exists; it takes over their open matters."""
    return await idempotency.respond(
        201, actions.merge_organisations(tx, by=user, **body.model_dump())
    )


@router.post("/{organisation_id}/split", policy=OFFICE, status_code=201)
async def split_organisation(
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    organisation_id: str,
    body: SplitRequest,
) -> Response:
    """Split a body into several that exist; one of them takes over its open matters."""
    action = actions.split_organisation(
        tx, organisation_id=organisation_id, by=user, **body.model_dump()
    )
    return await idempotency.respond(201, action)


@router.post("/{organisation_id}/withdrawal", policy=OFFICE, status_code=201)
async def withdraw_organisation(
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    organisation_id: str,
) -> Response:
    """Withdraw a body that was entered by mistake and has no data."""
    action = actions.withdraw_organisation(tx, organisation_id=organisation_id, by=user)
    return await idempotency.respond(201, action)
