"""Names of people, where a text introduces them."""

import re
from typing import Final

from shared.security.pii.hits import Certainty, PiiKind
from shared.security.pii.rules import PiiRule, Verdict, compiled, to_check

_SURNAMES: Final = (
    "赵钱孙李周吴郑王冯陈褚卫蒋沈韩杨朱秦尤许何吕施张孔曹严华金魏陶姜戚谢邹喻柏水窦章云苏潘葛奚范彭郎鲁韦昌马苗凤花方俞任袁柳"
    "酆鲍史唐费廉岑薛雷贺倪汤滕殷罗毕郝邬安常乐于时傅皮卞齐康伍余元卜顾孟平黄穆萧尹姚邵湛汪祁毛禹狄米贝明臧计伏成戴谈宋茅庞熊"
    "纪舒屈项祝董梁杜阮蓝闵席季麻强贾路娄危江童颜郭梅盛林刁钟徐邱骆高夏蔡田樊胡凌霍虞万柯昝管卢莫房裘缪干解宗丁宣贲邓郁单"
    "杭洪包诸左石崔吉钮龚程嵇邢滑裴陆荣翁荀羊於惠甄曲封芮羿储靳汲邴糜松井段富巫乌焦巴弓牧隗山谷车侯宓蓬郗班仰秋仲伊宫宁仇栾"
    "暴甘钭厉戎祖武符刘景詹束龙叶幸司韶郜黎蓟薄印宿白蒲邰鄂索咸籍赖卓蔺屠蒙池乔阴胥苍双闻莘党翟谭贡劳逄姬申扶堵冉宰郦雍郤"
    "璩桑桂濮牛寿边扈燕冀郏浦尚农温庄晏柴瞿阎充慕连茹习宦艾鱼容向古易慎戈廖庾暨衡耿满弘匡文寇禄阙东欧殳沃蔚越"
    "夔隆师巩厍聂晁勾敖融冷訾辛阚简饶空曾毋沙乜鞠丰巢关蒯荆红游竺权逯益桓付肖闫邸苟代覃佟冼帅邝区仝咎尧"
)
_DOUBLE: Final = (
    "欧阳|太史|端木|上官|司马|东方|独孤|南宫|夏侯|诸葛|尉迟|公羊|赫连|澹台|皇甫|宗政|濮阳|公冶|申屠|公孙|慕容|仲孙|钟离|"
    "长孙|宇文|司徒|鲜于|司空|闾丘|令狐|呼延|东郭|南门|轩辕|拓跋"
)
_HAN: Final = "[\u3400-\u4dbf\u4e00-\u9fff]"
_GAP: Final = r"[^\w\n,。;:、!?()]{0,2}"
_SAID: Final = r"[^\w\n]{0,3}(?:就是|是|为|叫|名叫)?[^\w\n]{0,3}"
_NO_NAME: Final = (
    r"(?!.{0,2}(?:业主|居民|学生|家长|司机|员|户|民|经理|老师|教师|师傅|时间|单位|车主|房主|商家|安居|方便|"
    r"和谐|水电|公司|高中|高新|高层|全体|全家|全国|国家|家里|家人|家属|家庭|应该|经常|经过|从来|从事|都是|和我|别人|"
    r"那个|那时|后来|相关|红星|查询|通过|万科|万达|新区|江西|江苏|安徽|宁夏|广东|广西|云南|贵州|山东|山西|东北|"
    r"农村|单身|何时|何人|何种|时候|于今|于是|于\d|计划|解决|成立|申请|尚未|能否|能不|终于|那边|那里|双方|"
    r"后面|成长|安全|花近|平时|路过|路口|别的|强烈|向贵|向你|向您|向有|现|年|月|日|区|市|县|镇|村|的|了|在|们|人|这|哪))"
)
_GIVEN: Final = f"{_GAP}{_HAN}"
_SURNAME: Final = f"(?:{_DOUBLE}|[{_SURNAMES}])"
_END: Final = (
    r"(?=$|[^\w]|身份证|电话|手机|家住|现住|住址|男|女|今年|反映|投诉|举报|来自|QQ|微信|\d|联系)"
)
_SOFT_END: Final = (
    r"(?=$|[^\w]|身份|电话|手机|家住|住在|现住|男|女|今|现|反映|投诉|举报|来自|是|系|在|想|要|"
    r"\d|联系)"
)
_MINORITY: Final = rf"{_HAN}{{2,5}}[·•.]{_HAN}{{2,6}}(?:[·•.]{_HAN}{{2,6}})?"
_FULL: Final = rf"{_NO_NAME}{_SURNAME}{_GIVEN}{{1,2}}"
_TITLES: Final = "(?:先生|女士|小姐|太太|老师|医生|师傅|大爷|大妈|阿姨|叔叔|同志)"

_INTRODUCED: Final = (
    "(?:[我俺咱]叫|名叫|叫做|名字(?:是|叫)?|姓名|联系人|投诉人|举报人|反映人|申请人|具报人|呈报人|检举人|控告人|求助人|上访人|来电人|来信人|信访人|报案人|"
    "署名|落款|真名|本名|全名|户主|法人代表|法定代表人|当事人|受害人|患者|学生|收件人|称呼)"
)
_RELATIVES: Final = (
    "(?:儿子|女儿|孩子|小孩|老公|老婆|妻子|丈夫|爱人|父亲|母亲|爸爸|妈妈|爷爷|奶奶|外公|外婆|姥姥|姥爷|"
    "哥哥|弟弟|姐姐|妹妹|孙子|孙女|外孙|外孙女|侄子|侄女|邻居|同事|同学|朋友)"
)
_SELF: Final = "(?:[我俺]是|[我俺]系|本人(?:是|系|名|姓名)?|我们是)"
_CALLERS: Final = (
    "(?:市民|来电人|群众|业主|居民|家长|患者|顾客|村民|住户|我是|本人|联系人|称呼|投诉人)"
)


def _judge_called(match: re.Match[str]) -> Verdict:
    """A name that ends where a word ends is certain; otherwise its end is a guess."""
    return Certainty.CERTAIN if match["ended"] else Certainty.TO_CHECK


RULES: Final = (
    PiiRule(
        PiiKind.NAME,
        compiled(
            rf"(?:{_INTRODUCED}|{_RELATIVES}(?:叫|名叫|姓名)){_SAID}"
            rf"((?P<ended>{_MINORITY}|{_FULL}{_SOFT_END})|(?<=[是为叫:]){_FULL})"
        ),
        _judge_called,
        reads_spelt=False,
    ),
    PiiRule(
        PiiKind.NAME,
        compiled(
            rf"(?:[我俺]叫|名叫|叫做){_SAID}((?![了过他她你我人来不车到去苦嚣]){_HAN}{{2,4}})(?=$|[^\w])"
        ),
        to_check,
        reads_spelt=False,
    ),
    PiiRule(
        PiiKind.NAME,
        compiled(rf"{_INTRODUCED}{_SAID}([a-z]{{2,20}}(?: [a-z]{{1,20}}){{0,2}})(?![\w@.])"),
        reads_spelt=False,
    ),
    PiiRule(
        PiiKind.NAME,
        compiled(rf"(?:{_SELF}|{_RELATIVES})[^\w\n]{{0,3}}({_MINORITY}|{_FULL}){_END}"),
        to_check,
        reads_spelt=False,
    ),
    PiiRule(
        PiiKind.NAME,
        compiled(rf"(?:[我俺]姓|免贵姓|敝姓|贵姓)[^\w\n]{{0,3}}({_SURNAME})"),
        to_check,
        reads_spelt=False,
    ),
    PiiRule(
        PiiKind.NAME,
        compiled(rf"{_CALLERS}[^\w\n]{{0,3}}({_SURNAME}{_GAP}(?:{_HAN}{_GAP}){{0,2}}{_TITLES})"),
        to_check,
        reads_spelt=False,
    ),
    PiiRule(
        PiiKind.NAME,
        re.compile(rf"(?:\n[ \t]{{0,8}})({_FULL})[ \t]{{0,8}}(?=\n|$|\d{{4}}[年./-])"),
        to_check,
        reads_spelt=False,
    ),
)
