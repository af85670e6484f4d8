"""E-mail addresses, accounts of social networks, and links."""

import re
from typing import Final

from shared.security.pii.hits import Certainty, PiiKind
from shared.security.pii.rules import GAP, PiiRule, Verdict, compiled, to_check

_TOP_LEVELS: Final = "com|cn|net|org|edu|gov|me|cc|top|info|vip|io|xyz|hk|tw|mo|app|club|shop|site"
_PERSONAL_SITES: Final = re.compile(
    r"(?:weibo|qq|douyin|kuaishou|xiaohongshu|xhslink|zhihu|bilibili|b23|t|tieba|wx|weixin|"
    r"facebook|twitter|x|instagram|telegram)\.",
    re.IGNORECASE,
)
_OFFICIAL_SITE: Final = re.compile(r"(?:^|[/.])gov\.cn(?=[/:?#]|$)", re.IGNORECASE)
_AFTER: Final = r"[^\da-z\n。;]{0,8}"
_HANDLE: Final = r"[a-z][-_a-z0-9]{4,19}"


def _judge_handle(found: re.Match[str]) -> Verdict:
    """A word alone may be the name of a product; digits or underscores make an account."""
    has_digits = re.search(r"[\d_-]", found[1]) is not None
    return Certainty.CERTAIN if has_digits else Certainty.TO_CHECK


def _judge_link(found: re.Match[str]) -> Verdict:
    """Official sites identify nobody; pages on social networks do."""
    host = found[1].partition("//")[2] or found[1]
    host = re.split(r"[/?#]", host, maxsplit=1)[0]
    if _OFFICIAL_SITE.search(host):
        return None
    is_personal = _PERSONAL_SITES.search(host) is not None
    return Certainty.CERTAIN if is_personal else Certainty.TO_CHECK


RULES: Final = (
    PiiRule(
        PiiKind.EMAIL,
        compiled(
            r"(?<![a-z0-9_.+%-])([a-z0-9_.+%-]{1,64} {0,2}@ {0,2}"
            r"[a-z0-9_-]{1,63}(?: {0,1}[.。] {0,1}[a-z0-9_-]{1,63}){1,5})"
        ),
        sign=re.compile("@"),
        reads_spelt=False,
    ),
    PiiRule(
        PiiKind.EMAIL,
        compiled(
            r"(?<![a-z0-9_.+%-])([a-z0-9_.+%-]{2,64} {0,2}"
            r"(?:[(\[{<] {0,1}at {0,1}[)\]}>]| at |#|艾特)"
            r" {0,2}[a-z0-9-]{1,63} {0,2}(?:\.|。|点|[(\[{<] {0,1}dot {0,1}[)\]}>]| dot ) {0,2}"
            rf"(?:{_TOP_LEVELS}))(?![a-z])"
        ),
        reads_spelt=False,
    ),
    PiiRule(
        PiiKind.EMAIL,
        compiled(
            rf"(?:邮箱|邮件|e-?mail){_AFTER}"
            r"([a-z0-9_.+%-]{2,64}[^\w\n]{1,3}[a-z0-9-]{1,63}[^\w\n]{1,3}(?:com|cn|net|org))(?![a-z])"
        ),
        to_check,
        reads_spelt=False,
    ),
    PiiRule(
        PiiKind.ACCOUNT,
        compiled(
            rf"(?:(?<![a-z])q ?q|扣扣|企鹅|Q号){_AFTER}(?<!\d)([1-9](?:{GAP}\d){{4,10}})(?!\d)"
        ),
    ),
    PiiRule(
        PiiKind.ACCOUNT,
        compiled(
            r"(?:微信(?!公众|小程序|支付)|薇信|威信|徽信|微❤|v信|(?<![a-z])(?:wx|vx|weixin|wechat))"
            rf"{_AFTER}({_HANDLE}|\d(?:{GAP}\d){{5,14}})(?![a-z0-9])"
        ),
        _judge_handle,
    ),
    PiiRule(
        PiiKind.ACCOUNT,
        compiled(
            r"(?:微博|weibo|抖音|快手|小红书|知乎|贴吧|B站|支付宝|钉钉|陌陌|飞信|telegram)"
            rf"[^\w\n]{{0,3}}(?:账号|帐号|号码?|id|用户名?|昵称|名|主页)[^\w\n]{{0,3}}(?:是|为|叫)?"
            rf"[^\w\n]{{0,3}}({_HANDLE}|\d{{5,16}}|[\w-]{{2,16}})"
        ),
        _judge_handle,
        reads_spelt=False,
    ),
    PiiRule(
        PiiKind.ACCOUNT,
        compiled(r"(?<![a-z0-9_.+%-])(@[\w-]{2,20})(?![\w.-]{0,20}@)"),
        to_check,
        sign=re.compile("@"),
        reads_spelt=False,
    ),
    PiiRule(
        PiiKind.LINK,
        compiled(r"((?:https?://|www\.)[!-Z^-~]{1,400})"),
        _judge_link,
        reads_spelt=False,
    ),
    PiiRule(
        PiiKind.LINK,
        compiled(
            rf"(?<![a-z0-9@._/-])((?:[a-z0-9-]{{1,40}}\.){{1,4}}(?:{_TOP_LEVELS})"
            r"(?![a-z0-9.-])(?:/[!-Z^-~]{0,400})?)"
        ),
        _judge_link,
        sign=re.compile(rf"\.(?:{_TOP_LEVELS})", re.IGNORECASE),
        reads_spelt=False,
    ),
)
