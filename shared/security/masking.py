"""Masking of telephone numbers, identity numbers and names for display."""

import re
from typing import Final

from shared.security.text_folding import _fold_width, _normalize

# ── masking ───────────────────────────────────────────────────────────────────────────────────────


def mask_phone(text: str) -> str:
    """`138****8000`; a landline `0431****1234`. Shorter numbers lose all but the last two digits."""
    digits = "".join(char for char in _normalize(text) if char.isdigit())
    if len(digits) < 10:
        return "*" * max(0, len(digits) - 2) + digits[-2:]
    head = 3 if len(digits) == 11 and digits.startswith("1") else len(digits) - 8
    return f"{digits[:head]}****{digits[-4:]}"


def mask_id_card(text: str) -> str:
    """`2201************43`: province and city, then nothing of birth, sex or person but the last
    two.
    """
    bare = "".join(char for char in _fold_width(text) if char.isalnum())
    return (
        f"{bare[:4]}{'*' * max(4, len(bare) - 6)}{bare[-2:]}"
        if len(bare) >= 15
        else "*" * len(bare)
    )


def mask_name(text: str) -> str:
    """`张*`, `欧阳**`: the family name only."""
    name = text.strip()
    family = 2 if len(name) > 2 and name[:2] in _DOUBLE_SURNAMES else 1
    return name[:family] + "*" * max(1, len(name) - family) if name else ""


_DOUBLE_SURNAMES: Final = frozenset(
    re.findall(
        "..",
        "欧阳太史端木上官司马东方独孤南宫万俟闻人夏侯诸葛尉迟公羊赫连澹台皇甫宗政濮阳公冶太叔申屠公孙慕容仲孙钟离长孙宇文司徒"
        "鲜于司空闾丘子车亓官司寇巫马公西颛孙壤驷公良漆雕乐正宰父谷梁拓跋夹谷轩辕令狐段干百里呼延东郭南门羊舌微生梁丘左丘西门",
    )
)
