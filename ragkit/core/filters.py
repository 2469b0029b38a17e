"""Filters on metadata for every store: equality, membership, ranges, and, or, not.

Semantics are Qdrant's: a condition on a field that a chunk lacks is false (so its negation is
true), and a condition on a list-valued field holds when any element satisfies it.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias, cast

from ragkit.core.errors import InputError
from ragkit.core.text import is_unicode
from ragkit.core.types import Chunk, FieldType, Metadata

Scalar: TypeAlias = str | int | float | bool

BUILT_IN_FIELDS: Mapping[str, FieldType] = {
    "uri": "keyword",
    "title": "keyword",
    "page": "integer",
}
"""Fields that every chunk has, filterable without declaring them."""


@dataclass(frozen=True, slots=True)
class Eq:
    """The field holds this value."""

    field: str
    value: Scalar


@dataclass(frozen=True, slots=True)
class In:
    """The field holds one of these values."""

    field: str
    values: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """The number, or the ISO 8601 date and time, lies within the given bounds."""

    field: str
    gt: float | str | None = None
    gte: float | str | None = None
    lt: float | str | None = None
    lte: float | str | None = None


@dataclass(frozen=True, slots=True)
class And:
    """Every part holds."""

    parts: tuple["Filter", ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one part holds."""

    parts: tuple["Filter", ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The part does not hold."""

    part: "Filter"


Filter: TypeAlias = Eq | In | Range | And | Or | Not

_RANGED: frozenset[FieldType] = frozenset({"integer", "float", "datetime"})
INT64 = range(-(2**63), 2**63)
"""Integers that a store can keep."""

# What Qdrant parses: of ISO 8601, neither the basic format, nor weeks, nor hours alone.
_DATETIME = re.compile(
    r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,9})?(Z|[+-]\d\d:?\d\d)?)?)?", re.ASCII
)
_MAX_DEPTH = 32
"""Levels of and, or, not: a Qdrant server reads JSON to a depth of 128."""


def has_type(value: object, kind: FieldType) -> bool:
    """Return whether a value, or every element of a list value, fits a declared field type.

    Numbers must be finite and integers fit 64 bits: more cannot be stored.
    """
    if isinstance(value, tuple):
        items = cast("Iterable[object]", value)
        return kind in {"keyword", "datetime"} and all(
            isinstance(item, str) and has_type(item, kind) for item in items
        )
    if isinstance(value, bool):
        return kind == "bool"
    if isinstance(value, str):
        if kind == "datetime":
            return parse_datetime(value) is not None
        return kind == "keyword" and is_unicode(value)
    if isinstance(value, int):
        return kind in {"integer", "float"} and value in INT64
    return kind == "float" and isinstance(value, float) and math.isfinite(value)


def parse_datetime(value: str) -> datetime | None:
    """Parse a date or date-time as in `2024-05-01`, `2024-05-01T12:30` or RFC 3339.

    Without an offset it is read as UTC.
    """
    if not _DATETIME.fullmatch(value):
        return None
    try:
        parsed = datetime.fromisoformat(value)
    except ValueError:
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def check_filter(where: Filter, fields: Mapping[str, FieldType]) -> None:
    """Check the fields and values of a filter.

    Raises:
        InputError: A field is unknown, or a value has the wrong type.
    """
    _check(where, fields, depth=0)


def _check(where: Filter, fields: Mapping[str, FieldType], *, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise InputError(f"The filter has more than {_MAX_DEPTH} levels of and, or, not.")
    if isinstance(where, And | Or):
        for part in where.parts:
            _check(part, fields, depth=depth + 1)
    elif isinstance(where, Not):
        _check(where.part, fields, depth=depth + 1)
    else:
        _check_condition(where, fields)


def _check_condition(where: Eq | In | Range, fields: Mapping[str, FieldType]) -> None:
    if where.field not in fields:
        raise InputError(
            f"Unknown field {where.field!r} in the filter. Known fields: "
            f"{', '.join(sorted(fields))}. Fix: declare others under [index.fields] in ragkit.toml."
        )
    kind = fields[where.field]
    if isinstance(where, Range) and kind not in _RANGED:
        raise InputError(
            f"Field {where.field!r} has type {kind}, which has no order. Fix: use == or in."
        )
    wanted = "float" if isinstance(where, Range) and kind == "integer" else kind
    for value in _operands(where):
        if not has_type(value, wanted):
            raise InputError(
                f"Field {where.field!r} has type {kind}; the filter compares it with {value!r}."
            )


def _operands(where: Eq | In | Range) -> tuple[Scalar, ...]:
    if isinstance(where, Eq):
        return (where.value,)
    if isinstance(where, In):
        return where.values
    bounds = (where.gt, where.gte, where.lt, where.lte)
    return tuple(bound for bound in bounds if bound is not None)


def matches(where: Filter, metadata: Metadata, fields: Mapping[str, FieldType]) -> bool:
    """Evaluate a filter on one chunk's fields; the stores are tested against this function."""
    if isinstance(where, And):
        return all(matches(part, metadata, fields) for part in where.parts)
    if isinstance(where, Or):
        return any(matches(part, metadata, fields) for part in where.parts)
    if isinstance(where, Not):
        return not matches(where.part, metadata, fields)
    value = metadata.get(where.field)
    if value is None:
        return False
    kind = fields[where.field]
    convert = _CONVERSIONS.get(kind, _same)
    values = value if isinstance(value, tuple) else (value,)
    # A value stored before the field was declared may have another type: no condition holds.
    return any(_holds(where, convert, convert(item)) for item in values if has_type(item, kind))


def passes(chunk: Chunk, where: Filter | None, fields: Mapping[str, FieldType]) -> bool:
    """Return whether a filter accepts a chunk."""
    if where is None:
        return True
    declared = {k: value for k, value in chunk.metadata.items() if k not in BUILT_IN_FIELDS}
    page: Metadata = {} if chunk.page is None else {"page": chunk.page}
    return matches(where, {**declared, "uri": chunk.uri, "title": chunk.title, **page}, fields)


def _same(value: Scalar) -> Scalar:
    return value


def _instant(value: Scalar) -> float:
    parsed = parse_datetime(str(value))
    return math.nan if parsed is None else parsed.timestamp()


_CONVERSIONS: Mapping[FieldType, Callable[[Scalar], Scalar]] = {
    "float": float,
    "datetime": _instant,
}


def _holds(where: Eq | In | Range, convert: Callable[[Scalar], Scalar], value: Scalar) -> bool:
    if isinstance(where, Eq):
        return value == convert(where.value)
    if isinstance(where, In):
        return value in {convert(operand) for operand in where.values}
    number = float(value)
    return (
        (where.gt is None or number > float(convert(where.gt)))
        and (where.gte is None or number >= float(convert(where.gte)))
        and (where.lt is None or number < float(convert(where.lt)))
        and (where.lte is None or number <= float(convert(where.lte)))
    )
