"""The content of a response: its type, its text in UTF-8, and what proves that it is the same."""

import codecs
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import httpx

from ragkit.core.errors import InputError
from ragkit.ingest.loaders.charset import has_byte_order_mark
from ragkit.ingest.loaders.html.loader import codec_of_label

_ETAG, _MODIFIED = "etag:", "modified:"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebReply:
    """A whole response."""

    url: str
    status: int
    headers: httpx.Headers
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class WebContent:
    """The content of a URL.

    Attributes:
        data: The bytes; text whose encoding the server says is in UTF-8 with its mark.
        media_type: As the server says it, in lower case, without parameters; empty for none.
        stamp: Proves that the content is the same next time; empty where nothing does.
    """

    data: bytes
    media_type: str
    stamp: str


def content_of(reply: WebReply) -> WebContent:
    """Return the content of a response.

    Raises:
        InputError: It is not in the encoding that the server says.
    """
    media_type = reply.headers.get("content-type", "").partition(";")[0].strip().lower()
    data = reply.body
    is_text = media_type.startswith("text/") and media_type != "text/xml"
    label = httpx.Response(200, headers=reply.headers).charset_encoding if is_text else None
    if label and not has_byte_order_mark(data) and (codec := codec_of_label(label)):
        try:
            data = codecs.BOM_UTF8 + data.decode(codec).encode()
        except UnicodeError as error:
            raise InputError(
                f"{reply.url!r} is not {label}, as its server says: {error}. Fix: correct the "
                "header Content-Type there."
            ) from error
    return WebContent(data=data, media_type=media_type, stamp=_stamp(reply.headers))


def conditions(stamp: str) -> Mapping[str, str]:
    """Return the headers that ask for a content only where it is not that of a stamp."""
    if stamp.startswith(_ETAG):
        return {"if-none-match": stamp.removeprefix(_ETAG)}
    if stamp.startswith(_MODIFIED):
        return {"if-modified-since": stamp.removeprefix(_MODIFIED)}
    return {}


def gunzipped(data: bytes, *, url: str, max_bytes: int) -> bytes:
    """Return what a gzip stream holds.

    Raises:
        InputError: It is damaged, or holds more.
    """
    unpacker = zlib.decompressobj(wbits=31)
    try:
        found = unpacker.decompress(data, max_bytes + 1)
    except zlib.error as error:
        raise InputError(f"{url!r} is no gzip stream: {error}. Fix: check it there.") from error
    if len(found) > max_bytes:
        raise too_large(url, max_bytes)
    if not unpacker.eof:
        raise InputError(f"{url!r} is a gzip stream that is cut off. Fix: check it there.")
    return found


def too_large(url: str, max_bytes: int) -> InputError:
    """Return the error for a content that has more bytes than allowed."""
    return InputError(
        f"{url!r} has more than the {max_bytes / 2**20:.0f} MiB allowed. Fix: leave it out, or "
        "raise ingest.max_file_mb."
    )


def _stamp(headers: httpx.Headers) -> str:
    etag, modified = headers.get("etag", ""), headers.get("last-modified", "")
    if etag:
        return f"{_ETAG}{etag}"
    try:
        age = parsedate_to_datetime(headers.get("date", "")) - parsedate_to_datetime(modified)
    except (TypeError, ValueError):
        return ""
    # Within a second of a change, another could have the same time (RFC 9110, 8.8.2.2).
    return f"{_MODIFIED}{modified}" if age.total_seconds() >= 1 else ""
