"""Event contracts: JSON Schema of each event, one AsyncAPI 3 document, and a compatibility check.

Compatible changes are a new event, a new optional field, a new description. Everything else needs a
new event version (`….v2`), because consumers of an older release run while a newer one publishes.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.appraisal.events import EVENTS, OWNERS, TOPICS, schemas
from shared.messaging.event_mac import KEY_ID_HEADER, MAC_HEADER

Schema = Mapping[str, Any]

_INFO = {
    "title": "Fengping 风评 events",
    "version": "1",
    "description": (
        "CloudEvents 1.0 in Kafka binary mode; the record's key is the aggregate id, "
        "ce_sequence its version. ce_mac authenticates topic, key, body and all other headers."
    ),
}
_SECURITY_SCHEMES = {
    "kafka": {
        "type": "scramSha512",
        "description": "One user for each service; only the owner of a topic may write to it.",
    }
}
_HEADERS = {
    "type": "object",
    "required": [
        "ce_id",
        "ce_source",
        "ce_type",
        "ce_subject",
        "ce_sequence",
        "ce_time",
        "ce_recordedtime",
        KEY_ID_HEADER,
        MAC_HEADER,
    ],
    "properties": {
        "ce_id": {"type": "string", "format": "uuid"},
        "ce_source": {"type": "string", "description": "/fengping/ and the owner of the topic"},
        "ce_type": {"type": "string", "description": "the name of this message"},
        "ce_subject": {"type": "string", "description": "the aggregate id, as in the record's key"},
        "ce_sequence": {"type": "string", "description": "the version of the aggregate, from 1"},
        "ce_time": {"type": "string", "format": "date-time"},
        "ce_recordedtime": {"type": "string", "description": "Unix seconds of the outbox row"},
        "ce_traceparent": {"type": "string", "description": "W3C trace context"},
        KEY_ID_HEADER: {"type": "string", "description": "the key of the source that made ce_mac"},
        MAC_HEADER: {
            "type": "string",
            "contentEncoding": "base64",
            "description": "HMAC-SHA-256, see shared/messaging/event_mac.py",
        },
    },
}
_COMPARED_KEYWORDS = ("type", "format", "contentEncoding", "minItems", "maxItems")


def asyncapi() -> dict[str, Any]:
    """Return one AsyncAPI 3.0 document: a channel for each topic, a message for each event."""
    messages = {name: _message(name, schema) for name, schema in schemas().items()}
    return {
        "asyncapi": "3.0.0",
        "info": _INFO,
        "defaultContentType": "application/json",
        "channels": {topic: _channel(topic) for topic in TOPICS},
        "operations": {f"publish-{topic}": _operation(topic) for topic in TOPICS},
        "components": {"messages": messages, "securitySchemes": _SECURITY_SCHEMES},
    }


def _channel(topic: str) -> dict[str, Any]:
    names = sorted(name for name, event in EVENTS.items() if event.topic == topic)
    messages = {name: {"$ref": f"#/components/messages/{name}"} for name in names}
    return {"address": topic, "messages": messages}


def _operation(topic: str) -> dict[str, Any]:
    owner = OWNERS.get(topic, "all services")
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{topic}"},
        "title": f"published by {owner}",
        "security": [{"$ref": "#/components/securitySchemes/kafka"}],
    }


def _message(name: str, schema: Any) -> dict[str, Any]:
    event = EVENTS[name]
    summary = str(event.__doc__).strip().splitlines()[0]
    return {
        "name": name,
        "title": event.__name__,
        "summary": summary,
        "headers": _HEADERS,
        "payload": _payload(name, schema),
    }


def _payload(name: str, schema: Any) -> Any:
    # Two events may define a struct of the same name: definitions stay in their own message.
    definitions = f"#/components/messages/{name}/payload/$defs/"
    return json.loads(json.dumps(schema).replace("#/$defs/", definitions))


def write(folder: Path) -> list[Path]:
    """Write every schema and the AsyncAPI document; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    documents = {f"{name}.json": schema for name, schema in schemas().items()}
    documents["asyncapi.json"] = asyncapi()
    for name, document in documents.items():
        (folder / name).write_text(_as_text(document), encoding="utf-8")
    return sorted(folder / name for name in documents)


def _as_text(document: Any) -> str:
    return json.dumps(document, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def breaks(old: Schema, new: Schema) -> list[str]:
    """Return why `new` would break a consumer or publisher of `old`; empty if compatible."""
    return list(_breaks(_node(old, old), _node(new, new), "body"))


@dataclass(frozen=True, slots=True)
class _Node:
    """A part of a document, after its reference to a definition was followed."""

    schema: Schema
    document: Schema

    def list_of(self, keyword: str) -> tuple[Any, ...]:
        return tuple(self.schema.get(keyword, ()))

    @property
    def required(self) -> set[str]:
        return set(self.list_of("required"))

    @property
    def fields(self) -> dict[str, "_Node"]:
        properties = self.schema.get("properties", {})
        return {name: _node(schema, self.document) for name, schema in properties.items()}

    @property
    def inner(self) -> list["_Node"]:
        """Alternatives, positions of a tuple, items of a list, and values of an object."""
        values = [self.schema.get(name) for name in ("items", "additionalProperties")]
        schemas = [*self.list_of("anyOf"), *self.list_of("prefixItems"), *values]
        return [_node(each, self.document) for each in schemas if isinstance(each, Mapping)]


def _node(schema: Schema, document: Schema) -> _Node:
    reference = schema.get("$ref")
    if not reference:
        return _Node(schema, document)
    name = reference.rsplit("/", 1)[-1]
    return _Node(document["$defs"][name], document)


def _breaks(
    old: _Node,
    new: _Node,
    place: str,
) -> Iterator[str]:
    yield from _broken_constraints(old, new, place)
    yield from _broken_fields(old, new, place)
    for old_inner, new_inner in zip(old.inner, new.inner, strict=False):
        yield from _breaks(old_inner, new_inner, f"{place}[]")


def _broken_constraints(
    old: _Node,
    new: _Node,
    place: str,
) -> Iterator[str]:
    if len(old.list_of("anyOf")) != len(new.list_of("anyOf")):
        yield f"{place}: the alternatives changed"
    for keyword in _COMPARED_KEYWORDS:
        before = old.schema.get(keyword)
        after = new.schema.get(keyword)
        if before != after:
            yield f"{place}: {keyword} was {before!r}, is {after!r}"
    if set(old.list_of("enum")) != set(new.list_of("enum")):
        yield f"{place}: the allowed values changed"


def _broken_fields(
    old: _Node,
    new: _Node,
    place: str,
) -> Iterator[str]:
    before = old.fields
    after = new.fields
    for name in before.keys() - after.keys():
        yield f"{place}.{name} was removed"
    for name in new.required - old.required:
        yield f"{place}.{name} is now required"
    for name in old.required - new.required:
        yield f"{place}.{name} is no longer required"
    for name in before.keys() & after.keys():
        yield from _breaks(before[name], after[name], f"{place}.{name}")
