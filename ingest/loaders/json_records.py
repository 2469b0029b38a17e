"""JSON and JSON lines: each record as lines of `key: value`."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from ragkit.core.errors import InputError
from ragkit.core.types import Document, Json
from ragkit.ingest.loaders.blocks import TextBuilder
from ragkit.ingest.loaders.charset import decode_text, empty_error, valid_text
from ragkit.ingest.loaders.identity import EncodedLoader, content_hash
from ragkit.ingest.loaders.titles import stem_title

_DEEPEST = 100
_TITLES = ("title", "name", "headline", "subject")


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonLoader(EncodedLoader):
    """A loader of JSON: an object is a record, and a list holds one record in each item.

    `encoding` applies where the file has no byte order mark.
    """

    version = "json-1"

    def load(self, data: bytes, *, uri: str) -> Document:
        """Read the records; several JSON values, one a line, are records too.

        Raises:
            InputError: The file is empty, binary, in another encoding, no JSON, or nests deeper
                than 100 levels.
        """
        source = decode_text(data, uri=uri, encoding=self.encoding)
        value = parse_json(source, uri=uri)
        content = TextBuilder()
        for record in value if isinstance(value, list) else [value]:
            content.append("paragraph", "\n".join(_lines(record, "", _DEEPEST, uri)))
        if not content.blocks:
            raise empty_error(uri)
        return Document(
            uri=uri,
            title=_title(value) or stem_title(uri),
            text=content.text,
            blocks=content.blocks,
            content_hash=content_hash(data),
        )


def parse_json(source: str, *, uri: str) -> Json:
    """Parse JSON, or JSON values one a line.

    Raises:
        InputError: It is neither; the line is named.
    """
    try:
        return _value(source, uri)
    except json.JSONDecodeError as error:
        lines = [line for line in source.split("\n") if line.strip()]
        if error.msg != "Extra data" or len(lines) < 2:
            raise InputError(
                f"{uri!r} is no JSON: {error.msg} in line {error.lineno}. Fix: correct it there."
            ) from error
    return list(_json_lines(source, uri))


def _value(source: str, uri: str) -> Json:
    try:
        return cast("Json", json.loads(source))
    except RecursionError as error:
        raise _too_deep(uri) from error
    except json.JSONDecodeError:
        raise
    except ValueError as error:  # Python's limit on the digits of an integer.
        raise InputError(f"{uri!r} has a number of too many digits. Fix: quote it.") from error


def _title(value: Json) -> str:
    known = value if isinstance(value, dict) else {}
    title = next((known[key] for key in _TITLES if key in known), "")
    return valid_text(title) if isinstance(title, str) else ""


def _json_lines(source: str, uri: str) -> Iterator[Json]:
    for number, line in enumerate(source.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            yield _value(line, uri)
        except json.JSONDecodeError as error:
            raise InputError(
                f"{uri!r} is neither JSON nor JSON lines: {error.msg} in line {number}. "
                "Fix: correct it there."
            ) from error


def _lines(value: Json, path: str, levels: int, uri: str) -> Iterator[str]:
    """Yield a line for each value, under the path of keys that leads to it."""
    if not levels:
        raise _too_deep(uri)
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _lines(item, f"{path}.{key}" if path else key, levels - 1, uri)
    elif isinstance(value, list):
        if all(isinstance(item, str | int | float) for item in value) and value:
            joined = ", ".join(_scalar(item) for item in value)
            yield f"{path}: {joined}" if path else joined
        else:
            for item in value:
                yield from _lines(item, path, levels - 1, uri)
    elif value is not None and (text := _scalar(value).strip()):
        yield f"{path}: {text}" if path else text


def _scalar(value: Json) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _too_deep(uri: str) -> InputError:
    return InputError(f"{uri!r} nests deeper than {_DEEPEST} levels. Fix: flatten it.")
