"""Checks of the campaign period, its stages and its obligations."""

from collections.abc import Iterator

from shared.appraisal.schemes.checks.violation import SchemeViolation, with_paths
from shared.appraisal.schemes.scheme import Scheme
from shared.appraisal.schemes.scope import AppraisalStage, ObligationRule, Period


def check_period(scheme: Scheme) -> Iterator[SchemeViolation]:
    """Stages and obligations lie within the period."""
    period = scheme.period
    if period.ends <= period.begins:
        yield "period.ends", f"结束日期 {period.ends} 应晚于开始日期 {period.begins}"
    for path, stage in with_paths("stages", scheme.stages):
        yield from _stage_violations(path, stage, period)
    for path, obligation in with_paths("obligations", scheme.obligations):
        yield from _obligation_violations(path, obligation, period)


def _stage_violations(
    path: str,
    stage: AppraisalStage,
    period: Period,
) -> Iterator[SchemeViolation]:
    if stage.ends < stage.begins:
        yield f"{path}.ends", f"阶段“{stage.label}”的结束日期早于开始日期"
    if not period.begins <= stage.begins <= stage.ends <= period.ends:
        sentence = f"阶段“{stage.label}”超出评议期 {_written(period)}，请改阶段或评议期"
        yield f"{path}.begins", sentence


def _obligation_violations(
    path: str,
    obligation: ObligationRule,
    period: Period,
) -> Iterator[SchemeViolation]:
    if not period.begins <= obligation.due <= period.ends:
        title = f"“{obligation.label}”的截止日期 {obligation.due}"
        yield f"{path}.due", f"{title} 不在评议期 {_written(period)} 内"
    if not _is_descending(obligation.remind):
        yield f"{path}.remind", "提醒日应为从大到小的工作日数，例如 [5, 1]"


def _is_descending(days: tuple[int, ...]) -> bool:
    return list(days) == sorted(set(days), reverse=True) and all(day >= 0 for day in days)


def _written(period: Period) -> str:
    return f"{period.begins} 至 {period.ends}"


def check_stage_ids(scheme: Scheme) -> Iterator[SchemeViolation]:
    """Instruments refer to stages that exist."""
    known = {stage.id for stage in scheme.stages}
    for path, instrument in with_paths("instruments", scheme.instruments):
        for at, stage in with_paths(f"{path}.stages", instrument.stages):
            if stage not in known:
                yield at, f"没有编号为“{stage}”的阶段，请改为 stages 中的编号"
