"""Import visits."""

from collections.abc import Sequence
from datetime import datetime

from services.intake.actions.imports.rows import ImportJob, RejectedRow, choice_of, unit_of
from services.intake.actions.visits import checked_visit, submit_visit
from services.intake.domain.ballots import hashed_id
from services.intake.domain.visits import CheckedItem, ItemResult, ReportedFinding, VisitReport
from services.intake.store import campaigns
from services.intake.store.campaigns import KnownCampaign
from shared.appraisal.errors import Rejected
from shared.appraisal.imports import MappedRow
from shared.appraisal.labels import Severity, VisitMode
from shared.storage.transaction import Transaction


async def import_visits(
    tx: Transaction,
    job: ImportJob,
    rows: Sequence[MappedRow],
) -> list[RejectedRow]:
    campaign = await campaigns.get(tx, job.campaign_id)
    rejected: list[RejectedRow] = []
    for row in rows:
        try:
            await _import_visit(tx, job, row, campaign)
        except Rejected as error:
            rejected.append((row, error))
    return rejected


async def _import_visit(
    tx: Transaction,
    job: ImportJob,
    row: MappedRow,
    campaign: KnownCampaign,
) -> None:
    report = _report(row, campaign)
    await checked_visit(tx, report, by=job.by)
    if not job.dry_run:
        visit_id = hashed_id(job.id_source(row.id))
        await submit_visit(tx, visit_id, report, by=job.by)


def _report(row: MappedRow, campaign: KnownCampaign) -> VisitReport:
    """Return a visit that checked one item; all other items are 不适用."""
    unit_id = _required_unit(row, campaign)
    visited_at = _required_visited_at(row)
    checked = _checked_item(row, campaign)
    severity = choice_of(Severity, row, "severity", Severity.ORDINARY)
    return VisitReport(
        campaign_id=campaign.id,
        unit_id=unit_id,
        mode=choice_of(VisitMode, row, "mode", VisitMode.COVERT),
        visited_at=visited_at,
        place=row.text("place"),
        items=_items(campaign, checked),
        findings=_findings(checked, severity),
        remarks=row.text("remarks"),
    )


def _required_unit(row: MappedRow, campaign: KnownCampaign) -> str:
    unit_id = unit_of(row, campaign)
    if unit_id is None:
        raise Rejected("缺少单位", status=422, field="unit")
    return unit_id


def _required_visited_at(row: MappedRow) -> datetime:
    visited_at = row.instant("visited_at")
    if visited_at is None:
        raise Rejected("缺少到访日期", status=422, field="visited_at")
    return visited_at


def _checked_item(row: MappedRow, campaign: KnownCampaign) -> CheckedItem:
    item_id = row.text("item_id")
    if campaign.checklist.item(item_id) is None:
        sentence = "检查表没有这个项目，请在映射文件中写明对应关系"
        raise Rejected(sentence, status=422, field="item_id")
    result = choice_of(ItemResult, row, "result", ItemResult.FAIL)
    return CheckedItem(item_id, result, row.text("finding"))


def _items(campaign: KnownCampaign, checked: CheckedItem) -> tuple[CheckedItem, ...]:
    return tuple(
        checked if item.id == checked.item_id else CheckedItem(item.id, ItemResult.NOT_APPLICABLE)
        for item in campaign.checklist.items
    )


def _findings(checked: CheckedItem, severity: Severity) -> tuple[ReportedFinding, ...]:
    if checked.result != ItemResult.FAIL or not checked.note:
        return ()
    return (ReportedFinding(checked.item_id, severity, checked.note),)
