"""A file that is opened for each read, for a reader that is kept longer than a file may be open."""

import io
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple, Self


class FileVersion(NamedTuple):
    """The place, size and times of a file: equal ones are those of a file that did not change."""

    device: int
    inode: int
    size: int
    modified_ns: int
    changed_ns: int

    @classmethod
    def of(cls, stat: os.stat_result) -> Self:
        """Return the version of a file of which the system says `stat`."""
        return cls(stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


class ReopenedFile(io.RawIOBase):
    """A file that can be read from within `opened` only, and keeps no descriptor between."""

    def __init__(self, path: Path) -> None:
        """Prepare to read; nothing is opened yet."""
        self._path = path
        self._file: IO[bytes] | None = None

    @contextmanager
    def opened(self) -> Generator[FileVersion]:
        """Open the file for reading, and give its version.

        Raises:
            OSError: It cannot be opened.
        """
        with self._path.open("rb") as file:
            self._file = file
            try:
                yield FileVersion.of(os.fstat(file.fileno()))
            finally:
                self._file = None

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, fewer than `size` only at the end."""
        return self._present().read(size)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a position."""
        return self._present().seek(offset, whence)

    def tell(self) -> int:
        """Return the position."""
        return self._present().tell()

    def _present(self) -> IO[bytes]:
        if self._file is None:
            raise OSError(f"{str(self._path)!r} is read while it is closed")
        return self._file
