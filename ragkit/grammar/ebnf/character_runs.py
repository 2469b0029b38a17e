"""Runs of many characters, in a form that compiles fast and decodes fast.

xgrammar computes one token mask for each place within a rule, each a walk over the whole
vocabulary, and checks while decoding every token that reaches beyond the end of its rule. So a
run of 1,000 characters written out has 1,000 masks (17 s for 30,000 tokens on a slow core), and
`(class | escape){0,1000}` checks almost every token at every step (670 ms for each).

Here a run is a ladder of units of 16 characters, so that all runs share their 32 masks:

    run_k ::= part | part escape run_k-1 | unit run_k-1      part: up to 15 raw characters
    run_0 ::= up to 31 characters, raw or escaped            unit: 16 raw characters

Tokens that reach beyond a unit are decided while compiling, because the unit says what follows
it. xgrammar takes a rule's word for that where the rule is used in one place only, and there not
as the last part; hence the rule around the unit, and the empty rule in it (which also keeps the
unit from being copied into each of its places). Measured on 30,000 tokens: 1 s to compile the
first free string, 10 ms for later ones of any length, 0.04 ms for each decoded token.
"""

from dataclasses import dataclass, replace

from ragkit.grammar.ebnf import charset
from ragkit.grammar.ebnf.expression import (
    NOTHING,
    Ahead,
    Alt,
    Blend,
    Chars,
    Expr,
    Lit,
    Ranges,
    Ref,
    Rep,
    Seq,
    alt,
    rep,
    seq,
)
from ragkit.grammar.ebnf.json_escapes import escapes, json_char, json_text, plain
from ragkit.grammar.ebnf.rules import Rules

_UNIT = 16
_CHAIN = 64
"""Up to this length each character is a rule of its own, and escapes stand anywhere."""
_ENDS = Chars(charset.of('"\\'))


def json_content(expr: Expr, rules: Rules) -> Expr | None:
    """A bounded language of strings, written as the inside of a JSON string."""
    match expr:
        case Lit(text):
            return Lit(json_text(text)[1:-1])
        case Chars(ranges):
            return json_char(ranges)
        case Seq(parts):
            return seq(*(json_content(part, rules) for part in parts))
        case Alt(options):
            return alt([json_content(option, rules) for option in options])
        case Blend(Alt(options)):
            return _blend(options, expr, rules)
        case Rep(Chars(ranges), lo, hi):
            return run(ranges, lo, hi, rules, closed=False)
        case Rep(item, lo, hi):
            return rep(json_content(item, rules), lo, hi)
        case _:
            raise TypeError(expr)


def raw_content(expr: Expr, rules: Rules) -> Expr | None:
    """A bounded language of strings, written as it is."""
    match expr:
        case Seq(parts):
            return seq(*(raw_content(part, rules) for part in parts))
        case Alt(options):
            return alt([raw_content(option, rules) for option in options])
        case Blend(Alt(options)):
            kinds, texts = _kinds(options)
            special = alt([raw_content(text, rules) for text in texts])
            return _Ladder(kinds, special, rules, closed=False, width=expr.width).between(
                0, expr.hi
            )
        case Rep(Chars() as item, lo, hi):
            return _Ladder(item, None, rules, closed=False).between(lo, hi)
        case Rep(item, lo, hi):
            return rep(raw_content(item, rules), lo, hi)
        case _:
            return expr


def _kinds(options: tuple[Expr, ...]) -> tuple[Chars, list[Expr]]:
    chosen = next(option for option in options if isinstance(option, Chars))
    return chosen, [option for option in options if option is not chosen]


def _blend(options: tuple[Expr, ...], blend: Blend, rules: Rules) -> Expr | None:
    kinds, texts = _kinds(options)
    raw = plain(kinds.ranges)
    special = alt([escapes(kinds.ranges), *(json_content(text, rules) for text in texts)])
    if not isinstance(raw, Chars):
        return rep(special, 0, blend.hi // blend.width)
    return _Ladder(raw, special, rules, closed=False, width=blend.width).between(0, blend.hi)


def run(ranges: Ranges, lo: int, hi: int, rules: Rules, *, closed: bool = True) -> Expr | None:
    """`lo` to `hi` characters of the set, as written inside a JSON string.

    Beyond 64 characters, each escape takes the place of up to 16 characters where it ends a unit
    early, so that the longest runs hold few escapes.

    Args:
        ranges: The characters.
        lo: Least number of characters.
        hi: Greatest number of characters.
        rules: Of the grammar.
        closed: Whether the closing quote follows the run.
    """
    raw = plain(ranges)
    if not isinstance(raw, Chars):
        return rep(escapes(ranges), lo, hi)
    return _Ladder(raw, escapes(ranges), rules, closed=closed).between(lo, hi)


@dataclass(frozen=True, slots=True)
class _Ladder:
    """Writes the runs of one kind of character.

    `width` is how many characters an escape (or whatever is special) stands for at most.
    """

    raw: Chars
    special: Expr | None
    rules: Rules
    closed: bool
    width: int = 1

    def between(self, lo: int, hi: int) -> Expr | None:
        """Runs of `lo` to `hi` characters."""
        if hi < lo:
            return None
        if lo > _CHAIN:
            count = lo // _UNIT
            rest = self.between(lo - count * _UNIT, hi - count * _UNIT)
            return seq(rep(self._sixteen(), count, count), rest)
        free = hi - lo
        rest = self._up_to(free)
        for least in range(1, lo + 1):
            rest = self._link(rest, free + least, end=None)
        return rest

    def _up_to(self, hi: int) -> Expr | None:
        if hi <= (_CHAIN if self.special else 2 * _UNIT):
            return self._short(hi)
        step = _UNIT - 1 + self.width
        count = (hi - _UNIT) // step
        rest, part = self._bottom(hi - count * step), self._part()
        for _ in range(count):
            early = seq(part, self.special, rest) if self.special else None
            rest = self._named(alt([part, early, seq(self._unit(), rest)]))
        return rest

    def _short(self, hi: int) -> Expr | None:
        if self.width == 1:
            return self.chain(hi)
        return rep(alt([self.raw, self.special]), 0, hi // self.width)

    def _bottom(self, hi: int) -> Expr | None:
        """The end of the ladder, at least a unit long, as what a unit takes to follow it."""
        return (self if self.width == 1 else replace(self, special=None, width=1)).chain(hi)

    def chain(self, hi: int) -> Expr | None:
        """Up to `hi` characters, one rule for each number of characters still to come."""
        rest: Expr | None = NOTHING
        for left in range(1, hi + 1):
            rest = self._link(rest, left, end=NOTHING)
        return rest

    def _link(self, rest: Expr | None, left: int, end: Expr | None) -> Expr | None:
        special = seq(self.special, rest) if self.special else None
        return self._ended(alt([end, seq(self.raw, rest), special]))

    def _part(self) -> Expr | None:
        """Less than a unit of raw characters, before an escape or the end."""
        rest: Expr | None = NOTHING
        for _ in range(1, _UNIT):
            rest = self._ended(alt([NOTHING, seq(self.raw, rest)]))
        return rest

    def _unit(self) -> Expr | None:
        """Sixteen raw characters, not the last ones of the run."""
        return self.rules.once(("unit", self.raw, self.special, self.closed), self._new_unit)

    def _new_unit(self) -> Expr | None:
        nothing = self.rules.add(NOTHING)
        sixteen = (self.raw,) * _UNIT
        following: Expr | None = Seq(sixteen)
        if self.closed:
            following = seq(self.chain(_UNIT), Lit('"'))
        unit = self.rules.add(Ahead(Seq((nothing, *sixteen)), following or NOTHING))
        return Seq((unit, nothing))

    def _sixteen(self) -> Expr | None:
        """A unit, or sixteen characters with an escape among them."""
        if not self.special:
            return self._unit()
        any_left: Expr | None = NOTHING
        with_escape: Expr | None = None
        for _ in range(_UNIT):
            with_escape = alt([seq(self.raw, with_escape), seq(self.special, any_left)])
            with_escape = self._named(with_escape)
            any_left = self._named(alt([seq(self.raw, any_left), seq(self.special, any_left)]))
        return self._named(alt([self._unit(), with_escape]))

    def _ended(self, expr: Expr | None) -> Expr | None:
        if expr is None or not (self.closed and self.special):
            return self._named(expr)
        return self.rules.add(Ahead(expr, _ENDS))

    def _named(self, expr: Expr | None) -> Expr | None:
        return expr if expr is None or isinstance(expr, Ref) else self.rules.add(expr)
