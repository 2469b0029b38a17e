"""Choices between many fixed texts, with shared beginnings written once."""

from collections.abc import Iterable
from itertools import groupby

from ragkit.grammar.ebnf.expression import NOTHING, Expr, Lit, Ref, Sized, alt, seq
from ragkit.grammar.ebnf.rules import Rules

_FLAT = 8
_LEAF = 128
"""Texts in one rule at most. 10,000 texts compile in 1.5 s, against 10 s with all of them in one
rule or with a rule for each beginning."""


def choices(texts: Iterable[str], rules: Rules) -> Expr | None:
    """Build a choice of one of the texts. A large set is divided by their beginnings."""
    unique = sorted(set(texts))
    if rules.measuring and unique:
        return Sized(max(len(text.encode()) for text in unique))
    if len(unique) <= _FLAT:
        return alt(map(Lit, unique))
    return _trie(unique, rules)


def _trie(texts: list[str], rules: Rules) -> Expr | None:
    options: list[Expr | None] = []
    for first, group in groupby(texts, key=lambda text: text[:1]):
        members = list(group)
        if not first:
            options.append(NOTHING)
            continue
        stem = _shared_beginning(members[0], members[-1])
        rest = [member[len(stem) :] for member in members]
        options.append(Lit(stem) if rest == [""] else seq(Lit(stem), _branch(rest, rules)))
    return alt(options)


def _shared_beginning(first: str, last: str) -> str:
    """Return the beginning that the first and the last of sorted texts share, and so all."""
    size = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), None)
    return first[: min(len(first), len(last)) if size is None else size]


def _branch(texts: list[str], rules: Rules) -> Ref | None:
    expr = alt(map(Lit, texts)) if len(texts) <= _LEAF else _trie(texts, rules)
    return None if expr is None else rules.add(expr)
