"""答卷核查: ballots that count, that are void and that are held, and the tallies with both."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from services.scoring.domain.campaign import Campaign
from services.scoring.store import ballots
from services.scoring.store import integrity as store
from services.scoring.store.integrity import IntegrityRow
from shared.appraisal.ballots import answer_of, packed_numbers
from shared.appraisal.labels import IntegrityKind, Verdict
from shared.appraisal.schemes import Questionnaire, Scheme
from shared.appraisal.schemes.questions import AnyQuestion
from shared.appraisal.shown_answers import shown_answers, shown_mean
from shared.appraisal.small_cells import stepped
from shared.storage.transaction import Transaction

ItemCounts = Mapping[int, Counter[int]]
"""Question → option → answers about all units."""


@dataclass(frozen=True, slots=True)
class GroupLine:
    """Ballots of one group of respondents, in steps of ten. `undecided`: events that hold some."""

    questionnaire: str
    group: str
    counted: int
    voided: int
    undecided: int


@dataclass(frozen=True, slots=True)
class EventLine:
    """An integrity event with the names of its questionnaire and group."""

    row: IntegrityRow
    kind: str
    questionnaire: str
    group: str
    state: str

    @property
    def voided(self) -> int:
        """Void ballots, in steps of ten."""
        return stepped(self.row.voided)


@dataclass(frozen=True, slots=True)
class OptionLine:
    """Answers with one option, in steps of ten; None if too few to be shown."""

    label: str
    counted: int | None
    voided: int | None


@dataclass(frozen=True, slots=True)
class QuestionLine:
    """A question to one group, with its mean points without and with the void ballots."""

    label: str
    options: tuple[OptionLine, ...]
    mean: Decimal | None
    mean_with_void: Decimal | None


@dataclass(frozen=True, slots=True)
class IntegrityView:
    """Everything about suspicious ballots of a campaign."""

    groups: Sequence[GroupLine]
    events: Sequence[EventLine]
    questions: Sequence[QuestionLine]


async def integrity_view(tx: Transaction, campaign: Campaign) -> IntegrityView:
    """Return what counts, what is void and what is held in a campaign."""
    rows = await store.list_events(tx, campaign.id)
    by_group = await store.ballots_by_group(tx, campaign.id)
    with_void = [id for id, (_, voided) in by_group.items() if voided]
    return IntegrityView(
        groups=_group_lines(campaign, by_group, rows),
        events=[_event_line(campaign, row) for row in rows],
        questions=await _question_lines(tx, campaign, with_void),
    )


def _group_lines(
    campaign: Campaign,
    by_group: Mapping[int, tuple[int, int]],
    rows: Sequence[IntegrityRow],
) -> list[GroupLine]:
    undecided = Counter((row.instrument, row.group_key) for row in rows if row.ended_at is None)
    lines = []
    for id, (instrument, group) in sorted(campaign.response_groups.items()):
        counted, voided = by_group.get(id, (0, 0))
        held = undecided[instrument, group]
        if counted or voided or held:
            questionnaire, label = _labels(campaign, instrument, group)
            lines.append(GroupLine(questionnaire, label, stepped(counted), stepped(voided), held))
    return lines


def _event_line(campaign: Campaign, row: IntegrityRow) -> EventLine:
    questionnaire, group = _labels(campaign, row.instrument, row.group_key)
    kind = IntegrityKind(row.kind).label if row.kind else ""
    return EventLine(row, kind, questionnaire, group, _state(row))


def _state(row: IntegrityRow) -> str:
    if row.ended_at is None:
        return "暂扣，待两人处理"
    return f"已{Verdict(row.verdict).label}" if row.verdict else ""


def _labels(
    campaign: Campaign,
    instrument: str,
    group_key: str,
) -> tuple[str, str]:
    found = _questionnaire(campaign.scheme, instrument)
    group = found.group(group_key) if found else None
    return found.label if found else instrument, group.label if group else group_key


def _questionnaire(scheme: Scheme, instrument: str) -> Questionnaire | None:
    return next((one for one in scheme.questionnaires if one.key == instrument), None)


# ── tallies ───────────────────────────────────────────────────────────────────────────────────────


async def _question_lines(
    tx: Transaction,
    campaign: Campaign,
    group_ids: Sequence[int],
) -> list[QuestionLine]:
    """Return the questions of the groups that have void ballots."""
    counted = await _counted(tx, group_ids)
    voided = await _voided(tx, campaign, group_ids)
    lines: list[QuestionLine] = []
    for id in group_ids:
        instrument, group = campaign.response_groups[id]
        _, label = _labels(campaign, instrument, group)
        for question in _closed_questions(campaign.scheme, instrument):
            lines.append(_question_line(campaign.scheme, question, label, counted[id], voided[id]))
    return lines


def _closed_questions(scheme: Scheme, instrument: str) -> list[AnyQuestion]:
    questionnaire = _questionnaire(scheme, instrument)
    items = questionnaire.items if questionnaire else ()
    return [item for item in items if not item.written]


async def _counted(tx: Transaction, group_ids: Sequence[int]) -> dict[int, ItemCounts]:
    counts: dict[int, dict[int, Counter[int]]] = {id: {} for id in group_ids}
    for row in await ballots.answer_counts(tx, group_ids):
        of_item = counts[row.response_group_id].setdefault(row.item_no, Counter())
        of_item[row.option_no] += row.answer_count
    return dict(counts)


async def _voided(
    tx: Transaction,
    campaign: Campaign,
    group_ids: Sequence[int],
) -> dict[int, ItemCounts]:
    counts: dict[int, dict[int, Counter[int]]] = {id: {} for id in group_ids}
    for ballot in await store.voided_ballots(tx, campaign.id, group_ids):
        for _, item_no, option_no in map(answer_of, packed_numbers(ballot.answers)):
            counts[ballot.response_group_id].setdefault(item_no, Counter())[option_no] += 1
    return dict(counts)


def _question_line(
    scheme: Scheme,
    item: AnyQuestion,
    group: str,
    counted: ItemCounts,
    voided: ItemCounts,
) -> QuestionLine:
    choices = item.choices(scheme)
    counts = counted.get(item.no, Counter())
    void = voided.get(item.no, Counter())
    shown = shown_answers(choices, counts)
    shown_void = shown_answers(choices, void)
    options = (OptionLine(one.label, shown[one.no], shown_void[one.no]) for one in choices)
    return QuestionLine(
        label=f"{group} · {item.label}",
        options=tuple(options),
        mean=shown_mean(choices, counts),
        mean_with_void=shown_mean(choices, counts + void),
    )
