"""Another chunker for some formats."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from ragkit.core.protocols import Chunker
from ragkit.core.types import Chunk, Document
from ragkit.ingest.loaders.titles import path_of


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkerByExtension:
    """A chunker that leaves documents to others by the extension of their uri, such as `.py`."""

    default: Chunker
    others: Mapping[str, Chunker]

    @property
    def identity(self) -> str:
        """Identities of all of them."""
        others = (f"{key}={one.identity}" for key, one in sorted(self.others.items()))
        return "|".join([self.default.identity, *others])

    def chunk(self, document: Document) -> list[Chunk]:
        """Divide a document with the chunker of its extension, or with the default."""
        extension = PurePosixPath(path_of(document.uri)).suffix.lower()
        return self.others.get(extension, self.default).chunk(document)
