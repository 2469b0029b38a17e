"""Markdown: blocks of the source, headings, titles and front matter."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.core.types import Document
from ragkit.ingest.loaders import MarkdownLoader
from ragkit.ingest.loaders.markdown import markdown_blocks

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


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_offsets_are_exact_at_every_line_end(end: str) -> None:
    text = end.join(["# A", "text", "", "```", "x", "```", "", "- b", ""])
    blocks = markdown_blocks(text)
    assert [(block.kind, block.text) for block in blocks] == [
        ("heading", "# A"),
        ("paragraph", "text"),
        ("code", f"```{end}x{end}```"),
        ("list", "- b"),
    ]
    assert all(text[block.start : block.end] == block.text for block in blocks)


@given(st.text("a#-`> \n\r", max_size=30))
def test_blocks_cover_text_of_any_line_ends(text: str) -> None:
    blocks = markdown_blocks(text)
    assert all(text[block.start : block.end] == block.text for block in blocks)
    assert "".join("".join(block.text for block in blocks).split()) == "".join(text.split())


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
