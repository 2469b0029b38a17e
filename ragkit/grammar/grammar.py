"""`Grammar`: the EBNF of a reply, the length of the longest one, and its parser."""

import contextlib
import json
from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from ragkit.core.errors import InputError, ReplyTooLong
from ragkit.core.operation import Operation
from ragkit.core.reply_grammar import JsonForm
from ragkit.grammar.builder import Builder
from ragkit.grammar.ebnf.expression import Expr, Sizes, render
from ragkit.grammar.ebnf.rules import Rules, TooManyRulesError
from ragkit.grammar.limits import Limits
from ragkit.grammar.schema.check import Checker
from ragkit.grammar.schema.document import Source
from ragkit.grammar.schema.expansion import Expander
from ragkit.grammar.schema.keywords import Finding
from ragkit.grammar.schema.recursion import Recursion
from ragkit.grammar.schema.type_schema import described
from ragkit.grammar.schema.values import ExactFloat, Json, is_object

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grammar(Generic[T_co]):
    """A language of replies, bounded unless it is `wide`.

    Attributes:
        ebnf: The grammar in xgrammar's dialect, as vLLM takes it in `structured_outputs`.
        max_bytes: Length of the longest reply in UTF-8 bytes, or slightly more; `UNBOUNDED` where
            nothing bounds it.
        limits: The limits that it was built under.
        checked: Keywords that are only checked after decoding, so that a reply may still fail.
    """

    ebnf: str
    max_bytes: int
    limits: Limits
    checked: tuple[Finding, ...] = ()
    _recipe: "Recipe[T_co]" = field(repr=False, compare=False)

    @property
    def form(self) -> JsonForm:
        """The reply as JSON, for servers that know no grammars."""
        return self._recipe.form

    @property
    def bounds(self) -> Mapping[str, int]:
        """The limits that bound a reply beside the schema's own bounds, by name."""
        return self.limits.bounds

    @property
    def max_tokens(self) -> int:
        """Tokens that always suffice: one for each byte, and one that ends the reply."""
        return self.max_bytes + 1

    def parse(self, text: str) -> T_co:
        """Read a reply.

        Raises:
            InputError: It is not of this grammar, or fails a check; names keyword and path.
        """
        return self._recipe.read(text)

    def wide(self) -> "Grammar[T_co]":
        """Return this grammar without bounds but those of the schema; see `Limits.wide`.

        Limits that differ from the defaults stay, and so does a fitted grammar. A reply may
        end by `max_tokens` instead of by itself; then ask again under `fit`.
        """
        return self._recipe.grammar(self.limits.wide())

    def fit(self, context_tokens: int, *, bytes_per_token: float = 1.0) -> "Grammar[T_co]":
        """Return this grammar with limits tightened until its longest reply fits.

        Limits tighten in the order of `Limits.tightened`.

        Args:
            context_tokens: Tokens for the reply, with the one that ends it.
            bytes_per_token: Bytes that a token stands for on average. With 1, `max_tokens` is
                within `context_tokens`, so that no reply is ever cut; with more, replies of usual
                text fit, and limits are wider.

        Raises:
            ReplyTooLong: Even the tightest limits allow longer replies.
        """
        room = int((context_tokens - 1) * bytes_per_token)
        if self.max_bytes <= room:
            return self
        bounded = self.limits.bounded()
        steps = [bounded, *bounded.tightened()]
        shortest = self._recipe.bytes(steps[-1])
        if shortest > room:
            raise ReplyTooLong(
                f"The longest reply takes {shortest + 1} tokens under the tightest limits, but "
                f"only {context_tokens} are left. Fix: shorten the prompt, or bound the schema's "
                "strings and arrays."
            )
        place = bisect_left(
            steps, True, hi=len(steps) - 1, key=lambda limits: self._recipe.bytes(limits) <= room
        )
        return self._recipe.grammar(steps[place])


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A grammar as expressions: where replies start, and the rules that it refers to."""

    root: Expr
    rules: Rules
    limits: Limits
    checked: tuple[Finding, ...] = ()


_KEPT = 16


@dataclass(frozen=True, slots=True, eq=False)
class Recipe(Generic[T_co]):
    """Builds one grammar under any limits.

    Attributes:
        build: Builds the expressions under limits into the rules, or into fresh ones.
        read: Reads a reply.
        form: The reply as JSON.
    """

    build: Callable[[Limits, Rules], Built]
    read: Callable[[str], T_co]
    form: JsonForm
    _known: dict[Limits, Grammar[T_co]] = field(default_factory=dict[Limits, Any])
    _sizes: dict[Limits, int] = field(default_factory=dict[Limits, int])

    def grammar(self, limits: Limits) -> Grammar[T_co]:
        """Build the grammar, or return the one that was built before."""
        made = self._known.get(limits)
        if made is None:
            with Operation(kind="grammar", name="build") as operation:
                made = self._made(limits)
                operation.facts["grammar_bytes"] = len(made.ebnf)
            # Other threads may work on the same recipe.
            for oldest in list(self._known)[: len(self._known) + 1 - _KEPT]:
                self._known.pop(oldest, None)
            self._known[limits] = made
        return made

    def _made(self, limits: Limits) -> Grammar[T_co]:
        built = self.build(limits, Rules())
        return Grammar(
            ebnf=render(built.root, built.rules.exprs, built.rules.texts),
            max_bytes=Sizes(built.rules.exprs).of(built.root),
            limits=built.limits,
            checked=built.checked,
            _recipe=self,
        )

    def bytes(self, limits: Limits) -> int:
        """Measure the longest reply, without building strings and numbers."""
        if limits not in self._sizes:
            built = self.build(limits, Rules(measuring=True))
            self._sizes[limits] = Sizes(built.rules.exprs).of(built.root)
        return self._sizes[limits]


def load_json(text: str, *, exactly: bool = False) -> Json:
    """Parse JSON.

    Args:
        text: The reply.
        exactly: Whether numbers with a fraction keep their digits, as `ExactFloat`.

    Raises:
        InputError: It is not JSON; the message holds the place.
    """
    try:
        return json.loads(text, parse_float=ExactFloat if exactly else None)
    except (ValueError, RecursionError) as error:
        raise InputError(f"The reply is not JSON ({error}): {text[:200]!r}") from error


def json_grammar(schema_or_type: Any, *, limits: Limits | None = None) -> Grammar[Any]:
    """Build the grammar of a JSON Schema's instances, or of a type's values.

    Replies are canonical JSON: no optional white space, properties in the order of the schema,
    no escapes but the needed ones.

    Args:
        schema_or_type: A JSON Schema (dict or bool; draft 2020-12, older spellings are read
            too), or any type that pydantic's TypeAdapter takes: a model, a dataclass, a
            TypedDict, a union. `parse` then returns a value of that type.
        limits: Bounds where the schema has none or wider ones.

    Raises:
        InputError: A keyword cannot be honoured; the message names it and its path.
    """
    limits = limits or Limits()
    if isinstance(schema_or_type, dict | bool):
        return schema_grammar(schema_or_type, limits, read=load_json)
    kind = described(schema_or_type)
    return schema_grammar(kind.schema, limits, read=kind.read, closed=True)


def schema_grammar(
    schema: Json, limits: Limits, *, read: Callable[[str], T], closed: bool = False
) -> Grammar[T]:
    """Build the grammar of a schema.

    Args:
        schema: The JSON Schema.
        limits: Bounds where the schema has none or wider ones.
        read: Turns a checked reply into a value.
        closed: Whether objects have only the properties that the schema declares, unless it
            asks for others.
    """
    source = Source(schema)
    checker = Checker(source)
    expander, recursion = Expander(source, checker), Recursion(source)

    def parse(text: str) -> T:
        checker.check(load_json(text, exactly=True))
        return read(text)

    def build(limits: Limits, rules: Rules) -> Built:
        limits = replace(limits, undeclared=0) if closed else limits
        return _shallow(Builder(expander, recursion, limits, rules))

    form = JsonForm(schema=schema if is_object(schema) else {} if schema else {"not": {}})
    return Recipe(build, parse, form).grammar(limits)


def _shallow(builder: Builder) -> Built:
    """Build the grammar with as much depth as the number of rules allows."""
    for depth in range(builder.limits.depth, 0, -1):
        limits = replace(builder.limits, depth=depth)
        at_depth = replace(builder, limits=limits, rules=builder.rules.fresh())
        with contextlib.suppress(TooManyRulesError, RecursionError):
            root = at_depth.root()
            if root is None:
                raise InputError(
                    "No finite value satisfies the schema. Fix: remove the keywords that "
                    "contradict each other."
                )
            checked = tuple(builder.expander.findings.values())
            return Built(root=root, rules=at_depth.rules, limits=limits, checked=checked)
    raise InputError("The schema's grammar becomes too large. Fix: split the schema.")
