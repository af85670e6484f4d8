"""Telephone numbers, identity numbers, bank cards and licence plates."""

import re
from datetime import date
from itertools import pairwise
from typing import Final

from stdnum import luhn
from stdnum.cn import ric

from shared.security.pii.hits import Certainty, PiiKind
from shared.security.pii.rules import (
    GAP,
    NOT_AN_AMOUNT,
    PiiRule,
    Verdict,
    alphanumeric,
    certain,
    compiled,
    digits,
    number,
    to_check,
)

_D: Final = r"\d"
_MOBILE: Final = digits("1", "[3-9]", *[_D] * 9)
_AREA: Final = rf"(?:1{GAP}0|2{GAP}\d|[3-9]{GAP}\d{GAP}\d)"
_SUBSCRIBER: Final = digits("[2-8]", *[_D] * 6) + rf"(?:{GAP}\d)?"
_EXTENSION: Final = rf"(?:{GAP}(?:转?分机号?|转|ext|-){GAP}\d{{1,6}})?"
_CALLED: Final = (
    r"(?:电话|座机|固话|宅电|来电|致电|拨打|联系方式|联系我|号码|传真|tel|phone|打给)"
    r"[^\d\n。;]{0,8}"
)
_PROVINCES: Final = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"
_MEASURES: Final = (
    "年月日号时点分秒元角万亿千百个人名户次件岁天周楼层栋幢单室米平公里%.条款项路级届期"
)
_BIRTH_YEARS: Final = range(1900, 2100)


def is_day(text: str) -> bool:
    """Return whether eight digits are a day, as `19491231`."""
    try:
        day = date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        return False
    return day.year in _BIRTH_YEARS


def _judge_id_card(found: re.Match[str]) -> Verdict:
    """Judge 18 characters (GB 11643): the check digit proves, the birthday suggests."""
    card = alphanumeric(found[1])
    if ric.calc_check_digit(card) == card[17]:
        return Certainty.CERTAIN
    is_likely = card[0] in "12345678" and is_day(card[6:14])
    return Certainty.TO_CHECK if is_likely else None


def _judge_old_id_card(found: re.Match[str]) -> Verdict:
    """Judge 15 digits, which have no check digit: their birthday must exist."""
    card = alphanumeric(found[1])
    is_likely = card[0] in "12345678" and is_day("19" + card[6:12])
    return Certainty.CERTAIN if is_likely else None


def _judge_bank_card(found: re.Match[str]) -> Verdict:
    """Judge 16 to 19 digits: the check digit proves, an issuer's prefix suggests."""
    card = alphanumeric(found[1])
    if luhn.is_valid(card):
        return Certainty.CERTAIN
    is_likely = len(card) in (16, 19) and card[:1] in "4569" and not is_day(card[:8])
    return Certainty.TO_CHECK if is_likely else None


def _judge_loose_mobile(found: re.Match[str]) -> Verdict:
    """Judge eleven digits with anything between them.

    One separator throughout proves. Otherwise lists, dates and amounts are ruled out.
    """
    groups = re.findall(r"\d+", found[1])
    gaps = [gap for gap in re.findall(r"\D+", found[1]) if gap]
    sizes = tuple(map(len, groups))
    if len(set(gaps)) == 1 and (sizes in _MOBILE_GROUPS or set(sizes) == {1}):
        return Certainty.CERTAIN
    if any(gap[0] in _MEASURES for gap in gaps):
        return None
    return Certainty.TO_CHECK if _is_divided_number(groups) else None


_MOBILE_GROUPS: Final = ((3, 4, 4), (3, 8), (4, 4, 3), (3, 3, 5), (7, 4))


def _is_divided_number(groups: list[str]) -> bool:
    """Return whether the groups are parts of one number rather than a list of numbers."""
    if len(groups) <= 3:
        return sorted(map(len, groups))[0] >= 2
    has_leading_zero = any(len(group) > 1 and group[0] == "0" for group in groups)
    spelt_singly = sum(len(group) == 1 for group in groups) >= 8
    return has_leading_zero or spelt_singly


_TEN_DIGITS: Final = re.compile(digits(*[_D] * 10))
"""All long numbers need this. Most texts have none."""
_LOOSE: Final = r"[^\d\n]{0,4}"


def _judge_spelt_singly(found: re.Match[str]) -> Verdict:
    """Judge digits with one filler throughout: `1、2、3、4、5、6、7` is a list."""
    ones = [int(char) for char in found[1] if char.isdigit()]
    is_list = all(after - before == 1 for before, after in pairwise(ones))
    return None if is_list else Certainty.TO_CHECK


def _spelt_singly(kind: PiiKind, fewest: int, most: int) -> PiiRule:
    """Return the rule for digits that stand one by one with the same filler between them."""
    further = rf"(?:\2\d){{{fewest - 2},{most - 2}}}(?:\2X)?"
    pattern = rf"(?<!\d)(\d([^\d\n]{{1,3}})\d{further})(?!\d)"
    return PiiRule(kind, compiled(pattern), _judge_spelt_singly)


RULES: Final = (
    _spelt_singly(PiiKind.LANDLINE, 7, 8),
    _spelt_singly(PiiKind.ACCOUNT, 9, 12),
    _spelt_singly(PiiKind.BANK_CARD, 13, 16),
    _spelt_singly(PiiKind.ID_CARD, 17, 19),
    PiiRule(
        PiiKind.ID_CARD, number(digits(*[_D] * 17, "[0-9X]")), _judge_id_card, sign=_TEN_DIGITS
    ),
    PiiRule(PiiKind.ID_CARD, number(digits(*[_D] * 15)), _judge_old_id_card, sign=_TEN_DIGITS),
    PiiRule(
        PiiKind.ID_CARD,
        compiled(rf"身份证[^\d\n。;]{{0,8}}(?<!\d)(\d(?:{GAP}\d){{9,19}}(?:{GAP}X)?)(?!\d)"),
        to_check,
    ),
    *(
        PiiRule(
            PiiKind.BANK_CARD,
            number(digits("[34569]", *[_D] * (length - 1))),
            _judge_bank_card,
            sign=_TEN_DIGITS,
        )
        for length in range(16, 20)
    ),
    PiiRule(
        PiiKind.BANK_CARD,
        compiled(
            rf"(?:卡号|银行卡|账号|账户|帐号|帐户|存折|社保卡|一卡通)[^\d\n。;]{{0,8}}"
            rf"(?<!\d)(\d(?:{GAP}\d){{9,20}})(?!\d)"
        ),
        to_check,
    ),
    # A country code, a trunk zero or a dialling prefix may precede it; numbers may touch.
    PiiRule(
        PiiKind.MOBILE,
        number(rf"(?:(?:(?:00)?86|0|17951|12593){GAP})?{_MOBILE}(?:{GAP}{_MOBILE}){{0,2}}"),
        sign=_TEN_DIGITS,
    ),
    PiiRule(PiiKind.MOBILE, compiled(r"(?<!\d)((?:1[3-9]\d{9}){2,40})(?!\d)"), sign=_TEN_DIGITS),
    # No number of an office is that long; it hides others.
    PiiRule(PiiKind.MOBILE, compiled(r"(\d{22,400})"), to_check, sign=_TEN_DIGITS),
    PiiRule(
        PiiKind.MOBILE,
        number(_LOOSE.join(["1", "[3-9]", *[_D] * 9])),
        _judge_loose_mobile,
    ),
    PiiRule(
        PiiKind.LANDLINE,
        number(rf"(?:(?:00)?86{GAP}0?|0){GAP}{_AREA}{GAP}{_SUBSCRIBER}{_EXTENSION}"),
        sign=_TEN_DIGITS,
    ),
    PiiRule(
        PiiKind.LANDLINE,
        compiled(rf"{_CALLED}(?<!\d)({_SUBSCRIBER}{_EXTENSION})(?!\d){NOT_AN_AMOUNT}"),
        to_check,
    ),
    PiiRule(
        PiiKind.OVERSEAS_PHONE,
        compiled(rf"(\+(?!{GAP}8{GAP}6){GAP}\d(?:{GAP}\d){{8,14}})(?!\d)"),
        certain,
        sign=re.compile(r"\+"),
    ),
    PiiRule(
        PiiKind.OVERSEAS_PHONE,
        number(rf"(?:00)?8{GAP}5{GAP}[23]{GAP}" + digits("[2-9]", *[_D] * 7)),
        to_check,
        sign=_TEN_DIGITS,
    ),
    PiiRule(
        PiiKind.OVERSEAS_PHONE,
        number(rf"(?:(?:00)?8{GAP}8{GAP}6{GAP}0?|0){GAP}" + digits("9", *[_D] * 8)),
        to_check,
        sign=_TEN_DIGITS,
    ),
    PiiRule(
        PiiKind.OVERSEAS_PHONE,
        compiled(
            rf"(?:香港|澳门|台湾|境外|海外)[^\d\n。;]{{0,10}}(?<!\d)"
            rf"((?:0{GAP})?{digits('[2-9]', *[_D] * 7)}(?:{GAP}\d)?)(?!\d){NOT_AN_AMOUNT}"
        ),
        to_check,
    ),
    PiiRule(
        PiiKind.SERVICE_PHONE,
        number(rf"{digits('[48]', '0', '0', *[_D] * 7)}{_EXTENSION}{NOT_AN_AMOUNT}"),
        to_check,
        sign=_TEN_DIGITS,
    ),
    PiiRule(
        PiiKind.EXTENSION,
        compiled(rf"((?:分机号?码?|内线|短号|\bext)[^\w\n]{{0,3}}(?:是|为)?{GAP}\d{{2,6}})(?!\d)"),
        to_check,
    ),
    PiiRule(
        PiiKind.PLATE,
        compiled(
            rf"(?=([{_PROVINCES}]{GAP}[A-Z]{GAP}(?:[A-Z0-9]{GAP}){{4,5}}[A-Z0-9挂学警港澳])"
            r"(?![A-Z0-9]))"
        ),
        sign=re.compile(f"[{_PROVINCES}]"),
    ),
    PiiRule(
        PiiKind.PLATE,
        compiled(
            rf"车牌(?:号码?|尾号)?[^\w\n]{{0,3}}(?:是|为)?{GAP}"
            r"((?=[A-Z]{0,6}\d)[A-Z0-9]{3,7})(?![A-Z0-9])"
        ),
        to_check,
    ),
)
