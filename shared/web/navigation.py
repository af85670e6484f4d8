"""Navigation: the top bar, the tabs of a section, the `g` shortcuts and the command palette.

Services do not know each other, but every page links to all of them, so the table of pages is here.
A page contains only the entries that the account's role may use.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, Final

from pypinyin import Style, lazy_pinyin

from shared.appraisal.labels import Role
from shared.security.policies import SIGNED_IN, Policy, allow


@dataclass(frozen=True, slots=True)
class Section:
    """An entry of the top bar. `prefixes`: the paths that belong to it, the longest one decides."""

    key: str
    name: str
    prefixes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MenuEntry:
    """A named page. `key`: its letter after `g`. `tab`: it is a tab of its section.

    `badge`: URL of the number of things that wait there, which the tab shows.
    """

    name: str
    url: str
    section: str
    policy: Policy
    key: str = ""
    action: bool = False
    tab: bool = True
    badge: str = ""

    @property
    def group(self) -> str:
        return "操作" if self.action else "页面"


AUDIT_PAGES: Final = {
    "/intake/audit": "受理审计日志",
    "/casework/audit": "办理审计日志",
    "/scoring/audit": "评分审计日志",
    "/notify/audit": "通知审计日志",
}
"""Each service has its own audit log, and a page of the same look."""
EVIDENCE_PAGES: Final = {
    "/intake/reconciliation": "材料核对",
    "/intake/evidence": "受理存证",
    "/casework/evidence": "办理存证",
    "/scoring/evidence": "评分存证",
    "/notify/evidence": "通知存证",
}
"""Pages about what proves the records: the nightly comparison, and each log's daily lines."""
SECTIONS: Final = (
    Section("home", "首页", ("/me",)),
    Section("intake", "受理", ("/intake",)),
    Section("casework", "办理", ("/casework",)),
    Section("scoring", "评分", ("/scoring",)),
    Section("notify", "通知", ("/notify",)),
    Section("audit", "审计", (*AUDIT_PAGES, *EVIDENCE_PAGES)),
)
OFFICE: Final = allow(Role.OFFICE)
ADMIN: Final = allow(Role.ADMIN)
AUDITOR: Final = allow(Role.AUDITOR)
EVIDENCE_READERS: Final = allow(Role.OFFICE, Role.AUDITOR)
BOARD: Final = allow(Role.OFFICE, Role.LEADER)
MENU_ENTRIES: Final = (
    MenuEntry("首页", "/", "home", SIGNED_IN, "h", tab=False),
    MenuEntry("个人设置", "/me", "home", SIGNED_IN, tab=False),
    MenuEntry("工单登记", "/intake/desk", "intake", allow(Role.OPERATOR), "d"),
    MenuEntry("我的登记", "/intake/desk/mine", "intake", allow(Role.OPERATOR)),
    MenuEntry("受理审核", "/intake/triage", "intake", allow(Role.REVIEWER)),
    MenuEntry("摘要审核", "/intake/releases", "intake", allow(Role.REVIEWER), "m"),
    MenuEntry("外勤检查", "/intake/field/", "intake", allow(Role.INSPECTOR)),
    MenuEntry("待上传", "/intake/field/queue", "intake", allow(Role.INSPECTOR)),
    MenuEntry("检查记录", "/intake/field/plans", "intake", OFFICE),
    MenuEntry("检查轮次", "/intake/rounds", "intake", OFFICE),
    MenuEntry("测评问卷", "/intake/questionnaires", "intake", OFFICE),
    MenuEntry("账号管理", "/intake/accounts", "intake", ADMIN),
    MenuEntry(
        "双人审批",
        "/intake/dual-approvals",
        "intake",
        allow(Role.REVIEWER, Role.SUPERVISOR, Role.CUSTODIAN, Role.ADMIN, Role.LEADER),
        badge="/intake/dual-approvals/waiting",
    ),
    MenuEntry("问卷码", "/intake/codes", "intake", allow(Role.OFFICE, Role.REVIEWER)),
    MenuEntry("疑似异常", "/intake/integrity", "intake", allow(Role.OFFICE, Role.REVIEWER)),
    MenuEntry("我的办理", "/casework/", "casework", allow(Role.HANDLER), "q"),
    MenuEntry("单位审批", "/casework/approvals", "casework", allow(Role.UNIT_HEAD)),
    MenuEntry("督办台", "/casework/supervise", "casework", allow(Role.SUPERVISOR), "s"),
    MenuEntry(
        "整改台账",
        "/casework/ledger",
        "casework",
        allow(Role.SUPERVISOR, Role.HANDLER, Role.UNIT_HEAD),
    ),
    MenuEntry("分派", "/casework/triage", "casework", allow(Role.REVIEWER)),
    MenuEntry(
        "报送任务",
        "/casework/obligations",
        "casework",
        allow(Role.SUPERVISOR, Role.OFFICE, Role.HANDLER, Role.UNIT_HEAD),
    ),
    MenuEntry("工作日历", "/casework/calendar", "casework", ADMIN),
    MenuEntry("评分首页", "/scoring/", "scoring", BOARD),
    MenuEntry("排名", "/scoring/rank", "scoring", BOARD, "r"),
    MenuEntry("参评单位", "/scoring/register", "scoring", OFFICE),
    MenuEntry("机构名册", "/scoring/organisations", "scoring", allow(Role.OFFICE, Role.ADMIN)),
    MenuEntry("规则与权重", "/scoring/rules", "scoring", OFFICE),
    MenuEntry("往年结果", "/scoring/outcomes", "scoring", BOARD),
    MenuEntry(
        "双人审批",
        "/scoring/dual-approvals",
        "scoring",
        BOARD,
        badge="/scoring/dual-approvals/waiting",
    ),
    MenuEntry("本单位得分", "/scoring/mine", "scoring", allow(Role.UNIT_HEAD)),
    MenuEntry("消息中心", "/notify/inbox", "notify", SIGNED_IN, "n"),
    MenuEntry("发送记录", "/notify/log", "notify", allow(Role.ADMIN, Role.SUPERVISOR)),
    MenuEntry("通知模板", "/notify/templates", "notify", ADMIN),
    MenuEntry("订阅与升级", "/notify/rules", "notify", ADMIN),
    *(MenuEntry(name, url, "audit", AUDITOR, tab=False) for url, name in AUDIT_PAGES.items()),
    *(MenuEntry(name, url, "audit", EVIDENCE_READERS) for url, name in EVIDENCE_PAGES.items()),
    MenuEntry("登记工单", "/intake/desk", "intake", allow(Role.OPERATOR), action=True, tab=False),
)
PALETTES: Final = {
    "/intake/palette": allow(Role.OPERATOR, Role.REVIEWER, Role.SUPERVISOR),
    "/casework/palette": allow(Role.HANDLER, Role.UNIT_HEAD, Role.SUPERVISOR),
    "/scoring/palette": BOARD,
}
"""URLs that search records for the palette: each answers `?q=` with `palette_results(...)`."""


@dataclass(frozen=True, slots=True)
class Menu:
    """The navigation of one role on one page."""

    sections: Sequence[tuple[Section, str]]
    tabs: Sequence[MenuEntry]
    entries: Sequence[MenuEntry]
    palettes: Sequence[str]
    section: str
    path: str

    def is_current(self, entry: MenuEntry) -> bool:
        """Return whether this tab is the one with the longest URL above the current page."""
        above = [tab for tab in self.tabs if _is_under(tab.url, self.path)]
        return entry == max(above, key=lambda tab: len(tab.url), default=None)

    def palette(self) -> list[dict[str, str]]:
        """Return pages and actions for the palette, with the pinyin to find them by."""
        return [_palette_item(entry) for entry in self.entries]


def menu_for(role: Role, path: str) -> Menu:
    """Return the menu of a role on the page at `path`."""
    current = _section_of(path)
    entries = _entries_of(role)
    tabs = [entry for entry in entries if entry.tab and entry.section == current]
    return Menu(_sections_of(role), tabs, entries, _palettes_of(role), current, path)


def _section_of(path: str) -> str:
    """Return the key of the section with the longest prefix of `path`."""
    matching = {
        prefix: section.key
        for section in SECTIONS
        for prefix in section.prefixes
        if path.startswith(prefix)
    }
    return matching[max(matching, key=len)] if matching else "home"


@cache
def _entries_of(role: Role) -> tuple[MenuEntry, ...]:
    return tuple(entry for entry in MENU_ENTRIES if role in entry.policy.roles)


@cache
def _sections_of(role: Role) -> tuple[tuple[Section, str], ...]:
    """Return the sections with pages for this role, each with the URL of its first page."""
    first_urls: dict[str, str] = {}
    for entry in _entries_of(role):
        first_urls.setdefault(entry.section, entry.url)
    present = [section for section in SECTIONS if section.key in first_urls]
    return tuple((section, first_urls[section.key]) for section in present)


@cache
def _palettes_of(role: Role) -> tuple[str, ...]:
    return tuple(url for url, policy in PALETTES.items() if role in policy.roles)


def _is_under(url: str, path: str) -> bool:
    return path == url or path.startswith(url.rstrip("/") + "/")


def _palette_item(entry: MenuEntry) -> dict[str, str]:
    return {
        "group": entry.group,
        "text": entry.name,
        "hint": f"g {entry.key}" if entry.key else "",
        "url": entry.url,
        "find": search_terms(entry.name),
    }


@dataclass(frozen=True, slots=True)
class PaletteResult:
    """A record found by the palette. `group` is its kind, such as 工单 or 单位."""

    group: str
    text: str
    url: str
    hint: str = ""


def palette_results(found: Sequence[PaletteResult]) -> list[dict[str, Any]]:
    """Return the response of a service's `/palette?q=`."""
    return [asdict(result) for result in found]


@cache
def search_terms(text: str) -> str:
    """Return the ways to type a name: itself, its pinyin and its initials, separated by spaces.

    `省中医药管理局` → `省中医药管理局 shengzhongyiyaoguanliju szyyglj`.
    """
    lower = text.lower()
    pinyin = "".join(lazy_pinyin(lower))
    initials = "".join(lazy_pinyin(lower, style=Style.FIRST_LETTER))
    return " ".join(dict.fromkeys((lower, pinyin, initials)))


def matches_search(query: str, terms: str) -> bool:
    """Return whether `query` (汉字, 全拼, 首字母) matches one of the `search_terms`.

    Apostrophes and spaces of an input method are ignored.
    """
    needle = query.lower().replace("'", "").replace(" ", "")
    return bool(needle) and any(needle in part for part in terms.split())
