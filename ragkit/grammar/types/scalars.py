"""Strings and numbers of a branch: its keywords gathered into shapes."""

from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from math import lcm
from typing import Any

from ragkit.grammar.ebnf.expression import UNBOUNDED, Expr, Lit, alt
from ragkit.grammar.ebnf.pattern import Constraint, UnsupportedPatternError, constraints
from ragkit.grammar.ebnf.rules import Rules
from ragkit.grammar.limits import Limits
from ragkit.grammar.schema.document import Keywords, UnsupportedSchemaError
from ragkit.grammar.schema.formats import FORMATS, LONGEST
from ragkit.grammar.types.numbers import NumberShape, UnsupportedStepError, number
from ragkit.grammar.types.strings import StringShape, lengths, string

_MAX_DIGITS = 100
_EXACT_FLOAT = 2.0**53
"""Floats from here on are whole numbers, which their shortest decimals are not always."""
Found = Iterable[tuple[str, Keywords]]


def strings(found: Found, limits: Limits, rules: Rules) -> Expr | None:
    """Build the strings that satisfy all the keywords.

    Raises:
        InputError: A pattern cannot be decoded.
    """
    lo, hi = 0, UNBOUNDED
    limiting: list[Constraint] = []
    where = ("", "pattern")
    for path, keywords in found:
        lo = max(lo, int(keywords.get("minLength", 0)))
        hi = min(
            hi, int(keywords.get("maxLength", hi)), LONGEST.get(keywords.get("format", ""), hi)
        )
        for keyword in ("pattern", "$notPattern", "format", "$except"):
            if keyword in keywords:
                where = (path, keyword)
                limiting.extend(_constraints(path, keyword, keywords[keyword]))
    shortest = (lengths(c.language)[0] for c in limiting if c.positive)
    ceiling = max(limits.string_length, lo, *shortest, 0)
    shape = StringShape(
        lo=lo,
        hi=min(hi, ceiling),
        constraints=tuple(dict.fromkeys(limiting)),
    )
    try:
        return string(shape, rules)
    except UnsupportedPatternError as error:
        raise UnsupportedSchemaError(*where, str(error)) from error


def _constraints(path: str, keyword: str, value: Any) -> Iterable[Constraint]:
    try:
        match keyword:
            case "pattern":
                return constraints(value)
            case "$notPattern":
                return constraints(value, positive=False)
            case "format":
                return constraints(FORMATS[value]) if value in FORMATS else ()
            case _:
                texts = alt(Lit(text) for text in value if isinstance(text, str))
                return () if texts is None else (Constraint(texts, positive=False),)
    except UnsupportedPatternError as error:
        raise UnsupportedSchemaError(path, keyword, f"{value!r} uses {error}") from error


def numbers(found: Found, types: frozenset[str], limits: Limits, rules: Rules) -> Expr | None:
    """Build the numbers of these types that satisfy all the keywords.

    Raises:
        InputError: `multipleOf` cannot be followed digit by digit.
    """
    found = list(found)
    shape = _number_shape(found, types, limits)
    try:
        return number(shape, rules)
    except UnsupportedStepError as error:
        path = next(path for path, keywords in found if "multipleOf" in keywords)
        raise UnsupportedSchemaError(path, "multipleOf", "the step has too many digits") from error


def _number_shape(found: Found, types: frozenset[str], limits: Limits) -> NumberShape:
    low: tuple[Fraction, bool] | None = None
    high: tuple[Fraction, bool] | None = None
    step: Fraction | None = None
    for path, keywords in found:
        for keyword, is_open in (("minimum", False), ("exclusiveMinimum", True)):
            if keyword in keywords:
                bound = (_exact(path, keyword, keywords[keyword]), is_open)
                low = bound if low is None else max(low, bound)
        for keyword, is_open in (("maximum", True), ("exclusiveMaximum", False)):
            if keyword in keywords:
                bound = (_exact(path, keyword, keywords[keyword]), is_open)
                high = bound if high is None else min(high, bound)
        if "multipleOf" in keywords:
            step = _common_multiple(step, _exact(path, "multipleOf", keywords["multipleOf"]))
    return NumberShape(
        integer="fraction" not in types,
        whole="integer" in types,
        low=low and low[0],
        high=high and high[0],
        low_open=bool(low and low[1]),
        high_open=bool(high and not high[1]),
        step=step,
        integer_digits=limits.integer_digits,
        fraction_digits=limits.fraction_digits,
    )


def _exact(path: str, keyword: str, value: Any) -> Fraction:
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        found = Decimal("NaN")
    if isinstance(value, bool) or not found.is_finite() or abs(found.adjusted()) > _MAX_DIGITS:
        reason = f"{value!r} is not a number of at most {_MAX_DIGITS} digits"
        raise UnsupportedSchemaError(path, keyword, reason)
    is_long = isinstance(value, float) and abs(value) >= _EXACT_FLOAT
    return Fraction(value) if is_long else Fraction(found)


def _common_multiple(left: Fraction | None, right: Fraction) -> Fraction:
    if left is None:
        return right
    scale = lcm(left.denominator, right.denominator)
    return Fraction(lcm(int(left * scale), int(right * scale)), scale)
