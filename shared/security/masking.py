"""Masking of telephone numbers, identity numbers and names for display."""

import re
from typing import Final

from shared.security.text_folding import fold_width, normalize_text

_DOUBLE_SURNAMES: Final = frozenset(
    re.findall(
        "..",
        "欧阳太史端木上官司马东方独孤南宫万俟闻人夏侯诸葛尉迟公羊赫连澹台皇甫宗政濮阳公冶太叔申屠公孙"
        "慕容仲孙钟离长孙宇文司徒鲜于司空闾丘子车亓官司寇巫马公西颛孙壤驷公良漆雕乐正宰父谷梁拓跋夹谷"
        "轩辕令狐段干百里呼延东郭南门羊舌微生梁丘左丘西门",
    )
)


def mask_phone(text: str) -> str:
    """Return `138****8000` or, for a landline, `0431****1234`.

    Only the last two digits remain of a shorter number.
    """
    digits = "".join(filter(str.isdigit, normalize_text(text)))
    if len(digits) < 10:
        return "*" * max(0, len(digits) - 2) + digits[-2:]
    is_mobile = len(digits) == 11 and digits.startswith("1")
    head = 3 if is_mobile else len(digits) - 8
    return f"{digits[:head]}****{digits[-4:]}"


def mask_id_card(text: str) -> str:
    """Return `2201************43`: province, city and the last two characters."""
    bare = "".join(filter(str.isalnum, fold_width(text)))
    if len(bare) < 15:
        return "*" * len(bare)
    return f"{bare[:4]}{'*' * (len(bare) - 6)}{bare[-2:]}"


def mask_name(text: str) -> str:
    """Return `张*` or `欧阳**`: only the surname remains."""
    name = text.strip()
    if not name:
        return ""
    surname = 2 if len(name) > 2 and name[:2] in _DOUBLE_SURNAMES else 1
    return name[:surname] + "*" * max(1, len(name) - surname)
