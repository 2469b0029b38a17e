"""PowerPoint presentations: a heading for each slide, its text and tables, and the notes."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from ragkit.core.types import Document
from ragkit.ingest.loaders.blocks import TextBuilder
from ragkit.ingest.loaders.identity import SelfDescribingLoader, content_hash
from ragkit.ingest.loaders.office_properties import office_metadata, office_title
from ragkit.ingest.loaders.table_rows import append_table
from ragkit.ingest.loaders.titles import title_from
from ragkit.ingest.loaders.zip_package import checked_package, no_text_error

if TYPE_CHECKING:
    from pptx.shapes.base import BaseShape
    from pptx.shapes.graphfrm import GraphicFrame
    from pptx.shapes.group import GroupShape
    from pptx.slide import Slide
    from pptx.text.text import TextFrame

_DEEPEST_GROUP = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class PptxLoader(SelfDescribingLoader):
    """A loader of PowerPoint presentations; the page of a block is its slide."""

    version = "pptx-1"

    def load(self, data: bytes, *, uri: str) -> Document:
        """Read the slides in order, each with its notes.

        Raises:
            InputError: The file is encrypted, damaged or hostile, or has no text.
        """
        import pptx

        content = TextBuilder()
        with checked_package(data, uri=uri, kind="PowerPoint") as package:
            presentation = pptx.Presentation(package)
            for number, slide in enumerate(presentation.slides, start=1):
                _write_slide(content, slide, number)
            properties = presentation.core_properties
            metadata = office_metadata(properties, author=properties.author)
        if not content.blocks:
            raise no_text_error(uri)
        return Document(
            uri=uri,
            title=office_title(properties) or title_from(content.blocks, uri=uri),
            text=content.text,
            blocks=content.blocks,
            metadata={**metadata, "pages": len(presentation.slides)},
            content_hash=content_hash(data),
        )


def _write_slide(content: TextBuilder, slide: "Slide", number: int) -> None:
    title = slide.shapes.title
    if title is not None and title.has_text_frame:
        content.append("heading", " ".join(title.text_frame.text.split()), level=2, page=number)
    for shape in _flat(slide.shapes, depth=0):
        if title is not None and shape.shape_id == title.shape_id:
            continue
        if getattr(shape, "has_table", False):
            table = cast("GraphicFrame", shape).table
            append_table(
                content, ([cell.text for cell in row.cells] for row in table.rows), page=number
            )
        elif shape.has_text_frame:
            frame = cast("TextFrame", getattr(shape, "text_frame"))  # noqa: B009 - shapes differ
            content.append("paragraph", _lines(frame), page=number)
    if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
        notes = _lines(slide.notes_slide.notes_text_frame)
        content.append("paragraph", f"Notes: {notes}" if notes else "", page=number)


def _flat(shapes: "Iterable[BaseShape]", *, depth: int) -> "Iterator[BaseShape]":
    """Yield shapes, and those in groups, from top to bottom and left to right."""
    for shape in sorted(shapes, key=lambda one: (one.top or 0, one.left or 0)):
        if hasattr(shape, "shapes"):
            if depth < _DEEPEST_GROUP:
                yield from _flat(cast("GroupShape", shape).shapes, depth=depth + 1)
        else:
            yield shape


def _lines(frame: "TextFrame") -> str:
    lines = (" ".join(paragraph.text.split()) for paragraph in frame.paragraphs)
    return "\n".join(line for line in lines if line)
