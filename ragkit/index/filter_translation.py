"""ragkit's filters in the terms of a store: one walk, one small table of builders per store."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from ragkit.core.filters import And, Eq, Filter, In, Not, Or, Range, Scalar, parse_datetime
from ragkit.core.types import FieldType
from ragkit.index.layout import field_key

C = TypeVar("C")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect(Generic[C]):
    """Builders of a store's conditions `C`; `combine` takes must, should and must-not lists."""

    equals: Callable[[str, Scalar], C]
    any_of: Callable[[str, list[Scalar]], C]
    number_range: Callable[[str, Mapping[str, float]], C]
    time_range: Callable[[str, Mapping[str, str]], C]
    combine: Callable[[list[C], list[C], list[C]], C]


def translate(where: Filter, fields: Mapping[str, FieldType], dialect: Dialect[C]) -> C:
    """Translate a filter that `check_filter` has passed."""
    if isinstance(where, Or) and not where.parts:
        # A filter without conditions lets everything through, and this one must let nothing.
        return dialect.combine([], [], [dialect.combine([], [], [])])
    if isinstance(where, And):
        return dialect.combine([translate(part, fields, dialect) for part in where.parts], [], [])
    if isinstance(where, Or):
        return dialect.combine([], [translate(part, fields, dialect) for part in where.parts], [])
    if isinstance(where, Not):
        return dialect.combine([], [], [translate(where.part, fields, dialect)])
    return _condition(where, fields, dialect)


def _condition(where: Eq | In | Range, fields: Mapping[str, FieldType], dialect: Dialect[C]) -> C:
    key, kind = field_key(where.field), fields[where.field]
    if isinstance(where, Range):
        bounds = {name: getattr(where, name) for name in ("gt", "gte", "lt", "lte")}
        given = {name: bound for name, bound in bounds.items() if bound is not None}
        return _range(key, kind, given, dialect)
    if isinstance(where, In):
        if kind in {"keyword", "integer"} and where.values:
            return dialect.any_of(key, list(where.values))
        either = Or(tuple(Eq(where.field, value) for value in where.values))
        return translate(either, fields, dialect)
    if kind in {"float", "datetime"}:
        return _range(key, kind, {"gte": where.value, "lte": where.value}, dialect)
    return dialect.equals(key, where.value)


def _range(key: str, kind: FieldType, bounds: Mapping[str, Scalar], dialect: Dialect[C]) -> C:
    if kind == "datetime":
        return dialect.time_range(key, {name: _rfc3339(bound) for name, bound in bounds.items()})
    return dialect.number_range(key, {name: float(bound) for name, bound in bounds.items()})


def _rfc3339(value: Scalar) -> str:
    parsed = parse_datetime(str(value))
    return parsed.isoformat() if parsed else str(value)
