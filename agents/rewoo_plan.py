"""The plan of a ReWOO run: its steps, their references to earlier results, and new plans.

References are values of their own, never text in text: a result or an argument that holds `#E1`
is only that. A text with results in it is a list of texts and references.
"""

import json
from collections.abc import Container, Mapping, Sequence
from typing import Any, Literal, Required, TypeAlias, TypedDict, cast

from ragkit.agents.state import dumped
from ragkit.core.errors import InputError, ToolError
from ragkit.core.protocols import Tool
from ragkit.core.types import Json
from ragkit.grammar import Plan, StepReference, StepText, json_grammar

PlanStatus: TypeAlias = Literal["waiting", "asking", "done", "failed", "blocked", "dropped"]
EVIDENCE = "evidence"

_SHOWN = 120


class RewooStep(TypedDict, total=False):
    """A step of the plan: `id` is its label, `call` its id in the trace.

    `value` and `result` name texts of the state: the result as JSON, and as the model reads it;
    `trimmed` says that the latter leaves something out.
    """

    id: Required[str]
    call: Required[str]
    tool: Required[str]
    arguments: Required[str]
    status: Required[PlanStatus]
    tainted: bool
    value: str
    result: str
    trimmed: bool


def extended(
    before: Sequence[RewooStep], plan: Plan, *, step: str, tainted: bool
) -> list[RewooStep]:
    """Return the plan so far with a new one: steps without success are dropped, labels continue.

    Args:
        before: The steps so far.
        plan: The new steps, numbered from `#E1`.
        step: The id of the planning call in the trace.
        tainted: Whether untrusted text was in the context of the new plan.

    Raises:
        InputError: A step refers to itself, to a later step, or to an unknown one.
    """
    steps = [one.copy() for one in before]
    for one in steps:
        if one["status"] != "done":
            one["status"] = "dropped"
    labels: dict[str, str] = {}
    for ordinal, new in enumerate(plan.steps, 1):
        for label in new.needs:
            if label not in labels:
                raise InputError(f"Step {new.id} refers to {label}, which is not before it.")
        if new.tool == EVIDENCE:
            labels[new.id] = str(new.arguments["label"])
            continue
        labels[new.id] = f"#E{len(steps) + 1}"
        steps.append(
            RewooStep(
                id=labels[new.id],
                call=f"{step}.{ordinal}",
                tool=new.tool,
                arguments=kept_arguments(new.arguments, labels),
                status="waiting",
                tainted=tainted,
            )
        )
    return steps


def block_dependants(plan: Sequence[RewooStep]) -> None:
    """Mark the steps that need one that failed, and those that need them."""
    lost = {step["id"] for step in plan if step["status"] in {"failed", "blocked", "dropped"}}
    for step in plan:
        if step["status"] == "waiting" and lost.intersection(needs_of(step["arguments"])):
            step["status"] = "blocked"
            lost.add(step["id"])


def ready_steps(plan: Sequence[RewooStep]) -> list[RewooStep]:
    """Return the steps whose inputs are all there."""
    done = {step["id"] for step in plan if step["status"] == "done"}
    return [
        step
        for step in plan
        if step["status"] == "waiting" and done.issuperset(needs_of(step["arguments"]))
    ]


def lost_steps(plan: Sequence[RewooStep]) -> list[RewooStep]:
    """Return the steps that failed and those that could not run without them."""
    return [step for step in plan if step["status"] in {"failed", "blocked"}]


def untrusted_steps(plan: Sequence[RewooStep], trusted: Container[str]) -> set[str]:
    """Return the labels of the steps whose results may hold untrusted text.

    Those are of tools that are not `trusted`, and of steps that such a text may have shaped: by a
    result that they get, or since it was in the context of their plan.
    """
    found: set[str] = set()
    for step in plan:  # a step only needs earlier ones
        shaped = step.get("tainted", False) or found.intersection(needs_of(step["arguments"]))
        if shaped or step["tool"] not in trusted:
            found.add(step["id"])
    return found


def kept_arguments(arguments: Mapping[str, object], labels: Mapping[str, str]) -> str:
    """Return arguments as a JSON text: literals, joins, references by their labels in the run."""
    return dumped({name: _kept(value, labels) for name, value in arguments.items()})


def _kept(value: object, labels: Mapping[str, str]) -> dict[str, object]:
    if isinstance(value, StepReference):
        return {"ref": labels[value.ref], "path": list(value.path)}
    if isinstance(value, StepText):
        return {"join": [_kept(part, labels) for part in value.parts]}
    return {"value": value}


def needs_of(arguments: str) -> list[str]:
    """Return the labels of the steps that kept arguments refer to."""
    kept: dict[str, dict[str, Any]] = json.loads(arguments)
    parts = (part for one in kept.values() for part in one.get("join", [one]))
    return list(dict.fromkeys(part["ref"] for part in parts if "ref" in part))


def shown_arguments(arguments: str) -> str:
    """Return kept arguments as a person or a model reads them."""
    kept: dict[str, dict[str, Any]] = json.loads(arguments)
    return ", ".join(f"{name}={_shown(one)}" for name, one in kept.items())


def _shown(one: Mapping[str, Any]) -> str:
    if "join" in one:
        return " + ".join(map(_shown, one["join"]))
    if "ref" in one:
        return f"{one['ref']}{''.join(f'[{part!r}]' for part in one['path'])}"
    text = dumped(one["value"])
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


def resolved(tool: Tool, arguments: str, results: Mapping[str, tuple[str, str]]) -> dict[str, Json]:
    """Return the arguments of a call, references replaced by results in the type asked for.

    Args:
        tool: The tool whose schema the arguments must satisfy.
        arguments: As `kept_arguments` wrote them.
        results: By label, the value (JSON text, empty where it was too large to keep) and the text
            that stands for all of it (empty where it was cut).

    Raises:
        ToolError: A result has no such part, was too large to keep, is longer than the argument may
            be, or does not satisfy the schema otherwise.
    """
    kept: dict[str, dict[str, Any]] = json.loads(arguments)
    given: dict[str, Json] = {}
    for name, one in kept.items():
        schema = _schema(tool, name)
        if "join" in one:
            parts = [_resolved(part, {"type": "string"}, results) for part in one["join"]]
            given[name] = "".join(map(str, parts))
        else:
            given[name] = _resolved(one, schema, results)
        if "value" not in one:
            labels = needs_of(dumped({name: one}))
            _check_length(given[name], schema, f"{name} of {tool.name}", labels)
    try:
        json_grammar(dict(tool.parameters)).parse(dumped(given))
    except InputError as error:
        raise ToolError(f"The results do not fit the arguments of {tool.name}: {error}") from error
    return given


def _resolved(
    one: Mapping[str, Any], schema: Mapping[str, Any], results: Mapping[str, tuple[str, str]]
) -> Json:
    if "ref" not in one:
        return cast("Json", one["value"])
    value, text = results[one["ref"]]
    if not value:
        raise ToolError(
            f"Not made: the result of {one['ref']} is too large to be kept whole, so nothing can "
            "refer to it. Have its tool return less."
        )
    part = part_of(json.loads(value), one["path"], label=one["ref"])
    return _as_asked(part, schema, text if not one["path"] else "")


def _check_length(
    value: Json, schema: Mapping[str, Any], argument: str, labels: Sequence[str]
) -> None:
    most = schema.get("maxLength")
    if isinstance(value, str) and isinstance(most, int) and len(value) > most:
        raise ToolError(
            f"Not made: {' and '.join(labels)} would give {argument} {len(value):,} characters, "
            f"but it takes at most {most:,}. Refer to a part, or to a step that shortens it."
        )


def part_of(value: Json, path: Sequence[str | int], *, label: str) -> Json:
    """Return the part of a value at a path; a text that is JSON is read as such.

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
        except (ValueError, RecursionError):
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
    """Return the value in the type that the schema names, where there is an obvious way."""
    kind = schema.get("type")
    if kind == "string":
        return value if isinstance(value, str) else (text or dumped(value))
    if kind in {"integer", "number"} and isinstance(value, str):
        for read in (int, float):
            try:
                return read(value.strip())
            except ValueError:
                continue
    if kind == "array" and not isinstance(value, list):
        return [value]
    return value
