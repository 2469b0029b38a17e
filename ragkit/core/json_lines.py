"""JSON Lines as pydantic models, from plain or gzip-compressed files."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from ragkit.core.errors import InputError

UNREADABLE = (OSError, EOFError, zlib.error)
"""Errors of reading a file that is missing or a damaged archive."""

M = TypeVar("M", bound=BaseModel)


def text_lines(path: Path) -> Iterator[str]:
    """Yield the lines of a UTF-8 file, decompressed if its name ends with `.gz`.

    Raises:
        InputError: The file cannot be read.
    """
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
            yield from file
    except (*UNREADABLE, UnicodeDecodeError) as error:
        raise InputError(f"{str(path)!r} cannot be read: {error}") from error


def json_lines(path: Path, model: type[M]) -> Iterator[M]:
    """Yield the lines of a file as models; empty lines are skipped.

    Raises:
        InputError: The file cannot be read, or a line does not fit the model; names its number.
    """
    for number, line in enumerate(text_lines(path), start=1):
        if not line.strip():
            continue
        try:
            yield model.model_validate_json(line)
        except ValidationError as error:
            first = error.errors()[0]
            where = "".join(f"{part!r}: " for part in first["loc"])
            message = f"{str(path)!r}, line {number}: {where}{first['msg']}"
            raise InputError(message) from error
