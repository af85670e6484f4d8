"""What a password and an account name must be."""

import re
import unicodedata
from typing import Final

from shared.appraisal.errors import Rejected
from shared.appraisal.labels import Role
from shared.security.password_strength import is_guessable

PASSWORD_MIN: Final = 10
UNIT_ROLES: Final = frozenset({Role.HANDLER, Role.UNIT_HEAD})
"""Roles that act for one unit."""


def read_name(text: str) -> str:
    """The name one signs in with: half width, lower case."""
    return unicodedata.normalize("NFKC", text).strip().casefold()


def check_name(name: str) -> None:
    """Raise Rejected unless 2 to 40 letters, digits, dots or dashes."""
    if not re.fullmatch(r"[a-z0-9\u4e00-\u9fff][a-z0-9._\u4e00-\u9fff-]{1,39}", name):
        raise Rejected("用户名应为 2 至 40 个字母、数字、汉字、点或短横", status=422, field="name")


def check_password(password: str, *, name: str) -> None:
    """Raise Rejected for a password that is short, common, or derived from the name."""
    if len(password) < PASSWORD_MIN:
        raise Rejected(f"密码至少 {PASSWORD_MIN} 位", status=422, field="password")
    if len(set(password.casefold())) < 4 or is_guessable(password, related_words=[name]):
        raise Rejected("这个密码太常见，容易被猜到，请换一个", status=422, field="password")


def check_unit(role: Role, unit_id: str | None) -> None:
    """Raise Rejected unless exactly those who act for a unit have one."""
    if (role in UNIT_ROLES) != (unit_id is not None):
        wanted = "需要指定所属单位" if role in UNIT_ROLES else "不属于某个被评议单位"
        raise Rejected(f"“{role.label}”账号{wanted}", status=422, field="unit_id")


def device_of(agent: str) -> str:
    """`手机` or `电脑`: all that is kept of what somebody signed in with."""
    return "手机" if re.search(r"Mobile|Android|iPhone|HarmonyOS", agent) else "电脑"
