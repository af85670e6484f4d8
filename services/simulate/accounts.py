"""The accounts of the demo. Their holders are invented."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from services.simulate.units import UNITS_BY_CODE, UNITS_BY_ID
from shared.appraisal.labels import Role


@dataclass(frozen=True, slots=True)
class DemoAccount:
    """An account with its sign-in `name` and the page on which its work begins."""

    name: str
    display_name: str
    role: Role
    unit_id: str | None = None
    start: str = "/"


OPERATOR: Final = DemoAccount("zuoxi", "王敏", Role.OPERATOR, start="/intake/desk")
REVIEWER: Final = DemoAccount("shenhe", "张立", Role.REVIEWER, start="/intake/triage")
SUPERVISOR: Final = DemoAccount("duban", "李涛", Role.SUPERVISOR, start="/casework/supervise")
OFFICE: Final = DemoAccount("pingyiban", "陈静", Role.OFFICE, start="/scoring/")
INSPECTOR: Final = DemoAccount("xuncha", "巡查员07", Role.INSPECTOR, start="/intake/field/")
LEADER: Final = DemoAccount("lingdao", "赵刚", Role.LEADER, start="/scoring/")
ADMIN: Final = DemoAccount("guanli", "系统管理员", Role.ADMIN, start="/me")
AUDITOR: Final = DemoAccount("shenji", "孙洁", Role.AUDITOR, start="/intake/audit")
CUSTODIAN: Final = DemoAccount("baoguan", "周敏", Role.CUSTODIAN, start="/intake/dual-approvals")

SHOWN_UNIT_IDS: Final = tuple(UNITS_BY_CODE[code].unit_id for code in ("G02", "G13", "Z01"))
"""The units whose accounts the demo lists at its start; all units have them."""


def unit_accounts(unit_id: str, unit_name: str) -> tuple[DemoAccount, DemoAccount]:
    """Return the accounts of a unit's handler and head."""
    known = UNITS_BY_ID.get(unit_id)
    suffix = (known.code if known else unit_id).lower()
    handler = DemoAccount(
        f"chengban-{suffix}",
        f"{unit_name}承办人",
        Role.HANDLER,
        unit_id,
        "/casework/",
    )
    head = DemoAccount(
        f"fuzeren-{suffix}",
        f"{unit_name}负责人",
        Role.UNIT_HEAD,
        unit_id,
        "/casework/approvals",
    )
    return handler, head


def handler_of(unit_id: str) -> DemoAccount:
    """Return the account of the handler of a demo unit."""
    handler, _ = unit_accounts(unit_id, UNITS_BY_ID[unit_id].name)
    return handler


def head_of(unit_id: str) -> DemoAccount:
    """Return the account of the head of a demo unit."""
    _, head = unit_accounts(unit_id, UNITS_BY_ID[unit_id].name)
    return head


OFFICE_ACCOUNTS: Final = (
    OPERATOR,
    REVIEWER,
    SUPERVISOR,
    OFFICE,
    INSPECTOR,
    LEADER,
    ADMIN,
    AUDITOR,
    CUSTODIAN,
)
"""The accounts that belong to no unit."""


def _shown_accounts() -> Iterator[DemoAccount]:
    yield OPERATOR
    yield REVIEWER
    for unit_id in SHOWN_UNIT_IDS:
        yield handler_of(unit_id)
        yield head_of(unit_id)
    yield from OFFICE_ACCOUNTS[2:]


DEMO_ACCOUNTS: Final = tuple(_shown_accounts())
"""The accounts that the demo lists at its start."""
