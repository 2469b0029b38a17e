"""Runs of many characters at the end of a JSON string, in a form that compiles and decodes fast.

xgrammar computes one token mask for each place within a rule, each a walk over the whole
vocabulary, and checks while decoding every token that reaches beyond the end of its rule. So a
run without a bound is one rule that refers to itself, closing quote included: no token within it
is checked, and it has a handful of masks. A run of 1,000 characters written out has 1,000 masks
(7.6 s for 32,000 tokens), and `(class | escape){0,1000}` checks almost every token at every step
(150 ms for each).

Up to 64 characters a run is a chain, one rule for each number of characters still to come. Beyond,
it is a ladder of units of 16 characters, so that all runs share their 32 masks:

    run_k ::= part | part escape run_k-1 | unit run_k-1      part: up to 15 raw characters
    run_0 ::= up to 31 characters, raw or escaped            unit: 16 raw characters

Tokens that reach beyond a unit are decided while compiling, because the unit states what follows
it: up to 16 characters and the closing quote. xgrammar trusts that statement where the rule is
used in one place only, and there not as the last part; hence the rule around the unit, and the
empty rule in it (which also keeps the unit from being copied into each of its places). It is only
right where the closing quote follows the run, so there is no other kind of ladder: a run in the
middle of a pattern is a chain, or part of an automaton.
"""

from dataclasses import dataclass

from ragkit.grammar.ebnf import charset
from ragkit.grammar.ebnf.expression import (
    NOTHING,
    UNBOUNDED,
    Ahead,
    Chars,
    Expr,
    Lit,
    Ranges,
    Ref,
    Seq,
    Sized,
    alt,
    rep,
    seq,
)
from ragkit.grammar.ebnf.json_escapes import escapes, plain
from ragkit.grammar.ebnf.rules import Rules

QUOTE = Lit('"')
_UNIT = 16
_BYTES = 4
CHAIN = 64
"""Up to this length each character is a rule of its own, and escapes stand anywhere."""
_ENDS = Chars(charset.of('"\\'))


def closed_run(ranges: Ranges, lo: int, hi: int, rules: Rules) -> Expr | None:
    """Build `lo` to `hi` characters of the set and the closing quote, as in a JSON string.

    In runs of more than 64 characters with a bound, each escape takes the place of up to 16
    characters where it ends a unit early, so that the longest runs hold few escapes.

    Args:
        ranges: The characters.
        lo: Least number of characters.
        hi: Greatest number of characters; `UNBOUNDED` for a run without a bound.
        rules: Rules of the grammar.
    """
    if hi < lo:
        return None
    if rules.measuring:
        return Sized(1 + hi * _BYTES)
    raw, special = plain(ranges), escapes(ranges)
    if not isinstance(raw, Chars):
        return seq(rep(special, lo, hi), QUOTE)
    ladder = _Ladder(raw, special, rules)
    if hi < UNBOUNDED:
        return seq(ladder.between(lo, hi), QUOTE)
    return ladder.at_least(lo)


@dataclass(frozen=True, slots=True)
class _Ladder:
    """The runs of one kind of character: raw ones and, maybe, escaped ones."""

    raw: Chars
    special: Expr | None
    rules: Rules

    def at_least(self, lo: int) -> Expr | None:
        """Build `lo` characters or more, and the closing quote."""
        rest: Expr | None = self.rules.once(("open run", self.raw, self.special), self._loop)
        for _ in range(lo):
            rest = self._named(self._then(rest))
        return rest

    def _loop(self) -> Expr | None:
        loop = self.rules.reserve()
        self.rules.define(loop, alt([QUOTE, self._then(loop)]) or NOTHING)
        return loop

    def between(self, lo: int, hi: int) -> Expr | None:
        """Build runs of `lo` to `hi` characters, which the closing quote follows."""
        rest = self._up_to(hi - lo)
        for _ in range(lo):
            rest = self._ended(self._then(rest))
        return rest

    def _then(self, rest: Expr | None) -> Expr | None:
        """Build one character, and then the rest."""
        special = seq(self.special, rest) if self.special else None
        return alt([seq(self.raw, rest), special])

    def _up_to(self, hi: int) -> Expr | None:
        if hi <= (CHAIN if self.special else 2 * _UNIT):
            return self._chain(hi)
        count = (hi - _UNIT) // _UNIT
        rest, part = self._chain(hi - count * _UNIT), self._part()
        for _ in range(count):
            early = seq(part, self.special, rest) if self.special else None
            rest = self._named(alt([part, early, seq(self._unit(), rest)]))
        return rest

    def _chain(self, hi: int) -> Expr | None:
        """Build up to `hi` characters, one rule for each number of characters still to come."""
        rest: Expr | None = NOTHING
        for _ in range(hi):
            rest = self._ended(alt([NOTHING, self._then(rest)]))
        return rest

    def _part(self) -> Expr | None:
        """Build less than a unit of raw characters, before an escape or the end."""
        rest: Expr | None = NOTHING
        for _ in range(1, _UNIT):
            rest = self._ended(alt([NOTHING, seq(self.raw, rest)]))
        return rest

    def _unit(self) -> Expr | None:
        """Build sixteen raw characters that are not the last ones of the run."""
        return self.rules.once(("unit", self.raw, self.special), self._new_unit)

    def _new_unit(self) -> Expr | None:
        nothing = self.rules.add(NOTHING)
        following = seq(self._chain(_UNIT), QUOTE) or NOTHING
        unit = self.rules.add(Ahead(Seq((nothing, *(self.raw,) * _UNIT)), following))
        return Seq((unit, nothing))

    def _ended(self, expr: Expr | None) -> Expr | None:
        """Name the rule; a closing quote or an escape follows it."""
        if expr is None or not self.special:
            return self._named(expr)
        return self.rules.add(Ahead(expr, _ENDS))

    def _named(self, expr: Expr | None) -> Expr | None:
        return expr if expr is None or isinstance(expr, Ref) else self.rules.add(expr)
