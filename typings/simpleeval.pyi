"""What ragkit uses of simpleeval, which ships no types."""

import ast
from collections.abc import Callable, Mapping
from typing import Any

class InvalidExpression(Exception): ...
class NumberTooHigh(InvalidExpression): ...

class SimpleEval:
    nodes: dict[type[ast.AST], Callable[[Any], Any]]
    expr: str
    def __init__(
        self,
        operators: Mapping[type[ast.AST], Callable[..., Any]] | None = ...,
        functions: Mapping[str, Callable[..., Any]] | None = ...,
        names: Mapping[str, Any] | None = ...,
    ) -> None: ...
    def eval(self, expr: str, previously_parsed: ast.AST | None = ...) -> Any: ...
