"""XML of any kind: documents as headings and paragraphs, data as lines of `name: value`."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ragkit.core.errors import InputError
from ragkit.core.types import Document
from ragkit.ingest.loaders.blocks import DEEPEST_HEADING, TextBuilder
from ragkit.ingest.loaders.charset import empty_error
from ragkit.ingest.loaders.identity import SelfDescribingLoader, content_hash
from ragkit.ingest.loaders.titles import title_from
from ragkit.ingest.loaders.xml_names import local_name

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_DEEPEST = 100
_HEADINGS = frozenset({"title", "head", "heading"})
_PARAGRAPHS = frozenset({"p", "para", "simpara"})
_PROSE = _PARAGRAPHS | {"li", "listitem", "item", "title", "head", "heading"}
"""Elements whose text needs no name before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class XmlLoader(SelfDescribingLoader):
    """A loader of XML."""

    version = "xml-1"

    def load(self, data: bytes, *, uri: str) -> Document:
        """Read the elements in order.

        An element with text of its own is a paragraph, a title a heading at the depth of its
        section, and elements that only hold a value are lines of the element around them.
        Attributes are such lines too, but for those of paragraphs and of sections with a title.

        Raises:
            InputError: It is no XML, declares entities, nests deeper than 100 levels, or is empty.
        """
        from xml.etree.ElementTree import ParseError

        from defusedxml.common import DefusedXmlException
        from defusedxml.ElementTree import fromstring

        try:
            root = fromstring(data)
        except DefusedXmlException as error:
            raise InputError(
                f"{uri!r} declares entities ({error}), which are not read. Fix: replace them."
            ) from error
        except (ParseError, ValueError, LookupError) as error:
            raise InputError(f"{uri!r} is no XML: {error}. Fix: correct it there.") from error
        content = TextBuilder()
        _write(content, root, depth=1, uri=uri)
        if not content.blocks:
            raise empty_error(uri)
        return Document(
            uri=uri,
            title=title_from(content.blocks, uri=uri),
            text=content.text,
            blocks=content.blocks,
            content_hash=content_hash(data),
        )


def _write(content: TextBuilder, item: "Element", *, depth: int, uri: str) -> None:
    if depth > _DEEPEST:
        raise InputError(f"{uri!r} nests deeper than {_DEEPEST} levels. Fix: flatten it.")
    if _is_prose(item):
        content.append("paragraph", _text(item))
        return
    is_data = all(
        len(child) == 0 and local_name(child.tag) not in _PROSE - _HEADINGS for child in item
    )
    is_text = any(local_name(child.tag) in _PARAGRAPHS | _HEADINGS for child in item)
    values = [] if is_text and not is_data else list(_attributes(item))
    for child in item:
        # Where all children only hold values, a title among them is one too.
        if local_name(child.tag) in _HEADINGS and not is_data:
            _end(content, values)
            level = min(depth, DEEPEST_HEADING)
            content.append("heading", _text(child), level=level)
        elif len(child) == 0:
            values += _lines(child, is_prose=not is_data and local_name(child.tag) in _PROSE)
        else:
            _end(content, values)
            _write(content, child, depth=depth + 1, uri=uri)
    _end(content, values)


def _end(content: TextBuilder, values: list[str]) -> None:
    content.append("paragraph", "\n".join(values))
    values.clear()


def _lines(item: "Element", *, is_prose: bool) -> Iterator[str]:
    """Yield the value of an element, and those of its attributes."""
    if text := _text(item):
        yield text if is_prose else f"{local_name(item.tag)}: {text}"
    if not is_prose:
        yield from _attributes(item)


def _attributes(item: "Element") -> Iterator[str]:
    for key, value in item.attrib.items():
        if value.strip():
            yield f"{local_name(item.tag)}.{local_name(key)}: {value.strip()}"


def _is_prose(item: "Element") -> bool:
    """Return whether an element has text beside its children, or is a paragraph by its name."""
    texts = [item.text, *(child.tail for child in item)]
    has_text = any(text and text.strip() for text in texts)
    return has_text or local_name(item.tag) in _PARAGRAPHS


def _text(item: "Element") -> str:
    return " ".join("".join(item.itertext()).split())
