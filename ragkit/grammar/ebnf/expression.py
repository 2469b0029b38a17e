"""Grammar expressions, the length of their longest text, and their form in xgrammar's EBNF.

The longest text of an expression is a sum, `UNBOUNDED` where a repetition or a rule has no end.
The empty language (no text at all) is `None`: it absorbs sequences and vanishes from alternatives.
"""

import functools
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

Ranges: TypeAlias = tuple[tuple[int, int], ...]
"""Sorted, disjoint, inclusive ranges of code points."""

UNBOUNDED = 1 << 30
"""The greatest number of repetitions, or of bytes, where nothing bounds it."""
_MOST_REPEATED = 100
_BYTES_UP_TO = ((0x7F, 1), (0x7FF, 2), (0xFFFF, 3), (0x10FFFF, 4))


@dataclass(frozen=True, slots=True)
class Lit:
    """A literal text."""

    text: str


@dataclass(frozen=True, slots=True)
class Chars:
    """One character of the ranges. Surrogates are never in them, so its bytes are valid UTF-8."""

    ranges: Ranges


@dataclass(frozen=True, slots=True)
class Seq:
    """The parts, one after the other."""

    parts: tuple["Expr", ...]


@dataclass(frozen=True, slots=True)
class Alt:
    """One of the options."""

    options: tuple["Expr", ...]


@dataclass(frozen=True, slots=True)
class Rep:
    """The item `lo` to `hi` times, or any number of times from `UNBOUNDED` on."""

    item: "Expr"
    lo: int
    hi: int


@dataclass(frozen=True, slots=True)
class Ref:
    """The rule of that name."""

    name: str


@dataclass(frozen=True, slots=True)
class Ahead:
    """The item, which `following` or a beginning of it follows; only as the whole of a rule.

    It changes nothing in the language, but lets xgrammar decide while compiling what becomes of
    tokens that reach beyond the rule.
    """

    item: "Expr"
    following: "Expr"


@dataclass(frozen=True, slots=True)
class Sized:
    """Texts of at most so many bytes, for grammars that are only measured."""

    size: int


Expr: TypeAlias = Sized | Lit | Chars | Seq | Alt | Rep | Ref | Ahead
NOTHING = Lit("")


def seq(*parts: Expr | None) -> Expr | None:
    """Make a sequence; None where a part is the empty language."""
    flat: list[Expr] = []
    for part in parts:
        if part is None:
            return None
        flat.extend(part.parts if isinstance(part, Seq) else (part,))
    merged = _merge_literals(flat)
    return merged[0] if len(merged) == 1 else Seq(tuple(merged))


def _merge_literals(parts: Iterable[Expr]) -> list[Expr]:
    merged: list[Expr] = []
    for part in parts:
        last = merged[-1] if merged else None
        if isinstance(part, Lit) and isinstance(last, Lit):
            merged[-1] = Lit(last.text + part.text)
        else:
            merged.append(part)
    return [part for part in merged if part != NOTHING] or [NOTHING]


def alt(options: Iterable[Expr | None]) -> Expr | None:
    """Make a choice without empty and repeated options; None where nothing is left."""
    flat: dict[Expr, None] = {}
    for option in options:
        if option is not None:
            flat.update(dict.fromkeys(option.options if isinstance(option, Alt) else (option,)))
    if len(flat) < 2:
        return next(iter(flat), None)
    return Alt(tuple(flat))


def rep(item: Expr | None, lo: int, hi: int) -> Expr | None:
    """Make a bounded repetition; an empty item may still be repeated zero times."""
    if hi < lo or (item is None and lo > 0):
        return None
    if item is None or hi == 0:
        return NOTHING
    return item if lo == hi == 1 else Rep(item, lo, hi)


def less(count: int, taken: int) -> int:
    """Subtract from a number of repetitions; nothing taken from `UNBOUNDED` bounds it."""
    return count if count >= UNBOUNDED else count - taken


def chars(ranges: Iterable[tuple[int, int]]) -> Expr | None:
    """Make a character class; None for an empty one."""
    found = tuple(ranges)
    return Chars(found) if found else None


def byte_length(code: int) -> int:
    """Return the number of bytes of a code point in UTF-8."""
    return next(size for limit, size in _BYTES_UP_TO if code <= limit)


class Sizes:
    """The lengths of the longest texts of expressions, in bytes."""

    def __init__(self, rules: Mapping[str, Expr]) -> None:
        """Measure the rules; one that refers to itself or to a later one is unbounded."""
        self._known: dict[str, int] = {}
        for name, expr in rules.items():
            self._known[name] = self.of(expr)

    def of(self, expr: Expr) -> int:
        """Return the length of the longest text in UTF-8 bytes."""
        return min(self._sum(expr), UNBOUNDED)

    def _sum(self, expr: Expr) -> int:
        match expr:
            case Sized(size):
                return size
            case Lit(text):
                return len(text.encode())
            case Chars(ranges):
                return byte_length(ranges[-1][1])
            case Seq(parts):
                return sum(map(self.of, parts))
            case Alt(options):
                return max(map(self.of, options))
            case Rep(item, _, hi):
                return hi * self.of(item)
            case Ahead(item):
                return self.of(item)
            case Ref(name):
                return self._known.get(name, UNBOUNDED)


def render(root: Expr, rules: Mapping[str, Expr], texts: Mapping[str, str]) -> str:
    """Write the EBNF of `root` with the rules that it reaches, in the order of their first use.

    Args:
        root: Expression of a whole reply.
        rules: Name to expression.
        texts: Name to the `text` of the expression.
    """
    lines = {"root": f"root ::= {text(root)}"}
    waiting = deque(_references(root))
    while waiting:
        name = waiting.popleft()
        if name not in lines:
            lines[name] = f"{name} ::= {texts[name]}"
            waiting.extend(_references(rules[name]))
    return "\n".join(lines.values()) + "\n"


def _references(expr: Expr) -> list[str]:
    match expr:
        case Ref(name):
            return [name]
        case Seq(items) | Alt(items):
            return [name for item in items for name in _references(item)]
        case Rep(item):
            return _references(item)
        case Ahead(item, following):
            return [*_references(item), *_references(following)]
        case Lit() | Chars() | Sized():
            return []


def text(expr: Expr, *, inner: bool = False) -> str:
    """Write the expression in EBNF; as part of a larger one where it is `inner`."""
    match expr:
        case Sized(size):
            return f"<{size}>"
        case Lit(literal):
            return _literal(literal)
        case Chars(ranges):
            return _class(ranges)
        case Ref(name):
            return name
        case Rep(Chars() as item, lo, hi) if _MOST_REPEATED < hi < UNBOUNDED:
            joined = _divided(item, lo, hi)
        case Rep(item, lo, hi):
            times = f"{{{lo},{hi}}}" if hi < UNBOUNDED else f"{{{lo},}}" if lo else "*"
            joined = text(item, inner=True) + times
        case Ahead(item, following):
            return f"({text(item)}) (={text(following)})"
        case Seq(parts):
            joined = " ".join(text(part, inner=True) for part in parts)
        case Alt(options):
            joined = " | ".join(text(option, inner=isinstance(option, Alt)) for option in options)
    return f"({joined})" if inner else joined


def _divided(item: Chars, lo: int, hi: int) -> str:
    """Write many repetitions of a class as several of fewer, since xgrammar misreads many.

    With more than 128, its masks allow tokens that its matcher refuses.
    """
    most = _MOST_REPEATED
    more = Seq((Rep(item, most, most), Rep(item, max(lo - most, int(lo < most)), hi - most)))
    return text(more) if lo >= most else text(Alt((Rep(item, lo, most), more)), inner=True)


def _literal(content: str) -> str:
    return '"' + "".join(map(_literal_char, content)) + '"'


def _literal_char(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    return char if char.isprintable() else _code(ord(char))


@functools.lru_cache(maxsize=4096)
def _class(ranges: Ranges) -> str:
    """Write a class whose ranges are each one range in every byte of their UTF-8.

    xgrammar before 0.2.8 reads others wrongly: U+0080 to U+D7FF has a dead end after the byte
    0xED, and lets overlong sequences through after 0xE0.
    """
    parts = (part for low, high in ranges for part in uniform(low, high))
    return f"[{''.join(map(_range, parts))}]"


def uniform(low: int, high: int) -> Iterator[tuple[int, int]]:
    """Divide the range into parts that are one range in each of their bytes."""
    cut = next((end for end in _LAST_OF_LENGTH if low <= end < high), None)
    for bits in (6, 12, 18) if cut is None and high > _ASCII else ():
        mask = (1 << bits) - 1
        if low & ~mask == high & ~mask:
            break
        if low & mask:
            cut = low | mask
            break
        if high & mask != mask:
            cut = (high & ~mask) - 1
            break
    if cut is None:
        yield low, high
    else:
        yield from uniform(low, cut)
        yield from uniform(cut + 1, high)


_ASCII = 0x7F
_LAST_OF_LENGTH = (_ASCII, 0x7FF, 0xFFFF)


def _range(span: tuple[int, int]) -> str:
    low, high = span
    return _class_char(low) if low == high else f"{_class_char(low)}-{_class_char(high)}"


def _class_char(code: int) -> str:
    char = chr(code)
    return char if char.isascii() and char.isalnum() else _code(code)


def _code(code: int) -> str:
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
