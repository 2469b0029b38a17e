"""Collections: places that list their documents, such as a web site, a repository or a table."""

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

from ragkit.core.errors import ConfigError, MissingExtraError, RagkitError
from ragkit.core.secrets import without_credentials
from ragkit.ingest.loaders.identity import content_hash
from ragkit.ingest.report import FailedDocument
from ragkit.ingest.sources.file import FileReader
from ragkit.ingest.sources.pattern import PathPatterns
from ragkit.ingest.sources.source import DocumentSource, LoadCall, OpenedSource

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SkippedDocument:
    """A document of a format that no loader reads."""

    uri: str


Listed: TypeAlias = DocumentSource | SkippedDocument | FailedDocument
"""A document, one that is not read, or a part of the collection that could not be listed."""
Enter: TypeAlias = Callable[[AbstractContextManager[Iterator[Listed]]], Iterator[Listed]]
"""Enters a context that is left when the documents have been read."""


@runtime_checkable
class Collection(Protocol):
    """A place that lists its documents.

    A sync deletes documents of the collection's origin and scope that a complete listing no longer
    has; a listing that raises, or has a `FailedDocument`, is not complete.
    """

    @property
    def name(self) -> str:
        """Its name for people, without secrets."""
        ...

    @property
    def origin(self) -> str:
        """The identity that is stored with its documents, the same in every run."""
        ...

    def path(self, uri: str) -> str | None:
        """Return what patterns match a document by, None for one out of the collection's scope."""
        ...

    def listing(self, reader: FileReader) -> AbstractContextManager[Iterator[Listed]]:
        """Open the collection, and list it; documents are opened before it is closed again.

        Raises:
            RagkitError: It cannot be reached or read, now or while it is listed.
        """
        ...


class CollectionListing:
    """The listing of a collection in one run.

    Attributes:
        collection: The collection.
        found: Number of documents so far.
        skipped: Uris of documents of a format that no loader reads.
        failed: What could not be listed.
        is_complete: Whether all was listed: only then is it known what is gone.
    """

    def __init__(self, collection: Collection, patterns: PathPatterns) -> None:
        """Prepare a listing of the documents that the patterns cover."""
        self.collection = collection
        self.found = 0
        self.skipped: list[str] = []
        self.failed: list[FailedDocument] = []
        self.is_complete = False
        self._patterns = patterns

    def covers(self, uri: str) -> bool:
        """Return whether a document of the collection, present or gone, is in the scope."""
        path = self.collection.path(uri)
        return path is not None and self._patterns.covers(path)

    def sources(self, reader: FileReader, enter: Enter) -> Iterator[DocumentSource]:
        """Yield the documents; whatever the listing raises is a failure of this collection alone.

        Args:
            reader: Finds the loaders of files.
            enter: Enters the collection's listing.

        Raises:
            ConfigError: A setting is wrong.
            MissingExtraError: A package is not installed.
        """
        try:
            for item in enter(self.collection.listing(reader)):
                if isinstance(item, FailedDocument):
                    self.failed.append(item)
                elif not self.covers(item.uri):
                    continue
                elif isinstance(item, SkippedDocument):
                    self.skipped.append(item.uri)
                else:
                    self.found += 1
                    yield item
        except (ConfigError, MissingExtraError):
            raise
        except RagkitError as error:
            self._fail(str(error))
        except Exception as error:  # a collection may be anybody's
            logger.warning("The listing of %r failed.", self.collection.name, exc_info=error)
            self._fail(without_credentials(f"{type(error).__name__}: {error}"))
        self.is_complete = not self.failed

    def _fail(self, reason: str) -> None:
        self.failed.append(FailedDocument(uri=self.collection.name, reason=reason))


def opened_bytes(
    reader: FileReader, data: bytes, name: str, *, uri: str, stamp: str, media_type: str = ""
) -> OpenedSource:
    """Return content that was read from elsewhere than a file.

    Args:
        reader: Finds the loader.
        data: The content.
        name: The name of a file, for its extension.
        uri: The document's.
        stamp: Proves that it is unchanged when it is met again; empty where nothing does.
        media_type: The type that the server says.

    Raises:
        InputError: No loader reads it.
    """
    loader = reader.registry.loader(data, name, media_type=media_type)
    return OpenedSource(
        content_hash=content_hash(data),
        identity=loader.identity,
        stamp=stamp,
        load=LoadCall(loader=loader, data=data, uri=uri),
    )
