"""What time brings in intake: forgetting what has had its time."""

from services.intake.actions import retention
from shared.runtime.jobs import Ticks
from shared.storage.transaction import Transaction

every = Ticks()


@every(seconds=300)
async def forget_abandoned(tx: Transaction) -> bool:
    return await retention.forget_abandoned(tx)


@every(seconds=3600)
async def destroy_informants(tx: Transaction) -> bool:
    return await retention.destroy_informants(tx)


@every(seconds=3600)
async def forget_tracks(tx: Transaction) -> bool:
    return await retention.forget_tracks(tx)
