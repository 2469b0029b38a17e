"""Grammars of plain text: choices and regular expressions."""

import re
from collections.abc import Sequence

from ragkit.core.errors import InputError
from ragkit.core.reply_grammar import JsonForm
from ragkit.core.text import is_unicode
from ragkit.grammar.ebnf.expression import UNBOUNDED, Expr
from ragkit.grammar.ebnf.pattern import UnsupportedPatternError, as_python, constraints
from ragkit.grammar.ebnf.rules import Rules
from ragkit.grammar.grammar import Built, Grammar, Recipe
from ragkit.grammar.limits import Limits
from ragkit.grammar.types.choices import choices as one_of
from ragkit.grammar.types.strings import RAW, StringShape, content, lengths, measured


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

    def build(limits: Limits, rules: Rules) -> Built:
        return Built(root=_present(one_of(allowed, rules)), rules=rules, limits=limits)

    form = JsonForm(schema={"type": "string", "enum": [*dict.fromkeys(choices)]}, plain=True)
    return Recipe(build, read, form).grammar(Limits())


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
    try:
        found = constraints(f"^(?:{pattern})$")
    except UnsupportedPatternError as error:
        raise _unsupported(pattern, error) from error
    compiled = re.compile(as_python(pattern))

    def read(text: str) -> str:
        if not compiled.fullmatch(text):
            raise InputError(f"The reply {text[:200]!r} does not match {pattern!r}.")
        return text

    def build(limits: Limits, rules: Rules) -> Built:
        low, high = lengths(found[-1].language)
        high = max(limits.string_length, low) if high >= UNBOUNDED else high
        try:
            # The plain text is never longer than the same text in a JSON string.
            shape = StringShape(hi=high, constraints=found)
            root = measured(shape) if rules.measuring else content(shape, rules, RAW)
        except UnsupportedPatternError as error:
            raise _unsupported(pattern, error) from error
        return Built(root=_present(root), rules=rules, limits=limits)

    form = JsonForm(schema={"type": "string", "pattern": f"^(?:{pattern})$"}, plain=True)
    return Recipe(build, read, form).grammar(limits or Limits())


def _unsupported(pattern: str, error: UnsupportedPatternError) -> InputError:
    return InputError(
        f"The pattern {pattern!r} cannot be decoded under a grammar: {error}. "
        "Fix: rewrite the pattern."
    )


def _present(expr: Expr | None) -> Expr:
    if expr is None:
        raise InputError(
            "No text matches the pattern. Fix: change the pattern or raise the limits."
        )
    return expr
