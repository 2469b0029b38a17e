"""reStructuredText, AsciiDoc, XML and OpenDocument."""

import io
import zipfile
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit import Document, InputError
from ragkit.ingest.chunkers.units import UnitDivider
from ragkit.ingest.loaders import loader_for
from ragkit.ingest.loaders.registry import LoaderRegistry
from ragkit.ingest.loaders.table_rows import MAX_COLUMNS
from ragkit.testing.embedder import WordTokenizer

RST = """\
==========
Wolf Guide
==========

Wolves hunt in *packs*.

Food
----
They eat::

    meat
    more meat

Then they sleep.

.. code-block:: python

   def wolf():

       return 1

* one
* two

Numbers
~~~~~~~
===== =====
Place Count
===== =====
North 12
===== =====

+---+---+
| a | b |
+---+---+

Sleep
-----
Long.
"""
ADOC = """\
= Wolf Guide
Ann Example

Wolves hunt.

== Food
They eat meat.

[source,python]
----
def wolf():

    return 1
----

* one
** two

|===
|Place |Count

|North |12
|===

=== Sleep ===
Long.
"""


def load(data: bytes | str, extension: str) -> Document:
    raw = data.encode() if isinstance(data, str) else data
    document = loader_for(extension).load(raw, uri=f"docs/my-file{extension}")
    position = 0
    for block in document.blocks:
        assert position <= block.start < block.end
        assert document.text[block.start : block.end] == block.text
        position = block.end
    return document


def test_restructured_text_is_read_as_it_is() -> None:
    document = load(RST, ".rst")
    assert document.text == RST.rstrip("\n") or document.text == RST
    assert document.title == "Wolf Guide"
    assert [(block.kind, block.level, block.text.split("\n")[0]) for block in document.blocks] == [
        ("heading", 1, "=========="),
        ("paragraph", 0, "Wolves hunt in *packs*."),
        ("heading", 2, "Food"),
        ("paragraph", 0, "They eat::"),
        ("code", 0, "    meat"),
        ("paragraph", 0, "Then they sleep."),
        ("code", 0, ".. code-block:: python"),
        ("list", 0, "* one"),
        ("heading", 3, "Numbers"),
        ("table", 0, "===== ====="),
        ("table", 0, "+---+---+"),
        ("heading", 2, "Sleep"),
        ("paragraph", 0, "Long."),
    ]
    assert "return 1" in document.blocks[6].text
    assert document.blocks[9].text.endswith("===== =====")


def test_asciidoc_is_read_as_it_is() -> None:
    document = load(ADOC, ".adoc")
    assert document.title == "Wolf Guide"
    assert [(block.kind, block.level, block.text.split("\n")[0]) for block in document.blocks] == [
        ("heading", 1, "= Wolf Guide"),
        ("paragraph", 0, "Ann Example"),
        ("paragraph", 0, "Wolves hunt."),
        ("heading", 2, "== Food"),
        ("paragraph", 0, "They eat meat."),
        ("paragraph", 0, "[source,python]"),
        ("code", 0, "----"),
        ("list", 0, "* one"),
        ("table", 0, "|==="),
        ("heading", 3, "=== Sleep ==="),
        ("paragraph", 0, "Long."),
    ]
    assert document.blocks[6].text.endswith("return 1\n----")


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "text",
    ["---- x\n" * 100_000, "text\n= Title\n" * 100_000, "-" * 1_000_000 + "|"],
    ids=["blocks that are never closed", "titles in one paragraph", "a rule that ends in a bar"],
)
def test_hostile_asciidoc_takes_no_time(text: str) -> None:
    assert load(text, ".adoc").blocks


@pytest.mark.parametrize(("text", "extension"), [(RST, ".rst"), (ADOC, ".adoc")])
def test_headings_above_a_passage_have_no_marks(text: str, extension: str) -> None:
    units = list(UnitDivider(tokenizer=WordTokenizer(), size=50).units(load(text, extension)))
    path = ("Wolf Guide", "Food", "Numbers") if extension == ".rst" else ("Wolf Guide", "Food")
    assert path in {unit.path for unit in units}
    assert units[-1].path[-1] == "Sleep"


_LINES = st.sampled_from(
    [
        "Title",
        "=====",
        "-----",
        "~~~",
        "",
        "  indented",
        "* a",
        "text::",
        ".. code::",
        "|===",
        "+-+",
        "----",
        "....",
        "== H",
        "===== =====",
        "1. x",
        ".. note:: x",
        "`````",
        "日本語",
        "======",
    ]
)


@given(st.lists(_LINES | st.text(max_size=8), max_size=14), st.sampled_from([".rst", ".adoc"]))
def test_blocks_cover_any_source(lines: list[str], extension: str) -> None:
    text = "\n".join(lines)
    try:
        document = load(text.encode(errors="ignore"), extension)
    except InputError:
        return
    covered = "".join(block.text for block in document.blocks)
    assert "".join(covered.split()) == "".join(document.text.split())


# XML


def test_xml_documents_become_headings_and_paragraphs() -> None:
    document = load(
        """<?xml version="1.0"?><!-- c --><article xmlns="urn:x"><info><author>Ann</author></info>
        <title>Wolves</title><para>They <b>hunt</b> often.</para>
        <section><title>Food</title><para>Meat.</para><list><item>one</item></list></section>
        </article>""",
        ".xml",
    )
    assert document.title == "Wolves"
    assert [(block.kind, block.level, block.text) for block in document.blocks] == [
        ("paragraph", 0, "author: Ann"),
        ("heading", 1, "Wolves"),
        ("paragraph", 0, "They hunt often."),
        ("heading", 2, "Food"),
        ("paragraph", 0, "Meat."),
        ("paragraph", 0, "one"),
    ]


def test_xml_data_becomes_a_paragraph_for_each_record() -> None:
    document = load(
        "<shop><item><title>Lamp</title><price unit='EUR'>5</price></item>"
        "<item><title>Chair</title><price unit='EUR'>9</price></item></shop>",
        ".xml",
    )
    assert [block.text for block in document.blocks] == [
        "title: Lamp\nprice: 5\nprice.unit: EUR",
        "title: Chair\nprice: 9\nprice.unit: EUR",
    ]


def test_attributes_of_xml_data_are_kept_and_those_of_sections_are_not() -> None:
    document = load(
        "<shop name='North'><item sku='A1'><size unit='cm'><w>5</w></size></item>"
        "<part sku='A2'/><note id='n'><p class='c'>Closed.</p></note></shop>",
        ".xml",
    )
    assert [block.text for block in document.blocks] == [
        "shop.name: North",
        "item.sku: A1",
        "size.unit: cm\nw: 5",
        "part.sku: A2",
        "Closed.",
    ]
    assert load("<a b='c'/>", ".xml").text == "a.b: c"


def test_xml_names_its_own_encoding() -> None:
    data = "<?xml version='1.0' encoding='iso-8859-1'?><a><p>Größe</p></a>".encode("latin-1")
    assert load(data, ".xml").text == "Größe"
    assert loader_for(".xml", encoding="cp1252").identity == loader_for(".xml").identity


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("<a>", "is no XML: no element found"),
        ("words", "is no XML: syntax error"),
        ("<a><b/></a>", "is empty"),
        ("<?xml version='1.0' encoding='klingon'?><a/>", "is no XML"),
        ("<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>", "declares entities"),
        ("<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><a>&x;</a>", "declares entities"),
        ("<a>" * 150 + "x" + "</a>" * 150, "nests deeper than 100"),
    ],
)
def test_xml_that_cannot_be_read_is_refused(data: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load(data, ".xml")


# OpenDocument

_NAMES = " ".join(
    f'xmlns:{prefix}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"'
    for prefix, name in {
        "office": "office",
        "text": "text",
        "table": "table",
        "draw": "drawing",
        "presentation": "presentation",
        "meta": "meta",
    }.items()
)
_META = (
    f'<office:document-meta {_NAMES} xmlns:dc="http://purl.org/dc/elements/1.1/"><office:meta>'
    "<dc:title>Wolf Guide</dc:title><meta:initial-creator>Ann</meta:initial-creator>"
    "<meta:keyword>wolf</meta:keyword><meta:creation-date>2024-05-01T10:00:00"
    "</meta:creation-date></office:meta></office:document-meta>"
)


def package(kind: str, body: str, *, meta: str = "", manifest: str = "") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        made.writestr("mimetype", f"application/vnd.oasis.opendocument.{kind}")
        made.writestr(
            "content.xml",
            f"<office:document-content {_NAMES}><office:body><office:{kind}>{body}"
            f"</office:{kind}></office:body></office:document-content>",
        )
        if meta:
            made.writestr("meta.xml", meta)
        if manifest:
            made.writestr("META-INF/manifest.xml", manifest)
    return file.getvalue()


def test_a_text_is_read_in_order() -> None:
    body = (
        "<text:tracked-changes><text:p>deleted</text:p></text:tracked-changes>"
        '<text:h text:outline-level="1">Food</text:h>'
        "<text:p>Wolves<text:s/>eat <text:span>me</text:span>at.<office:annotation><text:p>hm"
        "</text:p></office:annotation><text:note><text:note-citation>1</text:note-citation>"
        "<text:note-body><text:p>Often.</text:p></text:note-body></text:note></text:p>"
        "<text:list><text:list-item><text:p>one</text:p><text:list><text:list-item><text:p>two"
        "</text:p></text:list-item></text:list></text:list-item></text:list>"
        "<text:section><table:table><table:table-row><table:table-cell><text:p>Place</text:p>"
        '</table:table-cell><table:table-cell table:number-columns-repeated="2"><text:p>x</text:p>'
        "</table:table-cell></table:table-row><table:table-row><table:table-cell><text:p>North"
        "</text:p></table:table-cell></table:table-row></table:table></text:section>"
    )
    document = load(package("text", body, meta=_META), ".odt")
    assert [(block.kind, block.level, block.text) for block in document.blocks] == [
        ("heading", 1, "Food"),
        ("paragraph", 0, "Wolves eat meat. Often."),
        ("list", 0, "- one\n  - two"),
        ("table", 0, "Place | x | x\nNorth"),
    ]
    assert document.title == "Wolf Guide"
    assert document.metadata == {
        "author": "Ann",
        "date": "2024-05-01T10:00:00",
        "keywords": ("wolf",),
    }


def test_sheets_are_pages_and_empty_rows_are_left_out() -> None:
    cell = "<table:table-cell><text:p>{}</text:p></table:table-cell>"
    row = "<table:table-row>{}</table:table-row>"
    empty = row.format("<table:table-cell/>").replace(
        ">", ' table:number-rows-repeated="1048576">', 1
    )
    sheet = row.format(cell.format("Place") + cell.format("Count"))
    sheet += row.format(cell.format("North") + cell.format("12")) + empty
    body = f'<table:table table:name="One">{empty}</table:table>'
    body += f'<table:table table:name="Two">{sheet}</table:table>'
    document = load(package("spreadsheet", body), ".ods")
    assert [(block.kind, block.page, block.text) for block in document.blocks] == [
        ("heading", 2, "Two"),
        ("table", 2, "Place | Count\nNorth | 12"),
    ]


def test_slides_have_their_title_first() -> None:
    body = (
        '<draw:page draw:name="page1"><draw:frame><draw:text-box><text:p>Body</text:p>'
        "</draw:text-box></draw:frame><draw:frame presentation:class='title'><draw:text-box>"
        "<text:p>Wolves</text:p></draw:text-box></draw:frame><presentation:notes><draw:frame>"
        "<draw:text-box><text:p>Say it.</text:p></draw:text-box></draw:frame>"
        "</presentation:notes></draw:page>"
    )
    document = load(package("presentation", body), ".odp")
    assert [(block.kind, block.page, block.text) for block in document.blocks] == [
        ("heading", 1, "Wolves"),
        ("paragraph", 1, "Body"),
        ("paragraph", 1, "Say it."),
    ]


def test_an_open_document_is_known_by_its_content() -> None:
    data = package("spreadsheet", "")
    assert LoaderRegistry().loader(data, "report.bin").identity == "opendocument-2"


def _many_rows() -> bytes:
    cell = "<table:table-cell><text:p>a</text:p></table:table-cell>"
    row = f'<table:table-row table:number-rows-repeated="{10**9}">{cell}</table:table-row>'
    return package("spreadsheet", f"<table:table>{row}</table:table>")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: package("text", ""), "has no text"),
        (lambda: package("text", "<text:p>a"), "damaged or cut off"),
        (lambda: package("text", "<text:p>a</text:p>")[:-30], "damaged or cut off"),
        (lambda: package("text", "", manifest="<m><encryption-data/></m>"), "is encrypted"),
        (_many_rows, "more than 200000 rows"),
        (
            lambda: package("text", "<text:section>" * 150 + "</text:section>" * 150),
            "nests deeper than 100",
        ),
    ],
)
def test_open_documents_that_cannot_be_read_are_refused(
    make: Callable[[], bytes], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        load(make(), ".odt")


@pytest.mark.parametrize("repeated", [f'table:number-columns-repeated="{MAX_COLUMNS + 1}"', ""])
def test_columns_beyond_those_that_are_read_are_an_error(repeated: str) -> None:
    cell = f"<table:table-cell {repeated}><text:p>x</text:p></table:table-cell>"
    row = cell if repeated else cell * (MAX_COLUMNS + 1)
    body = f'<table:table table:name="Wide"><table:table-row>{row}</table:table-row></table:table>'
    with pytest.raises(InputError, match=rf"more than {MAX_COLUMNS} columns in a table. Fix:"):
        load(package("spreadsheet", body), ".ods")
    blank = f'<table:table-cell table:number-columns-repeated="{10**6}"/>'
    narrow = f"<table:table-cell><text:p>x</text:p></table:table-cell>{blank}"
    body = f'<table:table table:name="N"><table:table-row>{narrow}</table:table-row></table:table>'
    assert "x" in load(package("spreadsheet", body), ".ods").text
