"""Object stores and other file systems of fsspec as collections: `s3://`, `gs://`, `sftp://`."""

import datetime
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from ragkit.core.errors import ConfigError, InputError, MissingExtraError
from ragkit.core.secrets import ServerAddress, without_credentials
from ragkit.ingest.sources.collection import Listed, SkippedDocument
from ragkit.ingest.sources.file import SETTLED_NS, FileReader
from ragkit.ingest.sources.listed_file import ListedFile

# Facts of a listing that change with the content, by the names that file systems give them.
_PROOFS = ("ETag", "etag", "md5Hash", "content_md5", "generation", "version_id")
_TIMES = ("mtime", "LastModified", "last_modified", "updated", "modified", "last_write_time")
_DEEPEST = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectStore:
    """The files below a URL of a file system that fsspec knows.

    Attributes:
        url: Of a folder or file; uris are URLs below it.
        options: Passed to the file system, such as its keys; by default it finds them itself.
        source: The name that uris begin with instead, and that a sync knows the files by.
    """

    url: str = field(repr=False)
    options: Mapping[str, object] = field(default_factory=dict[str, object], repr=False)
    source: str | None = None

    def __post_init__(self) -> None:
        """Refuse chains of file systems, whose parts have no lasting identity."""
        if "::" in self.url:
            raise InputError(
                f"{without_credentials(self.url)!r} is a chain of file systems. Fix: name the "
                "innermost alone."
            )

    @property
    def name(self) -> str:
        """The URL, without user and password."""
        return ServerAddress.parse(self.url).url.rstrip("/")

    @property
    def origin(self) -> str:
        """The identity of the bucket or host."""
        parts = urlsplit(self.name)
        return f"storage:{self.source or f'{parts.scheme}://{parts.netloc}'}"

    def path(self, uri: str) -> str | None:
        """Return the path below the URL; None for a file elsewhere in the bucket."""
        base = self.source or self.name
        if uri == base:
            return uri.rpartition("/")[2]
        return uri.removeprefix(f"{base}/") if uri.startswith(f"{base}/") else None

    @contextmanager
    def listing(self, reader: FileReader) -> Generator[Iterator[Listed]]:
        """List the files as they are now."""
        files, root = self._opened()
        files.invalidate_cache()
        yield self._files(files, root.rstrip("/"), reader)

    def _opened(self) -> tuple[Any, str]:
        try:
            from fsspec.core import url_to_fs
        except ImportError as error:
            raise MissingExtraError("fsspec", extra="fsspec") from error
        try:
            files, root = url_to_fs(self.url, **self.options)
        except ImportError as error:
            raise ConfigError(
                f"{self.name!r} needs another package: {error}. Fix: pip install it."
            ) from error
        except ValueError as error:
            raise InputError(f"{self.name!r} cannot be read: {error}. Fix: check it.") from error
        return files, str(root)

    def _files(self, files: Any, root: str, reader: FileReader) -> Iterator[Listed]:
        for facts in _walk(files, root, self.name):
            below = str(facts["name"]).removeprefix(root).lstrip("/")
            if not any(part.startswith(".") for part in below.split("/")):
                yield self._file(files, facts, below, reader)

    def _file(
        self, files: Any, facts: Mapping[str, object], below: str, reader: FileReader
    ) -> Listed:
        base = self.source or self.name
        uri = f"{base}/{below}" if below else base
        path = below or base.rpartition("/")[2]
        if not reader.registry.knows(path):  # a key may hold what would end the path of a URL
            return SkippedDocument(uri=uri)
        size = facts.get("size")
        read: Callable[[], bytes] = partial(files.cat_file, facts["name"], end=reader.max_bytes + 1)
        if size == 0:
            read = bytes  # of an empty object a store has no range to give
        return ListedFile(
            uri=uri,
            path=path,
            origin=self.origin,
            listed=stamp_of(facts),
            size=size if isinstance(size, int) else 0,
            read=read,
            reader=reader,
        )


def _walk(files: Any, root: str, name: str) -> Iterator[Mapping[str, object]]:
    """Yield the facts of all files, in order of name; a folder that cannot be listed raises.

    `AbstractFileSystem.walk` and `find` leave such folders out, as if they were empty.
    """
    pending = [root]
    while pending:
        folder = pending.pop()
        if folder.count("/") - root.count("/") > _DEEPEST:
            raise InputError(
                f"{name!r} has folders deeper than {_DEEPEST} levels. Fix: name a folder in it."
            )
        try:
            found = sorted(files.ls(folder, detail=True), key=lambda one: str(one["name"]))
        except FileNotFoundError as error:
            raise InputError(f"There is nothing at {name!r}. Fix: check it.") from error
        # A key that ends with a slash is an empty folder's.
        yield from (
            facts
            for facts in found
            if facts["type"] != "directory" and not str(facts["name"]).endswith("/")
        )
        below = [str(one["name"]).rstrip("/") for one in found if one["type"] == "directory"]
        pending += [
            one
            for one in reversed(below)
            if one != folder and not one.rpartition("/")[2].startswith(".")
        ]


def stamp_of(facts: Mapping[str, object]) -> str:
    """Return what proves the content, empty where the file system says nothing of the kind."""
    size = facts.get("size")
    if proofs := [f"{name}={facts[name]}" for name in _PROOFS if facts.get(name)]:
        return f"stored:{size}:{':'.join(proofs)}"
    changed = next((facts[name] for name in _TIMES if facts.get(name)), None)
    seconds = changed.timestamp() if isinstance(changed, datetime.datetime) else changed
    if not isinstance(seconds, int | float):
        return "" if changed is None else f"stored:{size}:{changed}"
    # A file that was just written may be written again within the clock's resolution.
    is_settled = (time.time() - seconds) * 10**9 > SETTLED_NS
    return f"stored:{size}:{seconds!r}" if is_settled else ""
