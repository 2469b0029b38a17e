"""The sources of documents: files and folders, or documents made in code."""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

from ragkit.core.errors import InputError, RagkitError
from ragkit.core.protocols import Loader
from ragkit.core.types import Document, Metadata
from ragkit.ingest.loaders import LOADERS, loader_for
from ragkit.ingest.loaders.identity import content_hash
from ragkit.ingest.report import FailedDocument


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedSource:
    """A source's content at one moment: its hash, and the call that makes a document of it."""

    content_hash: str
    load: Callable[[], Document]


class DocumentSource(Protocol):
    """A document that can be read."""

    @property
    def uri(self) -> str:
        """The document's name in the index."""
        ...

    @property
    def identity(self) -> str:
        """Everything beside the content that shapes the document: loader and metadata."""
        ...

    def open(self) -> OpenedSource:
        """Read the content.

        Raises:
            InputError: It cannot be read.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSource:
    """A file, with its loader and the metadata that is added to its own."""

    uri: str
    path: Path
    loader: Loader
    max_bytes: int
    metadata: Metadata

    @property
    def identity(self) -> str:
        """The loader's identity and a digest of the added metadata."""
        return f"{self.loader.identity}:{_digest(self.metadata)}"

    def open(self) -> OpenedSource:
        """Read the file; see `read_file`."""
        data = read_file(self.path, max_bytes=self.max_bytes)
        return OpenedSource(content_hash=content_hash(data), load=partial(self._load, data))

    def _load(self, data: bytes) -> Document:
        document = self.loader.load(data, uri=self.uri)
        return replace(document, metadata={**document.metadata, **self.metadata})


@dataclass(frozen=True, slots=True, kw_only=True)
class MemorySource:
    """A document that is already in memory."""

    document: Document

    @property
    def uri(self) -> str:
        """The document's."""
        return self.document.uri

    @property
    def identity(self) -> str:
        """A digest of title and metadata, which the content hash does not cover."""
        return f"document:{_digest({**self.document.metadata, 'title': self.document.title})}"

    def open(self) -> OpenedSource:
        """Return the document as it is."""
        return OpenedSource(
            content_hash=self.document.content_hash, load=partial(_itself, self.document)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSet:
    """The sources under some paths, with what could not be one.

    `roots` are the paths that exist: what is missing under these has been deleted.
    """

    sources: tuple[DocumentSource, ...]
    skipped: tuple[str, ...] = ()
    failed: tuple[FailedDocument, ...] = ()
    roots: tuple[str, ...] = ()

    def joined(self, other: "SourceSet") -> "SourceSet":
        """Return both sets as one."""
        return SourceSet(
            sources=self.sources + other.sources,
            skipped=self.skipped + other.skipped,
            failed=self.failed + other.failed,
            roots=self.roots + other.roots,
        )

    def documents(self) -> tuple[list[Document], list[FailedDocument]]:
        """Load all documents; return them, and those that could not be loaded."""
        documents, failed = list[Document](), list(self.failed)
        for source in self.sources:
            try:
                documents.append(source.open().load())
            except RagkitError as error:
                failed.append(FailedDocument(uri=source.uri, reason=str(error)))
        return documents, failed

    def covers(self, uri: str) -> bool:
        """Return whether a uri lies under the paths that were searched."""
        return any(
            uri == root or uri.startswith(f"{root.rstrip('/')}/") or root == "."
            for root in self.roots
        )


def from_documents(documents: Iterable[Document]) -> SourceSet:
    """Return the sources of documents that are already in memory."""
    sources: dict[str, MemorySource] = {}
    failed: list[FailedDocument] = []
    for document in documents:
        if document.uri in sources:
            reason = f"{document.uri!r} was given twice. Fix: give each document its own uri."
            failed.append(FailedDocument(uri=document.uri, reason=reason))
            continue
        sources[document.uri] = MemorySource(document=document)
    return SourceSet(sources=tuple(sources.values()), failed=tuple(failed))


def from_paths(
    paths: Sequence[Path],
    *,
    encoding: str = "utf-8",
    max_bytes: int = 50 * 2**20,
    metadata: Metadata | None = None,
) -> SourceSet:
    """Find the files under paths: those that a loader reads, those skipped, those failed.

    Folders are searched in order of name, through symbolic links, each real folder once; names
    that start with a dot are left out.
    """
    sources: list[FileSource] = []
    skipped: list[str] = []
    failed: list[FailedDocument] = []
    seen: set[str] = set()
    for path, named in _walk(paths):
        uri = uri_of(path)
        if uri in seen:
            continue
        seen.add(uri)
        if isinstance(named, FailedDocument):
            failed.append(named)
        elif path.suffix.lower() in LOADERS:
            loader = loader_for(path.name, encoding=encoding)
            sources.append(
                FileSource(
                    uri=uri,
                    path=path,
                    loader=loader,
                    max_bytes=max_bytes,
                    metadata=metadata or {},
                )
            )
        elif named:
            failed.append(FailedDocument(uri=uri, reason=_unsupported(path)))
        else:
            skipped.append(uri)
    return SourceSet(
        sources=tuple(sources),
        skipped=tuple(skipped),
        failed=tuple(failed),
        roots=tuple(uri_of(path) for path in paths if path.exists()),
    )


def uri_of(path: Path) -> str:
    """Return a file's uri: its path from the working folder, or its whole path outside it."""
    absolute = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links
    here = Path.cwd()
    return (absolute.relative_to(here) if absolute.is_relative_to(here) else absolute).as_posix()


def read_file(path: Path, *, max_bytes: int) -> bytes:
    """Read a file's bytes, all of one moment.

    Raises:
        InputError: It is too large, not a regular file, unreadable, or changed while being read.
    """
    try:
        before = path.stat()
        if not path.is_file():
            raise InputError(f"{uri_of(path)!r} is not a regular file. Fix: leave it out.")
        if before.st_size > max_bytes:
            raise InputError(
                f"{uri_of(path)!r} has {before.st_size / 2**20:.0f} MiB, more than the "
                f"{max_bytes / 2**20:.0f} allowed. Fix: divide it, or raise ingest.max_file_mb."
            )
        data = path.read_bytes()
        after = path.stat()
    except OSError as error:
        raise InputError(
            f"{uri_of(path)!r} cannot be read: {error.strerror or error}. "
            "Fix: make it readable, or leave it out."
        ) from error
    if (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, len(data)):
        raise InputError(
            f"{uri_of(path)!r} changed while it was read. Fix: run the ingestion again."
        )
    return data


def _walk(paths: Sequence[Path]) -> Iterator[tuple[Path, bool | FailedDocument]]:
    """Yield each file with True where it was named itself, or with its failure."""
    visited: set[Path] = set()
    for path in paths:
        if path.is_dir():
            yield from ((file, False) for file in _files(path, visited))
        elif path.exists() or path.is_symlink():
            yield path, True
        else:
            yield (
                path,
                FailedDocument(
                    uri=uri_of(path),
                    reason=f"No file or folder at {str(path)!r}. Fix: check the path.",
                ),
            )


def _files(folder: Path, visited: set[Path]) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder, followlinks=True):
        real = Path(parent).resolve()
        if real in visited:
            folders.clear()  # A link back to a folder that was already searched.
            continue
        visited.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(parent, name) for name in sorted(files) if not name.startswith("."))


def _unsupported(path: Path) -> str:
    return (
        f"{str(path)!r} has no format that ragkit reads. Fix: convert it to one of "
        f"{', '.join(sorted(LOADERS))}."
    )


def _digest(metadata: Mapping[str, object]) -> str:
    if not metadata:
        return ""
    return hashlib.sha256(json.dumps(metadata, sort_keys=True).encode()).hexdigest()[:16]


def _itself(document: Document) -> Document:
    return document
