"""The type of a file by its content: magic numbers, the parts of a ZIP file, or a page's start."""

import io
import re
import zipfile
from collections.abc import Mapping

from ragkit.ingest.loaders.zip_package import UNREADABLE

_ZIP = "application/zip"
# By their first bytes. ZIP files are looked into; the others that no loader reads are named, so
# that they are not taken for text.
_MAGIC: Mapping[bytes, str] = {
    b"%PDF-": "application/pdf",
    b"PK\x03\x04": _ZIP,
    b"PK\x05\x06": _ZIP,
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "application/x-ole-storage",
    b"\x1f\x8b": "application/gzip",
    b"BZh": "application/x-bzip2",
    b"\xfd7zXZ\x00": "application/x-xz",
    b"7z\xbc\xaf\x27\x1c": "application/x-7z-compressed",
    b"Rar!\x1a\x07": "application/vnd.rar",
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
    b"\x7fELF": "application/x-elf",
    b"SQLite format 3\x00": "application/vnd.sqlite3",
    b"{\\rtf": "application/rtf",
}
_ZIP_PARTS: Mapping[str, str] = {
    "word/": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "ppt/": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "xl/": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
_EPUB = "application/epub+zip"
OPEN_DOCUMENT = "application/vnd.oasis.opendocument.text"
"""Texts, and by the same loader sheets and slides."""
_NAMED_IN_ZIP: Mapping[bytes, str] = {
    _EPUB.encode(): _EPUB,
    **{
        f"application/vnd.oasis.opendocument.{kind}".encode(): OPEN_DOCUMENT
        for kind in ("text", "spreadsheet", "presentation")
    },
}
_HTML = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html)\b", re.IGNORECASE | re.DOTALL
)
_XML = re.compile(rb"(?:\xef\xbb\xbf)?<\?xml\s")
_MAIL = re.compile(
    rb"(?:(?:From|To|Subject|Date|Received|Return-Path|Message-ID|MIME-Version|Delivered-To"
    rb"|Content-Type|Reply-To|X-[\w-]+):[^\n]*\n(?:[ \t][^\n]*\n)*){3}",
    re.IGNORECASE,
)
_HEAD = 4096
_TEXT = frozenset({"text/plain", None})


def media_type_of_content(data: bytes, *, named: str | None, has_extension: bool) -> str | None:
    """Return the media type that the content shows, None where it shows none.

    Binary content wins over the name. A page or a mail is recognised where the name says plain
    text, a binary format, or nothing; and text in a file without an extension is plain text.
    """
    head = data[:_HEAD]
    for magic, media_type in _MAGIC.items():
        if head.startswith(magic):
            if media_type == _ZIP:
                return _inside_zip(data) or named or media_type
            return media_type
    says_text = named is not None and (named.startswith(("text/", "message/")) or "json" in named)
    if named in _TEXT or not says_text:
        if _HTML.match(head):
            return "text/html"
        if _MAIL.match(head):
            return "message/rfc822"
    if named is None and not has_extension and _is_text(head):
        return "application/xml" if _XML.match(head) else "text/plain"
    return None


def _inside_zip(data: bytes) -> str | None:
    """Return the type of an office document or book, None for another or an incomplete ZIP file."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
            if "mimetype" in names and archive.getinfo("mimetype").file_size < 100:
                return _NAMED_IN_ZIP.get(archive.read("mimetype").strip())
    except UNREADABLE:
        return None
    if "[Content_Types].xml" not in names:
        return None
    return next(
        (kind for part, kind in _ZIP_PARTS.items() if any(name.startswith(part) for name in names)),
        None,
    )


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:
            return False
        text = head[: error.start].decode("utf-8")
    return bool(text.strip()) and not any(
        ord(character) < 32 and character not in "\t\n\r\f\x1b" for character in text
    )
