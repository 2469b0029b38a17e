"""Replies by JSON Schema, for servers that know no grammars: pure functions.

Source: https://platform.openai.com/docs/guides/structured-outputs, with its supported schemas.
"""

import json
from collections.abc import Mapping
from typing import TypeAlias

from ragkit.core.reply_grammar import JsonForm
from ragkit.core.types import Json
from ragkit.grammar.schema.composition import embedded, object_schema
from ragkit.grammar.schema.values import is_object

_KEY = "reply"
"""The property of a reply that is no object by itself."""
_KEPT = frozenset(
    {"type", "enum", "const", "title", "description", "pattern", "minItems", "maxItems"}
    | {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}
)
_FORMATS = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}
)
_DROPPED = frozenset(
    {"format", "minLength", "maxLength", "minProperties", "maxProperties", "uniqueItems", "default"}
    | {"examples", "deprecated", "readOnly", "writeOnly", "discriminator", "$schema", "$comment"}
)
"""Keywords that leave a looser schema behind; the reply is checked for them afterwards."""
_OF_OBJECTS = frozenset({"properties", "required", "additionalProperties"})
_TYPES: Mapping[type, str] = {str: "string", bool: "boolean", int: "integer", float: "number"}

_Schema: TypeAlias = Mapping[str, Json]


class NotStrictError(ValueError):
    """A schema has no form in OpenAI's strict subset; the message says why."""


def response_format(form: JsonForm, *, strict: bool) -> dict[str, Json]:
    """Return the field of a request that asks for a reply of this form.

    Args:
        form: The form; one that is no object becomes the property of one.
        strict: Whether to ask for strict decoding where the schema has a form in OpenAI's subset.
    """
    schema = root_schema(form)
    described: dict[str, Json] = {"name": _KEY, "schema": schema}
    if strict:
        try:
            described |= {"schema": strict_schema(schema), "strict": True}
        except NotStrictError:
            described["strict"] = False
    return {"type": "json_schema", "json_schema": described}


def is_wrapped(form: JsonForm) -> bool:
    """Return whether the reply is asked for as the property of an object."""
    return form.plain or form.schema.get("type") != "object" or "anyOf" in form.schema


def unwrapped(text: str, form: JsonForm) -> str:
    """Return the reply of a response, unchanged where it is not as it was asked for."""
    if not is_wrapped(form):
        return text
    try:
        value = json.loads(text)[_KEY]
    except (ValueError, TypeError, KeyError, RecursionError):
        return text
    if form.plain:
        return value if isinstance(value, str) else text
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def strict_schema(schema: _Schema) -> dict[str, Json]:
    """Return the schema in OpenAI's strict subset; it may be looser, but never forbids more forms.

    A property that may be left out is asked for where it may be null or has a default.

    Raises:
        NotStrictError: The subset has no such schema.
    """
    if "$ref" in schema:  # nothing may stand beside it
        return {"$ref": schema["$ref"]}
    found: dict[str, Json] = {}
    for keyword, value in schema.items():
        if keyword in _KEPT or (keyword == "format" and value in _FORMATS):
            found[keyword] = value
        elif keyword in {"anyOf", "oneOf"}:
            found["anyOf"] = [strict_schema(_part(option)) for option in _listed(value)]
        elif keyword == "items":
            found[keyword] = strict_schema(_part(value))
        elif keyword == "$defs":
            parts = _part(value)
            found[keyword] = {name: strict_schema(_part(part)) for name, part in parts.items()}
        elif keyword not in _DROPPED | _OF_OBJECTS:
            raise NotStrictError(f"{keyword!r} has no strict form")
    if "object" in _kinds(schema):
        found |= _closed(schema)
    elif schema.keys() & _OF_OBJECTS:
        raise NotStrictError("the properties are of a value that need not be an object")
    return _typed(found)


def root_schema(form: JsonForm) -> dict[str, Json]:
    """Return the schema of the object that is the reply, or has it as a property."""
    if not is_wrapped(form):
        return dict(form.schema)
    defs: dict[str, Json] = {}
    schema: dict[str, Json] = object_schema(**{_KEY: embedded(form.schema, scope=_KEY, into=defs)})
    return {**schema, "$defs": defs} if defs else schema


def _closed(schema: _Schema) -> dict[str, Json]:
    """Return the keywords that make an object one of exactly its properties."""
    properties = _part(schema.get("properties", {}))
    if schema.get("additionalProperties", False) is not False:
        raise NotStrictError("an object has further properties")
    required = _listed(schema.get("required", []))
    for name, part in properties.items():
        if name not in required and not _may_be_forced(part):
            raise NotStrictError(f"{name!r} may be left out")
    return {
        "properties": {name: strict_schema(_part(part)) for name, part in properties.items()},
        "required": list(properties),
        "additionalProperties": False,
    }


def _may_be_forced(schema: Json) -> bool:
    """Return whether a property may as well be asked for: it may be null, or has a default."""
    part = _part(schema)
    options = [part, *map(_part, _listed(part.get("anyOf", [])))]
    return "default" in part or any("null" in _kinds(option) for option in options)


def _kinds(schema: _Schema) -> list[Json]:
    kind = schema.get("type")
    return kind if isinstance(kind, list) else [kind]


def _typed(schema: dict[str, Json]) -> dict[str, Json]:
    """Return a schema with a type, which the subset wants, found from its values if need be."""
    if schema.get("type") == "array" and "items" not in schema:
        raise NotStrictError("the items of an array are not described")
    if schema.keys() & {"type", "anyOf"}:
        return schema
    values = _listed(schema["enum"]) if "enum" in schema else [schema.get("const")]
    kinds = {_TYPES.get(type(value)) for value in values}
    if len(kinds) != 1 or None in kinds:
        raise NotStrictError("a value is not described")
    return {"type": kinds.pop(), **schema}


def _part(value: Json) -> _Schema:
    if not is_object(value):
        raise NotStrictError(f"{value!r} is no schema that describes a value")
    return value


def _listed(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []
