"""EPUB books: the chapters in the order of the spine, each as a page of HTML."""

import posixpath
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

from ragkit.core.errors import InputError
from ragkit.core.types import Document, MetadataValue
from ragkit.ingest.loaders.blocks import TextBuilder
from ragkit.ingest.loaders.html.loader import write_page
from ragkit.ingest.loaders.identity import SelfDescribingLoader, content_hash
from ragkit.ingest.loaders.titles import title_from
from ragkit.ingest.loaders.xml_names import local_name
from ragkit.ingest.loaders.zip_package import damaged_package, no_text_error, open_package

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_CONTAINER = "META-INF/container.xml"
_RIGHTS = "META-INF/rights.xml"
_PAGES = frozenset({"application/xhtml+xml", "text/html"})
_METADATA: Mapping[str, str] = {"creator": "author", "date": "date", "language": "lang"}


@dataclass(frozen=True, slots=True, kw_only=True)
class EpubLoader(SelfDescribingLoader):
    """A loader of EPUB books (2 and 3)."""

    version = "epub-1"

    def load(self, data: bytes, *, uri: str) -> Document:
        """Read the chapters; navigation is left out.

        Raises:
            InputError: The file is encrypted, damaged or hostile, or has no text.
        """
        content = TextBuilder()
        with open_package(data, uri=uri, kind="EPUB", doctypes=True) as package:
            try:
                folder, book = _book(package)
                for name in _chapters(book, folder):
                    write_page(content, package.read(name))
            except InputError:
                raise
            except Exception as error:
                if _RIGHTS in package.namelist():
                    raise InputError(f"{uri!r} is protected. Fix: use another copy.") from error
                raise damaged_package(uri, "EPUB", error) from error
        if not content.blocks:
            raise no_text_error(uri)
        title, metadata = _metadata(book)
        return Document(
            uri=uri,
            title=title or title_from(content.blocks, uri=uri),
            text=content.text,
            blocks=content.blocks,
            metadata=metadata,
            content_hash=content_hash(data),
        )


def _book(package: zipfile.ZipFile) -> "tuple[str, Element]":
    """Return the folder of the package document, and it."""
    from defusedxml.ElementTree import fromstring

    container = fromstring(package.read(_CONTAINER))
    root = next(item for item in container.iter() if local_name(item.tag) == "rootfile")
    path = root.attrib["full-path"]
    return posixpath.dirname(path), fromstring(package.read(path))


def _chapters(book: "Element", folder: str) -> Iterator[str]:
    """Yield the names of the pages in reading order."""
    items = {item.attrib.get("id"): item for item in book.iter() if local_name(item.tag) == "item"}
    for reference in (item for item in book.iter() if local_name(item.tag) == "itemref"):
        item = items.get(reference.attrib.get("idref"))
        if item is None or item.attrib.get("media-type") not in _PAGES:
            continue
        if "nav" not in item.attrib.get("properties", "").split():
            name = unquote(item.attrib["href"].partition("#")[0])
            yield posixpath.normpath(posixpath.join(folder, name))


def _metadata(book: "Element") -> tuple[str, dict[str, MetadataValue]]:
    title = ""
    values: dict[str, MetadataValue] = {}
    for item in book.iter():
        text = " ".join((item.text or "").split())
        if local_name(item.tag) == "title" and not title:
            title = text
        key = _METADATA.get(local_name(item.tag))
        if key and text:
            values.setdefault(key, text)
    return title, values
