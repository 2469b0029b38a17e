"""The stream of sources that a run reads: paths, documents and iterables of them, as they come."""

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TypeAlias, cast

from ragkit.core.errors import InputError, RagkitError
from ragkit.core.text import is_unicode
from ragkit.core.types import Document
from ragkit.ingest.report import FailedDocument
from ragkit.ingest.sources.archive import ArchiveMember
from ragkit.ingest.sources.collection import Collection, CollectionListing
from ragkit.ingest.sources.file import FileReader, FileSource
from ragkit.ingest.sources.item import MemorySource, SingleItem, SourceItem, as_document
from ragkit.ingest.sources.pattern import PathPatterns
from ragkit.ingest.sources.source import CODE_ORIGIN, WEB_ORIGIN, DocumentSource
from ragkit.ingest.sources.url import collection_of, is_url
from ragkit.ingest.sources.walk import FileWalk, SourceScope
from ragkit.ingest.sources.web.pages import WebPages

GROUP = 256
"""Sources whose records are looked up together."""

_Found: TypeAlias = DocumentSource | FailedDocument


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOptions:
    """The choices of a run about its sources.

    Attributes:
        reader: Reads the files.
        patterns: The paths below each root that the run covers.
        source: `NAME` or `NAME=FOLDER`; see `SourceRoot.parse`. Documents made in code belong to
            the source NAME then.
    """

    reader: FileReader = field(default_factory=FileReader)
    patterns: PathPatterns = field(default_factory=PathPatterns)
    source: str | None = None

    @property
    def document_origin(self) -> str:
        """The origin of documents made in code."""
        return CODE_ORIGIN if self.name is None else f"documents:{self.name}"

    @property
    def name(self) -> str | None:
        """The name of the source, without its folder."""
        return None if self.source is None else self.source.partition("=")[0]


_END = object()
"""The end of an iterable."""


class IterableError(Exception):
    """An iterable of sources failed with an error of ragkit, which is not one of this run."""


class SourceStream:
    """A stream of sources, each uri once.

    Attributes:
        options: The choices about them.
        walks: The walks over the paths that were given, complete when the stream is.
        listings: The listings of the collections that were given.
        failed: What could not be made a source.
        uris: The uris so far, each with its path where it is a file.
        has_documents: Whether documents made in code were among them.
        unmade: The uris of those of which no document could be made.
        names_all: Whether all of those have a uri.
        is_empty: Whether the iterables that were given had nothing in them.
    """

    def __init__(self, items: Iterable[SourceItem], options: SourceOptions | None = None) -> None:
        """Prepare a stream; nothing is read yet."""
        self.options = options or SourceOptions()
        self.walks: list[FileWalk] = []
        self.listings: list[CollectionListing] = []
        self.failed: list[FailedDocument] = []
        self.uris: dict[str, Path | None] = {}
        self.has_documents = False
        self.unmade: set[str] = set()
        self.names_all = True
        self.is_empty = False
        self._items = items
        self._visited: set[Path] = set()
        self._pages: list[str] = []
        self._origins: dict[str, str] = {}
        self._opened = ExitStack()

    async def groups(self) -> AsyncGenerator[list[DocumentSource]]:
        """Yield the sources in groups whose records can be looked up together.

        They can be opened until `close`.
        """
        group: list[DocumentSource] = []
        try:
            async for source in self._sources(self._items):
                if isinstance(source, FailedDocument):
                    self.failed.append(source)
                elif self._is_new(source):
                    group.append(source)
                if len(group) == GROUP:
                    yield group
                    group = []
        except Exception:
            if group:
                yield group  # what an iterable gave before it failed
            raise
        if group:
            yield group

    async def close(self) -> None:
        """Close what sources are read from, such as connections; safe to call twice."""
        await asyncio.to_thread(self._opened.close)

    def _is_new(self, source: DocumentSource) -> bool:
        if not is_unicode(source.uri):
            shown = source.uri.encode("utf-8", "backslashreplace").decode("utf-8")
            reason = f"The name '{shown}' is not valid UTF-8. Fix: rename it."
            self.failed.append(FailedDocument(uri=shown, reason=reason))
            return False
        if self._origins.setdefault(source.uri, source.origin).startswith(WEB_ORIGIN):
            is_new = source.uri not in self.uris  # a page may be in several lists
            self.uris[source.uri] = None
            return is_new
        path = source.path if isinstance(source, FileSource | ArchiveMember) else None
        if source.uri not in self.uris:
            self.uris[source.uri] = path
            return True
        known = self.uris[source.uri]
        if path is None or known != path:
            self.failed.append(_given_twice(source.uri, known, path))
        return False

    async def _sources(self, items: Iterable[SourceItem]) -> AsyncGenerator[_Found]:
        self.is_empty = True
        async for item in _singly(items):
            self.is_empty = False
            async for source in self._one(item):
                yield source
        if self._pages:
            pages = WebPages(urls=self._pages, source=self.options.name)
            async for source in self._listed(pages):
                yield source

    async def _one(self, item: object) -> AsyncGenerator[_Found]:
        if isinstance(item, str) and is_url(item):
            url, item = item, collection_of(item, name=self.options.name)
            if item is None:
                self._pages.append(url)
                return
        if isinstance(item, Collection):
            async for source in self._listed(item):
                yield source
            return
        if isinstance(item, str | Path):
            if item == "":
                raise InputError("The path is ''. Fix: name a folder, '.' for the present one.")
            async for source in self._walked(Path(item)):
                yield source
            return
        self.has_documents = True
        try:
            yield MemorySource(
                document=as_document(item),
                origin=self.options.document_origin,
                added=self.options.reader.common_metadata,
            )
        except InputError as error:
            uri = _uri_of(item)
            if uri is None:
                self.names_all = False
            else:
                self.unmade.add(uri)
            yield FailedDocument(uri=uri or f"({type(item).__name__})", reason=str(error))

    async def _walked(self, path: Path) -> AsyncGenerator[DocumentSource]:
        options = self.options
        try:
            scope = SourceScope.of(path, options.patterns, source=options.source)
        except OSError as error:  # of a folder above it
            raise InputError(
                f"{str(path)!r} cannot be read: {error}. Fix: give this user the right to, or "
                "leave it out."
            ) from error
        root = scope.root
        if root.chosen and any(walk.scope.root != root for walk in self.walks):
            # A sync could not tell what is gone from one folder from what lies in another.
            raise InputError(
                f"The source {root.name!r} needs a folder, since several are given. "
                f"Fix: write --source {root.name}=FOLDER with one that holds them all."
            )
        walk = FileWalk(scope, options.reader, visited=self._visited)
        self.walks.append(walk)
        async for source in _in_slabs(walk.sources()):
            yield source

    async def _listed(self, collection: Collection) -> AsyncGenerator[DocumentSource]:
        if any(one.collection == collection for one in self.listings):
            return
        listing = CollectionListing(collection, self.options.patterns)
        self.listings.append(listing)
        sources = listing.sources(self.options.reader, self._opened.enter_context)
        async for source in _in_slabs(sources):
            yield source


async def _singly(items: Iterable[SourceItem]) -> AsyncGenerator[object]:
    """Yield the single items, those of iterables one after the other."""
    for item in items:
        given = cast("object", item)  # callers need not be checked by types
        is_known = isinstance(given, str | Path | Document | Iterable | AsyncIterable | Collection)
        if not is_known or isinstance(given, bytes):
            raise InputError(
                f"{given!r} cannot be ingested. Fix: give a path, a URL, a document, a pair (uri, "
                "text), a dict, or an iterable of these."
            )
        if isinstance(item, str | Path | Document | tuple | Mapping | Collection):
            yield item
        elif isinstance(item, AsyncIterable):
            iterator = aiter(item)
            while (single := await _next_async(iterator)) is not _END:
                yield single
        else:
            items_of = iter(item)
            while (single := _next(items_of)) is not _END:
                yield single


def _next(items: Iterator[SingleItem]) -> object:
    try:
        return next(items, _END)
    except RagkitError as error:
        raise IterableError(str(error)) from error


async def _next_async(items: AsyncIterator[SingleItem]) -> object:
    try:
        return await anext(items, _END)
    except RagkitError as error:
        raise IterableError(str(error)) from error


def from_documents(documents: Iterable[Document]) -> SourceStream:
    """Return the stream of documents that are already in memory."""
    return SourceStream(documents)


async def _in_slabs(sources: Iterator[DocumentSource]) -> AsyncGenerator[DocumentSource]:
    """Yield sources that are searched for in a thread."""
    while slab := await asyncio.to_thread(_taken, sources):
        for source in slab:
            yield source


def _taken(sources: Iterator[DocumentSource]) -> Sequence[DocumentSource]:
    return list(islice(sources, GROUP))


def _uri_of(item: object) -> str | None:
    """Return the uri of an item that is no document, None where it names none."""
    uri: object = None
    if isinstance(item, Mapping):
        uri = cast("Mapping[str, object]", item).get("uri")
    elif isinstance(item, tuple) and item:
        uri = cast("tuple[object, ...]", item)[0]
    return uri if isinstance(uri, str) and uri else None


def _given_twice(uri: str, known: Path | None, path: Path | None) -> FailedDocument:
    if known is None or path is None:
        reason = f"{uri!r} was given twice. Fix: give each document its own uri."
    else:
        reason = (
            f"{str(known)!r} and {str(path)!r} would both be {uri!r}. Fix: ingest them one after "
            "the other, one of them under a name of its own: --source NAME (source='NAME')."
        )
    return FailedDocument(uri=uri, reason=reason)


async def load_files(
    paths: Sequence[Path], reader: FileReader
) -> tuple[list[Document], list[FailedDocument]]:
    """Load all documents below some paths; return them, and those that could not be loaded."""
    stream = SourceStream(paths, SourceOptions(reader=reader))
    documents: list[Document] = []
    failed: list[FailedDocument] = []
    try:
        async for group in stream.groups():
            for source in group:
                try:
                    documents.append(await asyncio.to_thread(_loaded, source))
                except RagkitError as error:
                    failed.append(FailedDocument(uri=source.uri, reason=str(error)))
    finally:
        await stream.close()
    walked = (failure for walk in stream.walks for failure in walk.failed)
    listed = (failure for listing in stream.listings for failure in listing.failed)
    return documents, [*stream.failed, *walked, *listed, *failed]


def _loaded(source: DocumentSource) -> Document:
    return source.open().load()
