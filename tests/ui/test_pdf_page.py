import io
from pathlib import Path

import pytest
from PIL import Image

from ragkit.core.errors import InputError
from ragkit.ui.pdf_page import locate, page_image
from tests.conftest import CORPUS

TESLA = CORPUS / "history" / "nikola-tesla.pdf"
QUOTE = "In the same year, he patented the Tesla coil"


def _yellow(data: bytes) -> int:
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    pixels = picture.tobytes()
    return sum(
        1
        for red, green, blue in zip(pixels[::3], pixels[1::3], pixels[2::3], strict=True)
        if red > 200 and green > 200 and blue < 190
    )


def test_the_quote_is_marked_on_its_page_and_only_there() -> None:
    assert _yellow(page_image(TESLA, 2, QUOTE)) > 2000
    assert _yellow(page_image(TESLA, 1, QUOTE)) == 0


def test_the_part_around_the_quote_is_a_part_of_the_page() -> None:
    whole, part = (
        Image.open(io.BytesIO(page_image(TESLA, 2, QUOTE, whole=whole))) for whole in (True, False)
    )
    assert part.width == whole.width
    assert part.height < whole.height / 2


def test_a_quote_is_found_whatever_its_lines_and_hyphens() -> None:
    text = "He ap-\r\nplied for\na patent. Later"
    assert locate(text, "applied for a patent") == (3, text.index("t.") + 1)
    assert locate(text, "something else") is None
    assert locate(text, "...") is None


def test_what_cannot_be_shown_is_a_sentence(tmp_path: Path) -> None:
    broken = tmp_path / "broken.pdf"
    broken.write_bytes(b"%PDF-1.4 nothing")
    with pytest.raises(InputError, match=r"'broken.pdf' cannot be shown"):
        page_image(broken, 1, "x")
    with pytest.raises(InputError, match="page 99 is wanted"):
        page_image(TESLA, 99, "x")
