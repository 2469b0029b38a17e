"""Limits: bounds of a reply where its schema has none, and the order in which they tighten."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

from ragkit.core.errors import InputError
from ragkit.grammar.ebnf.expression import UNBOUNDED

_WIDE = {
    "string_length": UNBOUNDED,
    "key_length": UNBOUNDED,
    "items": UNBOUNDED,
    "map_entries": UNBOUNDED,
    "undeclared": UNBOUNDED,
    "depth": 6,
}
_MOST_DIGITS = 1000
_LONGEST = 4096
_FLOORS = (
    {
        "calls": 1,
        "depth": 1,
        "undeclared": 2,
        "map_entries": 4,
        "items": 8,
        "string_length": 128,
        "key_length": 32,
    },
    {"undeclared": 0, "map_entries": 2, "items": 3, "string_length": 32, "key_length": 16},
    {"string_length": 8, "key_length": 8, "integer_digits": 9, "fraction_digits": 4},
    {"map_entries": 1, "items": 1},
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Upper bounds of a reply. A schema's lower bounds lift them, its upper bounds lower them.

    Attributes:
        string_length: Characters of a string.
        key_length: Characters of an undeclared key.
        items: Items of an array.
        map_entries: Entries beside the declared properties where the schema asks for them by
            `additionalProperties` or `patternProperties`, or declares none.
        undeclared: Entries beside the declared properties where the schema says nothing about
            them; none by default, since most schemas that don't forbid them don't mean them.
        integer_digits: Digits before the decimal point.
        fraction_digits: Digits after it.
        depth: Number of times that a recursive schema, or JSON of any kind, may nest in itself.
        calls: Calls of a turn, or steps of a plan; as many as the grammar allows by default.
    """

    string_length: int = 1024
    key_length: int = 64
    items: int = 32
    map_entries: int = 16
    undeclared: int = 0
    integer_digits: int = 18
    fraction_digits: int = 17
    depth: int = 2
    calls: int = UNBOUNDED

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            InputError: One is no number of its range.
        """
        for name in (limit.name for limit in fields(self)):
            value, least = getattr(self, name), int(name in {"depth", "calls"})
            most = _MOST_DIGITS if name.endswith("_digits") else UNBOUNDED
            if not isinstance(value, int) or not least <= value <= most:
                raise InputError(
                    f"Limits.{name} must be a whole number from {least} to {most}, not {value!r}."
                )

    def wide(self) -> "Limits":
        """Return these limits without bounds on strings, keys, arrays, maps and undeclared entries.

        Nesting goes six levels deep; numbers keep their digits. A limit that differs from its
        default was asked for, and stays.
        """
        usual = Limits()
        kept = {name for name in _WIDE if getattr(self, name) != getattr(usual, name)}
        return replace(self, **{name: wide for name, wide in _WIDE.items() if name not in kept})

    @property
    def bounds(self) -> dict[str, int]:
        """The limits that are bounds, by name."""
        found = {f.name: int(getattr(self, f.name)) for f in fields(self)}
        return {name: value for name, value in found.items() if value < UNBOUNDED}

    def bounded(self) -> "Limits":
        """Return these limits with bounds in the place of missing ones.

        Strings get 4,096 characters, the others their defaults.
        """
        usual = Limits(string_length=_LONGEST)
        missing = [f.name for f in fields(self) if getattr(self, f.name) >= UNBOUNDED]
        return replace(self, **{name: int(getattr(usual, name)) for name in missing})

    def tightened(self) -> Iterator["Limits"]:
        """Yield ever tighter limits, ending at the tightest.

        In rounds, each limit is halved down to the round's floor before the next one is touched:
        calls and steps first; twice nesting, undeclared entries, map entries, items, string length
        and key length; then strings, keys and digits. Maps of one entry and arrays of one item come
        last, only where no longer ones fit.
        """
        limits = self
        for floors in _FLOORS:
            for name, floor in floors.items():
                while UNBOUNDED > (value := int(getattr(limits, name))) > floor:
                    limits = replace(limits, **{name: max(floor, value // 2)})
                    yield limits
