"""References in plans: an argument that is the result of an earlier step, or a part of it.

References are values of their own, never text in text: a result or an argument that holds `#E1`
is only that.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from ragkit.agents.parts import specs_of
from ragkit.agents.state import dumped
from ragkit.core.errors import InputError, ToolError
from ragkit.core.protocols import Tool
from ragkit.core.types import Json
from ragkit.grammar import StepReference, json_grammar

_SHOWN = 120


def kept_arguments(arguments: Mapping[str, object]) -> str:
    """Arguments of a plan's step as a JSON text: each a literal or a reference, told apart."""
    kept: dict[str, object] = {}
    for name, value in arguments.items():
        if isinstance(value, StepReference):
            kept[name] = {"ref": value.ref, "path": list(value.path)}
        else:
            kept[name] = {"value": value}
    return dumped(kept)


def needs_of(arguments: str) -> list[str]:
    """The labels of the steps that kept arguments refer to."""
    kept: dict[str, dict[str, Any]] = json.loads(arguments)
    return list(dict.fromkeys(one["ref"] for one in kept.values() if "ref" in one))


def shown_arguments(arguments: str) -> str:
    """Kept arguments as a person or a model reads them."""
    kept: dict[str, dict[str, Any]] = json.loads(arguments)
    parts: list[str] = []
    for name, one in kept.items():
        if "ref" in one:
            path = "".join(f"[{part!r}]" for part in one["path"])
            parts.append(f"{name}={one['ref']}{path}")
        else:
            text = dumped(one["value"])
            parts.append(f"{name}={text if len(text) <= _SHOWN else text[:_SHOWN] + '...'}")
    return ", ".join(parts)


def renamed(arguments: str, labels: Mapping[str, str]) -> str:
    """Kept arguments whose references have other labels."""
    kept: dict[str, dict[str, Any]] = json.loads(arguments)
    for one in kept.values():
        if "ref" in one:
            one["ref"] = labels[one["ref"]]
    return dumped(kept)


def resolved(tool: Tool, arguments: str, results: Mapping[str, tuple[str, str]]) -> dict[str, Json]:
    """The arguments of a call: references replaced by what they refer to, in the type asked for.

    Args:
        tool: Whose schema the arguments must satisfy.
        arguments: As `kept_arguments` wrote them.
        results: Value (JSON text, empty where it was too large to keep) and text by label.

    Raises:
        ToolError: A result has no such part, or does not satisfy the schema.
    """
    kept: dict[str, dict[str, Any]] = json.loads(arguments)
    given: dict[str, Json] = {}
    for name, one in kept.items():
        if "ref" not in one:
            given[name] = one["value"]
            continue
        value, text = results[one["ref"]]
        whole: Json = json.loads(value) if value else text
        part = part_of(whole, one["path"], label=one["ref"])
        given[name] = _as_asked(part, _schema(tool, name), text if not one["path"] else "")
    try:
        parameters = dict(specs_of([tool])[0].parameters)
        json_grammar(parameters).parse(dumped(given))
    except InputError as error:
        raise ToolError(f"The results do not fit the arguments of {tool.name}: {error}") from error
    return given


def part_of(value: Json, path: Sequence[str | int], *, label: str) -> Json:
    """The part of a value at a path; a text that is JSON is read as such.

    Raises:
        ToolError: There is no such part.
    """
    for position, key in enumerate(path):
        value = _opened(value)
        try:
            value = _inside(value, key)
        except (LookupError, ValueError) as error:
            at = "".join(f"[{one!r}]" for one in path[: position + 1])
            message = f"The result of {label} has no part {at}; it is {_kind(value)}."
            raise ToolError(message) from error
    return value


def _inside(value: Json, key: str | int) -> Json:
    if isinstance(value, list):
        return value[int(key)]
    if isinstance(value, dict):
        return value[str(key)]
    raise KeyError(key)


def _opened(value: Json) -> Json:
    if isinstance(value, str) and value[:1] in "{[":
        try:
            return cast("Json", json.loads(value))
        except ValueError:
            return value
    return value


def _kind(value: Json) -> str:
    if isinstance(value, dict):
        return f"an object with {', '.join(map(repr, list(value)[:10])) or 'no fields'}"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return f"{dumped(value)[:_SHOWN]}"


def _schema(tool: Tool, name: str) -> Mapping[str, Any]:
    # `Any`: a JSON Schema may say anything at this place.
    schema: Any = tool.parameters
    try:
        return dict(schema["properties"][name])
    except (KeyError, TypeError, ValueError):
        return {}


def _as_asked(value: Json, schema: Mapping[str, Any], text: str) -> Json:
    """The value in the type that the schema names, where there is an obvious way."""
    kind = schema.get("type")
    if kind == "string":
        said = value if isinstance(value, str) else (text or dumped(value))
        return said[: schema.get("maxLength", len(said))]
    if kind in {"integer", "number"} and isinstance(value, str):
        return _number(value)
    if kind == "array" and not isinstance(value, list):
        return [value]
    return value


def _number(text: str) -> Json:
    for read in (int, float):
        try:
            return read(text.strip())
        except ValueError:
            continue
    return text
