"""Word documents: headings, paragraphs, lists and tables in reading order."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from ragkit.core.types import Document
from ragkit.ingest.loaders.blocks import DEEPEST_HEADING, TextBuilder
from ragkit.ingest.loaders.identity import SelfDescribingLoader, content_hash
from ragkit.ingest.loaders.office_properties import office_metadata, office_title
from ragkit.ingest.loaders.table_rows import append_table
from ragkit.ingest.loaders.titles import title_from
from ragkit.ingest.loaders.zip_package import checked_package, no_text_error

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from docx.document import Document as WordDocument
    from docx.table import Table
    from docx.text.paragraph import Paragraph

_HEADING = re.compile(r"(?:heading|titre|überschrift|título) ?([1-9])", re.IGNORECASE)
_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_NUMBERING = f"{_W}pPr/{_W}numPr"


@dataclass(frozen=True, slots=True, kw_only=True)
class DocxLoader(SelfDescribingLoader):
    """A loader of Word documents."""

    version = "docx-1"

    def load(self, data: bytes, *, uri: str) -> Document:
        """Read the body; headers, footers and comments are left out.

        Raises:
            InputError: The file is encrypted, damaged or hostile, or has no text.
        """
        import docx

        with checked_package(data, uri=uri, kind="Word") as package:
            word = docx.Document(package)
            content = _content(word)
            properties = word.core_properties
            metadata = office_metadata(properties, author=properties.author)
        if not content.blocks:
            raise no_text_error(uri)
        return Document(
            uri=uri,
            title=office_title(properties) or title_from(content.blocks, uri=uri),
            text=content.text,
            blocks=content.blocks,
            metadata=metadata,
            content_hash=content_hash(data),
        )


def _content(word: "WordDocument") -> TextBuilder:
    from docx.table import Table

    content = TextBuilder()
    items: list[str] = []
    for block in word.iter_inner_content():
        if isinstance(block, Table):
            _end_list(content, items)
            append_table(content, _rows(block))
            continue
        text = block.text.strip()
        level = _level(block)
        if not text:
            continue
        if not level and _is_item(block):
            items.append(f"- {text}")
            continue
        _end_list(content, items)
        content.append("heading" if level else "paragraph", text, level=level)
    _end_list(content, items)
    return content


def _end_list(content: TextBuilder, items: list[str]) -> None:
    content.append("list", "\n".join(items))
    items.clear()


def _level(paragraph: "Paragraph") -> int:
    """Return the level of a heading, 0 for another paragraph."""
    name = (paragraph.style.name or "") if paragraph.style else ""
    if name.lower() == "title":
        return 1
    found = _HEADING.fullmatch(name.strip())
    return min(int(found[1]), DEEPEST_HEADING) if found else 0


def _is_item(paragraph: "Paragraph") -> bool:
    name = (paragraph.style.name or "") if paragraph.style else ""
    # `pPr/numPr`: python-docx has no other access to numbering.
    element = cast("Element", paragraph.paragraph_format.element)
    numbered = element.find(_NUMBERING) is not None
    return numbered or name.lower().startswith("list")


def _rows(table: "Table") -> Iterator[list[str]]:
    for row in table.rows:
        # A merged cell is given once for each column that it spans, by the same element.
        cells = {cast("object", getattr(cell, "_tc")): cell for cell in row.cells}  # noqa: B009 - it is not public
        yield [cell.text for cell in cells.values()]
