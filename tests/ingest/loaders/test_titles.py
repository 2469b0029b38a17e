"""Titles: headings without markup, and names without extensions."""

import pytest

from ragkit.core.types import Block
from ragkit.ingest.loaders.titles import heading_text, path_of, stem_title, title_from


def heading(text: str) -> Block:
    return Block(kind="heading", start=0, end=len(text), level=1, text=text)


@pytest.mark.parametrize(
    ("source", "clean"),
    [
        ("# Plain", "Plain"),
        ("###### Six ######", "Six"),
        ("#", ""),
        ("## C# and F#", "C# and F#"),
        (
            "# `__init__` of **bold _it_** [link](u 'x') ![alt](i.png)",
            "__init__ of bold it link alt",
        ),
        ("# snake_case_name &amp; 2 \\* 3", "snake_case_name & 2 * 3"),
        ('# <a name="x"></a>Anchored', "Anchored"),
        ("Two\n  lines\n===", "Two lines"),
        ("*Underlined*\n---", "Underlined"),
    ],
)
def test_heading_text_is_what_a_reader_sees(source: str, clean: str) -> None:
    assert heading_text(heading(source)) == clean


@pytest.mark.parametrize("text", ["__init__ and *args", "#1 of 2", "C #", "a -\nb"])
def test_headings_of_other_formats_are_left_alone(text: str) -> None:
    assert heading_text(heading(text)) == " ".join(text.split())


def test_a_hostile_heading_takes_no_time() -> None:
    source = "# " + "*a_" * 50_000
    assert heading_text(heading(source)) == source[2:]


def test_the_first_heading_of_level_1_wins_over_earlier_ones() -> None:
    second = Block(kind="heading", start=0, end=5, level=2, text="Early")
    first = Block(kind="heading", start=7, end=11, level=1, text="Main")
    assert title_from([second, first], uri="a.md") == "Main"
    assert title_from([second], uri="a.md") == "Early"


def test_a_document_without_headings_is_named_after_its_file() -> None:
    text = Block(kind="paragraph", start=0, end=4, text="text")
    assert title_from([text], uri="docs/my_first-notes.md") == "my first notes"
    assert title_from([heading("#")], uri="docs/a.md") == "a"


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("https://example.org/a%20b.pdf?page=1#x", "example.org/a b.pdf"),
        ("C:\\docs\\a.md", "C:/docs/a.md"),
        ("docs/a.md", "docs/a.md"),
        ("mem://", "mem"),
    ],
)
def test_a_path_is_taken_from_a_uri(uri: str, path: str) -> None:
    assert path_of(uri) == path


def test_a_name_of_dashes_is_kept_as_the_title() -> None:
    assert stem_title("---.txt") == "---.txt"
