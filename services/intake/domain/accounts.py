"""Rules for account names, passwords and units."""

import re
import unicodedata
from typing import Final

from shared.appraisal.errors import Rejected
from shared.appraisal.labels import Role
from shared.security.password_strength import is_guessable

PASSWORD_MIN: Final = 10
DISTINCT_CHARACTERS_MIN: Final = 4
UNIT_ROLES: Final = frozenset({Role.HANDLER, Role.UNIT_HEAD})
"""Roles that act for one unit."""
_NAME: Final = re.compile(r"[a-z0-9\u4e00-\u9fff][a-z0-9._\u4e00-\u9fff-]{1,39}")
_PHONE_AGENT: Final = re.compile(r"Mobile|Android|iPhone|HarmonyOS")


def normalise_name(text: str) -> str:
    """Return the name of an account as it is stored: half width, lower case."""
    return unicodedata.normalize("NFKC", text).strip().casefold()


def check_name(name: str) -> None:
    """Raise Rejected unless the name has 2 to 40 letters, digits, dots or dashes."""
    if not _NAME.fullmatch(name):
        raise Rejected("用户名应为 2 至 40 个字母、数字、汉字、点或短横", status=422, field="name")


def check_password(password: str, *, name: str) -> None:
    """Raise Rejected for a password that is short, common, or derived from the name."""
    if len(password) < PASSWORD_MIN:
        raise Rejected(f"密码至少 {PASSWORD_MIN} 位", status=422, field="password")
    is_monotonous = len(set(password.casefold())) < DISTINCT_CHARACTERS_MIN
    if is_monotonous or is_guessable(password, related_words=[name]):
        raise Rejected("这个密码太常见，容易被猜到，请换一个", status=422, field="password")


def check_unit(role: Role, unit_id: str | None) -> None:
    """Raise Rejected unless exactly the accounts that act for a unit have one."""
    acts_for_unit = role in UNIT_ROLES
    if acts_for_unit != (unit_id is not None):
        wanted = "需要指定所属单位" if acts_for_unit else "不属于某个被评议单位"
        raise Rejected(f"“{role.label}”账号{wanted}", status=422, field="unit_id")


def device_of(user_agent: str) -> str:
    """Return `手机` or `电脑`, the only thing stored about the device of a login."""
    return "手机" if _PHONE_AGENT.search(user_agent) else "电脑"
