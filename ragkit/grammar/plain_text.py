"""Grammars of plain text: choices and regular expressions."""

import re
from collections.abc import Sequence

from ragkit.core.errors import InputError
from ragkit.core.text import is_unicode
from ragkit.grammar.ebnf.expression import UNBOUNDED, Expr
from ragkit.grammar.ebnf.pattern import UnsupportedPatternError, constraints
from ragkit.grammar.ebnf.rules import Rules
from ragkit.grammar.grammar import Grammar, assemble
from ragkit.grammar.limits import Limits
from ragkit.grammar.types.choices import choices as one_of
from ragkit.grammar.types.strings import RAW, StringShape, content, lengths


def choice_grammar(choices: Sequence[str]) -> Grammar[str]:
    """Build the grammar of a reply that is one of the texts, as plain text and not as JSON.

    Raises:
        InputError: The choices are empty, or one is not Unicode text.
    """
    allowed = frozenset(choices)
    if not allowed:
        raise InputError(
            "choice_grammar needs at least one text, but got none. Fix: pass the allowed replies."
        )
    for text in allowed:
        require_text(text)

    def read(text: str) -> str:
        if text not in allowed:
            raise InputError(f"The reply {text[:200]!r} is none of the {len(allowed)} choices.")
        return text

    rules = Rules()
    root = _present(one_of(allowed, rules))
    return assemble(
        root, rules, limits=Limits(), read=read, rebuild=lambda _: choice_grammar(choices)
    )


def require_text(text: str) -> None:
    """Raise for lone surrogates, which UTF-8 cannot encode.

    Raises:
        InputError: The text contains one.
    """
    if not is_unicode(text):
        raise InputError(
            f"{text[:200]!r} holds a lone surrogate, which UTF-8 cannot encode. Fix: remove it."
        )


def regex_grammar(pattern: str, *, limits: Limits | None = None) -> Grammar[str]:
    """Build the grammar of a plain-text reply that matches the pattern from start to end.

    A pattern without a bound of its own is bounded by `limits.string_length`.

    Raises:
        InputError: The pattern is malformed or uses look-around or back references.
    """
    limits, rules = limits or Limits(), Rules()
    try:
        found = constraints(f"^(?:{pattern})$")
        low, high = lengths(found[-1].language)
        high = max(limits.string_length, low) if high >= UNBOUNDED else high
        root = content(StringShape(hi=high, constraints=found), rules, RAW)
    except UnsupportedPatternError as error:
        raise InputError(
            f"The pattern {pattern!r} cannot be decoded under a grammar: {error}. "
            "Fix: rewrite the pattern."
        ) from error
    compiled = re.compile(pattern)

    def read(text: str) -> str:
        if not compiled.fullmatch(text):
            raise InputError(f"The reply {text[:200]!r} does not match {pattern!r}.")
        return text

    return assemble(
        _present(root),
        rules,
        limits=limits,
        read=read,
        rebuild=lambda tighter: regex_grammar(pattern, limits=tighter),
    )


def _present(expr: Expr | None) -> Expr:
    if expr is None:
        raise InputError(
            "No text matches the pattern. Fix: change the pattern or raise the limits."
        )
    return expr
