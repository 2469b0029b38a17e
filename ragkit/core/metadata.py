"""Metadata of documents as it may be stored: flat, with typed values."""

from collections.abc import Mapping
from datetime import date
from typing import cast

from ragkit.core.errors import InputError
from ragkit.core.types import Metadata, MetadataValue

NESTING = "."
"""Joins the names of nested fields: `{"author": {"name": "Ada"}}` has the field `author.name`."""


def flattened(metadata: Mapping[str, object]) -> Metadata:
    """Return metadata with dotted names for nested fields, tuples for lists and ISO 8601 dates.

    Fields whose value is None are left out.

    Raises:
        InputError: A value is of a type that is not stored; the message names the field.
    """
    flat: dict[str, MetadataValue] = {}
    for name, value in metadata.items():
        if isinstance(value, Mapping):
            nested = flattened(cast("Mapping[str, object]", value))
            flat.update({f"{name}{NESTING}{key}": item for key, item in nested.items()})
        elif value is not None:
            flat[str(name)] = _plain(str(name), value)
    return flat


def _plain(name: str, value: object) -> MetadataValue:
    if isinstance(value, list | tuple | set | frozenset):
        items = list(cast("list[object]", value))
        return tuple(_text(name, item) for item in items)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, str | int | float):
        return value
    raise unstorable(name, value)


def _text(name: str, item: object) -> str:
    if isinstance(item, date):
        return item.isoformat()
    if not isinstance(item, str):
        raise unstorable(name, item)
    return item


def check_metadata(metadata: Mapping[str, object]) -> None:
    """Check that metadata can be stored and read back as it is.

    Raises:
        InputError: A name or value cannot be stored; the message names it.
    """
    for name, value in cast("Mapping[object, object]", metadata).items():
        if not isinstance(name, str):
            raise InputError(f"The metadata has a name {name!r} that is no text.")
        if isinstance(value, list | tuple):
            for item in cast("list[object]", value):
                if not isinstance(item, str):
                    raise unstorable(name, item)
        elif not isinstance(value, str | int | float):
            raise unstorable(name, value)


def unstorable(name: str, value: object) -> InputError:
    """Return the error that names a metadata field with a value of another type."""
    return InputError(
        f"The metadata field {name!r} holds {value!r} of type {type(value).__name__}. Fix: use a "
        "string, a number, true or false, a date as text ('2026-11-30'), or a list of strings."
    )
