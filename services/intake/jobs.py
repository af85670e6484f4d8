"""What time brings in intake: forgetting what has had its time."""

from services.intake.actions import retention
from shared.runtime.jobs import Jobs
from shared.storage.transaction import Transaction

jobs = Jobs()


@jobs(seconds=300)
async def forget_abandoned(tx: Transaction) -> bool:
    return await retention.forget_abandoned(tx)


@jobs(seconds=3600)
async def erase_complainant_data(tx: Transaction) -> bool:
    return await retention.erase_complainant_data(tx)


@jobs(seconds=3600)
async def forget_tracks(tx: Transaction) -> bool:
    return await retention.forget_tracks(tx)
