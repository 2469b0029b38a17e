"""The check after decoding: the whole schema against the parsed value, by jsonschema."""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal, localcontext
from functools import cached_property
from typing import Any

from ragkit.core.errors import InputError
from ragkit.grammar.ebnf.pattern import as_python
from ragkit.grammar.schema.document import Source
from ragkit.grammar.schema.formats import CHECKED_FORMATS, FORMATS
from ragkit.grammar.schema.keywords import is_assertion
from ragkit.grammar.schema.values import ExactFloat, Json, is_object

_ARRAY_ITEMS = re.compile(r"'items': \[|'additionalItems'|'dependencies': \{")


def format_checker() -> Any:
    """Return jsonschema's format checker, for the formats that are decoded or checked."""
    from jsonschema import Draft202012Validator, FormatChecker

    known: Any = Draft202012Validator.FORMAT_CHECKER.checkers
    checker: Any = FormatChecker(())
    names = {*FORMATS, *CHECKED_FORMATS}
    checker.checkers = {name: known[name] for name in names if name in known}
    return checker


class Checker:
    """Validates values against a schema document or one of its parts."""

    def __init__(self, source: Source) -> None:
        """Check against this document; jsonschema is imported on first use."""
        self._source = source

    @cached_property
    def _validator(self) -> Any:  # jsonschema builds its validator classes at run time
        from jsonschema import Draft7Validator, Draft202012Validator, validators

        root = self._source.root
        default: Any = Draft202012Validator
        if not isinstance(root, bool) and "$schema" not in root and _ARRAY_ITEMS.search(repr(root)):
            default = Draft7Validator
        chosen: Any = validators.validator_for(root, default=default)
        tools: Any = validators  # partly untyped
        extended: Any = tools.extend(
            chosen, {"pattern": _check_pattern, "multipleOf": _check_multiple}
        )
        return extended(root, format_checker=format_checker())

    def valid(self, pointer: str, value: Json) -> bool:
        """Return whether the value satisfies the schema at the pointer."""
        return bool(self._validator.evolve(schema=self._schema(pointer)).is_valid(value))

    def test(self, pointer: str, *, without: str = "") -> Callable[[Json], bool]:
        """Return a test for many values by the schema at the pointer, without one keyword."""
        schema = self._schema(pointer)
        if is_object(schema):
            schema = {keyword: v for keyword, v in schema.items() if keyword != without}
            if not any(map(is_assertion, schema)):
                return lambda _: True
        validator: Any = self._validator.evolve(schema=schema)
        return lambda value: bool(validator.is_valid(value))

    def check(self, value: Json) -> None:
        """Validate the value against the whole schema.

        Raises:
            InputError: Names the keyword and the path within the value.
        """
        for error in self._validator.iter_errors(value):
            path = "".join(f"/{part}" for part in error.absolute_path)
            raise InputError(
                f"The reply breaks the schema's keyword {error.validator!r} at {path or '/'!r}: "
                f"{error.message[:300]}"
            )

    def _schema(self, pointer: str) -> Json:
        if not pointer.startswith("~"):
            return self._source.raw(pointer)
        keywords = self._source.keywords(pointer)
        return keywords if isinstance(keywords, bool) else self._spelled_out(keywords)

    def _spelled_out(self, keywords: Mapping[str, Any]) -> Json:
        """Translate a synthetic schema into JSON Schema."""
        parts: list[Json] = []
        for keyword, value in keywords.items():
            match keyword:
                case "$forbid":
                    parts.extend({"not": {"required": [name]}} for name in value)
                case "$except":
                    parts.append({"not": {"enum": value}})
                case "$notPattern":
                    parts.append({"not": {"pattern": value}})
                case "type":
                    parts.append({"anyOf": [_spelled_type(name) for name in value]})
                case "properties":
                    parts.append({"properties": {n: self._schema(p) for n, p in value.items()}})
                case "allOf":
                    parts.extend(map(self._schema, value))
                case "not" | "items" | "contains":
                    parts.append({keyword: self._schema(value)})
                case _:
                    parts.append({keyword: value})
        return {"allOf": parts} if parts else {}


def _spelled_type(name: str) -> Json:
    return {"type": "number", "not": {"type": "integer"}} if name == "fraction" else {"type": name}


def _check_pattern(validator: Any, pattern: str, instance: object, schema: object) -> Iterator[Any]:
    """Check as jsonschema does, but read the named groups of ECMA 262 too."""
    from jsonschema import ValidationError

    if isinstance(instance, str) and not re.search(as_python(pattern), instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


def _check_multiple(validator: Any, step: float, instance: object, schema: object) -> Iterator[Any]:
    """Check in exact decimal arithmetic: 19.99 is a multiple of 0.01, but not in doubles."""
    from jsonschema import ValidationError

    if isinstance(instance, bool) or not isinstance(instance, int | float):
        return
    digits = instance.text if isinstance(instance, ExactFloat) else repr(instance)
    if not math.isfinite(instance) or _remainder(Decimal(digits), Decimal(repr(step))):
        yield ValidationError(f"{instance!r} is not a multiple of {step!r}")


def _remainder(value: Decimal, step: Decimal) -> Decimal:
    """Divide with as many digits as the value has; the default of 28 may be too few."""
    with localcontext(prec=400):
        return value % step
