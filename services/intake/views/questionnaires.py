"""Questionnaires as the office sees them: what is asked, on paper, and what people wrote."""

from dataclasses import dataclass
from datetime import datetime

from services.intake.settings import context_of
from services.intake.store import campaigns, opinions
from services.intake.store.campaigns import KnownCampaign
from services.intake.store.opinions import SealedOpinion
from shared.appraisal.schemes import Questionnaire
from shared.appraisal.schemes.questions import AnyQuestion, Choice
from shared.security.policies import Account
from shared.storage.transaction import Transaction


@dataclass(frozen=True, slots=True)
class QuestionnaireSummary:
    """A questionnaire of a campaign and the number of opinions written on it."""

    questionnaire: Questionnaire
    opinions: int

    @property
    def kinds(self) -> str:
        """The kinds of its questions in words, each once."""
        return "、".join(dict.fromkeys(item.kind_label for item in self.questionnaire.items))

    @property
    def asks_for_words(self) -> bool:
        return any(item.written for item in self.questionnaire.items)


@dataclass(frozen=True, slots=True)
class PaperQuestion:
    """A question as it is printed."""

    item: AnyQuestion
    choices: tuple[Choice, ...]


@dataclass(frozen=True, slots=True)
class OpinionLine:
    """An opinion with the names of its unit, question and respondent group."""

    unit: str
    question: str
    group: str
    text: str
    received_hour: datetime


async def summaries(tx: Transaction, campaign: KnownCampaign) -> list[QuestionnaireSummary]:
    """Return the questionnaires of a campaign."""
    counts = await opinions.counts(tx, campaign.id)
    return [
        QuestionnaireSummary(questionnaire, counts.get(questionnaire.key, 0))
        for questionnaire in campaign.scheme.questionnaires
    ]


def paper(campaign: KnownCampaign, questionnaire: Questionnaire) -> list[PaperQuestion]:
    """Return the questions of a questionnaire in print order."""
    return [PaperQuestion(item, item.choices(campaign.scheme)) for item in questionnaire.items]


async def opinion_lines(
    tx: Transaction,
    campaign: KnownCampaign,
    questionnaire: Questionnaire,
    *,
    page: int,
    reader: Account,
) -> list[OpinionLine]:
    """Return a page of opinions in clear. Reading is recorded in the audit log."""
    subject = f"{campaign.id}/{questionnaire.key}"
    tx.audit("opinions.read", subject, str(reader.id), page=page)
    stored = await opinions.find_page(
        tx,
        campaign_id=campaign.id,
        instrument=questionnaire.key,
        page=page,
    )
    return [_opinion_line(tx, campaign, questionnaire, opinion) for opinion in stored]


def _opinion_line(
    tx: Transaction,
    campaign: KnownCampaign,
    questionnaire: Questionnaire,
    opinion: SealedOpinion,
) -> OpinionLine:
    unit = campaign.by_number.get(opinion.unit_no)
    question = questionnaire.item(opinion.item_no)
    group = questionnaire.group(opinion.group)
    fields = context_of(tx).ring.unseal(f"opinion/{opinion.id}", opinion.sealed)
    return OpinionLine(
        unit=unit.name if unit else f"{opinion.unit_no} 号单位",
        question=question.label if question else f"第 {opinion.item_no} 题",
        group=group.label if group else opinion.group,
        text=fields["text"],
        received_hour=opinion.received_hour,
    )


async def campaign_or_current(tx: Transaction, campaign_id: str) -> KnownCampaign | None:
    """Return the campaign with that id, or the current one when no id is given."""
    if campaign_id:
        return await campaigns.find(tx, campaign_id)
    return await campaigns.current(tx)
