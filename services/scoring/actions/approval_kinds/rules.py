"""更换规则和权重 of a campaign."""

from datetime import date
from typing import Final
from uuid import UUID

import msgspec

from services.scoring.actions.approval_kinds.roles import APPROVERS, REQUESTERS
from services.scoring.actions.campaigns import check_rules, lock_campaign, replace_rules
from services.scoring.store import campaigns
from shared.appraisal.calendar.working_days import civil_day
from shared.appraisal.errors import Rejected
from shared.appraisal.schemes import Scheme
from shared.security.approvals import (
    Approval,
    ApprovalKind,
    Fact,
    Granted,
    NewRequest,
    request_approval,
)
from shared.security.policies import Account
from shared.storage.transaction import Transaction

CHANGES_SHOWN: Final = 12


class RulesPayload(msgspec.Struct, frozen=True):
    """The whole new scheme as JSON, and the day from which somebody wants it to apply."""

    scheme: str
    version: str
    fingerprint: str
    effective_on: date | None = None


class RulesChange(ApprovalKind[RulesPayload]):
    """Publishes another version of the rules. The subject is the id of the campaign."""

    key = "rules"
    label = "更换规则和权重"
    requesters = REQUESTERS
    approvers = APPROVERS
    audited = ("version", "fingerprint")
    payload_type = RulesPayload

    async def basis(self, tx: Transaction, subject: str, payload: RulesPayload) -> str:
        _check_effective_day(tx, payload.effective_on)
        campaign = await lock_campaign(tx, subject)
        await check_rules(tx, campaign, Scheme.from_json(payload.scheme))
        return campaign.scheme.fingerprint

    async def facts(self, tx: Transaction, subject: str, payload: RulesPayload) -> list[Fact]:
        campaign = await campaigns.get_campaign(tx, subject)
        scheme = Scheme.from_json(payload.scheme)
        return [
            Fact("评议活动", campaign.title),
            Fact("规则版本", f"{campaign.scheme.version} 改为 {payload.version}"),
            Fact("内容指纹", payload.fingerprint),
            Fact("生效", "批准之时起；此前算出的得分保留解释"),
            *_changes(campaign.scheme, scheme),
        ]

    async def apply(self, tx: Transaction, granted: Granted[RulesPayload]) -> None:
        await replace_rules(
            tx,
            campaign_id=granted.approval.subject,
            scheme=Scheme.from_json(granted.payload.scheme),
            by=granted.approver,
        )

    def result_url(self, approval: Approval) -> str:
        return f"/scoring/{approval.subject}/rules"


RULES: Final = RulesChange()


def _check_effective_day(tx: Transaction, day: date | None) -> None:
    """Raise Rejected (422) for rules that would apply from another day than today."""
    today = civil_day(tx.now)
    if day is not None and day < today:
        raise Rejected("规则不能追溯生效，生效日期不能早于今天", status=422, field="effective_on")
    if day is not None and day > today:
        raise Rejected("新规则自批准之日起生效，请到当天再申请", status=422, field="effective_on")


def _changes(old: Scheme, new: Scheme) -> list[Fact]:
    """Return one line for each rule that differs, with its weight or points."""
    before = {rule.id: rule for rule in old.rules()}
    after = {rule.id: rule for rule in new.rules()}
    ids = [id for id in before | after if before.get(id) != after.get(id)]
    lines = [Fact(f"规则 {id}", _change(before.get(id), after.get(id))) for id in ids]
    if old.options != new.options:
        lines.append(Fact("选项分值", "有改动"))
    more = len(lines) - CHANGES_SHOWN
    rest = [Fact("另有改动", f"{more} 处")] if more > 0 else []
    return lines[:CHANGES_SHOWN] + rest


def _change(old: object, new: object) -> str:
    return f"{_described(old)} 改为 {_described(new)}"


def _described(rule: object) -> str:
    if rule is None:
        return "无"
    for name, unit in (("weight", "权重"), ("amount", "每次")):
        value = getattr(rule, name, None)
        if value is not None:
            return f"{getattr(rule, 'label', '')} {unit} {value}"
    return str(getattr(rule, "label", "有"))


async def request_rules(
    tx: Transaction,
    *,
    campaign_id: str,
    scheme: Scheme,
    reason: str,
    effective_on: date | None,
    by: Account,
) -> UUID:
    """Ask for another version of the rules. Raises Rejected (403, 404, 409, 422)."""
    payload = RulesPayload(scheme.to_json(), scheme.version, scheme.fingerprint, effective_on)
    wanted = NewRequest(subject=campaign_id, payload=payload, reason=reason)
    return await request_approval(tx, RULES, wanted, by=by)
