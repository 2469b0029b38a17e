"""The web pages of a list of URLs or of a sitemap, as collections."""

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from ragkit.core.errors import InputError, RagkitError
from ragkit.core.secrets import without_credentials
from ragkit.ingest.report import FailedDocument
from ragkit.ingest.sources.collection import Listed
from ragkit.ingest.sources.file import FileReader
from ragkit.ingest.sources.source import WEB_ORIGIN
from ragkit.ingest.sources.web.client import WebClient
from ragkit.ingest.sources.web.page import WebPage, url_path
from ragkit.ingest.sources.web.site import Site, page_uri
from ragkit.ingest.sources.web.sitemap import SitemapEntry, sitemap_entries

_MAX_SITEMAPS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class WebPages:
    """The pages of some URLs.

    Attributes:
        urls: The URLs; user and password, if any, are sent to their site only and not stored.
        source: The name of the list. A sync deletes pages that are no longer in the list of that
            name, and none of a list without a name.
    """

    urls: Sequence[str] = field(repr=False)
    source: str | None = None

    @property
    def name(self) -> str:
        """The name of the list, or its first URL."""
        return self.source or without_credentials(self.urls[0] if self.urls else "no URLs")

    @property
    def origin(self) -> str:
        """The identity of the list."""
        return f"{WEB_ORIGIN}{self.source or ''}"

    def path(self, uri: str) -> str | None:
        """Return the path in a URL; a list without a name has only the pages that are in it."""
        if self.source is None and uri not in {page_uri(url) for url in self.urls}:
            return None
        return url_path(uri)

    @contextmanager
    def listing(self, reader: FileReader) -> Generator[Iterator[Listed]]:
        """List the pages; they are fetched when they are opened."""
        clients: dict[Site, WebClient] = {}
        try:
            yield self._pages(reader, clients)
        finally:
            for client in clients.values():
                client.close()

    def _pages(self, reader: FileReader, clients: dict[Site, WebClient]) -> Iterator[Listed]:
        for url in self.urls:
            site = Site.of(url)
            if site not in clients:
                clients[site] = WebClient(site, reader.web, max_bytes=reader.max_bytes)
            yield WebPage(
                uri=page_uri(url), origin=self.origin, reader=reader, client=clients[site]
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sitemap:
    """The pages that a sitemap lists, and the sitemaps in it, on its own site.

    Attributes:
        url: Of the sitemap; user and password, if any, are sent to its site only and not stored.
        source: The name that a sync knows its pages by, instead of the URL.
    """

    url: str = field(repr=False)
    source: str | None = None

    @property
    def name(self) -> str:
        """The URL of the sitemap."""
        return page_uri(self.url)

    @property
    def origin(self) -> str:
        """The identity of the sitemap."""
        return f"{WEB_ORIGIN}{self.source or self.name}"

    def path(self, uri: str) -> str | None:
        """Return the path in a URL."""
        return url_path(uri)

    @contextmanager
    def listing(self, reader: FileReader) -> Generator[Iterator[Listed]]:
        """Read the sitemap, and list its pages; they are fetched when they are opened."""
        client = WebClient(Site.of(self.url), reader.web, max_bytes=reader.max_bytes)
        try:
            yield self._pages(reader, client)
        finally:
            client.close()

    def _pages(self, reader: FileReader, client: WebClient) -> Iterator[Listed]:
        count = 0
        for url in self._urls(reader, client):
            if isinstance(url, FailedDocument):
                yield url
                continue
            count += 1
            if count > reader.web.max_pages:
                raise InputError(
                    f"{self.name!r} lists more than {reader.web.max_pages} pages. Fix: raise "
                    "ingest.web.max_pages, or ingest the sitemaps in it one by one."
                )
            yield WebPage(uri=url, origin=self.origin, reader=reader, client=client)

    def _urls(self, reader: FileReader, client: WebClient) -> Iterator[str | FailedDocument]:
        site = Site.of(self.url)
        pending, known = deque([self.name]), {self.name}
        elsewhere: list[str] = []
        while pending:
            sitemap = pending.popleft()
            try:
                for entry in self._entries(sitemap, reader, client):
                    if not site.covers(entry.url):
                        elsewhere.append(entry.url)
                    elif entry.kind == "page":
                        yield page_uri(entry.url)
                    elif (url := page_uri(entry.url)) not in known:
                        known.add(url)
                        pending.append(url)
            except RagkitError as error:
                if sitemap == self.name:
                    raise
                yield FailedDocument(uri=sitemap, reason=str(error))
            if len(known) > _MAX_SITEMAPS:
                raise InputError(
                    f"{self.name!r} has more than {_MAX_SITEMAPS} sitemaps in it. Fix: ingest them "
                    "one by one."
                )
        if elsewhere:
            yield FailedDocument(
                uri=self.name,
                reason=f"{self.name!r} lists {len(elsewhere)} URLs of other sites, such as "
                f"{without_credentials(elsewhere[0])!r:.300}, which were not asked for. Fix: "
                "ingest these by their own URLs.",
            )

    def _entries(self, url: str, reader: FileReader, client: WebClient) -> Iterator[SitemapEntry]:
        data = client.fetch(url).data
        return sitemap_entries(data, url=url, max_bytes=reader.max_bytes)
