from ragkit import Document
from ragkit.evaluation.sections import sections_of
from ragkit.ingest.loaders import loader_for

TEXT = """# The handbook

Of everything.

## Installing the server on Windows

Download the program and start it.

## Installing

### Linux

Use the package.

## Licence

Free.
"""


def _document() -> Document:
    return loader_for("handbook.md").load(TEXT.encode(), uri="handbook.md")


def test_sections_are_the_parts_between_headings() -> None:
    found = list(sections_of(_document(), headed=False))
    assert [section.path for section in found] == [
        ("The handbook",),
        ("The handbook", "Installing the server on Windows"),
        ("The handbook", "Installing", "Linux"),
        ("The handbook", "Licence"),
    ]
    assert found[1].document.text.startswith("Download the program")
    assert {section.document.title for section in found} == {""}  # it is the first heading
    assert len({section.document.uri for section in found}) == 4
    headed = [section.document.title for section in sections_of(_document(), headed=True)]
    assert headed[2] == "The handbook > Installing > Linux"


def test_a_document_without_headings_is_one_section() -> None:
    plain = Document(uri="a", title="A", text=" Some text. ", content_hash="h")
    assert [section.document.text for section in sections_of(plain, headed=False)] == ["Some text."]
