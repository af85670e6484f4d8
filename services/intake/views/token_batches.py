"""The register of issuance as the office sees it."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.intake.domain.token_batches import TokenUse
from services.intake.store import token_batches as store
from services.intake.store.campaigns import KnownCampaign
from services.intake.store.token_batches import BatchUsage
from shared.security.policies import Account
from shared.storage.transaction import Transaction


@dataclass(frozen=True, slots=True)
class BatchLine:
    """A batch with the names of its questionnaire, group and unit.

    `openable`: this account may open it now.
    """

    batch: BatchUsage
    questionnaire: str
    group: str
    unit: str
    state: str
    openable: bool


async def batch_lines(
    tx: Transaction,
    campaign: KnownCampaign,
    reader: Account,
) -> list[BatchLine]:
    """Return the batches of a campaign, newest first."""
    batches = await store.list_batches(tx, campaign.id)
    return [_line(campaign, batch, reader) for batch in batches]


def _line(
    campaign: KnownCampaign,
    batch: BatchUsage,
    reader: Account,
) -> BatchLine:
    questionnaire = campaign.questionnaire(batch.instrument)
    group = questionnaire.group(batch.group)
    is_sealed = batch.opened_at is None and batch.use is not TokenUse.PAPER
    return BatchLine(
        batch=batch,
        questionnaire=questionnaire.label,
        group=group.label if group else batch.group,
        unit=campaign.name_of(batch.unit_id) if batch.unit_id else "",
        state=_state(batch, is_sealed=is_sealed),
        openable=is_sealed and batch.issued_by != reader.id,
    )


def _state(batch: BatchUsage, *, is_sealed: bool) -> str:
    if batch.held:
        return "疑似异常，答卷暂扣"
    if batch.flooded_at is not None:
        return "填写过快，请核查"
    return "待开封" if is_sealed else "已开封"


def group_choices(campaign: KnownCampaign) -> list[tuple[str, str]]:
    """Return (questionnaire/group, label) of every group of respondents."""
    return [
        (f"{form.key}/{group.key}", f"{form.label} · {group.label}")
        for form in campaign.scheme.questionnaires
        for group in form.groups
    ]


def codes_csv(codes: Sequence[str], *, site: str) -> str:
    """Return codes and their addresses as CSV for a printing house, with a byte order mark."""
    lines = ["code,url", *(f"{code},{site}/s/{code}" for code in codes), ""]
    return "\ufeff" + "\r\n".join(lines)
