"""What each input means for scores: the ledger lines that it must have led to.

Written from docs/export-format.md, apart from scoring's own code.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
COLUMNS = (
    "event_id",
    "part",
    "measure",
    "subject_id",
    "version",
    "occurred_at",
    "unit_no",
    "detail",
    "item",
    "late",
    "option_no",
    "points",
    "kind",
    "source_id",
    "number",
    "text",
)
"""The columns of a ledger line, as scoring exports them too."""
Line = tuple[Any, ...]


@dataclass(frozen=True)
class Register:
    """The rules and the units of a campaign, as scoring last published them."""

    rules: Json
    version: str
    units: Mapping[str, int]
    entries: tuple[Json, ...]
    labels: Mapping[str, set[str]]
    """Obligation → its labels in all published versions of the rules."""

    @classmethod
    def of(cls, bodies: Sequence[Json]) -> "Register":
        """Return the register in the bodies of `campaign.published.v1`, the last of which holds."""
        newest = bodies[-1]
        entries = tuple(newest["units"])
        units = {entry["unit_id"]: entry["unit_no"] for entry in entries}
        labels: dict[str, set[str]] = {}
        for body in bodies:
            for rule in json.loads(body["scheme"]).get("obligations", ()):
                labels.setdefault(rule["id"], set()).add(rule["label"])
        return cls(json.loads(newest["scheme"]), newest["scheme_version"], units, entries, labels)


@dataclass(frozen=True)
class SealedInput:
    """A sealed input: the content that its leaf covers."""

    event_id: str
    part: int
    type: str
    key: str
    version: int
    at: str
    body: Json

    @classmethod
    def of(cls, content: bytes) -> "SealedInput":
        """Return the input with this content."""
        read = json.loads(content)
        event_id, _, part = read["id"].partition("/")
        return cls(
            event_id,
            int(part),
            read["type"],
            read["key"],
            read["version"],
            read["at"],
            read["body"],
        )


def digest_of(salt: str, text: str) -> str:
    """Return what stands for a text."""
    return hashlib.sha256(f"{salt}\n{text}".encode()).hexdigest()


def lines_of(given: SealedInput, register: Register) -> Iterator[Line]:
    """Yield the ledger lines of an input, as rows of COLUMNS. Yields none for other inputs."""
    build = BUILDERS.get(given.type)
    for part, values in enumerate(build(given, register) if build else ()):
        yield _line(given, part or given.part, values)


def _line(given: SealedInput, part: int, values: Json) -> Line:
    known = {
        "event_id": given.event_id,
        "part": part,
        "version": given.version,
        "occurred_at": given.at,
        "detail": "",
        "item": "",
        "number": "",
    }
    text = _text(given, values.pop("text", ""))
    row = {**known, **values, "text": text}
    return tuple(row.get(column) for column in COLUMNS)


def _text(given: SealedInput, text: Any) -> str | None:
    """Return the digest of a text; None if the text is not known."""
    if isinstance(text, dict):
        return str(text["sha256"])
    return None if text is None else digest_of(given.event_id, text)


def _case(measure: str, **fields: str) -> Callable[[SealedInput, Register], Iterator[Json]]:
    """Return the builder of a case's event; `fields`: column → field of the body."""

    def build(given: SealedInput, register: Register) -> Iterator[Json]:
        unit_field = fields.get("unit_no", "unit_id")
        others = {column: name for column, name in fields.items() if column != "unit_no"}
        yield {
            "measure": measure,
            "subject_id": given.body["case_id"],
            "unit_no": register.units.get(given.body[unit_field]),
            "number": given.body["number"],
            **{column: given.body[name] for column, name in others.items()},
        }

    return build


def _obligation(given: SealedInput, register: Register) -> Iterator[Json]:
    rule_id = given.body["obligation_rule_id"]
    labels = set(register.labels.get(rule_id, {rule_id}))
    yield {
        "measure": "obligation_lapsed",
        "subject_id": given.body["obligation_id"],
        "unit_no": register.units.get(given.body["unit_id"]),
        "detail": rule_id,
        "text": labels.pop() if len(labels) == 1 else None,
    }


def _rating(given: SealedInput, _: Register) -> Iterator[Json]:
    subject = given.body["complaint_id"]
    yield {"measure": "rated", "subject_id": subject, "option_no": given.body["option"]}


def _visit(given: SealedInput, register: Register) -> Iterator[Json]:
    body = given.body
    common = {
        "subject_id": body["visit_id"],
        "number": body["number"],
        "unit_no": register.units.get(body["unit_id"]),
    }
    findings = sorted(body["findings"], key=lambda finding: str(finding["finding_id"]))
    used = {*body["passed"], *(finding["item_id"] for finding in findings)}
    labels = _item_labels(register)
    yield {**common, "measure": "visit", "detail": _checklist(register, used), "text": body["mode"]}
    for finding in findings:
        yield {
            **common,
            "measure": "finding",
            "detail": finding["severity"],
            "item": finding["item_id"],
            "text": labels[finding["item_id"]],
        }


def _item_labels(register: Register) -> dict[str, str]:
    """Return the labels of the items of all checklists."""
    checklists = [each for each in register.rules["instruments"] if each["kind"] == "checklist"]
    return {item["id"]: item["label"] for each in checklists for item in each["items"]}


def _checklist(register: Register, used: set[str]) -> str:
    """Return the key of the first checklist that has all these items."""
    for instrument in register.rules["instruments"]:
        items = {item.get("id") for item in instrument.get("items", ())}
        if instrument.get("kind") == "checklist" and used <= items:
            return str(instrument["key"])
    return ""


def _manual(given: SealedInput, _: Register) -> Iterator[Json]:
    columns = ("unit_no", "detail", "item", "points", "number", "text")
    values = {column: given.body[column] for column in columns}
    yield {"measure": given.type.removeprefix("ledger."), "subject_id": given.key, **values}


BUILDERS: dict[str, Callable[[SealedInput, Register], Iterator[Json]]] = {
    "case.opened.v1": _case("case_opened", kind="kind", source_id="source_id"),
    "case.assigned.v1": _case("case_assigned"),
    "case.accepted.v1": _case("case_accepted", late="late"),
    "case.paused.v1": _case("case_paused", detail="reason"),
    "case.returned.v1": _case("case_returned", unit_no="from_unit_id", detail="reason"),
    "case.sent_back.v1": _case("case_sent_back"),
    "case.closed.v1": _case("case_closed", late="late", source_id="source_id", detail="finding"),
    "case.deadline_lapsed.v1": _case("deadline_lapsed", detail="deadline"),
    "obligation.lapsed.v1": _obligation,
    "complaint.rated.v1": _rating,
    "visit.handed_over.v1": _visit,
    "ledger.decision": _manual,
    "ledger.revoked": _manual,
    "ledger.sheet": _manual,
}
