"""Finite automata over code points, for intersections and complements."""

import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeAlias

from ragkit.grammar.ebnf import charset
from ragkit.grammar.ebnf.expression import (
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
)
from ragkit.grammar.ebnf.pattern import Constraint

State: TypeAlias = tuple[frozenset[int], ...]
_MAX_NODES = 6000
_MAX_STATES = 1500


class TooLargeError(ValueError):
    """The automaton would have too many states."""


@dataclass(slots=True)
class _Nfa:
    """A nondeterministic automaton by Thompson's construction."""

    moves: list[list[tuple[Ranges, int]]] = field(default_factory=list[list[tuple[Ranges, int]]])
    skips: list[list[int]] = field(default_factory=list[list[int]])
    reached: dict[int, frozenset[int]] = field(default_factory=dict[int, frozenset[int]])

    def node(self) -> int:
        if len(self.moves) >= _MAX_NODES:
            raise TooLargeError
        self.moves.append([])
        self.skips.append([])
        return len(self.moves) - 1

    def add(self, expr: Expr, start: int) -> int:
        """Append the expression behind `start`; return its end."""
        match expr:
            case Lit(text):
                for char in text:
                    start = self._step(((ord(char), ord(char)),), start)
                return start
            case Chars(ranges):
                return self._step(ranges, start)
            case Seq(parts):
                for part in parts:
                    start = self.add(part, start)
                return start
            case Alt(options):
                end = self.node()
                for option in options:
                    self.skips[self.add(option, self._skip(start))].append(end)
                return end
            case Rep():
                return self._repeat(expr, start)
            case Ref() | Ahead() | Sized():
                raise TypeError(expr)

    def _step(self, ranges: Ranges, start: int) -> int:
        end = self.node()
        self.moves[start].append((ranges, end))
        return end

    def _skip(self, start: int) -> int:
        end = self.node()
        self.skips[start].append(end)
        return end

    def _repeat(self, expr: Rep, start: int) -> int:
        for _ in range(expr.lo):
            start = self.add(expr.item, start)
        if expr.hi >= UNBOUNDED:
            loop = self._skip(start)
            self.skips[self.add(expr.item, loop)].append(loop)
            return self._skip(loop)
        ends = [start]
        for _ in range(expr.hi - expr.lo):
            ends.append(self.add(expr.item, ends[-1]))
        end = self.node()
        for last in ends:
            self.skips[last].append(end)
        return end

    def closure(self, nodes: Iterable[int]) -> frozenset[int]:
        return frozenset[int]().union(*map(self._reached, nodes))

    def _reached(self, node: int) -> frozenset[int]:
        if node not in self.reached:
            seen, waiting = set[int](), [node]
            while waiting:
                found = waiting.pop()
                if found not in seen:
                    seen.add(found)
                    waiting.extend(self.skips[found])
            self.reached[node] = frozenset(seen)
        return self.reached[node]


@dataclass(frozen=True, slots=True)
class Dfa:
    """A deterministic automaton without dead states; state 0 is the start.

    `moves[state]` maps targets to the characters that lead there.
    """

    moves: list[dict[int, Ranges]]
    accepting: frozenset[int]


def intersect(constraints: tuple[Constraint, ...]) -> Dfa | None:
    """Return the automaton of the strings that satisfy all constraints; None if none exist.

    Raises:
        TooLargeError: The automaton would have too many states.
    """
    found = _intersection(constraints)
    if isinstance(found, TooLargeError):
        raise found
    return found


@functools.lru_cache(maxsize=512)
def _intersection(constraints: tuple[Constraint, ...]) -> Dfa | TooLargeError | None:
    try:
        return _product(constraints)
    except TooLargeError as error:
        return error


def _product(constraints: Sequence[Constraint]) -> Dfa | None:
    parts = [_build(constraint) for constraint in constraints]
    start = tuple(nfa.closure([0]) for nfa, _, _ in parts)
    numbers, moves = {start: 0}, list[dict[int, Ranges]]()
    for state in (order := [start]):
        found: dict[int, Ranges] = {}
        for ranges, target in _moves(parts, state):
            if target not in numbers:
                numbers[target] = len(numbers)
                order.append(target)
            found[numbers[target]] = ranges
        moves.append(found)
        if len(order) > _MAX_STATES:
            raise TooLargeError
    accepting = {numbers[state] for state in order if _accepts(parts, state)}
    return _trim(moves, accepting)


_Part: TypeAlias = tuple[_Nfa, int, bool]


def _build(constraint: Constraint) -> _Part:
    nfa = _Nfa()
    return nfa, nfa.add(constraint.language, nfa.node()), constraint.positive


def _accepts(parts: Sequence[_Part], state: State) -> bool:
    return all(
        (end in nodes) == positive for (_, end, positive), nodes in zip(parts, state, strict=True)
    )


def _moves(parts: Sequence[_Part], state: State) -> Iterator[tuple[Ranges, State]]:
    edges = [
        [edge for node in nodes for edge in nfa.moves[node]]
        for (nfa, _, _), nodes in zip(parts, state, strict=True)
    ]
    cuts = {0, 0x110000, 0xD800, 0xE000}
    cuts.update(
        cut for part in edges for ranges, _ in part for a, b in ranges for cut in (a, b + 1)
    )
    grouped: dict[State, list[tuple[int, int]]] = {}
    ordered = sorted(cuts)
    for low, after in pairwise(ordered):
        if low == 0xD800:
            continue
        target = tuple(
            nfa.closure(end for ranges, end in part if _holds(ranges, low))
            for (nfa, _, _), part in zip(parts, edges, strict=True)
        )
        if all(
            nodes or not positive for (_, _, positive), nodes in zip(parts, target, strict=True)
        ):
            grouped.setdefault(target, []).append((low, after - 1))
    for target, spans in grouped.items():
        allowed = charset.difference(charset.union(tuple(spans)), charset.CONTROLS)
        named = _named_controls(edges, spans)
        if ranges := charset.union(allowed, named):
            yield ranges, target


def _named_controls(edges: list[list[tuple[Ranges, int]]], spans: list[tuple[int, int]]) -> Ranges:
    """Return the control characters that a constraint names; others are never written."""
    named = [r for part in edges for r, _ in part if r[-1][1] < 0x80]
    return charset.intersection(
        charset.intersection(charset.union(*named), charset.CONTROLS), tuple(spans)
    )


def _holds(ranges: Ranges, code: int) -> bool:
    return any(low <= code <= high for low, high in ranges)


def _trim(moves: list[dict[int, Ranges]], accepting: set[int]) -> Dfa | None:
    sources: dict[int, set[int]] = {}
    for source, targets in enumerate(moves):
        for target in targets:
            sources.setdefault(target, set()).add(source)
    live, waiting = set[int](), list(accepting)
    while waiting:
        state = waiting.pop()
        if state not in live:
            live.add(state)
            waiting.extend(sources.get(state, ()))
    if 0 not in live:
        return None
    kept = [
        {target: ranges for target, ranges in targets.items() if target in live}
        for targets in moves
    ]
    return _minimal(kept, frozenset(accepting), live)


def _minimal(moves: list[dict[int, Ranges]], accepting: frozenset[int], live: set[int]) -> Dfa:
    """Merge the states that accept the same strings, by Moore's refinement."""
    block = {state: int(state in accepting) for state in sorted(live)}
    count = 0
    while len(set(block.values())) > count:
        count = len(set(block.values()))
        numbers: dict[object, int] = {}
        block = {
            state: numbers.setdefault((block[state], _by_block(moves[state], block)), len(numbers))
            for state in block
        }
    merged: dict[int, dict[int, Ranges]] = {}
    for state, number in block.items():
        merged.setdefault(number, dict(_by_block(moves[state], block)))
    return Dfa(
        list(merged.values()), frozenset(block[state] for state in accepting if state in live)
    )


def _by_block(targets: dict[int, Ranges], block: dict[int, int]) -> tuple[tuple[int, Ranges], ...]:
    found: dict[int, Ranges] = {}
    for target, ranges in targets.items():
        number = block[target]
        found[number] = charset.union(found[number], ranges) if number in found else ranges
    return tuple(sorted(found.items()))
