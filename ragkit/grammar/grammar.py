"""`Grammar`: the EBNF of a reply, the length of the longest one, and its parser."""

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from ragkit.core.errors import InputError
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
from ragkit.grammar.schema.values import ExactFloat, Json

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grammar(Generic[T_co]):
    """A bounded language of replies.

    Attributes:
        ebnf: The grammar in xgrammar's dialect, as vLLM takes it in `structured_outputs`.
        max_bytes: Length of the longest reply in UTF-8 bytes, or slightly more.
        limits: The limits that it was built under.
        checked: Keywords that are only checked after decoding, so that a reply may still fail.
    """

    ebnf: str
    max_bytes: int
    limits: Limits
    checked: tuple[Finding, ...] = ()
    _read: Callable[[str], T_co] = field(repr=False, compare=False)
    _rebuild: Callable[[Limits], "Grammar[T_co]"] = field(repr=False, compare=False)

    @property
    def max_tokens(self) -> int:
        """Tokens that always suffice: one for each byte, and one that ends the reply."""
        return self.max_bytes + 1

    def parse(self, text: str) -> T_co:
        """Read a reply.

        Raises:
            InputError: It is not of this grammar, or fails a check; names keyword and path.
        """
        return self._read(text)

    def wide(self) -> "Grammar[T_co]":
        """Return this grammar without bounds but those of the schema; see `Limits.wide`.

        Its replies may end by `max_tokens` instead of by themselves; then ask again under `fit`.
        """
        return self._rebuild(self.limits.wide())

    def fit(self, context_tokens: int) -> "Grammar[T_co]":
        """Return this grammar with limits tightened until `max_tokens` is within `context_tokens`.

        Limits tighten in the order of `Limits.tightened`.

        Raises:
            InputError: Even the tightest limits allow longer replies.
        """
        if self.max_tokens <= context_tokens:
            return self
        steps = list(self.limits.tightened())
        low, high = 0, len(steps)
        while low < high:
            middle = (low + high) // 2
            if self._rebuild(steps[middle]).max_tokens <= context_tokens:
                high = middle
            else:
                low = middle + 1
        if low == len(steps):
            least = self._rebuild(steps[-1]) if steps else self
            raise InputError(
                f"The longest reply takes {least.max_tokens} tokens under the tightest limits, but "
                f"only {context_tokens} are left. Fix: shorten the prompt, or bound the "
                "schema's strings and arrays."
            )
        return self._rebuild(steps[low])


def assemble(
    root: Expr,
    rules: Rules,
    *,
    limits: Limits,
    read: Callable[[str], T],
    rebuild: Callable[[Limits], Grammar[T]],
    checked: tuple[Finding, ...] = (),
) -> Grammar[T]:
    """Make a grammar of a root expression and its rules."""
    return Grammar(
        ebnf=render(root, rules.exprs, rules.texts),
        max_bytes=Sizes(rules.exprs).of(root),
        limits=limits,
        checked=checked,
        _read=read,
        _rebuild=rebuild,
    )


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
    return schema_grammar(kind.schema, replace(limits, undeclared=0), read=kind.read)


def schema_grammar(schema: Json, limits: Limits, *, read: Callable[[str], T]) -> Grammar[T]:
    """Build the grammar of a schema; `read` turns a checked reply into a value."""
    source = Source(schema)
    checker = Checker(source)
    expander, recursion = Expander(source, checker), Recursion(source)

    def parse(text: str) -> T:
        checker.check(load_json(text, exactly=True))
        return read(text)

    def build(limits: Limits) -> Grammar[T]:
        limits, root, rules = _shallow(expander, recursion, limits)
        checked = tuple(expander.findings.values())
        return assemble(root, rules, limits=limits, read=parse, rebuild=build, checked=checked)

    return build(limits)


def _shallow(
    expander: Expander, recursion: Recursion, limits: Limits
) -> tuple[Limits, Expr, Rules]:
    """Build the grammar with as much depth as the number of rules allows."""
    for depth in range(limits.depth, 0, -1):
        at_depth = replace(limits, depth=depth)
        with contextlib.suppress(TooManyRulesError, RecursionError):
            return at_depth, *_built(expander, recursion, at_depth)
    raise InputError("The schema's grammar becomes too large. Fix: split the schema.")


def _built(expander: Expander, recursion: Recursion, limits: Limits) -> tuple[Expr, Rules]:
    builder = Builder(expander, recursion, limits)
    root = builder.root()
    if root is None:
        raise InputError(
            "No finite value satisfies the schema. Fix: remove the keywords that contradict each "
            "other."
        )
    return root, builder.rules
