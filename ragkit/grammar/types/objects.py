"""Objects of a branch: declared properties in their order, then free entries."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from ragkit.core.errors import InputError
from ragkit.grammar.ebnf.expression import NOTHING, Expr, Lit, Ref, alt, less, rep, seq
from ragkit.grammar.ebnf.json_escapes import json_text
from ragkit.grammar.ebnf.rules import Rules
from ragkit.grammar.limits import Limits
from ragkit.grammar.schema.document import Keywords, Source
from ragkit.grammar.schema.expansion import Node
from ragkit.grammar.schema.values import is_array

_FREE_KEYWORDS = frozenset({"additionalProperties", "patternProperties", "unevaluatedProperties"})
Build: TypeAlias = Callable[[Node], Expr | None]
"""Gives the expression of a node."""
Valid: TypeAlias = Callable[[str, Any], bool]
"""Whether a value satisfies the schema at a pointer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectShape:
    """The constraints of an object.

    Attributes:
        properties: Name to the node of its value, in the order of writing.
        required: Names that must be there.
        entries: (key node, value node) of entries beside the properties.
        lo: Least number of entries.
        hi: Greatest number, or None.
        free: Greatest number of entries beside the properties.
    """

    properties: dict[str, Node]
    required: frozenset[str]
    entries: tuple[tuple[Node, Node], ...]
    lo: int
    hi: int | None
    free: int


def object_shape(
    found: list[Keywords], source: Source, limits: Limits, valid: Valid
) -> ObjectShape | None:
    """Gather the object keywords of a branch; None where they contradict each other."""
    required = {name: None for keywords in found for name in _names(keywords)}
    forbidden = {name for keywords in found for name in keywords.get("$forbid", [])}
    if forbidden & required.keys():
        return None
    names = {name: None for keywords in found for name in keywords.get("properties", {})} | required
    key_nodes = tuple(k["propertyNames"] for k in found if "propertyNames" in k)
    allowed = [n for n in names if n not in forbidden and all(valid(p, n) for p in key_nodes)]
    highest = [int(keywords["maxProperties"]) for keywords in found if "maxProperties" in keywords]
    if not required.keys() <= set(allowed):
        return None
    short = source.make(maxLength=limits.key_length)
    return ObjectShape(
        properties={name: _value_node(found, name) for name in allowed},
        required=frozenset(required),
        entries=tuple(
            _entries(found, source, (*key_nodes, short), sorted(names.keys() | forbidden))
        ),
        lo=max((int(keywords.get("minProperties", 0)) for keywords in found), default=0),
        hi=min(highest, default=None),
        free=_free(found, limits),
    )


def _names(keywords: Keywords) -> list[str]:
    required = keywords.get("required", [])
    return [name for name in required if isinstance(name, str)] if is_array(required) else []


def _free(found: list[Keywords], limits: Limits) -> int:
    """Count the undeclared entries: they need an explicit schema, or no declared property."""
    explicit = any(_FREE_KEYWORDS & k.keys() for k in found)
    declared = any("properties" in keywords for keywords in found)
    least = max((int(keywords.get("minProperties", 0)) for keywords in found), default=0)
    return max(least, limits.undeclared if declared and not explicit else limits.map_entries)


def _value_node(found: list[Keywords], name: str) -> Node:
    node: list[str] = []
    for keywords in found:
        matching = [
            p
            for pattern, p in keywords.get("patternProperties", {}).items()
            if _matches(pattern, name)
        ]
        if name in keywords.get("properties", {}):
            matching.insert(0, keywords["properties"][name])
        if not matching and "additionalProperties" in keywords:
            matching = [keywords["additionalProperties"]]
        node.extend(matching)
    return tuple(dict.fromkeys(node or _unevaluated(found)))


def _unevaluated(found: list[Keywords]) -> Node:
    """Return the schemas of a property that no other keyword speaks of."""
    if any("additionalProperties" in keywords for keywords in found):
        return ()
    return tuple(k["unevaluatedProperties"] for k in found if "unevaluatedProperties" in k)


def _matches(pattern: str, name: str) -> bool:
    try:
        return re.search(pattern, name) is not None
    except re.error as error:
        raise InputError(
            f"The pattern {pattern!r} in patternProperties is no regular expression: {error}"
        ) from error


def _entries(
    found: list[Keywords], source: Source, key_nodes: Node, names: list[str]
) -> Iterator[tuple[Node, Node]]:
    """Yield keys of each pattern alone, then keys of none, all without the declared names."""
    patterns = list(dict.fromkeys(p for k in found for p in k.get("patternProperties", {})))
    base = (source.make(**{"type": ["string"], "$except": names}), *key_nodes)
    for pattern in (*patterns, None):
        others = [source.make(**{"$notPattern": other}) for other in patterns if other != pattern]
        own = [] if pattern is None else [source.make(pattern=pattern)]
        value: list[str] = []
        for keywords in found:
            if pattern in keywords.get("patternProperties", {}):
                value.append(keywords["patternProperties"][pattern])
            elif "additionalProperties" in keywords:
                value.append(keywords["additionalProperties"])
        if pattern is None:
            value.extend(_unevaluated(found))
        yield (*base, *own, *others), tuple(dict.fromkeys(value))


class ObjectWriter:
    """Writes the objects of one shape, with one rule per property and count of entries."""

    def __init__(self, shape: ObjectShape, build: Build, rules: Rules) -> None:
        """Build the entries that can be written at all."""
        self._shape, self._rules = shape, rules
        values = {name: build(node) for name, node in shape.properties.items()}
        self._names = [
            name for name in values if values[name] is not None or name in shape.required
        ]
        self._possible = all(values[name] is not None for name in shape.required)
        self._entry = {
            name: self._named(seq(Lit(f"{json_text(name)}:"), values[name])) for name in self._names
        }
        self._free = self._free_entry(build) if shape.free and self._possible else None
        self._counted = self._cap()
        self._known: dict[tuple[int, int], Expr | None] = {}

    def _free_entry(self, build: Build) -> Expr | None:
        options: list[Expr | None] = []
        for keys, node in self._shape.entries:
            value = build(node)
            key = None if value is None else _optional(build, keys)
            options.append(seq(key, Lit(":"), value))
        entry = alt(options)
        return None if entry is None else self._rules.add(entry)

    def _cap(self) -> int:
        """Return the count at which entries stop being told apart."""
        fixed = len(self._shape.required)
        most = len(self._names) + (self._shape.free if self._free else 0)
        hi = self._shape.hi
        if hi is not None and hi < most:
            return max(hi + 1, self._shape.lo, 1)
        return max(self._shape.lo if self._shape.lo > fixed else 1, 1)

    def expr(self) -> Expr | None:
        """Build the objects; None where none exist."""
        if not self._possible:
            return None
        for index in range(len(self._names) - 1, 0, -1):  # from the end, so that nothing recurses
            for count in range(min(index, self._counted) + 1):
                self._from(index, count)
        return seq(Lit("{"), self._from(0, 0), Lit("}"))

    def _from(self, index: int, count: int) -> Expr | None:
        hi = self._shape.hi
        if hi is not None and count > hi:
            return None
        if index == len(self._names):
            return self._tail(count)
        key = (index, count)
        if key not in self._known:
            self._known[key] = self._step(index, count)
        return self._known[key]

    def _step(self, index: int, count: int) -> Expr | None:
        name = self._names[index]
        comma = Lit(",") if count else NOTHING
        after = self._from(index + 1, min(count + 1, self._counted))
        taken = seq(comma, self._entry[name], after)
        if name in self._shape.required:
            return taken
        if count and min(count + 1, self._counted) == count:
            after = self._named(after)
            return self._named(alt([seq(comma, self._entry[name], after), after]))
        return self._named(alt([taken, self._from(index + 1, count)]))

    def _named(self, expr: Expr | None) -> Expr | None:
        """Make it a rule of its own, so that the grammar stays linear in the properties."""
        return expr if expr is None or isinstance(expr, Ref | Lit) else self._rules.add(expr)

    def _tail(self, count: int) -> Expr | None:
        hi, known = self._shape.hi, min(count, self._counted)
        counted = self._counted > 1 or self._shape.lo > len(self._shape.required)
        lo = max(self._shape.lo - known, 0) if counted else 0
        most = self._shape.free if hi is None else min(self._shape.free, hi - count)
        if hi is not None and self._counted == 1:
            most = min(self._shape.free, max(hi - len(self._names), 0))
        if self._free is None or most <= 0:
            return NOTHING if lo == 0 else None
        if count:
            return rep(seq(Lit(","), self._free), lo, most)
        more = seq(self._free, rep(seq(Lit(","), self._free), max(lo - 1, 0), less(most, 1)))
        return alt([NOTHING if lo == 0 else None, more])


def _optional(build: Build, keys: Node) -> Expr | None:
    """Build the keys; None where a pattern is unsupported, since entries are optional."""
    try:
        return build(keys)
    except InputError:
        return None
