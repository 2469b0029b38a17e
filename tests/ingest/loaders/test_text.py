"""Plain text: paragraphs, underlined headings, titles from names."""

import pytest

from ragkit.core.types import Document
from ragkit.ingest.loaders import TextLoader, heading_text


def load(text: str, uri: str = "notes.txt") -> Document:
    return TextLoader().load(text.encode(), uri=uri)


def test_blank_lines_divide_paragraphs() -> None:
    document = load("one\ntwo\n\n  \t\nthree\n")
    assert [(block.kind, block.text) for block in document.blocks] == [
        ("paragraph", "one\ntwo"),
        ("paragraph", "three"),
    ]


def test_the_source_is_kept_but_for_line_ends() -> None:
    assert load("  one\r\ntwo \rthree\n\n").text == "  one\ntwo \nthree\n\n"


@pytest.mark.parametrize(
    ("source", "level", "title"),
    [
        ("Title\n=====\nbody", 1, "Title"),
        ("Part one\n---\n\nbody", 2, "Part one"),
        ("=======\n Title\n=======\nbody", 1, "Title"),
    ],
)
def test_underlined_lines_are_headings(source: str, level: int, title: str) -> None:
    heading, paragraph = load(source).blocks
    assert (heading.kind, heading.level) == ("heading", level)
    assert heading_text(heading) == title
    assert (paragraph.kind, paragraph.text) == ("paragraph", "body")


def test_further_styles_of_headings_are_as_deep_as_they_are_late() -> None:
    text = (
        "A\n=\n\nMain\n====\n\nUse\n---\n\nPrint\n~~~~~\n\nx\n\nDeep\n^^^^\n\ny\n\nLong line\n***\n"
    )
    headings = [(heading_text(one), one.level) for one in load(text).blocks if one.level]
    assert headings == [("Main", 1), ("Use", 2), ("Print", 3), ("Deep", 4)]


@pytest.mark.parametrize(
    "source",
    [
        "one\ntwo\n---\nthree",
        "---\n",
        "a\n--\nb",
        "a | b\n--|--",
        "SHOUTING\nLINE",
        "1. Scope\n\nx",
    ],
)
def test_nothing_else_is_taken_for_a_heading(source: str) -> None:
    assert all(block.kind == "paragraph" for block in load(source).blocks)


@pytest.mark.parametrize(
    ("uri", "title"),
    [
        ("a/super-bowl-50.txt", "super bowl 50"),
        ("https://example.org/a/my%20first__notes.txt?raw=1", "my first notes"),
        ("C:\\logs\\app_log.log", "app log"),
        ("---.txt", "---.txt"),
    ],
)
def test_the_title_is_the_name_of_the_file(uri: str, title: str) -> None:
    assert load("text\n\nHeading\n=======\n\ntext", uri).title == title


def test_an_underlined_heading_that_opens_the_text_is_its_title() -> None:
    document = TextLoader().load(b"The Rhine\n=========\n\nA river.", uri="docs/rhine-1.txt")
    assert document.title == "The Rhine"
