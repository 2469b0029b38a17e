"""Plans that are directed acyclic graphs by construction: a step refers only to earlier ones."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from ragkit.core.errors import InputError
from ragkit.core.reply_grammar import JsonForm
from ragkit.grammar.actions import Arguments, ToolSchema, ToolSpec, findings, tool_schemas
from ragkit.grammar.ebnf import charset
from ragkit.grammar.ebnf.character_runs import closed_run
from ragkit.grammar.ebnf.expression import NOTHING, Expr, Lit, alt, rep, seq
from ragkit.grammar.ebnf.json_escapes import json_text
from ragkit.grammar.ebnf.rules import Rules
from ragkit.grammar.grammar import Built, Grammar, Recipe, load_json
from ragkit.grammar.limits import Limits
from ragkit.grammar.schema.composition import object_schema
from ragkit.grammar.schema.values import Json, is_array, is_object
from ragkit.grammar.types.choices import choices
from ragkit.grammar.types.numbers import NumberShape, number

_LABEL = re.compile(r"#E[1-9][0-9]*")
_PATH_LENGTH = 4
_NAME_LENGTH = 32
_INDEX_DIGITS = 3
_MOST_JOINED = 3


_REFERENCE = object_schema(
    ref={"type": "string"},
    path={"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "integer"}]}},
)
_JOINED = object_schema(
    join={"type": "array", "items": {"anyOf": [{"type": "string"}, _REFERENCE]}, "minItems": 1}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReference:
    """The result of an earlier step, or the part of it at the path of keys and indices."""

    ref: str
    path: tuple[str | int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StepText:
    """A text that is put together of texts and of results of earlier steps."""

    parts: tuple[str | StepReference, ...]


Argument: TypeAlias = Any
"""A literal JSON value, a `StepReference`, or a `StepText`."""


def references(argument: Argument) -> tuple[StepReference, ...]:
    """Return the results that an argument refers to."""
    if isinstance(argument, StepReference):
        return (argument,)
    parts = argument.parts if isinstance(argument, StepText) else ()
    return tuple(part for part in parts if isinstance(part, StepReference))


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanStep:
    """A call whose arguments are literals or references to earlier steps."""

    id: str
    tool: str
    arguments: Mapping[str, Argument]

    @property
    def needs(self) -> tuple[str, ...]:
        """Ids of the steps that must finish first, in the order of the arguments."""
        refs = (one.ref for a in self.arguments.values() for one in references(a))
        return tuple(dict.fromkeys(refs))


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Steps in order; each needs only steps before it."""

    steps: tuple[PlanStep, ...]


def plan_grammar(
    tools: Sequence[ToolSpec], max_steps: int, *, limits: Limits | None = None
) -> Grammar[Plan]:
    """Build the grammar of `{"steps": [{"id": "#E1", "tool": ..., "arguments": {...}}, ...]}`.

    Step k has the id `#Ek`. Each argument is a literal by the tool's schema or, from the second
    step on, `{"ref": "#Ej", "path": [...]}` with j < k; a text may be `{"join": [...]}` of texts
    and references in turn.

    Raises:
        InputError: A tool's schema cannot be honoured, or `max_steps` is less than 1.
    """
    if max_steps < 1:
        raise InputError(f"A plan needs at least one step, but max_steps is {max_steps!r}.")
    schemas = tool_schemas(tools)

    def build(limits: Limits, rules: Rules) -> Built:
        arguments = {name: schema.under(limits, rules) for name, schema in schemas.items()}
        after: Expr | None = NOTHING
        for step in range(limits.calls, 0, -1):
            one = rules.add(_present(_step(step, arguments, limits, rules)))
            more = seq(Lit(","), one, after) if step > 1 else seq(one, after)
            after = rules.add(_present(alt([NOTHING, more]) if step > 1 else more))
        root = _present(seq(Lit('{"steps":['), after, Lit("]}")))
        return Built(root=root, rules=rules, limits=limits, checked=findings(schemas))

    given = limits or Limits()
    within = replace(given, calls=min(given.calls, max_steps))
    form = _form(schemas, max_steps)
    return Recipe(build, _reader(schemas, max_steps), form).grammar(within)


def _form(schemas: Mapping[str, ToolSchema], max_steps: int) -> JsonForm:
    """Return the form of a plan; ids and the order of references are checked when it is read."""
    defs: dict[str, Json] = {"reference": _REFERENCE, "joined": _JOINED}
    steps = [_step_form(schema.call_form(defs)) for schema in schemas.values()]
    listed = {"type": "array", "items": {"anyOf": steps}, "minItems": 1, "maxItems": max_steps}
    return JsonForm(schema={**object_schema(steps=listed), "$defs": defs})


def _step_form(call: dict[str, Json]) -> dict[str, Json]:
    """Return the form of a call with an id, each of whose arguments may be a reference.

    An argument of any text may be one that is put together.
    """
    tool, given = call["properties"]["tool"], call["properties"]["arguments"]
    properties: dict[str, Json] = {}
    for name, schema in given.get("properties", {}).items():
        instead = [{"$ref": "#/$defs/reference"}]
        known = schema if is_object(schema) else {}
        if known.keys() <= {"type", "title", "description"} and known.get("type") == "string":
            instead.append({"$ref": "#/$defs/joined"})
        properties[name] = {"anyOf": [schema, *instead]}
    arguments = {**given, "properties": properties} if properties else given
    return object_schema(id={"type": "string"}, tool=tool, arguments=arguments)


def _present(expr: Expr | None) -> Expr:
    if expr is None:
        raise InputError("No plan fits these limits. Fix: raise the limits.")
    return expr


def _step(
    step: int, arguments: Mapping[str, Arguments], limits: Limits, rules: Rules
) -> Expr | None:
    reference = _reference(step, rules)
    joined = None if reference is None else _joined(reference, limits, rules)
    options: list[Expr | None] = []
    for name, given in arguments.items():
        written = given.literal() if reference is None else given.with_references(reference, joined)
        # A rule of its own, and not the first part, is written once for all steps.
        rest = rules.add(Lit(f'{json_text(name)[1:]},"arguments":'))
        options.append(seq(Lit('"'), rest, written))
    return seq(Lit(f'{{"id":"#E{step}","tool":'), alt(options), Lit("}"))


def _reference(step: int, rules: Rules) -> Expr | None:
    """Build a reference to a step before this one; None for the first."""
    if step == 1:
        return None
    labels = choices((f'"#E{earlier}"' for earlier in range(1, step)), rules)
    part = rules.once("path", lambda: _path_part(rules))
    more = rep(seq(Lit(","), part), 0, _PATH_LENGTH - 1)
    path = seq(Lit("["), alt([NOTHING, seq(part, more)]), Lit("]"))
    expr = seq(Lit('{"ref":'), labels, Lit(',"path":'), path, Lit("}"))
    return rules.add(_present(expr))


def _joined(reference: Expr, limits: Limits, rules: Rules) -> Expr:
    """Build a text that holds one to three references."""
    text = closed_run(charset.TEXT, 0, limits.string_length, rules)
    part = _present(seq(Lit('"'), text, Lit(","), reference))
    more = rep(seq(Lit(","), rules.add(part)), 0, _MOST_JOINED - 1)
    end = alt([NOTHING, seq(Lit(',"'), text)])
    return rules.add(_present(seq(Lit('{"join":['), part, more, end, Lit("]}"))))


def _path_part(rules: Rules) -> Expr | None:
    index = NumberShape(integer=True, low=None, integer_digits=_INDEX_DIGITS, fraction_digits=1)
    key = seq(Lit('"'), closed_run(charset.TEXT, 1, _NAME_LENGTH, rules))
    return alt([key, number(index, rules)])


def _reader(schemas: Mapping[str, ToolSchema], max_steps: int) -> Callable[[str], Plan]:
    def read(text: str) -> Plan:
        value = load_json(text)
        try:
            steps = [
                _read_step(index, step, schemas) for index, step in enumerate(value["steps"], 1)
            ]
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(f"The reply is no plan of these tools: {text[:300]!r}") from error
        if not 1 <= len(steps) <= max_steps:
            raise InputError(f"The plan has {len(steps)} steps, not 1 to {max_steps}.")
        return Plan(steps=tuple(steps))

    return read


def _read_step(index: int, step: Json, schemas: Mapping[str, ToolSchema]) -> PlanStep:
    tool, given = step["tool"], step["arguments"]
    if step["id"] != f"#E{index}":
        raise InputError(f"Step {index} of the plan has the id {step['id']!r}.")
    read = {name: _read_argument(value) for name, value in given.items()}
    if not any(references(value) for value in read.values()):
        schemas[tool].checker.check(given)
    schemas[tool].check_names(given)
    for name, value in read.items():
        if not isinstance(value, StepReference | StepText):
            schemas[tool].check_property(name, value)
        for one in references(value):
            if int(one.ref[2:]) >= index:
                raise InputError(
                    f"Step {index} of the plan refers to {one.ref!r}, which is not before it."
                )
    return PlanStep(id=step["id"], tool=tool, arguments=read)


def _read_argument(value: Json) -> Argument:
    if is_object(value) and value.keys() == {"join"} and is_array(value["join"]):
        parts = [_read_argument(part) for part in value["join"]]
        texts = all(isinstance(part, str | StepReference) for part in parts)
        return StepText(parts=tuple(parts)) if texts and any(map(references, parts)) else value
    if not is_object(value) or value.keys() != {"ref", "path"} or not is_array(value["path"]):
        return value
    label, path = value["ref"], value["path"]
    if not isinstance(label, str) or not _LABEL.fullmatch(label):
        return value
    if not all(isinstance(part, str | int) and not isinstance(part, bool) for part in path):
        return value
    return StepReference(ref=label, path=tuple(path))
