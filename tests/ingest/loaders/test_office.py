"""Word, PowerPoint and Excel: files written by their libraries, and files that mean harm."""

import datetime as dt
import io
import re
import zipfile
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise

import docx
import openpyxl
import pptx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pptx.util import Inches

from ragkit import Document, InputError
from ragkit.ingest.loaders import loader_for
from ragkit.ingest.loaders.table_rows import MAX_COLUMNS, ROWS
from ragkit.ingest.loaders.zip_package import MAX_ENTRIES, MAX_UNPACKED

NONE, SIZE = Inches(0), Inches(1)


def load(data: bytes, extension: str) -> Document:
    document = loader_for(extension).load(data, uri=f"docs/my-file{extension}")
    position = 0
    for block in document.blocks:
        assert position <= block.start < block.end
        assert document.text[block.start : block.end] == block.text
        position = block.end
    return document


def word_file() -> bytes:
    word = docx.Document()
    word.core_properties.author = "Ann Example"
    word.core_properties.title = ""
    word.core_properties.keywords = "rain; wind"
    word.core_properties.created = dt.datetime(2024, 5, 1, 10, 30)  # noqa: DTZ001 - as Word has it
    word.add_heading("Weather", level=0)
    word.add_paragraph("It rains.")
    word.add_heading("Wind", level=1)
    word.add_paragraph("first", style="List Bullet")
    word.add_paragraph("second", style="List Number")
    word.add_paragraph("   ")
    table = word.add_table(rows=3, cols=2)
    for row, cells in enumerate([("Place", "Speed"), ("North\nSea", "12"), ("", "")]):
        for column, text in enumerate(cells):
            table.cell(row, column).text = text
    word.add_paragraph("The end.")
    return saved(word.save)


def saved(save: Callable[[io.BytesIO], object]) -> bytes:
    file = io.BytesIO()
    save(file)
    return file.getvalue()


def test_a_word_document_is_read_in_order() -> None:
    document = load(word_file(), ".docx")
    assert [(block.kind, block.level, block.text) for block in document.blocks] == [
        ("heading", 1, "Weather"),
        ("paragraph", 0, "It rains."),
        ("heading", 1, "Wind"),
        ("list", 0, "- first\n- second"),
        ("table", 0, "Place | Speed\nNorth Sea | 12"),
        ("paragraph", 0, "The end."),
    ]
    assert document.title == "Weather"
    assert document.metadata == {
        "author": "Ann Example",
        "keywords": ("rain", "wind"),
        "date": "2024-05-01T10:30:00+00:00",
    }


def test_a_merged_cell_is_read_once() -> None:
    word = docx.Document()
    table = word.add_table(rows=2, cols=3)
    table.cell(0, 0).merge(table.cell(0, 1)).text = "both"
    table.cell(0, 2).text = "third"
    table.cell(1, 0).text = "below"
    assert load(saved(word.save), ".docx").text == "both | third\nbelow"


def slides_file() -> bytes:
    show = pptx.Presentation()
    first = show.slides.add_slide(show.slide_layouts[5])
    assert first.shapes.title is not None
    first.shapes.title.text = "Weather"
    box = first.shapes.add_textbox(NONE, Inches(3), SIZE, SIZE)
    box.text_frame.text = "lower"
    upper = first.shapes.add_textbox(NONE, Inches(2), SIZE, SIZE)
    upper.text_frame.text = "upper\nline"
    second = show.slides.add_slide(show.slide_layouts[6])
    table = second.shapes.add_table(2, 2, NONE, NONE, SIZE, SIZE).table
    for row, cells in enumerate([("Place", "Speed"), ("Sea", "12")]):
        for column, text in enumerate(cells):
            table.cell(row, column).text = text
    notes = second.notes_slide.notes_text_frame
    assert notes is not None
    notes.text = "Say this."
    return saved(show.save)


def test_slides_are_pages_with_their_notes() -> None:
    document = load(slides_file(), ".pptx")
    assert [(block.kind, block.page, block.text) for block in document.blocks] == [
        ("heading", 1, "Weather"),
        ("paragraph", 1, "upper\nline"),
        ("paragraph", 1, "lower"),
        ("table", 2, "Place | Speed\nSea | 12"),
        ("paragraph", 2, "Notes: Say this."),
    ]
    assert document.title == "Weather"
    assert document.metadata["pages"] == 2


def book_file(rows: int = 2) -> bytes:
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    sheet.title = "Places"
    sheet.append(["Place", "Since", "Share"])
    for number in range(rows):
        sheet.append([f"Town {number}", dt.datetime(2024, 5, 1), 2.0 + number])  # noqa: DTZ001
    book.create_sheet("Empty")
    other = book.create_sheet("Other")
    other.append(["x", None, True])
    return saved(book.save)


def test_sheets_are_pages_with_their_rows() -> None:
    document = load(book_file(), ".xlsx")
    assert [(block.kind, block.page, block.text) for block in document.blocks] == [
        ("heading", 1, "Places"),
        ("table", 1, "Place | Since | Share\nTown 0 | 2024-05-01 | 2\nTown 1 | 2024-05-01 | 3"),
        ("heading", 3, "Other"),
        ("table", 3, "x |  | True"),
    ]
    assert document.title == "my file"


def test_rows_beyond_the_size_that_a_sheet_declares_are_read() -> None:
    written = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(book_file())) as book, zipfile.ZipFile(written, "w") as out:
        for name in book.namelist():
            content = re.sub(rb'<dimension ref="[^"]*"', b'<dimension ref="A1"', book.read(name))
            out.writestr(name, content)
    assert load(written.getvalue(), ".xlsx").text == load(book_file(), ".xlsx").text


def test_columns_beyond_those_that_are_read_are_an_error() -> None:
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    sheet.append([*[None] * (MAX_COLUMNS - 1), "last"])
    assert load(saved(book.save), ".xlsx").text.endswith("| last")
    sheet.append([*[None] * MAX_COLUMNS, "lost"])
    message = f"has more than {MAX_COLUMNS} columns in sheet 'Sheet'. Fix: divide it."
    with pytest.raises(InputError, match=message):
        load(saved(book.save), ".xlsx")


def test_every_part_of_a_long_sheet_has_the_header() -> None:
    document = load(book_file(rows=2 * ROWS + 1), ".xlsx")
    tables = [block.text for block in document.blocks if block.kind == "table" and block.page == 1]
    assert [len(text.split("\n")) for text in tables] == [ROWS + 1, ROWS + 1, 2]
    assert all(text.startswith("Place | Since | Share\n") for text in tables)


@pytest.mark.parametrize("extension", [".docx", ".pptx", ".xlsx"])
def test_office_files_without_text_are_refused(extension: str) -> None:
    empty = {
        ".docx": lambda: saved(docx.Document().save),
        ".pptx": lambda: saved(pptx.Presentation().save),
        ".xlsx": lambda: saved(openpyxl.Workbook().save),
    }
    with pytest.raises(InputError, match="has no text"):
        load(empty[extension](), extension)


# Hostile and damaged files

DAMAGE = st.lists(
    st.tuples(st.floats(0, 0.999), st.binary(min_size=1, max_size=8)), min_size=1, max_size=6
)
OFFICE = {".docx": word_file, ".pptx": slides_file, ".xlsx": book_file}


@pytest.mark.parametrize("extension", OFFICE)
def test_what_is_no_office_file_is_refused(extension: str) -> None:
    whole = OFFICE[extension]()
    for data in (b"PK\x03\x04 nothing", b"plain text", whole[: len(whole) // 2], b""):
        with pytest.raises(InputError, match=r"is no .* file, or is damaged"):
            load(data, extension)


@pytest.mark.parametrize("extension", OFFICE)
def test_an_old_or_encrypted_office_file_is_named_as_such(extension: str) -> None:
    with pytest.raises(InputError, match="is an old or encrypted office file"):
        load(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100), extension)


def replaced(data: bytes, ending: str, change: Callable[[bytes], bytes]) -> bytes:
    """Return a package in which the parts with such names are changed."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(file, "w") as new:
        for entry in old.infolist():
            content = old.read(entry)
            changed = change(content) if entry.filename.endswith(ending) else content
            new.writestr(entry.filename, changed)
    return file.getvalue()


NAMES = "abcdefghi"
LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in pairwise(NAMES))
    + "]>"
)
XXE = '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'


@pytest.mark.parametrize("prolog", [LAUGHS, XXE], ids=["billion laughs", "external entity"])
@pytest.mark.parametrize("codec", ["utf-8", "utf-16"])
@pytest.mark.parametrize("extension", OFFICE)
def test_document_types_are_refused(extension: str, codec: str, prolog: str) -> None:
    def declared(content: bytes) -> bytes:
        body = content.partition(b"?>")[2].decode()
        return (prolog + body).encode(codec)

    with pytest.raises(InputError, match="declares a document type"):
        load(replaced(OFFICE[extension](), ".xml", declared), extension)


@pytest.mark.parametrize("extension", OFFICE)
def test_a_bomb_is_refused_before_it_is_unpacked(extension: str) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as package:
        for number in range(MAX_UNPACKED // 2**26 + 1):
            package.writestr(f"{number}.xml", bytes(2**26))
    with pytest.raises(InputError, match=f"{MAX_UNPACKED >> 20} are allowed"):
        load(file.getvalue(), extension)


def test_too_many_parts_are_refused() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as package:
        for number in range(MAX_ENTRIES + 1):
            package.writestr(f"{number}", b"")
    with pytest.raises(InputError, match=f"has {MAX_ENTRIES + 1} parts"):
        load(file.getvalue(), ".docx")


@pytest.mark.parametrize("extension", OFFICE)
@settings(max_examples=60, deadline=None)
@given(DAMAGE)
def test_a_damaged_office_file_loads_or_is_refused(
    extension: str, damage: list[tuple[float, bytes]]
) -> None:
    data = bytearray(OFFICE[extension]())
    for place, junk in damage:
        start = int(place * len(data))
        data[start : start + len(junk)] = junk
    with suppress(InputError):
        load(bytes(data), extension)
