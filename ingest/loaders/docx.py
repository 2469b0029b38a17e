"""Word documents: headings, paragraphs, lists and tables in reading order."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from ragkit.core.types import Document
from ragkit.ingest.loaders.blocks import DEEPEST_HEADING, TextBuilder
from ragkit.ingest.loaders.identity import SelfDescribingLoader, content_hash
from ragkit.ingest.loaders.office_properties import office_metadata, office_title
from ragkit.ingest.loaders.table_rows import append_table
from ragkit.ingest.loaders.titles import title_from
from ragkit.ingest.loaders.word_body import (
    NUMBERING,
    TABLE,
    body_blocks,
    paragraph_text,
    table_cells,
)
from ragkit.ingest.loaders.zip_package import checked_package, no_text_error

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from docx.document import Document as WordDocument
    from docx.oxml.text.paragraph import CT_P

_HEADING = re.compile(r"(?:heading|titre|überschrift|título) ?([1-9])", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class DocxLoader(SelfDescribingLoader):
    """A loader of Word documents."""

    version = "docx-2"

    def load(self, data: bytes, *, uri: str) -> Document:
        """Read the body as it is shown, with the text of its controls, fields and text boxes.

        Inserted text is read and deleted text is not. Headers, footers, notes and comments are
        left out.

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
    content = TextBuilder()
    items: list[str] = []
    for block in body_blocks(cast("Element", word.element)):
        if block.tag == TABLE:
            _end_list(content, items)
            append_table(content, table_cells(block))
            continue
        text = paragraph_text(block).strip()
        if not text:
            continue
        style = _style(word, block)
        level = _level(style)
        if not level and _is_item(block, style):
            items.append(f"- {text}")
            continue
        _end_list(content, items)
        content.append("heading" if level else "paragraph", text, level=level)
    _end_list(content, items)
    return content


def _end_list(content: TextBuilder, items: list[str]) -> None:
    content.append("list", "\n".join(items))
    items.clear()


def _style(word: "WordDocument", paragraph: "Element") -> str:
    """Return the name of a paragraph's style."""
    from docx.text.paragraph import Paragraph

    style = Paragraph(cast("CT_P", paragraph), word).style
    return (style.name or "") if style else ""


def _level(style: str) -> int:
    """Return the level of a heading, 0 for another paragraph."""
    if style.lower() == "title":
        return 1
    found = _HEADING.fullmatch(style.strip())
    return min(int(found[1]), DEEPEST_HEADING) if found else 0


def _is_item(paragraph: "Element", style: str) -> bool:
    return paragraph.find(NUMBERING) is not None or style.lower().startswith("list")
