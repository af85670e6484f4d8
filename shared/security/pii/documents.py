"""Passports, travel permits and other certificates of a person."""

import re
from typing import Final

from shared.security.pii.hits import Certainty, PiiKind
from shared.security.pii.numbers import is_day
from shared.security.pii.rules import GAP, PiiRule, Verdict, alphanumeric, compiled, to_check

_BETWEEN: Final = r"[^\da-z\n。;]{0,8}"
_CERTIFICATES: Final = (
    "通行证|往来证|台胞证|回乡证|返乡证|军官证|士官证|士兵证|警官证|驾驶证|驾照|行驶证|居住证|暂住证|"
    "社保号|社保卡|医保号|医保卡|残疾证|退役证|学生证|工作证|从业资格证|资格证|毕业证|准考证|学籍号|学号|"
    "工号|结婚证|出生证|户口本|证件号|证件|档案编号"
)


def _judge_bare_code(found: re.Match[str]) -> Verdict:
    """Judge a letter and digits without a word before them. A date is a serial number."""
    code = alphanumeric(found[1])
    if is_day(code[-8:]):
        return None
    return Certainty.CERTAIN if code[0] in "EG" else Certainty.TO_CHECK


RULES: Final = (
    PiiRule(
        PiiKind.PASSPORT,
        compiled(rf"护照{_BETWEEN}((?:[a-z]{GAP}){{0,2}}\d(?:{GAP}\d){{5,9}})(?![a-z0-9])"),
    ),
    PiiRule(
        PiiKind.PASSPORT,
        compiled(
            rf"(?<![a-z0-9-])((?:[EGDSPK]{GAP}\d(?:{GAP}\d){{7}})|(?:E[A-HJ-NP-Z]{GAP}\d{{7}}))"
            r"(?![a-z0-9-])"
        ),
        _judge_bare_code,
    ),
    PiiRule(
        PiiKind.PERMIT,
        compiled(rf"(?:{_CERTIFICATES}){_BETWEEN}((?:[a-z]{GAP}){{0,3}}\d(?:{GAP}\d){{4,19}}x?)"),
    ),
    PiiRule(
        PiiKind.PERMIT,
        compiled(r"(?<![a-z0-9-])((?:[CWTL]\d{8}|C[A-Z]\d{7}|[HM]\d{8}(?:\d\d)?))(?![a-z0-9-])"),
        _judge_bare_code,
    ),
    PiiRule(
        PiiKind.PERMIT,
        compiled(
            rf"([军兵士武警政后装参海空火联南北东西中]字?第{GAP}\d(?:{GAP}\d){{4,9}}{GAP}号?)"
        ),
        to_check,
    ),
)
