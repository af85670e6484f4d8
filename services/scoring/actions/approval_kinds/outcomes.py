"""登记或更正往年结果: a correction is a new line, the old one stays."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final
from uuid import UUID

import msgspec

from services.scoring.actions.approval_kinds.roles import APPROVERS, REQUESTERS
from services.scoring.actions.outcomes import record_outcomes
from services.scoring.store import organisations, outcomes
from services.scoring.store.outcomes import OutcomeRow
from shared.appraisal.errors import Rejected
from shared.appraisal.organisations import OrganisationRegister
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

ROWS_SHOWN: Final = 30


class OutcomesPayload(msgspec.Struct, frozen=True):
    """Final results of one year of a scheme."""

    scheme_id: str
    year: int
    rows: tuple[OutcomeRow, ...]


class OutcomesKind(ApprovalKind[OutcomesPayload]):
    """Adds lines to the results of an earlier year. The subject is scheme and year."""

    key = "outcomes"
    label = "登记或更正往年结果"
    requesters = REQUESTERS
    approvers = APPROVERS
    audited = ("scheme_id", "year")
    payload_type = OutcomesPayload

    async def basis(self, tx: Transaction, subject: str, payload: OutcomesPayload) -> str:
        register = await organisations.lock_register(tx)
        _check_known(register, payload.rows)
        return str(await outcomes.count_lines(tx, payload.scheme_id, payload.year))

    async def facts(self, tx: Transaction, subject: str, payload: OutcomesPayload) -> list[Fact]:
        register = await organisations.lock_register(tx)
        known = await outcomes.current_outcomes(tx, payload.scheme_id, payload.year)
        lines = [
            Fact(register.by_id[row.unit_id].name, _change(known.get(row.unit_id), row))
            for row in payload.rows[:ROWS_SHOWN]
        ]
        return [
            Fact("方案和年度", f"{payload.scheme_id} 方案 {payload.year} 年"),
            Fact("单位", f"{len(payload.rows)} 家"),
            *lines,
        ]

    async def apply(self, tx: Transaction, granted: Granted[OutcomesPayload]) -> None:
        payload = granted.payload
        await record_outcomes(
            tx,
            scheme_id=payload.scheme_id,
            year=payload.year,
            rows=payload.rows,
            reason=granted.approval.reason,
            by=granted.approver,
        )

    def result_url(self, approval: Approval) -> str:
        scheme_id, _, year = approval.subject.partition("-")
        return f"/scoring/outcomes?scheme={scheme_id}&year={year}"


OUTCOMES: Final = OutcomesKind()


def _check_known(register: OrganisationRegister, rows: Sequence[OutcomeRow]) -> None:
    """Raise Rejected (422) for a unit that the register does not hold, for none at all, or for one
    unit twice.
    """
    if not rows or len({row.unit_id for row in rows}) < len(rows):
        raise Rejected("请至少登记一家单位的结果，每家一条", status=422, field="unit_id")
    for row in rows:
        if register.find(row.unit_id) is None:
            sentence = f"单位名册中没有编号为“{row.unit_id}”的单位"
            raise Rejected(sentence, status=422, field="unit_id")


def _change(old: OutcomeRow | None, new: OutcomeRow) -> str:
    return f"{_described(old)} 更正为 {_described(new)}" if old else _described(new)


def _described(row: OutcomeRow) -> str:
    parts = (
        (row.total, "{} 分"),
        (row.rank, "第 {} 名"),
        (row.from_bottom, "倒数第 {} 名"),
        (row.grade, "{}"),
    )
    shown = [text.format(_plain(value)) for value, text in parts if value is not None]
    return "、".join(shown) or "无结果"


def _plain(value: Decimal | int | str) -> str:
    return f"{value:f}" if isinstance(value, Decimal) else str(value)


async def request_outcomes(
    tx: Transaction,
    payload: OutcomesPayload,
    *,
    reason: str,
    by: Account,
) -> UUID:
    """Ask to record or correct results of an earlier year. Raises Rejected (403, 409, 422)."""
    subject = f"{payload.scheme_id}-{payload.year}"
    wanted = NewRequest(subject=subject, payload=payload, reason=reason)
    return await request_approval(tx, OUTCOMES, wanted, by=by)
