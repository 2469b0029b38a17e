"""YAML front matter: the mapping between two `---` lines at the very start of a Markdown file."""

import datetime as dt
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import cast

from ragkit.core.errors import InputError
from ragkit.core.types import MetadataValue

# As in Pandoc, a `---` followed by a blank line is a rule and opens no front matter.
_OPENING = re.compile(r"---[ \t]*\n(?![ \t]*\n)")
_CLOSING = re.compile(r"^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.MULTILINE)
_MAX_CHARACTERS = 65_536
_MAX_DEPTH = 20
_ADVICE = (
    "Fix: write the front matter as a YAML mapping of `key: value` lines; if the `---` is meant as "
    "a rule, put a blank line before it."
)


def split_front_matter(source: str, *, uri: str) -> tuple[dict[str, MetadataValue], str]:
    """Return the front matter's values, and the text after it.

    Lists of scalars become tuples of strings, dates ISO strings, and nested keys are joined by
    dots (`author.name`); empty values and lists of mappings are left out.

    Raises:
        InputError: The front matter is not valid YAML, no mapping, too long, or has aliases.
    """
    opening = _OPENING.match(source)
    closing = opening and _CLOSING.search(source, opening.end())
    if not opening or not closing:
        return {}, source
    parsed = _parse(source[opening.end() : closing.start()], uri=uri)
    if parsed is None:
        return {}, source[closing.end() :]
    if not isinstance(parsed, dict):
        raise InputError(
            f"The front matter of {uri!r} is a {type(parsed).__name__}, not a mapping. {_ADVICE}"
        )
    return dict(_flat(cast("Mapping[object, object]", parsed))), source[closing.end() :]


def _parse(source: str, *, uri: str) -> object:
    if len(source) > _MAX_CHARACTERS:
        raise InputError(
            f"The front matter of {uri!r} has {len(source)} characters; {_MAX_CHARACTERS} are "
            f"allowed. {_ADVICE}"
        )
    import yaml

    try:
        _refuse_bombs(yaml.scan(source), uri=uri)
        return cast("object", yaml.safe_load(source))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        # Marks count from 0 and the opening line is not part of the source.
        line = f" at line {mark.line + 2}" if mark else ""
        raise InputError(
            f"The front matter of {uri!r} is broken{line}: {error.problem}. {_ADVICE}"
        ) from error
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        raise InputError(f"The front matter of {uri!r} is broken: {error}. {_ADVICE}") from error


def _refuse_bombs(tokens: Iterable[object], *, uri: str) -> None:
    """Raise for aliases and deep nesting, with which a few lines could cost without bound."""
    depth = 0
    for token in tokens:
        name = type(token).__name__
        depth += name.endswith("StartToken") - name.endswith("EndToken")
        if name == "AliasToken":
            raise InputError(
                f"The front matter of {uri!r} uses YAML aliases. Fix: write the values out."
            )
        if depth > _MAX_DEPTH:
            raise InputError(
                f"The front matter of {uri!r} nests deeper than {_MAX_DEPTH} levels. "
                "Fix: flatten it."
            )


def _flat(
    mapping: Mapping[object, object], prefix: str = ""
) -> Iterator[tuple[str, MetadataValue]]:
    for key, value in mapping.items():
        name = f"{prefix}{_text(key)}"
        if isinstance(value, dict):
            yield from _flat(cast("Mapping[object, object]", value), f"{name}.")
        elif isinstance(value, list):
            if items := _strings(cast("list[object]", value)):
                yield name, items
        elif isinstance(value, str | int | float):
            yield name, value
        elif value is not None:
            yield name, _text(value)


def _strings(values: list[object]) -> tuple[str, ...]:
    return tuple(
        _text(value) for value in values if value is not None and not isinstance(value, dict | list)
    )


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return value.isoformat() if isinstance(value, dt.date | dt.datetime) else str(value)
