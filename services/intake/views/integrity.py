"""疑似异常 as the office sees it: why a batch is held, and the tally with and without it.

No table here shows a cell of fewer than ten ballots.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from services.intake.domain.integrity.facts import EVIDENCE_LABELS
from services.intake.domain.integrity.verdicts import BALLOT_VERDICT_KEY
from services.intake.store import accounts, campaigns
from services.intake.store import integrity as store
from services.intake.store.campaigns import KnownCampaign
from services.intake.store.integrity import BatchBallots, IntegrityEventRow
from shared.appraisal.ballots import unpack
from shared.appraisal.errors import Rejected
from shared.appraisal.labels import Verdict
from shared.appraisal.schemes import Questionnaire, Scheme
from shared.appraisal.schemes.questions import AnyQuestion
from shared.appraisal.shown_answers import shown_answers, shown_mean
from shared.appraisal.small_cells import stepped
from shared.security.approvals import Approval
from shared.security.approvals import store as approvals
from shared.storage.transaction import Transaction

ItemCounts = Mapping[int, Counter[int]]
"""Question → option → answers about all units."""


@dataclass(frozen=True, slots=True)
class IntegrityLine:
    """An event with the names of its questionnaire, group and place, and its state in words."""

    event: IntegrityEventRow
    questionnaire: str
    group: str
    unit: str
    state: str

    @property
    def ballots(self) -> int:
        """The ballots of the batch, in steps of ten."""
        return stepped(self.event.ballots)


@dataclass(frozen=True, slots=True)
class ComparedOption:
    """Answers with one option, in steps of ten; None if too few to be shown."""

    label: str
    of_batch: int | None
    of_others: int | None


@dataclass(frozen=True, slots=True)
class QuestionComparison:
    """A question: its options, and the mean points with and without the batch."""

    label: str
    options: tuple[ComparedOption, ...]
    mean_with: Decimal | None
    mean_without: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegrityDetail:
    """An event with its evidence, the ballots concerned, and what this account may do."""

    line: IntegrityLine
    evidence: tuple[tuple[str, int], ...]
    waiting: int
    released: int
    questions: tuple[QuestionComparison, ...]
    proposer: str
    decider: str
    requests: tuple[Approval, ...]

    @property
    def event(self) -> IntegrityEventRow:
        return self.line.event


async def list_events(tx: Transaction, campaign: KnownCampaign) -> list[IntegrityLine]:
    """Return the events of a campaign, undecided ones first."""
    return [_line(campaign, event) for event in await store.list_events(tx, campaign.id)]


async def event_detail(
    tx: Transaction,
    event_id: UUID,
) -> IntegrityDetail:
    """Return an event. Raises Rejected (404) for an unknown one."""
    event = await store.find_event(tx, event_id)
    if event is None:
        raise Rejected("没有这条疑似异常记录", status=404)
    campaign = await campaigns.get(tx, event.campaign_id)
    ballots = await store.ballots_to_compare(tx, event)
    return IntegrityDetail(
        line=_line(campaign, event),
        evidence=tuple((EVIDENCE_LABELS[name], count) for name, count in event.counts.items()),
        waiting=stepped(ballots.waiting),
        released=stepped(ballots.released),
        questions=_comparisons(campaign, event, ballots),
        proposer=await _name(tx, event.proposed_by),
        decider=await _name(tx, event.decided_by),
        requests=tuple(await _requests(tx, event)) if event.is_open else (),
    )


async def _requests(tx: Transaction, event: IntegrityEventRow) -> list[Approval]:
    """Return the requests about an event that wait for another person."""
    pending = await approvals.pending(tx, [BALLOT_VERDICT_KEY])
    return [approval for approval in pending if approval.subject == str(event.id)]


async def _name(tx: Transaction, account_id: UUID | None) -> str:
    found = await accounts.find(tx, account_id) if account_id else None
    return found.account.display_name if found else ""


def _line(campaign: KnownCampaign, event: IntegrityEventRow) -> IntegrityLine:
    questionnaire = campaign.questionnaire(event.instrument)
    group = questionnaire.group(event.group)
    return IntegrityLine(
        event=event,
        questionnaire=questionnaire.label,
        group=group.label if group else event.group,
        unit=campaign.name_of(event.unit_id) if event.unit_id else "",
        state=_state(event),
    )


def _state(event: IntegrityEventRow) -> str:
    if event.is_open:
        return "答卷暂扣，待两人处理"
    return "已作废" if event.verdict is Verdict.VOID else "已计入"


# ── tallies ───────────────────────────────────────────────────────────────────────────────────────


def _comparisons(
    campaign: KnownCampaign,
    event: IntegrityEventRow,
    ballots: BatchBallots,
) -> tuple[QuestionComparison, ...]:
    questionnaire = campaign.questionnaire(event.instrument)
    batch = _count(ballots.of_batch, questionnaire)
    others = _count(ballots.of_others, questionnaire)
    items = (item for item in questionnaire.items if not item.written)
    return tuple(_compare(campaign.scheme, item, batch, others) for item in items)


def _count(packed: Iterable[bytes], questionnaire: Questionnaire) -> ItemCounts:
    counts: dict[int, Counter[int]] = {item.no: Counter() for item in questionnaire.items}
    for ballot in packed:
        for _, item_no, option_no in unpack(ballot):
            counts[item_no][option_no] += 1
    return counts


def _compare(
    scheme: Scheme,
    item: AnyQuestion,
    batch: ItemCounts,
    others: ItemCounts,
) -> QuestionComparison:
    choices = item.choices(scheme)
    of_batch = shown_answers(choices, batch[item.no])
    of_others = shown_answers(choices, others[item.no])
    lines = (ComparedOption(one.label, of_batch[one.no], of_others[one.no]) for one in choices)
    return QuestionComparison(
        label=item.label,
        options=tuple(lines),
        mean_with=shown_mean(choices, batch[item.no] + others[item.no]),
        mean_without=shown_mean(choices, others[item.no]),
    )
