"""A page of a PDF as a picture, with a quote marked on it."""

import importlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from ragkit.core.errors import InputError
from ragkit.ingest.loaders.pdf.loader import PDFIUM_LOCK

_SCALE = 1.6
_MARK = (255, 214, 10, 90)
_AROUND = 140
"""Points of the page shown above and below a quote."""
_ENOUGH = 60
"""Letters of a quote's beginning that are looked for where the whole quote is not on the page."""


def page_image(path: Path, page: int, quote: str, *, whole: bool = True) -> bytes:
    """Return a page as PNG with the quote marked where its words are found.

    Args:
        path: The file.
        page: Counts from 1.
        quote: Text of the page; line breaks and hyphens may differ.
        whole: Show the whole page instead of the part around the quote.

    Raises:
        InputError: The file cannot be read, or has no such page.
    """
    # Any: pypdfium2 and its generated bindings have no types.
    pdfium: Any = importlib.import_module("pypdfium2")
    with PDFIUM_LOCK:
        try:
            document = pdfium.PdfDocument(path)
        except (pdfium.PdfiumError, OSError) as error:
            raise InputError(f"{path.name!r} cannot be shown: {error}.") from error
        try:
            if not 1 <= page <= len(document):
                raise InputError(f"{path.name!r} has {len(document)} pages; page {page} is wanted.")
            opened = document[page - 1]
            picture = opened.render(scale=_SCALE).to_pil().convert("RGBA")
            height: float = opened.get_height()
            boxes = [
                (left, height - top, right, height - bottom)
                for left, bottom, right, top in _boxes(opened.get_textpage(), quote)
            ]
        finally:
            document.close()
    return _marked(picture, boxes, whole=whole)


def locate(text: str, quote: str) -> tuple[int, int] | None:
    """Return first and last offset of a quote in a page's text; only letters and digits count.

    Where the whole quote is not there, its beginning is looked for.
    """
    places = [place for place, character in enumerate(text) if character.isalnum()]
    letters = "".join(text[place] for place in places).casefold()
    wanted = "".join(character for character in quote if character.isalnum()).casefold()
    if len(letters) != len(places) or not wanted:
        return None  # folding changed the length: offsets would be wrong
    for piece in (wanted, wanted[:_ENOUGH]):
        at = letters.find(piece)
        if at >= 0:
            return places[at], places[at + len(piece) - 1] + 1
    return None


# Any: pypdfium2 has no types.
def _boxes(textpage: Any, quote: str) -> Iterator[tuple[float, float, float, float]]:
    """Yield left, bottom, right and top of each line of the quote, in points."""
    found = locate(textpage.get_text_range(), quote)
    if found is None:
        return
    for number in range(textpage.count_rects(found[0], found[1] - found[0])):
        yield textpage.get_rect(number)


def _marked(
    picture: Image.Image, boxes: list[tuple[float, float, float, float]], *, whole: bool
) -> bytes:
    marks = Image.new("RGBA", picture.size)
    draw = ImageDraw.Draw(marks)
    for left, top, right, bottom in boxes:
        draw.rectangle((left * _SCALE, top * _SCALE, right * _SCALE, bottom * _SCALE), fill=_MARK)
    shown = Image.alpha_composite(picture, marks).convert("RGB")
    if boxes and not whole:
        first = max(0, round((min(box[1] for box in boxes) - _AROUND) * _SCALE))
        last = min(shown.height, round((max(box[3] for box in boxes) + _AROUND) * _SCALE))
        shown = shown.crop((0, first, shown.width, last))
    written = io.BytesIO()
    shown.save(written, format="PNG")
    return written.getvalue()
