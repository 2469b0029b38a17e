"""E-mails: the subject, who wrote to whom, the text, and the attachments that a loader reads."""

import codecs
import email
import email.policy
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from email.message import EmailMessage, MIMEPart
from email.utils import parsedate_to_datetime
from itertools import islice

from ragkit.core.errors import InputError
from ragkit.core.types import Document, MetadataValue
from ragkit.ingest.loaders.blocks import TextBuilder
from ragkit.ingest.loaders.charset import empty_error
from ragkit.ingest.loaders.identity import EncodedLoader, content_hash
from ragkit.ingest.loaders.registry import LoaderRegistry
from ragkit.ingest.loaders.titles import stem_title

_HEADERS = ("From", "To", "Cc", "Date")
_MOST_PARTS = 1000
_MAIL = "message/rfc822"
_EXTENSIONS: Mapping[str, str] = {"html": ".html", "markdown": ".md"}
"""Of the subtypes of text that are read by their notation; others are read as plain text."""
_PREFERRED = ("text/plain", "text/html", "text/")
"""The order in which the alternatives of a text are tried."""
_BLANK = re.compile(rb"(?:\s|\xc2?\xa0|\xef\xbb\xbf)*")
"""White space, with the non-breaking space that editors leave."""
_BROKEN = (ValueError, TypeError, IndexError, AttributeError, OverflowError, KeyError)
"""What the library raises for broken headers."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class EmailLoader(EncodedLoader):
    """A loader of e-mails (RFC 5322 and MIME).

    Attributes:
        encoding: Of text that does not name its own.
        levels: Mails in attached mails that are read; deeper ones are only named.
    """

    version = "email-2"

    levels: int = 5

    def load(self, data: bytes, *, uri: str) -> Document:
        """Read the mail's texts in order; of alternatives, the plain one unless it is blank.

        Attachments follow under a heading with their name; those that no loader reads, or that are
        damaged, are only named.

        Raises:
            InputError: The file is empty, no e-mail, or has too many parts.
        """
        if not data.strip():
            raise empty_error(uri)
        try:
            message = email.message_from_bytes(data, policy=email.policy.default)
            if len(list(islice(_parts(message), _MOST_PARTS + 1))) > _MOST_PARTS:
                raise _too_many_parts(uri)
            parts = list(_shown(message))
        except RecursionError as error:
            raise _too_many_parts(uri) from error
        headers = {name: _header(message, name) for name in (*_HEADERS, "Subject")}
        if not any(headers.values()):
            raise InputError(f"{uri!r} is no e-mail: it has no headers. Fix: export it again.")
        content = TextBuilder()
        content.append("heading", headers["Subject"], level=1)
        lines = (f"{name}: {headers[name]}" for name in _HEADERS if headers[name])
        content.append("paragraph", "\n".join(lines))
        texts = [part for part in parts if _is_text(part, first=part is parts[0])]
        for part in texts:
            kind = _EXTENSIONS.get(part.get_content_subtype(), ".txt")
            self._append(content, self._bytes(part), kind, uri)
        for part in parts:
            name = _name(part)
            if name is None or part in texts:
                continue
            content.append("heading", f"Attachment: {' '.join(name.split())}", level=2)
            self._append(content, self._bytes(part), name, uri)
        return Document(
            uri=uri,
            title=headers["Subject"] or stem_title(uri),
            text=content.text,
            blocks=content.blocks,
            metadata=_metadata(headers),
            content_hash=content_hash(data),
        )

    def _append(self, content: TextBuilder, data: bytes, name: str, uri: str) -> None:
        registry = LoaderRegistry(encoding=self.encoding)
        if not registry.reads(data, name):
            return
        loader = registry.loader(data, name)
        if isinstance(loader, EmailLoader):
            if not self.levels:
                return
            loader = replace(loader, levels=self.levels - 1)
        try:
            document = loader.load(data, uri=f"{uri}/{name}")
        except InputError as error:
            logger.warning("A part of %r was left out: %s", uri, error)
            return
        for block in document.blocks:
            level = min(block.level + 2, 6) if block.level else 0
            content.append(block.kind, block.text, level=level)

    def _bytes(self, part: MIMEPart) -> bytes:
        """Return the content of a part; text is given in UTF-8, with a mark that says so."""
        if part.get_content_type() == _MAIL:
            return _attached_mail(part)
        payload = part.get_payload(decode=True)
        data = payload if isinstance(payload, bytes) else b""
        if part.get_content_maintype() != "text":
            return data
        try:
            text = data.decode(part.get_content_charset(self.encoding), "replace")
        except (LookupError, ValueError):  # of a name with a null byte, or of IDNA
            text = data.decode(self.encoding, "replace")
        # What a page in it declares was true of the bytes that were sent.
        return codecs.BOM_UTF8 + text.removeprefix("\ufeff").encode()


def _parts(message: MIMEPart) -> Iterator[MIMEPart]:
    """Yield the parts that hold no others; an attached mail is one."""
    if message.get_content_maintype() == "multipart" and message.is_multipart():
        for part in message.iter_parts():
            yield from _parts(part)
    else:
        yield message


def _shown(part: MIMEPart) -> Iterator[MIMEPart]:
    """Yield the parts that hold no others, without the texts for which an alternative is read."""
    if part.get_content_maintype() != "multipart" or not part.is_multipart():
        yield part
        return
    children = [list(_shown(child)) for child in part.iter_parts()]
    is_choice = part.get_content_subtype() == "alternative"
    chosen = _preferred(children) if is_choice else None
    for leaves in children:
        for leaf in leaves:
            if chosen is None or leaves is chosen or _name(leaf) is not None:
                yield leaf


def _preferred(alternatives: Sequence[list[MIMEPart]]) -> list[MIMEPart] | None:
    """Return the first alternative of the most preferred type of text that is not blank."""
    for kind in _PREFERRED:
        for leaves in alternatives:
            if any(leaf.get_content_type().startswith(kind) and _has_text(leaf) for leaf in leaves):
                return leaves
    return None


def _has_text(part: MIMEPart) -> bool:
    payload = part.get_payload(decode=True)
    return isinstance(payload, bytes) and not _BLANK.fullmatch(payload) and _is_text(part)


def _is_text(part: MIMEPart, *, first: bool = False) -> bool:
    """Return whether a part is text of the mail itself; the first text may have a name."""
    is_inline = part.get_content_maintype() == "text" and not part.is_attachment()
    return is_inline and (first or _name(part) is None)


def _name(part: MIMEPart) -> str | None:
    """Return the name of an attachment, None for another part."""
    return part.get_filename("mail.eml" if part.get_content_type() == _MAIL else None)


def _attached_mail(part: MIMEPart) -> bytes:
    try:
        return b"".join(bytes(mail) for mail in part.iter_parts())
    except _BROKEN:
        return b""


def _header(message: EmailMessage, name: str) -> str:
    try:
        value = message.get(name)
    except _BROKEN:
        return ""  # the library fails on some broken headers, which are no reason to refuse a mail
    return " ".join(str(value).split()) if value else ""


def _metadata(headers: dict[str, str]) -> dict[str, MetadataValue]:
    values: dict[str, MetadataValue] = {
        name.lower(): headers[name] for name in ("From", "To", "Cc", "Subject") if headers[name]
    }
    try:
        values["date"] = parsedate_to_datetime(headers["Date"]).isoformat()
    except _BROKEN:
        return values
    return values


def _too_many_parts(uri: str) -> InputError:
    return InputError(f"{uri!r} has more than {_MOST_PARTS} parts. Fix: divide it.")
