"""The door for programs: campaigns, units, running scores, tallies, decisions. JSON in, JSON out,
problems as problem+json.
"""

from datetime import date
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query
from fastapi.responses import JSONResponse
from pydantic import Field
from starlette.responses import Response

from services.scoring import actions
from services.scoring.actions import UnitRow
from services.scoring.domain.explain import for_the_unit
from shared.appraisal.errors import Rejected
from shared.appraisal.labels import Role
from shared.appraisal.schemes import Scheme, SchemeError, load_scheme, read_scheme, scheme_ids
from shared.security.policies import allow
from shared.storage.transaction import Transaction
from shared.web import CurrentUser, Idempotency, Router, Tx
from shared.web.forms import Input

router = Router(prefix="/scoring/api")
OFFICE, BOARD = allow(Role.OFFICE), allow(Role.OFFICE, Role.LEADER)
UNITS_MAX = 2000


class UnitInput(Input):
    unit_id: str = Field("", title="单位编码", max_length=40, pattern=r"^[A-Za-z0-9._-]*$")
    name: str = Field(title="单位名称", min_length=1, max_length=80)
    category: str = Field(title="类别", min_length=1, max_length=80)
    aliases: list[str] = Field(default_factory=list, title="其他名称", max_length=20)

    @property
    def row(self) -> UnitRow:
        return UnitRow(
            unit_id=self.unit_id,
            name=self.name,
            category=self.category,
            aliases=tuple(self.aliases),
        )


class UnitsInput(Input):
    units: list[UnitInput] = Field(title="参评单位", max_length=UNITS_MAX)


class CampaignInput(UnitsInput):
    """`scheme`: id of a shipped scheme ("J"). `rules`: instead, a scheme's YAML text, dates as in
    the shipped files.
    """

    scheme: str = Field("", title="方案", max_length=10)
    rules: str = Field("", title="方案全文", max_length=500_000)
    year: int = Field(title="年度", ge=2000, le=2100)
    campaign_id: str = Field("", title="活动编号", max_length=40)
    title: str = Field("", title="活动名称", max_length=80)
    units: list[UnitInput] = Field(default_factory=list, title="参评单位", max_length=UNITS_MAX)


class RulesInput(Input):
    """A whole scheme: its YAML text, or the JSON that `GET …/rules` gives, edited. It has a version
    number of its own.
    """

    rules: str = Field("", title="方案全文", max_length=500_000)
    scheme: dict[str, Any] | None = Field(None, title="方案")


class DecisionInput(Input):
    unit_id: str = Field(title="单位编码", max_length=40)
    rule_id: str = Field(title="规则编号", max_length=60)
    grounds: str = Field(title="认定理由", min_length=5, max_length=2000)
    document: str = Field(title="依据文件", min_length=2, max_length=200)


class RevocationInput(Input):
    grounds: str = Field(title="撤销理由", min_length=5, max_length=2000)


class ShownInput(Input):
    shown: bool = Field(title="向单位开放")


class OutcomeInput(Input):
    unit_id: str = Field(title="单位编码", max_length=40)
    category: str = Field(title="类别", max_length=40)
    total: Decimal | None = Field(None, title="得分", ge=0, le=100)
    rank: int | None = Field(None, title="名次", ge=1)
    from_bottom: int | None = Field(None, title="倒数名次", ge=1)
    grade: str | None = Field(None, title="等次", max_length=40)


class OutcomesInput(Input):
    scheme: str = Field(title="方案", max_length=10)
    year: int = Field(title="年度", ge=2000, le=2100)
    outcomes: list[OutcomeInput] = Field(title="结果", max_length=UNITS_MAX)


def scheme_from(*, id: str, text: str, year: int) -> Scheme:
    """The scheme of a shipped id or of a YAML text. Raises Rejected (422) with the first mistake and
    its line.
    """
    try:
        if text:
            return read_scheme(text, year)
        if id.upper() in scheme_ids():
            return load_scheme(id.upper(), year)
    except SchemeError as error:
        raise Rejected(
            f"{error.mistakes[0]}（共 {len(error.mistakes)} 处）", status=422, field="rules"
        ) from error
    raise Rejected(
        f"没有方案“{id}”，可用的有 {'、'.join(scheme_ids())}", status=422, field="scheme"
    )


# ── campaigns ─────────────────────────────────────────────────────────────────────────────────────


@router.get("/schemes", policy=allow(Role.OFFICE, Role.ADMIN))
async def schemes() -> Response:
    """Shipped schemes that a campaign can be made from."""
    return JSONResponse({"schemes": scheme_ids()})


@router.post("/campaigns", policy=OFFICE, status_code=201)
async def create_campaign(
    tx: Tx, user: CurrentUser, idempotency: Idempotency, asked: CampaignInput
) -> Response:
    """Make a campaign from a scheme and a year, publish it, and answer it as `GET …/campaigns/{id}`
    does.
    """
    scheme = scheme_from(id=asked.scheme, text=asked.rules, year=asked.year)
    rows = [unit.row for unit in asked.units]
    return await idempotency.respond(
        201,
        _created(
            tx,
            scheme=scheme,
            by=str(user.id),
            campaign_id=asked.campaign_id,
            title=asked.title,
            units=rows,
        ),
    )


async def _created(tx: Transaction, **asked: Any) -> dict[str, Any]:
    return campaign_json(await actions.create_campaign(tx, **asked))


def campaign_json(campaign: Any) -> dict[str, Any]:
    """A campaign with its units, without the rules' text."""
    return {
        "campaign_id": campaign.id,
        "title": campaign.title,
        "year": campaign.year,
        "scheme": campaign.scheme.id,
        "scheme_version": campaign.scheme.version,
        "fingerprint": campaign.scheme.fingerprint,
        "revision": campaign.revision,
        "published_at": campaign.published_at,
        "shown_to_units_at": campaign.shown_to_units_at,
        "units": [
            {
                "unit_id": u.unit_id,
                "unit_no": u.unit_no,
                "name": u.name,
                "category": u.category,
                "aliases": list(u.aliases),
            }
            for u in campaign.units
        ],
    }


@router.get("/campaigns", policy=BOARD)
async def campaigns(tx: Tx) -> Response:
    rows = await actions.all_campaigns(tx)
    return _json(
        {
            "campaigns": [
                {
                    "campaign_id": row["id"],
                    **{k: row[k] for k in ("title", "year", "scheme_version", "units")},
                }
                for row in rows
            ]
        }
    )


@router.get("/campaigns/{campaign_id}", policy=BOARD)
async def campaign(tx: Tx, campaign_id: str) -> Response:
    return _json(campaign_json(await actions.campaign_of(tx, campaign_id)))


@router.get("/campaigns/{campaign_id}/rules", policy=BOARD)
async def rules(tx: Tx, campaign_id: str) -> Response:
    """The rules in force, whole, as JSON."""
    return Response(
        (await actions.campaign_of(tx, campaign_id)).scheme.to_json(), media_type="application/json"
    )


@router.post("/campaigns/{campaign_id}/rules", policy=OFFICE, status_code=201)
async def replace_rules(
    tx: Tx, user: CurrentUser, idempotency: Idempotency, campaign_id: str, asked: RulesInput
) -> Response:
    """Publish another version of the rules. Scores are computed again; the old ones stay
    explainable.
    """
    year = (await actions.campaign_of(tx, campaign_id)).year
    scheme = (
        actions.scheme_from_json(asked.scheme)
        if asked.scheme
        else scheme_from(id="", text=asked.rules, year=year)
    )
    return await idempotency.respond(
        201, _replaced(tx, campaign_id=campaign_id, scheme=scheme, by=str(user.id))
    )


async def _replaced(tx: Transaction, **asked: Any) -> dict[str, Any]:
    return campaign_json(await actions.replace_rules(tx, **asked))


@router.post("/campaigns/{campaign_id}/units", policy=OFFICE, status_code=201)
async def register_units(
    tx: Tx, user: CurrentUser, idempotency: Idempotency, campaign_id: str, asked: UnitsInput
) -> Response:
    """Enter units into the register, or change those there; the campaign is published again."""
    return await idempotency.respond(
        201, _registered(tx, campaign_id, [unit.row for unit in asked.units], by=str(user.id))
    )


async def _registered(
    tx: Transaction, campaign_id: str, rows: list[UnitRow], *, by: str
) -> dict[str, Any]:
    return campaign_json(await actions.register_units(tx, campaign_id, rows, by=by))


@router.post("/campaigns/{campaign_id}/shown", policy=OFFICE)
async def show_to_units(
    tx: Tx, user: CurrentUser, idempotency: Idempotency, campaign_id: str, asked: ShownInput
) -> Response:
    """Let unit heads see their own unit's running score, or no longer."""
    return await idempotency.respond(
        200, actions.show_to_units(tx, campaign_id=campaign_id, shown=asked.shown, by=str(user.id))
    )


@router.post("/outcomes", policy=OFFICE, status_code=201)
async def record_outcomes(
    tx: Tx, user: CurrentUser, idempotency: Idempotency, asked: OutcomesInput
) -> Response:
    """Enter the final places of an earlier year, which rules over two years in a row look back at."""
    rows = [
        (one.unit_id, one.category, one.total, one.rank, one.from_bottom, one.grade)
        for one in asked.outcomes
    ]
    return await idempotency.respond(
        201,
        actions.record_outcomes(
            tx, scheme_id=asked.scheme, year=asked.year, rows=rows, by=str(user.id)
        ),
    )


# ── scores ────────────────────────────────────────────────────────────────────────────────────────


@router.get("/campaigns/{campaign_id}/board", policy=BOARD)
async def board(tx: Tx, campaign_id: str, category: str = "") -> Response:
    """Running scores and ranks by category. `rank` null: listed apart, for the reason in
    `unranked`.
    """
    found = await actions.campaign_of(tx, campaign_id)
    boards = await actions.boards_of(tx, found, category)
    return _json(
        {
            "campaign_id": found.id,
            "scheme_version": found.scheme.version,
            "state": "trial",
            "as_of": tx.now,
            "categories": [
                {
                    "category": one.category.key,
                    "label": one.category.label,
                    "units": [_row_json(row) for row in one.rows],
                }
                for one in boards
            ],
        }
    )


@router.get("/campaigns/{campaign_id}/live", policy=BOARD)
async def live(tx: Tx, campaign_id: str, category: str) -> Response:
    """Rank, unit and total of a category for screens that ask all the time: a copy shared by all
    who watch, at most two seconds old.
    """
    found = await actions.campaign_of(tx, campaign_id)
    if found.scheme.category(category) is None:
        raise Rejected("没有这个类别", status=404)
    rows = await actions.live_board(tx, found, category)
    return _json(
        {
            "units": [
                {"rank": rank, "unit_id": unit.unit_id, "name": unit.name, "total": total}
                for rank, unit, total in rows
            ]
        }
    )


def _row_json(row: actions.Row) -> dict[str, Any]:
    score = row.score
    return {
        "unit_id": row.unit.unit_id,
        "name": row.unit.name,
        "rank": row.place.rank,
        "total": score and score.total,
        "unranked": row.place.standing.unranked,
        "sample": score.sample if score else 0,
        "grade": score and score.grade,
        "components": {one.key: one.mark for one in score.components} if score else {},
        "contributions": {one.key: one.contribution for one in score.components} if score else {},
        "adjusted": score and score.adjusted,
        "consequences": list(row.findings),
    }


@router.get("/campaigns/{campaign_id}/units/{unit_id}", policy=BOARD)
async def unit_score(tx: Tx, campaign_id: str, unit_id: str, version: str = "") -> Response:
    """Where a unit's score comes from, to the last answer, case and visit. `version`: superseded
    rules.
    """
    return _json(
        _explained_json(
            await actions.explanation_of(
                tx, await actions.campaign_of(tx, campaign_id), unit_id, version=version
            )
        )
    )


def _explained_json(found: actions.Explained) -> dict[str, Any]:
    return {
        "campaign_id": found.campaign.id,
        "unit_id": found.unit.unit_id,
        "name": found.unit.name,
        "category": found.unit.category,
        "rank": found.place and found.place.rank,
        "current": found.current,
        "consequences": list(found.findings),
        "explanation": found.explanation,
    }


@router.get("/campaigns/{campaign_id}/units/{unit_id}/changes", policy=BOARD)
async def unit_changes(
    tx: Tx,
    campaign_id: str,
    unit_id: str,
    source: str = "",
    since: date | None = None,
    page: Annotated[int, Query(ge=1, le=10_000)] = 1,
) -> Response:
    """What moved a unit's total, newest first."""
    found = await actions.campaign_of(tx, campaign_id)
    rows, total = await actions.changes_of(
        tx, found, unit_id=unit_id, source=source, since=since, page=page
    )
    return _json({"total": total, "changes": rows})


@router.get("/campaigns/{campaign_id}/tallies", policy=OFFICE)
async def tallies(tx: Tx, campaign_id: str, unit_id: str = "", instrument: str = "") -> Response:
    """Answers counted, by unit, questionnaire, group and question. `answer_counts` null: the group is too
    small to be shown.
    """
    found = await actions.campaign_of(tx, campaign_id)
    return _json(
        {
            "campaign_id": found.id,
            "tallies": await actions.tallies_of(tx, found, unit_id=unit_id, instrument=instrument),
        }
    )


@router.get("/mine", policy=allow(Role.UNIT_HEAD))
async def mine(tx: Tx, user: CurrentUser) -> Response:
    """The own unit's running score, once the office shows it: no rank, no other unit."""
    found = await actions.own_score(tx, unit_id=user.unit_id)
    if found is None:
        return _json({"shown": False})
    return _json(
        {
            "shown": True,
            "campaign_id": found.campaign.id,
            "name": found.unit.name,
            "explanation": for_the_unit(found.explanation),
        }
    )


@router.post("/campaigns/{campaign_id}/decisions", policy=OFFICE, status_code=201)
async def decide(
    tx: Tx, user: CurrentUser, idempotency: Idempotency, campaign_id: str, asked: DecisionInput
) -> Response:
    """认定: apply a rule that only a person may apply."""
    return await idempotency.respond(
        201, _decided(tx, campaign_id=campaign_id, by=str(user.id), **asked.model_dump())
    )


async def _decided(tx: Transaction, **asked: Any) -> dict[str, Any]:
    return {"decision_id": await actions.decide(tx, **asked)}


@router.post("/campaigns/{campaign_id}/decisions/{decision_id}/revocation", policy=OFFICE)
async def revoke(
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    campaign_id: str,
    decision_id: UUID,
    asked: RevocationInput,
) -> Response:
    """Take a decision back; both stay in the ledger."""
    return await idempotency.respond(
        200,
        actions.revoke(
            tx,
            campaign_id=campaign_id,
            decision_id=decision_id,
            grounds=asked.grounds,
            by=str(user.id),
        ),
    )


@router.post("/campaigns/{campaign_id}/recounts", policy=OFFICE, status_code=201)
async def recount(
    tx: Tx, user: CurrentUser, idempotency: Idempotency, campaign_id: str
) -> Response:
    """重放核对: count everything stored again by an independent program and compare with the
    running scores.
    """
    return await idempotency.respond(201, actions.recount(tx, campaign_id, by=str(user.id)))


def _json(content: Any) -> Response:
    """JSON of structures with dates, decimals (as text, so that no digit is lost) and dataclasses."""
    return Response(actions.as_json(content), media_type="application/json")
