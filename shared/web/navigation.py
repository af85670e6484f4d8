"""Every page a person can go to by name: the top bar, the section's tabs, the `g` keys and the
command palette, from one table.

Services do not know each other, but every page shows the way to all of them: so the table stands
here. Only entries that a role may use are rendered. `register` adds a page for this process only:
what the menus of the other services shall show too belongs into the table.
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
    """A word of the top bar. `prefix`: the paths that belong to it."""

    key: str
    name: str
    prefix: str


@dataclass(frozen=True, slots=True)
class MenuEntry:
    """A page with a name. `key`: the letter after `g`. `tab`: shown in the section's row of tabs."""

    name: str
    url: str
    section: str
    policy: Policy
    key: str = ""
    action: bool = False
    tab: bool = True

    @property
    def group(self) -> str:
        return "操作" if self.action else "页面"


SECTIONS: Final = (
    Section("home", "首页", "/me"),
    Section("intake", "受理", "/intake"),
    Section("casework", "办理", "/casework"),
    Section("scoring", "评分", "/scoring"),
    Section("notify", "通知", "/notify"),
)
R = Role
OFFICE, ADMIN = allow(R.OFFICE), allow(R.ADMIN)
BOARD: Final = allow(R.OFFICE, R.LEADER)
MENU_ENTRIES: Final = (
    MenuEntry("首页", "/", "home", SIGNED_IN, "h", tab=False),
    MenuEntry("个人设置", "/me", "home", SIGNED_IN, tab=False),
    MenuEntry("工单登记", "/intake/desk", "intake", allow(R.OPERATOR), "d"),
    MenuEntry("我的登记", "/intake/desk/mine", "intake", allow(R.OPERATOR)),
    MenuEntry("受理审核", "/intake/triage", "intake", allow(R.REVIEWER)),
    MenuEntry("外勤检查", "/intake/field/", "intake", allow(R.INSPECTOR)),
    MenuEntry("待上传", "/intake/field/queue", "intake", allow(R.INSPECTOR)),
    MenuEntry("检查计划", "/intake/field/plans", "intake", OFFICE),
    MenuEntry("我的办理", "/casework/", "casework", allow(R.HANDLER), "q"),
    MenuEntry("单位审批", "/casework/approvals", "casework", allow(R.UNIT_HEAD)),
    MenuEntry("督办台", "/casework/supervise", "casework", allow(R.SUPERVISOR), "s"),
    MenuEntry(
        "整改台账", "/casework/ledger", "casework", allow(R.SUPERVISOR, R.HANDLER, R.UNIT_HEAD)
    ),
    MenuEntry("分派", "/casework/triage", "casework", allow(R.REVIEWER)),
    MenuEntry(
        "报送任务",
        "/casework/obligations",
        "casework",
        allow(R.SUPERVISOR, R.OFFICE, R.HANDLER, R.UNIT_HEAD),
    ),
    MenuEntry("工作日历", "/casework/calendar", "casework", ADMIN),
    MenuEntry("评分首页", "/scoring/", "scoring", BOARD),
    MenuEntry("排名", "/scoring/rank", "scoring", BOARD, "r"),
    MenuEntry("参评单位", "/scoring/register", "scoring", OFFICE),
    MenuEntry("规则与权重", "/scoring/rules", "scoring", OFFICE),
    MenuEntry("本单位得分", "/scoring/mine", "scoring", allow(R.UNIT_HEAD)),
    MenuEntry("消息中心", "/notify/inbox", "notify", SIGNED_IN, "n"),
    MenuEntry("发送记录", "/notify/log", "notify", allow(R.ADMIN, R.SUPERVISOR)),
    MenuEntry("通知模板", "/notify/templates", "notify", ADMIN),
    MenuEntry("订阅与升级", "/notify/rules", "notify", ADMIN),
    MenuEntry("登记工单", "/intake/desk", "intake", allow(R.OPERATOR), action=True, tab=False),
)
PALETTES: Final = {
    "/intake/palette": allow(R.OPERATOR, R.REVIEWER, R.SUPERVISOR),
    "/casework/palette": allow(R.HANDLER, R.UNIT_HEAD, R.SUPERVISOR),
    "/scoring/palette": BOARD,
}
"""Who is asked, besides the pages, when somebody types into the palette: each answers `?q=` with
`palette_results(...)`.
"""


@dataclass(frozen=True, slots=True)
class Menu:
    """What one person may go to, as the layout needs it."""

    sections: Sequence[tuple[Section, str]]
    tabs: Sequence[MenuEntry]
    entries: Sequence[MenuEntry]
    palettes: Sequence[str]
    section: str
    path: str

    def is_current(self, entry: MenuEntry) -> bool:
        """Is the page shown now this entry's, or below it and no other's?"""
        return entry == max(
            (e for e in self.tabs if _is_under(e.url, self.path)),
            key=lambda e: len(e.url),
            default=None,
        )

    def palette(self) -> list[dict[str, str]]:
        """The pages and actions for the palette, with the pinyin by which they are found."""
        return [_palette_item(entry) for entry in self.entries]


def menu_for(role: Role, path: str) -> Menu:
    """The menu of a role on the page at `path`."""
    section = next((s.key for s in SECTIONS if path.startswith(s.prefix)), "home")
    sections, entries, palettes = _menus(role)
    return Menu(
        sections,
        [e for e in entries if e.section == section and e.tab],
        entries,
        palettes,
        section,
        path,
    )


@cache
def _menus(
    role: Role,
) -> tuple[tuple[tuple[Section, str], ...], tuple[MenuEntry, ...], tuple[str, ...]]:
    entries = tuple(entry for entry in MENU_ENTRIES if role in entry.policy.roles)
    first_urls = (
        (section, next((e.url for e in entries if e.section == section.key), ""))
        for section in SECTIONS
    )
    palettes = tuple(url for url, policy in PALETTES.items() if role in policy.roles)
    return tuple((section, url) for section, url in first_urls if url), entries, palettes


def _is_under(url: str, path: str) -> bool:
    return path == url or path.startswith(url.rstrip("/") + "/")


def _palette_item(entry: MenuEntry) -> dict[str, str]:
    hint = f"g {entry.key}" if entry.key else ""
    return {
        "group": entry.group,
        "text": entry.name,
        "hint": hint,
        "url": entry.url,
        "find": search_terms(entry.name),
    }


@dataclass(frozen=True, slots=True)
class PaletteResult:
    """One line of the palette: `group` 工单, 单位 …; `text` what it is; `hint` beside it; `url`
    where it leads.
    """

    group: str
    text: str
    url: str
    hint: str = ""


def palette_results(found: Sequence[PaletteResult]) -> list[dict[str, Any]]:
    """What a service's `/palette?q=` answers."""
    return [asdict(result) for result in found]


@cache
def search_terms(text: str) -> str:
    """A name as it may be typed: itself, its pinyin, its initials; lower case, separated by spaces.

    `省中医药管理局` → `省中医药管理局 shengzhongyiyaoguanliju szyyglj`.
    """
    lower = text.lower()
    return " ".join(
        dict.fromkeys(
            (
                lower,
                "".join(lazy_pinyin(lower)),
                "".join(lazy_pinyin(lower, style=Style.FIRST_LETTER)),
            )
        )
    )


def matches_search(query: str, terms: str) -> bool:
    """Is `query` (汉字, 全拼, 首字母) found in what `search_terms` gave? Apostrophes and spaces of an
    input method are ignored.
    """
    needle = query.lower().replace("'", "").replace(" ", "")
    return bool(needle) and any(needle in part for part in terms.split())
