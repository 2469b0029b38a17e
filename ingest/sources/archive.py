"""Archives and mailboxes: each file in them is a source, and nothing is unpacked to disk."""

import bz2
import gzip
import io
import lzma
import os
import re
import tarfile
import zipfile
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from email.parser import BytesHeaderParser
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import IO, Protocol, Self, cast

from ragkit.core.errors import InputError
from ragkit.core.types import Metadata
from ragkit.ingest.loaders.zip_package import MAX_ENTRIES, MAX_UNPACKED, UNREADABLE
from ragkit.ingest.sources.file import FileSource
from ragkit.ingest.sources.mbox import MailSpan, mail_at, mail_spans
from ragkit.ingest.sources.reopened_file import FileVersion, ReopenedFile
from ragkit.ingest.sources.root import SourceRoot
from ragkit.ingest.sources.source import OpenedSource

_ENCRYPTED = 0x1
_UNSAFE = re.compile(r"[^\w.@+-]")
_LONGEST_NAME = 120
_TAR_SUFFIXES = (".tar", ".tgz", ".tar.gz", ".tbz2", ".tar.bz2", ".txz", ".tar.xz")
_COMPRESSED: Mapping[bytes, Callable[[Path, str], object]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}
_TAR_ERRORS = (*UNREADABLE, tarfile.TarError, lzma.LZMAError)


class Archive(Protocol):
    """A file that holds files."""

    def members(self) -> Iterator[tuple[str, int]]:
        """Yield name and size of each file, in order.

        Raises:
            InputError: The archive is damaged or too large.
        """
        ...

    def read(self, name: str) -> bytes:
        """Return the content of a file; fastest in their order.

        Raises:
            InputError: It cannot be read.
        """
        ...


class ZipArchive:
    """A ZIP archive, whose directory is read again only after the file has changed."""

    def __init__(self, path: Path) -> None:
        """Prepare to read; nothing is opened yet."""
        self._path = path
        self._file = ReopenedFile(path)
        self._directory: tuple[FileVersion, zipfile.ZipFile] | None = None
        self._lock = Lock()  # the file is open for one read at a time

    def __reduce__(self) -> tuple[type[Self], tuple[Path]]:
        """Return the archive without its directory, which is read again elsewhere."""
        return type(self), (self._path,)

    def members(self) -> Iterator[tuple[str, int]]:
        """Yield name and size of each file."""
        with self._opened() as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
        yield from ((entry.filename, entry.file_size) for entry in entries)

    def read(self, name: str) -> bytes:
        """Return the content of a file."""
        with self._opened() as archive:
            if archive.getinfo(name).flag_bits & _ENCRYPTED:
                raise InputError(f"{name!r} in {str(self._path)!r} is encrypted. Fix: unpack it.")
            return archive.read(name)

    @contextmanager
    def _opened(self) -> Generator[zipfile.ZipFile]:
        try:
            with self._lock, self._file.opened() as version:
                if self._directory is None or self._directory[0] != version:
                    self._directory = None
                    archive = zipfile.ZipFile(cast("IO[bytes]", self._file))
                    self._directory = version, archive
                yield self._directory[1]
        except (*UNREADABLE, KeyError) as error:
            raise _damaged(self._path, error) from error


class TarArchive:
    """A TAR archive, compressed or not, that is read from its beginning to its end."""

    def __init__(self, path: Path) -> None:
        """Prepare to read; nothing is opened yet."""
        self._path = path
        self._contents: Iterator[tuple[str, Callable[[], bytes]]] = iter(())
        self._version: FileVersion | None = None

    def members(self) -> Iterator[tuple[str, int]]:
        """Yield name and size of each regular file."""
        try:
            with closing(_opened_tar(self._path)) as archive:
                yield from ((entry.name, entry.size) for entry in archive if entry.isreg())
        except _TAR_ERRORS as error:
            raise _damaged(self._path, error) from error

    def read(self, name: str) -> bytes:
        """Return the content of a file: the next of that name, else the first."""
        try:
            version = FileVersion.of(self._path.stat())
            if version != self._version:  # what is open is another file
                self._contents, self._version = iter(()), version
            for contents in (self._contents, self._files()):
                self._contents = contents
                for found, content in contents:
                    if found == name:
                        return content()
        except _TAR_ERRORS as error:
            raise _damaged(self._path, error) from error
        raise InputError(f"{name!r} is no longer in {str(self._path)!r}. Fix: ingest it again.")

    def _files(self) -> Iterator[tuple[str, Callable[[], bytes]]]:
        with closing(_opened_tar(self._path)) as archive:
            for entry in archive:
                file = archive.extractfile(entry) if entry.isreg() else None
                if file is not None:
                    yield entry.name, file.read


class MboxArchive:
    """A mailbox in one file (mbox): each mail is a file, named by its Message-ID."""

    def __init__(self, path: Path) -> None:
        """Prepare to read; nothing is opened yet."""
        self._path = path
        self._index: tuple[FileVersion, dict[str, MailSpan]] | None = None

    def members(self) -> Iterator[tuple[str, int]]:
        """Yield name and size of each mail."""
        with self._opened() as file:
            yield from self._listed(file)

    def read(self, name: str) -> bytes:
        """Return a mail from where it was listed, or from elsewhere if the file has changed."""
        with self._opened() as file:
            index = self._index
            if index is None or index[0] != FileVersion.of(os.fstat(file.fileno())):
                deque(self._listed(file), maxlen=0)
                index = self._index
            span = index[1].get(name) if index else None
            if span is None:
                raise InputError(
                    f"{name!r} is no longer in {str(self._path)!r}. Fix: ingest again."
                )
            return mail_at(file, span)

    def _listed(self, file: IO[bytes]) -> Iterator[tuple[str, int]]:
        version = FileVersion.of(os.fstat(file.fileno()))
        spans: dict[str, MailSpan] = {}
        for number, span in enumerate(mail_spans(file), start=1):
            mail = mail_at(file, span)
            found = BytesHeaderParser().parsebytes(mail).get("Message-ID")
            name = _UNSAFE.sub("_", str(found or "").strip("<> \t\r\n"))[:_LONGEST_NAME]
            if not name or name.startswith(".") or f"{name}.eml" in spans:
                name = f"{number:06}"
            spans[f"{name}.eml"] = span
            yield f"{name}.eml", len(mail)
        self._index = version, spans

    @contextmanager
    def _opened(self) -> Generator[IO[bytes]]:
        try:
            with self._path.open("rb") as file:
                yield file
        except UNREADABLE as error:
            raise _damaged(self._path, error) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveMember:
    """A file in an archive, which is a file under a root."""

    archive: Archive
    file: FileSource
    name: str
    size: int

    @property
    def path(self) -> Path:
        """The archive's path and the path in it."""
        return self.file.path / self.name

    @property
    def root(self) -> SourceRoot:
        """The archive's."""
        return self.file.root

    @property
    def uri(self) -> str:
        """The archive's uri and the path in it."""
        return f"{self.file.uri}/{self.name}"

    @property
    def origin(self) -> str:
        """The archive's."""
        return self.file.origin

    def accepts(self, identity: str) -> bool:
        """Return whether a loader has this identity."""
        return self.file.accepts(identity)

    def added_metadata(self) -> Metadata:
        """Return what the reader adds to the metadata of files of this archive."""
        return self.file.added_metadata()

    def stamp(self) -> str:
        """Return the archive's stamp."""
        return self.file.stamp()

    def aliases(self) -> "Sequence[ArchiveMember]":
        """Return the file under the other names of its archive."""
        return [replace(self, file=alias) for alias in self.file.aliases()]

    def open(self) -> OpenedSource:
        """Read the file.

        Raises:
            InputError: It is too large, or the archive is damaged, encrypted, or changed while it
                was read.
        """
        reader = self.file.reader
        if self.size > reader.max_bytes:
            raise InputError(
                f"{str(self.path)!r} has {self.size / 2**20:.0f} MiB, more than the "
                f"{reader.max_bytes / 2**20:.0f} allowed. Fix: divide it, or raise "
                "ingest.max_file_mb."
            )
        before = self.file.stamp()
        data = self.archive.read(self.name)
        if self.file.stamp() != before:
            raise InputError(
                f"{str(self.file.path)!r} changed while it was read. Fix: run the ingestion again."
            )
        return reader.opened(data, self.name, uri=self.uri, stat=self.file.path.stat())


def is_archive(path: Path) -> bool:
    """Return whether a file's name is that of an archive that can be read."""
    return path.name.lower().endswith((".zip", ".mbox", *_TAR_SUFFIXES))


def archive_members(file: FileSource) -> list[ArchiveMember]:
    """Return the files in an archive, without hidden ones.

    Raises:
        InputError: The archive is damaged, has more than `MAX_ENTRIES` files or `MAX_UNPACKED`
            bytes unpacked, or a file whose path leads out of it.
    """
    archive = _archive(file.path)
    members: list[ArchiveMember] = []
    unpacked = 0
    for count, (name, size) in enumerate(archive.members(), start=1):
        unpacked += size
        if count > MAX_ENTRIES or unpacked > MAX_UNPACKED:
            raise InputError(
                f"{str(file.path)!r} has more than {MAX_ENTRIES} files or {MAX_UNPACKED >> 20} MiB "
                "unpacked. Fix: divide it, or unpack it."
            )
        parts = PurePosixPath(name.replace("\\", "/")).parts
        if not parts or parts[0] == "/" or ".." in parts:
            raise InputError(
                f"{str(file.path)!r} holds {name!r}, whose path leads out of it. Fix: leave it out."
            )
        if not any(part.startswith((".", "__MACOSX")) for part in parts if part != "."):
            members.append(ArchiveMember(archive=archive, file=file, name=name, size=size))
    return members


def _archive(path: Path) -> Archive:
    name = path.name.lower()
    if name.endswith(".zip"):
        return ZipArchive(path)
    return MboxArchive(path) if name.endswith(".mbox") else TarArchive(path)


class _BoundedReader(io.RawIOBase):
    """A stream of at most so many bytes, whatever it is made from."""

    def __init__(self, file: IO[bytes], limit: int) -> None:
        self._file = file
        self._left = limit

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(min(size, 2**20) if size >= 0 else 2**20)
        self._left -= len(data)
        if self._left < 0:
            raise OSError("it is too large when it is unpacked")
        return data

    def close(self) -> None:
        self._file.close()
        super().close()


def _opened_tar(path: Path) -> tarfile.TarFile:
    with path.open("rb") as file:
        head = file.read(8)
    opened = next((one for magic, one in _COMPRESSED.items() if head.startswith(magic)), Path.open)
    stream = _BoundedReader(cast("IO[bytes]", opened(path, "rb")), MAX_UNPACKED + 2**24)
    return tarfile.open(fileobj=stream, mode="r|")


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(
        f"The archive {str(path)!r} cannot be read ({type(error).__name__}: {error}). "
        "Fix: make it again, or unpack it."
    )
