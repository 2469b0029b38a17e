"""Tool calls: a thought first, then calls that each follow their own tool's schema."""

import functools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

from ragkit.core.errors import InputError
from ragkit.core.reply_grammar import FunctionForm, JsonForm
from ragkit.grammar.builder import Builder
from ragkit.grammar.ebnf import charset
from ragkit.grammar.ebnf.character_runs import closed_run
from ragkit.grammar.ebnf.expression import UNBOUNDED, Expr, Lit, alt, rep, seq
from ragkit.grammar.ebnf.json_escapes import json_text
from ragkit.grammar.ebnf.rules import Rules
from ragkit.grammar.grammar import Built, Grammar, Recipe, load_json
from ragkit.grammar.limits import Limits
from ragkit.grammar.schema.check import Checker
from ragkit.grammar.schema.composition import embedded, object_schema
from ragkit.grammar.schema.document import Source
from ragkit.grammar.schema.expansion import Branch, Expander, Node
from ragkit.grammar.schema.keywords import Finding
from ragkit.grammar.schema.recursion import Recursion
from ragkit.grammar.schema.values import Json
from ragkit.grammar.types.objects import ObjectWriter, object_shape

_LONGEST_THOUGHT = 1024
_SHAPES = frozenset({"pattern", "format"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSpec:
    """A tool as a model sees it; `parameters` is the JSON Schema of its arguments object."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionCall:
    """A call: the tool's name and its arguments, valid by the tool's schema."""

    tool: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """A thought and the calls that follow from it."""

    thought: str
    calls: tuple[ActionCall, ...]


class ToolSchema:
    """The schema of one tool's arguments, read once for grammars under any limits."""

    def __init__(self, tool: ToolSpec) -> None:
        """Read the tool's schema.

        Raises:
            InputError: A keyword cannot be honoured.
        """
        self.tool = tool
        self.source = Source(dict(tool.parameters))
        self.checker = Checker(self.source)
        self.expander = Expander(self.source, self.checker)
        self.recursion = Recursion(self.source)
        self.node: Node = ("", self.source.make(type=["object"]))

    def under(self, limits: Limits, rules: Rules) -> "Arguments":
        """Return the arguments under limits; undeclared ones need a schema that asks for them."""
        closed = replace(limits, undeclared=0)
        builder = Builder(self.expander, self.recursion, closed, rules, scope=self.tool.name)
        return Arguments(self, builder)

    def call_form(self, defs: dict[str, Json]) -> dict[str, Json]:
        """Return the JSON Schema of a call, for a schema with these `$defs`."""
        arguments = embedded(self.tool.parameters, scope=self.tool.name, into=defs)
        return object_schema(
            tool={"type": "string", "const": self.tool.name},
            arguments={"type": "object", **arguments},
        )

    def check_names(self, given: Mapping[str, Json]) -> None:
        """Check the names of arguments, some of which are references.

        Raises:
            InputError: A required one is missing, or the schema forbids one.
        """
        schema = self.tool.parameters
        missing = [name for name in schema.get("required", ()) if name not in given]
        closed = schema.get("additionalProperties") is False
        unknown = [name for name in given if closed and name not in schema.get("properties", {})]
        if missing or unknown:
            raise InputError(
                f"The arguments of {self.tool.name!r} lack {missing!r} and may not have "
                f"{unknown!r}."
            )

    def check_property(self, name: str, value: Json) -> None:
        """Check one argument alone.

        Raises:
            InputError: It breaks the schema of the property.
        """
        keywords = self.source.keywords("")
        pointer = None if isinstance(keywords, bool) else keywords.get("properties", {}).get(name)
        if pointer is not None and not self.checker.valid(pointer, value):
            raise InputError(
                f"The argument {name!r} of {self.tool.name!r} is invalid: {value!r:.200}"
            )


@dataclass(frozen=True, slots=True)
class Arguments:
    """The arguments of one tool as expressions."""

    schema: ToolSchema
    _builder: Builder

    def literal(self) -> Expr:
        """Build the arguments by the schema.

        Raises:
            InputError: No arguments satisfy it.
        """
        depth = self._builder.limits.depth + 1
        return self._some(self._builder.node(self.schema.node, depth, depth))

    def with_references(self, reference: Expr, joined: Expr | None = None) -> Expr:
        """Build arguments of which each may be a reference, and each text a joined one, instead.

        Raises:
            InputError: No arguments satisfy the schema.
        """
        return self._some(alt(self._writers(reference, joined)))

    def _is_text(self, node: Node) -> bool:
        """Return whether a node takes texts of its own, and not only some."""
        return any(
            branch.values is None
            and "string" in branch.types
            and not any(_SHAPES & keywords.keys() for _, keywords in self._keywords(branch))
            for branch in self.schema.expander.branches(node)
        )

    def _keywords(self, branch: Branch) -> Iterable[tuple[str, Mapping[str, Any]]]:
        return self.schema.expander.keywords(branch)

    def _writers(self, reference: Expr, joined: Expr | None) -> Iterable[Expr | None]:
        builder, schema = self._builder, self.schema
        left = builder.limits.depth + 1

        def build(node: Node) -> Expr | None:
            instead = [reference, joined if self._is_text(node) else None]
            return alt([builder.node(node, left, builder.limits.depth), *instead])

        for branch in schema.expander.branches(schema.node):
            found = [keywords for _, keywords in schema.expander.keywords(branch)]
            shape = object_shape(found, schema.source, builder.limits, schema.checker.valid)
            if branch.values is not None:
                yield builder.values(branch, left, 0)
            elif shape is not None:
                if shape.entries:  # these are written as literals only
                    yield builder.rules.add(self.literal())
                yield ObjectWriter(replace(shape, entries=()), build, builder.rules).expr()

    def _some(self, expr: Expr | None) -> Expr:
        if expr is None:
            raise InputError(
                f"No arguments satisfy the schema of the tool {self.schema.tool.name!r}. "
                "Fix: remove the keywords that contradict each other."
            )
        return expr


def tool_schemas(tools: Sequence[ToolSpec]) -> dict[str, ToolSchema]:
    """Return the tools' schemas by name.

    Raises:
        InputError: A schema cannot be honoured, or names are missing or repeated.
    """
    names = [tool.name for tool in tools]
    if not names or len(set(names)) < len(names):
        raise InputError(
            f"Tools need unique names, but got {names!r}. Fix: pass at least one tool, each with a "
            "name of its own."
        )
    return {tool.name: ToolSchema(tool) for tool in tools}


def findings(schemas: Mapping[str, ToolSchema]) -> tuple[Finding, ...]:
    """Return the keywords of all tools that are only checked after decoding."""
    return tuple(f for schema in schemas.values() for f in schema.expander.findings.values())


def action_grammar(
    tools: Sequence[ToolSpec],
    *,
    ending: Sequence[ToolSpec] = (),
    max_calls: int = 4,
    limits: Limits | None = None,
) -> Grammar[Action]:
    """Build the grammar of `{"thought": ..., "calls": [{"tool": ..., "arguments": {...}}, ...]}`.

    One to `max_calls` calls of `tools`, or one of an `ending` tool, which stands alone; each tool's
    arguments follow its own schema. Strings of an ending call may be as many times as long as there
    may be calls; a thought has 1,024 characters where strings are bounded.

    Raises:
        InputError: A tool's schema cannot be honoured, names are missing or repeated, or
            `max_calls` is below 1.
    """
    if max_calls < 1:
        raise InputError(f"max_calls must be at least 1, not {max_calls!r}.")
    schemas = tool_schemas([*tools, *ending])
    ends = {tool.name for tool in ending}

    def build(limits: Limits, rules: Rules) -> Built:
        longest = min(UNBOUNDED, limits.string_length * limits.calls)
        longer = replace(limits, string_length=longest)
        calls = {
            name: _call(schema.under(longer if name in ends else limits, rules))
            for name, schema in schemas.items()
        }
        several = alt(call for name, call in calls.items() if name not in ends)
        if several is not None:
            several = rules.add(several)
            several = seq(several, rep(seq(Lit(","), several), 0, limits.calls - 1))
        bounded = limits.string_length < UNBOUNDED
        most = min(limits.string_length, _LONGEST_THOUGHT) if bounded else UNBOUNDED
        thought = closed_run(charset.TEXT, 0, most, rules)
        turn = alt([several, *(calls[name] for name in calls if name in ends)])
        root = seq(Lit('{"thought":"'), thought, Lit(',"calls":['), turn, Lit("]}"))
        if root is None:
            raise InputError("No call fits these limits. Fix: raise the limits.")
        return Built(root=root, rules=rules, limits=limits, checked=findings(schemas))

    given = limits or Limits()
    within = replace(given, calls=min(given.calls, max_calls))
    read = _reader(schemas, ends, max_calls)
    return Recipe(build, read, _form(schemas, max_calls)).grammar(within)


def shared_action_grammar(
    tools: Sequence[ToolSpec],
    *,
    ending: Sequence[ToolSpec] = (),
    max_calls: int = 4,
    limits: Limits | None = None,
) -> Grammar[Action]:
    """Return an `action_grammar` that all who ask for the same tools share; the latest are kept."""
    return _kept(_frozen(tools), _frozen(ending), max_calls, limits or Limits())


def _frozen(tools: Sequence[ToolSpec]) -> str:
    given = [(tool.name, tool.description, tool.parameters) for tool in tools]
    return json.dumps(given, default=str)


@functools.lru_cache(maxsize=64)
def _kept(tools: str, ending: str, max_calls: int, limits: Limits) -> Grammar[Action]:
    def thawed(text: str) -> list[ToolSpec]:
        return [ToolSpec(name=n, description=d, parameters=p) for n, d, p in json.loads(text)]

    return action_grammar(thawed(tools), ending=thawed(ending), max_calls=max_calls, limits=limits)


def _form(schemas: Mapping[str, ToolSchema], max_calls: int) -> JsonForm:
    """Return the form of a turn; that an ending call stands alone is checked when it is read."""
    defs: dict[str, Json] = {}
    calls = [schema.call_form(defs) for schema in schemas.values()]
    several = {"type": "array", "items": {"anyOf": calls}, "minItems": 1, "maxItems": max_calls}
    turn = object_schema(thought={"type": "string"}, calls=several)
    return JsonForm(
        schema={**turn, "$defs": defs} if defs else turn,
        functions=tuple(
            FunctionForm(
                name=schema.tool.name,
                description=schema.tool.description,
                parameters={"type": "object", **schema.tool.parameters},
            )
            for schema in schemas.values()
        ),
    )


def _call(arguments: Arguments) -> Expr | None:
    name = json_text(arguments.schema.tool.name)
    return seq(Lit(f'{{"tool":{name},"arguments":'), arguments.literal(), Lit("}"))


def _reader(
    schemas: Mapping[str, ToolSchema], ends: Set[str], max_calls: int
) -> Callable[[str], Action]:
    def read(text: str) -> Action:
        value = load_json(text)
        try:
            calls = [(call["tool"], call["arguments"]) for call in value["calls"]]
            thought = value["thought"]
            for tool, given in calls:
                schemas[tool].checker.check(given)
        except (KeyError, TypeError) as error:
            raise InputError(f"The reply is no action of these tools: {text[:300]!r}") from error
        if not isinstance(thought, str):
            raise InputError(f"The thought of the reply is no text: {text[:300]!r}")
        if not 1 <= len(calls) <= (1 if ends & {tool for tool, _ in calls} else max_calls):
            raise InputError(
                f"The reply has {len(calls)} calls. It may have {max_calls}, or one of "
                f"{', '.join(sorted(ends)) or 'the tools'} alone: {text[:300]!r}"
            )
        return Action(
            thought=thought, calls=tuple(ActionCall(tool=t, arguments=g) for t, g in calls)
        )

    return read
