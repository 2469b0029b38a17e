"""What holds for every loader: exact blocks over all of the text, and clear refusals."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fpdf import FPDF
from hypothesis import given
from hypothesis import strategies as st

from ragkit.core.errors import InputError
from ragkit.core.protocols import Loader
from ragkit.core.types import Document
from ragkit.ingest.loaders import (
    EXTENSIONS,
    HtmlLoader,
    MarkdownLoader,
    PdfLoader,
    TextLoader,
    loader_for,
    supported_extensions,
)
from ragkit.ingest.loaders.restructured_text import RestructuredTextLoader

DOCUMENTS = Path(__file__).parents[3] / "../shared/data/documents"
TEXT = [".txt", ".md", ".html"]
FORMATS = [*TEXT, ".pdf"]


def assert_blocks_cover(document: Document) -> None:
    """Blocks are ordered, exact, trimmed and apart; only white space lies outside them."""
    position = 0
    for block in document.blocks:
        assert position <= block.start < block.end <= len(document.text)
        assert not document.text[position : block.start].strip()
        assert block.text == document.text[block.start : block.end]
        assert block.text.strip()
        assert (1 <= block.level <= 6) == (block.kind == "heading")
        position = block.end
    assert not document.text[position:].strip()
    assert document.blocks
    assert document.title
    document.text.encode()  # no lone surrogates


def pdf_of(*lines: str) -> bytes:
    pdf = FPDF()
    pdf.add_page()
    pdf.set_font("Helvetica", size=12)
    for line in lines:
        pdf.multi_cell(0, 6, line, new_x="LMARGIN", new_y="NEXT")
    return bytes(pdf.output())


PDF = pdf_of("Some text on a page.", "More text that follows it.")
MARKDOWN = st.sampled_from(
    ["# ", "## x #", "===", "---", "- ", "1. ", "> ", "```", "~~~", "    ", "\t", "|a|b|", "|-|-|",
     "[a]: /u", "<div>", "</div>", "<!--", "-->", "***", "\\", "*a*", "word", "é\u2028ü", "\n",
     "\n\n", " ", "...", "title: x", "\u00a0", "\x0c", "😀"]
)  # fmt: skip
HTML = st.sampled_from(
    ["<p>", "</p>", "<div>", "</div>", "<ul>", "<ol start=3>", "<li>", "</ul>", "<table>", "<tr>",
     "<td>", "</td>", "<th>", "</table>", "<caption>", "<pre>", "</pre>", "<br>", "<h1>", "<h2>",
     "</h1>", "<b>", "</b>", "<dl>", "<dt>", "<dd>", "<main>", "<article>", "<nav>", "<form>",
     "<script>", "</script>", "<!--", "-->", "&amp;", "&#13;", "&nbsp;", "&#55357;", "text", " ",
     "\n", "<svg>", "<template>", "<body hidden>", "<select>", "<option>", "é", "😀", "<title>",
     "</title>"]
)  # fmt: skip


def outcome(loader: Loader, data: bytes, *, uri: str) -> Document | str:
    """The document, or the message of the refusal."""
    try:
        return loader.load(data, uri=uri)
    except InputError as error:
        return str(error)


def assert_loads_or_refuses(loader: Loader, data: bytes, *, uri: str = "a/b") -> None:
    result = outcome(loader, data, uri=uri)
    if isinstance(result, str):
        assert repr(uri) in result
    else:
        assert_blocks_cover(result)


@given(st.lists(MARKDOWN | st.text(max_size=5), max_size=40))
def test_blocks_cover_any_plain_text(pieces: list[str]) -> None:
    assert_loads_or_refuses(TextLoader(), "".join(pieces).encode("utf-8", "replace"))


@given(st.lists(MARKDOWN | st.just("\n") | st.text(max_size=5), max_size=60))
def test_blocks_cover_any_markdown(pieces: list[str]) -> None:
    assert_loads_or_refuses(MarkdownLoader(), "".join(pieces).encode("utf-8", "replace"))


@given(st.lists(HTML | st.text(max_size=5), max_size=60))
def test_blocks_cover_any_html(pieces: list[str]) -> None:
    assert_loads_or_refuses(HtmlLoader(), "".join(pieces).encode("utf-8", "replace"))


@given(st.lists(st.text("abcXYZ .-\u00e9", max_size=200), min_size=1, max_size=8))
def test_blocks_cover_any_pdf(lines: list[str]) -> None:
    result = outcome(PdfLoader(), pdf_of(*lines), uri="a.pdf")
    if isinstance(result, str):
        assert not any(line.strip() for line in lines)
        return
    assert_blocks_cover(result)
    assert {block.page for block in result.blocks} == {1}


@given(st.lists(st.tuples(st.floats(0, 0.999), st.binary(min_size=1, max_size=6)), max_size=8))
def test_a_damaged_pdf_loads_or_is_refused(damage: list[tuple[float, bytes]]) -> None:
    data = bytearray(PDF)
    for place, junk in damage:
        start = int(place * len(data))
        data[start : start + len(junk)] = junk
    assert_loads_or_refuses(PdfLoader(), bytes(data))


@given(st.binary(max_size=200))
def test_any_bytes_load_or_are_refused(data: bytes) -> None:
    for extension in FORMATS:
        assert_loads_or_refuses(loader_for(extension), data)


@pytest.mark.skipif(not DOCUMENTS.exists(), reason="shared/data/documents is not on this machine")
@pytest.mark.timeout(120)
def test_every_real_document_loads_or_is_refused() -> None:
    refused: set[str] = set()
    for path in sorted(DOCUMENTS.rglob("*")):
        if path.suffix.lower() in supported_extensions:
            result = outcome(loader_for(str(path)), path.read_bytes(), uri=str(path))
            if isinstance(result, str):
                assert repr(str(path)) in result
                refused.add(path.name)
            else:
                assert_blocks_cover(result)
    assert refused == {
        "MEDRPT-2024-PAT-3847_medical_report_scan.md",  # empty
        "MEDRPT-2024-PAT-3847_medical_report_scan.pdf",  # images
        "cmyk-image.pdf",
        "grayscale-image.pdf",
        "imagemagick-ASCII85Decode.pdf",
        "imagemagick-CCITTFaxDecode.pdf",
        "imagemagick-lzw.pdf",
        "libreoffice-writer-password.pdf",  # encrypted
        "unreadablemetadata.pdf",  # damaged
        "test_mskanji.csv",  # in another encoding
    }


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("notes.MD", MarkdownLoader),
        ("/a.b/c/readme.txt", TextLoader),
        ("https://example.org/page.htm?x=1.pdf#top", HtmlLoader),
        ("C:\\reports\\Q3.PDF", PdfLoader),
        (".rst", RestructuredTextLoader),
        ("file:///a/my%2Edoc.xhtml", HtmlLoader),
    ],
)
def test_the_extension_chooses_the_loader(name: str, kind: type) -> None:
    assert isinstance(loader_for(name), kind)


def test_an_unknown_extension_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(InputError, match=r"'a\.xyz'.*\.pdf"):
        loader_for("a.xyz")


def test_the_encoding_reaches_every_kind_of_loader() -> None:
    for extension in EXTENSIONS:
        assert loader_for(extension, encoding="cp1252").identity


def test_loaders_work_in_many_threads() -> None:
    data = {
        ".txt": b"Title\n=====\n\nSome text.",
        ".md": b"# *Title*\n\nSome text.",
        ".html": b"<h1>Title</h1><p>Some text.",
        ".pdf": pdf_of("Some text."),
    }

    def load(extension: str) -> str:
        document = loader_for(extension).load(data[extension], uri=f"a{extension}")
        return document.blocks[-1].text

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(load, [*data] * 10)) == {"Some text."}
