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
    Sized,
    alt,
    chars,
    rep,
    seq,
)

# The standard library has no public parser of patterns; this one has been there since 3.11.
_parser: Any = importlib.import_module("re._parser")
_START, _END, _BOUNDARY = Ref("^"), Ref("$"), Ref("b")
_ANYTHING = Rep(Chars(charset.TEXT), 0, UNBOUNDED)
_NAMED_GROUP = re.compile(r"\(\?<(?=[A-Za-z_])")
_PROPERTY = re.compile(r"\\(?P<sign>[pP])\{(?:General_Category=|gc=)?(?P<name>\w+)\}")
_CATEGORY_NAMES = {
    "Letter": "L",
    "Lowercase_Letter": "Ll",
    "Uppercase_Letter": "Lu",
    "Mark": "M",
    "Number": "N",
    "Decimal_Number": "Nd",
    "Punctuation": "P",
    "Symbol": "S",
    "Separator": "Z",
    "Space_Separator": "Zs",
    "Alphabetic": "L",
}
_SPECIAL_CASES = {
    "k": "\u212a",
    "s": "\u017f",
    "\xe5": "\u212b",
    "i": "\u0130\u0131",
    "\xb5": "\u03bc\u039c",
}
"""Characters that `re` folds into a letter beside its own capital."""
_MAX_FOLDED = 400
_ANCHORS = {
    "AT_BEGINNING": _START,
    "AT_BEGINNING_STRING": _START,
    "AT_END": _END,
    "AT_END_STRING": _END,
    "AT_BOUNDARY": _BOUNDARY,
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
        tree: Any = _parser.parse(as_python(pattern))
    except (re.error, OverflowError, RecursionError) as error:
        raise UnsupportedPatternError(f"not a regular expression: {error}") from error
    if tree.state.flags & re.MULTILINE:
        raise UnsupportedPatternError("the flag m")
    folds = bool(tree.state.flags & re.IGNORECASE)
    items: list[Any] = _with_all_cases(tree) if folds else list(tree)
    if tree.state.flags & re.DOTALL:
        items = _with_line_ends(items)
    ahead, items = _look_ahead(items)
    if ahead and not positive:
        raise UnsupportedPatternError("negation of a look-ahead")
    if not positive and r"\b" in pattern:
        raise UnsupportedPatternError("negation of a word boundary")
    language = _anchored(_sequence(items, wide=not positive))
    if language is None:
        raise UnsupportedPatternError("a class without characters")
    return (*ahead, Constraint(language, positive))


def as_python(pattern: str) -> str:
    r"""Translate ECMA 262's named groups and `\p{...}` into the syntax of Python's `re`.

    Raises:
        UnsupportedPatternError: A property is not a general category of Unicode.
    """
    return _PROPERTY.sub(_category_class, _NAMED_GROUP.sub("(?P<", pattern))


def _category_class(found: re.Match[str]) -> str:
    category = _CATEGORY_NAMES.get(found["name"], found["name"])
    ranges = charset.unicode_category(category)
    if not ranges:
        raise UnsupportedPatternError(f"the property {found['name']!r}")
    if found["sign"] == "P":
        ranges = charset.complement(ranges)
    body = "".join(f"\\U{low:08x}-\\U{high:08x}" for low, high in ranges)
    inside = found.string[: found.start()].count("[", _last_open(found.string, found.start()))
    return body if inside else f"[{body}]"


def _last_open(pattern: str, end: int) -> int:
    """Return the place of the bracket that is open there, or the place itself."""
    opened, index = end, 0
    while index < end:
        if pattern[index] == "\\":
            index += 1
        elif pattern[index] == "[" and opened == end:
            opened = index
        elif pattern[index] == "]" and opened != end and index > opened + 1:
            opened = end
        index += 1
    return opened


def _with_all_cases(tree: Any) -> list[Any]:
    """Replace each letter by its variants, since the automaton knows no flags."""
    return [_folded(operator, value) for operator, value in tree]


def _folded(operator: Any, value: Any) -> Any:
    match _name(operator):
        case "LITERAL":
            return _parser.IN, [(_parser.LITERAL, code) for code in _cases(value)]
        case "NOT_LITERAL":
            members = [(_parser.LITERAL, code) for code in _cases(value)]
            return _parser.IN, [(_parser.NEGATE, None), *members]
        case "IN":
            return operator, [member for found in value for member in _folded_member(*found)]
        case "BRANCH":
            return operator, (value[0], [_with_all_cases(branch) for branch in value[1]])
        case "SUBPATTERN":
            return operator, (*value[:3], _with_all_cases(value[3]))
        case "MAX_REPEAT" | "MIN_REPEAT":
            return operator, (value[0], value[1], _with_all_cases(value[2]))
        case "ASSERT" | "ASSERT_NOT":
            return operator, (value[0], _with_all_cases(value[1]))
        case _:
            return operator, value


def _folded_member(operator: Any, value: Any) -> list[Any]:
    match _name(operator):
        case "LITERAL":
            return [(_parser.LITERAL, code) for code in _cases(value)]
        case "RANGE":
            low, high = value
            if high - low > _MAX_FOLDED:
                raise UnsupportedPatternError("the flag i with a long range of characters")
            return [(_parser.LITERAL, c) for code in range(low, high + 1) for c in _cases(code)]
        case _:
            return [(operator, value)]


@functools.cache
def _cases(code: int) -> tuple[int, ...]:
    """Return the characters that `re` takes for this one where it ignores case."""
    char = chr(code)
    near = {char, char.lower(), char.upper(), *_SPECIAL_CASES.get(char.lower(), "")}
    single = sorted(ord(found) for found in near if len(found) == 1)
    same = re.compile(re.escape(char), re.IGNORECASE)
    return tuple(found for found in single if same.fullmatch(chr(found)))


def _with_line_ends(items: list[Any]) -> list[Any]:
    """Replace each dot by all characters, as the flag s asks for."""
    return [_dotted(operator, value) for operator, value in items]


def _dotted(operator: Any, value: Any) -> Any:
    match _name(operator):
        case "ANY":
            return _parser.IN, [(_parser.RANGE, (0, 0x10FFFF))]
        case "BRANCH":
            return operator, (value[0], [_with_line_ends(branch) for branch in value[1]])
        case "SUBPATTERN":
            return operator, (*value[:3], _with_line_ends(value[3]))
        case "MAX_REPEAT" | "MIN_REPEAT":
            return operator, (value[0], value[1], _with_line_ends(value[2]))
        case _:
            return operator, value


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
        return charset.intersection(found if wide else charset.coarse(found), charset.SCALARS)
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
        case Lit() | Chars() | Sized():
            return False


def _open_ends(expr: Expr) -> Expr | None:
    parts = list(_parts(expr))
    left: Expr = _ANYTHING
    right: Expr = _ANYTHING
    while parts and parts[0] in (_START, _BOUNDARY):
        left = NOTHING if parts.pop(0) == _START else _outside(parts, left, first=True)
    while parts and parts[-1] in (_END, _BOUNDARY):
        right = NOTHING if parts.pop() == _END else _outside(parts, right, first=False)
    if any(map(_has_anchor, parts)):
        raise UnsupportedPatternError("an anchor in the middle")
    return seq(left, *parts, right)


def _outside(parts: list[Expr], beyond: Expr, *, first: bool) -> Expr:
    """Return the text beyond a word boundary: nothing, or text with no letter next to it."""
    edge = next((p for p in (parts if first else reversed(parts)) if not _has_anchor(p)), NOTHING)
    if not _is_word(edge, first=first):
        raise UnsupportedPatternError("a word boundary beside what may be no word")
    if beyond == NOTHING:
        return NOTHING
    other = Chars(charset.difference(charset.TEXT, charset.category("w", wide=True)))
    more = (beyond, other) if first else (other, beyond)
    return alt([NOTHING, seq(*more)]) or NOTHING


def _is_word(expr: Expr, *, first: bool) -> bool:
    """Return whether the expression surely begins (or ends) with a letter, digit or underscore."""
    match expr:
        case Lit(text):
            return bool(text) and _is_word(Chars(charset.of(text[0 if first else -1])), first=first)
        case Chars(ranges):
            return charset.difference(ranges, charset.WORD) == ()
        case Seq(parts):
            return _is_word(parts[0 if first else -1], first=first)
        case Alt(options):
            return all(_is_word(option, first=first) for option in options)
        case Rep(item, lo, _):
            return lo > 0 and _is_word(item, first=first)
        case _:
            return False
