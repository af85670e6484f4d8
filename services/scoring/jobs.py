"""What time brings to scoring: units that moved are scored, scores that changed are told, all of
them are recounted.
"""

from services.scoring import actions
from shared.runtime.jobs import Jobs
from shared.storage.transaction import Transaction

jobs = Jobs()


@jobs(seconds=0.2)
async def rescore(tx: Transaction) -> bool:
    return await actions.rescore_changed(tx)


@jobs(seconds=0.25)
async def tell(tx: Transaction) -> bool:
    return await actions.tell_scores(tx)


@jobs(seconds=60)
async def recount(tx: Transaction) -> bool:
    return await actions.recount_nightly(tx)
