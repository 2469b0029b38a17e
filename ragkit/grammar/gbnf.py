"""GBNF, the grammars of llama.cpp, made from ragkit's EBNF.

Source: https://github.com/ggml-org/llama.cpp/blob/master/grammars/README.md and its parser,
src/llama-grammar.cpp. GBNF differs in three ways: it has no look-ahead, which changes no language;
names have no underscores; and a repetition is refused where its item has many parts, and taken for
one without a bound above 2,000.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r'"(?:\\.|[^"\\])*"'  # a literal
    r"|\[(?:\\.|[^\]\\])*\]"  # a class
    r"|\(=|[()|*]"
    r"|\{\d+(?:,\d*)?\}"  # a repetition
    r"|[A-Za-z][A-Za-z0-9_-]*"  # a rule
)
_MOST_REPEATED = 1000
"""Repetitions that llama.cpp takes of a rule: below 2,000."""


def gbnf(ebnf: str) -> str:
    """Return the GBNF of a grammar.

    Example:
        >>> gbnf('root ::= ("a" {0,2}) (=[b]) r_1')
        'root ::= ( "a"{0,2} ) r-1'
    """
    written = _Written()
    for line in ebnf.splitlines():
        name, _, body = line.partition(" ::= ")
        if body:
            written.rules[_named(name)] = written.body(_TOKEN.findall(body))
    return "\n".join(f"{name} ::= {body}" for name, body in written.rules.items())


def _named(name: str) -> str:
    return name.replace("_", "-")


@dataclass(slots=True)
class _Written:
    """The rules written so far, with those that were made for repeated items."""

    rules: dict[str, str] = field(default_factory=dict[str, str])
    made: dict[str, str] = field(default_factory=dict[str, str])

    def body(self, tokens: list[str]) -> str:
        parts: list[str] = []
        for token in _without_ahead(tokens):
            if token[0] in "{*":
                item = _last_item(parts)
                parts[-len(item) :] = [self._repeated(" ".join(item), token)]
            else:
                parts.append(_named(token) if token[0].isalpha() else token)
        return " ".join(parts)

    def _repeated(self, item: str, times: str) -> str:
        if times == "*":
            return item + times
        low, comma, high = times[1:-1].partition(",")
        lo, hi = int(low), int(high or low) if high or not comma else None
        if item[0] == "(" or max(lo, hi or 0) > _MOST_REPEATED:
            item = self._rule(item)
        return _repetition(item, lo, hi)

    def _rule(self, item: str) -> str:
        """Return the name of a rule for an item, whose parts then do not count."""
        if item not in self.made:
            self.made[item] = f"repeated-{len(self.made)}"
            self.rules[self.made[item]] = item
        return self.made[item]


def _repetition(item: str, lo: int, hi: int | None) -> str:
    """Write a repetition as one, or as as many as it takes."""
    most = _MOST_REPEATED
    if hi is None:
        parts = [f"{item}{{{most}}}"] * (lo // most) + [f"{item}{{{lo % most},}}"]
        return f"({' '.join(parts)})"
    if hi <= most:
        return f"{item}{{{lo},{hi}}}"
    more = f"{item}{{{most}}} {_repetition(item, max(0, lo - most), hi - most)}"
    return f"({more})" if lo >= most else f"({item}{{{lo},{most}}} | {more})"


def _without_ahead(tokens: Iterable[str]) -> Iterator[str]:
    depth = 0
    for token in tokens:
        if depth or token == "(=":
            depth += {"(": 1, "(=": 1, ")": -1}.get(token, 0)
        else:
            yield token


def _last_item(parts: list[str]) -> list[str]:
    """Return the parts of the last item: one, or a group with its parentheses."""
    if parts[-1] != ")":
        return parts[-1:]
    depth = 0
    for place in range(len(parts) - 1, -1, -1):
        depth += {")": 1, "(": -1}.get(parts[place], 0)
        if depth == 0:
            return parts[place:]
    return parts
