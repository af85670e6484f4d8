"""重放核对: everything stored is counted again by the independent program and compared with the
running scores.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

import msgspec

from services.scoring import store
from services.scoring.actions.campaigns import campaign_of
from services.scoring.actions.running import scores_of
from services.scoring.domain.recount import Recount, Result, digest
from services.scoring.domain.score import Score
from services.scoring.store import Campaign
from shared.foundation import telemetry
from shared.foundation.clock import CHINA
from shared.storage.transaction import Transaction, new_id

NIGHT: Final = range(2, 5)
"""Hours in China in which a recount disturbs nobody."""
NIGHTLY: Final = timedelta(hours=20)
AT_LAST: Final = timedelta(hours=48)


async def recount(tx: Transaction, campaign_id: str, *, by: str) -> dict[str, Any]:
    """Count a campaign again from its ballots and ledger, as of one instant; keeps and gives the
    outcome.

    `differences`: unit, what runs, what was recounted. `waiting`: units that had just moved and
    were not scored yet; not compared.
    """
    found = await compare(tx, await campaign_of(tx, campaign_id))
    found["id"] = await store.keep_recount(
        tx,
        id=new_id(),
        campaign_id=campaign_id,
        by=by,
        **{k: v for k, v in found.items() if k != "waiting"},
    )
    tx.audit(
        "score.recounted",
        campaign_id,
        by,
        digest=found["digest"],
        differences=len(found["differences"]),
    )
    return found


async def recount_nightly(tx: Transaction) -> bool:
    """Recount a campaign that nobody recounted today, in the small hours; one left out for two days
    at any hour. True: perhaps another.

    Every process shows what the newest recount of each campaign found, whoever counted.
    """
    night = tx.now.astimezone(CHINA).hour in NIGHT
    due = await store.overdue_recount(tx, before=tx.now - (NIGHTLY if night else AT_LAST))
    if due is not None:
        await recount(tx, due, by="system")
    for campaign_id, units in (await store.differing(tx)).items():
        telemetry.score_mismatch.labels(campaign_id).set(units)
    return due is not None


async def verify_scores(tx: Transaction) -> list[str]:
    """Recount every campaign; gives a sentence for each running score that its recount contradicts."""
    wrong: list[str] = []
    for row in await store.all_campaigns(tx):
        found = await recount(tx, row["id"], by="verify")
        wrong += [
            f"{row['id']} {one['unit_id']}: {one['running']} instead of {one['recounted']}"
            for one in found["differences"]
        ]
    return wrong


async def compare(tx: Transaction, campaign: Campaign) -> dict[str, Any]:
    """The recount's outcome: version, ballots, lines, units, digest, differences, waiting."""
    count = Recount(campaign.scheme.to_json(), campaign.by_no)
    bodies: dict[int, str] = {}
    waiting: set[int] = set()
    async for row in store.everything(tx, campaign.id, campaign.scheme.version):
        _take(campaign, row, count, bodies, waiting)
    results = count.results()
    scores = scores_of(bodies)
    differences = [
        one
        for no, result in results.items()
        if no not in waiting
        and (one := _difference(campaign, scores.get(no), no, result)) is not None
    ]
    return {
        "scheme_version": campaign.scheme.version,
        "ballots": count.ballots,
        "lines": count.lines,
        "units": len(results),
        "digest": digest(results),
        "differences": differences,
        "waiting": len(waiting),
    }


def _take(
    campaign: Campaign,
    row: Mapping[str, Any],
    count: Recount,
    bodies: dict[int, str],
    waiting: set[int],
) -> None:
    if row["what"] == "ballot":
        count.add_ballot(*campaign.response_groups[row["number"]], row["bytes"])
    elif row["what"] == "line":
        count.add_line(msgspec.json.decode(row["text"]))
    elif row["what"] == "score":
        bodies[row["number"]] = row["text"]
    else:
        waiting.update(msgspec.json.decode(row["text"]))


def _difference(
    campaign: Campaign, score: Score | None, unit_no: int, result: Result
) -> dict[str, Any] | None:
    running = _as_result(score) if score else None
    if running == result or (running is None and result["total"] is None):
        return None
    return {
        "unit_id": campaign.by_no[unit_no].unit_id,
        "name": campaign.by_no[unit_no].name,
        "running": running,
        "recounted": result,
    }


def _as_result(score: Score) -> Result:
    """A running score in the form of the recount."""
    return {
        "total": None if score.total is None else str(score.total),
        "ranked": score.ranked,
        "sample": score.sample,
        "marks": {one.key: None if one.mark is None else str(one.mark) for one in score.components},
    }
