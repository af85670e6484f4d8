"""Event contracts: JSON Schema of each event, one AsyncAPI 3 document, and a compatibility check.

Compatible changes are a new event, a new optional field, a new description. Everything else needs a
new event version (`….v2`), because consumers of an older release run while a newer one publishes.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from shared.appraisal.events import EVENTS, OWNERS, TOPICS, schemas

Schema = Mapping[str, Any]


def asyncapi() -> dict[str, Any]:
    """One AsyncAPI 3.0 document: a channel for each topic, a message for each event."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Fengping 风评 events",
            "version": "1",
            "description": (
                "CloudEvents 1.0 in Kafka binary mode; the record's key is the aggregate id, "
                "ce_sequence its version."
            ),
        },
        "defaultContentType": "application/json",
        "channels": {topic: _channel(topic) for topic in TOPICS},
        "operations": {
            f"publish-{topic}": {
                "action": "send",
                "channel": {"$ref": f"#/channels/{topic}"},
                "title": f"published by {OWNERS.get(topic, 'all services')}",
            }
            for topic in TOPICS
        },
        "components": {
            "messages": {name: _message(name, schema) for name, schema in schemas().items()}
        },
    }


def _channel(topic: str) -> dict[str, Any]:
    names = sorted(name for name, event in EVENTS.items() if event.topic == topic)
    return {
        "address": topic,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
    }


def _message(name: str, schema: Any) -> dict[str, Any]:
    event = EVENTS[name]
    # Two events may define a struct of the same name: definitions stay in their own message.
    definitions = f"#/components/messages/{name}/payload/$defs/"
    payload = json.loads(json.dumps(schema).replace("#/$defs/", definitions))
    return {
        "name": name,
        "title": event.__name__,
        "summary": str(event.__doc__).strip().splitlines()[0],
        "payload": payload,
    }


def write(folder: Path) -> list[Path]:
    """Write every schema and the AsyncAPI document; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    documents = {f"{name}.json": schema for name, schema in schemas().items()} | {
        "asyncapi.json": asyncapi()
    }
    for name, document in documents.items():
        (folder / name).write_text(
            json.dumps(document, ensure_ascii=False, indent=1, sort_keys=True) + "\n",
            encoding="utf-8",
        )
    return sorted(folder / name for name in documents)


def breaks(old: Schema, new: Schema) -> list[str]:
    """Return why `new` would break a consumer or publisher of `old`; empty if compatible."""
    old_defs = old.get("$defs", {})
    new_defs = new.get("$defs", {})
    return list(
        _breaks(_resolve(old, old_defs), _resolve(new, new_defs), old_defs, new_defs, "body")
    )


def _resolve(schema: Schema, definitions: Schema) -> Schema:
    reference = schema.get("$ref")
    return definitions[reference.rsplit("/", 1)[-1]] if reference else schema


def _breaks(
    old: Schema, new: Schema, old_defs: Schema, new_defs: Schema, place: str
) -> Iterator[str]:
    old = _resolve(old, old_defs)
    new = _resolve(new, new_defs)
    if len(old.get("anyOf", ())) != len(new.get("anyOf", ())):
        yield f"{place}: the alternatives changed"
    for keyword in ("type", "format", "contentEncoding", "minItems", "maxItems"):
        if old.get(keyword) != new.get(keyword):
            yield f"{place}: {keyword} was {old.get(keyword)!r}, is {new.get(keyword)!r}"
    if set(old.get("enum", ())) != set(new.get("enum", ())):
        yield f"{place}: the allowed values changed"
    yield from _broken_fields(old, new, old_defs, new_defs, place)
    for old_inner, new_inner in zip(_inner(old), _inner(new), strict=False):
        yield from _breaks(old_inner, new_inner, old_defs, new_defs, f"{place}[]")


def _inner(schema: Schema) -> list[Schema]:
    found = [*schema.get("anyOf", ()), *schema.get("prefixItems", ())]
    return found + [
        schema[name]
        for name in ("items", "additionalProperties")
        if isinstance(schema.get(name), Mapping)
    ]


def _broken_fields(
    old: Schema, new: Schema, old_defs: Schema, new_defs: Schema, place: str
) -> Iterator[str]:
    before = old.get("properties", {})
    after = new.get("properties", {})
    was_required = set(old.get("required", ()))
    is_required = set(new.get("required", ()))
    for name in before.keys() - after.keys():
        yield f"{place}.{name} was removed"
    for name in is_required - was_required:
        yield f"{place}.{name} is now required"
    for name in was_required - is_required:
        yield f"{place}.{name} is no longer required"
    for name in before.keys() & after.keys():
        yield from _breaks(before[name], after[name], old_defs, new_defs, f"{place}.{name}")
