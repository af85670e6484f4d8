"""The checks of an archive, in their order. Each yields what it finds."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from struct import iter_unpack, pack
from typing import Any

from shared.verifier.archive import SERVICES, Archive
from shared.verifier.facts import Register, SealedInput, lines_of
from shared.verifier.findings import Difference, Finding, Findings, Remark
from shared.verifier.merkle import leaf_hash
from shared.verifier.recount import ExportedRow, UnitRecount, UnitResult, digest
from shared.verifier.seals import Seals, check_checkpoint, read_seals
from shared.verifier.staging import BallotRow, Staging

Json = dict[str, Any]
UNSEALED = 0
AnswerKey = tuple[str, str, int, int, int]
"""(instrument, group, unit, item, option)."""
STATUS_SENTENCES = {
    "missing": "was deleted after it was sealed",
    "changed": "was changed after it was sealed",
    "foreign": "claims to be sealed and is not in the seal",
}


@dataclass
class Examination:
    """An archive under examination, and what earlier checks read from it."""

    archive: Archive
    staging: Staging
    published: dict[int, Json] = field(default_factory=dict)
    """Bodies of `campaign.published.v1` by version."""
    answers: Counter[AnswerKey] = field(default_factory=Counter)
    voids: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Integrity event → who proposed and who decided that its ballots are void."""
    decisions: dict[str, tuple[str, tuple[str, str]]] = field(default_factory=dict)
    """Integrity event → verdict, and who proposed and who decided it."""
    unsealed: Counter[str] = field(default_factory=Counter)
    results: dict[int, UnitResult] = field(default_factory=dict)

    @cached_property
    def stored_campaign(self) -> Json:
        """Rules and units as scoring stores them, and the units that wait to be scored."""
        stored: Json = json.loads(self.archive.read("scoring", "campaign.json"))
        return stored

    @cached_property
    def register(self) -> Register:
        """The rules and units that were published; without a publication, those of scoring.

        The publications come before every other input that needs them.
        """
        versions = sorted(self.published)
        return Register.of(
            [self.published[version] for version in versions] or [self.stored_campaign]
        )


# ── files and seals ───────────────────────────────────────────────────────────────────────────────


def check_files(examined: Examination) -> Findings:
    """Every file is the one that its service exported and signed."""
    for service in SERVICES:
        for name in examined.archive.changed_files(service):
            yield Difference("files", f"{service}/{name}", "is not the file that was exported")
        if not examined.archive.is_signed(service, examined.archive.keys(service)):
            yield Difference("files", f"{service}/manifest.json", "is not signed by its service")


def check_inputs(examined: Examination) -> Findings:
    """Every input is the one that was sealed, and no sealed one is missing."""
    for service in SERVICES:
        seals = Seals(service)
        yield from read_seals(examined.archive, service, seals)
        yield from check_checkpoint(examined.archive, service)
        yield from _check_service_inputs(examined, seals)
        if service == "scoring":
            yield from _check_register(examined)
    for stream, count in sorted(examined.unsealed.items()):
        yield Remark(f"{count} inputs of {stream} are not sealed yet")


def _check_service_inputs(examined: Examination, seals: Seals) -> Findings:
    seen: set[tuple[str, int]] = set()
    lines = (line.split(b"\t", 5) for line in examined.archive.lines(seals.service, "inputs.tsv"))
    for (stream, number), fields in groupby(lines, key=lambda each: (each[0], int(each[1]))):
        key = (stream.decode(), number)
        leaves = yield from _check_lines(examined, seals.service, key, fields)
        seen.add(key)
        if number > UNSEALED:
            yield from _check_seal(seals, key, leaves)
    yield from seals.without_leaves(seen)


def _check_seal(seals: Seals, key: tuple[str, int], leaves: list[bytes]) -> Findings:
    if key[1] == seals.last + 1:
        yield Remark(f"seal {key[1]} of {seals.service}/{key[0]} is not signed yet")
    else:
        yield from seals.check_leaves(key, leaves)


def _check_lines(
    examined: Examination,
    service: str,
    key: tuple[str, int],
    lines: Iterator[list[bytes]],
) -> Generator[Finding, None, list[bytes]]:
    """Check each input of a seal and stage it; return the leaves of the seal."""
    leaves: list[bytes] = []
    for _, _, hexadecimal, item, status, content in lines:
        leaf = bytes.fromhex(hexadecimal.decode())
        yield from _check_line(
            examined, f"{service}/{key[0]}", leaf, item.decode(), status, content
        )
        if status != b"foreign":
            leaves.append(leaf)
    return leaves


def _check_line(
    examined: Examination,
    stream: str,
    leaf: bytes,
    item: str,
    status: bytes,
    content: bytes,
) -> Findings:
    subject = f"{stream} leaf {leaf.hex()[:16]} ({item})"
    sentence = STATUS_SENTENCES.get(status.decode())
    if sentence:
        yield Difference("inputs", subject, sentence)
    if status not in (b"shown", b"unsealed"):
        return
    if leaf_hash(content) != leaf or SealedInput.of(content).event_id != item.partition("/")[0]:
        yield Difference("inputs", subject, "has another content than its leaf")
        return
    if status == b"unsealed":
        examined.unsealed[stream] += 1
    _stage(examined, SealedInput.of(content), sealed=status == b"shown")


def _stage(examined: Examination, given: SealedInput, *, sealed: bool) -> None:
    if given.type == "campaign.published.v1":
        examined.published[given.version] = given.body
    elif given.type == "ballots.released.v1":
        examined.staging.add_ballots("sealed", _ballots_of(given, sealed=sealed))
        examined.answers.update(_answer_keys(given.body))
    elif given.type == "ballots.voided.v1":
        examined.voids[given.body["integrity_event_id"]] = _people(given.body)
        examined.staging.add_voided("sealed", _voided_of(given, sealed=sealed))
    elif given.type == "ballots.hold_ended.v1":
        decision = (given.body["verdict"], _people(given.body))
        examined.decisions[given.body["integrity_event_id"]] = decision
    else:
        examined.staging.add_lines("facts", lines_of(given, examined.register), sealed=sealed)


def _people(body: Json) -> tuple[str, str]:
    return body["proposed_by"], body["decided_by"]


def _voided_of(given: SealedInput, *, sealed: bool) -> Iterator[BallotRow]:
    for id in given.body["ballot_ids"]:
        yield id, _facts([given.body["integrity_event_id"]]), sealed


def _ballots_of(given: SealedInput, *, sealed: bool) -> Iterator[BallotRow]:
    group = [given.body["instrument"], given.body["group"]]
    for ballot in given.body["ballots"]:
        packed = b"".join(pack("<HBB", *answer) for answer in ballot["answers"])
        yield ballot["ballot_id"], _facts([*group, given.at, packed.hex()]), sealed


def _answer_keys(body: Json) -> Iterator[AnswerKey]:
    for ballot in body["ballots"]:
        for unit, item, option in ballot["answers"]:
            yield body["instrument"], body["group"], unit, item, option


def _facts(values: list[Any]) -> str:
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"))


# ── rules and units ───────────────────────────────────────────────────────────────────────────────


def _check_register(examined: Examination) -> Findings:
    """Rules and units are those that scoring last published under seal."""
    stored = examined.stored_campaign
    if not examined.published:
        yield Difference("rules", examined.archive.campaign, "was never published under seal")
        return
    newest = examined.published[max(examined.published)]
    if stored["scheme"] != newest["scheme"]:
        yield Difference("rules", stored["scheme_version"], "are not the rules that were published")
    yield from _check_units(examined.register, stored["units"])


def _check_units(register: Register, stored: list[Json]) -> Findings:
    published = {entry["unit_id"]: entry for entry in register.entries}
    enrolled = {entry["unit_id"]: entry for entry in stored}
    for unit_id in sorted(published.keys() | enrolled.keys()):
        ours = published.get(unit_id, {})
        theirs = enrolled.get(unit_id, {})
        for name in ("unit_no", "category"):
            if ours.get(name) != theirs.get(name):
                yield Difference("units", unit_id, f"has another {name} than was published")


# ── ballots, ledger, tallies ──────────────────────────────────────────────────────────────────────


def check_ballots(examined: Examination) -> Findings:
    """Intake and scoring have exactly the ballots that were sealed."""
    for source in ("intake", "scoring"):
        lines = examined.archive.lines(source, "ballots.jsonl")
        twice = examined.staging.add_ballots(source, map(_stored_ballot, lines))
        if twice:
            yield Difference("ballots", source, f"has {twice} ballots twice")
    yield from _compare(examined, "ballots_sealed", "ballots_intake", "ballots", "intake")
    yield from _compare(examined, "ballots_sealed", "ballots_scoring", "ballots", "scoring")


def _stored_ballot(line: bytes) -> BallotRow:
    id, *others = json.loads(line)
    return id, _facts(others), 1


def check_voided(examined: Examination) -> Findings:
    """Every void ballot was released, and two people decided that it is void."""
    for source in ("intake", "scoring"):
        lines = examined.archive.lines(source, "voided.jsonl")
        examined.staging.add_voided(source, map(_stored_ballot, lines))
        yield from _compare(examined, "voided_sealed", f"voided_{source}", "voided", source)
    for id, _ in examined.staging.missing("voided_sealed", "ballots_sealed"):
        yield Difference("voided", id, "is void and was never released")
    for event_id, people in sorted(examined.voids.items()):
        if people[0] == people[1]:
            yield Difference("voided", event_id, "was decided by one person")
        if examined.decisions.get(event_id) != ("void", people):
            yield Difference("voided", event_id, "has no decision that its ballots are void")


def check_ledger(examined: Examination) -> Findings:
    """The ledger has exactly the lines that the sealed inputs lead to."""
    lines = (tuple(json.loads(line)) for line in examined.archive.lines("scoring", "ledger.jsonl"))
    examined.staging.add_lines("ledger", lines)
    yield from _compare(examined, "facts", "ledger", "ledger", "scoring")


def _compare(
    examined: Examination,
    sealed: str,
    stored: str,
    check: str,
    where: str,
) -> Findings:
    waiting = 0
    for id, is_sealed in examined.staging.missing(sealed, stored):
        # What is not sealed yet may be on its way to scoring.
        if is_sealed or where == "intake":
            yield Difference(check, id, f"is missing in {where}")
        else:
            waiting += 1
    if waiting:
        yield Remark(f"{waiting} {check} have not reached {where} yet")
    for id, _ in examined.staging.missing(stored, sealed):
        yield Difference(check, id, f"of {where} was never received")
    for id, columns in examined.staging.different(sealed, stored):
        what = "" if columns == ["facts"] else f" ({', '.join(columns)})"
        yield Difference(check, id, f"is another in {where} than was received{what}")


def check_tallies(examined: Examination) -> Findings:
    """The tallies are the sums of scoring's ballots that are not void."""
    counted: Counter[AnswerKey] = Counter()
    for instrument, group, _, packed in examined.staging.scoring_ballots():
        answers = iter_unpack("<HBB", bytes.fromhex(packed))
        counted.update((instrument, group, *answer) for answer in answers)
    for line in examined.archive.lines("scoring", "tallies.jsonl"):
        *key, count = json.loads(line)
        counted[tuple(key)] -= count
    for key in sorted(key for key, count in counted.items() if count):
        yield Difference("tallies", "/".join(map(str, key)), f"differs by {-counted[key]}")


# ── scores ────────────────────────────────────────────────────────────────────────────────────────


def check_scores(examined: Examination) -> Findings:
    """Every score is what the sealed inputs give under the published rules."""
    waiting = set(examined.stored_campaign["waiting"])
    scores = dict(map(_stored_score, examined.archive.lines("scoring", "scores.jsonl")))
    for instrument, group, _, packed in examined.staging.void_ballots():
        answers_of_ballot = iter_unpack("<HBB", bytes.fromhex(packed))
        examined.answers.subtract((instrument, group, *answer) for answer in answers_of_ballot)
    answers = _answers_by_unit(examined.answers)
    for unit_no in sorted(examined.register.units.values()):
        rows = [ExportedRow.of(row) for row in examined.staging.rows_of_unit(unit_no)]
        result = UnitRecount(examined.register.rules, answers.get(unit_no, {}), rows).result()
        examined.results[unit_no] = result
        if unit_no not in waiting:
            yield from _check_score(unit_no, result, scores.get(unit_no))
    yield from _unknown_scores(scores, examined.register)
    if waiting:
        yield Remark(f"{len(waiting)} units wait to be scored again and were not compared")
    yield Remark(f"digest of all results as recounted: {digest(examined.results)}")


def _stored_score(line: bytes) -> tuple[int, Json]:
    read = json.loads(line)
    return read["unit_no"], read


def _answers_by_unit(answers: Counter[AnswerKey]) -> dict[int, dict[Any, Counter[int]]]:
    by_unit: dict[int, dict[Any, Counter[int]]] = {}
    for (instrument, group, unit, item, option), count in answers.items():
        of_unit = by_unit.setdefault(unit, defaultdict(Counter))
        of_unit[instrument, group, item][option] += count
    return by_unit


def _check_score(unit_no: int, recounted: UnitResult, stored: Json | None) -> Findings:
    subject = f"unit {unit_no}"
    running = (stored or {}).get("score")
    if not running or not stored:
        if recounted["total"] is not None:
            yield Difference("scores", subject, f"has no score instead of {recounted['total']}")
        return
    for name, value in recounted.items():
        if running[name] != value:
            yield Difference("scores", subject, f"has {name} {running[name]} instead of {value}")
    for name, value in stored["listed"].items():
        if value != recounted[name]:  # type: ignore[literal-required]
            yield Difference("scores", subject, f"is listed with {name} {value}")


def _unknown_scores(scores: Mapping[int, Json], register: Register) -> Findings:
    for unit_no in sorted(scores.keys() - set(register.units.values())):
        yield Difference("scores", f"unit {unit_no}", "has a score and is not in the register")


CHECKS: tuple[tuple[str, Callable[[Examination], Findings]], ...] = (
    ("files", check_files),
    ("inputs and seals", check_inputs),
    ("ballots", check_ballots),
    ("void ballots", check_voided),
    ("ledger", check_ledger),
    ("tallies", check_tallies),
    ("scores", check_scores),
)
"""Name and function of every check."""
