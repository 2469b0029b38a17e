"""Where documents come from: files and folders, or documents made in code."""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ragkit.core.errors import InputError, RagkitError
from ragkit.core.protocols import Loader
from ragkit.core.types import Document, Metadata
from ragkit.ingest.loaders import LOADERS, loader_for
from ragkit.ingest.report import Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A document that can be read: `open` gives its content hash and a way to load it.

    `identity` names everything beside the content that shapes the result (loader, metadata).
    """

    uri: str
    identity: str
    open: Callable[[], tuple[str, Callable[[], Document]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The sources under some paths, with what could not be one.

    `roots` are the paths that are there: what is missing under these has been deleted.
    """

    sources: tuple[Source, ...]
    skipped: tuple[str, ...] = ()
    failed: tuple[Failure, ...] = ()
    roots: tuple[str, ...] = ()

    def joined(self, other: "Found") -> "Found":
        """Both finds as one."""
        return Found(
            sources=self.sources + other.sources,
            skipped=self.skipped + other.skipped,
            failed=self.failed + other.failed,
            roots=self.roots + other.roots,
        )

    def documents(self) -> tuple[list[Document], list[Failure]]:
        """All documents, loaded, and what could not be."""
        documents, failed = list[Document](), list(self.failed)
        for source in self.sources:
            try:
                _, load = source.open()
                documents.append(load())
            except RagkitError as error:
                failed.append(Failure(uri=source.uri, reason=str(error)))
        return documents, failed

    def covers(self, uri: str) -> bool:
        """Whether a uri lies under the paths that were searched."""
        return any(
            uri == root or uri.startswith(f"{root.rstrip('/')}/") or root == "."
            for root in self.roots
        )


def from_documents(documents: Iterable[Document]) -> Found:
    """Sources of documents that are already in memory."""
    sources: dict[str, Source] = {}
    failed: list[Failure] = []
    for document in documents:
        if document.uri in sources:
            failed.append(Failure(uri=document.uri, reason=f"{document.uri!r} was given twice."))
            continue
        sources[document.uri] = _document_source(document)
    return Found(sources=tuple(sources.values()), failed=tuple(failed))


def _document_source(document: Document) -> Source:
    digest = _digest({**document.metadata, "title": document.title})
    return Source(
        uri=document.uri,
        identity=f"document:{digest}",
        open=lambda: (document.content_hash, lambda: document),
    )


def from_paths(
    paths: Sequence[Path],
    *,
    encoding: str = "utf-8",
    max_bytes: int = 50 * 2**20,
    metadata: Metadata | None = None,
) -> Found:
    """Find the files under paths: those that a loader reads, those skipped, those impossible.

    Folders are searched in order of name, through symbolic links, each real folder once; names
    that start with a dot are left out.
    """
    sources: list[Source] = []
    skipped: list[str] = []
    failed: list[Failure] = []
    seen: set[str] = set()
    for path, named in _walk(paths):
        uri = uri_of(path)
        if uri in seen:
            continue
        seen.add(uri)
        if isinstance(named, Failure):
            failed.append(named)
        elif path.suffix.lower() in LOADERS:
            loader = loader_for(path.name, encoding=encoding)
            sources.append(_file_source(path, uri, loader, max_bytes, metadata or {}))
        elif named:
            failed.append(Failure(uri=uri, reason=_unsupported(path)))
        else:
            skipped.append(uri)
    return Found(
        sources=tuple(sources),
        skipped=tuple(skipped),
        failed=tuple(failed),
        roots=tuple(uri_of(path) for path in paths if path.exists()),
    )


def uri_of(path: Path) -> str:
    """A file's uri: its path from the working folder if it lies there, else its whole path."""
    absolute = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links
    here = Path.cwd()
    return (absolute.relative_to(here) if absolute.is_relative_to(here) else absolute).as_posix()


def read_file(path: Path, *, max_bytes: int) -> bytes:
    """A file's bytes, all of one moment.

    Raises:
        InputError: It is too large, not a regular file, unreadable, or changed while being read.
    """
    try:
        before = path.stat()
        if not path.is_file():
            raise InputError(f"{uri_of(path)!r} is not a regular file.")
        if before.st_size > max_bytes:
            raise InputError(
                f"{uri_of(path)!r} has {before.st_size / 2**20:.0f} MiB, more than the "
                f"{max_bytes / 2**20:.0f} allowed: divide it, or raise ingest.max_file_mb."
            )
        data = path.read_bytes()
        after = path.stat()
    except OSError as error:
        raise InputError(f"{uri_of(path)!r} cannot be read: {error.strerror or error}.") from error
    if (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, len(data)):
        raise InputError(f"{uri_of(path)!r} changed while it was read: run the ingestion again.")
    return data


def _file_source(
    path: Path, uri: str, loader: Loader, max_bytes: int, metadata: Metadata
) -> Source:
    def opened() -> tuple[str, Callable[[], Document]]:
        data = read_file(path, max_bytes=max_bytes)

        def load() -> Document:
            document = loader.load(data, uri=uri)
            return replace(document, metadata={**document.metadata, **metadata})

        return hashlib.sha256(data).hexdigest(), load

    return Source(uri=uri, identity=f"{loader.identity}:{_digest(metadata)}", open=opened)


def _walk(paths: Sequence[Path]) -> Iterator[tuple[Path, bool | Failure]]:
    """Each file with whether it was named itself; or with the reason why it can't be one."""
    visited: set[Path] = set()
    for path in paths:
        if path.is_dir():
            yield from ((file, False) for file in _files(path, visited))
        elif path.exists() or path.is_symlink():
            yield path, True
        else:
            yield path, Failure(uri=uri_of(path), reason=f"No file or folder at {str(path)!r}.")


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
        f"{str(path)!r} has no format that ragkit reads. Supported: {', '.join(sorted(LOADERS))}."
    )


def _digest(metadata: Mapping[str, object]) -> str:
    if not metadata:
        return ""
    return hashlib.sha256(json.dumps(metadata, sort_keys=True).encode()).hexdigest()[:16]
