"""The negation of a schema, keyword by keyword, as alternatives.

Each alternative is a list of pointers that hold together. Alternatives that cannot be expressed
are left out, which only makes the negation narrower.
"""

from collections.abc import Callable, Mapping
from itertools import islice, product
from typing import Any, TypeAlias

from ragkit.grammar.schema.document import Keywords, Source

Alternatives: TypeAlias = list[tuple[str, ...]]
TYPES = ("null", "boolean", "integer", "fraction", "string", "array", "object")
"""The types of values; `fraction` is a number that is not an integer."""
_MAX = 64

_OPPOSITE: Mapping[str, tuple[str, str, int]] = {
    "minimum": ("number", "exclusiveMaximum", 0),
    "maximum": ("number", "exclusiveMinimum", 0),
    "exclusiveMinimum": ("number", "maximum", 0),
    "exclusiveMaximum": ("number", "minimum", 0),
    "minLength": ("string", "maxLength", -1),
    "maxLength": ("string", "minLength", 1),
    "minItems": ("array", "maxItems", -1),
    "maxItems": ("array", "minItems", 1),
    "minProperties": ("object", "maxProperties", -1),
    "maxProperties": ("object", "minProperties", 1),
    "pattern": ("string", "$notPattern", 0),
}
"""Keyword to its type, the opposite keyword, and the number to add to the value."""


def expand_types(names: Any) -> frozenset[str]:
    """Translate the value of `type` into the terms of `TYPES`."""
    found = set([names] if isinstance(names, str) else names)
    return frozenset(found - {"number"} | ({"integer", "fraction"} if "number" in found else set()))


def negate(source: Source, pointer: str, seen: frozenset[str] = frozenset()) -> Alternatives:
    """Return alternatives that contradict the schema there; empty if none are known."""
    keywords = source.keywords(pointer)
    if isinstance(keywords, bool):
        return [] if keywords else [()]
    if pointer in seen:
        return []
    return [
        alternative
        for keyword, value in keywords.items()
        for alternative in _negate_keyword(source, keyword, value, keywords, seen | {pointer})
    ]


def _negate_keyword(
    source: Source, keyword: str, value: Any, keywords: Keywords, seen: frozenset[str]
) -> Alternatives:
    if keyword in _OPPOSITE:
        kind, opposite, change = _OPPOSITE[keyword]
        value = int(value) + change if change else value
        return [] if value == -1 else [(source.make(**{"type": [kind], opposite: value}),)]
    handler = _HANDLERS.get(keyword)
    return handler(source, value, keywords, seen) if handler else []


_Handler: TypeAlias = Callable[[Source, Any, Keywords, frozenset[str]], Alternatives]


def _type(source: Source, value: Any, keywords: Keywords, seen: frozenset[str]) -> Alternatives:
    others = sorted(set(TYPES) - expand_types(value))
    return [(source.make(type=others),)]


def _enum(source: Source, value: Any, keywords: Keywords, seen: frozenset[str]) -> Alternatives:
    return [(source.make(**{"$except": list(value)}),)]


def _const(source: Source, value: Any, keywords: Keywords, seen: frozenset[str]) -> Alternatives:
    return _enum(source, [value], keywords, seen)


def _required(source: Source, value: Any, keywords: Keywords, seen: frozenset[str]) -> Alternatives:
    return [(source.make(**{"type": ["object"], "$forbid": [name]}),) for name in value]


def _properties(
    source: Source, value: Any, keywords: Keywords, seen: frozenset[str]
) -> Alternatives:
    return [
        (source.make(type=["object"], required=[name], properties={name: _all(source, option)}),)
        for name, child in value.items()
        for option in negate(source, child, seen)
    ]


def _all(source: Source, pointers: tuple[str, ...]) -> str:
    return pointers[0] if len(pointers) == 1 else source.make(allOf=list(pointers))


def _any_of(source: Source, value: Any, keywords: Keywords, seen: frozenset[str]) -> Alternatives:
    return conjoin([negate(source, child, seen) for child in value])


def _all_of(source: Source, value: Any, keywords: Keywords, seen: frozenset[str]) -> Alternatives:
    return [alternative for child in value for alternative in negate(source, child, seen)]


def _not(source: Source, value: Any, keywords: Keywords, seen: frozenset[str]) -> Alternatives:
    return [(value,)]


def _ref(source: Source, value: Any, keywords: Keywords, seen: frozenset[str]) -> Alternatives:
    return negate(source, value, seen)


def _items(source: Source, value: Any, keywords: Keywords, seen: frozenset[str]) -> Alternatives:
    if "prefixItems" in keywords:
        return []
    other = source.make(**{"not": value})
    return [(source.make(type=["array"], contains=other),)]


def _contains(source: Source, value: Any, keywords: Keywords, seen: frozenset[str]) -> Alternatives:
    if "minContains" in keywords or "maxContains" in keywords:
        return []
    return [(source.make(type=["array"], items=source.make(**{"not": value})),)]


_HANDLERS: Mapping[str, _Handler] = {
    "type": _type,
    "enum": _enum,
    "const": _const,
    "required": _required,
    "properties": _properties,
    "anyOf": _any_of,
    "allOf": _all_of,
    "not": _not,
    "$ref": _ref,
    "items": _items,
    "contains": _contains,
}


def conjoin(choices: list[Alternatives]) -> Alternatives:
    """Combine one alternative of each; only the first combinations where there are too many."""
    found: Alternatives = [()]
    for alternatives in choices:
        found = [left + right for left, right in islice(product(found, alternatives), _MAX)]
    return found
