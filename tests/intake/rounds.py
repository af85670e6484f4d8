"""Build inspection rounds and visits for tests."""

from datetime import timedelta
from uuid import UUID, uuid4

from services.intake.actions.rounds import plan_round
from services.intake.actions.summaries import release_summary
from services.intake.actions.visits import submit_visit
from services.intake.domain.rounds import RoundPlan
from services.intake.domain.summaries import SummaryEdit, SummaryVersion
from services.intake.domain.visits import CheckedItem, ItemResult, VisitReport
from services.intake.views import releases as views
from shared.appraisal.labels import Role, VisitMode
from shared.appraisal.schemes import load_scheme
from shared.foundation.clock import CHINA
from tests.intake.conftest import CAMPAIGN

ITEMS = [item.id for item in load_scheme("J", 2026).checklists[0].items]
FOUND = "三号窗口工作人员玩手机"
DAYS = 3
"""A round of `plan` lasts this long."""


async def plan(office, **changes) -> RoundPlan:
    """Return a covert round of three days that begins today."""
    async with office.transaction() as tx:
        today = tx.now.astimezone(CHINA).date()
    fields = {
        "campaign_id": CAMPAIGN,
        "name": "窗口服务暗访",
        "mode": VisitMode.COVERT,
        "begins_on": today,
        "ends_on": today + timedelta(days=DAYS - 1),
        "team": (office.person(Role.INSPECTOR).id,),
        "units": ("tcm", "edu"),
    }
    return RoundPlan(**(fields | changes))


async def planned(office, **changes) -> UUID:
    """Plan a round and return its id."""
    wanted = await plan(office, **changes)
    async with office.transaction() as tx:
        return await plan_round(tx, wanted, by=office.person(Role.OFFICE))


async def visited(office, round_id=None, *, found=(FOUND,), by=None, **changes):
    """Submit a visit with these findings and return its receipt."""
    failed = [
        CheckedItem(item, ItemResult.FAIL, note) for item, note in zip(ITEMS, found, strict=False)
    ]
    passed = [CheckedItem(item, ItemResult.PASS) for item in ITEMS[len(failed) :]]
    async with office.transaction() as tx:
        fields = {
            "campaign_id": CAMPAIGN,
            "round_id": round_id,
            "unit_id": "tcm",
            "mode": VisitMode.COVERT if round_id else VisitMode.ANNOUNCED,
            "visited_at": tx.now,
            "items": (*failed, *passed),
        }
        report = VisitReport(**(fields | changes))
        return await submit_visit(tx, uuid4(), report, by=by or office.person(Role.INSPECTOR))


async def queued(office, account=None) -> list[str]:
    """Return the numbers that await their release, as this reviewer sees them."""
    async with office.transaction() as tx:
        waiting = await views.queue(tx, account or office.person(Role.REVIEWER))
    return [each.row.number for each in waiting]


async def released(office, number, text=FOUND, *, draft=1, release=0):
    """Release a text as the reviewer."""
    edit = SummaryEdit(text=text, seen=SummaryVersion(draft=draft, release=release))
    async with office.transaction() as tx:
        return await release_summary(tx, number=number, edit=edit, by=office.person(Role.REVIEWER))
