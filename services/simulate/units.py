"""The units that the demo appraises under scheme J.

They are the kinds of bodies that every province has, without the name of a province.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Final


@dataclass(frozen=True, slots=True)
class DemoUnit:
    """An appraised unit. `matters` are the services it provides; complaints mention them.

    `unit_id` is the id that the register gives to it, because the demo records its units first.
    `code` is only the demo's own: it names accounts and seeds random numbers.
    """

    unit_id: str
    code: str
    unit_no: int
    name: str
    category: str
    aliases: tuple[str, ...]
    matters: tuple[str, ...]


REGISTER: Final = {
    "party": (
        "D",
        """
        省委办公厅 | 省委办 | 公文报送 来文登记 保密资质备案
        省委组织部 | 组织部 | 党员组织关系转接 干部档案查阅 人才项目申报
        省委宣传部 | 宣传部 | 出版物审批 文化企业扶持资金申请 新闻单位备案
        省委统战部 | 统战部 | 宗教活动场所备案 归侨身份认定 民族团结创建申报
        省委政法委 | 政法委 | 见义勇为认定 涉法涉诉信访转办 司法救助审核
        省总工会 | 工会 | 困难职工帮扶 职工维权调解 劳模待遇落实
        团省委 | 共青团省委,省团委 | 青年创业贷款 志愿服务证明 希望工程助学
        省妇联 | 妇联 | 妇女创业贴息贷款 家庭教育指导 妇女维权受理
        省残联 | 残联 | 残疾人证办理 辅助器具申领 残疾人就业培训
        省高级人民法院 | 省高院,高院 | 立案材料补正 执行款领取 诉讼材料收转
        省人民检察院 | 省检察院,检察院 | 司法救助申请 案件信息查询 律师阅卷预约
        """,
    ),
    "government": (
        "G",
        """
        省发展改革委 | 发改委,省发改委 | 项目备案 节能审查 招标方案核准
        省教育厅 | 教育厅 | 教师资格认定 学历证明补办 民办学校审批
        省科技厅 | 科技厅 | 高新技术企业认定 科技项目验收 技术合同登记
        省公安厅 | 公安厅 | 出入境证件办理 保安服务许可 户口迁移
        省民政厅 | 民政厅 | 社会团体登记 慈善组织认定 养老机构备案
        省财政厅 | 财政厅 | 会计师事务所备案 政府采购投诉 财政补贴拨付
        省人力资源社会保障厅 | 人社厅,省人社厅 | 职称评审 养老保险关系转移 劳务派遣许可
        省自然资源厅 | 自然资源厅 | 采矿权登记 土地复垦验收 测绘资质申请
        省住房城乡建设厅 | 住建厅,省住建厅 | 建筑企业资质审批 二级建造师注册 安全生产许可证延期
        省交通运输厅 | 交通厅,省交通厅 | 道路运输证换发 超限运输许可 公路养护补偿
        省农业农村厅 | 农业厅,省农业厅 | 农机购置补贴 种子生产许可 绿色食品认证
        省卫生健康委 | 卫健委,省卫健委 | 医师执业注册 医疗机构校验 生育服务登记
        省市场监督管理局 | 市场监管局,省市场监管局 | 营业执照变更 食品经营许可 特种设备登记
        省医疗保障局 | 医保局,省医保局 | 异地就医备案 慢性病待遇认定 医保报销
        """,
    ),
    "enterprise": (
        "E",
        """
        省能源投资集团 | 能投集团 | 供热管网接入 停热退费 供热质量测温
        省交通投资集团 | 交投集团 | 高速公路通行费退费 电子收费卡办理 服务区商户续约
        省水务投资集团 | 水投集团,省水务集团 | 用水报装 水费核查 管网抢修
        省国有资本运营公司 | 国资运营公司 | 厂房租赁 退休职工社会化移交 债权确认
        省旅游控股集团 | 旅控集团 | 景区门票退订 旅游年卡办理 游客投诉处理
        省机场集团 | 机场集团 | 行李查询 航班延误证明 停车费核减
        省广播电视台 | 省电视台,广电台 | 卫星电视设施许可 有线电视停机退费 广告刊播核查
        省图书馆 | 图书馆 | 读者证办理 古籍阅览申请 押金退还
        省人民医院 | 人民医院 | 门诊挂号 住院费用查询 病历复印
        """,
    ),
    "central": (
        "Z",
        """
        省税务局 | 税务局 | 发票领用 出口退税 个人所得税汇算
        省气象局 | 气象局 | 防雷装置验收 气象证明 施放气球审批
        省邮政管理局 | 邮政局,邮政管理局 | 快递业务许可 快件丢失申诉 邮政网点服务
        省通信管理局 | 通信管理局 | 网站备案 电信服务申诉 码号资源申请
        省烟草专卖局 | 烟草局 | 烟草零售许可证 许可证变更 许可证停业恢复
        省会海关 | 海关 | 进出口报关 原产地证书 个人物品申报
        省地震局 | 地震局 | 抗震设防要求确定 地震台站迁建 地震安全性评价
        省电力公司 | 电力公司,国网省公司 | 用电报装 电表校验 停电补偿
        """,
    ),
}
"""Category → (letter of the codes, one line per unit: name | aliases | matters)."""
CATEGORIES: Final = tuple(REGISTER)


def _registered_units() -> Iterator[DemoUnit]:
    numbers = count(1)
    for category, (letter, lines) in REGISTER.items():
        for position, line in enumerate(lines.strip().splitlines(), 1):
            code = f"{letter}{position:02d}"
            yield _unit(line, code=code, unit_no=next(numbers), category=category)


def _unit(
    line: str,
    *,
    code: str,
    unit_no: int,
    category: str,
) -> DemoUnit:
    name, aliases, matters = (part.strip() for part in line.split("|"))
    return DemoUnit(
        unit_id=f"D{unit_no:06d}",
        code=code,
        unit_no=unit_no,
        name=name,
        category=category,
        aliases=tuple(aliases.split(",")),
        matters=tuple(matters.split()),
    )


UNITS: Final = tuple(_registered_units())
"""All units of the demo, in the order of their numbers on ballots."""
UNITS_BY_ID: Final = {unit.unit_id: unit for unit in UNITS}
UNITS_BY_CODE: Final = {unit.code: unit for unit in UNITS}
