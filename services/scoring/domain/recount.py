"""The second count: from the packed ballots and the bare ledger to every unit's score, by a program
of its own.

Context: a published number must not rest on one program's mistakes. Decision: this module knows the
rules only as the JSON that was published, the ballots only as their bytes, the ledger only as its
rows; it imports nothing of ours, above all not its siblings, and takes another way: one pass over
everything, sums in dictionaries, then each unit once. Where the two programs disagree, one is
wrong.
Alternatives: running the same code twice (finds lost events, not wrong arithmetic).
"""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from fractions import Fraction
from struct import iter_unpack
from typing import Any

Json = dict[str, Any]
Result = dict[str, Any]
"""total (text or None), ranked, sample, marks (component → text or None)."""
LATEST_ONLY = {"rated", "visit", "finding", "sheet", "decision", "revoked"}


class Recount:
    """Takes ballots and ledger rows in any order, then gives every unit's result."""

    def __init__(self, rules: str, unit_nos: Iterable[int]) -> None:
        self.rules: Json = json.loads(rules)
        self.unit_nos = sorted(unit_nos)
        self.ballots = 0
        self._answers: Counter[tuple[str, str, int, int, int]] = Counter()
        self._rows: list[Mapping[str, Any]] = []
        self._papers: dict[tuple[str, str], Counter[tuple[int, int, int]]] = defaultdict(Counter)

    def add_ballot(self, instrument: str, group: str, packed: bytes) -> None:
        """Count one ballot: four bytes an answer, unit (2, little endian), question, option."""
        self._papers[instrument, group].update(iter_unpack("<HBB", packed))
        self.ballots += 1

    def add_line(self, row: Mapping[str, Any]) -> None:
        """Take one ledger row, its columns by name; instants and ids as text or otherwise, as long
        as they sort and compare.
        """
        self._rows.append(row)

    @property
    def lines(self) -> int:
        return len(self._rows)

    def results(self) -> dict[int, Result]:
        """Unit → its result, recomputed."""
        answer_counts: dict[int, dict[tuple[str, str, int], Counter[int]]] = {
            no: defaultdict(Counter) for no in self.unit_nos
        }
        for (instrument, group), answers in self._papers.items():
            for (unit_no, item, option), number in answers.items():
                answer_counts[unit_no][instrument, group, item][option] += number
        facts = self._facts()
        return {
            no: _Unit(self.rules, answer_counts[no], facts[no]).result() for no in self.unit_nos
        }

    def _facts(self) -> dict[int, list[Json]]:
        """Unit → what the ledger says about it now: superseded versions gone, ratings brought to
        whoever closed the case.
        """
        newest: dict[str, int] = {}
        for row in self._rows:
            if row["measure"] in LATEST_ONLY:
                newest[str(row["subject_id"])] = max(
                    newest.get(str(row["subject_id"]), 0), row["version"]
                )
        standing = [
            dict(row)
            for row in self._rows
            if row["measure"] not in LATEST_ONLY or row["version"] == newest[str(row["subject_id"])]
        ]
        kinds = {
            str(row["subject_id"]): row["kind"]
            for row in standing
            if row["measure"] == "case_opened"
        }
        closed: dict[str, set[int]] = defaultdict(set)
        for row in standing:
            if row["measure"] == "case_closed" and row["unit_no"] is not None:
                closed[str(row["source_id"])].add(row["unit_no"])
        facts: dict[int, list[Json]] = defaultdict(list)
        for row in standing:
            owners = (
                closed[str(row["subject_id"])]
                if row["measure"] == "rated"
                else {row["unit_no"]} - {None}
            )
            for unit_no in owners:
                facts[unit_no].append({**row, "kind": kinds.get(str(row["subject_id"]))})
        return facts


class _Unit:
    """One unit's answer counts and facts, and the rules applied to them."""

    def __init__(
        self,
        rules: Json,
        answer_counts: Mapping[tuple[str, str, int], Counter[int]],
        facts: list[Json],
    ) -> None:
        self.rules, self.answer_counts = rules, answer_counts
        self.facts = sorted(
            facts, key=lambda row: (row["occurred_at"], str(row["event_id"]), row["part"])
        )
        self.digits: int = rules["ranking"].get("decimals", 2)
        self.points = {
            option["no"]: Fraction(option["points"])
            for option in rules["options"]
            if option.get("points") is not None
        }

    def result(self) -> Result:
        adjusted = self._adjusted()
        weighed: list[tuple[Fraction, Fraction]] = []
        marks: dict[str, str | None] = {}
        kept_out = False
        for component in self.rules["components"]:
            value, sample = getattr(self, "_" + component["formula"]["kind"])(component["formula"])
            mark, unranked = self._counted(component["formula"], value, sample)
            kept_out |= unranked
            if mark is not None:
                mark = self._round(_within(mark + adjusted.get(component["key"], 0)))
                weighed.append((Fraction(component["weight"]), mark))
            marks[component["key"]] = None if mark is None else self._text(mark)
        total = None
        if weighed:
            mean = _mean_of(weighed)
            total = self._text(self._round(_within(mean + adjusted.get("total", 0))))
        sample = self._sample()
        enough = sample >= self.rules["ranking"]["minimum_sample"]
        return {
            "total": total,
            "ranked": total is not None and enough and not kept_out and not self._disqualified(),
            "sample": sample,
            "marks": marks,
        }

    # the four formulas: (value 0–100 or None, size of the sample)

    def _satisfaction(self, formula: Json) -> tuple[Fraction | None, int]:
        above, below, sample = Fraction(0), Fraction(0), 0
        for questionnaire in (
            one for one in self.rules["instruments"] if one["key"] in formula["instruments"]
        ):
            for group in questionnaire["groups"]:
                up, down = Fraction(0), Fraction(0)
                for item in questionnaire["items"]:
                    cast = self.answer_counts.get(
                        (questionnaire["key"], group["key"], item["no"]), Counter()
                    )
                    mean, base = self._mean(cast)
                    sample += base if item["no"] == 1 else 0
                    if mean is not None:
                        up, down = (
                            up + Fraction(item.get("weight", "1")) * mean,
                            down + Fraction(item.get("weight", "1")),
                        )
                if down:
                    above, below = (
                        above + Fraction(group.get("weight", "1")) * up / down,
                        below + Fraction(group.get("weight", "1")),
                    )
        return (above / below if below else None), sample

    def _inspection(self, formula: Json) -> tuple[Fraction | None, int]:
        off = {
            str(row["subject_id"]): Fraction(0)
            for row in self.facts
            if row["measure"] == "visit" and row["detail"] == formula["instrument"]
        }
        amounts = {
            item["id"]: item["amount"]
            for one in self.rules["instruments"]
            if one["key"] == formula["instrument"]
            for item in one["items"]
        }
        for row in self.facts:
            if row["measure"] == "finding" and str(row["subject_id"]) in off:
                off[str(row["subject_id"])] += Fraction(amounts.get(row["item"], "0")) * Fraction(
                    formula["severities"][row["detail"]]
                )
        if not off:
            return None, 0
        if formula.get("spread", "sum") == "sum":
            return _within(100 - sum(off.values(), Fraction(0))), len(off)
        return sum((_within(100 - one) for one in off.values()), Fraction(0)) / len(off), len(off)

    def _handling(self, formula: Json) -> tuple[Fraction | None, int]:
        accepted, handled = (
            self._kept("case_accepted", "accept"),
            self._kept("case_closed", "handle"),
        )
        said = Counter(row["option_no"] for row in self.facts if row["measure"] == "rated")
        parts = [
            (formula["accepted_on_time"], _rate(accepted)),
            (formula["handled_on_time"], _rate(handled)),
            (formula["rated"], self._mean(said)[0]),
        ]
        there = [
            (Fraction(weight), value)
            for weight, value in parts
            if value is not None and Fraction(weight) > 0
        ]
        return (_mean_of(there) if there else None), len(accepted | handled)

    def _scoring(self, formula: Json) -> tuple[Fraction | None, int]:
        sheet = next(
            one for one in self.rules["instruments"] if one["key"] == formula["instrument"]
        )
        rows = [
            row
            for row in self.facts
            if row["measure"] == "sheet"
            and row["detail"] == sheet["key"]
            and row["points"] is not None
        ]
        above, below = Fraction(0), Fraction(0)
        for item in sheet["items"]:
            given = [Fraction(str(row["points"])) for row in rows if row["item"] == str(item["no"])]
            if given:
                above += Fraction(item.get("weight", "1")) * sum(given) / len(given)
                below += Fraction(item.get("weight", "1"))
        value = above / below * 100 / Fraction(sheet.get("maximum", "100")) if below else None
        return value, len({str(row["subject_id"]) for row in rows})

    # what they need

    def _mean(self, cast: Mapping[int, int]) -> tuple[Fraction | None, int]:
        base = sum(number for option, number in cast.items() if option in self.points)
        if not base:
            return None, 0
        return sum(
            (
                self.points[option] * number
                for option, number in cast.items()
                if option in self.points
            ),
            Fraction(0),
        ) / base, base

    def _kept(self, done: str, deadline: str) -> dict[str, bool]:
        late = {
            str(r["subject_id"])
            for r in self.facts
            if (r["measure"] == done and r["late"]) or _is_lapse(r, deadline)
        }
        cases = {str(r["subject_id"]) for r in self.facts if r["measure"] == done} | late
        return {case: case not in late for case in cases}

    def _counted(
        self, formula: Json, value: Fraction | None, sample: int
    ) -> tuple[Fraction | None, bool]:
        """(rounded mark or None, does it keep the unit out of the ranking)."""
        if value is not None and sample >= formula.get("minimum", 1):
            return self._round(value), False
        policy = formula.get("absent" if value is None else "below", "leave_out")
        return (Fraction(100) if policy == "full" else None), policy == "unranked"

    def _adjusted(self) -> dict[str, Fraction]:
        """Component key, or "total" → points on less points off."""
        moved: dict[str, Fraction] = defaultdict(Fraction)
        for sign, name in ((-1, "deductions"), (1, "bonuses")):
            for rule in self.rules.get(name, ()):
                hits = max(
                    0, sum(_concerns(rule, row) for row in self.facts) - rule.get("after", 0)
                )
                points = hits * Fraction(rule["amount"])
                cap = rule.get("cap")
                moved[rule.get("of", "total")] += sign * (
                    points if cap is None else min(points, Fraction(cap))
                )
        return moved

    def _sample(self) -> int:
        return sum(
            cast[option]
            for (_, _, item), cast in self.answer_counts.items()
            if item == 1
            for option in self.points
        )

    def _disqualified(self) -> bool:
        vetoes = {
            one["id"] for one in self.rules.get("vetoes", ()) if one["effect"] == "disqualified"
        }
        return any(row["measure"] == "decision" and row["detail"] in vetoes for row in self.facts)

    def _round(self, value: Fraction) -> Fraction:
        """Half even."""
        unit = 10**self.digits
        whole, rest = divmod(value * unit, 1)
        up = rest > Fraction(1, 2) or (rest == Fraction(1, 2) and whole % 2 == 1)
        return Fraction(int(whole) + up, unit)

    def _text(self, value: Fraction) -> str:
        unit = 10**self.digits
        whole, rest = divmod(int(value * unit), unit)
        return f"{whole}.{rest:0{self.digits}d}" if self.digits else str(whole)


def _within(value: Fraction) -> Fraction:
    return max(Fraction(0), min(Fraction(100), value))


def _mean_of(weighed: list[tuple[Fraction, Fraction]]) -> Fraction:
    above = sum((weight * value for weight, value in weighed), Fraction(0))
    return above / sum((weight for weight, _ in weighed), Fraction(0))


def _rate(kept: Mapping[str, bool]) -> Fraction | None:
    return Fraction(100 * sum(kept.values()), len(kept)) if kept else None


def _is_lapse(row: Json, deadline: str) -> bool:
    return bool(row["measure"] == "deadline_lapsed" and row["detail"] == deadline)


def _concerns(rule: Json, row: Json) -> bool:
    if row["measure"] != rule["event"] or (rule.get("kinds") and row["kind"] not in rule["kinds"]):
        return False
    narrowed = {
        "deadline_lapsed": rule.get("deadline"),
        "finding": rule.get("severity"),
        "decision": rule["id"],
    }
    return narrowed.get(rule["event"]) in (None, row["detail"])


def digest(results: Mapping[int, Result]) -> str:
    """SHA-256 of the results in their one canonical form: unit by unit, keys sorted, no spaces."""
    lines = (
        json.dumps([no, results[no]], ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        for no in sorted(results)
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
