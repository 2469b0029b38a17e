"""Characters inside JSON strings: escapes, and long runs whose token masks stay cheap.

How a run is written decides what compiling and decoding cost, because xgrammar computes one token
mask per automaton state and checks at run time every token that crosses the end of a small rule.
Measured on 30,000 tokens and one shared core: `(class | escape){0,1000}` costs 670 ms per decoded
token and a chain of 1,000 rules 18 s to compile; the forms below take some seconds to compile once
per tokenizer (rules of equal content share their masks) and then 0.1 ms per token.
"""

import functools
import json

from ragkit.llm.grammar import charset
from ragkit.llm.grammar.expression import (
    NOTHING,
    Ahead,
    Alt,
    Chars,
    Expr,
    Lit,
    Ranges,
    Rep,
    Seq,
    alt,
    chars,
    rep,
    seq,
)
from ragkit.llm.grammar.rules import Rules

_ESCAPED = charset.union(((0x00, 0x1F),), charset.of('"\\'))
_SHORT = {'"': '"', "\\": "\\", "\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t"}
_SHORT_SET = charset.of(_SHORT)
_ENDS = charset.of('"\\')
_CHAIN = 64
_TAIL = 16
_BLOCKS = 6
_ESCAPE_COUNTS = (15, 63)


def json_text(value: object) -> str:
    """A value as canonical JSON: no white space, no needless escapes, keys in their order."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def escapes(ranges: Ranges) -> Expr | None:
    """The escapes that write those characters of the set that JSON doesn't allow raw."""
    short = charset.intersection(ranges, _SHORT_SET)
    letters = charset.of(_SHORT[chr(c)] for low, high in short for c in range(low, high + 1))
    long = charset.intersection(ranges, charset.CONTROLS)
    codes = [Lit(f"\\u{c:04x}") for low, high in long for c in range(low, high + 1)]
    return alt([seq(Lit("\\"), chars(letters)), *codes])


def plain(ranges: Ranges) -> Expr | None:
    """The characters of the set that stand for themselves."""
    return chars(charset.difference(ranges, _ESCAPED))


def json_char(ranges: Ranges) -> Expr | None:
    """One character of the set as it is written inside a JSON string."""
    return alt([plain(ranges), escapes(ranges)])


def json_content(expr: Expr, rules: Rules) -> Expr | None:
    """A bounded language of strings, written as the inside of a JSON string."""
    match expr:
        case Lit(text):
            return Lit(json_text(text)[1:-1])
        case Chars(ranges):
            return json_char(ranges)
        case Seq(parts):
            return seq(*(json_content(part, rules) for part in parts))
        case Alt(options):
            return alt([json_content(option, rules) for option in options])
        case Rep(Chars(ranges), lo, hi):
            return run(ranges, lo, hi, rules)
        case Rep(item, lo, hi):
            return rep(json_content(item, rules), lo, hi)
        case _:
            raise TypeError(expr)


def raw_content(expr: Expr, rules: Rules) -> Expr | None:
    """A bounded language of strings, written as it is."""
    match expr:
        case Seq(parts):
            return seq(*(raw_content(part, rules) for part in parts))
        case Alt(options):
            return alt([raw_content(option, rules) for option in options])
        case Rep(Chars() as item, lo, hi):
            found: Chars = item
            return rules.once(("raw", item, lo, hi), lambda: _plain_run(found, lo, hi, rules))
        case Rep(item, lo, hi):
            return rep(raw_content(item, rules), lo, hi)
        case _:
            return expr


def run(ranges: Ranges, lo: int, hi: int, rules: Rules) -> Expr | None:
    """`lo` to `hi` characters of the set, as written inside a JSON string.

    Beyond 64 characters the number of escapes is bounded too: up to 5 at any distance (each
    distance rounded up to sixths of the length), up to 15 with a 16th of the length between
    two of them, or up to 63 with a 64th.
    """
    raw, special = plain(ranges), escapes(ranges)
    if not isinstance(raw, Chars):
        return rep(special, lo, hi)
    unescaped: Chars = raw
    if special is None:
        return rules.once(("plain", ranges, lo, hi), lambda: _plain_run(unescaped, lo, hi, rules))
    if hi <= _CHAIN or lo > 0:
        return _chain(ranges, lo, hi, rules)
    return rules.once(("run", ranges, hi), lambda: _long_run(ranges, hi, rules))


def _chain(ranges: Ranges, lo: int, hi: int, rules: Rules) -> Expr | None:
    if hi < lo:
        return None
    if hi == 0:
        return NOTHING
    if lo > 4 * _CHAIN:
        head = rep(json_char(ranges), lo, lo)
        return seq(head, run(ranges, 0, hi - lo, rules))
    rest: Expr | None = None
    for taken in range(_chain_length(lo, hi), -1, -1):
        rest = _link(ranges, max(lo - taken, 0), hi - taken, rest, rules)
    return rest


def _chain_length(lo: int, hi: int) -> int:
    return hi if hi <= _CHAIN else lo


def _link(ranges: Ranges, lo: int, hi: int, rest: Expr | None, rules: Rules) -> Expr | None:
    if rest is None:
        return NOTHING if hi == 0 else run(ranges, lo, hi, rules)
    end = NOTHING if lo == 0 else None
    options = [end, seq(plain(ranges), rest), seq(escapes(ranges), rest)]
    return rules.once(("chain", ranges, lo, hi), lambda: alt(options))


def _plain_run(raw: Chars, lo: int, hi: int, rules: Rules) -> Expr | None:
    if hi - lo <= 2 * _TAIL:
        return rep(raw, lo, hi)
    unit = rules.add(raw)
    long = seq(Rep(unit, 1, hi - lo - _TAIL), Rep(raw, _TAIL, _TAIL))
    return seq(rep(raw, lo, lo), alt([rep(raw, 0, _TAIL), long]))


def _long_run(ranges: Ranges, hi: int, rules: Rules) -> Expr | None:
    raw = plain(ranges)
    if not isinstance(raw, Chars):
        return rep(json_char(ranges), 0, hi)
    options = [_text_run(raw, hi, rules), _blocks(raw, escapes(ranges), hi, rules)]
    for count in _ESCAPE_COUNTS:
        between = _text_run(raw, (hi - count) // (count + 1), rules)
        options.append(seq(between, rep(seq(escapes(ranges), between), 1, count)))
    return alt(options)


def _blocks(raw: Chars, special: Expr | None, hi: int, rules: Rules) -> Expr | None:
    """Runs of whole blocks, with an escape in the last place of each but the last run."""
    size = hi // _BLOCKS
    runs = [_text_run(raw, size * blocks - 1, rules) for blocks in range(1, _BLOCKS + 1)]
    after: list[Expr | None] = [None]
    for left in range(1, _BLOCKS + 1):
        options = [seq(runs[taken - 1], special, after[left - taken]) for taken in range(1, left)]
        found = alt([runs[left - 1], *options])
        after.append(None if found is None else rules.add(found))
    return after[-1]


def _text_run(raw: Chars, hi: int, rules: Rules) -> Expr | None:
    """Up to `hi` characters, after which an escape or the closing quote follows."""
    if hi <= _CHAIN:
        return _followed(raw, 0, hi, rules)
    return rules.once(("text", raw, hi), lambda: _long_text(raw, hi, rules))


def _long_text(raw: Chars, hi: int, rules: Rules) -> Expr | None:
    unit = rules.once(("unit", raw), lambda: raw)
    long = seq(rep(unit, 1, hi - _TAIL), _followed(raw, _TAIL, _TAIL, rules))
    return Ahead(alt([_followed(raw, 0, _TAIL, rules), long]) or NOTHING, _ENDS)


def _followed(raw: Chars, lo: int, hi: int, rules: Rules) -> Expr | None:
    """One rule for each number of characters still to come; `lo` is 0 or `hi`."""
    rest: Expr | None = NOTHING
    for left in range(1, hi + 1):
        item = alt([NOTHING if lo == 0 else None, seq(raw, rest)]) or NOTHING
        key = ("followed", raw, lo == 0, left)
        rest = rules.once(key, functools.partial(Ahead, item, _ENDS))
    return rest
