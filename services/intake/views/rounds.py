"""检查轮次, as the appraisal office reads them. Nobody else has a page of them."""

from collections.abc import Mapping
from uuid import UUID

import msgspec

from services.intake.domain.rounds import Round, RoundState
from services.intake.store import campaigns
from services.intake.store import rounds as store
from services.intake.store.campaigns import KnownCampaign
from shared.appraisal.calendar.working_days import civil_day
from shared.storage.transaction import Transaction

TONES: Mapping[RoundState, str] = {
    RoundState.PLANNED: "hold",
    RoundState.RUNNING: "ok",
    RoundState.ENDED: "done",
    RoundState.WITHDRAWN: "hold",
}


class RoundLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the office's list."""

    round: Round
    state: RoundState
    team: str
    units: str
    visits: int
    handed_over: int

    @property
    def tone(self) -> str:
        return TONES[self.state]

    @property
    def may_change(self) -> bool:
        return self.state is RoundState.PLANNED

    @property
    def may_close(self) -> bool:
        return self.state in (RoundState.PLANNED, RoundState.RUNNING)


class RoundChoices(msgspec.Struct, frozen=True, kw_only=True):
    """What a plan can choose from: (id, name) of units and inspectors."""

    campaign: KnownCampaign
    units: list[tuple[str, str]]
    inspectors: list[tuple[UUID, str]]


async def list_rounds(tx: Transaction) -> list[RoundLine]:
    """Return the rounds, those that begin last first."""
    entries = await store.list_all(tx)
    names = await store.names_of_team(tx, [id for each in entries for id in each.round.team])
    return [await _line(tx, each, names) for each in entries]


async def _line(
    tx: Transaction,
    entry: store.RoundEntry,
    names: Mapping[UUID, str],
) -> RoundLine:
    campaign = await campaigns.get(tx, entry.round.campaign_id)
    units = [campaign.name_of(unit_id) for unit_id in entry.round.units]
    return RoundLine(
        round=entry.round,
        state=entry.round.state_on(civil_day(tx.now)),
        team="、".join(names.get(id, "已删除账号") for id in entry.round.team),
        units="、".join(units) or "全部单位",
        visits=entry.visits,
        handed_over=entry.handed_over,
    )


async def choices(tx: Transaction, campaign_id: str = "") -> RoundChoices | None:
    """Return what a plan of this campaign, or of the current one, can choose from."""
    found = await campaigns.find(tx, campaign_id) if campaign_id else None
    campaign = found or await campaigns.current(tx)
    if campaign is None:
        return None
    team = await store.inspectors(tx)
    return RoundChoices(
        campaign=campaign,
        units=[(unit.unit_id, unit.name) for unit in campaign.by_number.values()],
        inspectors=[(each.id, each.display_name) for each in team],
    )
