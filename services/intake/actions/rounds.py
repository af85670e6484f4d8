"""检查轮次: plan, change and end inspection rounds.

The audit log names a round by its id only: neither units nor days nor people, so that who reads
the log learns no plan.
"""

from uuid import UUID

from services.intake.actions import hand_over
from services.intake.domain.rounds import Round, RoundPlan, RoundState, check_plan, check_planned
from services.intake.store import campaigns
from services.intake.store import rounds as store
from shared.appraisal.calendar.working_days import civil_day
from shared.appraisal.errors import Rejected
from shared.security.policies import Account
from shared.storage.transaction import Transaction, new_id


async def plan_round(tx: Transaction, plan: RoundPlan, *, by: Account) -> UUID:
    """Create a round and return its id. Raises Rejected (422) for a plan that cannot be carried
    out.
    """
    await _check(tx, plan)
    round_id = new_id()
    await store.add(tx, round_id, plan)
    tx.audit("round.planned", round_id, str(by.id))
    return round_id


async def change_round(tx: Transaction, round_id: UUID, plan: RoundPlan, *, by: Account) -> None:
    """Replace the plan of a round that has not begun.

    Raises Rejected: 404 for no round, 409 once it has begun, 422 for an invalid plan.
    """
    chosen = await _lock(tx, round_id)
    check_planned(chosen, civil_day(tx.now))
    await _check(tx, plan)
    await store.change(tx, round_id, plan)
    tx.audit("round.changed", round_id, str(by.id))


async def close_round(tx: Transaction, round_id: UUID, *, by: Account) -> None:
    """End a round early; before its first day that withdraws it. Its visits are handed over.

    Closing a closed round changes nothing. Raises Rejected: 404 for no round, 409 if its last day
    has passed.
    """
    chosen = await _lock(tx, round_id)
    if chosen.closed_at is not None:
        return
    if chosen.state_on(civil_day(tx.now)) is RoundState.ENDED:
        raise Rejected("轮次已经结束")
    await store.close(tx, round_id)
    tx.audit("round.closed", round_id, str(by.id))
    if chosen.is_covert:
        await hand_over.advance(tx, round_id)


async def _lock(tx: Transaction, round_id: UUID) -> Round:
    chosen = await store.lock(tx, round_id)
    if chosen is None:
        raise Rejected("没有这个检查轮次", status=404)
    return chosen


async def _check(tx: Transaction, plan: RoundPlan) -> None:
    campaign = await campaigns.get(tx, plan.campaign_id)
    team = await store.inspectors(tx)
    check_plan(
        plan,
        today=civil_day(tx.now),
        units=list(campaign.units),
        inspectors=[each.id for each in team],
    )
