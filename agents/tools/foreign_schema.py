"""The schema of a tool that is not of ragkit: closed for decoding, and checked before a call."""

from collections.abc import Mapping
from typing import Any

from ragkit.core.errors import InputError, ToolError
from ragkit.core.types import Json
from ragkit.grammar import json_grammar

_COMPLAINTS = 5
_OPEN = ("additionalProperties", "patternProperties", "unevaluatedProperties", "$ref", "allOf")


def closed_schema(schema: Mapping[str, Any], *, tool: str) -> dict[str, Json]:
    """Return an arguments schema without undeclared arguments, unless it says more about them.

    Raises:
        InputError: It cannot be decoded under a grammar; names tool, keyword and place.
    """
    # A model is only ever offered the declared arguments, so no others are accepted either.
    closed: dict[str, Json] = {**schema, "type": "object"}
    if not any(keyword in schema for keyword in _OPEN):
        closed |= {"properties": schema.get("properties", {}), "additionalProperties": False}
    try:
        json_grammar(closed)
    except InputError as error:
        raise InputError(f"{tool} is refused: {error}") from error
    return closed


def check_arguments(schema: Mapping[str, Json], arguments: Mapping[str, Json]) -> None:
    """Raise `ToolError` if arguments do not follow a schema; the message says which and why."""
    from jsonschema import Draft202012Validator

    validator: Any = Draft202012Validator(dict(schema))  # jsonschema is partly untyped
    errors: Any = validator.iter_errors(dict(arguments))
    if complaints := sorted(f"{error.json_path}: {error.message:.200}" for error in errors):
        raise ToolError(f"Wrong arguments: {'; '.join(complaints[:_COMPLAINTS])}")
