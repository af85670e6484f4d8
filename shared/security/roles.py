"""What a person is here to do. Pure, so that rules and programs outside may speak of roles."""

from enum import StrEnum
from typing import Final


class Role(StrEnum):
    """What a person is here to do. One account has one role."""

    OPERATOR = "operator"
    REVIEWER = "reviewer"
    HANDLER = "handler"
    UNIT_HEAD = "unit_head"
    SUPERVISOR = "supervisor"
    OFFICE = "office"
    INSPECTOR = "inspector"
    LEADER = "leader"
    ADMIN = "admin"

    @property
    def label(self) -> str:
        """The role's name on pages."""
        return ROLE_LABELS[self]


ROLE_LABELS: Final[dict[Role, str]] = {
    Role.OPERATOR: "坐席",
    Role.REVIEWER: "受理审核",
    Role.HANDLER: "承办人",
    Role.UNIT_HEAD: "单位负责人",
    Role.SUPERVISOR: "督办员",
    Role.OFFICE: "评议办",
    Role.INSPECTOR: "巡查员",
    Role.LEADER: "审定领导",
    Role.ADMIN: "管理员",
}
assert ROLE_LABELS.keys() == set(Role), "every role has a name on pages"
