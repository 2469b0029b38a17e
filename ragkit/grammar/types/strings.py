"""Strings under length, pattern and format together: by automaton first.

1. Without a pattern, a run of characters (`character_runs.py`).
2. By automaton, exactly: one rule for each state, and for each number of characters still asked
   for or allowed where lengths are bounded.
3. As the pattern is written, exactly, where the automaton is too large (`.{0,500}` has 500 states)
   and the pattern alone keeps within the lengths.
4. Where both are too large, not exactly: strings as long as the size of the automaton allows, or
   the pattern with shorter repetitions.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from ragkit.grammar.ebnf import charset
from ragkit.grammar.ebnf.automaton import Dfa, TooLargeError, intersect
from ragkit.grammar.ebnf.character_runs import CHAIN, QUOTE, closed_run
from ragkit.grammar.ebnf.expression import (
    NOTHING,
    UNBOUNDED,
    Alt,
    Chars,
    Expr,
    Lit,
    Ranges,
    Ref,
    Rep,
    Seq,
    Sized,
    Sizes,
    alt,
    byte_length,
    less,
    rep,
    seq,
)
from ragkit.grammar.ebnf.json_escapes import escapes, json_char, json_text
from ragkit.grammar.ebnf.pattern import Constraint, UnsupportedPatternError
from ragkit.grammar.ebnf.rules import Rules

_MAX_COST = 800
"""Token masks in the states of one automaton; each takes about a millisecond to compile."""
_WIDE_COST = 6
"""Token masks of a class beyond ASCII, whose characters have several bytes."""
_BEFORE_RUNS = (32, 64, 128, 256, 16, 8, 4, 2, 1)
"""Characters before a run, where more states than can be written would lead to it."""
_BYTES = 4
_LOOSE = 1024
"""Characters of a pattern without a bound where its automaton is too large."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StringShape:
    """The constraints of a string; lengths are in code points."""

    lo: int = 0
    hi: int
    constraints: tuple[Constraint, ...] = ()


@dataclass(frozen=True, slots=True)
class Script:
    """A way to write characters: inside a JSON string, or as they are.

    Attributes:
        char: Writes one character of a set.
        literal: Writes a text.
        end: Follows the last character.
        run: Writes a run of characters with the end, where there is a special form.
    """

    char: Callable[[Ranges], Expr | None]
    literal: Callable[[str], Expr]
    end: Expr
    run: Callable[[Ranges, int, int, Rules], Expr | None] | None = None


JSON = Script(json_char, lambda text: Lit(json_text(text)[1:-1]), QUOTE, closed_run)
RAW = Script(Chars, Lit, NOTHING)


def string(shape: StringShape, rules: Rules) -> Expr | None:
    """Build the JSON strings of the shape; None where none exist.

    Raises:
        UnsupportedPatternError: The constraints together need too large an automaton.
    """
    if rules.measuring:
        return measured(shape)
    return seq(QUOTE, rules.once(("string", shape), partial(content, shape, rules, JSON)))


@functools.lru_cache(maxsize=4096)
def measured(shape: StringShape) -> Expr | None:
    """Bound the length of the JSON strings of the shape; None where surely none exist."""
    if shape.hi < shape.lo:
        return None
    if not shape.constraints:
        return Sized(2 + shape.hi * _BYTES)
    try:
        dfa = intersect(shape.constraints)
    except TooLargeError:
        return Sized(2 + shape.hi * _BYTES)
    if dfa is None:
        return None
    width = max((_width(r) for moves in dfa.moves for r in moves.values()), default=0)
    return Sized(2 + min(shape.hi, longest(dfa)[0]) * width)


def _width(ranges: Ranges) -> int:
    """Return the greatest number of bytes of a character, as it is written."""
    escaped = escapes(ranges)
    return max(byte_length(ranges[-1][1]), 0 if escaped is None else Sizes({}).of(escaped))


def content(shape: StringShape, rules: Rules, script: Script) -> Expr | None:
    """Build the characters of the strings of the shape, and the script's end.

    Raises:
        UnsupportedPatternError: The constraints together need too large an automaton.
    """
    if shape.hi < shape.lo:
        return None
    if not shape.constraints and script.run:
        return script.run(charset.TEXT, shape.lo, shape.hi, rules)
    try:
        dfa = intersect(shape.constraints)
    except TooLargeError:
        dfa = None
    else:
        if dfa is None:
            return None
        if found := _Unrolled(dfa, rules, script).content(shape.lo, shape.hi, shape.hi):
            return found
    written = _as_written(shape, rules, script)
    for way in (written.exactly, partial(_shortened, dfa, shape, rules, script), written.narrowed):
        if found := way():
            return found
    raise UnsupportedPatternError("too large an automaton together with the other keywords")


def _shortened(dfa: Dfa | None, shape: StringShape, rules: Rules, script: Script) -> Expr | None:
    """Build the strings by automaton, as long as its size allows; runs keep their length."""
    if dfa is None:
        return None
    unrolled = _Unrolled(dfa, rules, script)
    most = min(shape.hi, _LOOSE)
    shorter = (most * 7**step // 8**step for step in range(1, 40))
    for before in _BEFORE_RUNS if unrolled.runs else dict.fromkeys(shorter):
        if found := unrolled.content(shape.lo, shape.hi, before):
            return found
    return None


def _as_written(shape: StringShape, rules: Rules, script: Script) -> "_AsWritten":
    alone = len(shape.constraints) == 1 and shape.constraints[0].positive
    return _AsWritten(shape.constraints[0].language if alone else None, shape, rules, script)


@dataclass(frozen=True, slots=True)
class _AsWritten:
    """A pattern as it is written, each part followed by the rest."""

    language: Expr | None
    shape: StringShape
    rules: Rules
    script: Script

    def exactly(self) -> Expr | None:
        """Build the pattern if its own bounds keep it within the lengths."""
        return self._fitting(self.language)

    def narrowed(self) -> Expr | None:
        """Build the pattern with shorter repetitions, so that it keeps within the lengths."""
        limit = min(self.shape.hi, _LOOSE)
        while self.language is not None and limit >= 0:
            shorter = _lengthened(bounded(self.language, limit), self.shape.lo)
            if found := self._fitting(shorter):
                return found
            limit = limit * 3 // 4 if limit else -1
        return None

    def _fitting(self, expr: Expr | None) -> Expr | None:
        if expr is None:
            return None
        low, high = lengths(expr)
        if low < self.shape.lo or high > min(self.shape.hi, 4 * _LOOSE) or _cost(expr) > _MAX_COST:
            return None
        return self._then(expr, self.script.end)

    def _then(self, expr: Expr, rest: Expr | None) -> Expr | None:
        """Build the expression and then the rest."""
        if rest is None:
            return None
        match expr:
            case Lit(text):
                return seq(self.script.literal(text), rest)
            case Chars(ranges):
                return seq(self.script.char(ranges), rest)
            case Seq(parts):
                for part in reversed(parts):
                    rest = None if rest is None else self._then(part, rest)
                return rest
            case Alt(options):
                rest = self._named(rest)
                return alt([self._then(option, rest) for option in options])
            case Rep(Chars(ranges), lo, hi) if self.script.run and rest is self.script.end:
                return self.script.run(ranges, lo, hi, self.rules)
            case Rep(item, lo, hi):
                return self._repeated(item, lo, hi, rest)
            case _:
                raise TypeError(expr)

    def _repeated(self, item: Expr, lo: int, hi: int, rest: Expr) -> Expr | None:
        rest = self._named(rest)
        more: Expr | None = rest
        for left in range(1, hi + 1):
            end = rest if left <= hi - lo else None
            taken = None if more is None else self._then(item, more)
            found = alt([end, taken])
            more = None if found is None else self._named(found)
        return more

    def _named(self, expr: Expr) -> Expr:
        return expr if isinstance(expr, Ref | Lit) else self.rules.add(expr)


def _cost(expr: Expr, *, last: bool = True) -> int:
    """Estimate the token masks of a pattern as it is written."""
    match expr:
        case Lit(text):
            return len(text)
        case Chars(ranges):
            return _WIDE_COST if ranges[-1][1] >= 0x80 else 1
        case Seq(parts):
            rest = sum(_cost(part, last=False) for part in parts[:-1])
            return rest + _cost(parts[-1], last=last)
        case Alt(options):
            return sum(_cost(option, last=last) for option in options)
        case Rep(Chars(), _, hi) if last and hi > CHAIN:
            return CHAIN
        case Rep(item, _, hi):
            return hi * _cost(item, last=False)
        case _:
            raise TypeError(expr)


def bounded(expr: Expr, limit: int) -> Expr:
    """Bound each repetition to about `limit` characters together."""
    match expr:
        case Seq(parts):
            return seq(*(bounded(part, limit) for part in parts)) or NOTHING
        case Alt(options):
            return alt([bounded(option, limit) for option in options]) or NOTHING
        case Rep(item, lo, hi):
            inner_limit = limit if isinstance(item, Chars) or hi == 1 else min(limit, 32)
            inner = bounded(item, inner_limit)
            fitting = max(lo, min(limit, 1), limit // max(lengths(inner)[1], 1))
            return rep(inner, lo, min(hi, fitting)) or NOTHING
        case _:
            return expr


def _lengthened(expr: Expr, lo: int) -> Expr:
    """Raise the least count of a repetition of characters until the length is enough."""
    missing = lo - lengths(expr)[0]
    parts = expr.parts if isinstance(expr, Seq) else (expr,)
    for index, part in enumerate(parts):
        if missing > 0 and isinstance(part, Rep) and isinstance(part.item, Chars):
            added = min(missing, part.hi - part.lo)
            longer = rep(part.item, part.lo + added, part.hi)
            parts = (*parts[:index], *([] if longer is None else [longer]), *parts[index + 1 :])
            missing -= added
    return Seq(parts)


def lengths(expr: Expr) -> tuple[int, int]:
    """Return the least and the greatest number of characters."""
    match expr:
        case Lit(text):
            return len(text), len(text)
        case Chars():
            return 1, 1
        case Seq(parts):
            pairs = list(map(lengths, parts))
            return sum(low for low, _ in pairs), sum(high for _, high in pairs)
        case Alt(options):
            pairs = list(map(lengths, options))
            return min(low for low, _ in pairs), max(high for _, high in pairs)
        case Rep(item, lo, hi):
            low, high = lengths(item)
            return low * lo, high * hi
        case _:
            raise TypeError(expr)


@dataclass(frozen=True, slots=True, order=True)
class _Place:
    """A state of an automaton, and the number of characters still to come.

    `before` is how many of them may come before a run (a state that only returns to itself).
    """

    hi: int
    before: int
    lo: int
    state: int


@dataclass(slots=True)
class _Unrolled:
    """An automaton as rules, one for each place."""

    dfa: Dfa
    rules: Rules
    script: Script
    longest: list[int] = field(default_factory=list[int])
    runs: frozenset[int] = frozenset()
    known: dict[_Place, Expr | None] = field(default_factory=dict[_Place, Expr | None])

    def __post_init__(self) -> None:
        """Find the longest way from each state, and the runs."""
        self.longest = longest(self.dfa)
        self.runs = frozenset(
            state
            for state in self.dfa.accepting
            if self.script.run and list(self.dfa.moves[state]) == [state]
        )

    def content(self, lo: int, hi: int, before: int) -> Expr | None:
        """Build the strings of `lo` to `hi` characters; None where the rules are too many."""
        start = self._place(0, lo, hi, before)
        places = self._reachable(start)
        if places is None:
            return None
        looping = {p for p in places if p.hi >= UNBOUNDED and p.state not in self.runs}
        reserved = {place: self.rules.reserve() for place in sorted(looping)}
        self.known.update(reserved)
        for place in sorted(places - looping):
            expr = self._step(place)
            self.known[place] = self.rules.add(expr) if isinstance(expr, Alt) else expr
        for place, ref in reserved.items():
            # From each state that is left an accepting one can be reached.
            self.rules.define(ref, self._step(place) or NOTHING)
        return self.known[start]

    def _place(self, state: int, lo: int, hi: int, before: int) -> _Place:
        hi = min(hi, self.longest[state])
        if state in self.runs:
            return _Place(state=state, lo=max(lo, 0), hi=hi, before=0)
        return _Place(state=state, lo=max(lo, 0), hi=hi, before=min(before, hi))

    def _next(self, place: _Place) -> dict[int, _Place]:
        """Return the place after each move that is still allowed."""
        hi, before = less(place.hi, 1), less(place.before, 1)
        return {
            target: self._place(target, place.lo - 1, hi, before)
            for target in (self.dfa.moves[place.state] if place.hi else ())
            if before >= 0 or target in self.runs
        }

    def _reachable(self, start: _Place) -> set[_Place] | None:
        seen, waiting, cost = {start}, [start], 0
        while waiting:
            place = waiting.pop()
            if place.state in self.runs:
                continue
            moves = self.dfa.moves[place.state]
            wide = any(ranges[-1][1] >= 0x80 for ranges in moves.values())
            cost += _WIDE_COST if wide else 1
            if cost > _MAX_COST:
                return None
            after = set(self._next(place).values()) - seen
            waiting.extend(after)
            seen |= after
        return seen

    def _step(self, place: _Place) -> Expr | None:
        moves = self.dfa.moves[place.state]
        lo, hi = place.lo, place.hi
        if hi < lo:
            return None
        if self.script.run and place.state in self.runs:
            # Lengths that differ little share their rules, which keeps compiling fast.
            many = place.state and hi - lo > CHAIN and hi < UNBOUNDED
            shared = lo + ((hi - lo) // 32 * 32 if many else hi - lo)
            return self.script.run(moves[place.state], lo, shared, self.rules)
        end = self.script.end if place.state in self.dfa.accepting and lo == 0 else None
        rest = (
            seq(self.script.char(moves[target]), self.known[after])
            for target, after in self._next(place).items()
        )
        return alt([end, *rest])


def longest(dfa: Dfa) -> list[int]:
    """Return the length of the longest way from each state; `UNBOUNDED` if it reaches a cycle."""
    sources: dict[int, list[int]] = {}
    for state, targets in enumerate(dfa.moves):
        for target in targets:
            sources.setdefault(target, []).append(state)
    open_targets = [len(targets) for targets in dfa.moves]
    done = [state for state, count in enumerate(open_targets) if not count]
    known = [UNBOUNDED] * len(dfa.moves)
    for state in done:
        known[state] = max((1 + known[target] for target in dfa.moves[state]), default=0)
        for source in sources.get(state, ()):
            open_targets[source] -= 1
            if not open_targets[source]:
                done.append(source)
    return known
