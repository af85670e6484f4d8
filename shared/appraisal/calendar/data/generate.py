"""Write `china.yaml` beside this file from the public `chinesecalendar` package, once per release
of that package.

    python shared/calendar_data/generate.py

The package is a source of data for this script only: at run time it answers nothing after the last
notice it knows, while `shared.calendar` answers provisionally. Notice numbers and dates are the
State Council's, listed below; for 2004-2007 no number could be verified, so the title stands alone.
"""

from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path

from chinese_calendar.constants import Holiday, holidays, workdays

NOTICES = {
    2008: "国办发明电〔2007〕52号，2007-12-15",
    2009: "国办发明电〔2008〕42号，2008-12-04",
    2010: "国办发明电〔2009〕27号，2009-12-08",
    2011: "国办发明电〔2010〕40号，2010-12-10",
    2012: "国办发明电〔2011〕45号，2011-12-06",
    2013: "国办发明电〔2012〕33号，2012-12-08",
    2014: "国办发明电〔2013〕28号，2013-12-11",
    2015: "国办发明电〔2014〕28号，2014-12-16；国发明电〔2015〕1号（9月3日至5日放假，9月6日上班）",
    2016: "国办发明电〔2015〕18号，2015-12-10",
    2017: "国办发明电〔2016〕17号，2016-12-01",
    2018: "国办发明电〔2017〕12号，2017-11-30",
    2019: "国办发明电〔2018〕15号，2018-12-04；国办发明电〔2019〕3号（劳动节）",
    2020: "国办发明电〔2019〕16号，2019-11-21；国办发明电〔2020〕1号（春节假期延长）",
    2021: "国办发明电〔2020〕27号，2020-11-25",
    2022: "国办发明电〔2021〕11号，2021-10-25",
    2023: "国办发明电〔2022〕16号，2022-12-08",
    2024: "国办发明电〔2023〕7号，2023-10-25",
    2025: "国办发明电〔2024〕12号，2024-11-12",
    2026: "国办发明电〔2025〕7号，2025-11-04",
}
NAMES = {
    Holiday.new_years_day.value: "元旦",
    Holiday.spring_festival.value: "春节",
    Holiday.tomb_sweeping_day.value: "清明节",
    Holiday.labour_day.value: "劳动节",
    Holiday.dragon_boat_festival.value: "端午节",
    Holiday.mid_autumn_festival.value: "中秋节",
    Holiday.national_day.value: "国庆节",
    Holiday.anti_fascist_70th_day.value: "抗战胜利纪念日",
}
HEAD = """\
# Working calendar of China: days off and make-up workdays by the State Council's yearly notices.
# Written by generate.py beside this file. A day not listed is a workday from Monday to Friday, a rest day otherwise.
# Days stand under the year they fall in: a notice may also move the last days of the December before (2006, 2007,
# 2011, 2018, 2022), so the last year listed is certain only through 28 December until the next notice is out.
known_from: 2004-01-01
known_through: {through}
years:
"""


def spans(days: Iterable[date]) -> list[str]:
    """Consecutive days as `MM-DD` or `MM-DD/MM-DD`, in order."""
    runs: list[list[date]] = []
    for day in sorted(days):
        if runs and day - runs[-1][-1] == timedelta(days=1):
            runs[-1].append(day)
        else:
            runs.append([day])
    return [
        f"{run[0]:%m-%d}" if len(run) == 1 else f"{run[0]:%m-%d}/{run[-1]:%m-%d}" for run in runs
    ]


def year_entry(year: int) -> str:
    """The YAML lines of one year: notice, days off by holiday, make-up workdays."""
    number = f"（{NOTICES[year]}）" if year in NOTICES else ""
    off: dict[str, list[date]] = {}
    for day, holiday in sorted(holidays.items()):
        if day.year == year:
            off.setdefault(NAMES[holiday], []).append(day)
    lines = [
        f"  {year}:",
        f"    notice: 国务院办公厅关于{year}年部分节假日安排的通知{number}",
        "    rest:",
    ]
    lines += [f"      {name}: [{', '.join(spans(days))}]" for name, days in off.items()]
    lines.append(f"    work: [{', '.join(spans(day for day in workdays if day.year == year))}]")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the file for every year that the package knows."""
    years = range(2004, max(holidays).year + 1)
    head = HEAD.format(through=date(years[-1], 12, 28))
    Path(__file__).with_name("china.yaml").write_text(
        head + "".join(map(year_entry, years)), encoding="utf-8"
    )


if __name__ == "__main__":
    main()
