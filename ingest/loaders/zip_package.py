"""The ZIP packages of office documents and books, checked before a library reads them."""

import io
import struct
import zipfile
import zlib
from collections.abc import Generator
from contextlib import contextmanager

from ragkit.core.errors import InputError

UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    OSError,
    ValueError,
    NotImplementedError,
    EOFError,
    RuntimeError,
)
"""What `zipfile` raises for damaged files."""
MAX_ENTRIES = 10_000
MAX_UNPACKED = 512 * 2**20
_ENCRYPTED = 0x1
_OLE = b"\xd0\xcf\x11\xe0"
_HEAD = 1024
# A document type could declare entities that grow without bound or read other files.
_FORBIDDEN = (
    b"<!DOCTYPE",
    b"<!ENTITY",
    "<!DOCTYPE".encode("utf-16-le"),
    "<!DOCTYPE".encode("utf-16-be"),
)


def open_package(data: bytes, *, uri: str, kind: str, doctypes: bool = False) -> zipfile.ZipFile:
    """Open a package that is neither encrypted nor damaged nor grows beyond `MAX_UNPACKED`.

    `kind` names the format in messages; `doctypes` allows its XML to have document types.

    Raises:
        InputError: It is not such a package.
    """
    if data.startswith(_OLE):
        raise InputError(
            f"{uri!r} is an old or encrypted office file, not {kind}. Fix: open it in an office "
            "program and save it, without a password, in the present format."
        )
    try:
        package = zipfile.ZipFile(io.BytesIO(data))
        entries = package.infolist()
    except UNREADABLE as error:
        raise damaged_package(uri, kind, error) from error
    unpacked = sum(entry.file_size for entry in entries)
    if len(entries) > MAX_ENTRIES or unpacked > MAX_UNPACKED:
        raise InputError(
            f"{uri!r} has {len(entries)} parts of {unpacked >> 20} MiB unpacked; {MAX_ENTRIES} and "
            f"{MAX_UNPACKED >> 20} are allowed. Fix: divide it, or leave it out."
        )
    if any(entry.flag_bits & _ENCRYPTED for entry in entries):
        raise InputError(f"{uri!r} is encrypted. Fix: save it without a password.")
    if not doctypes:
        _refuse_doctypes(package, uri=uri, kind=kind)
    return package


@contextmanager
def checked_package(data: bytes, *, uri: str, kind: str) -> Generator[io.BytesIO]:
    """Check a package and give it to a library, whose errors mean that it is damaged.

    Raises:
        InputError: It is not such a package, or the library cannot read it.
    """
    open_package(data, uri=uri, kind=kind).close()
    try:
        yield io.BytesIO(data)
    except InputError:
        raise
    except Exception as error:
        raise damaged_package(uri, kind, error) from error


def damaged_package(uri: str, kind: str, error: Exception) -> InputError:
    """Return the error for a package that cannot be read."""
    return InputError(
        f"{uri!r} is no {kind} file, or is damaged or cut off ({type(error).__name__}: {error}). "
        "Fix: fetch it again, or open it in its program and save it again."
    )


def _refuse_doctypes(package: zipfile.ZipFile, *, uri: str, kind: str) -> None:
    for entry in package.infolist():
        if not entry.filename.endswith((".xml", ".rels")):
            continue
        try:
            with package.open(entry) as part:
                head = part.read(_HEAD)
        except UNREADABLE as error:
            raise damaged_package(uri, kind, error) from error
        if any(mark in head for mark in _FORBIDDEN):
            raise InputError(
                f"{uri!r} declares a document type in {entry.filename!r}, which office documents "
                "never do. Fix: leave it out, or save it again from an office program."
            )


def no_text_error(uri: str) -> InputError:
    """Return the error for a document without text."""
    return InputError(f"{uri!r} has no text. Fix: leave it out, or run OCR on its images.")
