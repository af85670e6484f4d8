"""Inspection rounds: the office plans them, the inspector belongs to their team."""

from datetime import date

from services.simulate.client import Client


async def plan_covert_round(
    office: Client,
    campaign_id: str,
    inspector: Client,
    *,
    begins_on: date,
    ends_on: date,
    key: object,
) -> str:
    """Plan a covert round of one inspector that visits all units; return its id."""
    plan = {
        "campaign_id": campaign_id,
        "name": "窗口服务暗访",
        "mode": "covert",
        "begins_on": begins_on.isoformat(),
        "ends_on": ends_on.isoformat(),
        "team": [await _account_id(inspector)],
    }
    answer = await office.write("/intake/api/rounds", plan, key=key)
    return str(answer.body["id"])


async def _account_id(inspector: Client) -> str:
    """Return the id of the signed-in inspector, as the field application learns it."""
    reference = await inspector.read("/intake/field/data")
    return str(reference["account"])
