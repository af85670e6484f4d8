"""Addresses and house numbers, schools and classes."""

import re
from typing import Final

from shared.security.pii.hits import Certainty, PiiKind
from shared.security.pii.rules import Judge, PiiRule, Verdict, compiled, to_check

_GAP: Final = r"[^\w\n,。;、!?]{0,2}"
_NUMBER: Final = r"(?:[A-Z]?\d{1,4}|[一二三四五六七八九十百零〇两]{1,4}|[A-Z])"
_OFFICE: Final = re.compile(
    "政务|大厅|窗口|[局委厅署院所]|政府|中心|法院|检察|学校|医院|银行|大队|支队|车站|服务站|办事处|办公|机关|"
    "卫生院|税务|供电|公司|酒店|商场|超市"
)
_HOME: Final = re.compile("家|住|宿舍|小区|旁|附近|对面|后面|隔壁|公寓|我|租|业主|居民")
_WINDOW: Final = 14
"""Characters before a house number in which a public body or a home is looked for."""
_PLACE_WORD: Final = re.compile("[县区市镇乡村屯路街巷苑城湾园里府庄坊寨组]|大道|公寓|宿舍")
_CLAUSE_END: Final = re.compile("[,。;!?\n]")
_ONE_BUILDING: Final = re.compile("[一两][栋座幢]")
_COUNTED: Final = re.compile("[共有几多建这那每整各近约]$")

_HOUSE_NUMBER: Final = re.compile(
    rf"{_NUMBER}{_GAP}(?:号|栋|幢|单元|室|组|弄|楼|座)", re.IGNORECASE
)


def _is_office(found: re.Match[str]) -> bool:
    """Return whether the address is one of a public body rather than of a home."""
    until_end = found.string[max(0, found.start(1) - _WINDOW) : found.end(1)]
    after = found.string[found.end(1) : found.end(1) + _WINDOW]
    clause = _CLAUSE_END.split(until_end)[-1]
    if _HOME.search(clause):
        return False
    return bool(_OFFICE.search(clause) or _OFFICE.search(_CLAUSE_END.split(after)[0]))


def _judge_home(found: re.Match[str]) -> Verdict:
    """Judge several parts of an address: a unit or room makes it one of a home."""
    has_unit = re.search("单元|室|户|弄", found[1]) is not None
    if _is_office(found) or (_ONE_BUILDING.search(found[1]) and not has_unit):
        return None
    is_home = has_unit or re.search(r"\d{3,4}$", found[1]) is not None
    return Certainty.CERTAIN if is_home else Certainty.TO_CHECK


def _judge_part(found: re.Match[str]) -> Verdict:
    """Judge one part of an address: it may count buildings, or be an office."""
    before = found.string[max(0, found.start(1) - 1) : found.start(1)]
    if _COUNTED.search(before) or _is_office(found):
        return None
    return Certainty.TO_CHECK


def _judge_residence(found: re.Match[str]) -> Verdict:
    """Judge what follows `家住` or `地址：`."""
    if _OFFICE.search(found[1]) and not _HOME.search(found[0]):
        return None
    if _HOUSE_NUMBER.search(found[1]):
        return Certainty.CERTAIN
    return Certainty.TO_CHECK if _PLACE_WORD.search(found[1]) else None


def _judge_school(found: re.Match[str]) -> Verdict:
    """Judge a school without a class: `附近的学校` names none."""
    return None if _SOME_SCHOOL.search(found[1]) else Certainty.TO_CHECK


def _judge_class(found: re.Match[str]) -> Verdict:
    return Certainty.CERTAIN if _SCHOOL_END.search(found[1]) else Certainty.TO_CHECK


def _address(pattern: str, judge: Judge) -> PiiRule:
    return PiiRule(PiiKind.ADDRESS, compiled(pattern), judge, reads_spelt=False)


_HAN: Final = "[\u4e00-\u9fff]"
_PLACE: Final = (
    rf"(?:(?:(?![住在是于我家]){_HAN}){{1,8}}"
    rf"(?:小区|花园|家园|新城|公寓|别墅|[园苑城湾里府庭村庄路街巷道坊邸]){_GAP})?"
)
_BUILDING: Final = "(?:栋|幢|号楼|号院|单元|座|弄|号|#楼?|期|区)"
_PART: Final = "(?:栋|幢|号楼|单元|座|楼|层|门|号房|号|室|户|房|弄)"
_SCHOOL_KINDS: Final = (
    "(?:小学|中学|幼儿园|学校|[一二三四五六七八九十]中|[一二三四]小|附中|附小|高中|初中|大学|"
    "学院|职高|技校)"
)
_SCHOOL_END: Final = re.compile(_SCHOOL_KINDS)
_SOME_SCHOOL: Final = re.compile("[的了哪个所午]|附近|小区|进入|直接|公立|民办|配套|分配")
_SCHOOL: Final = rf"[\u4e00-\u9fff\dA-Z]{{1,8}}{_SCHOOL_KINDS}"
_FORM: Final = r"[一二三四五六七八九1-9]"
_GRADE: Final = (
    rf"(?:{_FORM}{_GAP}年级?|[初高小大]{_GAP}{_FORM}|(?:20)?\d\d{_GAP}级|"
    rf"[高初小]中?{_GAP}{_FORM}年级)"
)

RULES: Final = (
    _address(
        rf"({_PLACE}(?:{_NUMBER}{_GAP}{_BUILDING}(?:{_GAP}{_NUMBER}{_GAP}{_PART}){{1,5}}(?:{_GAP}\d{{3,4}})?"
        rf"|{_NUMBER}{_GAP}(?:栋|幢|号楼|单元|座|弄){_GAP}\d{{3,4}}))(?!\d)",
        _judge_home,
    ),
    _address(
        rf"(?<![\d.-])({_PLACE}(?<![\d.-])\d{{1,3}}(?:[#号栋幢]楼?)?-\d{{1,2}}-\d{{3,4}})(?![\d-])",
        to_check,
    ),
    _address(
        rf"((?:\d{{1,4}}|[A-Z]\d{{0,3}}|[三四五六七八九十]{{1,3}}){_GAP}(?:栋|幢|单元|号院|弄|号楼|#楼))"
        r"(?!楼房|房|高层|住宅|别墅|建筑|楼)",
        _judge_part,
    ),
    _address(rf"(?<!\d)(\d{{2,4}}{_GAP}(?:室|号房|房间))(?!内|外|温)", _judge_part),
    _address(
        rf"({_HAN}{{1,6}}(?:路|街|大道|大街|巷|胡同|村|镇|屯|庄|坊|苑|园|里){_GAP}"
        rf"(?:\d{{1,5}}(?:[-之]\d{{1,3}})?|[一二三四五六七八九十百]{{2,5}}){_GAP}号)"
        r"(?!线|公交|窗口|文件|令|公告|车|通知|院|楼|段)",
        _judge_part,
    ),
    _address(
        rf"({_HAN}{{1,4}}(?:村|屯|庄|寨|乡|社区|大队){_GAP}(?:[一-鿿]{{1,5}}|第?\d{{1,3}}){_GAP}"
        r"(?:村民小组|小组|组|生产队|队|屯|湾|坳|冲)(?![织长建成合员])"
        rf"(?:{_GAP}\d{{1,4}}{_GAP}号)?)",
        _judge_part,
    ),
    _address(
        r"(?:(?:家住|[我俺]住|住在|居住在|现居|现住|租住|租房在|(?<!国)家在|我家位于|老家)(?![院户宅])"
        r"(?!在?(?:附近|周边|这里|那里|此处|这边|旁边))"
        r"[^\w\n,。;]{0,3}(?:是|在|为|于)?"
        r"|(?:住址|居住地址?|户籍地?|地址)[^\w\n]{0,3}(?:是|在|为|于|:))[^\w\n,。;]{0,3}"
        r"([^\n,。;!?]{3,30})",
        _judge_residence,
    ),
    PiiRule(
        PiiKind.SCHOOL_CLASS,
        compiled(
            rf"((?:{_SCHOOL}[^\n,。;!?]{{0,6}})?{_GRADE}{_GAP}[^\w\n,。;!?]{{0,2}}"
            rf"{_NUMBER}{_GAP}\)?{_GAP}班)"
            r"(?![车次线子额教制化]|幼儿)"
        ),
        _judge_class,
        sign=re.compile("班"),
        reads_spelt=False,
    ),
    PiiRule(
        PiiKind.SCHOOL_CLASS,
        compiled(
            rf"({_SCHOOL}[^\n,。;!?]{{0,6}}(?:[大中小托]{_NUMBER}?{_GAP}\)?班|{_NUMBER}{_GAP}班))"
            r"(?![车次线子额教制化]|幼儿)"
        ),
        sign=re.compile("班"),
        reads_spelt=False,
    ),
    PiiRule(
        PiiKind.SCHOOL_CLASS,
        compiled(
            r"(?:我|孩子|儿子|女儿|小孩|孙子|孙女|妹妹|弟弟)[^\n,。;!?]{0,4}?"
            r"(?:就读于?|上学于?|读书于?|[在读上])"
            rf"[^\w\n]{{0,2}}({_SCHOOL})"
        ),
        _judge_school,
        sign=_SCHOOL_END,
        reads_spelt=False,
    ),
)
