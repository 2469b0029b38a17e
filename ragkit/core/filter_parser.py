"""The filter language as text, such as `year >= 2020 and lang in ["en", "de"]`.

```
filter     = or
or         = and { "or" and }
and        = not { "and" not }
not        = "not" not | "(" or ")" | condition
condition  = field operator value | field ["not"] "in" list
operator   = "==" | "=" | "!=" | "<" | "<=" | ">" | ">="
list       = "[" [ value { "," value } [","] ] "]", or the same in parentheses
value      = string in quotes | number | date or date-time | "true" | "false"
field      = letter or "_", then letters, digits, "_", "-" and "."
```
"""

import ast
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import NoReturn, TypeAlias, cast

from ragkit.core.errors import InputError
from ragkit.core.filters import And, Eq, Filter, In, Not, Or, Range, Scalar

_TOKEN = re.compile(
    r"""\s*(?:
    (?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
    |(?P<date>\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?(?![\w-]))
    |(?P<number>-?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
    |(?P<word>[^\W\d]\w*(?:[.-]\w+)*)
    |(?P<sign>[=!<>]=|[=<>()\[\],])
    )""",
    re.VERBOSE | re.DOTALL,
)
Where: TypeAlias = Filter | str | Mapping[str, object]
"""A filter, an expression, or fields with the value (or the list of values) that they must have."""

_EXAMPLE = 'Write it like: year >= 2020 and lang in ["en", "de"]'
_MAX_NESTING = 100
_RESERVED = frozenset({"and", "or", "not", "in", "true", "false"})
_OPERATORS: Mapping[str, Callable[[str, Scalar], Filter]] = {
    "==": Eq,
    "=": Eq,
    "!=": lambda field, value: Not(Eq(field, value)),
    ">": lambda field, value: Range(field=field, gt=value),
    ">=": lambda field, value: Range(field=field, gte=value),
    "<": lambda field, value: Range(field=field, lt=value),
    "<=": lambda field, value: Range(field=field, lte=value),
}


def parse_filter(expression: str) -> Filter:
    """Read a filter in the language of this module.

    Raises:
        InputError: The expression is not of this form; the message names the place.
    """
    return _Parser(expression, _tokens(expression)).parse()


def as_filter(where: Where | None) -> Filter | None:
    """Return the filter that an expression, a dict or a filter stands for.

    Lists are read like tuples, and dates like their ISO 8601 form.

    Raises:
        InputError: The expression cannot be read, or a value is of no type that is stored.
    """
    if isinstance(where, str):
        return parse_filter(where)
    if isinstance(where, Mapping):
        conditions = tuple(_equality(str(name), value) for name, value in where.items())
        return conditions[0] if len(conditions) == 1 else And(conditions)
    return None if where is None else _normalised(where)


def _equality(field: str, value: object) -> Filter:
    if isinstance(value, list | tuple | set | frozenset):
        items = cast("Iterable[object]", value)
        return In(field, tuple(_scalar(field, item) for item in items))
    return Eq(field, _scalar(field, value))


def _normalised(where: Filter) -> Filter:
    if isinstance(where, And | Or):
        return replace(where, parts=tuple(_normalised(part) for part in where.parts))
    if isinstance(where, Not):
        return Not(_normalised(where.part))
    if isinstance(where, Eq):
        return Eq(where.field, _scalar(where.field, where.value))
    if isinstance(where, In):
        if isinstance(where.values, str):
            raise InputError(
                f"The filter on {where.field!r} has the text {where.values!r} where a list of "
                "values belongs. Fix: write a list, or compare with Eq."
            )
        return In(where.field, tuple(_scalar(where.field, value) for value in where.values))
    if not isinstance(where, Range):  # pyright: ignore[reportUnnecessaryIsInstance]
        # A user's program may not be type-checked.
        raise InputError(
            f"{where!r} is no filter. Fix: give an expression, a dict or a filter of "
            "ragkit.core.filters."
        )
    return Range(
        field=where.field,
        gt=_bound(where.field, where.gt),
        gte=_bound(where.field, where.gte),
        lt=_bound(where.field, where.lt),
        lte=_bound(where.field, where.lte),
    )


def _bound(field: str, value: float | str | None) -> Scalar | None:
    return None if value is None else _scalar(field, value)


def _scalar(field: str, value: object) -> Scalar:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, str | int | float):
        return value
    raise InputError(
        f"The filter compares {field!r} with {value!r}. Fix: give a string, a number, a date, true "
        "or false."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Token:
    """A piece of the expression, with its offset."""

    kind: str
    text: str
    start: int


def _tokens(expression: str) -> list[_Token]:
    tokens: list[_Token] = []
    position = 0
    while expression[position:].strip():
        match = _TOKEN.match(expression, position)
        if match is None or match.lastgroup is None:
            start = position + len(expression[position:]) - len(expression[position:].lstrip())
            raise InputError(
                f"The filter {expression[:200]!r} cannot be read at "
                f"{expression[start : start + 20]!r}. Fix: {_EXAMPLE}"
            )
        text = match[match.lastgroup]
        kind = match.lastgroup
        if kind == "word" and text.lower() in _RESERVED:
            kind, text = "reserved", text.lower()
        tokens.append(_Token(kind=kind, text=text, start=match.start(match.lastgroup)))
        position = match.end()
    return tokens


class _Parser:
    """A recursive-descent parser over the tokens of one expression."""

    def __init__(self, expression: str, tokens: list[_Token]) -> None:
        self._expression = expression
        self._tokens = tokens
        self._next = 0
        self._depth = 0

    def parse(self) -> Filter:
        """Read the whole expression."""
        if not self._tokens:
            raise InputError(f"The filter is empty. Fix: {_EXAMPLE}")
        where = self._or()
        if self._next < len(self._tokens):
            self._fail("'and', 'or' or the end")
        return where

    def _or(self) -> Filter:
        self._depth += 1
        if self._depth > _MAX_NESTING:
            raise InputError(f"The filter {self._expression[:200]!r} is nested too deeply.")
        parts = [self._and()]
        while self._take("or"):
            parts.append(self._and())
        self._depth -= 1
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _and(self) -> Filter:
        parts = [self._not()]
        while self._take("and"):
            parts.append(self._not())
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _not(self) -> Filter:
        negations = 0
        while self._take("not"):
            negations += 1
            if negations > _MAX_NESTING:
                raise InputError(f"The filter {self._expression[:200]!r} is nested too deeply.")
        if self._take("("):
            where = self._or()
            self._expect(")")
        else:
            where = self._condition()
        for _ in range(negations):
            where = Not(where)
        return where

    def _condition(self) -> Filter:
        token = self._peek()
        if token is None or token.kind != "word":
            self._fail("the name of a field")
        self._next += 1
        field = token.text
        if self._take("in"):
            return In(field, self._list())
        if self._take("not"):
            self._expect("in")
            return Not(In(field, self._list()))
        operator = self._peek()
        if operator is None or operator.text not in _OPERATORS:
            self._fail(f"==, !=, <, <=, >, >=, in or not in after {field!r}")
        self._next += 1
        return _OPERATORS[operator.text](field, self._value())

    def _list(self) -> tuple[Scalar, ...]:
        closing = "]" if self._take("[") else ")" if self._take("(") else None
        if closing is None:
            self._fail('a list such as ["en", "de"] after in')
        values: list[Scalar] = []
        while not self._take(closing):
            values.append(self._value())
            if not self._take(","):
                self._expect(closing)
                break
        return tuple(values)

    def _value(self) -> Scalar:
        token = self._peek()
        value: Scalar | None = None
        if token is not None and token.kind == "string":
            value = self._string(token)
        elif token is not None and token.kind == "date":
            value = token.text
        elif token is not None and token.kind == "number":
            value = _number(token.text)
        elif token is not None and token.text in {"true", "false"}:
            value = token.text == "true"
        if value is None:
            self._fail("a string in quotes, a number, a date, true or false")
        self._next += 1
        return value

    def _string(self, token: _Token) -> str:
        try:
            return str(ast.literal_eval(token.text))
        except (SyntaxError, ValueError) as error:
            raise InputError(
                f"The filter {self._expression[:200]!r} has a string {token.text[:40]!r} whose "
                "escapes cannot be read. Fix: write a backslash as two."
            ) from error

    def _peek(self) -> _Token | None:
        return self._tokens[self._next] if self._next < len(self._tokens) else None

    def _take(self, text: str) -> bool:
        token = self._peek()
        taken = token is not None and token.kind in {"sign", "reserved"} and token.text == text
        self._next += taken
        return taken

    def _expect(self, text: str) -> None:
        if not self._take(text):
            self._fail(repr(text))

    def _fail(self, wanted: str) -> NoReturn:
        token = self._peek()
        found = "its end" if token is None else repr(self._expression[token.start :][:20])
        raise InputError(
            f"The filter {self._expression[:200]!r} cannot be read at {found}: {wanted} is "
            f"expected there. Fix: {_EXAMPLE}"
        )


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)
