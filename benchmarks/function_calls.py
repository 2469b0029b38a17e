"""Ground-truth calls of the Berkeley leaderboard, as tools and as replies of their grammar."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import UnknownType

from ragkit.grammar import ToolSpec
from ragkit.grammar.ebnf.json_escapes import json_text
from ragkit.grammar.schema.values import is_array, is_object


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A question's tools, and the reply that calls them as the answer says.

    `valid` says whether the answer satisfies the schemas of the tools.
    """

    group: str
    name: str
    tools: list[ToolSpec]
    calls: int
    reply: str
    valid: bool


def cases(folder: Path) -> Iterator[Case]:
    """All questions that come with an answer."""
    for path in sorted(folder.glob("answers_*.json")):
        questions = {row["id"]: row for row in _lines(folder / path.name.removeprefix("answers_"))}
        group = path.name.removeprefix("answers_BFCL_v4_").removesuffix(".json")
        for row in _lines(path):
            yield _case(group, row["id"], questions[row["id"]]["function"], row["ground_truth"])


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]


def _case(
    group: str, name: str, functions: list[dict[str, Any]], truth: list[dict[str, Any]]
) -> Case:
    schemas = {function["name"]: _modern(function["parameters"]) for function in functions}
    calls = [
        {"tool": tool, "arguments": _example(given, schemas[tool])}
        for call in truth
        for tool, given in call.items()
    ]
    return Case(
        group=group,
        name=name,
        tools=[ToolSpec(name=n, description="", parameters=s) for n, s in schemas.items()],
        calls=len(calls),
        valid=all(_satisfies(call["arguments"], schemas[call["tool"]]) for call in calls),
        reply=json_text({"thought": "Call them.", "calls": calls}),
    )


def _satisfies(arguments: Any, schema: Any) -> bool:
    validator: Any = Draft202012Validator(schema)
    try:
        return bool(validator.is_valid(arguments))
    except UnknownType:
        return False


_TYPES = {
    "dict": "object", "HashMap": "object", "Hashtable": "object", "float": "number",
    "double": "number", "Float": "number", "tuple": "array", "Array": "array", "ArrayList": "array",
    "list": "array", "String": "string", "char": "string", "str": "string", "Boolean": "boolean",
    "bool": "boolean", "Bigint": "integer", "Integer": "integer", "int": "integer",
    "long": "integer", "any": None, "Any": None,
}  # fmt: skip


def _modern(schema: Any) -> Any:
    """The leaderboard's Python type names as JSON Schema's."""
    if is_array(schema):
        return [_modern(item) for item in schema]
    if not is_object(schema):
        return schema
    found = {
        key: value if key in ("enum", "default") else _modern(value)
        for key, value in schema.items()
    }
    if isinstance(kind := schema.get("type"), str):
        found["type"] = _TYPES.get(kind, kind)
        if found["type"] is None:
            del found["type"]
    return found


def _example(given: Any, schema: Any) -> Any:
    """One accepted call: the first accepted value of each argument, in the schema's order."""
    if not is_object(given):
        return given
    properties = schema.get("properties", {})
    chosen = {name: values[0] for name, values in given.items() if values and values[0] != ""}
    ordered = [name for name in properties if name in chosen] or list(chosen)
    return {name: _nested(chosen[name], properties.get(name, {})) for name in ordered}


def _nested(value: Any, schema: Any) -> Any:
    if is_object(value) and schema.get("properties"):
        return _example(value, schema)
    if is_array(value):
        return [_nested(item, schema.get("items", {})) for item in value]
    return value
