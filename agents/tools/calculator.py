"""`calculator`: exact arithmetic on fractions, evaluated by simpleeval, not by Python's `eval`."""

import ast
import functools
import math
import operator
from collections.abc import Callable, Mapping
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Annotated, Any

from pydantic import Field
from simpleeval import InvalidExpression, SimpleEval

from ragkit.agents.tools.function import tool
from ragkit.core.errors import ToolError
from ragkit.core.protocols import Tool
from ragkit.core.types import ToolResult

_MAX_CHARACTERS = 500
_MAX_EXPONENT = 3000
_DECIMALS = 60
_MAX_BITS = 12_000
"""Of a numerator or denominator: within the digits that Python turns into text."""
_DIGITS = 50
_MAX_WHOLE = 1000
_MAX_ROUNDING = 1000
_SIGNS = str.maketrans(
    {
        "\N{MULTIPLICATION SIGN}": "*",
        "\N{MIDDLE DOT}": "*",
        "\N{DIVISION SIGN}": "/",
        "\N{MINUS SIGN}": "-",
        "\N{EN DASH}": "-",
    }
)
_NODES = (
    ast.Name, ast.UnaryOp, ast.BinOp, ast.BoolOp, ast.Compare, ast.IfExp, ast.Call, ast.Constant,
)  # fmt: skip
_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: Fraction.__truediv__,
    ast.FloorDiv: Fraction.__floordiv__,
    ast.Mod: operator.mod,
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
    ast.Not: operator.not_,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Gt: operator.gt,
    ast.Lt: operator.lt,
    ast.GtE: operator.ge,
    ast.LtE: operator.le,
}
_CONSTANTS = {
    "pi": Fraction("3.14159265358979323846264338327950288419716939937510"),
    "e": Fraction("2.71828182845904523536028747135266249775724709369995"),
}


def calculator() -> Tool:
    """Make a tool that computes an expression.

    Fractions are exact, roots and logarithms are rounded.
    """

    @tool
    def calculator(
        expression: Annotated[str, Field(min_length=1, max_length=_MAX_CHARACTERS)],
    ) -> ToolResult:
        """Compute an arithmetic expression exactly: + - * / // % **, comparisons, parentheses.

        Functions: abs, min, max, round(x, digits), floor, ceil, gcd, lcm, factorial, comb, sqrt,
        exp, ln, log10. Constants: pi, e. Powers are written **, numbers without separators.

        Args:
            expression: For example (1250 * 1.19 - 80) / 3
        """
        return _result(expression)

    return calculator


def _result(expression: str) -> ToolResult:
    evaluator = _Evaluator()
    try:
        value = evaluator.run(expression.translate(_SIGNS).strip())
    except ZeroDivisionError as error:
        raise ToolError(f"{expression!r} divides by zero.") from error
    except (InvalidExpression, ArithmeticError, TypeError, ValueError) as error:
        raise ToolError(f"{expression!r} cannot be computed: {error}") from error
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ToolError(f"{expression!r} is not an arithmetic expression: {error}") from error
    if isinstance(value, bool):
        return ToolResult(text=str(value).lower(), value=value)
    return _shown(value, exact=evaluator.exact)


def _shown(value: Fraction, *, exact: bool) -> ToolResult:
    rounded = _decimal(value, digits=30)
    if not exact:
        return ToolResult(text=f"about {rounded}", value=rounded)
    rest, places = value.denominator, 0
    for prime in (2, 5):
        count = 0
        while rest % prime == 0:
            rest, count = rest // prime, count + 1
        places = max(places, count)
    if rest == 1 and places <= _DECIMALS:
        whole = _decimal(value, digits=_MAX_BITS)
        return ToolResult(text=whole, value=whole)
    return ToolResult(text=f"{value}, about {rounded}", value=rounded)


def _decimal(value: Fraction, *, digits: int) -> str:
    with localcontext() as context:
        context.prec = digits
        quotient = Decimal(value.numerator) / Decimal(value.denominator)
        plain = f"{quotient.normalize():f}" if abs(quotient.adjusted()) < digits else str(quotient)
    return "0" if plain == "-0" else plain


class _Evaluator(SimpleEval):
    """Arithmetic without attributes, subscripts, strings, assignments or other functions."""

    def __init__(self) -> None:
        self.text = ""
        self.exact = True
        rounded = {name: self._rounding(function) for name, function in _ROUNDED.items()}
        operators = {**_OPERATORS, ast.Pow: self._rounding(_power)}
        super().__init__(
            operators={kind: _bounded(function) for kind, function in operators.items()},
            functions={name: _bounded(call) for name, call in {**_EXACT, **rounded}.items()},
            names={},
        )
        known = self.nodes
        self.nodes = {kind: known[kind] for kind in _NODES}
        self.nodes |= {ast.Constant: self._number, ast.Name: self._name}

    def run(self, text: str) -> Fraction | bool:
        """Evaluate an expression."""
        if "^" in text:
            raise InvalidExpression("use ** for powers")
        self.text = text
        tree = ast.parse(text, mode="eval").body
        if isinstance(tree, ast.Tuple):
            raise InvalidExpression("commas are not allowed in numbers; write 1000, not 1,000")
        value: Fraction | bool = self.eval(text, tree)
        return value

    def _number(self, node: ast.Constant) -> Fraction | bool:
        if isinstance(node.value, bool):
            return node.value
        if isinstance(node.value, int):
            return Fraction(node.value)  # Python itself bounds the digits of a literal
        written = ast.get_source_segment(self.text, node)
        if not isinstance(node.value, float) or written is None:
            raise InvalidExpression(f"{node.value!r} is not a number")
        # As written: the float itself would be off in the 17th digit, or infinite.
        decimal = Decimal(written)
        if abs(decimal.adjusted()) > _MAX_EXPONENT:
            raise InvalidExpression(f"{written} is too large or too small")
        return Fraction(decimal)

    def _name(self, node: ast.Name) -> Fraction:
        if node.id not in _CONSTANTS:
            raise InvalidExpression(f"{node.id!r} is unknown")
        self.exact = False
        return _CONSTANTS[node.id]

    def _rounding(self, function: Callable[..., tuple[Fraction, bool]]) -> Callable[..., Fraction]:
        def call(*values: Fraction) -> Fraction:
            value, exact = function(*values)
            self.exact &= exact
            return value

        return call


def _bounded(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*values: Fraction | bool) -> Fraction | bool:
        # Fractions throughout: Python would divide two ints into a float.
        result: Fraction | int | bool = function(*map(Fraction, values))
        if isinstance(result, bool):
            return result
        bits = max(result.numerator.bit_length(), result.denominator.bit_length())
        if bits > _MAX_BITS:
            digits = round(bits * math.log10(2))
            raise InvalidExpression(f"a number gets too long: {digits} digits")
        return Fraction(result)

    return call


def _power(base: Fraction, exponent: Fraction) -> tuple[Fraction, bool]:
    """Return `base ** exponent`, and True if it is exact.

    Raises:
        InvalidExpression: The result is not real, or too long.
    """
    if exponent.denominator == 1:
        bits = max(base.numerator.bit_length(), base.denominator.bit_length()) - 1
        if bits * abs(exponent) > _MAX_BITS:
            raise InvalidExpression(f"a power gets too long: exponent {exponent}")
        return base**exponent.numerator, True
    if base < 0:
        raise InvalidExpression("a fractional power of a negative number is not real")
    if base == 0:
        return Fraction(0) ** (1 if exponent > 0 else -1), True
    if exponent == Fraction(1, 2):
        return _square_root(base)
    return _exponential(exponent * _logarithm(base)[0])


def _square_root(value: Fraction) -> tuple[Fraction, bool]:
    """Return the root, exact if the value is a square.

    Raises:
        InvalidExpression: The value is negative.
    """
    if value < 0:
        raise InvalidExpression("the root of a negative number is not real")
    root = Fraction(math.isqrt(value.numerator), math.isqrt(value.denominator))
    if root * root == value:
        return root, True
    return _rounded(Decimal.sqrt, value), False


def _exponential(value: Fraction) -> tuple[Fraction, bool]:
    """Return the base of natural logarithms to the power of the value.

    Raises:
        InvalidExpression: The result would be longer than `_MAX_BITS`.
    """
    if abs(value) > _MAX_BITS * math.log(2):
        raise InvalidExpression("an exponential gets too large or too small")
    return _rounded(Decimal.exp, value), value == 0


def _logarithm(value: Fraction, *, base_ten: bool = False) -> tuple[Fraction, bool]:
    """Return the logarithm, natural or to base ten.

    Raises:
        InvalidExpression: The value is not positive.
    """
    if value <= 0:
        raise InvalidExpression("a logarithm takes a positive number")
    result = _rounded(Decimal.log10 if base_ten else Decimal.ln, value)
    return result, base_ten and Fraction(10) ** round(result) == value


def _rounded(function: Callable[[Decimal], Decimal], value: Fraction) -> Fraction:
    with localcontext() as context:
        context.prec = _DIGITS
        return Fraction(function(Decimal(value.numerator) / Decimal(value.denominator)))


def _whole(number: Fraction, limit: int | None = None) -> int:
    if number.denominator != 1 or (limit is not None and not 0 <= number <= limit):
        within = "" if limit is None else f" from 0 to {limit}"
        raise InvalidExpression(f"{number} is not a whole number{within}")
    return number.numerator


def _round(value: Fraction, digits: Fraction = Fraction(0)) -> Fraction:
    places = _whole(digits)
    if abs(places) > _MAX_ROUNDING:
        raise InvalidExpression(f"{places} digits are too many for rounding")
    return round(value, places)


def _least(*values: Fraction) -> Fraction:
    return min(values)


def _greatest(*values: Fraction) -> Fraction:
    return max(values)


def _of_whole_numbers(function: Callable[..., int], limit: int | None = None) -> Callable[..., int]:
    def call(*values: Fraction) -> int:
        return function(*(_whole(value, limit) for value in values))

    return call


_EXACT: Mapping[str, Callable[..., Any]] = {
    "abs": Fraction.__abs__,
    "min": _least,
    "max": _greatest,
    "round": _round,
    "floor": Fraction.__floor__,
    "ceil": Fraction.__ceil__,
    "gcd": _of_whole_numbers(math.gcd),
    "lcm": _of_whole_numbers(math.lcm),
    "factorial": _of_whole_numbers(math.factorial, _MAX_WHOLE),
    "comb": _of_whole_numbers(math.comb, 10 * _MAX_WHOLE),
}
"""Functions whose result is exact."""
_ROUNDED: Mapping[str, Callable[..., tuple[Fraction, bool]]] = {
    "sqrt": _square_root,
    "exp": _exponential,
    "ln": _logarithm,
    "log10": functools.partial(_logarithm, base_ten=True),
}
"""Functions that also tell if their result is exact."""
