"""Tool calls: a thought first, then calls that each follow their own tool's schema."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from ragkit.core.errors import InputError
from ragkit.grammar.builder import Builder
from ragkit.grammar.ebnf import charset
from ragkit.grammar.ebnf.character_runs import closed_run
from ragkit.grammar.ebnf.expression import Expr, Lit, alt, rep, seq
from ragkit.grammar.ebnf.json_escapes import json_text
from ragkit.grammar.ebnf.rules import Rules
from ragkit.grammar.grammar import Grammar, assemble, load_json
from ragkit.grammar.limits import Limits
from ragkit.grammar.schema.check import Checker
from ragkit.grammar.schema.document import Source
from ragkit.grammar.schema.expansion import Expander, Node
from ragkit.grammar.schema.keywords import Finding
from ragkit.grammar.schema.recursion import Recursion
from ragkit.grammar.schema.values import Json
from ragkit.grammar.types.objects import ObjectWriter, object_shape


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSpec:
    """A tool as a model sees it; `parameters` is the JSON Schema of its arguments object."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A call: the tool's name and its arguments, valid by the tool's schema."""

    tool: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """A thought and the calls that follow from it."""

    thought: str
    calls: tuple[ToolCall, ...]


class Arguments:
    """The arguments of one tool, as expressions and as a check."""

    def __init__(self, tool: ToolSpec, limits: Limits, rules: Rules) -> None:
        """Read the tool's schema.

        Raises:
            InputError: A keyword cannot be honoured.
        """
        self.tool = tool
        self._source = Source(dict(tool.parameters))
        self.checker = Checker(self._source)
        self._expander = Expander(self._source, self.checker)
        recursion = Recursion(self._source)
        closed = replace(limits, undeclared=0)
        self._builder = Builder(self._expander, recursion, closed, rules, scope=tool.name)
        self._left = limits.depth + 1

    @cached_property
    def _node(self) -> Node:
        return ("", self._source.make(type=["object"]))

    def literal(self) -> Expr:
        """Build the arguments by the schema.

        Raises:
            InputError: No arguments satisfy it.
        """
        return self._some(
            self._builder.node(self._node, self._left, self._builder.limits.depth + 1)
        )

    def with_references(self, reference: Expr) -> Expr:
        """Build arguments of which each may be a reference instead.

        Raises:
            InputError: No arguments satisfy the schema.
        """
        return self._some(alt(self._writers(reference)))

    def _writers(self, reference: Expr) -> Iterable[Expr | None]:
        builder, expander = self._builder, self._expander

        def build(node: Node) -> Expr | None:
            return alt([builder.node(node, self._left, builder.limits.depth), reference])

        for branch in expander.branches(self._node):
            found = [keywords for _, keywords in expander.keywords(branch)]
            shape = object_shape(found, self._source, builder.limits, self.checker.valid)
            if branch.values is not None:
                yield builder.values(branch, self._left, 0)
            elif shape is not None:
                if shape.entries:  # these are written as literals only
                    yield builder.rules.add(self.literal())
                yield ObjectWriter(replace(shape, entries=()), build, builder.rules).expr()

    @property
    def checked(self) -> tuple[Finding, ...]:
        """Keywords that are only checked after decoding."""
        return tuple(self._expander.findings.values())

    def check_property(self, name: str, value: Json) -> None:
        """Check one argument alone.

        Raises:
            InputError: It breaks the schema of the property.
        """
        keywords = self._source.keywords("")
        pointer = None if isinstance(keywords, bool) else keywords.get("properties", {}).get(name)
        if pointer is not None and not self.checker.valid(pointer, value):
            raise InputError(
                f"The argument {name!r} of {self.tool.name!r} is invalid: {value!r:.200}"
            )

    def _some(self, expr: Expr | None) -> Expr:
        if expr is None:
            raise InputError(
                f"No arguments satisfy the schema of the tool {self.tool.name!r}. "
                "Fix: remove the keywords that contradict each other."
            )
        return expr


def arguments_of(tools: Sequence[ToolSpec], limits: Limits, rules: Rules) -> dict[str, Arguments]:
    """Return the tools' arguments by name.

    Raises:
        InputError: A schema cannot be honoured.
    """
    return {tool.name: Arguments(tool, limits, rules) for tool in tools}


def check_names(tools: Sequence[ToolSpec]) -> None:
    """Raise `InputError` if the list of tools is empty, or two tools share a name."""
    names = [tool.name for tool in tools]
    if not names or len(set(names)) < len(names):
        raise InputError(
            f"Tools need unique names, but got {names!r}. Fix: pass at least one tool, each with a "
            "name of its own."
        )


def action_grammar(
    tools: Sequence[ToolSpec],
    *,
    ending: Sequence[ToolSpec] = (),
    max_calls: int = 4,
    limits: Limits | None = None,
) -> Grammar[Action]:
    """Build the grammar of `{"thought": ..., "calls": [{"tool": ..., "arguments": {...}}, ...]}`.

    One to `max_calls` calls of `tools`, or one of an `ending` tool, which stands alone; each tool's
    arguments follow its own schema. Strings of an ending call may be `max_calls` times as long.

    Raises:
        InputError: A tool's schema cannot be honoured, names are missing or repeated, or
            `max_calls` is below 1.
    """
    if max_calls < 1:
        raise InputError(f"max_calls must be at least 1, not {max_calls!r}.")
    limits, rules = limits or Limits(), Rules()
    check_names([*tools, *ending])
    longer = replace(limits, string_length=limits.string_length * max_calls)
    several, alone = arguments_of(tools, limits, rules), arguments_of(ending, longer, rules)
    call = alt(_call(a) for a in several.values())
    calls = None
    if call is not None:
        call = rules.add(call)
        calls = seq(call, rep(seq(Lit(","), call), 0, max_calls - 1))
    thought = closed_run(charset.TEXT, 0, limits.string_length, rules)
    turn = alt([calls, *(_call(a) for a in alone.values())])
    root = seq(Lit('{"thought":"'), thought, Lit(',"calls":['), turn, Lit("]}"))
    arguments = {**several, **alone}
    return assemble(
        _required(root),
        rules,
        limits=limits,
        read=_reader(arguments),
        rebuild=lambda tighter: action_grammar(
            tools, ending=ending, max_calls=max_calls, limits=tighter
        ),
        checked=tuple(finding for a in arguments.values() for finding in a.checked),
    )


def _call(arguments: Arguments) -> Expr | None:
    name = json_text(arguments.tool.name)
    return seq(Lit(f'{{"tool":{name},"arguments":'), arguments.literal(), Lit("}"))


def _required(expr: Expr | None) -> Expr:
    if expr is None:
        raise InputError("No call fits these limits. Fix: raise the limits.")
    return expr


def _reader(arguments: Mapping[str, Arguments]) -> Callable[[str], Action]:
    def read(text: str) -> Action:
        value = load_json(text)
        try:
            calls = [(call["tool"], call["arguments"]) for call in value["calls"]]
            thought = str(value["thought"])
            for tool, given in calls:
                arguments[tool].checker.check(given)
        except (KeyError, TypeError) as error:
            raise InputError(f"The reply is no action of these tools: {text[:300]!r}") from error
        return Action(thought=thought, calls=tuple(ToolCall(tool=t, arguments=g) for t, g in calls))

    return read
