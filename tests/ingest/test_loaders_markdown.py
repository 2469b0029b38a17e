"""Markdown: blocks of the source, headings, titles and front matter."""

import pytest

from ragkit.core.errors import InputError
from ragkit.core.types import Block, Document
from ragkit.ingest.loaders import MarkdownLoader, heading_text

SOURCE = """\
Intro with a [link].

# First *part* #

Second
level
------

- one

  - nested
- two

1. first

| a | b |
|---|---|
| 1 | 2 |

```python
# no heading

x = 1
```

    indented = True

> quoted
> text

<div>
html
</div>

***

[link]: https://example.org
"""


def load(text: str, uri: str = "notes.md") -> Document:
    return MarkdownLoader().load(text.encode(), uri=uri)


def heading(text: str) -> Block:
    return Block(kind="heading", start=0, end=len(text), level=1, text=text)


def test_every_kind_of_block_is_found_with_its_source() -> None:
    document = load(SOURCE)
    assert document.text == SOURCE
    assert [(block.kind, block.level, block.text) for block in document.blocks] == [
        ("paragraph", 0, "Intro with a [link]."),
        ("heading", 1, "# First *part* #"),
        ("heading", 2, "Second\nlevel\n------"),
        ("list", 0, "- one\n\n  - nested\n- two"),
        ("list", 0, "1. first"),
        ("table", 0, "| a | b |\n|---|---|\n| 1 | 2 |"),
        ("code", 0, "```python\n# no heading\n\nx = 1\n```"),
        ("code", 0, "    indented = True"),
        ("paragraph", 0, "> quoted\n> text"),
        ("paragraph", 0, "<div>\nhtml\n</div>"),
        ("paragraph", 0, "***"),
        ("paragraph", 0, "[link]: https://example.org"),
    ]


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


@pytest.mark.parametrize(
    ("source", "title"),
    [
        ("---\ntitle: Front *page*\n---\n# Other", "Front *page*"),
        ("---\ntitle: 1984\n---\n", "1984"),
        ("## Second\n\n# **First**\n", "First"),
        ("## Second\n\n### Third", "Second"),
        ("no heading", "my notes"),
        ("#\n\ntext", "my notes"),
    ],
)
def test_the_title_comes_from_front_matter_headings_or_name(source: str, title: str) -> None:
    assert load(f"{source}\n\ntext", "my-notes.md").title == title


def test_front_matter_becomes_metadata_and_leaves_the_text() -> None:
    document = load(
        "---\n"
        "title: T\ndate: 2024-05-01\nwhen: 2024-05-01T10:00:00Z\n"
        "draft: false\nweight: 3\nscore: 0.5\n"
        "tags: [a, 2, true]\nempty:\nauthor: {name: Ann, links: {web: w}}\nmany: [{x: 1}]\n"
        "---\n\nBody\n"
    )
    assert document.text == "\nBody\n"
    assert document.metadata == {
        "title": "T",
        "date": "2024-05-01",
        "when": "2024-05-01T10:00:00+00:00",
        "draft": False,
        "weight": 3,
        "score": 0.5,
        "tags": ("a", "2", "true"),
        "author.name": "Ann",
        "author.links.web": "w",
    }


@pytest.mark.parametrize(
    "source", ["---\n\ntext\n\n---\n", "text\n---\na: 1\n---\n", "---\nopen: 1\n"]
)
def test_rules_are_not_front_matter(source: str) -> None:
    document = load(source)
    assert document.text == source
    assert document.metadata == {}


@pytest.mark.parametrize(
    ("front", "message"),
    [
        ("a: 1\nb: ]\nc: 2", r"front matter of 'notes\.md' is broken at line 3"),
        ("a: b: c", r"'notes\.md' is broken at line 2"),
        ("- a\n- b", r"'notes\.md' is a list, not a mapping"),
        ("just words", "is a str, not a mapping"),
        ("day: 2024-99-99", r"'notes\.md' is broken"),
        ("a: &x [1]\nb: *x", "uses YAML aliases"),
        ("a: " + "[" * 5000, "nests deeper"),
        ("a: !!python/object:os.system x", "is broken at line 2"),
        ("a: " + "x" * 70_000, "has 70004 characters"),
    ],
)
def test_bad_front_matter_is_refused_with_place_or_reason(front: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load(f"---\n{front}\n---\ntext")


def test_front_matter_without_text_is_empty() -> None:
    with pytest.raises(InputError, match="is empty"):
        load("---\ntitle: T\n---\n\n")


def test_empty_front_matter_is_allowed() -> None:
    assert load("---\n---\ntext").text == "text"
