"""Decimal numbers within a range, as automata over their digits."""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from math import ceil, floor

from ragkit.grammar.ebnf import charset
from ragkit.grammar.ebnf.expression import NOTHING, Chars, Expr, Lit, Sized, alt, chars, rep, seq
from ragkit.grammar.ebnf.rules import Rules
from ragkit.grammar.types.choices import choices

_DIGIT, _NOT_ZERO = Chars(charset.DIGITS), Chars(charset.of("123456789"))
_MAX_REMAINDERS = 2000
"""Remainders of `multipleOf` at all digits together."""
_MAX_LISTED = 1000
"""Multiples that are written one by one, where the remainders would be too many."""
_EXACT_DIGITS = 15
"""Decimals of this many digits survive a double, so exclusive bounds hold after parsing too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberShape:
    """The constraints of a number; bounds are inclusive unless marked open.

    `integer` asks for integers; without `whole` there must be none.
    """

    integer: bool
    whole: bool = True
    low: Fraction | None = None
    high: Fraction | None = None
    low_open: bool = False
    high_open: bool = False
    step: Fraction | None = None
    integer_digits: int
    fraction_digits: int


class UnsupportedStepError(ValueError):
    """`multipleOf` cannot be followed digit by digit."""


def number(shape: NumberShape, rules: Rules) -> Expr | None:
    """Build the JSON numbers of the shape; None where none exist."""
    make = partial(_measured if rules.measuring else _number, shape, rules)
    return rules.once(("number", shape), make)


def _measured(shape: NumberShape, rules: Rules) -> Expr:
    """Bound the length of the numbers: sign, digits, point, fraction and exponent."""
    bounds = [abs(bound) for bound in (shape.low, shape.high) if bound is not None]
    digits = max([len(str(ceil(bound))) + 1 for bound in bounds], default=0)
    if len(bounds) < 2 or shape.step is not None:
        digits = max(digits, shape.integer_digits)
    if shape.integer:
        return Sized(1 + digits)
    return Sized(1 + digits + 1 + max(shape.fraction_digits, 1) + (0 if bounds else len("e+00")))


def _number(shape: NumberShape, rules: Rules) -> Expr | None:
    if shape.step is not None and not shape.whole:
        raise UnsupportedStepError
    if shape.integer or shape.step is not None:
        return alt(_scaled(shape, rules))
    if shape.low is None and shape.high is None:
        return _any_decimal(shape, rules)
    return _decimals(shape, rules)


def _any_decimal(shape: NumberShape, rules: Rules) -> Expr | None:
    """All decimals, with an exponent of two digits at most, as floats are printed."""
    whole = _integers(None, None, Fraction(1), shape.integer_digits, rules)
    fraction = seq(Lit("."), _digits(shape.fraction_digits, whole=shape.whole))
    if not shape.whole:
        return seq(alt([Lit("-0"), whole]), fraction)
    exponent = seq(Lit("e"), chars(charset.of("+-")), rep(_DIGIT, 2, 2))
    zero = seq(Lit("-0"), fraction)
    return seq(alt([whole, zero, seq(whole, fraction)]), alt([NOTHING, exponent]))


def _digits(most: int, *, whole: bool) -> Expr | None:
    """The digits of a fraction; without `whole` the last one is not zero."""
    if whole:
        return rep(_DIGIT, 1, max(most, 1))
    return seq(rep(_DIGIT, 0, max(most, 1) - 1), _NOT_ZERO)


# --- integers and multiples: all digits are those of one integer, scaled by a power of ten


def _scaled(shape: NumberShape, rules: Rules) -> Iterable[Expr | None]:
    step = shape.step or Fraction(1)
    if shape.integer:
        step = Fraction(step.numerator)
    for places in range(_places(step, shape) + 1):
        scale = Fraction(10) ** places
        multiple = Fraction((step * scale).numerator)
        low = None if shape.low is None else _next_up(shape.low * scale, is_open=shape.low_open)
        high = (
            None if shape.high is None else _next_down(shape.high * scale, is_open=shape.high_open)
        )
        yield _integers(low, high, multiple, shape.integer_digits, rules, places=places)


def _places(step: Fraction, shape: NumberShape) -> int:
    if shape.integer:
        return 0
    for places in range(shape.fraction_digits + 1):
        if (step * 10**places).denominator == 1:
            return places
    raise UnsupportedStepError


def _next_up(value: Fraction, *, is_open: bool) -> int:
    return floor(value) + 1 if is_open else ceil(value)


def _next_down(value: Fraction, *, is_open: bool) -> int:
    return ceil(value) - 1 if is_open else floor(value)


def _integers(
    low: int | None, high: int | None, step: Fraction, digits: int, rules: Rules, *, places: int = 0
) -> Expr | None:
    most = 10 ** (digits + places) - 1
    most = max(most, 10 ** len(str(abs(low or 0))) - 1) if low else most
    top = most if high is None else min(high, most)
    bottom = -most if low is None else max(low, -max(most, abs(high or 0)))
    writer = _Multiples(step.numerator, places, rules)
    negative = seq(Lit("-"), writer.between(max(1, -top), -bottom))
    return alt([writer.between(max(0, bottom), top), negative])


@dataclass(frozen=True, slots=True)
class _Multiples:
    """Writes the multiples of `step`, with a decimal point before the last `places` digits."""

    step: int
    places: int
    rules: Rules

    def between(self, low: int, high: int) -> Expr | None:
        """The multiples from `low` to `high`, both at least zero."""
        if high < low:
            return None
        shortest = max(len(str(low)), self.places + 1)
        longest = max(len(str(high)), shortest)
        if self.step * longest > _MAX_REMAINDERS:
            return self._few(low, high)
        if self.step == 1 and not self.places:
            return self._by_length(low, high, shortest, longest)
        return alt(self._of_length(size, low, high) for size in range(shortest, longest + 1))

    def _few(self, low: int, high: int) -> Expr | None:
        """Build the multiples of a long step: its zeros apart, then only the smallest multiples."""
        if self.places:
            raise UnsupportedStepError
        if self.step % 10 == 0:
            tens = _Multiples(self.step // 10, 0, self.rules).between(
                max(1, -(-low // 10)), high // 10
            )
            return alt([Lit("0") if low == 0 else None, seq(tens, Lit("0"))])
        first = -(-low // self.step)
        last = min(high // self.step, first + _MAX_LISTED)
        return choices((str(self.step * count) for count in range(first, last + 1)), self.rules)

    def _by_length(self, low: int, high: int, shortest: int, longest: int) -> Expr | None:
        """As `between`, with the lengths between the shortest and the longest in one."""
        ends = [self._of_length(size, low, high) for size in {shortest, longest}]
        middle = rep(_DIGIT, shortest, longest - 2) if longest - shortest > 1 else None
        return alt([*ends, seq(_NOT_ZERO, middle)])

    def _of_length(self, size: int, low: int, high: int) -> Expr | None:
        first = 10 ** (size - 1) if size > self.places + 1 else 0
        low, high = max(low, first), min(high, 10**size - 1)
        if high < low:
            return None
        return self._tail(size, 0, str(low).zfill(size), str(high).zfill(size))

    def _tail(self, left: int, remainder: int, low: str | None, high: str | None) -> Expr | None:
        if left == 0:
            return NOTHING if remainder == 0 else None
        if low is not None and low == "0" * left:
            low = None
        if high is not None and high == "9" * left:
            high = None
        if self.step == 1 and low is None and high is None:
            return self._free(left)
        key = ("digits", self.step, self.places, left, remainder, low, high)
        return self.rules.once(key, lambda: self._choices(left, remainder, low, high))

    def _free(self, left: int) -> Expr | None:
        if not self.places or left <= self.places:
            point = Lit(".") if self.places and left == self.places else NOTHING
            return seq(point, rep(_DIGIT, left, left))
        return seq(rep(_DIGIT, left - self.places, left - self.places), self._free(self.places))

    def _choices(self, left: int, remainder: int, low: str | None, high: str | None) -> Expr | None:
        first, last = int(low[0]) if low else 0, int(high[0]) if high else 9
        point = Lit(".") if self.places and left == self.places else NOTHING
        grouped: dict[Expr, list[int]] = {}
        for digit in range(first, last + 1):
            rest = self._tail(
                left - 1,
                (remainder * 10 + digit) % self.step,
                low[1:] if low and digit == first else None,
                high[1:] if high and digit == last else None,
            )
            if rest is not None:
                grouped.setdefault(rest, []).append(digit)
        return alt(seq(point, _digit_class(found), rest) for rest, found in grouped.items())


def _digit_class(digits: list[int]) -> Expr | None:
    return chars(charset.of(map(str, digits)))


# --- decimals within bounds


def _decimals(shape: NumberShape, rules: Rules) -> Expr | None:
    positive = _Bounds(shape.low, shape.high, shape.low_open, shape.high_open)
    negative = _Bounds(
        None if shape.high is None else -shape.high,
        None if shape.low is None else -shape.low,
        shape.high_open,
        shape.low_open,
    )
    above = _unsigned(positive, shape, rules)
    below = _unsigned(negative, shape, rules) if shape.low is None or shape.low < 0 else None
    return alt([above, seq(Lit("-"), below)])


@dataclass(frozen=True, slots=True)
class _Bounds:
    low: Fraction | None
    high: Fraction | None
    low_open: bool
    high_open: bool


def _unsigned(bounds: _Bounds, shape: NumberShape, rules: Rules) -> Expr | None:
    low, high = bounds.low, bounds.high
    low_open = bounds.low_open and low is not None and low >= 0
    low = max(low or Fraction(0), Fraction(0))
    most = max(Fraction(10**shape.integer_digits - 1), Fraction(2 * ceil(low)) + 1)
    high, high_open = (most, False) if high is None else (min(high, most), bounds.high_open)
    if high < low or (high == low and (low_open or high_open)):
        return None
    places = shape.fraction_digits
    if low_open or high_open:
        places = max(1, min(places, _EXACT_DIGITS - len(str(floor(high)))))
    writer = _DecimalsBetween(low, high, low_open, high_open, max(places, 1), shape.whole, rules)
    return writer.expr()


@dataclass(frozen=True, slots=True)
class _DecimalsBetween:
    """Unsigned decimals between two bounds."""

    low: Fraction
    high: Fraction
    low_open: bool
    high_open: bool
    places: int
    whole: bool
    rules: Rules

    def expr(self) -> Expr | None:
        bottom, top = floor(self.low), floor(self.high)
        if bottom == top:
            return seq(Lit(str(bottom)), self._fraction(self.low - bottom, self.high - top))
        digits = _Multiples(1, 0, self.rules)
        between = digits.between(bottom + 1, top - 1)
        free = self._fraction(None, None)
        return alt(
            [
                seq(Lit(str(bottom)), self._fraction(self.low - bottom, None)),
                seq(between, free),
                seq(Lit(str(top)), self._fraction(None, self.high - top)),
            ]
        )

    def _fraction(self, low: Fraction | None, high: Fraction | None) -> Expr | None:
        """Nothing, or a point and digits, so that the value is within the bounds."""
        fits = self._ends(low, high)
        low = None if low is not None and self._ends(low, None) else low
        tail = self._digits(low, high, self.places)
        return alt([NOTHING if fits and self.whole else None, seq(Lit("."), tail)])

    def _ends(self, low: Fraction | None, high: Fraction | None) -> bool:
        low_ok = low is None or low < 0 or (low == 0 and not self.low_open)
        high_ok = high is None or high > 0 or (high == 0 and not self.high_open)
        return low_ok and high_ok

    def _digits(self, low: Fraction | None, high: Fraction | None, left: int) -> Expr | None:
        """One digit at least; bounds are those of `0.digits`."""
        if not left:
            return None
        if low is None and high is None:
            return _digits(left, whole=self.whole)
        if high == 0 and low is None and not self.high_open:
            return rep(Lit("0"), 1, left) if self.whole else None
        key = ("fraction", low, high, self.low_open, self.high_open, self.whole, left)
        return self.rules.once(key, lambda: self._choices(low, high, left))

    def _choices(self, low: Fraction | None, high: Fraction | None, left: int) -> Expr | None:
        grouped: dict[Expr, list[int]] = {}
        for digit in range(10):
            below, above = _shift(low, digit), _shift(high, digit)
            if (below is not None and below >= 1) or (above is not None and above < 0):
                continue
            below = None if below is not None and self._ends(below, None) else below
            above = None if above is not None and above >= 1 else above
            end = NOTHING if self._ends(below, above) and (digit or self.whole) else None
            rest = alt([end, self._digits(below, above, left - 1)])
            if rest is not None:
                grouped.setdefault(rest, []).append(digit)
        return alt(seq(_digit_class(found), rest) for rest, found in grouped.items())


def _shift(bound: Fraction | None, digit: int) -> Fraction | None:
    return None if bound is None else bound * 10 - digit
