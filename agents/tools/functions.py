"""The calculator's functions, on fractions, with bounds on what they may cost."""

import math
from collections.abc import Callable, Mapping
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

from simpleeval import InvalidExpression

MAX_BITS = 12_000
"""Of a numerator or denominator: within the digits that Python turns into text."""
_DIGITS = 50
_MAX_WHOLE = 1000
_MAX_ROUNDING = 1000


def about(bits: int) -> int:
    """Decimal digits of a number of so many bits."""
    return round(bits * math.log10(2))


def power(base: Fraction, exponent: Fraction) -> tuple[Fraction, bool]:
    """`base ** exponent`, and whether it is exact.

    Raises:
        InvalidExpression: It is no real number, or gets too long.
    """
    if exponent.denominator == 1:
        bits = max(base.numerator.bit_length(), base.denominator.bit_length()) - 1
        if bits * abs(exponent) > MAX_BITS:
            raise InvalidExpression(f"a power gets too long: exponent {exponent}")
        return base**exponent.numerator, True
    if base < 0:
        raise InvalidExpression("a fractional power of a negative number is not real")
    if base == 0:
        return Fraction(0) ** (1 if exponent > 0 else -1), True
    if exponent == Fraction(1, 2):
        return square_root(base)
    return exponential(exponent * logarithm(base)[0])


def square_root(value: Fraction) -> tuple[Fraction, bool]:
    """The root, exact where the value is a square.

    Raises:
        InvalidExpression: The value is negative.
    """
    if value < 0:
        raise InvalidExpression("the root of a negative number is not real")
    root = Fraction(math.isqrt(value.numerator), math.isqrt(value.denominator))
    if root * root == value:
        return root, True
    return _rounded(lambda number: number.sqrt(), value), False


def exponential(value: Fraction) -> tuple[Fraction, bool]:
    """The base of natural logarithms to the power of the value.

    Raises:
        InvalidExpression: The result would be longer than `MAX_BITS`.
    """
    if abs(value) > MAX_BITS * math.log(2):
        raise InvalidExpression("an exponential gets too large or too small")
    return _rounded(lambda number: number.exp(), value), value == 0


def logarithm(value: Fraction, *, base_ten: bool = False) -> tuple[Fraction, bool]:
    """The logarithm, natural or to base ten.

    Raises:
        InvalidExpression: The value is not positive.
    """
    if value <= 0:
        raise InvalidExpression("a logarithm takes a positive number")
    result = _rounded(lambda number: number.log10() if base_ten else number.ln(), value)
    return result, base_ten and Fraction(10) ** round(result) == value


def _rounded(function: Callable[[Decimal], Decimal], value: Fraction) -> Fraction:
    with localcontext() as context:
        context.prec = _DIGITS
        return Fraction(function(Decimal(value.numerator) / Decimal(value.denominator)))


def _whole(number: Fraction, limit: int | None = None) -> int:
    if number.denominator != 1 or (limit is not None and not 0 <= number <= limit):
        within = "" if limit is None else f" from 0 to {limit}"
        raise InvalidExpression(f"{number} is no whole number{within}")
    return number.numerator


def _round(value: Fraction, digits: Fraction = Fraction(0)) -> Fraction:
    places = _whole(digits)
    if abs(places) > _MAX_ROUNDING:
        raise InvalidExpression(f"it cannot be rounded to {places} digits")
    return round(value, places)


def _common(function: Callable[..., int]) -> Callable[..., int]:
    def call(*values: Fraction) -> int:
        return function(*(_whole(value) for value in values))

    return call


def _factorial(value: Fraction) -> int:
    return math.factorial(_whole(value, _MAX_WHOLE))


def _combinations(n: Fraction, k: Fraction) -> int:
    return math.comb(_whole(n, 10 * _MAX_WHOLE), _whole(k, 10 * _MAX_WHOLE))


def _log10(value: Fraction) -> tuple[Fraction, bool]:
    return logarithm(value, base_ten=True)


def _least(*values: Fraction) -> Fraction:
    return min(values)


def _greatest(*values: Fraction) -> Fraction:
    return max(values)


EXACT: Mapping[str, Callable[..., Any]] = {
    "abs": Fraction.__abs__,
    "min": _least,
    "max": _greatest,
    "round": _round,
    "floor": Fraction.__floor__,
    "ceil": Fraction.__ceil__,
    "gcd": _common(math.gcd),
    "lcm": _common(math.lcm),
    "factorial": _factorial,
    "comb": _combinations,
}
"""Functions whose result is exact."""
ROUNDED: Mapping[str, Callable[..., tuple[Fraction, bool]]] = {
    "sqrt": square_root,
    "exp": exponential,
    "ln": logarithm,
    "log10": _log10,
}
"""Functions that say beside their result whether it is exact."""
