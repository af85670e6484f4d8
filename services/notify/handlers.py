"""What notify hears. Facts come in batches: ten thousand lapses at once are a few statements,
written in the order of their due times.
"""

from services.notify import actions, domain
from shared.appraisal.events import CampaignPublished, Event, Meta, ScoreChanged
from shared.messaging import Handlers
from shared.storage.transaction import Transaction

on = Handlers()


@on(CampaignPublished)
async def _(tx: Transaction, event: CampaignPublished, meta: Meta) -> None:
    await actions.learn_campaign(tx, event)


@on.batch(*(event for event in domain.TOLD if event is not ScoreChanged))
async def _(tx: Transaction, heard: list[tuple[Event, Meta]]) -> None:
    await actions.tell(tx, heard)


@on.batch(ScoreChanged)
async def _(tx: Transaction, heard: list[tuple[ScoreChanged, Meta]]) -> None:
    await actions.tell_scores(tx, heard)
