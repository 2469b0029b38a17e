import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.core.errors import InputError
from ragkit.core.types import Chunk
from ragkit.ui.document_text import around, indexed_document, load_document
from ragkit.ui.workspace import Workspace
from tests.ui.conftest import REFUNDS


def _chunk(text: str, start: int, end: int, page: int | None = None) -> Chunk:
    return Chunk(
        id=str(start), uri="d", title="D", text=text[start:end], start=start, end=end, page=page
    )


@given(st.text(min_size=1, max_size=80), st.integers(1, 20), st.integers(0, 10), st.randoms())
def test_the_text_is_that_of_the_document_however_its_chunks_overlap(
    text: str, size: int, overlap: int, chance: random.Random
) -> None:
    overlap = min(overlap, size - 1)
    starts = range(0, len(text), size - overlap)
    chunks = [_chunk(text, start, min(len(text), start + size)) for start in starts]
    chance.shuffle(chunks)
    assert indexed_document("d", chunks).text == text


def test_a_document_that_is_gone_is_a_sentence() -> None:
    with pytest.raises(InputError, match="Fix: ingest it again"):
        indexed_document("d", [])


def test_a_document_is_read_from_the_index(workspace: Workspace) -> None:
    document = load_document(workspace, "shop/refunds.md")
    assert document.text == REFUNDS.rstrip("\n") or document.text == REFUNDS
    assert document.title == "Refunds"


def test_a_passage_is_marked_with_whole_words_around_it() -> None:
    text = "one two three four five six seven"
    start = text.index("four")
    segments = around(text, start, start + 4, reach=7)
    assert [(part.text, part.marked) for part in segments] == [
        ("… three ", False),
        ("four", True),
        (" five …", False),
    ]
    assert "".join(part.text for part in around(text, start, start + 4, reach=None)) == text


def test_offsets_beyond_the_text_are_cut() -> None:
    assert [part.text for part in around("abc", 1, 99)] == ["a", "bc"]
    assert [part.text for part in around("abc", 50, 99)] == ["abc"]
