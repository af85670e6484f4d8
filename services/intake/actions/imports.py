"""Imports: rows of another system become complaints, ballots or visits, two hundred in a
transaction, each once.

A row is remembered by its source and its id in the transaction that takes it. So an import that was
killed is simply started again with the same file: what is in is counted as repeated, the rest goes
in.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Literal, TypeVar
from uuid import UUID

from services.intake.actions import ballots, complaints, visits
from services.intake.domain.ballots import check_answers, hashed_id, hour_of
from services.intake.domain.complaints import Report
from services.intake.domain.visits import Checked, Found
from services.intake.settings import IntakeContext
from services.intake.store import ballots as ballot_store
from services.intake.store import campaigns
from services.intake.store import imports as store
from services.intake.store.campaigns import KnownCampaign
from shared.appraisal.ballots import Answer, pack
from shared.appraisal.errors import Rejected
from shared.appraisal.imports import (
    InvalidFile,
    InvalidMapping,
    MappedRow,
    RowError,
    RowMapping,
    Table,
    map_rows,
    read_mapping,
    read_table,
)
from shared.appraisal.labels import ComplaintChannel, ComplaintKind, Severity, Urgency
from shared.foundation import telemetry
from shared.security.policies import Account
from shared.storage.connections import Database
from shared.storage.transaction import Transaction, new_id

BATCH: Final = 200
Word = TypeVar("Word", bound=StrEnum)
Choice = TypeVar("Choice", bound=str)
RESULTS: Final[dict[str, Literal["pass", "fail", "na"]]] = {
    "pass": "pass",
    "fail": "fail",
    "na": "na",
}
SEVERITIES: Final = {severity.value: severity for severity in Severity}
MODES: Final[dict[str, Literal["announced", "covert"]]] = {
    "announced": "announced",
    "covert": "covert",
}
Told = Callable[["Tally"], None]


@dataclass(slots=True)
class Tally:
    """How an import stands: rows of the file, taken, in already, refused."""

    id: UUID
    total: int
    done: int = 0
    repeated: int = 0
    refused: int = 0
    mistakes: list[RowError] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to import: the file's table, its mapping, for which campaign; `dry_run` only looks."""

    table: Table
    mapping: RowMapping
    campaign_id: str
    dry_run: bool
    by: Account


def read_order(
    *, file_name: str, content: bytes, mapping: str, campaign_id: str, dry_run: bool, by: Account
) -> Order:
    """What was sent, checked as far as it can be without a look at its rows. Raises Rejected (422)
    with what to change.
    """
    try:
        read = read_mapping(mapping)
        table = read_table(file_name, content)
        next(map_rows(table, read), None)
    except InvalidMapping as error:
        raise Rejected(str(error), status=422, field="mapping") from error
    except InvalidFile as error:
        raise Rejected(str(error), status=422, field="file") from error
    if read.kind not in TAKERS:
        raise Rejected("参评单位名册请在“评分 → 参评单位”导入", status=422, field="mapping")
    return Order(table=table, mapping=read, campaign_id=campaign_id, dry_run=dry_run, by=by)


async def begin_import(tx: Transaction, order: Order) -> UUID:
    """Note that an import begins; gives its id, by which its progress is asked for. Raises Rejected
    (422) for an unknown campaign.
    """
    await campaigns.get(tx, order.campaign_id)
    import_id = new_id()
    await store.begin(
        tx,
        import_id,
        kind=order.mapping.kind,
        source=order.mapping.source,
        file_name=order.table.name,
        campaign_id=order.campaign_id,
        dry_run=order.dry_run,
        total=len(order.table.rows),
        by=order.by.id,
    )
    facts = {
        "kind": order.mapping.kind,
        "source": order.mapping.source,
        "rows": len(order.table.rows),
        "dry_run": order.dry_run,
    }
    tx.audit("import.started", import_id, str(order.by.id), **facts)
    return import_id


async def run_import(
    database: Database,
    context: IntakeContext,
    import_id: UUID,
    order: Order,
    *,
    told: Told = lambda tally: None,
) -> Tally:
    """Take all rows of an import, a batch in each transaction; `told` hears how it stands after
    each.

    An exception leaves the import stopped; what was committed is in, and the same file continues
    there.
    """
    tally = Tally(import_id, len(order.table.rows))
    rows = map_rows(order.table, order.mapping)
    try:
        while batch := [row for _, row in zip(range(BATCH), rows, strict=False)]:
            async with database.transaction(context) as tx:
                await _take(tx, order, batch, tally)
            told(tally)
    except BaseException:
        await _end(database, context, import_id, "stopped")
        raise
    await _end(database, context, import_id, "finished")
    return tally


async def _end(database: Database, context: IntakeContext, import_id: UUID, state: str) -> None:
    async with database.transaction(context) as tx:
        await store.end(tx, import_id, state)
        tx.audit("import.ended", import_id, "system", state=state)


async def _take(
    tx: Transaction, order: Order, batch: Sequence[MappedRow | RowError], tally: Tally
) -> None:
    """Take one batch: rows that are in already are passed over, rows that are wrong are noted, the
    rest goes in.
    """
    mapping, mapped = order.mapping, [row for row in batch if isinstance(row, MappedRow)]
    mistakes = [row for row in batch if isinstance(row, RowError)]
    source = f"{order.campaign_id}/{mapping.kind}/{mapping.source}"
    if order.dry_run:
        old = await store.known(tx, source, [row.id for row in mapped])
        fresh = [row for row in mapped if row.id not in old]
    else:
        claimed = await store.claim(tx, tally.id, source, [row.id for row in mapped])
        fresh = [row for row in mapped if row.id in claimed]
    refused = await TAKERS[mapping.kind](tx, order, fresh)
    if refused and not order.dry_run:
        await store.give_back(tx, source, [row.id for row, _ in refused])
    mistakes += [
        RowError(row.line, mapping.column_of(error.field or ""), error.sentence)
        for row, error in refused
    ]
    done, repeated = len(fresh) - len(refused), len(mapped) - len(fresh)
    await store.note_mistakes(
        tx, tally.id, [(m.line, m.column, m.reason) for m in sorted(mistakes, key=lambda m: m.line)]
    )
    await store.advance(tx, tally.id, done=done, repeated=repeated, refused=len(mistakes))
    tally.done, tally.repeated, tally.refused = (
        tally.done + done,
        tally.repeated + repeated,
        tally.refused + len(mistakes),
    )
    tally.mistakes += mistakes
    for result, count in (("done", done), ("repeated", repeated), ("refused", len(mistakes))):
        telemetry.imported_rows.labels(
            mapping.kind, "checked" if order.dry_run and result == "done" else result
        ).inc(count)


Refusals = list[tuple[MappedRow, Rejected]]


# ── complaints ────────────────────────────────────────────────────────────────────────────────────


async def _complaints(tx: Transaction, order: Order, rows: Sequence[MappedRow]) -> Refusals:
    campaign = await campaigns.get(tx, order.campaign_id)
    refused: Refusals = []
    good: list[tuple[MappedRow, complaints.Entry]] = []
    for row in rows:
        try:
            report = _report(row, campaign)
            if order.dry_run:
                await complaints.check_complaint(tx, report, by=order.by)
            good.append((row, complaints.Entry(report=report, by=order.by)))
        except Rejected as error:
            refused.append((row, error))
    if not order.dry_run:
        results = await complaints.register_complaints(tx, [entry for _, entry in good])
        refused += [
            (row, result)
            for (row, _), result in zip(good, results, strict=True)
            if isinstance(result, Rejected)
        ]
    return refused


def _report(row: MappedRow, campaign: KnownCampaign) -> Report:
    return Report(
        campaign_id=campaign.id,
        channel=_word(ComplaintChannel, row, "channel", ComplaintChannel.IMPORT),
        kind=_word(ComplaintKind, row, "kind", ComplaintKind.COMPLAINT),
        urgency=_word(Urgency, row, "urgency", Urgency.NORMAL),
        unit_id=_unit(row, campaign),
        problem_item=row.text("problem_item") or None,
        complaint_text=row.text("complaint_text"),
        redacted_summary=row.text("redacted_summary") or None,
        identity=row.text("identity") or "anonymous",
        name=row.text("name"),
        phone=row.text("phone"),
        address=row.text("address"),
        place=row.text("place"),
        occurred=row.text("occurred_at"),
        received_at=row.instant("received_at"),
    )


def _word(words: type[Word], row: MappedRow, name: str, otherwise: Word) -> Word:
    text = row.text(name)
    try:
        return words(text) if text else otherwise
    except ValueError as error:
        raise Rejected(
            f"只能是 {'、'.join(words)} 之一，请在映射文件中写明对应关系", status=422, field=name
        ) from error


def _unit(row: MappedRow, campaign: KnownCampaign) -> str | None:
    """The unit of a row: by id (`unit_id`), or by name or alias (`unit`). None when the row names
    none.
    """
    if row.text("unit_id"):
        return campaign.unit(row.text("unit_id")).unit_id
    return _unit_named(row.text("unit"), campaign) if row.text("unit") else None


def _unit_named(name: str, campaign: KnownCampaign) -> str:
    found = [
        unit.unit_id
        for unit in campaign.units.values()
        if name in (unit.name, unit.unit_id, *unit.aliases)
    ]
    if len(found) != 1:
        raise Rejected(
            "本次评议没有这个单位" if not found else "有几个单位用这个名称",
            status=422,
            field="unit",
        )
    return found[0]


# ── ballots ───────────────────────────────────────────────────────────────────────────────────────


async def _ballots(tx: Transaction, order: Order, rows: Sequence[MappedRow]) -> Refusals:
    campaign = await campaigns.get(tx, order.campaign_id)
    refused: Refusals = []
    good: list[tuple[MappedRow, tuple[str, str, str | None], list[Answer]]] = []
    for row in rows:
        try:
            good.append((row, _sheet(row, campaign), _answers(row, campaign)))
        except Rejected as error:
            refused.append((row, error))
    if not order.dry_run:
        await _store_ballots(tx, order, campaign, good)
    return refused


def _sheet(row: MappedRow, campaign: KnownCampaign) -> tuple[str, str, str | None]:
    """(instrument, group, point) of a questionnaire; where the row says nothing, the scheme's
    first.
    """
    questionnaire = campaign.questionnaire(
        row.text("instrument") or campaign.scheme.questionnaires[0].key
    )
    group = row.text("group") or questionnaire.groups[0].key
    if questionnaire.group(group) is None:
        raise Rejected("问卷没有这个评议主体", status=422, field="group")
    return questionnaire.key, group, row.text("point") or None


def _answers(row: MappedRow, campaign: KnownCampaign) -> list[Answer]:
    codes = {option.code: option.no for option in campaign.scheme.options} | {
        str(option.no): option.no for option in campaign.scheme.options
    }
    answers: list[Answer] = []
    for unit, item, code in row.answers:
        if code not in codes:
            raise Rejected(f"方案没有“{code}”这个选项", status=422, field="options")
        answers.append((campaign.units[_unit_named(unit, campaign)].unit_no, item, codes[code]))
    questionnaire = campaign.questionnaire(
        row.text("instrument") or campaign.scheme.questionnaires[0].key
    )
    check_answers(campaign.scheme, questionnaire, campaign.by_number, answers)
    return answers


async def _store_ballots(
    tx: Transaction,
    order: Order,
    campaign: KnownCampaign,
    good: Sequence[tuple[MappedRow, tuple[str, str, str | None], list[Answer]]],
) -> None:
    """Store a batch's ballots in one COPY, each under the sheet's own entry in the register of
    issuance.
    """
    stored = []
    for sheet in sorted(
        {sheet for _, sheet, _ in good}, key=str
    ):  # in one order, so that two imports never wait for each other
        batch_id = hashed_id(f"fengping/import/{campaign.id}/{order.mapping.source}/{sheet}")
        count = sum(1 for _, other, _ in good if other == sheet)
        await ballot_store.extend_batch(
            tx, batch_id, campaign_id=campaign.id, sheet=sheet, count=count, by=order.by.id
        )
        batch = {
            "campaign_id": campaign.id,
            "instrument": sheet[0],
            "group": sheet[1],
            "point": sheet[2],
        }
        for row, other, answers in good:
            if other == sheet:
                ballot_id = hashed_id(
                    f"fengping/import/{campaign.id}/{order.mapping.source}/{row.id}"
                )
                hour = hour_of(row.instant("cast_at") or tx.now)
                stored.append((campaign.id, ballot_id, batch_id, pack(sorted(answers)), b"", hour))
                tx.publish(ballots.fact(batch, ballot_id, answers, hour))
    await ballot_store.add_many(tx, stored)
    telemetry.ballot_submits.labels("accepted").inc(len(stored))


# ── visits ────────────────────────────────────────────────────────────────────────────────────────


async def _visits(tx: Transaction, order: Order, rows: Sequence[MappedRow]) -> Refusals:
    campaign = await campaigns.get(tx, order.campaign_id)
    refused: Refusals = []
    for row in rows:
        try:
            report = _visit(row, campaign)
            await visits.check_visit(tx, report, by=order.by)
            if not order.dry_run:
                visit_id = hashed_id(
                    f"fengping/import/{campaign.id}/{order.mapping.source}/{row.id}"
                )
                await visits.submit_visit(tx, visit_id, report, by=order.by)
        except Rejected as error:
            refused.append((row, error))
    return refused


def _visit(row: MappedRow, campaign: KnownCampaign) -> visits.Report:
    """A visit of which only one thing was written down: what the row does not speak of was not
    looked at.
    """
    unit_id, visited_at = _unit(row, campaign), row.instant("visited_at")
    if unit_id is None:
        raise Rejected("缺少单位", status=422, field="unit")
    if visited_at is None:
        raise Rejected("缺少到访日期", status=422, field="visited_at")
    item_id, said = row.text("item_id"), row.text("finding")
    if campaign.checklist.item(item_id) is None:
        raise Rejected(
            "检查表没有这个项目，请在映射文件中写明对应关系", status=422, field="item_id"
        )
    result = _among(RESULTS, row, "result", "fail")
    severity = _among(SEVERITIES, row, "severity", "ordinary")
    items = tuple(
        Checked(item.id, result if item.id == item_id else "na", said if item.id == item_id else "")
        for item in campaign.checklist.items
    )
    findings = (Found(item_id, severity, said),) if result == "fail" and said else ()
    return visits.Report(
        campaign_id=campaign.id,
        unit_id=unit_id,
        mode=_among(MODES, row, "mode", "covert"),
        visited_at=visited_at,
        place=row.text("place"),
        items=items,
        findings=findings,
        remarks=row.text("remarks"),
    )


def _among(words: dict[str, Choice], row: MappedRow, name: str, otherwise: str) -> Choice:
    text = row.text(name) or otherwise
    if text not in words:
        raise Rejected(
            f"只能是 {'、'.join(words)} 之一，请在映射文件中写明对应关系", status=422, field=name
        )
    return words[text]


TAKERS: Final[
    dict[str, Callable[[Transaction, Order, Sequence[MappedRow]], Awaitable[Refusals]]]
] = {
    "complaints": _complaints,
    "ballots": _ballots,
    "visits": _visits,
}
