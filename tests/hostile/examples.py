"""Values for routes: a plausible one for every field, and hostile ones to put in its place."""

import inspect
import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from pydantic import BaseModel
from pydantic.errors import PydanticInvalidForJsonSchema

from shared.web.forms import Input
from shared.web.routing import PolicyRoute

TEXT = "上午到三号窗口办理变更登记，工作人员一直在玩手机，问了三次都说等一会儿。"
KNOWN = {"campaign_id": "j-2026", "unit_id": "tcm", "number": "ZT2026-000001", "unit": "tcm"}
UUID_EXAMPLE = "01900000-0000-7000-8000-000000000001"
PATTERNS = {r"^[0-9a-f]{64}$": "0" * 64}

CONTROL_CHARACTERS = ("\0", "a\0b", "\x1b[31m", "\x7f", "甲\x08乙", "\x85")
NUMBERS = (-1, 2**31, -(2**31) - 1, 2**63, 10**30, 1e308)
DATES = ("0001-01-01", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2026-11-22T09:30:00")
TEXTS = ("", "甲" * 900, "'; drop table cases; --%\\", str(2**31), str(10**30), "-1")
STRUCTURES: tuple[Any, ...] = (None, [], {"a": {"b": 1}}, True)


def example(schema: dict[str, Any], definitions: dict[str, Any], name: str = "") -> Any:
    """Return a value that the JSON schema of a field allows."""
    if "$ref" in schema:
        return example(definitions[schema["$ref"].rpartition("/")[2]], definitions, name)
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return example(schema[several][0], definitions, name)
    if "enum" in schema:
        return schema["enum"][0]
    if "const" in schema:
        return schema["const"]
    makers: dict[str, Callable[[], Any]] = {
        "string": lambda: _text(schema, name),
        "integer": lambda: schema.get("minimum", 1),
        "number": lambda: schema.get("minimum", 1),
        "boolean": lambda: False,
        "array": lambda: _list(schema, definitions),
        "object": lambda: _object(schema, definitions),
    }
    return makers.get(schema.get("type", ""), lambda: None)()


def _text(schema: dict[str, Any], name: str) -> str:
    if name in KNOWN:
        return KNOWN[name]
    formats = {
        "uuid": UUID_EXAMPLE,
        "date": "2026-11-22",
        "date-time": "2026-11-22T09:30:00+08:00",
    }
    if schema.get("format") in formats:
        return formats[schema["format"]]
    if schema.get("pattern") in PATTERNS:
        return PATTERNS[schema["pattern"]]
    long_enough = TEXT * (1 + schema.get("minLength", 0) // len(TEXT))
    return long_enough[: schema.get("maxLength", 30)]


def _list(schema: dict[str, Any], definitions: dict[str, Any]) -> list[Any]:
    items = schema.get("items") or (schema.get("prefixItems") or [{}])[0]
    return [example(items, definitions)]


def _object(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    properties = schema.get("properties", {})
    if not properties and isinstance(schema.get("additionalProperties"), dict):
        return {"1": example(schema["additionalProperties"], definitions)}
    return {name: example(each, definitions, name) for name, each in properties.items()}


def body_model(route: PolicyRoute) -> type[BaseModel] | None:
    """Return the model of a route's JSON body."""
    field = route.body_field
    annotation = field.field_info.annotation if field else None
    candidates = [annotation, *getattr(annotation, "__args__", ())]
    models = [each for each in candidates if inspect.isclass(each) and issubclass(each, BaseModel)]
    return models[0] if models else None


def body_example(model: type[BaseModel]) -> Any:
    """Return a plausible body."""
    schema = model.model_json_schema()
    return example(schema, schema.get("$defs", {}))


def places(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value in a document, the first of each list only."""
    if isinstance(document, dict):
        for key, value in document.items():
            yield from places(value, (*path, key))
    elif isinstance(document, list) and document:
        yield from places(document[0], (*path, 0))
    if path:
        yield path


def replaced(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    """Return a copy of the document with another value at `path`."""
    copy = json.loads(json.dumps(document))
    holder = copy
    for part in path[:-1]:
        holder = holder[part]
    holder[path[-1]] = value
    return copy


def form_fields(route: PolicyRoute) -> list[str]:
    """Return the fields of the forms that an endpoint names, or of all forms of its module."""
    named, everything = form_models(route)
    names = {name for form in named for name in form.model_fields}
    source = inspect.getsource(inspect.unwrap(route.endpoint))
    mentioned = re.findall(r'(?:get|_text|getlist)\(.*?"([a-z_]+)"', source)
    others = {name for form in everything for name in form.model_fields}
    return sorted(mentioned or names or others or {"text"})


def form_models(route: PolicyRoute) -> tuple[list[type[Input]], list[type[Input]]]:
    """Return the forms that an endpoint names, and all forms of its module."""
    endpoint = inspect.unwrap(route.endpoint)
    source = inspect.getsource(endpoint)
    members = vars(inspect.getmodule(endpoint)).values()
    forms = [each for each in members if inspect.isclass(each) and issubclass(each, Input)]
    return [form for form in forms if form.__name__ in source], forms


def form_example(route: PolicyRoute) -> dict[str, Any]:
    """Return a plausible form."""
    values: dict[str, Any] = dict.fromkeys(form_fields(route), "1")
    for form in form_models(route)[0]:
        with suppress(PydanticInvalidForJsonSchema):  # files: the others describe themselves
            values |= {name: _typed(value) for name, value in body_example(form).items()}
    return values


def _typed(value: Any) -> Any:
    """Return a value as a browser sends it."""
    return [_typed(each) for each in value] if isinstance(value, list) else str(value)


def path_example(path: str, **changes: str) -> str:
    """Return a path with a value for every parameter."""

    def fill(match: re.Match[str]) -> str:
        name, _, kind = match[1].partition(":")
        if name in changes:
            return changes[name]
        if kind == "int" or name in ("step", "instrument"):
            return "1"
        return KNOWN.get(name, UUID_EXAMPLE)

    return re.sub(r"\{([^}]+)\}", fill, path)


def path_parameters(path: str) -> list[str]:
    return [name.partition(":")[0] for name in re.findall(r"\{([^}]+)\}", path)]
