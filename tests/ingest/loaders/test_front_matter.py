"""Front matter: values, limits and refusals."""

import pytest

from ragkit.core.errors import InputError
from ragkit.core.types import Document
from ragkit.ingest.loaders import MarkdownLoader


def load(text: str) -> Document:
    return MarkdownLoader().load(text.encode(), uri="notes.md")


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
