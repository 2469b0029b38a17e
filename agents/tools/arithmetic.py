"""`calculator`: exact arithmetic on fractions, evaluated by simpleeval, not by Python's `eval`."""

import ast
import operator
from collections.abc import Callable
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Annotated, Any

from pydantic import Field
from simpleeval import InvalidExpression, SimpleEval

from ragkit.agents.tools.decorator import tool
from ragkit.agents.tools.functions import EXACT, MAX_BITS, ROUNDED, about, power
from ragkit.core.errors import ToolError
from ragkit.core.protocols import Tool
from ragkit.core.types import ToolResult

_MAX_CHARACTERS = 500
_MAX_EXPONENT = 3000
_DECIMALS = 60
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
    """A tool that computes an expression: fractions are exact, roots and logarithms rounded."""

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
        raise ToolError(f"{expression!r} is no arithmetic expression: {error}") from error
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
        whole = _decimal(value, digits=MAX_BITS)
        return ToolResult(text=whole, value=whole)
    return ToolResult(text=f"{value}, about {rounded}", value=rounded)


def _decimal(value: Fraction, *, digits: int) -> str:
    with localcontext() as context:
        context.prec = digits
        quotient = Decimal(value.numerator) / Decimal(value.denominator)
        plain = f"{quotient.normalize():f}" if abs(quotient.adjusted()) < digits else str(quotient)
    return "0" if plain == "-0" else plain


class _Evaluator(SimpleEval):
    """Arithmetic only: no attributes, subscripts, strings, assignments or functions but ours."""

    def __init__(self) -> None:
        self.text = ""
        rounded = {name: self._rounding(function) for name, function in ROUNDED.items()}
        binary = {kind: _bounded(function) for kind, function in _OPERATORS.items()}
        functions = {name: _bounded(function) for name, function in {**EXACT, **rounded}.items()}
        super().__init__(
            operators={**binary, ast.Pow: _bounded(self._power)}, functions=functions, names={}
        )
        self.exact = True
        known = self.nodes
        self.nodes = {kind: known[kind] for kind in _NODES}
        self.nodes |= {ast.Constant: self._number, ast.Name: self._name}

    def run(self, text: str) -> Fraction | bool:
        """Evaluate an expression."""
        if "^" in text:
            raise InvalidExpression("powers are written **")
        self.text = text
        tree = ast.parse(text, mode="eval").body
        if isinstance(tree, ast.Tuple):
            raise InvalidExpression("a comma separates nothing here; write 1000, not 1,000")
        value: Fraction | bool = self.eval(text, tree)
        return value

    def _number(self, node: ast.Constant) -> Fraction | bool:
        if isinstance(node.value, bool):
            return node.value
        if isinstance(node.value, int):
            return Fraction(node.value)  # Python itself bounds the digits of a literal
        written = ast.get_source_segment(self.text, node)
        if not isinstance(node.value, float) or written is None:
            raise InvalidExpression(f"{node.value!r} is no number")
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

    def _power(self, base: Fraction, exponent: Fraction) -> Fraction:
        return self._rounding(power)(base, exponent)


def _bounded(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*values: Fraction | bool) -> Fraction | bool:
        # Fractions throughout: Python would divide two ints into a float.
        result: Fraction | int | bool = function(*map(Fraction, values))
        if isinstance(result, bool):
            return result
        bits = max(result.numerator.bit_length(), result.denominator.bit_length())
        if bits > MAX_BITS:
            raise InvalidExpression(f"a number gets too long: {about(bits)} digits")
        return Fraction(result)

    return call
