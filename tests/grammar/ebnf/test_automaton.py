"""Automata accept what `re` accepts, under all their constraints together."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragkit.grammar.ebnf.automaton import Dfa, TooLargeError, intersect
from ragkit.grammar.ebnf.expression import UNBOUNDED, Chars, Rep
from ragkit.grammar.ebnf.pattern import Constraint, constraints
from ragkit.grammar.types.strings import longest

TEXTS = st.text(alphabet="abx-1 \n", max_size=8)
PATTERNS = ["^a+$", "b$", "x", r"^\w+( \w+)*$", "^(a|bx)*-?$", r"\d|^b", "^[^x]*$"]


def accepts(dfa: Dfa | None, text: str) -> bool:
    if dfa is None:
        return False
    state: int | None = 0
    for char in text:
        moves = dfa.moves[state] if state is not None else {}
        state = next(
            (t for t, ranges in moves.items() if any(a <= ord(char) <= b for a, b in ranges)), None
        )
    return state in dfa.accepting


@settings(deadline=None)
@given(st.sampled_from(PATTERNS), TEXTS)
def test_an_automaton_accepts_what_its_pattern_matches(pattern: str, text: str) -> None:
    found = re.search(pattern, text) is not None
    # `$` of Python's re also matches before a last line end, which is not of ECMA 262.
    if not (text.endswith("\n") and pattern.endswith("$")):
        assert accepts(intersect(constraints(pattern)), text) == found


@settings(deadline=None)
@given(st.sampled_from(PATTERNS), st.sampled_from(PATTERNS), TEXTS)
def test_constraints_hold_together(one: str, other: str, text: str) -> None:
    if text.endswith("\n"):
        return
    both = intersect((*constraints(one), *constraints(other, positive=False)))
    wanted = bool(re.search(one, text)) and not re.search(other, text)
    assert accepts(both, text) == wanted


def test_constraints_that_contradict_each_other_have_no_automaton() -> None:
    assert intersect((*constraints("^a"), *constraints("^b"))) is None


def test_states_that_accept_the_same_are_one() -> None:
    assert [len(found.moves) for p in (".+", "b$") if (found := intersect(constraints(p)))] == [
        2,
        2,
    ]


def test_the_longest_way_is_that_of_the_pattern() -> None:
    finite, open_ended = intersect(constraints("^a{2,5}b?$")), intersect(constraints("^a+$"))
    assert finite is not None
    assert open_ended is not None
    assert longest(finite)[0] == 6
    assert longest(open_ended)[0] == UNBOUNDED


def test_a_pattern_of_too_many_states_is_refused_each_time() -> None:
    huge = Constraint(Rep(Chars(((97, 97),)), 0, 9000))
    for _ in range(2):
        with pytest.raises(TooLargeError):
            intersect((huge,))
