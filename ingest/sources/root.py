"""The root of a source: a named folder; the uris of its documents are relative to it."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from ragkit.core.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRoot:
    """A folder, and the name that the uris of its files begin with.

    Attributes:
        name: The folder's own name, or the one that a user chose.
        path: The folder, absolute, with links in its parents resolved.
        chosen: Whether a user chose the name. Then the name alone is the identity, and the folder
            may move; otherwise the folder is.
    """

    name: str
    path: Path
    chosen: bool = False

    @classmethod
    def of(cls, folder: Path) -> Self:
        """Return a folder as a root with its own name."""
        path = absolute(folder)
        return cls(name=path.name or "root", path=path)

    @classmethod
    def parse(cls, text: str, *, default: Path) -> Self:
        """Read `NAME=FOLDER`, or `NAME` alone for the folder `default`.

        Raises:
            InputError: The name is empty or has a slash, or there is no folder after '='.
        """
        name, equals, folder = text.partition("=")
        name = name.strip()
        if not name or "/" in name or (equals and not folder):
            raise InputError(
                f"{text!r} is no source. Fix: write NAME, or NAME=FOLDER, with a name without '/'."
            )
        return cls(name=name, path=absolute(Path(folder) if equals else default), chosen=True)

    @property
    def origin(self) -> str:
        """The identity that is stored with every document of this root."""
        return f"named:{self.name}" if self.chosen else f"folder:{self.path}"

    def uri(self, file: Path) -> str:
        """Return the uri of a file below the root."""
        return f"{self.name}/{file.relative_to(self.path).as_posix()}"

    def file(self, uri: str) -> Path:
        """Return the file of a uri of this root."""
        return self.path / uri.removeprefix(f"{self.name}/")


def absolute(path: Path) -> Path:
    """Return the whole path, with `~` and links in its parents resolved, but not in its name.

    So a folder has one path whatever the working folder is, and a link that is moved from one
    release to the next keeps its own.
    """
    whole = Path(os.path.abspath(path.expanduser()))  # noqa: PTH100 - resolve() follows links
    return whole.parent.resolve() / whole.name
