"""What is on the wire today stays readable: schemas on file, golden bodies of every event, and a
check that can say no.
"""

import copy
import json
from pathlib import Path

import pytest

from shared.appraisal.events import EVENTS, decode, encode, schemas
from shared.messaging.contracts import asyncapi, breaks

KEPT = Path(__file__).parent / "contracts"
GOLDEN = sorted((KEPT / "golden").glob("*.json"))


@pytest.mark.parametrize("name", sorted(EVENTS))
def test_event_is_compatible_with_its_contract(name):
    kept = json.loads((KEPT / f"{name}.json").read_text())

    assert breaks(kept, schemas()[name]) == []


@pytest.mark.parametrize("name", sorted(EVENTS))
def test_contract_on_file_is_complete(name):
    """A new optional field belongs on file too: `fengping contracts tests/shared/contracts` writes
    it.
    """
    assert json.loads((KEPT / f"{name}.json").read_text()) == json.loads(
        json.dumps(schemas()[name])
    )


@pytest.mark.parametrize("file", GOLDEN, ids=lambda file: file.stem)
def test_golden_body_of_every_version_is_decoded_and_encoded_unchanged(file):
    body = file.read_bytes().strip()

    event = decode(file.stem, body)

    assert encode(event) == body
    assert event.name == file.stem


def test_every_event_has_a_golden_body():
    assert {file.stem for file in GOLDEN} == set(EVENTS)


def test_unknown_field_is_ignored():
    body = json.loads((KEPT / "golden" / "case.opened.v1.json").read_text()) | {"colour": "blue"}

    assert decode("case.opened.v1", json.dumps(body).encode())


def edit(path, change):
    def apply(schema):
        target = schema
        for step in path:
            target = target[step]
        change(target)

    return apply


CASE = ["$defs", "CaseOpened"]
BREAKING = {
    "field removed": edit([*CASE, "properties"], lambda p: p.pop("number")),
    "field renamed": edit([*CASE, "properties"], lambda p: p.update(code=p.pop("number"))),
    "new required field": edit(
        CASE, lambda s: (s["properties"].update(x={"type": "string"}), s["required"].append("x"))
    ),
    "required became optional": edit(CASE, lambda s: s["required"].remove("number")),
    "type changed": edit([*CASE, "properties", "number"], lambda p: p.update(type="integer")),
    "format changed": edit([*CASE, "properties", "case_id"], lambda p: p.update(format="date")),
    "format dropped": edit([*CASE, "properties", "occurred_at"], lambda p: p.pop("format")),
    "enum value added": edit(
        ["$defs", "ComplaintKind", "enum"], lambda values: values.append("rumour")
    ),
    "enum value removed": edit(
        ["$defs", "ComplaintKind", "enum"], lambda values: values.remove("report")
    ),
    "nullable became not": edit(
        [*CASE, "properties"], lambda p: p.update(unit_id={"type": "string"})
    ),
    "inner field removed": edit(["$defs", "DeadlineSet", "properties"], lambda p: p.pop("due_at")),
    "inner type changed": edit(
        ["$defs", "DeadlineSet", "properties", "kind"], lambda p: p.update(type="integer")
    ),
    "list became object": edit(
        [*CASE, "properties", "deadlines"], lambda p: (p.clear(), p.update(type="object"))
    ),
}


@pytest.mark.parametrize("name", BREAKING)
def test_breaking_change_is_rejected(name):
    old = schemas()["case.opened.v1"]
    new = copy.deepcopy(old)

    BREAKING[name](new)

    assert breaks(old, new)


def test_new_optional_field_is_allowed():
    old = schemas()["case.opened.v1"]
    new = copy.deepcopy(old)
    edit([*CASE, "properties"], lambda p: p.update(colour={"type": "string", "default": None}))(new)

    assert breaks(old, new) == []


def test_asyncapi_document_names_every_event_once():
    document = asyncapi()

    assert set(document["components"]["messages"]) == set(EVENTS)
    assert sum(len(channel["messages"]) for channel in document["channels"].values()) == len(EVENTS)
