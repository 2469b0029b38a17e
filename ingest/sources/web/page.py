"""A web page as a source: read only if its server does not say that it is the same."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from ragkit.core.types import Metadata
from ragkit.ingest.sources.collection import opened_bytes
from ragkit.ingest.sources.file import FileReader
from ragkit.ingest.sources.source import DocumentSource, OpenedSource
from ragkit.ingest.sources.web.client import WebClient
from ragkit.ingest.sources.web.content import WebContent


@dataclass(frozen=True, slots=True, kw_only=True)
class WebPage:
    """A page, by its URL without user and password."""

    uri: str
    origin: str
    reader: FileReader
    client: WebClient

    def accepts(self, identity: str) -> bool:
        """Return whether a loader has this identity."""
        return identity in self.reader.identities

    def added_metadata(self) -> Metadata:
        """Return what the reader adds to the metadata of a file with this path."""
        return self.reader.metadata_of(Path(url_path(self.uri)))

    def stamp(self) -> str:
        """Return nothing: the server says what is the same when it is asked for the page."""
        return ""

    def aliases(self) -> Sequence[DocumentSource]:
        """Return nothing: a page has one URL."""
        return ()

    def open(self) -> OpenedSource:
        """Fetch the page.

        Raises:
            InputError: It cannot be fetched or no loader reads it.
            ProviderError: The site does not answer.
        """
        return self._opened(self.client.fetch(self.uri))

    def open_if_changed(self, stamp: str) -> OpenedSource | None:
        """Fetch the page unless it is that of a stamp; see `open`."""
        found = self.client.fetch_if_changed(self.uri, stamp)
        return None if found is None else self._opened(found)

    def _opened(self, found: WebContent) -> OpenedSource:
        return opened_bytes(
            self.reader,
            found.data,
            PurePosixPath(url_path(self.uri)).name or "page",
            uri=self.uri,
            stamp=found.stamp,
            media_type=found.media_type,
        )


def url_path(url: str) -> str:
    """Return the path of a URL, decoded and without its first slash."""
    return unquote(urlsplit(url).path).lstrip("/")
