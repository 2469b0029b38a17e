"""A file as a source: read whole at one moment, with a stamp that shows whether it changed."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TypeAlias, cast

from ragkit.core.errors import InputError
from ragkit.core.metadata import flattened
from ragkit.core.settings import WebSettings
from ragkit.core.types import Metadata
from ragkit.ingest.loaders import LoaderRegistry
from ragkit.ingest.loaders.identity import content_hash
from ragkit.ingest.sources.root import SourceRoot
from ragkit.ingest.sources.source import LoadCall, OpenedSource

MetadataOf: TypeAlias = Metadata | Callable[[Path], Metadata]
"""Metadata for every document, or a function that gives that of a file or web page."""

_HEAD = 4096
SETTLED_NS = 2 * 10**9
"""Age of a file's last change from which its stamp proves that it has not changed since."""


@dataclass(frozen=True, kw_only=True)
class FileReader:
    """Reads files: their loaders, their largest size, and the metadata that is added to them.

    `web` bounds the requests for web pages.
    """

    registry: LoaderRegistry = field(default_factory=LoaderRegistry)
    max_bytes: int = 50 * 2**20
    metadata: MetadataOf | None = None
    web: WebSettings = field(default_factory=WebSettings)

    @cached_property
    def identities(self) -> frozenset[str]:
        """Identities of all loaders."""
        return self.registry.identities()

    @cached_property
    def common_metadata(self) -> Metadata:
        """Metadata that is added to every document; none where a function of the path gives it.

        Raises:
            InputError: It is no mapping and no function, or a value cannot be stored.
        """
        given = self.metadata
        if given is None or callable(given):
            return {}
        if not isinstance(cast("object", given), Mapping):
            raise InputError(
                f"metadata is {given!r}. Fix: give a dict, or a function of a file's path that "
                "returns one."
            )
        return flattened(given)

    def reads(self, path: Path) -> bool:
        """Return whether a loader reads a file, by its name or else by its first bytes.

        Raises:
            InputError: These cannot be read.
        """
        if self.registry.knows(path.name):
            return True
        if not path.is_file():
            return False  # opening a pipe would wait for its writer
        try:
            with path.open("rb") as file:
                head = file.read(_HEAD)
        except OSError as error:
            raise _unreadable(path, error) from error
        return self.registry.reads(head, path.name)

    def opened(self, data: bytes, name: str, *, uri: str, stat: os.stat_result) -> OpenedSource:
        """Return the content of a file whose bytes were read when the system said `stat` of it.

        Raises:
            InputError: No loader reads it.
        """
        loader = self.registry.loader(data, name)
        settled = time.time_ns() - max(stat.st_mtime_ns, stat.st_ctime_ns) > SETTLED_NS
        return OpenedSource(
            content_hash=content_hash(data),
            identity=loader.identity,
            # A file that was just written may be written again within the clock's resolution.
            stamp=file_stamp(stat) if settled else "",
            load=LoadCall(loader=loader, data=data, uri=uri),
        )

    def metadata_of(self, path: Path) -> Metadata:
        """Return the metadata that is added to a file's own.

        Raises:
            InputError: The function of the path gives no mapping, or what cannot be stored.
        """
        if not callable(self.metadata):
            return self.common_metadata
        given = self.metadata(path)
        if not isinstance(cast("object", given), Mapping):
            raise InputError(
                f"The metadata function gave {given!r} for {str(path)!r}. "
                "Fix: return a dict, empty where there is none."
            )
        return flattened(given)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSource:
    """A file under a root. `uri` is the root's name and the path below the root."""

    path: Path
    root: SourceRoot
    reader: FileReader
    uri: str = field(init=False)

    def __post_init__(self) -> None:
        """Compute the uri, which is asked for many times."""
        object.__setattr__(self, "uri", self.root.uri(self.path))

    @property
    def origin(self) -> str:
        """The root's."""
        return self.root.origin

    def accepts(self, identity: str) -> bool:
        """Return whether a loader has this identity: the same content would choose it again."""
        return identity in self.reader.identities

    def added_metadata(self) -> Metadata:
        """Return what the reader adds to the metadata of this file."""
        return self.reader.metadata_of(self.path)

    def stamp(self) -> str:
        """Return size and times of the file, empty where it cannot be examined."""
        try:
            return file_stamp(self.path.stat())
        except OSError:
            return ""

    def aliases(self) -> "Sequence[FileSource]":
        """Return the file under the other folders that hold it, each a root by its own name."""
        if self.root.chosen:
            return ()
        others = (folder for folder in self.path.parents if folder != self.root.path)
        return [replace(self, root=SourceRoot.of(folder)) for folder in others]

    def open(self) -> OpenedSource:
        """Read the file; see `read_file`."""
        data, stat = read_file(self.path, max_bytes=self.reader.max_bytes)
        return self.reader.opened(data, self.path.name, uri=self.uri, stat=stat)


def file_stamp(stat: os.stat_result) -> str:
    """Return size, modification and change time, one of which a change of the content changes."""
    return f"{stat.st_size}:{stat.st_mtime_ns}:{stat.st_ctime_ns}"


def read_file(path: Path, *, max_bytes: int) -> tuple[bytes, os.stat_result]:
    """Read a file's bytes, all of one moment, and what the system says of it then.

    Raises:
        InputError: It is too large, not a regular file, unreadable, or changed while being read.
    """
    try:
        before = path.stat()
        if not path.is_file():
            raise InputError(f"{str(path)!r} is not a regular file. Fix: leave it out.")
        if before.st_size > max_bytes:
            raise InputError(
                f"{str(path)!r} has {before.st_size / 2**20:.0f} MiB, more than the "
                f"{max_bytes / 2**20:.0f} allowed. Fix: divide it, or raise ingest.max_file_mb."
            )
        data = path.read_bytes()
        after = path.stat()
    except OSError as error:
        raise _unreadable(path, error) from error
    if (file_stamp(before), before.st_size) != (file_stamp(after), len(data)):
        raise InputError(f"{str(path)!r} changed while it was read. Fix: run the ingestion again.")
    return data, after


def _unreadable(path: Path, error: OSError) -> InputError:
    return InputError(
        f"{str(path)!r} cannot be read: {error.strerror or error}. "
        "Fix: make it readable, or leave it out."
    )
