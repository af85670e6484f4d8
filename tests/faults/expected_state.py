"""What the outside knows: derived from the ledgers of the loads and from nothing inside the system."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from services.simulate import texts
from services.simulate.client import id_of
from services.simulate.ledger import read_ledger
from services.simulate.load import Load
from services.simulate.requests import TargetCampaign, ballot_answers
from shared.foundation.clock import CHINA

Answer = tuple[str, str, int, int, int]
"""(instrument, group, unit_no, item_no, option_no)."""
ComplaintSubject = tuple[str | None, str, str | None, str]
"""(unit, kind, problem, identity) of a complaint."""


@dataclass(slots=True)
class ExpectedState:
    """Writes that the system acknowledged, and those of which nobody knows."""

    complaints: dict[UUID, str] = field(default_factory=dict)
    """Acknowledged: id → number."""
    ballots: dict[UUID, list[Answer]] = field(default_factory=dict)
    """Sent: id → answers."""
    ballots_acknowledged: set[UUID] = field(default_factory=set)
    visits: set[UUID] = field(default_factory=set)
    visits_sent: set[UUID] = field(default_factory=set)
    complaints_unknown: Counter[ComplaintSubject] = field(default_factory=Counter)
    """Complaints whose outcome is unknown, by what they are about: their ids would be the system's
    own.
    """
    unknown: Counter[str] = field(default_factory=Counter)
    """Kind → operations whose outcome is unknown."""
    refused: list[dict[str, Any]] = field(default_factory=list)
    canaries: set[bytes] = field(default_factory=set)
    """Telephone numbers and identity cards that complainants gave: they may stand nowhere in clear."""

    @property
    def acknowledged(self) -> int:
        return len(self.complaints) + len(self.ballots_acknowledged) + len(self.visits)


def expected_state_of(loads: Iterable[Load], campaign: TargetCampaign) -> ExpectedState:
    """Return what the answers to these loads imply."""
    expected = ExpectedState()
    for load in loads:
        _add(expected, load, campaign, read_ledger(load.ledger))
    return expected


def _add(
    expected: ExpectedState, load: Load, campaign: TargetCampaign, lines: Sequence[dict[str, Any]]
) -> None:
    answered = {
        line["id"]: line for line in lines if line.get("id") is not None and line["state"] != "sent"
    }
    sent = {line["id"] for line in lines if line["state"] == "sent"}
    codes = _codes(load, campaign, lines)
    day = next(
        (
            datetime.fromisoformat(line["begun"]).astimezone(CHINA).date()
            for line in lines
            if line["state"] == "begun"
        ),
        None,
    )
    for operation in load.plan():
        if operation.number not in sent or day is None:
            continue
        line = answered.get(operation.number, {"state": "unknown"})
        if line["state"] == "refused":
            expected.refused.append(line)
        if line["state"] == "unknown":
            expected.unknown[operation.kind] += 1
        ok = line["state"] == "acknowledged"
        if operation.kind == "complaint":
            made = texts.complaint(operation.rng, operation.rng.choice(campaign.units), day)
            expected.canaries |= {made.phone.encode()} if made.phone else set()
            if ok:
                expected.complaints[UUID(line["answer"]["id"])] = line["answer"]["number"]
            elif line["state"] == "unknown":
                expected.complaints_unknown[
                    made.unit_id, made.kind.value, made.problem_item, made.identity
                ] += 1
        elif operation.kind == "ballot":
            instrument, group, code = codes[operation.number]
            ballot = ballot_id(code)
            form = campaign.scheme.instrument(instrument)
            units = operation.rng.sample(campaign.units, min(5, len(campaign.units)))
            answers = ballot_answers(operation.rng, campaign.scheme, form, units, {})
            expected.ballots[ballot] = [(instrument, group, *answer) for answer in answers]
            expected.ballots_acknowledged |= {ballot} if ok else set()
        else:
            visit = id_of(operation.key)
            expected.visits_sent.add(visit)
            expected.visits |= {visit} if ok else set()


def _codes(
    load: Load, campaign: TargetCampaign, lines: Sequence[dict[str, Any]]
) -> dict[int, tuple[str, str, str]]:
    """Operation → (instrument, group, code): dealt in turn to the forms, as the load does."""
    forms = [
        (form.key, group.key) for form in campaign.scheme.questionnaires for group in form.groups
    ]
    issued = {
        (line["instrument"], line["group"]): list(line["codes"])
        for line in lines
        if line["state"] == "codes"
    }
    dealt: dict[int, tuple[str, str, str]] = {}
    ballots = [operation.number for operation in load.plan() if operation.kind == "ballot"]
    for place, number in enumerate(ballots):
        form = forms[place % len(forms)]
        if issued.get(form):
            dealt[number] = (*form, issued[form].pop(0))
    return dealt


def ballot_id(code: str) -> UUID:
    """The only ballot that a code can have, worked out apart from intake's own rule."""
    bare = code.replace("-", "").lower()
    number = int.from_bytes(
        hashlib.sha256(f"fengping/ballot/{bare}/".encode()).digest()[:16], "big"
    )
    return UUID(int=number & ~(0xF << 76) & ~(0x3 << 62) | 0x8 << 76 | 0x2 << 62)


def count_answers(ballots: Iterable[Sequence[Answer]]) -> Counter[Answer]:
    """The direct recount."""
    return Counter(answer for ballot in ballots for answer in ballot)


def copy_ledger(path: Path, to: Path, *, forget: Iterable[int]) -> None:
    """A ledger in which some acknowledgements are missing, as if the answers had been lost on the
    way: the load sends those again.
    """
    lost = set(forget)
    lines = [
        line
        for line in read_ledger(path)
        if line["state"] != "acknowledged" or line["id"] not in lost
    ]
    to.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
