import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragkit import ConfigError, Document
from ragkit.core.protocols import Embedder
from ragkit.ingest.chunkers.recursive import RecursiveChunker
from ragkit.ingest.loaders import MarkdownLoader
from ragkit.ingest.passage import HEADER_TOKENS


class _Words:
    """A tokenizer of words."""

    max_tokens = 1000

    def token_starts(self, text: str) -> list[int]:
        return [match.start() for match in re.finditer(r"\S+", text)]


def _document(text: str) -> Document:
    return Document(uri="u", title="Title", text=text, content_hash="h")


def _chunker(size: int = 20, overlap: int = 0) -> RecursiveChunker:
    return RecursiveChunker(_Words(), chunk_tokens=size, overlap_tokens=overlap)


_MARKDOWN = st.lists(
    st.sampled_from(["# H", "## Sub", "One. Two three. Four!", "- a\n- b", "word " * 50, "`x`", ""])
    | st.text(max_size=40),
    max_size=12,
).map("\n\n".join)


@settings(max_examples=150)
@given(_MARKDOWN, st.integers(4, 40))
def test_chunks_tile_the_document_and_none_is_too_long(text: str, size: int) -> None:
    document = _loaded(text)
    chunks = _chunker(size).chunk(document)
    assert "".join(chunk.text for chunk in chunks) == document.text
    for chunk in chunks:
        assert document.text[chunk.start : chunk.end] == chunk.text
        assert len(chunk.text.split()) <= size
    assert len({chunk.id for chunk in chunks}) == len(chunks)


def test_blank_lines_are_not_repeated_without_an_overlap() -> None:
    text = "# H\n\n- a\n- b\n\n- a\n- b\n\nOne. Two three. Four!"
    chunks = _chunker(4).chunk(_loaded(text))
    assert "".join(chunk.text for chunk in chunks) == text


def _loaded(text: str) -> Document:
    document = _document(text)
    if not text.strip() or text.startswith("---"):
        return document
    try:
        return MarkdownLoader().load(text.encode("utf-8", "ignore"), uri="u.md")
    except Exception:  # noqa: BLE001 - the loader's own tests hold what it refuses
        return document


@settings(max_examples=50)
@given(_MARKDOWN)
def test_overlapping_chunks_leave_no_gap(text: str) -> None:
    document = _document(text)
    chunks = _chunker(20, overlap=5).chunk(document)
    end = 0
    for chunk in chunks:
        assert chunk.start <= end
        assert len(chunk.text.split()) <= 20
        end = chunk.end
    assert end == len(document.text)


def test_overlap_repeats_the_sentences_before() -> None:
    text = " ".join(f"Sentence number {i} ends here." for i in range(20))
    chunks = _chunker(20, overlap=6).chunk(_document(text))
    assert len(chunks) > 2
    for before, after in pairwise(chunks):
        assert after.start < before.end
        assert after.text.startswith("Sentence number")


def test_chunks_start_at_headings_and_know_their_path() -> None:
    text = "# Top\n\n" + "a " * 15 + "\n\n## Left\n\n" + "b " * 15 + "\n\n## Right\n\n" + "c " * 15
    chunks = _chunker(20).chunk(MarkdownLoader().load(text.encode(), uri="u.md"))
    assert [chunk.heading_path for chunk in chunks] == [("Top",), ("Top", "Left"), ("Top", "Right")]
    assert chunks[1].text.startswith("## Left")
    assert chunks[1].header == "Top > Left"


def test_small_sections_are_joined() -> None:
    text = "# A\n\nfew words\n\n# B\n\nfew more\n\n# C\n\nand some"
    assert len(_chunker(60).chunk(MarkdownLoader().load(text.encode(), uri="u.md"))) == 1


def test_a_long_section_is_divided_evenly_at_sentences() -> None:
    text = " ".join(f"This is sentence number {i}." for i in range(9))
    chunks = _chunker(20).chunk(_document(text))
    assert [len(chunk.text.split()) for chunk in chunks] == [15, 15, 15]
    assert all(chunk.text.rstrip().endswith(".") for chunk in chunks)


def test_the_same_document_gives_the_same_ids_and_another_version_others() -> None:
    first = _chunker().chunk(_document("Some words."))
    assert first == _chunker().chunk(_document("Some words."))
    changed = Document(uri="u", title="Title", text="Some words.", content_hash="other")
    assert first[0].id != _chunker().chunk(changed)[0].id
    assert first[0].id != _chunker().chunk(_document("Some words."), tenant="t")[0].id


def test_sizes_that_cannot_work_are_refused_with_the_largest_that_can(minilm: Embedder) -> None:
    largest = minilm.tokenizer.max_tokens - HEADER_TOKENS
    with pytest.raises(ConfigError, match=f"set it to {largest} or less"):
        RecursiveChunker(minilm.tokenizer, chunk_tokens=largest + 1)
    with pytest.raises(ConfigError, match="overlap_tokens is 11"):
        _chunker(20, overlap=11)


def test_sizes_count_the_models_own_tokens(minilm: Embedder) -> None:
    text = "Antidisestablishmentarianism is unquestionably incomprehensible. " * 60
    chunks = RecursiveChunker(minilm.tokenizer, chunk_tokens=100).chunk(_document(text))
    assert all(len(minilm.tokenizer.token_starts(chunk.text)) <= 100 for chunk in chunks)


@pytest.mark.parametrize(
    "sentence",
    [
        "今天天气很好，我们去公园散步。",
        "यह एक छोटा वाक्य है। ",
        "هل هذا سؤال قصير؟ ",
        "ทีมรับของแพนเธอร์สเสียคะแนนเพียงสามร้อยแปดคะแนนในฤดูกาลนี้ทั้งหมด ",
        "ខ្ញុំរៀនភាសាខ្មែរ។",
    ],
)
def test_chunks_end_at_the_sentences_of_any_script(minilm: Embedder, sentence: str) -> None:
    document = _document(sentence * 60)
    chunks = RecursiveChunker(minilm.tokenizer, chunk_tokens=60).chunk(document)
    assert "".join(chunk.text for chunk in chunks) == document.text
    assert len(chunks) > 5
    assert all(len(chunk.text) % len(sentence) == 0 for chunk in chunks)


def test_words_unknown_to_the_model_do_not_make_huge_chunks(minilm: Embedder) -> None:
    document = _document("กขคงจฉชซฌญฎฏ" * 500)
    chunks = RecursiveChunker(minilm.tokenizer, chunk_tokens=100).chunk(document)
    assert "".join(chunk.text for chunk in chunks) == document.text
    assert max(len(chunk.text) for chunk in chunks) <= 400


def test_a_very_long_line_is_cut_between_words() -> None:
    chunks = _chunker(200).chunk(_document("word " * 30_000))
    assert all(chunk.text.startswith("word") for chunk in chunks)
    assert sum(len(chunk.text.split()) for chunk in chunks) == 30_000
