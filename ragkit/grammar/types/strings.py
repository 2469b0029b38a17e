"""Strings under length, pattern and format together."""

from collections.abc import Callable
from dataclasses import dataclass, field

from ragkit.grammar.ebnf import charset
from ragkit.grammar.ebnf.automaton import Dfa, TooLargeError, intersect
from ragkit.grammar.ebnf.character_runs import json_content, run
from ragkit.grammar.ebnf.expression import (
    NOTHING,
    Alt,
    Blend,
    Chars,
    Expr,
    Lit,
    Rep,
    Seq,
    alt,
    rep,
    seq,
)
from ragkit.grammar.ebnf.json_escapes import json_char
from ragkit.grammar.ebnf.pattern import UNBOUNDED, Constraint, UnsupportedPatternError
from ragkit.grammar.ebnf.rules import Rules

_QUOTE = Lit('"')
_MAX_STATES = 400
_LONGEST_TEXT = 8
_EXACT_LENGTH = 64
"""Up to this length patterns are met exactly, beyond it by shorter repetitions first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StringShape:
    """What a string must satisfy; lengths are in code points."""

    lo: int = 0
    hi: int
    constraints: tuple[Constraint, ...] = ()


def string(shape: StringShape, rules: Rules) -> Expr | None:
    """The JSON strings of the shape; None where there are none.

    Raises:
        UnsupportedPatternError: The constraints together need too large an automaton.
    """
    content = rules.once(("string", shape), lambda: _content(shape, rules))
    return seq(_QUOTE, content, _QUOTE)


def _content(shape: StringShape, rules: Rules) -> Expr | None:
    if shape.hi < shape.lo:
        return None
    if not shape.constraints:
        return run(charset.TEXT, shape.lo, shape.hi, rules)
    ways: list[Callable[[StringShape, Rules], Expr | None]] = [_direct, _narrowed, _by_automaton]
    if shape.hi <= _EXACT_LENGTH:
        ways.insert(1, _almost_all)
    for way in ways:
        if (found := way(shape, rules)) is not None:
            return found
    if _is_empty(shape):
        return None
    raise UnsupportedPatternError("what needs too large an automaton with the other keywords")


def _is_empty(shape: StringShape) -> bool:
    try:
        return intersect(shape.constraints) is None
    except TooLargeError:
        return False


def _direct(shape: StringShape, rules: Rules) -> Expr | None:
    """The pattern as it stands, where its bounded lengths already fit."""
    return _structural(shape, bounded(shape.constraints[0].language, shape.hi), rules)


def _narrowed(shape: StringShape, rules: Rules) -> Expr | None:
    """The pattern with shorter repetitions, so that its length fits."""
    limit, least = shape.hi, -1
    while limit > least:
        shorter = bounded(shape.constraints[0].language, limit, narrow=True)
        if found := _structural(shape, _lengthened(shorter, shape.lo), rules):
            return found
        least = 0 if limit == 0 else least
        limit = limit * 7 // 8
    return None


def _structural(shape: StringShape, expr: Expr, rules: Rules) -> Expr | None:
    low, high = lengths(expr)
    alone = len(shape.constraints) == 1 and shape.constraints[0].positive
    fits = shape.lo <= low and high <= shape.hi
    return json_content(expr, rules) if alone and fits else None


def _almost_all(shape: StringShape, rules: Rules) -> Expr | None:
    """By automaton, where that cuts off no more than the longest strings."""
    return _by_automaton(shape, rules, least=max(shape.lo, shape.hi * 3 // 4))


def _by_automaton(shape: StringShape, rules: Rules, least: int | None = None) -> Expr | None:
    """All constraints and lengths exactly, as far as the number of states allows."""
    try:
        dfa = intersect(shape.constraints)
    except TooLargeError:
        return None
    hi = shape.hi
    while dfa is not None and hi >= (shape.lo if least is None else least):
        try:
            return _Unrolled(dfa, rules).content(shape.lo, hi)
        except TooLargeError:
            hi = hi * 3 // 4
    return None


def bounded(expr: Expr, limit: int, *, narrow: bool = False) -> Expr:
    """Bound each repetition to about `limit` characters; to narrow, those with a bound too."""
    match expr:
        case Seq(parts):
            return seq(*(bounded(part, limit, narrow=narrow) for part in parts)) or NOTHING
        case Alt(options):
            return alt([bounded(option, limit, narrow=narrow) for option in options]) or NOTHING
        case Rep(Alt(options) as item, 0, hi) if hi >= UNBOUNDED and (width := _width(options)):
            return Blend(item, 0, limit, width)
        case Rep(item, lo, hi):
            inner_limit = limit if isinstance(item, Chars) or hi == 1 else min(limit, 32)
            inner = bounded(item, inner_limit, narrow=narrow)
            fitting = max(lo, min(limit, 1), limit // max(lengths(inner)[1], 1))
            return rep(inner, lo, min(hi, fitting) if narrow or hi >= UNBOUNDED else hi) or NOTHING
        case _:
            return expr


def _width(options: tuple[Expr, ...]) -> int | None:
    """Length of the longest short text beside one class; None where there is more to choose."""
    longest = [lengths(option)[1] for option in options if not isinstance(option, Chars)]
    alone = len(longest) == len(options) - 1
    return max(longest) if alone and max(longest) <= _LONGEST_TEXT else None


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
    """Least and greatest number of characters."""
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
        case Blend():
            return 0, expr.hi
        case Rep(item, lo, hi):
            low, high = lengths(item)
            return low * lo, high * hi
        case _:
            raise TypeError(expr)


@dataclass(slots=True)
class _Unrolled:
    """An automaton as rules, one per state and number of characters still asked for or allowed."""

    dfa: Dfa
    rules: Rules
    longest: dict[int, int] = field(default_factory=dict[int, int])
    known: dict[tuple[int, int, int], Expr | None] = field(
        default_factory=dict[tuple[int, int, int], Expr | None]
    )

    def content(self, lo: int, hi: int) -> Expr | None:
        """Strings of `lo` to `hi` characters."""
        self.longest = _longest(self.dfa)
        start = self._key(0, lo, hi)
        for key in sorted(self._reachable(start), key=lambda key: key[2]):
            expr = self._step(*key)
            self.known[key] = self.rules.add(expr) if isinstance(expr, Alt) else expr
        return self.known[start]

    def _key(self, state: int, lo: int, hi: int) -> tuple[int, int, int]:
        return state, max(lo, 0), min(hi, self.longest[state])

    def _reachable(self, start: tuple[int, int, int]) -> set[tuple[int, int, int]]:
        seen, waiting = {start}, [start]
        while waiting:
            state, lo, hi = waiting.pop()
            after = [self._key(target, lo - 1, hi - 1) for target in self.dfa.moves[state]]
            if hi and not self._is_run(state):
                waiting.extend(key for key in after if key not in seen)
                seen.update(after)
            if len(seen) > _MAX_STATES:
                raise TooLargeError
        return seen

    def _is_run(self, state: int) -> bool:
        return state in self.dfa.accepting and list(self.dfa.moves[state]) == [state]

    def _step(self, state: int, lo: int, hi: int) -> Expr | None:
        moves = self.dfa.moves[state]
        if hi < lo:
            return None
        if self._is_run(state):
            # Lengths that differ little share their rules, which keeps compiling fast.
            shared = hi if state == 0 or hi - lo <= 64 else max(lo, hi // 32 * 32)
            return run(moves[state], lo, shared, self.rules)
        end = NOTHING if state in self.dfa.accepting and lo == 0 else None
        if hi == 0:
            return end
        rest = (
            seq(json_char(ranges), self.known[self._key(target, lo - 1, hi - 1)])
            for target, ranges in moves.items()
        )
        return alt([end, *rest])


def _longest(dfa: Dfa) -> dict[int, int]:
    """The longest way from each state; `UNBOUNDED` where a cycle can be reached."""
    sources: dict[int, list[int]] = {}
    for state, targets in enumerate(dfa.moves):
        for target in targets:
            sources.setdefault(target, []).append(state)
    open_targets = [len(targets) for targets in dfa.moves]
    done = [state for state, count in enumerate(open_targets) if not count]
    known = dict.fromkeys(range(len(dfa.moves)), UNBOUNDED)
    for state in done:
        known[state] = max((1 + known[target] for target in dfa.moves[state]), default=0)
        for source in sources.get(state, ()):
            open_targets[source] -= 1
            if not open_targets[source]:
                done.append(source)
    return known
