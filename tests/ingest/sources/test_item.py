"""Documents made in code: what may be given, and what makes them a new version."""

from dataclasses import replace

import pytest

from ragkit import Document, InputError
from ragkit.core.types import Block
from ragkit.ingest.sources.item import MemorySource, as_document, text_hash


def test_a_pair_and_a_dict_make_the_same_document() -> None:
    pair = as_document(("docs/my-note.txt", "some text"))
    assert pair == as_document({"uri": "docs/my-note.txt", "text": "some text"})
    assert (pair.title, pair.text, pair.content_hash) == (
        "my note",
        "some text",
        text_hash("some text"),
    )


def test_a_dict_may_have_a_title_and_metadata() -> None:
    document = as_document(
        {"uri": "a", "text": "t", "title": "", "metadata": {"year": 2024, "tags": ["x", "y"]}}
    )
    assert document.title == ""
    assert document.metadata == {"year": 2024, "tags": ("x", "y")}


def test_a_document_is_taken_as_it_is() -> None:
    document = Document(uri="a", title="T", text="t", content_hash="h")
    assert as_document(document) is document


@pytest.mark.parametrize(
    ("item", "problem"),
    [
        ({"uri": "a", "tekst": "t"}, "tekst: Extra inputs"),
        ({"uri": "", "text": "t"}, "uri: String should have at least 1 character"),
        ({"uri": 1, "text": "t"}, "uri: Input should be a valid string"),
        (("a", "b", "c"), "DocumentFields"),
        (("a", 5), "text: Input should be a valid string"),
        (42, "DocumentFields"),
        (None, "DocumentFields"),
    ],
)
def test_what_is_no_document_is_refused_by_key(item: object, problem: str) -> None:
    with pytest.raises(InputError, match=problem) as caught:
        as_document(item)
    assert "Fix: give a dict with uri and text" in str(caught.value)


def test_a_long_item_is_shortened_in_the_message() -> None:
    with pytest.raises(InputError) as caught:
        as_document({"uri": "a", "tekst": "x" * 10_000})
    assert len(str(caught.value)) < 600


DOCUMENT = Document(
    uri="a",
    title="T",
    text="some text",
    blocks=(Block(kind="paragraph", start=0, end=9, text="some text"),),
    metadata={"year": 2024},
    content_hash="h",
)


@pytest.mark.parametrize(
    "changed",
    [
        replace(DOCUMENT, title="Other"),
        replace(DOCUMENT, metadata={"year": 2025}),
        replace(DOCUMENT, text="some new text"),
        replace(DOCUMENT, blocks=()),
    ],
    ids=["title", "metadata", "text under the same content hash", "blocks"],
)
def test_every_change_of_a_document_changes_its_identity(changed: Document) -> None:
    assert MemorySource(document=changed).identity != MemorySource(document=DOCUMENT).identity


def test_the_same_document_has_the_same_identity() -> None:
    again = replace(DOCUMENT, metadata=dict(DOCUMENT.metadata))
    assert MemorySource(document=again).identity == MemorySource(document=DOCUMENT).identity


def test_a_missing_content_hash_is_computed() -> None:
    opened = MemorySource(document=replace(DOCUMENT, content_hash="")).open()
    assert opened.content_hash == text_hash("some text")
