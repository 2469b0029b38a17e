"""Types of JSON values."""

from typing import Any, TypeAlias, TypeGuard

Json: TypeAlias = Any
"""A JSON value. Schemas come from users, so only run-time checks show their types."""


def is_object(value: Json) -> TypeGuard[dict[str, Json]]:
    """Return whether it is a JSON object."""
    return isinstance(value, dict)


def is_array(value: Json) -> TypeGuard[list[Json]]:
    """Return whether it is a JSON array."""
    return isinstance(value, list)


class ExactFloat(float):
    """A number of a reply that keeps its digits."""

    text: str

    def __new__(cls, text: str) -> "ExactFloat":
        """Parse the digits, and keep them."""
        found = super().__new__(cls, text)
        found.text = text
        return found
