"""The independent recount: every unit's score from the packed ballots and the ledger.

Context: a published number must not depend on the mistakes of one program.
Decision: this module knows the rules only as the published JSON, the ballots only as bytes and the
ledger only as rows. It imports nothing of the codebase and works differently from scoring's rules:
one pass over everything, sums in dictionaries, then each unit once. Where the two programs
disagree, one of them is wrong. Scoring runs it every night, the verifier of archives on inputs that
it has checked.
Alternatives: running the same code twice (finds lost events, not wrong arithmetic).
"""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from struct import iter_unpack
from typing import Any, TypedDict

Json = dict[str, Any]
ItemKey = tuple[str, str, int]
"""(instrument, group, item)."""
Value = tuple[Fraction | None, int]
"""Value 0–100 or None, and size of the sample."""
WeightedValue = tuple[Fraction, Fraction]
LATEST_ONLY = {"rated", "visit", "finding", "sheet", "decision", "revoked"}
ZERO = Fraction(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedRow:
    """A ledger row as it is exported; times and ids only have to sort and compare."""

    event_id: Any
    part: int
    occurred_at: Any
    unit_no: Any
    measure: str
    subject_id: Any
    source_id: Any
    kind: str | None
    item: Any
    detail: Any
    late: bool | None
    points: Any
    option_no: Any
    version: int

    @classmethod
    def of(cls, columns: Mapping[str, Any]) -> "ExportedRow":
        """Return the row with these columns; other columns are ignored, missing ones are None."""
        values: dict[str, Any] = {each.name: columns.get(each.name) for each in fields(cls)}
        return cls(**values)


class UnitResult(TypedDict):
    """A unit's recounted score; numbers are text."""

    total: str | None
    ranked: bool
    sample: int
    marks: dict[str, str | None]


class Recounter:
    """Takes ballots and ledger rows in any order, then returns every unit's result."""

    def __init__(self, rules: str, unit_nos: Iterable[int]) -> None:
        self.rules: Json = json.loads(rules)
        self.unit_nos = sorted(unit_nos)
        self.ballots = 0
        self._rows: list[ExportedRow] = []
        self._answers: dict[tuple[str, str], Counter[tuple[int, int, int]]] = defaultdict(Counter)

    def add_ballot(self, instrument: str, group: str, packed: bytes) -> None:
        """Count a ballot: four bytes an answer, unit (2, little endian), item, option."""
        self._answers[instrument, group].update(iter_unpack("<HBB", packed))
        self.ballots += 1

    def add_row(self, columns: Mapping[str, Any]) -> None:
        """Add a ledger row by column name."""
        self._rows.append(ExportedRow.of(columns))

    @property
    def rows(self) -> int:
        """How many ledger rows were added."""
        return len(self._rows)

    def results(self) -> dict[int, UnitResult]:
        """Unit → its recounted result."""
        answers = self._answers_by_unit()
        rows = self._rows_by_unit()
        return {no: UnitRecount(self.rules, answers[no], rows[no]).result() for no in self.unit_nos}

    def _answers_by_unit(self) -> dict[int, dict[ItemKey, Counter[int]]]:
        by_unit: dict[int, dict[ItemKey, Counter[int]]] = {
            unit_no: defaultdict(Counter) for unit_no in self.unit_nos
        }
        for (instrument, group), answers in self._answers.items():
            for (unit_no, item, option), count in answers.items():
                by_unit[unit_no][instrument, group, item][option] += count
        return by_unit

    def _rows_by_unit(self) -> dict[int, list[ExportedRow]]:
        """Unit → its current rows; a rating belongs to the units that closed the case."""
        current = self._current_rows()
        kinds = _case_kinds(current)
        closed_by = _closing_units(current)
        by_unit: dict[int, list[ExportedRow]] = defaultdict(list)
        for row in current:
            with_kind = replace(row, kind=kinds.get(_subject(row)))
            for unit_no in _owners(row, closed_by):
                by_unit[unit_no].append(with_kind)
        return by_unit

    def _current_rows(self) -> list[ExportedRow]:
        """Return the rows without superseded versions."""
        replaceable = [row for row in self._rows if _is_replaceable(row)]
        newest = _newest_versions(replaceable)
        current = [row for row in replaceable if row.version == newest[_subject(row)]]
        return current + [row for row in self._rows if not _is_replaceable(row)]


class UnitRecount:
    """One unit's answers and ledger rows, and the rules applied to them."""

    def __init__(
        self, rules: Json, answers: Mapping[ItemKey, Counter[int]], rows: list[ExportedRow]
    ) -> None:
        self.rules = rules
        self.answers = answers
        self.rows = sorted(rows, key=_sort_key)
        self.digits: int = rules["ranking"].get("decimals", 2)
        self.points = _option_points(rules["options"])
        self._formulas = {
            "satisfaction": self._satisfaction,
            "inspection": self._inspection,
            "handling": self._handling,
            "scoring": self._score_sheet,
        }

    def result(self) -> UnitResult:
        """Return the unit's recounted score."""
        adjusted = self._adjusted()
        values = {
            component["key"]: self._component(component["formula"])
            for component in self.rules["components"]
        }
        marks = {key: self._mark(value, adjusted[key]) for key, (value, _) in values.items()}
        total = self._mark(self._weighted_mean(marks), adjusted["total"])
        excluded = any(unranked for _, unranked in values.values())
        return {
            "total": self._text(total),
            "ranked": total is not None and not excluded and self._may_be_ranked(),
            "sample": self._sample(),
            "marks": {key: self._text(mark) for key, mark in marks.items()},
        }

    def _may_be_ranked(self) -> bool:
        enough: bool = self._sample() >= self.rules["ranking"]["minimum_sample"]
        return enough and not self._disqualified()

    def _weighted_mean(self, marks: Mapping[str, Fraction | None]) -> Fraction | None:
        weights = {
            component["key"]: Fraction(component["weight"])
            for component in self.rules["components"]
        }
        weighted = [(weights[key], mark) for key, mark in marks.items() if mark is not None]
        return _mean_of(weighted)

    def _component(self, formula: Json) -> tuple[Fraction | None, bool]:
        """(rounded value or None, whether it excludes the unit from the ranking)."""
        value, sample = self._formulas[formula["kind"]](formula)
        if value is not None and sample >= formula.get("minimum", 1):
            return self._round(value), False
        policy = formula.get("absent" if value is None else "below", "leave_out")
        full = Fraction(100) if policy == "full" else None
        return full, policy == "unranked"

    def _mark(self, value: Fraction | None, adjusted: Fraction) -> Fraction | None:
        return None if value is None else self._round(_within(value + adjusted))

    # formulas

    def _satisfaction(self, formula: Json) -> Value:
        means: list[WeightedValue] = []
        sample = 0
        for questionnaire, group in self._groups(formula):
            mean, size = self._group(questionnaire, group["key"])
            sample += size
            means += _weighted(group, mean)
        return _mean_of(means), sample

    def _groups(self, formula: Json) -> Iterator[tuple[Json, Json]]:
        """Yield the formula's questionnaires, each with each of its groups."""
        for questionnaire in self.rules["instruments"]:
            if questionnaire["key"] in formula["instruments"]:
                for group in questionnaire["groups"]:
                    yield questionnaire, group

    def _group(self, questionnaire: Json, group: str) -> Value:
        means: list[WeightedValue] = []
        sample = 0
        for item in questionnaire["items"]:
            counts = self.answers.get((questionnaire["key"], group, item["no"]), Counter())
            mean, base = self._item_mean(item, counts)
            sample += base if item["no"] == 1 else 0
            means += _weighted(item, mean)
        return _mean_of(means), sample

    def _inspection(self, formula: Json) -> Value:
        lost = self._points_lost(formula)
        if not lost:
            return None, 0
        if formula.get("spread", "sum") == "sum":
            return _within(100 - sum(lost.values(), ZERO)), len(lost)
        values = [_within(100 - points) for points in lost.values()]
        return sum(values, ZERO) / len(lost), len(lost)

    def _points_lost(self, formula: Json) -> dict[str, Fraction]:
        """Visit → points of its findings."""
        visits = (row for row in self._measured("visit") if row.detail == formula["instrument"])
        lost = {_subject(row): ZERO for row in visits}
        for finding in self._measured("finding"):
            if _subject(finding) in lost:
                lost[_subject(finding)] += self._finding_points(formula, finding)
        return lost

    def _finding_points(self, formula: Json, finding: ExportedRow) -> Fraction:
        amounts = {item["id"]: item["amount"] for item in self._instrument(formula)["items"]}
        amount = Fraction(amounts.get(finding.item, "0"))
        return amount * Fraction(formula["severities"][finding.detail])

    def _handling(self, formula: Json) -> Value:
        accepted = self._on_time("case_accepted", "accept")
        handled = self._on_time("case_closed", "handle")
        rated = Counter(row.option_no for row in self._measured("rated"))
        rates = {
            "accepted_on_time": _rate(accepted),
            "handled_on_time": _rate(handled),
            "rated": self._mean(rated)[0],
        }
        return _mean_of(_weighted_rates(formula, rates)), len(accepted | handled)

    def _score_sheet(self, formula: Json) -> Value:
        sheet = self._instrument(formula)
        rows = self._sheet_rows(sheet)
        means: list[WeightedValue] = []
        for item in sheet["items"]:
            means += _weighted(item, _mean_given(item, rows))
        mean = _mean_of(means)
        value = None if mean is None else mean * 100 / Fraction(sheet.get("maximum", "100"))
        return value, len({_subject(row) for row in rows})

    def _sheet_rows(self, sheet: Json) -> list[ExportedRow]:
        rows = (row for row in self._measured("sheet") if row.detail == sheet["key"])
        return [row for row in rows if row.points is not None]

    # lookups

    def _measured(self, measure: str) -> list[ExportedRow]:
        return [row for row in self.rows if row.measure == measure]

    def _instrument(self, formula: Json) -> Json:
        instruments: list[Json] = self.rules["instruments"]
        return next(each for each in instruments if each["key"] == formula["instrument"])

    def _mean(self, counts: Mapping[int, int]) -> Value:
        return _mean_points(counts, self.points)

    def _item_mean(self, item: Json, counts: Mapping[int, int]) -> Value:
        """Only single choice and scale have points; a scale's are the answer in percent."""
        if item["kind"] == "single_choice":
            return self._mean(counts)
        if item["kind"] == "scale":
            return _mean_points(counts, _scale_points(item))
        return None, 0

    def _on_time(self, measure: str, deadline: str) -> dict[str, bool]:
        """Case → finished on time."""
        finished = self._measured(measure)
        lapsed = {_subject(row) for row in self.rows if _is_lapse(row, deadline)}
        late = {_subject(row) for row in finished if row.late} | lapsed
        cases = {_subject(row) for row in finished} | late
        return {case: case not in late for case in cases}

    def _adjusted(self) -> dict[str, Fraction]:
        """Component key, or "total" → points on less points off."""
        adjusted: dict[str, Fraction] = defaultdict(Fraction)
        for sign, name in ((-1, "deductions"), (1, "bonuses")):
            for rule in self.rules.get(name, ()):
                adjusted[rule.get("of", "total")] += sign * self._rule_points(rule)
        return adjusted

    def _rule_points(self, rule: Json) -> Fraction:
        counted: int = self._hits(rule) - rule.get("after", 0)
        points = max(0, counted) * Fraction(rule["amount"])
        cap = rule.get("cap")
        return points if cap is None else min(points, Fraction(cap))

    def _hits(self, rule: Json) -> int:
        return sum(_concerns(rule, row) for row in self.rows)

    def _sample(self) -> int:
        first_items = (counts for (_, _, item), counts in self.answers.items() if item == 1)
        return sum(counts[option] for counts in first_items for option in self.points)

    def _disqualified(self) -> bool:
        rules = self.rules.get("vetoes", ())
        vetoes = {veto["id"] for veto in rules if veto["effect"] == "disqualified"}
        return any(row.detail in vetoes for row in self._measured("decision"))

    def _round(self, value: Fraction) -> Fraction:
        """Round half even."""
        scale = 10**self.digits
        whole, rest = divmod(value * scale, 1)
        half = Fraction(1, 2)
        up = rest > half or (rest == half and whole % 2 == 1)
        return Fraction(int(whole) + up, scale)

    def _text(self, value: Fraction | None) -> str | None:
        if value is None:
            return None
        scale = 10**self.digits
        whole, rest = divmod(int(value * scale), scale)
        return f"{whole}.{rest:0{self.digits}d}" if self.digits else str(whole)


def digest(results: Mapping[int, UnitResult]) -> str:
    """Return the SHA-256 of the results in canonical form: by unit, keys sorted, no spaces."""
    lines = (_canonical([unit_no, results[unit_no]]) for unit_no in sorted(results))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _canonical(content: object) -> str:
    return json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _subject(row: ExportedRow) -> str:
    return str(row.subject_id)


def _sort_key(row: ExportedRow) -> tuple[Any, str, int]:
    return row.occurred_at, str(row.event_id), row.part


def _is_replaceable(row: ExportedRow) -> bool:
    return row.measure in LATEST_ONLY


def _newest_versions(rows: list[ExportedRow]) -> dict[str, int]:
    """Subject → its highest version."""
    newest: dict[str, int] = {}
    for row in rows:
        newest[_subject(row)] = max(newest.get(_subject(row), 0), row.version)
    return newest


def _case_kinds(rows: list[ExportedRow]) -> dict[str, str | None]:
    """Case → its kind."""
    opened = (row for row in rows if row.measure == "case_opened")
    return {_subject(row): row.kind for row in opened}


def _closing_units(rows: list[ExportedRow]) -> dict[str, set[int]]:
    """Complaint → units that closed a case of it."""
    units: dict[str, set[int]] = defaultdict(set)
    for row in rows:
        if row.measure == "case_closed" and row.unit_no is not None:
            units[str(row.source_id)].add(row.unit_no)
    return units


def _owners(row: ExportedRow, closed_by: Mapping[str, set[int]]) -> set[int]:
    if row.measure == "rated":
        return closed_by.get(_subject(row), set())
    return {row.unit_no} - {None}


def _option_points(options: Iterable[Json]) -> dict[int, Fraction]:
    """Option number → its points, for the options that count."""
    counted = (option for option in options if option.get("points") is not None)
    return {option["no"]: Fraction(option["points"]) for option in counted}


def _scale_points(item: Json) -> dict[int, Fraction]:
    """Answer on a scale → its points."""
    highest = int(item.get("highest", 10))
    return {number: Fraction(100 * number, highest) for number in range(1, highest + 1)}


def _weighted(rule: Json, mean: Fraction | None) -> list[WeightedValue]:
    """Return the mean with the weight of its item or group; nothing without a mean."""
    return [] if mean is None else [(Fraction(rule.get("weight", "1")), mean)]


def _weighted_rates(formula: Json, rates: Mapping[str, Fraction | None]) -> list[WeightedValue]:
    """Return the rates that have cases, each with its weight; weights of 0 are left out."""
    weighted = [(Fraction(formula[name]), rate) for name, rate in rates.items()]
    return [(weight, rate) for weight, rate in weighted if rate is not None and weight > 0]


def _mean_given(item: Json, rows: list[ExportedRow]) -> Fraction | None:
    """Return the mean of the points given for one item of a score sheet."""
    about = (row for row in rows if row.item == str(item["no"]))
    given = [Fraction(str(row.points)) for row in about]
    return sum(given, ZERO) / len(given) if given else None


def _within(value: Fraction) -> Fraction:
    return max(ZERO, min(Fraction(100), value))


def _mean_points(counts: Mapping[int, int], points: Mapping[int, Fraction]) -> Value:
    counted = {option: count for option, count in counts.items() if option in points}
    base = sum(counted.values())
    if not base:
        return None, 0
    total = sum((points[option] * count for option, count in counted.items()), ZERO)
    return total / base, base


def _mean_of(weighted: list[WeightedValue]) -> Fraction | None:
    weight = sum((weight for weight, _ in weighted), ZERO)
    total = sum((weight * value for weight, value in weighted), ZERO)
    return total / weight if weighted else None


def _rate(on_time: Mapping[str, bool]) -> Fraction | None:
    return Fraction(100 * sum(on_time.values()), len(on_time)) if on_time else None


def _is_lapse(row: ExportedRow, deadline: str) -> bool:
    return bool(row.measure == "deadline_lapsed" and row.detail == deadline)


def _concerns(rule: Json, row: ExportedRow) -> bool:
    if row.measure != rule["event"]:
        return False
    if rule.get("kinds") and row.kind not in rule["kinds"]:
        return False
    return _detail(rule) in (None, row.detail)


def _detail(rule: Json) -> str | None:
    """Return the detail that the rule asks for, None for any."""
    details: dict[str, str | None] = {
        "deadline_lapsed": rule.get("deadline"),
        "finding": rule.get("severity"),
        "decision": rule["id"],
    }
    return details.get(rule["event"])
