"""CSV, JSON, notebooks, books, mails, subtitles and source code."""

import io
import json
import zipfile
from contextlib import suppress
from email.message import EmailMessage

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragkit import ConfigError, Document, InputError
from ragkit.ingest.loaders import loader_for
from ragkit.ingest.loaders.table_rows import ROWS


def load(data: bytes | str, extension: str) -> Document:
    raw = data.encode() if isinstance(data, str) else data
    document = loader_for(extension).load(raw, uri=f"docs/my-file{extension}")
    position = 0
    for block in document.blocks:
        assert position <= block.start < block.end
        assert document.text[block.start : block.end] == block.text
        assert not document.text[position : block.start].strip()
        position = block.end
    assert not document.text[position:].strip()
    return document


def blocks(data: bytes | str, extension: str) -> list[tuple[str, str]]:
    return [(block.kind, block.text) for block in load(data, extension).blocks]


# CSV


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_rows_stand_under_their_header(delimiter: str) -> None:
    rows = [["Name", "Note"], ["Ann", f'"a{delimiter}b"'], ["Bob", '"two\nlines"'], ["", ""]]
    source = "\n".join(delimiter.join(row) for row in rows)
    (table,) = blocks(source, ".csv")
    kept = delimiter.strip() or " "
    assert table == ("table", f"Name | Note\nAnn | a{kept}b\nBob | two lines")


def test_every_part_of_a_long_table_has_the_header() -> None:
    source = "\n".join(["id,value", *(f"{n},{n * n}" for n in range(2 * ROWS + 1))])
    tables = blocks(source, ".csv")
    assert len(tables) == 3
    assert all(text.startswith("id | value\n") for _, text in tables)
    assert sum(len(text.split("\n")) - 1 for _, text in tables) == 2 * ROWS + 1


def test_a_table_of_one_column_or_one_row_is_a_table() -> None:
    assert blocks("Name\nAnn\nBob\n", ".csv") == [("table", "Name\nAnn\nBob")]
    assert blocks("a,b,c\n", ".csv") == [("table", "a | b | c")]


def test_a_doubled_quote_is_a_quote_wherever_it_first_stands() -> None:
    source = "id,text\n" + '1,"hello, world"\n' * 2000 + '2,"he said ""hi, you"" to me"\n'
    assert load(source, ".csv").text.endswith('\n2 | he said "hi, you" to me')


def test_a_field_without_end_is_refused() -> None:
    with pytest.raises(InputError, match="is no table: field larger"):
        load('a,b\n"' + "x" * 2_000_000, ".csv")


# JSON


def test_records_are_lines_of_keys_and_values() -> None:
    records = [{"id": 1, "tags": ["a", "b"], "by": {"name": "Ann"}, "none": None}, {"ok": True}]
    expected = [("paragraph", "id: 1\ntags: a, b\nby.name: Ann"), ("paragraph", "ok: true")]
    assert blocks(json.dumps(records), ".json") == expected
    lines = "\n\n".join(json.dumps(record) for record in records)
    assert blocks(lines, ".jsonl") == expected
    assert blocks(json.dumps(records[1]), ".json") == expected[1:]


def test_an_object_s_title_is_the_document_s() -> None:
    assert load('{"title": "The title", "text": "t"}', ".json").title == "The title"
    assert load('{"title": 3, "text": "t"}', ".json").title == "my file"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ('{"a": 1', r"is no JSON: .* in line 1"),
        ('{"a": 1}\n\n{"b": }', r"neither JSON nor JSON lines: .* in line 3"),
        ("[" * 200_000, "nests deeper"),
        ("[" * 200 + "1" + "]" * 200, "nests deeper than 100 levels"),
        ("null", "is empty"),
        ("{}", "is empty"),
    ],
)
def test_what_is_no_record_is_refused_by_line(source: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load(source, ".json")


# Notebooks


@pytest.mark.parametrize("extension", [".json", ".jsonl", ".ipynb"])
def test_a_number_beyond_python_s_limit_is_refused(extension: str) -> None:
    with pytest.raises(InputError, match="too many digits"):
        load('{"a": ' + "1" * 5000 + "}", extension)


@pytest.mark.parametrize(
    ("extension", "source"),
    [
        (".json", '{"title": "a \\ud800 b"}'),
        (".ipynb", '{"cells": [{"cell_type": "markdown", "source": "# a \\ud800 b"}]}'),
    ],
)
def test_a_lone_surrogate_becomes_a_character_that_can_be_stored(
    extension: str, source: str
) -> None:
    document = load(source, extension)
    assert document.title == "a \ufffd b"
    assert document.text.encode().decode() == document.text


def test_cells_are_markdown_code_and_short_outputs() -> None:
    notebook = {
        "nbformat": 4,
        "cells": [
            {"cell_type": "markdown", "source": ["# Title\n", "\n", "Some text."]},
            {
                "cell_type": "code",
                "source": "print(1)",
                "outputs": [
                    {"output_type": "stream", "text": ["1\n"]},
                    {"data": {"text/plain": "x" * 5000, "image/png": "..."}},
                ],
            },
            {"cell_type": "raw", "source": "raw"},
        ],
    }
    document = load(json.dumps(notebook), ".ipynb")
    assert [(block.kind, block.text[:20]) for block in document.blocks] == [
        ("heading", "# Title"),
        ("paragraph", "Some text."),
        ("code", "print(1)"),
        ("paragraph", "Output:\n1"),
        ("paragraph", "Output:\n" + "x" * 12),
        ("paragraph", "raw"),
    ]
    assert document.title == "Title"
    assert len(document.blocks[4].text) == len("Output:\n") + 2000


@pytest.mark.parametrize("source", ["{}", "[]", '{"cells": 3}', '{"cells": [{"source": 1}]}'])
def test_what_is_no_notebook_is_refused(source: str) -> None:
    with pytest.raises(InputError, match=r"is no notebook|is empty"):
        load(source, ".ipynb")


# Books

CONTAINER = '<container><rootfiles><rootfile full-path="OPS/book.opf"/></rootfiles></container>'
BOOK = """<package xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata>
<dc:title>The book</dc:title><dc:creator>Ann</dc:creator><dc:language>en</dc:language></metadata>
<manifest><item id="n" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>
<item id="b" href="text/two.xhtml" media-type="application/xhtml+xml"/>
<item id="a" href="text/one%20.xhtml" media-type="application/xhtml+xml"/>
<item id="i" href="i.png" media-type="image/png"/></manifest>
<spine><itemref idref="n"/><itemref idref="a"/><itemref idref="b"/><itemref idref="i"/>
</spine></package>"""


def book(**changed: str) -> bytes:
    parts = {
        "META-INF/container.xml": CONTAINER,
        "OPS/book.opf": BOOK,
        "OPS/text/one .xhtml": "<!DOCTYPE html><html><body><h1>One</h1><p>First.</p></body></html>",
        "OPS/text/two.xhtml": "<html><body><h1>Two</h1><p>Second é.</p></body></html>",
        **changed,
    }
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as package:
        package.writestr("mimetype", "application/epub+zip")
        for name, text in parts.items():
            package.writestr(name, text)
    return file.getvalue()


def test_a_book_is_read_in_the_order_of_its_spine() -> None:
    document = load(book(), ".epub")
    assert [(block.kind, block.text) for block in document.blocks] == [
        ("heading", "One"),
        ("paragraph", "First."),
        ("heading", "Two"),
        ("paragraph", "Second é."),
    ]
    assert document.title == "The book"
    assert document.metadata == {"author": "Ann", "lang": "en"}


@pytest.mark.parametrize(
    "changed",
    [
        {"OPS/book.opf": "<package>"},
        {
            "OPS/book.opf": '<!DOCTYPE p [<!ENTITY a SYSTEM "file:///etc/passwd">]><package>&a;</package>'
        },
        {"META-INF/container.xml": "<container/>"},
        {"META-INF/container.xml": CONTAINER.replace("OPS/book.opf", "../../etc/passwd")},
        {"OPS/book.opf": BOOK.replace("text/two.xhtml", "../../../etc/passwd")},
    ],
    ids=["broken", "external entity", "no root", "path out", "chapter path out"],
)
def test_a_broken_or_hostile_book_is_refused(changed: dict[str, str]) -> None:
    with pytest.raises(InputError, match="is no EPUB file, or is damaged"):
        load(book(**changed), ".epub")


# Mails


def mail() -> EmailMessage:
    message = EmailMessage()
    message["From"] = "Ann <ann@example.org>"
    message["To"] = "Bob <bob@example.org>"
    message["Subject"] = "The größte storm"
    message["Date"] = "Wed, 01 May 2024 10:30:00 +0200"
    message.set_content("It rains.\n\nVery much.")
    message.add_alternative("<p>It rains in HTML.</p>", subtype="html")
    return message


def test_a_mail_is_its_headers_and_its_plain_text() -> None:
    document = load(bytes(mail()), ".eml")
    assert [(block.kind, block.text) for block in document.blocks] == [
        ("heading", "The größte storm"),
        (
            "paragraph",
            "From: Ann <ann@example.org>\nTo: Bob <bob@example.org>\n"
            "Date: Wed, 01 May 2024 10:30:00 +0200",
        ),
        ("paragraph", "It rains."),
        ("paragraph", "Very much."),
    ]
    assert document.title == "The größte storm"
    assert document.metadata["date"] == "2024-05-01T10:30:00+02:00"
    assert document.metadata["from"] == "Ann <ann@example.org>"


def test_attachments_are_read_where_a_loader_does_and_named_where_none_does() -> None:
    message = mail()
    message.add_attachment(b"a,b\n1,2", maintype="text", subtype="csv", filename="table.csv")
    message.add_attachment(b"\x89PNG\r\n\x1a\n", maintype="image", subtype="png", filename="i.png")
    message.add_attachment(b"%PDF-1.7", maintype="application", subtype="pdf", filename="cut.pdf")
    assert blocks(bytes(message), ".eml")[4:] == [
        ("heading", "Attachment: table.csv"),
        ("table", "a | b\n1 | 2"),
        ("heading", "Attachment: i.png"),
        ("heading", "Attachment: cut.pdf"),
    ]


def test_a_mail_of_html_alone_is_read() -> None:
    message = EmailMessage()
    message["Subject"] = "Page"
    message.set_content("<h1>Head</h1><p>Text é.</p>", subtype="html", charset="iso-8859-1")
    assert blocks(bytes(message), ".eml")[1:] == [("heading", "Head"), ("paragraph", "Text é.")]


@pytest.mark.parametrize("data", [b"no mail at all", b"", b"\x00\x01"])
def test_what_is_no_mail_is_refused(data: bytes) -> None:
    with pytest.raises(InputError, match=r"is no e-mail|is empty"):
        load(data, ".eml")


@pytest.mark.parametrize(
    "date", ["Wed, 01 May 99999999999 10:30:00 +0200", "no date", "1 2 3", "\x00"]
)
def test_a_broken_date_does_not_hide_the_mail(date: str) -> None:
    document = load(f"Subject: s\nFrom: a\nDate: {date}\n\nText.", ".eml")
    assert document.blocks[-1].text == "Text."
    assert "date" not in document.metadata


def test_a_mail_of_very_many_parts_is_refused() -> None:
    boundary = "\n--b\nContent-Type: text/plain; name=a.txt\n\nx"
    source = "Subject: s\nContent-Type: multipart/mixed; boundary=b\n" + boundary * 2000
    with pytest.raises(InputError, match="more than 1000 parts"):
        load(source, ".eml")


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("html; charset=iso-8859-1", b'<meta charset="iso-8859-1"><p>Gr\xfc\xdfe'),
        ("html; charset=utf-8", '<meta charset="iso-8859-1"><p>Grüße'.encode()),
        ("plain; charset=utf-8", "Grüße".encode()),
        ("plain; charset=cp1252", b"Gr\xfc\xdfe"),
    ],
)
def test_a_part_s_own_charset_decides(kind: str, content: bytes, encoding: str) -> None:
    data = f"Subject: s\nContent-Type: text/{kind}\n\n".encode() + content
    document = loader_for(".eml", encoding=encoding).load(data, uri="a.eml")
    assert document.blocks[-1].text == "Grüße"


@pytest.mark.parametrize("charset", ["nonsense", "utf\0-8", "idna", "hex"])
def test_a_charset_that_is_none_is_passed_over(charset: str) -> None:
    head = f'Subject: s\nContent-Type: text/plain; charset="{charset}"\n\n'
    document = loader_for(".eml").load(f"{head}Grüße".encode(), uri="a.eml")
    assert document.blocks[-1].text == "Grüße"


def test_a_part_without_a_charset_has_the_encoding_of_the_settings() -> None:
    loader = loader_for(".eml", encoding="cp1252")
    assert loader.load(b"Subject: s\n\nGr\xfc\xdfe", uri="a").blocks[-1].text == "Grüße"
    assert loader.identity.endswith(":cp1252")


def test_an_attached_mail_is_read_to_a_bounded_depth() -> None:
    message = mail()
    for _ in range(8):
        outer = EmailMessage()
        outer["Subject"] = "Forwarded"
        outer.set_content("See the mail.")
        outer.add_attachment(message)
        message = outer
    texts = [block.text for block in load(bytes(message), ".eml").blocks]
    assert texts.count("Forwarded") == 6
    assert texts[-1] == "Attachment: mail.eml"
    once = [text for _, text in blocks(bytes(_forwarded()), ".eml")]
    assert once[-2:] == ["It rains.", "Very much."]


def _forwarded() -> EmailMessage:
    outer = EmailMessage()
    outer["Subject"] = "Forwarded"
    outer.set_content("See the mail.")
    outer.add_attachment(mail(), filename="storm.eml")
    return outer


# Subtitles

SRT = """1
00:00:01,000 --> 00:00:03,000
<i>Hello</i> there.

2
00:00:03,000 --> 00:00:05,000
Hello there.
General {\\an8}Kenobi.

3
01:02:03,500 --> 01:02:05,000
Much later.
"""


def test_subtitles_are_paragraphs_with_their_time() -> None:
    expected = [
        ("paragraph", "[00:00:01] Hello there. General Kenobi."),
        ("paragraph", "[01:02:03] Much later."),
    ]
    assert blocks(SRT, ".srt") == expected
    vtt = "WEBVTT\n\nNOTE not said\n\n" + SRT.replace(",", ".").replace("00:00:0", "00:0")
    assert blocks(vtt, ".vtt") == expected


def test_subtitles_without_a_time_are_refused() -> None:
    with pytest.raises(InputError, match="has no subtitle with a time"):
        load("Just text.", ".srt")


# Source code


def test_code_is_divided_at_definitions_and_kept_as_it_is() -> None:
    source = "import os\n\n\n@one\ndef f():\n\n    return 1\n\n\nclass A:\n    x = 1\n"
    document = load(source, ".py")
    assert document.text == source
    assert [block.text for block in document.blocks] == [
        "import os",
        "@one\ndef f():\n\n    return 1",
        "class A:\n    x = 1",
    ]
    assert {block.kind for block in document.blocks} == {"code"}
    assert document.title == "my-file.py"


@given(st.lists(st.sampled_from(["def f():", "    x", "}", "\n", "  ", "#", "\t"]), max_size=40))
def test_code_of_any_shape_is_covered_by_its_blocks(lines: list[str]) -> None:
    source = "\n".join(lines)
    if source.strip():
        assert load(source, ".rs").text == source


# All


@pytest.mark.parametrize("extension", [".csv", ".json", ".srt", ".py"])
def test_text_formats_take_an_encoding_and_refuse_an_unknown_one(extension: str) -> None:
    with pytest.raises(ConfigError, match="not a text encoding"):
        loader_for(extension, encoding="klingon")
    assert loader_for(extension, encoding="cp1252").identity.endswith(":cp1252")


EXAMPLES = {
    ".csv": b"a,b\n1,2\n",
    ".json": b'[{"a": [1, {"b": "c"}]}]',
    ".ipynb": b'{"cells": [{"cell_type": "code", "source": ["x"], "outputs": []}]}',
    ".epub": book(),
    ".eml": bytes(mail()),
    ".srt": SRT.encode(),
    ".py": b"def f():\n    return 1\n",
}


@pytest.mark.parametrize("extension", EXAMPLES)
@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 0.999), st.binary(max_size=8)), max_size=8))
def test_a_damaged_file_loads_or_is_refused(
    extension: str, damage: list[tuple[float, bytes]]
) -> None:
    data = bytearray(EXAMPLES[extension])
    for place, junk in damage:
        start = int(place * len(data))
        data[start : start + len(junk)] = junk
    with suppress(InputError):
        load(bytes(data), extension)
