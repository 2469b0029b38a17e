"""Training pairs: a query and a passage that answers it."""

from pathlib import Path

from pydantic import BaseModel

from ragkit.core.errors import InputError
from ragkit.core.json_lines import json_lines


class Pair(BaseModel):
    """A query and a passage that answers it, as a line of JSON."""

    query: str
    positive: str
    title: str = ""

    @property
    def passage(self) -> str:
        """The passage under its title."""
        return f"{self.title}\n\n{self.positive}".strip()


def load_pairs(file: Path) -> list[Pair]:
    """Read JSON lines of `query`, `positive` and optionally `title`.

    Raises:
        InputError: The file cannot be read, or a line is not of this form; names its number.
    """
    return list(json_lines(file, Pair))


def make_folder(folder: Path) -> None:
    """Make the folder of a result before the training, so that no training is lost.

    Raises:
        InputError: The folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{str(folder)!r} cannot be a folder for the result: {error.strerror or error}."
        ) from error
