"""Characters inside JSON strings: those written as they are, and those that are escaped."""

import json

from ragkit.grammar.ebnf import charset
from ragkit.grammar.ebnf.expression import Expr, Lit, Ranges, alt, chars, seq

_ESCAPED = charset.union(((0x00, 0x1F),), charset.of('"\\'))
_SHORT = {'"': '"', "\\": "\\", "\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t"}
_SHORT_SET = charset.of(_SHORT)


def json_text(value: object) -> str:
    """Write a value as canonical JSON: no white space, no needless escapes, keys in their order."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def escapes(ranges: Ranges) -> Expr | None:
    """Return the escapes of those characters of the set that JSON doesn't allow raw."""
    short = charset.intersection(ranges, _SHORT_SET)
    letters = charset.of(_SHORT[chr(c)] for low, high in short for c in range(low, high + 1))
    long = charset.intersection(ranges, charset.CONTROLS)
    codes = [Lit(f"\\u{c:04x}") for low, high in long for c in range(low, high + 1)]
    return alt([seq(Lit("\\"), chars(letters)), *codes])


def plain(ranges: Ranges) -> Expr | None:
    """Return the characters of the set that are written as they are."""
    return chars(charset.difference(ranges, _ESCAPED))


def json_char(ranges: Ranges) -> Expr | None:
    """Return one character of the set as it is written inside a JSON string."""
    return alt([plain(ranges), escapes(ranges)])
