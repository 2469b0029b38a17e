"""A file of a collection as a source: known by the stamp of the listing, read when it is needed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ragkit.core.errors import InputError
from ragkit.core.types import Metadata
from ragkit.ingest.sources.collection import opened_bytes
from ragkit.ingest.sources.file import FileReader
from ragkit.ingest.sources.source import DocumentSource, OpenedSource

_LFS = b"version https://git-lfs.github.com/spec/"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedFile:
    """A file of a collection.

    Attributes:
        uri: The document's.
        path: Of the file in the collection.
        origin: The collection's.
        listed: The stamp in the listing; empty where it proves nothing.
        size: In bytes, as the listing says.
        read: Returns the content, of one that is too large at least its beginning.
        reader: Finds the loader.
    """

    uri: str
    path: str
    origin: str
    listed: str
    size: int
    read: Callable[[], bytes]
    reader: FileReader

    def accepts(self, identity: str) -> bool:
        """Return whether a loader has this identity."""
        return identity in self.reader.identities

    def added_metadata(self) -> Metadata:
        """Return what the reader adds to the metadata of a file with this path."""
        return self.reader.metadata_of(Path(self.path))

    def stamp(self) -> str:
        """Return the stamp in the listing."""
        return self.listed

    def aliases(self) -> Sequence[DocumentSource]:
        """Return nothing: the file has one name."""
        return ()

    def open(self) -> OpenedSource:
        """Read the file.

        Raises:
            InputError: It is too large, or no loader reads it.
        """
        limit = self.reader.max_bytes
        data = b"" if self.size > limit else self.read()
        if max(self.size, len(data)) > limit:
            raise InputError(
                f"{self.uri!r} has more than the {limit / 2**20:.0f} MiB allowed. Fix: divide it, "
                "or raise ingest.max_file_mb."
            )
        if data.startswith(_LFS):
            raise InputError(
                f"{self.uri!r} is a pointer of Git LFS, not the file. Fix: ingest the folder of a "
                "checkout."
            )
        name = PurePosixPath(self.path).name
        return opened_bytes(self.reader, data, name, uri=self.uri, stamp=self.listed)
