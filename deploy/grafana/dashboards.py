"""Grafana's dashboards D0-D7, written as code: `python deploy/grafana/dashboards.py` writes
`dashboards/*.json`.

Each dashboard begins with the question it answers. Each panel has a unit, a question, and a line to
compare with or the reason why none. Colour is never alone: figures that judge say it in words.
Labels of metrics hold no units and no people, so no panel can show any.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as boards
from grafana_foundation_sdk.builders import prometheus, stat, table, text, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common, dashboard
from grafana_foundation_sdk.models.prometheus import PromQueryFormat
from grafana_foundation_sdk.models.text import TextMode

FOLDER = Path(__file__).parent / "dashboards"
SOURCE = dashboard.DataSourceRef(type_val="prometheus", uid="prometheus")
GREEN, AMBER, RED = "#0B6B3A", "#C77700", "#B3141B"
USERS = 'route!="/livez"'
SAVING = 'service="intake",route=~"/intake/(desk|api/complaints)",method="POST"'
UPLOADS = 'service="intake",route=~"/intake/api/(visits|photos).*",method=~"POST|PUT"'
SERVICES = ("intake", "casework", "scoring", "notify")
TITLES = {"intake": "受理", "casework": "办理", "scoring": "评分", "notify": "通知"}

Query = tuple[str, str]
"""PromQL and the legend of its series."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Where a figure becomes amber and red; falling below is worse when `low`."""

    amber: float | None = None
    red: float
    low: bool = False

    def steps(self) -> list[dashboard.Threshold]:
        if self.low:
            first = [(None, RED), (self.red, AMBER if self.amber is not None else GREEN)]
            marks = first + ([(self.amber, GREEN)] if self.amber is not None else [])
        else:
            marks = [
                (None, GREEN),
                *([(self.amber, AMBER)] if self.amber is not None else []),
                (self.red, RED),
            ]
        return [dashboard.Threshold(value=value, color=color) for value, color in marks]

    def words(self) -> list[dashboard.ValueMapping]:
        """Only whole conditions get a word in the place of a figure: none at all."""
        if self.low or self.red > 1:
            return []
        mapped = dashboard.ValueMappingResult(text="0 · 正常", color=GREEN)
        return [dashboard.ValueMap(options={"0": mapped})]


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One panel: what it asks, of which figures, and what they are compared with."""

    title: str
    asks: str
    """The question, and for a panel without limits why there is none."""
    queries: Sequence[Query]
    unit: str
    limits: Limits | None = None
    kind: str = "lines"
    """`lines`, `figure` (one number, large), `stacked` (where the total matters) or `rows` (a table
    of now).
    """
    width: int = 8
    link: str = ""
    """The dashboard to go on with, as `d2`."""


@dataclass(frozen=True, kw_only=True)
class Board:
    """One dashboard."""

    uid: str
    title: str
    question: str
    owner: str
    runbook: str
    rows: Sequence[tuple[str, Sequence[Panel]]]
    refresh: str = "1m"
    span: str = "now-6h"
    by_service: bool = False


def no_more_than(red: float, amber: float | None = None) -> Limits:
    return Limits(amber=amber, red=red)


def no_less_than(red: float, amber: float | None = None) -> Limits:
    return Limits(amber=amber, red=red, low=True)


def quantiles(
    metric: str, by: str, selector: str = "", over: str = "5m", of: Sequence[float] = (0.5, 0.95)
) -> list[Query]:
    """p50, p95 … of a histogram. `by`: labels to keep, comma-separated, may be empty."""
    keep = ", ".join(filter(None, [by, "le"]))
    legend = " ".join(f"{{{{{label.strip()}}}}}" for label in by.split(",") if label)
    made = f"sum by ({keep}) (rate({metric}_bucket{{{selector}}}[{over}]))".replace("{}", "")
    return [(f"histogram_quantile({q}, {made})", f"p{q * 100:g} {legend}".strip()) for q in of]


def ratio(part: str, whole: str) -> str:
    return f"{part} / clamp_min({whole}, 1)"


# ── what each asks ────────────────────────────────────────────────────────────────────────────────

D0 = Board(
    uid="d0",
    title="D0 总览",
    question="能不能用？哪里不行？",
    owner="值班",
    runbook="service-down",
    refresh="30s",
    span="now-24h",
    rows=[
        (
            "用户",
            [
                *(
                    Panel(
                        title=f"{TITLES[name]} 可用率",
                        asks="用户现在能不能办事（近 5 分钟，非 5xx 的比例）",
                        unit="percentunit",
                        kind="figure",
                        width=3,
                        queries=[(f'1 - svc:err:ratio5m{{service="{name}"}}', "")],
                        limits=no_less_than(0.97, 0.995),
                        link="d1",
                    )
                    for name in SERVICES
                ),
                *(
                    Panel(
                        title=f"{TITLES[name]} 响应 p95",
                        asks="慢不慢（95% 的请求在这个时间内完成）",
                        unit="s",
                        kind="figure",
                        width=3,
                        queries=[(f'svc:lat:p95_5m{{service="{name}"}}', "")],
                        limits=no_more_than(1.2, 0.5),
                        link="d1",
                    )
                    for name in SERVICES
                ),
                Panel(
                    title="来件（每小时）",
                    asks="有没有断流：工作时间为 0 即异常；无界线，来件多少由群众决定",
                    unit="short",
                    width=12,
                    queries=[
                        (
                            'sum by (channel) (increase(complaint_submit_total{result=~"registered|merged"}[1h]))',
                            "{{channel}}",
                        )
                    ],
                    link="d4",
                ),
                Panel(
                    title="正在告警",
                    asks="现在该看哪个处置手册；告警本身就是界线",
                    unit="short",
                    kind="rows",
                    width=12,
                    queries=[
                        (
                            'max by (alertname, severity, service, app) (ALERTS{alertstate="firing",severity!="none"})',
                            "{{alertname}}",
                        )
                    ],
                ),
            ],
        ),
        (
            "事件与业务",
            [
                Panel(
                    title="最老未发出事件",
                    asks="发件箱走得动吗",
                    unit="s",
                    kind="figure",
                    width=4,
                    link="d2",
                    queries=[("max(outbox_oldest_age_seconds)", "")],
                    limits=no_more_than(120, 30),
                ),
                Panel(
                    title="事件处理延迟 p95",
                    asks="数据走得动吗（从发生到入库）",
                    unit="s",
                    kind="figure",
                    width=4,
                    link="d2",
                    queries=[("max(grp:age:p95_5m)", "")],
                    limits=no_more_than(120, 30),
                ),
                Panel(
                    title="死信",
                    asks="有没有丢在半路的",
                    unit="short",
                    kind="figure",
                    width=4,
                    link="d2",
                    queries=[("sum(max by (group) (dlq_depth))", "")],
                    limits=no_more_than(1),
                ),
                Panel(
                    title="在办件",
                    asks="今天压力在哪；无界线，按状态看结构",
                    unit="short",
                    width=6,
                    link="d4",
                    queries=[("sum by (deadline_state) (cases:open)", "{{deadline_state}}")],
                ),
                Panel(
                    title="榜单距上次更新",
                    asks="领导看的是不是新的",
                    unit="s",
                    kind="figure",
                    width=6,
                    link="d6",
                    queries=[("time() - max(score_board_updated_timestamp_seconds)", "")],
                    limits=no_more_than(900, 300),
                ),
            ],
        ),
    ],
)

D1 = Board(
    uid="d1",
    title="D1 服务",
    question="哪个页面、从哪次发布开始出问题？",
    owner="研发",
    runbook="error-budget",
    by_service=True,
    rows=[
        (
            "请求",
            [
                Panel(
                    title="请求速率",
                    asks="有多少人在用；无界线，随时段变化",
                    unit="reqps",
                    queries=[('svc:req:rate5m{service=~"$service"}', "{{service}}")],
                ),
                Panel(
                    title="错误（按状态码）",
                    asks="5xx 是我们的错，4xx 是表单或权限",
                    unit="reqps",
                    limits=no_more_than(0.1),
                    queries=[
                        (
                            f'sum by (service, code) (rate(http_requests_total{{service=~"$service",code=~"4..|5..",'
                            f"{USERS}}}[$__rate_interval]))",
                            "{{service}} {{code}}",
                        )
                    ],
                ),
                Panel(
                    title="响应时间",
                    asks="慢不慢（p50、p95、p99）",
                    unit="s",
                    limits=no_more_than(1.2, 0.5),
                    queries=quantiles(
                        "http_request_duration_seconds",
                        "service",
                        f'service=~"$service",{USERS}',
                        "$__rate_interval",
                        (0.5, 0.95, 0.99),
                    ),
                ),
                Panel(
                    title="最慢的十个页面（p95）",
                    asks="哪个页面慢",
                    unit="s",
                    kind="rows",
                    width=12,
                    limits=no_more_than(1.2, 0.5),
                    queries=[
                        (
                            f"topk(10, histogram_quantile(0.95, sum by (service, route, le) ("
                            f"rate(http_request_duration_seconds_bucket{{{USERS}}}[5m]))))",
                            "{{route}}",
                        )
                    ],
                ),
                Panel(
                    title="出错的页面（每小时 5xx）",
                    asks="哪个页面坏了",
                    unit="short",
                    kind="rows",
                    width=12,
                    limits=no_more_than(5, 1),
                    queries=[
                        (
                            f'topk(10, sum by (service, route) (increase(http_requests_total{{code=~"5..",{USERS}}}[1h])) > 0)',
                            "{{route}}",
                        )
                    ],
                ),
                Panel(
                    title="冲突与退回（409、422）",
                    asks="是不是在抢同一件，或表单让人看不懂",
                    unit="reqps",
                    limits=no_more_than(0.2),
                    queries=[
                        (
                            'sum by (service, code) (rate(http_requests_total{service=~"$service",code=~"409|422"}[$__rate_interval]))',
                            "{{service}} {{code}}",
                        )
                    ],
                ),
                Panel(
                    title="连接池使用率",
                    asks="数据库连接够不够",
                    unit="percentunit",
                    limits=no_more_than(0.9, 0.7),
                    queries=[
                        (
                            'max by (service) (db_pool_in_use{service=~"$service"} / db_pool_size)',
                            "{{service}}",
                        )
                    ],
                ),
                Panel(
                    title="运行中的实例",
                    asks="几个副本在答复，何时重启",
                    unit="short",
                    limits=no_less_than(1),
                    queries=[('sum by (app) (up{job="fengping"})', "{{app}}")],
                ),
            ],
        ),
    ],
)

D2 = Board(
    uid="d2",
    title="D2 事件总线",
    question="谁落后了、落后多久、追得上吗？",
    owner="研发",
    runbook="consumer-stalled",
    rows=[
        (
            "消费",
            [
                Panel(
                    title="积压",
                    asks="还有多少没处理；无界线，多少算多取决于速度，看右侧追平时间",
                    unit="short",
                    queries=[("grp:lag", "{{consumergroup}} {{topic}}")],
                ),
                Panel(
                    title="处理延迟 p95",
                    asks="落后多久",
                    unit="s",
                    limits=no_more_than(300, 60),
                    queries=[("grp:age:p95_5m", "{{group}} {{topic}}")],
                ),
                Panel(
                    title="追平还需",
                    asks="追得上吗",
                    unit="s",
                    limits=no_more_than(3600, 600),
                    queries=[
                        (
                            "grp:lag / clamp_min(sum by (consumergroup, topic) (rate(part:offset[5m])), 0.01)",
                            "{{consumergroup}} {{topic}}",
                        )
                    ],
                ),
                Panel(
                    title="处理速率",
                    asks="处理得多快，结果如何；无界线，随来量变化",
                    unit="eps",
                    queries=[
                        (
                            "sum by (group, result) (rate(events_consumed_total[$__rate_interval]))",
                            "{{group}} {{result}}",
                        )
                    ],
                ),
                Panel(
                    title="重复事件（每小时）",
                    asks="总线是否在重发；重发不影响结果，多了说明确认丢失",
                    unit="short",
                    limits=no_more_than(1000, 100),
                    queries=[
                        (
                            'sum by (group) (increase(events_consumed_total{result="duplicate"}[1h]))',
                            "{{group}}",
                        )
                    ],
                ),
                Panel(
                    title="看门狗替换（每小时）",
                    asks="消费者有没有卡死过",
                    unit="short",
                    limits=no_more_than(2, 1),
                    queries=[
                        ("sum by (group) (increase(consumer_restarts_total[1h]))", "{{group}}")
                    ],
                ),
                Panel(
                    title="单批用时 p95",
                    asks="一批事务多久",
                    unit="s",
                    limits=no_more_than(15, 5),
                    queries=quantiles("consumer_batch_seconds", "group", of=(0.95,)),
                ),
            ],
        ),
        (
            "发件箱与死信",
            [
                Panel(
                    title="待发事件",
                    asks="总线不在时会增长；无界线，看最老事件的年龄",
                    unit="short",
                    queries=[("max by (service) (outbox_pending)", "{{service}}")],
                ),
                Panel(
                    title="最老待发事件",
                    asks="发布器活着吗",
                    unit="s",
                    limits=no_more_than(120, 30),
                    queries=[("max by (service) (outbox_oldest_age_seconds)", "{{service}}")],
                ),
                Panel(
                    title="发出与处理",
                    asks="进出是否平衡；无界线，看两线是否分开",
                    unit="eps",
                    queries=[
                        ("sum(rate(events_published_total[$__rate_interval]))", "发出"),
                        ('sum(rate(events_consumed_total{result="ok"}[$__rate_interval]))', "处理"),
                    ],
                ),
                Panel(
                    title="发布分片",
                    asks="每个服务的 8 个分片都有人管吗",
                    unit="short",
                    limits=no_less_than(8),
                    queries=[("sum by (service) (relay_shards_owned)", "{{service}}")],
                ),
                Panel(
                    title="死信",
                    asks="有没有丢在半路的",
                    unit="short",
                    limits=no_more_than(1),
                    queries=[("max by (group) (dlq_depth)", "{{group}}")],
                ),
                Panel(
                    title="等待前序的事件",
                    asks="是否缺了前一个版本",
                    unit="short",
                    limits=no_more_than(100, 1),
                    queries=[("max by (group) (events_buffered)", "{{group}}")],
                ),
                Panel(
                    title="总线日志丢失（每日）",
                    asks="消息总线是否被清空过",
                    unit="short",
                    limits=no_more_than(1),
                    queries=[
                        ("sum by (topic) (increase(broker_log_losses_total[1d]))", "{{topic}}")
                    ],
                ),
                Panel(
                    title="拒收的伪造事件（每日）",
                    asks="有没有人冒充服务写入事件",
                    unit="short",
                    limits=no_more_than(1),
                    queries=[("sum by (group) (increase(events_forged_total[1d]))", "{{group}}")],
                ),
                Panel(
                    title="定时任务失败（每小时）",
                    asks="哪个定时任务在出错",
                    unit="short",
                    limits=no_more_than(20, 1),
                    queries=[
                        (
                            "sum by (service, job_name) (increase(scheduled_job_failures_total[1h])) > 0",
                            "{{service}} {{job_name}}",
                        )
                    ],
                ),
                Panel(
                    title="定时任务用时 p95",
                    asks="哪个定时任务变慢",
                    unit="s",
                    limits=no_more_than(5, 1),
                    queries=quantiles(
                        "scheduled_job_duration_seconds", "service, job_name", of=(0.95,)
                    ),
                ),
            ],
        ),
    ],
)

D3 = Board(
    uid="d3",
    title="D3 服务目标",
    question="今天可以发布吗？",
    owner="研发、值班",
    runbook="error-budget",
    span="now-7d",
    rows=[
        (
            "30 天错误预算（目标 99.5%）",
            [
                *(
                    Panel(
                        title=f"{TITLES[name]} 剩余预算",
                        asks="还剩多少出错的余地；用完即停止发布",
                        unit="percentunit",
                        kind="figure",
                        width=6,
                        limits=no_less_than(0, 0.25),
                        queries=[
                            (
                                f'1 - ((sum(increase(http_requests_total{{service="{name}",code=~"5..",{USERS}}}[30d])) or vector(0))'
                                f' / clamp_min(sum(increase(http_requests_total{{service="{name}",{USERS}}}[30d])), 1)) / 0.005',
                                "",
                            )
                        ],
                    )
                    for name in SERVICES
                ),
            ],
        ),
        (
            "消耗速度",
            [
                Panel(
                    title="消耗速度（1 小时）",
                    asks="14.4 倍即两天用完",
                    unit="x",
                    limits=no_more_than(14.4, 6),
                    queries=[("svc:err:ratio1h / 0.005", "{{service}}")],
                ),
                Panel(
                    title="消耗速度（6 小时）",
                    asks="6 倍即五天用完",
                    unit="x",
                    limits=no_more_than(6, 1),
                    queries=[("svc:err:ratio6h / 0.005", "{{service}}")],
                ),
                Panel(
                    title="用掉预算最多的页面",
                    asks="先修哪个",
                    unit="short",
                    kind="rows",
                    limits=no_more_than(50, 10),
                    queries=[
                        (
                            f'topk(10, sum by (service, route) (increase(http_requests_total{{code=~"5..",{USERS}}}[7d])) > 0)',
                            "{{route}}",
                        )
                    ],
                ),
            ],
        ),
        (
            "其他目标",
            [
                Panel(
                    title="登记在 0.8 秒内",
                    asks="坐席保存够快吗（目标 95%）",
                    unit="percentunit",
                    width=6,
                    limits=no_less_than(0.95, 0.97),
                    queries=[
                        (
                            f'sum(rate(http_request_duration_seconds_bucket{{{SAVING},le="0.8"}}[1h]))'
                            f" / sum(rate(http_request_duration_seconds_count{{{SAVING}}}[1h]))",
                            "",
                        )
                    ],
                ),
                Panel(
                    title="评分事件 60 秒内入库",
                    asks="榜单够新吗（目标 99%）",
                    unit="percentunit",
                    width=6,
                    limits=no_less_than(0.99, 0.995),
                    queries=[
                        (
                            'sum(rate(event_age_seconds_bucket{group=~".*fengping-scoring",le="60.0"}[1h]))'
                            ' / sum(rate(event_age_seconds_count{group=~".*fengping-scoring"}[1h]))',
                            "",
                        )
                    ],
                ),
                Panel(
                    title="巡查上传被接受",
                    asks="外勤传得上来吗（目标 99.9%）",
                    unit="percentunit",
                    width=6,
                    limits=no_less_than(0.999),
                    queries=[
                        (
                            f'sum(rate(http_requests_total{{{UPLOADS},code=~"2.."}}[6h]))'
                            f" / sum(rate(http_requests_total{{{UPLOADS}}}[6h]))",
                            "",
                        )
                    ],
                ),
                Panel(
                    title="通知 5 分钟内送达",
                    asks="该知道的人知道了吗（目标 95%）",
                    unit="percentunit",
                    width=6,
                    limits=no_less_than(0.95, 0.99),
                    queries=[
                        (
                            'sum(rate(notify_delay_seconds_bucket{le="300.0"}[6h])) / sum(rate(notify_delay_seconds_count[6h]))',
                            "",
                        )
                    ],
                ),
            ],
        ),
    ],
)

D4 = Board(
    uid="d4",
    title="D4 业务流转与通知",
    question="工作堵在哪里？",
    owner="督办",
    runbook="overdue-surge",
    span="now-7d",
    rows=[
        (
            "流转",
            [
                Panel(
                    title="在办件（按环节）",
                    asks="堵在哪个环节；叠加显示，因为总量重要，无界线",
                    unit="short",
                    kind="stacked",
                    width=12,
                    queries=[("sum by (stage) (cases:open)", "{{stage}}")],
                ),
                Panel(
                    title="在办件（按期限）",
                    asks="多少超期、多少临期；叠加显示，无界线，超期见下",
                    unit="short",
                    kind="stacked",
                    width=12,
                    queries=[("sum by (deadline_state) (cases:open)", "{{deadline_state}}")],
                ),
                Panel(
                    title="收到与办结（每日）",
                    asks="进出是否平衡；无界线，看两线是否分开",
                    unit="short",
                    queries=[
                        ('sum(increase(complaint_submit_total{result="registered"}[1d]))', "收到"),
                        ("sum(increase(case_closed_total[1d]))", "办结"),
                    ],
                ),
                Panel(
                    title="超期件",
                    asks="与近 7 日平均相比（虚线）；超过 10 件并高出一半即告警",
                    unit="short",
                    limits=no_more_than(10),
                    queries=[
                        ("cases:overdue", "超期"),
                        ("avg_over_time(cases:overdue[7d])", "近 7 日平均"),
                    ],
                ),
                Panel(
                    title="按期办结率（7 日）",
                    asks="办得及时吗",
                    unit="percentunit",
                    limits=no_less_than(0.9, 0.95),
                    queries=[
                        (
                            ratio(
                                'sum(increase(case_closed_total{on_time="yes"}[7d]))',
                                "sum(increase(case_closed_total[7d]))",
                            ),
                            "按期",
                        )
                    ],
                ),
                Panel(
                    title="办理工作日",
                    asks="办一件要几个工作日（一般 15 日内）",
                    unit="short",
                    limits=no_more_than(15, 10),
                    queries=quantiles("case_handling_workdays", "", over="7d", of=(0.5, 0.9)),
                ),
            ],
        ),
        (
            "期限与日历",
            [
                Panel(
                    title="距上次期限扫描",
                    asks="超期与临期还在更新吗",
                    unit="s",
                    kind="figure",
                    limits=no_more_than(900, 60),
                    queries=[("time() - max(deadline_sweep_last_success_timestamp_seconds)", "")],
                ),
                Panel(
                    title="到期后多久告知 p95",
                    asks="期限是否按时触发",
                    unit="s",
                    limits=no_more_than(60, 5),
                    queries=quantiles(
                        "deadline_fire_delay_seconds", "event", over="1h", of=(0.95,)
                    ),
                ),
                Panel(
                    title="期限触发（每日）",
                    asks="每天告警与超期多少；无界线，由办件决定",
                    unit="short",
                    queries=[
                        (
                            "sum by (event, kind) (increase(deadlines_fired_total[1d]))",
                            "{{event}} {{kind}}",
                        )
                    ],
                ),
                Panel(
                    title="日历还覆盖",
                    asks="下一年度放假安排录了吗",
                    unit="d",
                    kind="figure",
                    limits=no_less_than(30, 60),
                    queries=[("max(workday_calendar_days_ahead)", "")],
                ),
                Panel(
                    title="时钟保护",
                    asks="数据库时钟跳变后期限任务是否暂停",
                    unit="short",
                    kind="figure",
                    limits=no_more_than(1),
                    queries=[("max(clock_jump_guard)", "")],
                ),
            ],
        ),
        (
            "通知",
            [
                Panel(
                    title="送达率（按渠道）",
                    asks="通知送到了吗",
                    unit="percentunit",
                    limits=no_less_than(0.9, 0.97),
                    width=12,
                    queries=[
                        (
                            'sum by (channel) (increase(notify_sent_total{result="ok"}[1h]))'
                            " / clamp_min(sum by (channel) (increase(notify_sent_total[1h])), 1)",
                            "{{channel}}",
                        )
                    ],
                ),
                Panel(
                    title="送达延迟 p95",
                    asks="多久送到",
                    unit="s",
                    limits=no_more_than(300, 60),
                    width=12,
                    queries=quantiles("notify_delay_seconds", "channel", over="1h", of=(0.95,)),
                ),
            ],
        ),
    ],
)

D5 = Board(
    uid="d5",
    title="D5 现场与公众端",
    question="办公室外的人办成事了吗？",
    owner="评议办",
    runbook="uploads-rejected",
    span="now-24h",
    rows=[
        (
            "外勤",
            [
                Panel(
                    title="上传（每小时）",
                    asks="现场记录传回来了吗；无界线，由检查计划决定",
                    unit="short",
                    queries=[("sum by (result) (increase(visit_upload_total[1h]))", "{{result}}")],
                ),
                Panel(
                    title="拍摄到收到",
                    asks="现场网络如何；超过一天要联系巡查员",
                    unit="s",
                    limits=no_more_than(86400, 3600),
                    queries=quantiles("visit_upload_delay_seconds", "", over="1h", of=(0.5, 0.9)),
                ),
                Panel(
                    title="上传被拒（按状态码，每小时）",
                    asks="为什么传不上来",
                    unit="short",
                    limits=no_more_than(3, 1),
                    queries=[
                        (
                            f'sum by (code) (increase(http_requests_total{{{UPLOADS},code=~"4.."}}[1h]))',
                            "{{code}}",
                        )
                    ],
                ),
            ],
        ),
        (
            "问卷与公众",
            [
                Panel(
                    title="问卷提交（每小时）",
                    asks="成功多少，被拒多少；无界线，由活动决定",
                    unit="short",
                    queries=[("sum by (result) (increase(ballot_submit_total[1h]))", "{{result}}")],
                ),
                Panel(
                    title="无效提交占比",
                    asks="有没有人在猜码",
                    unit="percentunit",
                    limits=no_more_than(0.3, 0.1),
                    queries=[
                        (
                            ratio(
                                'sum(increase(ballot_submit_total{result=~"unknown|repeated"}[1h]))',
                                "sum(increase(ballot_submit_total[1h]))",
                            ),
                            "无效",
                        )
                    ],
                ),
                Panel(
                    title="收到的问卷（每日）",
                    asks="每天收到多少份；无界线。答了什么不进指标，免得看出某一份",
                    unit="short",
                    queries=[('sum(increase(ballot_submit_total{result="accepted"}[1d]))', "问卷")],
                ),
                Panel(
                    title="被限流（429）",
                    asks="正常人有没有被挡",
                    unit="reqps",
                    limits=no_more_than(0.2, 0.05),
                    queries=[
                        (
                            'sum by (route) (rate(http_requests_total{service="intake",code="429"}[$__rate_interval]))',
                            "{{route}}",
                        )
                    ],
                ),
                Panel(
                    title="公众页面响应 p95",
                    asks="公众端慢不慢",
                    unit="s",
                    limits=no_more_than(2.5, 1.2),
                    queries=quantiles(
                        "http_request_duration_seconds",
                        "route",
                        'service="intake",route=~"/p/.*|/s/.*"',
                        "5m",
                        (0.95,),
                    ),
                ),
                Panel(
                    title="来件被退回（每小时）",
                    asks="表单是不是让人填不下去",
                    unit="short",
                    limits=no_more_than(30, 10),
                    queries=[
                        (
                            'sum by (channel) (increase(complaint_submit_total{result="refused"}[1h]))',
                            "{{channel}}",
                        )
                    ],
                ),
                Panel(
                    title="导入行（每日）",
                    asks="批量导入成功多少；无界线，由批次决定",
                    unit="short",
                    queries=[
                        (
                            "sum by (kind, result) (increase(import_rows_total[1d]))",
                            "{{kind}} {{result}}",
                        )
                    ],
                ),
            ],
        ),
    ],
)

D6 = Board(
    uid="d6",
    title="D6 评分",
    question="分数可信吗？",
    owner="评议办、研发",
    runbook="scores-differ",
    span="now-24h",
    rows=[
        (
            "可信",
            [
                Panel(
                    title="复算不一致的单位",
                    asks="独立复算与榜单是否一致，必须为 0",
                    unit="short",
                    kind="figure",
                    limits=no_more_than(1),
                    queries=[("max(score_replay_mismatch_units)", "")],
                ),
                Panel(
                    title="榜单距上次更新",
                    asks="榜单是不是新的",
                    unit="s",
                    limits=no_more_than(900, 300),
                    queries=[
                        (
                            "time() - max by (campaign) (score_board_updated_timestamp_seconds)",
                            "{{campaign}}",
                        )
                    ],
                ),
                Panel(
                    title="评分事件延迟",
                    asks="从发生到计入评分多久",
                    unit="s",
                    limits=no_more_than(60, 5),
                    queries=quantiles("event_age_seconds", "topic", 'group=~".*fengping-scoring"'),
                ),
            ],
        ),
        (
            "工作量",
            [
                Panel(
                    title="计入的事件（按来源，每小时）",
                    asks="分数由什么构成；无界线，由活动决定",
                    unit="short",
                    queries=[
                        ("sum by (source) (increase(score_input_events_total[1h]))", "{{source}}")
                    ],
                ),
                Panel(
                    title="重新计分的单位",
                    asks="多少单位在变动；无界线，突变时对照来源",
                    unit="cps",
                    queries=[
                        (
                            "sum by (campaign) (rate(score_updates_total[$__rate_interval]))",
                            "{{campaign}}",
                        )
                    ],
                ),
                Panel(
                    title="计分用时 p95",
                    asks="计分跟得上吗",
                    unit="s",
                    limits=no_more_than(1, 0.25),
                    queries=quantiles(
                        "scheduled_job_duration_seconds",
                        "job_name",
                        'service="scoring",job_name=~"rescore|tell"',
                        of=(0.95,),
                    ),
                ),
                Panel(
                    title="评分积压",
                    asks="还有多少事件没计入；无界线，看延迟",
                    unit="short",
                    queries=[
                        (
                            'sum by (topic) (grp:lag{consumergroup=~".*fengping-scoring"})',
                            "{{topic}}",
                        )
                    ],
                ),
            ],
        ),
    ],
)

D7 = Board(
    uid="d7",
    title="D7 资源与安全",
    question="什么先用完？有没有人在看不该看的？",
    owner="运维、审计",
    runbook="disk-fills",
    span="now-24h",
    rows=[
        (
            "机器",
            [
                Panel(
                    title="CPU 使用率",
                    asks="算力还剩多少",
                    unit="percentunit",
                    limits=no_more_than(0.9, 0.7),
                    queries=[
                        (
                            '1 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}[$__rate_interval]))',
                            "{{instance}}",
                        )
                    ],
                ),
                Panel(
                    title="内存使用率",
                    asks="内存还剩多少",
                    unit="percentunit",
                    limits=no_more_than(0.95, 0.85),
                    queries=[
                        (
                            "1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes",
                            "{{instance}}",
                        )
                    ],
                ),
                Panel(
                    title="磁盘使用率",
                    asks="磁盘还剩多少",
                    unit="percentunit",
                    limits=no_more_than(0.9, 0.8),
                    queries=[
                        (
                            '1 - node_filesystem_avail_bytes{fstype!~"tmpfs|overlay|squashfs"} / node_filesystem_size_bytes',
                            "{{instance}} {{mountpoint}}",
                        )
                    ],
                ),
                Panel(
                    title="24 小时后磁盘可用",
                    asks="按近 6 小时速度，明天还剩多少",
                    unit="bytes",
                    limits=no_less_than(0, 5e9),
                    queries=[
                        (
                            'predict_linear(node_filesystem_avail_bytes{fstype!~"tmpfs|overlay|squashfs"}[6h], 86400)',
                            "{{instance}} {{mountpoint}}",
                        )
                    ],
                ),
                Panel(
                    title="磁盘忙",
                    asks="磁盘是不是瓶颈",
                    unit="percentunit",
                    limits=no_more_than(0.9, 0.7),
                    queries=[
                        (
                            "rate(node_disk_io_time_seconds_total[$__rate_interval])",
                            "{{instance}} {{device}}",
                        )
                    ],
                ),
                Panel(
                    title="网络",
                    asks="流量多少；无界线，取决于网卡",
                    unit="Bps",
                    queries=[
                        (
                            'sum by (instance) (rate(node_network_receive_bytes_total{device!="lo"}[$__rate_interval]))',
                            "{{instance}} 收",
                        ),
                        (
                            'sum by (instance) (rate(node_network_transmit_bytes_total{device!="lo"}[$__rate_interval]))',
                            "{{instance}} 发",
                        ),
                    ],
                ),
            ],
        ),
        (
            "数据库与总线",
            [
                Panel(
                    title="数据库连接占用",
                    asks="连接够不够",
                    unit="percentunit",
                    limits=no_more_than(0.9, 0.7),
                    queries=[
                        ("sum(pg_stat_activity_count) / max(pg_settings_max_connections)", "已用")
                    ],
                ),
                Panel(
                    title="最长事务",
                    asks="有没有拖住大家的事务",
                    unit="s",
                    limits=no_more_than(60, 10),
                    queries=[("max by (state) (pg_stat_activity_max_tx_duration)", "{{state}}")],
                ),
                Panel(
                    title="锁",
                    asks="有没有在互相等待；无界线，看突变",
                    unit="short",
                    queries=[("sum by (mode) (pg_locks_count) > 0", "{{mode}}")],
                ),
                Panel(
                    title="WAL 大小",
                    asks="日志有没有人在清",
                    unit="bytes",
                    limits=no_more_than(10e9, 4e9),
                    queries=[("max(pg_wal_size_bytes)", "WAL")],
                ),
                Panel(
                    title="消息总线节点",
                    asks="总线在不在",
                    unit="short",
                    kind="figure",
                    limits=no_less_than(1),
                    queries=[("max(kafka_brokers)", "")],
                ),
                Panel(
                    title="副本不足的分区",
                    asks="总线数据是否只剩一份",
                    unit="short",
                    kind="figure",
                    limits=no_more_than(1),
                    queries=[("sum(kafka_topic_partition_under_replicated_partition)", "")],
                ),
            ],
        ),
        (
            "安全",
            [
                Panel(
                    title="登录失败",
                    asks="有没有人在猜口令",
                    unit="cps",
                    limits=no_more_than(0.5, 0.1),
                    queries=[
                        (
                            "sum by (reason) (rate(login_failures_total[$__rate_interval]))",
                            "{{reason}}",
                        )
                    ],
                ),
                Panel(
                    title="查阅来件人身份（每小时）",
                    asks="谁在看，多不多",
                    unit="short",
                    limits=no_more_than(20, 10),
                    queries=[("role:reveals:1h", "{{role}}")],
                ),
                Panel(
                    title="个人信息被拦下（每小时）",
                    asks="文字里是否常带个人信息",
                    unit="short",
                    limits=no_more_than(20, 5),
                    queries=[
                        (
                            "sum by (service, route) (increase(pii_guard_blocked_total[1h]))",
                            "{{service}} {{route}}",
                        )
                    ],
                ),
                Panel(
                    title="被拒绝的访问（403、404，每小时）",
                    asks="有没有人在翻不该看的",
                    unit="short",
                    kind="rows",
                    width=12,
                    limits=no_more_than(100, 20),
                    queries=[
                        (
                            'topk(10, sum by (service, route, code) (increase(http_requests_total{code=~"403|404"}[1h])) > 0)',
                            "{{route}}",
                        )
                    ],
                ),
            ],
        ),
    ],
)

BOARDS = (D0, D1, D2, D3, D4, D5, D6, D7)


# ── how it is drawn ───────────────────────────────────────────────────────────────────────────────


def lines(panel: Panel) -> timeseries.Panel:
    built = (
        timeseries.Panel().axis_soft_min(0).line_width(2).show_points(common.VisibilityMode.NEVER)
    )
    built.legend(
        common_builders.VizLegendOptions()
        .show_legend(True)
        .placement(common.LegendPlacement.BOTTOM)
        .display_mode(common.LegendDisplayMode.LIST)
    )
    built.tooltip(common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI))
    if panel.kind == "stacked":
        built.stacking(
            common_builders.StackingConfig().mode(common.StackingMode.NORMAL)
        ).fill_opacity(30)
    if panel.limits:
        built.thresholds_style(
            common_builders.GraphThresholdsStyleConfig().mode(common.GraphTresholdsStyleMode.DASHED)
        )
    return built


def figure(panel: Panel) -> stat.Panel:
    built = (
        stat.Panel()
        .color_mode(common.BigValueColorMode.BACKGROUND)
        .graph_mode(common.BigValueGraphMode.AREA)
        .no_value("无数据")
    )
    built.reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]))
    return built.mappings(panel.limits.words()) if panel.limits else built


def rows(_: Panel) -> table.Panel:
    return table.Panel()


Drawn = timeseries.Panel | stat.Panel | table.Panel
KINDS: dict[str, Callable[[Panel], Drawn]] = {
    "lines": lines,
    "stacked": lines,
    "figure": figure,
    "rows": rows,
}


def query_of(query: Query, ref: str) -> prometheus.Dataquery:
    expression, legend = query
    return (
        prometheus.Dataquery().expr(expression).legend_format(legend).ref_id(ref).datasource(SOURCE)
    )


def drawn(panel: Panel, uid: str) -> Drawn:
    """A panel as Grafana's SDK builds it, without its place."""
    built = (
        KINDS[panel.kind](panel)
        .title(panel.title)
        .description(panel.asks)
        .unit(panel.unit)
        .datasource(SOURCE)
    )
    for place, query in enumerate(panel.queries):
        target = query_of(query, chr(ord("A") + place))
        built.with_target(
            target.instant().format(PromQueryFormat.TABLE)
            if panel.kind == "rows"
            else target.range()
        )
    if panel.limits:
        built.thresholds(
            boards.ThresholdsConfig()
            .mode(dashboard.ThresholdsMode.ABSOLUTE)
            .steps(panel.limits.steps())
        )
    if panel.link and panel.link != uid:
        built.links(
            [
                boards.DashboardLink(panel.link.upper())
                .url(f"/d/fengping-{panel.link}")
                .keep_time(True)
            ]
        )
    return built


def heading(board: Board) -> text.Panel:
    links = " · ".join(
        f"[{other.title}](/d/fengping-{other.uid})" for other in BOARDS if other is not board
    )
    words = f"**{board.question}**　负责：{board.owner}　处置手册：`docs/runbook.md#{board.runbook}`\n\n{links}"
    return (
        text.Panel()
        .title("")
        .description(board.question)
        .content(words)
        .mode(TextMode.MARKDOWN)
        .transparent(True)
    )


def dashboard_of(board: Board) -> dashboard.Dashboard:
    """The whole dashboard, panels laid out in rows of 24 columns."""
    built = (
        boards.Dashboard(board.title)
        .uid(f"fengping-{board.uid}")
        .description(board.question)
        .tags(["fengping"])
        .readonly()
    )
    built.timezone("Asia/Shanghai").refresh(board.refresh).time(board.span, "now").tooltip(
        dashboard.DashboardCursorSync.CROSSHAIR
    )
    built.link(
        boards.DashboardLink("风评")
        .type(dashboard.DashboardLinkType.DASHBOARDS)
        .tags(["fengping"])
        .as_dropdown(True)
        .keep_time(True)
    )
    if board.by_service:
        built.with_variable(
            boards.QueryVariable("service")
            .label("服务")
            .query("label_values(http_requests_total, service)")
            .datasource(SOURCE)
            .multi(True)
            .include_all(True)
            .all_value(".*")
            .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
        )
    ids = count(1)
    built.with_panel(heading(board).id(next(ids)).span(24).height(3))
    for title, panels in board.rows:
        built.with_row(boards.Row(title).id(next(ids)))
        for panel in panels:
            built.with_panel(
                drawn(panel, board.uid)
                .id(next(ids))
                .span(panel.width)
                .height(4 if panel.kind == "figure" else 8)
            )
    return built.build()


def written(board: Board) -> str:
    """The file of a dashboard, byte for byte."""
    return (
        JSONEncoder(sort_keys=True, indent=2, ensure_ascii=False).encode(dashboard_of(board)) + "\n"
    )


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for board in BOARDS:
        (FOLDER / f"{board.uid}.json").write_text(written(board), encoding="utf-8")


if __name__ == "__main__":
    main()
