"""Regular expressions as languages of whole strings.

Patterns are read by the parser of Python's `re`, whose `search` also checks them after decoding.
Repetitions without an upper bound have `UNBOUNDED` as theirs until a limit replaces it.
"""

import functools
import importlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ragkit.grammar.ebnf import charset
from ragkit.grammar.ebnf.expression import (
    NOTHING,
    UNBOUNDED,
    Ahead,
    Alt,
    Chars,
    Expr,
    Lit,
    Ranges,
    Ref,
    Rep,
    Seq,
    alt,
    chars,
    rep,
    seq,
)

# The standard library has no public parser of patterns; this one has been there since 3.11.
_parser: Any = importlib.import_module("re._parser")
_START, _END = Ref("^"), Ref("$")
_ANYTHING = Rep(Chars(charset.TEXT), 0, UNBOUNDED)
_NAMED_GROUP = re.compile(r"\(\?<(?=[A-Za-z_])")
_ANCHORS = {
    "AT_BEGINNING": _START,
    "AT_BEGINNING_STRING": _START,
    "AT_END": _END,
    "AT_END_STRING": _END,
}


class UnsupportedPatternError(ValueError):
    """The pattern uses a construct that no grammar can express; the message names it."""


@dataclass(frozen=True, slots=True)
class Constraint:
    """Strings of the language if `positive`, else all strings but these."""

    language: Expr
    positive: bool = True


@functools.lru_cache(maxsize=4096)
def constraints(pattern: str, *, positive: bool = True) -> tuple[Constraint, ...]:
    """Return the constraints of strings that match (or don't match) the pattern somewhere.

    Raises:
        UnsupportedPatternError: Back references, look-behind, or assertions other than anchors
            at the ends of alternatives and look-ahead at the start.
    """
    try:
        tree: Any = _parser.parse(_NAMED_GROUP.sub("(?P<", pattern))
    except (re.error, OverflowError, RecursionError) as error:
        raise UnsupportedPatternError(f"not a regular expression: {error}") from error
    items: list[Any] = list(tree)
    ahead, items = _look_ahead(items)
    if ahead and not positive:
        raise UnsupportedPatternError("negation of a look-ahead")
    language = _anchored(_sequence(items, wide=not positive))
    if language is None:
        raise UnsupportedPatternError("a class without characters")
    return (*ahead, Constraint(language, positive))


def _look_ahead(items: list[Any]) -> tuple[list[Constraint], list[Any]]:
    if not items or _name(items[0][0]) != "AT" or _ANCHORS.get(_name(items[0][1])) is not _START:
        return [], items
    found: list[Constraint] = []
    while len(items) > 1 and _name(items[1][0]) in ("ASSERT", "ASSERT_NOT"):
        operator, (direction, body) = items.pop(1)
        positive = _name(operator) == "ASSERT"
        if direction < 0:
            raise UnsupportedPatternError("look-behind")
        language = _anchored(seq(_START, _sequence(list(body), wide=not positive)))
        if language is not None:
            found.append(Constraint(language, positive))
    return found, items


def _name(constant: object) -> str:
    return str(constant)


def _sequence(items: Sequence[Any], *, wide: bool) -> Expr | None:
    return seq(NOTHING, *(_item(_name(operator), value, wide=wide) for operator, value in items))


def _item(operator: str, value: Any, *, wide: bool) -> Expr | None:
    match operator:
        case "LITERAL":
            return chars(charset.intersection(((value, value),), charset.SCALARS))
        case "NOT_LITERAL":
            return Chars(charset.difference(charset.TEXT, ((value, value),)))
        case "ANY":
            excluded = charset.of("\n") if wide else charset.LINE_ENDS
            return Chars(charset.difference(charset.SCALARS if wide else charset.TEXT, excluded))
        case "IN":
            return chars(_set(value, wide=wide))
        case "BRANCH":
            return alt([_sequence(list(branch), wide=wide) for branch in value[1]])
        case "SUBPATTERN" if not value[1] and not value[2]:
            return _sequence(list(value[3]), wide=wide)
        case "MAX_REPEAT" | "MIN_REPEAT":
            low, high, body = value
            bound = UNBOUNDED if high is _parser.MAXREPEAT else int(high)
            return rep(_sequence(list(body), wide=wide), low, bound)
        case "AT" if _name(value) in _ANCHORS:
            return _ANCHORS[_name(value)]
        case _:
            raise UnsupportedPatternError(operator.lower().replace("_", " "))


def _set(items: Sequence[Any], *, wide: bool) -> Ranges:
    negated = _name(items[0][0]) == "NEGATE"
    parts = [
        _set_item(_name(operator), value, wide=wide != negated)
        for operator, value in (items[1:] if negated else items)
    ]
    found = charset.union(*parts)
    if not negated:
        return charset.intersection(found, charset.SCALARS)
    return charset.difference(charset.SCALARS if wide else charset.TEXT, found)


def _set_item(operator: str, value: Any, *, wide: bool) -> Ranges:
    if operator == "LITERAL":
        return ((value, value),)
    if operator == "RANGE":
        return (value,)
    *negation, letter = _name(value).removeprefix("CATEGORY_").split("_")
    name = {"DIGIT": "d", "WORD": "w", "SPACE": "s"}[letter]
    if not negation:
        return charset.category(name, wide=wide)
    everything = charset.SCALARS if wide else charset.TEXT
    return charset.difference(everything, charset.category(name, wide=not wide))


def _anchored(expr: Expr | None) -> Expr | None:
    if expr is None:
        return None
    return alt([_open_ends(option) for option in _distribute(_distribute([expr], 0), -1)])


def _distribute(options: list[Expr], end: int) -> list[Expr]:
    """Expand alternatives at one end until no anchor is inside a group there."""
    done: list[Expr] = []
    while options:
        parts = _parts(options.pop(0))
        last = parts[end]
        inner = _alternatives(last) if _has_anchor(last) and not isinstance(last, Ref) else []
        for option in inner:
            rest = (option, *parts[1:]) if end == 0 else (*parts[:-1], option)
            if (whole := seq(*rest)) is not None:
                options.append(whole)
        if not inner:
            done.append(Seq(parts))
    return done


def _parts(expr: Expr) -> tuple[Expr, ...]:
    return expr.parts if isinstance(expr, Seq) else (expr,)


def _alternatives(expr: Expr) -> list[Expr]:
    match expr:
        case Alt(options):
            return list(options)
        case Rep(item, 0, 1):
            return [NOTHING, item]
        case Rep(item, 1, 1) | Seq((item,)):
            return [item]
        case _:
            raise UnsupportedPatternError("an anchor inside a repetition")


def _has_anchor(expr: Expr) -> bool:
    match expr:
        case Ref():
            return True
        case Seq(items) | Alt(items):
            return any(map(_has_anchor, items))
        case Rep(item) | Ahead(item):
            return _has_anchor(item)
        case Lit() | Chars():
            return False


def _open_ends(expr: Expr) -> Expr | None:
    parts = list(_parts(expr))
    left: Expr = _ANYTHING
    right: Expr = _ANYTHING
    while parts and parts[0] == _START:
        left = parts.pop(0) and NOTHING
    while parts and parts[-1] == _END:
        right = parts.pop() and NOTHING
    if any(map(_has_anchor, parts)):
        raise UnsupportedPatternError("an anchor in the middle")
    return seq(left, *parts, right)
