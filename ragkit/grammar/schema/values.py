"""JSON values as the type checkers see them."""

from typing import Any, TypeAlias, TypeGuard

Json: TypeAlias = Any
"""A JSON value. Schemas come from users, so only run-time checks say what is in them."""


def is_object(value: Json) -> TypeGuard[dict[str, Json]]:
    """Whether it is a JSON object."""
    return isinstance(value, dict)


def is_array(value: Json) -> TypeGuard[list[Json]]:
    """Whether it is a JSON array."""
    return isinstance(value, list)
