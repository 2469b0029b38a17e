"""The text of Word documents that stands elsewhere than in a paragraph's own runs."""

import io
import zipfile

import docx
import pytest

from ragkit import Document
from ragkit.ingest.loaders import loader_for

NAMES = " ".join(
    f'xmlns:{prefix}="{uri}"'
    for prefix, uri in {
        "w": "http://schemas.openxmlformats.org/wordprocessingml/2006/main",
        "mc": "http://schemas.openxmlformats.org/markup-compatibility/2006",
        "m": "http://schemas.openxmlformats.org/officeDocument/2006/math",
        "wps": "http://schemas.microsoft.com/office/word/2010/wordprocessingShape",
        "v": "urn:schemas-microsoft-com:vml",
    }.items()
)


def run(text: str) -> str:
    return f"<w:r><w:t>{text}</w:t></w:r>"


def paragraph(*content: str) -> str:
    return f"<w:p>{''.join(content)}</w:p>"


def table(*rows: str) -> str:
    return f"<w:tbl><w:tblPr/><w:tblGrid/>{''.join(rows)}</w:tbl>"


def row(*cells: str) -> str:
    return f"<w:tr>{''.join(cells)}</w:tr>"


def cell(text: str, properties: str = "", more: str = "") -> str:
    return f"<w:tc><w:tcPr>{properties}</w:tcPr>{paragraph(run(text))}{more}</w:tc>"


def box(text: str) -> str:
    content = f"<w:txbxContent>{paragraph(run(text))}</w:txbxContent>"
    return f"<v:shape><v:textbox>{content}</v:textbox></v:shape>"


def load(*body: str) -> Document:
    empty, file = io.BytesIO(), io.BytesIO()
    docx.Document().save(empty)
    content = f"<w:document {NAMES}><w:body>{''.join(body)}</w:body></w:document>"
    with zipfile.ZipFile(empty) as old, zipfile.ZipFile(file, "w") as new:
        for name in old.namelist():
            new.writestr(name, content if name == "word/document.xml" else old.read(name))
    return loader_for(".docx").load(file.getvalue(), uri="a.docx")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (f'<w:ins w:id="1" w:author="a">{run("new")}</w:ins>', "Fee: new."),
        (f'<w:moveTo w:id="1" w:author="a">{run("new")}</w:moveTo>', "Fee: new."),
        (
            f'<w:del w:id="1" w:author="a"><w:r><w:delText>x</w:delText></w:r></w:del>{run("y")}',
            "Fee: y.",
        ),
        (f'<w:moveFrom w:id="1" w:author="a">{run("old")}</w:moveFrom>', "Fee: ."),
        (f"<w:sdt><w:sdtPr/><w:sdtContent>{run('250')}</w:sdtContent></w:sdt>", "Fee: 250."),
        (f'<w:fldSimple w:instr="PAGE">{run("7")}</w:fldSimple>', "Fee: 7."),
        (
            f'<w:hyperlink w:anchor="a"><w:ins w:id="1">{run("link")}</w:ins></w:hyperlink>',
            "Fee: link.",
        ),
        ("<m:oMath><m:r><m:t>a=b</m:t></m:r></m:oMath>", "Fee: a=b."),
        (
            "<w:r><w:t>a</w:t><w:tab/><w:t>b</w:t><w:br/><w:t>c</w:t><w:noBreakHyphen/></w:r>",
            "Fee: a\tb\nc-.",
        ),
        ('<w:r><w:t>a</w:t><w:br w:type="page"/><w:t>b</w:t></w:r>', "Fee: ab."),
    ],
)
def test_text_is_read_at_any_depth_and_deleted_text_is_not(content: str, text: str) -> None:
    assert load(paragraph(run("Fee: "), content, run("."))).text == text


def test_tab_stops_are_no_text() -> None:
    stops = '<w:pPr><w:tabs><w:tab w:val="left" w:pos="720"/></w:tabs></w:pPr>'
    assert load(paragraph(stops, run("a"))).text == "a"


def test_content_controls_around_blocks_are_read_in_their_place() -> None:
    heading = paragraph('<w:pPr><w:pStyle w:val="Heading1"/></w:pPr>', run("Head"))
    control = "<w:sdt><w:sdtContent>{}</w:sdtContent></w:sdt>"
    document = load(
        paragraph(run("before")),
        control.format(heading + control.format(paragraph(run("inner")))),
        table(row(cell("h")), control.format(row(control.format(cell("filled"))))),
        paragraph(run("after")),
    )
    assert [(block.kind, block.text) for block in document.blocks] == [
        ("paragraph", "before"),
        ("heading", "Head"),
        ("paragraph", "inner"),
        ("table", "h\nfilled"),
        ("paragraph", "after"),
    ]


def test_a_text_box_follows_its_paragraph_and_is_read_once() -> None:
    drawn = box("boxed").replace("v:", "wps:")
    choice = (
        f'<w:r><mc:AlternateContent><mc:Choice Requires="wps">{drawn}</mc:Choice>'
        f"<mc:Fallback><w:pict>{box('boxed')}</w:pict></mc:Fallback></mc:AlternateContent></w:r>"
    )
    document = load(paragraph(run("be"), choice, run("side")), paragraph(run("next")))
    assert [block.text for block in document.blocks] == ["beside", "boxed", "next"]
    old = load(paragraph(run("beside"), f"<w:r><w:pict>{box('old')}</w:pict></w:r>"))
    assert [block.text for block in old.blocks] == ["beside", "old"]


def test_an_alternative_without_text_gives_way_to_one_that_has_some() -> None:
    sign = (
        '<w:r><mc:AlternateContent><mc:Choice Requires="wps"/>'
        "<mc:Fallback><w:t>x</w:t></mc:Fallback></mc:AlternateContent></w:r>"
    )
    assert load(paragraph(run("a"), sign)).text == "ax"


def test_a_table_in_a_cell_is_part_of_the_cell() -> None:
    inner = table(row(cell("one"), cell("two")), row(cell("three"), cell("four")))
    document = load(table(row(cell("h1"), cell("h2")), row(cell("a"), cell("b", more=inner))))
    assert document.text == "h1 | h2\na | b one two three four"


def test_a_cell_that_spans_rows_is_given_in_each() -> None:
    wide = '<w:gridSpan w:val="2"/>'
    document = load(
        table(
            row(cell("a", wide), cell("b", '<w:vMerge w:val="restart"/>')),
            row(cell("c"), cell("d"), cell("", "<w:vMerge/>")),
        )
    )
    assert document.text == "a | b\nc | d | b"
