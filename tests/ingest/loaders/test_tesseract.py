"""Scanned pages: read by the real Tesseract program, with their page numbers."""

import io
import shutil
import stat
from contextlib import closing
from pathlib import Path

import fpdf
import pypdfium2  # type: ignore[import-untyped]
import pytest
from PIL import Image, ImageDraw, ImageFont

from ragkit import ConfigError, InputError, Settings
from ragkit.core.settings import IngestSettings
from ragkit.ingest.build import build_reader
from ragkit.ingest.loaders import PdfLoader
from ragkit.ingest.loaders.pdf.tesseract import PageImage, Tesseract, page_image, page_lines
from ragkit.testing.ingestion import IngestBench

needs_tesseract = pytest.mark.skipif(
    shutil.which("tesseract") is None,
    reason="Tesseract is not installed. Fix: apt-get install tesseract-ocr",
)
PUMP = [
    "Maintenance of pumps",
    "",
    "The pump must be inspected every six months by a quali-",
    "fied engineer. Its bearings are made of hardened steel.",
    "",
    "Replace the filter when the pressure falls below four bar.",
]


def scan(lines: list[str], *, turned: int = 0) -> Image.Image:
    """A picture of a page of text, 1240 x 1754 pixels."""
    page = Image.new("L", (1240, 1754), 255)
    draw = ImageDraw.Draw(page)
    y = 120
    for number, line in enumerate(lines):
        size = 52 if number == 0 else 30
        draw.text((110, y), line, font=ImageFont.load_default(size), fill=0)
        y += round(size * 1.4)
    return page.rotate(turned, expand=True)


def pdf_of(*pages: Image.Image | str) -> bytes:
    """A PDF of scanned pages, and of pages with text."""
    pdf = fpdf.FPDF(unit="pt", format=(595, 842))
    pdf.set_font("Helvetica", size=12)
    for page in pages:
        pdf.add_page()
        if isinstance(page, str):
            pdf.multi_cell(0, 14, page)
        else:
            file = io.BytesIO()
            page.save(file, "PNG")
            pdf.image(file, 0, 0, 595, 842)
    return bytes(pdf.output())


@needs_tesseract
def test_scanned_pages_are_read_in_their_place_among_the_others() -> None:
    data = pdf_of("A page with a text layer.", scan(PUMP), "The last page has text.", scan([""]))
    without = PdfLoader().load(data, uri="a.pdf")
    document = PdfLoader(ocr=Tesseract()).load(data, uri="a.pdf")
    assert [block.page for block in without.blocks] == [1, 3]
    assert [(block.kind, block.page) for block in document.blocks] == [
        ("paragraph", 1), ("heading", 2), ("paragraph", 2), ("paragraph", 2), ("paragraph", 3)
    ]  # fmt: skip
    assert document.blocks[2].text == (
        "The pump must be inspected every six months by a qualified engineer. "
        "Its bearings are made of hardened steel."
    )
    for block in document.blocks:
        assert document.text[block.start : block.end] == block.text
    assert without.metadata["pages_without_text"] == 2
    assert (document.metadata["pages_by_ocr"], document.metadata["pages_without_text"]) == (1, 1)


@needs_tesseract
def test_a_page_that_is_turned_is_read() -> None:
    data = pdf_of(scan(PUMP * 2, turned=90))
    document = PdfLoader(ocr=Tesseract()).load(data, uri="a.pdf")
    assert "bearings are made of hardened steel" in document.text


@needs_tesseract
def test_a_blank_page_is_no_text_and_a_scan_names_the_setting() -> None:
    with pytest.raises(InputError, match=r"shows no text .*not even to OCR"):
        PdfLoader(ocr=Tesseract()).load(pdf_of(scan([""])), uri="a.pdf")
    with pytest.raises(InputError, match=r"probably a scan .*Fix: .*ingest\.ocr"):
        PdfLoader().load(pdf_of(scan(PUMP)), uri="a.pdf")


def test_a_very_large_page_is_drawn_smaller() -> None:
    pdf = fpdf.FPDF(unit="pt", format=(14_000, 10_000))
    pdf.add_page()
    with closing(pypdfium2.PdfDocument(bytes(pdf.output()))) as opened:
        image = page_image(opened[0], 1)
    width, height = map(int, image.data.split(maxsplit=3)[1:3])
    assert width * height <= 40_100_000
    assert (height, len(image.data)) == (image.height, len(b"P5 7483 5346 255\n") + width * height)


@needs_tesseract
def test_a_page_has_a_time_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "tesseract"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(InputError, match=r"Page 1 of 'a\.pdf' took more than .*ocr_timeout_s"):
        PdfLoader(ocr=Tesseract(timeout_s=0.2)).load(pdf_of(scan(PUMP)), uri="a.pdf")
    program.write_text("#!/bin/sh\necho 'no memory' >&2\nexit 3\n")
    with pytest.raises(InputError, match="cannot be read by Tesseract: no memory"):
        PdfLoader(ocr=Tesseract()).load(pdf_of(scan(PUMP)), uri="a.pdf")
    settings = Settings(ingest=IngestSettings(ocr="eng"))
    with pytest.raises(ConfigError, match="Tesseract does not run"):
        build_reader(settings)


@needs_tesseract
def test_the_setting_chooses_it_and_an_unknown_language_is_an_error() -> None:
    reader = build_reader(Settings(ingest=IngestSettings(ocr="eng", ocr_timeout_s=30)))
    loader = reader.registry.loader(b"%PDF-1.7", "a.pdf")
    assert loader == PdfLoader(ocr=Tesseract(languages="eng", timeout_s=30))
    assert loader.identity == "pdf-2:tesseract-1:eng"
    with pytest.raises(ConfigError, match=r"no language 'tlh'.*tesseract-ocr-tlh"):
        build_reader(Settings(ingest=IngestSettings(ocr="eng+tlh")))


def test_a_missing_program_is_an_error_with_its_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ConfigError, match="Fix: apt-get install tesseract-ocr"):
        build_reader(Settings(ingest=IngestSettings(ocr="eng")))
    assert build_reader(Settings()).registry.loader(b"%PDF-1.7", "a.pdf") == PdfLoader()


@pytest.mark.parametrize("languages", ["", "eng deu", "--psm", "eng+", "../x"])
def test_what_is_no_language_is_refused(languages: str) -> None:
    with pytest.raises(ValueError, match="ocr"):
        IngestSettings(ocr=languages)


def test_any_table_of_words_is_read() -> None:
    image = PageImage(page=7, scale=1.0, height=100, data=b"")
    names = "level page_num block_num par_num line_num word_num left top width height conf text"
    head = names.replace(" ", "\t")
    row = "5\t1\t1\t1\t1\t1\t0\t10\t30\t0\t-1\t{}"
    assert list(page_lines("", image)) == list(page_lines(head, image)) == []
    assert list(page_lines(f"{head}\n{row.format('  ')}", image)) == []
    (line,) = page_lines(f"{head}\n{row.format(chr(34))}\n{row.format('word')}", image)
    assert (line.text, line.page, line.size) == ('" word', 7, 1.0)


async def test_a_report_counts_the_pages_that_hold_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(pdf_of("A page with text.", scan(PUMP), scan(PUMP)))
    (tmp_path / "b.pdf").write_bytes(pdf_of("A page with text."))
    report = await IngestBench().ingest(tmp_path)
    assert report.unread_pages == {f"{tmp_path.name}/a.pdf": 2}
    assert report.ok
