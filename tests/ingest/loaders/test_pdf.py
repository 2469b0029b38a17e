"""PDF: paragraphs, headings and what is left out, from files made in the test."""

import datetime as dt

import pytest
from fpdf import FPDF
from fpdf.enums import AccessPermission

from ragkit.core.errors import InputError
from ragkit.core.types import Document
from ragkit.ingest.loaders import PdfLoader
from ragkit.ingest.loaders.pdf.blocks import line_with_break
from ragkit.ingest.loaders.pdf.lines import Line, clean_text

PROSE = (
    "Retrieval finds passages that may hold the answer to a question. A reader then looks at each "
    "of them and quotes the sentences that answer it, or says that there are none. "
)


class Paper(FPDF):
    """Pages with a running header and a page number."""

    def header(self) -> None:
        self.set_font("Helvetica", "B", 9)
        self.cell(0, 8, f"Annual report 2024, page {self.page_no()}", new_x="LMARGIN", new_y="NEXT")

    def footer(self) -> None:
        self.set_y(-15)
        self.set_font("Helvetica", size=8)
        self.cell(0, 8, str(self.page_no()), align="C")


def new_pdf() -> FPDF:
    pdf = FPDF()
    pdf.add_page()
    pdf.set_font("Times", size=11)
    return pdf


def write(pdf: FPDF, text: str, *, style: str = "", size: float = 11, space: float = 4) -> None:
    pdf.set_font("Times", style, size)
    pdf.multi_cell(0, size * 0.45, text, new_x="LMARGIN", new_y="NEXT", align="L")
    pdf.ln(space)


def load(pdf: FPDF, uri: str = "my-report.pdf") -> Document:
    return PdfLoader().load(bytes(pdf.output()), uri=uri)


def test_lines_become_paragraphs_and_larger_type_headings() -> None:
    pdf = new_pdf()
    write(pdf, "The title of it all", size=24)
    write(pdf, "1. A section", size=16)
    write(pdf, PROSE * 2)
    write(pdf, PROSE)
    write(pdf, "Bold and alone", style="B")
    write(pdf, PROSE)
    write(pdf, "2. Next section", size=16)
    write(pdf, PROSE)
    document = load(pdf)
    assert [(block.kind, block.level, block.text) for block in document.blocks] == [
        ("heading", 1, "The title of it all"),
        ("heading", 2, "1. A section"),
        ("paragraph", 0, (PROSE * 2).strip()),
        ("paragraph", 0, PROSE.strip()),
        ("heading", 3, "Bold and alone"),
        ("paragraph", 0, PROSE.strip()),
        ("heading", 2, "2. Next section"),
        ("paragraph", 0, PROSE.strip()),
    ]
    assert document.text == "\n\n".join(block.text for block in document.blocks)
    assert document.title == "The title of it all"


def test_paragraphs_without_space_between_are_told_by_indentation() -> None:
    pdf = new_pdf()
    for start in ("First. ", "Second. ", "Third. "):
        pdf.set_x(pdf.l_margin + 8)
        pdf.write(5, start + PROSE * 2)
        pdf.ln(5)
    assert [block.text.split()[0] for block in load(pdf).blocks] == ["First.", "Second.", "Third."]


def test_running_headers_footers_and_page_numbers_are_left_out() -> None:
    prose = [f"All that is known about {letter} and more. " * 6 for letter in "ABCD"]
    pdf = Paper()
    for letter, text in zip("ABCD", prose, strict=True):
        pdf.add_page()
        write(pdf, f"Chapter {letter}", size=18)
        write(pdf, text)
    assert [(block.page, block.text) for block in load(pdf).blocks] == [
        (page, text)
        for page, letter in enumerate("ABCD", start=1)
        for text in (f"Chapter {letter}", prose[page - 1].strip())
    ]


def test_numbered_chapters_on_top_of_pages_are_no_running_headers() -> None:
    pdf = FPDF()
    for page in range(1, 5):
        pdf.add_page()
        write(pdf, f"Chapter {page}", size=20)
        write(pdf, PROSE * page)
    headings = [block.text for block in load(pdf).blocks if block.kind == "heading"]
    assert headings == ["Chapter 1", "Chapter 2", "Chapter 3", "Chapter 4"]


def test_rows_of_numbers_on_top_of_pages_are_no_running_headers() -> None:
    pdf = FPDF()
    for page in range(1, 5):
        pdf.add_page()
        write(pdf, f"Item {page * 7} costs {page * page}.50", space=0)
        write(pdf, PROSE)
    assert load(pdf).text.count("Item") == 4


def test_the_number_of_the_page_is_found_beside_a_changing_title() -> None:
    titles = ["PLANES", "LINES", "KNOTS"]
    prose = [f"All about {title} and more. " * 9 for title in titles]
    pdf = FPDF()
    for page, (title, text) in enumerate(zip(titles, prose, strict=True), start=1):
        pdf.add_page()
        write(pdf, f"{page + 17} {title}" if page % 2 else f"{title} {page + 17}")
        write(pdf, text)
    assert load(pdf).text == "\n\n".join(text.strip() for text in prose)


def test_a_document_is_never_emptied_as_running_text() -> None:
    pdf = FPDF()
    for _ in range(3):
        pdf.add_page()
        write(pdf, "Confidential")
    assert load(pdf).text == "\n\n".join(["Confidential"] * 3)


def test_bullets_make_a_list() -> None:
    pdf = new_pdf()
    write(pdf, "Things to take along:", space=2)
    for item in ("a tent", "a stove, and something to light it with " * 3, "a map"):
        write(pdf, f"- {item}", space=1)
    paragraph, items = load(pdf).blocks
    assert paragraph.kind == "paragraph"
    assert items.kind == "list"
    lines = items.text.split("\n")
    assert [line[:7] for line in lines] == ["- a ten", "- a sto", "- a map"]


def test_rows_of_a_table_stay_lines() -> None:
    pdf = new_pdf()
    for name, price in (("Tent", "120.00"), ("Stove", "45.50"), ("Map of the area", "9.90")):
        pdf.cell(80, 6, name)
        pdf.cell(40, 6, price, new_x="LMARGIN", new_y="NEXT")
    (table,) = load(pdf).blocks
    assert table.kind == "table"
    assert table.text == "Tent 120.00\nStove 45.50\nMap of the area 9.90"


def test_lines_that_end_early_stay_lines() -> None:
    pdf = new_pdf()
    address = "Ann Example\nGreat Western Street 12\nManchester"
    write(pdf, address)
    write(pdf, PROSE)
    assert load(pdf).blocks[0].text == address


def test_columns_are_read_one_after_the_other() -> None:
    pdf = new_pdf()
    with pdf.text_columns(ncols=2, gutter=8, text_align="J") as columns:
        columns.write(PROSE * 20)
    text = " ".join(block.text for block in load(pdf).blocks)
    assert text.replace("\n", " ").split() == (PROSE * 20).split()


@pytest.mark.parametrize(
    ("line", "following", "words", "expected"),
    [
        ("the pas-", "sage is", {}, "the pas"),
        ("a chat-", "optimised model", {"chat": 1, "optimised": 1}, "a chat-"),
        ("a well-", "known one", {"well-known": 2}, "a well-"),
        ("some infor-", "mation", {"infor": 1, "mation": 1, "information": 1}, "some infor"),
        ("the Anglo-", "Saxon", {}, "the Anglo-"),
        ("in 2019-", "2020", {}, "in 2019-"),
        ("a dash -", "like so", {}, "a dash - "),
        ("no mark", "here", {}, "no mark "),
    ],
)
def test_words_divided_at_a_line_end_become_whole(
    line: str, following: str, words: dict[str, int], expected: str
) -> None:
    assert line_with_break(line, following, words, divided=False) == expected


def test_text_is_cleaned_of_marks_that_nobody_wrote() -> None:
    raw = "\x00a\x02b\ufffec\uffff \ufb01n\ud800 \u00a0x\u00ady \uf0b7 \ue123z"
    assert clean_text(raw) == "a bc fin xy • z"


@pytest.mark.parametrize("text", ["1.1 Scope . . . . . . . 7", "Chapter.......... 12"])
def test_lines_of_a_table_of_contents_are_rows(text: str) -> None:
    assert Line(page=1, text=text, left=0, right=400, y=0, size=10).is_row


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("Yearly figures\x00", "Yearly figures"),
        ("", "A large line"),
        ("Untitled", "A large line"),
        ("Microsoft Word - draft.doc", "A large line"),
        ("final version.docx", "A large line"),
        ("report_v2_final", "A large line"),
        ("(anonymous)", "A large line"),
    ],
)
def test_the_title_is_the_metadata_s_if_it_means_anything(title: str, expected: str) -> None:
    pdf = new_pdf()
    pdf.set_title(title)
    write(pdf, "A large line", size=20)
    write(pdf, PROSE)
    assert load(pdf).title == expected


@pytest.mark.parametrize("heading", ["Contents", "1 Introduction", "Abstract", "Page 1 of 9"])
def test_the_name_of_a_part_is_no_title(heading: str) -> None:
    pdf = new_pdf()
    write(pdf, heading, size=20)
    write(pdf, PROSE)
    assert load(pdf).title == "my report"


def test_properties_become_metadata() -> None:
    pdf = new_pdf()
    pdf.set_author("Ann Example")
    pdf.set_subject("unspecified")
    pdf.set_keywords("rain; wind, snow")
    pdf.set_creation_date(dt.datetime(2024, 5, 1, 10, 30, tzinfo=dt.UTC))
    write(pdf, PROSE)
    metadata = dict(load(pdf).metadata)
    assert metadata.pop("date") == "2024-05-01T10:30:00+00:00"
    assert metadata == {"pages": 1, "author": "Ann Example", "keywords": ("rain", "wind", "snow")}


def test_a_broken_property_does_not_hide_the_text() -> None:
    pdf = new_pdf()
    pdf.set_title("Zoë ☃")
    write(pdf, PROSE)
    data = bytes(pdf.output()).replace(b"<feff005a006f", b"<feffd800006f")  # a lone surrogate
    document = PdfLoader().load(data, uri="my-report.pdf")
    assert (document.title, document.text) == ("my report", PROSE.strip())


def test_text_on_turned_pages_is_read_in_lines() -> None:
    pdf = new_pdf()
    with pdf.rotation(90, x=100, y=150):
        pdf.set_xy(20, 120)
        pdf.multi_cell(120, 5, PROSE, align="L")
    assert load(pdf).text == PROSE.strip()


def test_a_password_is_asked_for_with_the_remedy() -> None:
    pdf = new_pdf()
    write(pdf, PROSE)
    pdf.set_encryption(owner_password="o", user_password="u")
    with pytest.raises(InputError, match=r"'my-report\.pdf' is encrypted.*qpdf --decrypt"):
        load(pdf)


def test_a_pdf_that_only_forbids_changes_is_read() -> None:
    pdf = new_pdf()
    write(pdf, PROSE)
    pdf.set_encryption(owner_password="o", permissions=AccessPermission.none())
    assert load(pdf).text == PROSE.strip()


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.98])
def test_a_truncated_file_is_refused(share: float) -> None:
    pdf = new_pdf()
    for _ in range(10):
        write(pdf, PROSE)
    data = bytes(pdf.output())
    with pytest.raises(InputError, match=r"'a\.pdf' is no PDF, or is damaged or cut off"):
        PdfLoader().load(data[: int(len(data) * share)], uri="a.pdf")


@pytest.mark.parametrize("data", [b"%PDF-1.7 nothing", b"plain text", b"<html></html>"])
def test_what_is_no_pdf_is_refused(data: bytes) -> None:
    with pytest.raises(InputError, match=r"'a\.pdf' is no PDF"):
        PdfLoader().load(data, uri="a.pdf")


def test_a_scan_is_refused_with_the_way_to_text() -> None:
    pdf = new_pdf()
    pdf.rect(20, 20, 100, 100, style="F")
    with pytest.raises(InputError, match=r"'my-report\.pdf' has no text layer.*ocrmypdf"):
        load(pdf)


def test_mostly_scanned_documents_are_reported(caplog: pytest.LogCaptureFixture) -> None:
    pdf = new_pdf()
    write(pdf, PROSE)
    pdf.add_page()
    pdf.add_page()
    assert load(pdf).metadata["pages_without_text"] == 2
    assert "2 of 3 pages have no text layer" in caplog.text


def test_pages_without_text_are_counted_only_where_there_are_some() -> None:
    pdf = new_pdf()
    write(pdf, PROSE)
    assert "pages_without_text" not in load(pdf).metadata


def test_trailing_padding_is_no_damage() -> None:
    pdf = new_pdf()
    write(pdf, PROSE)
    data = bytes(pdf.output()) + b"\x00" * 10_000
    assert PdfLoader().load(data, uri="a.pdf").text == PROSE.strip()
