"""Campaigns, their rules, units and earlier results."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from pydantic import Field
from starlette.responses import JSONResponse, Response

from services.scoring.actions import campaigns as actions
from services.scoring.actions.approval_kinds.rules import request_rules
from services.scoring.api.responses import json_response, requested
from services.scoring.domain.campaign import Campaign, CampaignUnit
from services.scoring.domain.register import UnitRow
from services.scoring.store.campaigns import CampaignSummary
from services.scoring.views import campaigns as views
from shared.appraisal.labels import Role
from shared.appraisal.schemes import Scheme, scheme_ids
from shared.security.approvals.domain import REASON_MAX
from shared.security.policies import Account, allow
from shared.storage.transaction import Transaction
from shared.web import CurrentUser, Idempotency, Router, Tx
from shared.web.forms import Input

router = Router(prefix="/scoring/api")
OFFICE: Final = allow(Role.OFFICE)
BOARD: Final = allow(Role.OFFICE, Role.LEADER)
UNITS_MAX: Final = 2000
RULES_MAX: Final = 500_000


class UnitRequest(Input):
    """A body of the register by `unit_id`, official code or name; with `create`, a new one."""

    unit_id: str = Field("", title="单位编号", max_length=40)
    official_code: str = Field("", title="官方代码", max_length=40)
    name: str = Field("", title="单位名称", max_length=80)
    category: str = Field(title="类别", min_length=1, max_length=80)
    parent: str = Field("", title="上级单位", max_length=80)
    kind: str = Field("", title="机构类型", max_length=20)
    level: str = Field("", title="层级", max_length=20)
    aliases: list[str] = Field(default_factory=list, title="其他名称", max_length=20)
    create: bool = Field(False, title="新登记")

    @property
    def row(self) -> UnitRow:
        fields = self.model_dump()
        return UnitRow(**fields | {"aliases": tuple(self.aliases)})


class UnitsRequest(Input):
    units: list[UnitRequest] = Field(title="参评单位", max_length=UNITS_MAX)

    @property
    def rows(self) -> list[UnitRow]:
        return [unit.row for unit in self.units]


class CampaignRequest(UnitsRequest):
    """`scheme`: id of a shipped scheme ("J"); or `rules`: YAML text of a scheme."""

    scheme: str = Field("", title="方案", max_length=10)
    rules: str = Field("", title="方案全文", max_length=RULES_MAX)
    year: int = Field(title="年度", ge=2000, le=2100)
    campaign_id: str = Field("", title="活动编号", max_length=40)
    title: str = Field("", title="活动名称", max_length=80)
    units: list[UnitRequest] = Field(default_factory=list, title="参评单位", max_length=UNITS_MAX)

    def parse_scheme(self) -> Scheme:
        """Return the scheme that is asked for. Raises Rejected (422) when there is none or it is
        wrong.
        """
        if self.rules:
            return actions.parse_scheme(self.rules, self.year)
        return actions.shipped_scheme(self.scheme, self.year)


class RulesRequest(Input):
    """A whole scheme with a new version number: YAML text, or the edited JSON of `GET …/rules`."""

    rules: str = Field("", title="方案全文", max_length=RULES_MAX)
    scheme: dict[str, Any] | None = Field(None, title="方案")
    reason: str = Field(title="申请理由", max_length=REASON_MAX)
    effective_on: date | None = Field(None, title="生效日期")

    def parse_scheme(self, year: int) -> Scheme:
        """Return the scheme that is asked for. Raises Rejected (422) when there is none or it is
        wrong.
        """
        if self.scheme:
            return actions.scheme_from_json(self.scheme)
        if self.rules:
            return actions.parse_scheme(self.rules, year)
        return actions.shipped_scheme("", year)


class ShownRequest(Input):
    shown: bool = Field(title="向单位开放")


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignResponse:
    """A campaign with its units, without the text of its rules."""

    campaign_id: str
    title: str
    year: int
    scheme: str
    scheme_version: str
    fingerprint: str
    revision: int
    published_at: datetime
    shown_to_units_at: datetime | None
    units: Sequence[CampaignUnit]

    @classmethod
    def of(cls, campaign: Campaign) -> "CampaignResponse":
        return cls(
            campaign_id=campaign.id,
            title=campaign.title,
            year=campaign.year,
            scheme=campaign.scheme.id,
            scheme_version=campaign.scheme.version,
            fingerprint=campaign.scheme.fingerprint,
            revision=campaign.revision,
            published_at=campaign.published_at,
            shown_to_units_at=campaign.shown_to_units_at,
            units=campaign.units,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignSummaryResponse:
    """A campaign in a list. `units`: how many it has."""

    campaign_id: str
    title: str
    year: int
    scheme_version: str
    units: int

    @classmethod
    def of(cls, campaign: CampaignSummary) -> "CampaignSummaryResponse":
        return cls(
            campaign_id=campaign.id,
            title=campaign.title,
            year=campaign.year,
            scheme_version=campaign.scheme_version,
            units=campaign.units,
        )


@router.get("/schemes", policy=allow(Role.OFFICE, Role.ADMIN))
async def list_schemes() -> Response:
    """Return the ids of the shipped schemes."""
    return JSONResponse({"schemes": scheme_ids()})


@router.post("/campaigns", policy=OFFICE, status_code=201)
async def create_campaign(
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    body: CampaignRequest,
) -> Response:
    """Create a campaign from a scheme and a year, and publish it."""
    return await idempotency.respond(201, _create(tx, body, body.parse_scheme(), by=user))


async def _create(
    tx: Transaction,
    body: CampaignRequest,
    scheme: Scheme,
    *,
    by: Account,
) -> CampaignResponse:
    campaign = await actions.create_campaign(
        tx,
        scheme=scheme,
        by=by,
        campaign_id=body.campaign_id,
        title=body.title,
        units=body.rows,
    )
    return CampaignResponse.of(campaign)


@router.get("/campaigns", policy=BOARD)
async def list_campaigns(tx: Tx) -> Response:
    """Return all campaigns, newest first."""
    campaigns = await views.list_campaigns(tx)
    return json_response({"campaigns": [CampaignSummaryResponse.of(one) for one in campaigns]})


@router.get("/campaigns/{campaign_id}", policy=BOARD)
async def get_campaign(tx: Tx, campaign_id: str) -> Response:
    """Return a campaign with its units."""
    return json_response(CampaignResponse.of(await views.get_campaign(tx, campaign_id)))


@router.get("/campaigns/{campaign_id}/rules", policy=BOARD)
async def get_rules(tx: Tx, campaign_id: str) -> Response:
    """Return the whole rules in force as JSON."""
    campaign = await views.get_campaign(tx, campaign_id)
    return Response(campaign.scheme.to_json(), media_type="application/json")


@router.post("/campaigns/{campaign_id}/rules", policy=OFFICE, status_code=202)
async def replace_rules(
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    campaign_id: str,
    body: RulesRequest,
) -> Response:
    """Request another version of the rules; once approved, every unit is scored again."""
    campaign = await views.get_campaign(tx, campaign_id)
    action = request_rules(
        tx,
        campaign_id=campaign_id,
        scheme=body.parse_scheme(campaign.year),
        reason=body.reason,
        effective_on=body.effective_on,
        by=user,
    )
    return await idempotency.respond(202, requested(action))


@router.post("/campaigns/{campaign_id}/units", policy=OFFICE, status_code=201)
async def enrol_units(
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    campaign_id: str,
    body: UnitsRequest,
) -> Response:
    """Enrol bodies of the register, or change their categories; the campaign is published again."""
    return await idempotency.respond(201, _enrol(tx, campaign_id, body.rows, by=user))


async def _enrol(
    tx: Transaction,
    campaign_id: str,
    rows: Sequence[UnitRow],
    *,
    by: Account,
) -> CampaignResponse:
    return CampaignResponse.of(await actions.enrol_units(tx, campaign_id, rows, by=by))


@router.post("/campaigns/{campaign_id}/shown", policy=OFFICE)
async def show_to_units(
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    campaign_id: str,
    body: ShownRequest,
) -> Response:
    """Show or hide the running score of their own unit to unit heads."""
    action = actions.show_to_units(tx, campaign_id=campaign_id, shown=body.shown, by=user)
    return await idempotency.respond(200, action)
