"""Windows: each chunk stands in one, at its place, and none is longer than the model reads."""

from dataclasses import replace

from hypothesis import example, given
from hypothesis import strategies as st

from ragkit.core.types import Chunk, Document, TextSpan
from ragkit.ingest.chunkers.fixed import FixedChunker
from ragkit.ingest.chunkers.recursive import RecursiveChunker
from ragkit.ingest.passage import lead_text
from ragkit.ingest.windows import window_spans
from ragkit.testing.embedder import WordTokenizer

TOKENIZER = WordTokenizer(max_tokens=64)
TEXTS = st.lists(
    st.sampled_from(
        ["River lake. ", "The mountain is high. " * 6, "Wald und Höhe.\n\n", "河流很长。"]
    )
    | st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=60),
    max_size=20,
).map("".join)


def chunks_of(uri: str, text: str, *, overlap: int = 0) -> list[Chunk]:
    chunker = (
        FixedChunker(TOKENIZER, chunk_tokens=16, overlap_tokens=overlap)
        if overlap
        else RecursiveChunker(TOKENIZER, chunk_tokens=16)
    )
    return chunker.chunk(Document(uri=uri, title=f"Title {uri}", text=text, content_hash=""))


def numbered(words: int) -> str:
    return "".join(f"w{number} " if number % 4 else f"w{number}. " for number in range(words))


@given(st.lists(TEXTS, min_size=1, max_size=3), st.integers(0, 8))
@example(["The mountain is high. " * 24], 0)
def test_each_chunk_is_a_part_of_its_window_at_its_place(texts: list[str], overlap: int) -> None:
    documents = [chunks_of(str(at), text, overlap=overlap) for at, text in enumerate(texts)]
    chunks = [chunk for document in documents for chunk in document]
    spans = window_spans(chunks, TOKENIZER)
    assert [text[start:end] for text, start, end in spans] == [chunk.text for chunk in chunks]
    windows: list[list[tuple[Chunk, TextSpan]]] = []
    for chunk, span in zip(chunks, spans, strict=True):
        before = windows[-1][-1] if windows else None
        # Equal windows may follow each other, in a text that repeats itself: places begin again.
        if before and before[1].text == span.text and before[1].start < span.start:
            windows[-1].append((chunk, span))
        else:
            windows.append([(chunk, span)])
    for members in windows:
        own, window = [chunk for chunk, _ in members], members[0][1].text
        whole = texts[int(own[0].uri)][own[0].start : own[-1].end]
        assert window == f"{lead_text(own[0], TOKENIZER)}\n\n{whole}"
        assert len(TOKENIZER.token_starts(window)) <= TOKENIZER.max_tokens


def test_a_window_has_as_many_chunks_as_the_model_reads() -> None:
    chunks = chunks_of("u", numbered(160))
    windows = [span.text for span in window_spans(chunks, TOKENIZER)]
    assert len(set(windows)) == 3
    for chunk, window, following in zip(chunks[1:], windows, windows[1:], strict=False):
        if window != following:
            assert len(f"{window} {chunk.text}".split()) > TOKENIZER.max_tokens


def test_no_window_reaches_over_a_gap_or_into_another_document() -> None:
    chunks = chunks_of("u", numbered(48))
    gap = [chunks[0], *chunks[2:]]
    assert window_spans(gap, TOKENIZER)[0].text != window_spans(gap, TOKENIZER)[1].text
    moved = replace(chunks[1], uri="other")
    first, second = window_spans([chunks[0], moved], TOKENIZER)
    assert first.text != second.text
    inside = replace(chunks[0], start=2, end=5, text=chunks[0].text[2:5])
    first, second = window_spans([chunks[0], inside], TOKENIZER)
    assert first.text != second.text
    assert second.text.endswith(inside.text)


def test_a_chunk_longer_than_the_model_reads_is_a_window_of_its_own() -> None:
    (chunk,) = chunks_of("u", "word " * 10)
    longer = replace(chunk, text="word " * 100, end=500)
    after = replace(chunk, start=500, end=550)
    spans = window_spans([longer, after], TOKENIZER)
    assert len({span.text for span in spans}) == 2


def test_no_chunks_have_no_windows() -> None:
    assert window_spans([], TOKENIZER) == []
