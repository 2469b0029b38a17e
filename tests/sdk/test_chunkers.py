"""Every chunker at work in `RAG`: chosen by name, and read as it says."""

from pathlib import Path

import pytest

from ragkit import RAG, AsyncRAG, Document, Settings
from ragkit.core.settings import IngestSettings
from ragkit.ingest.chunkers.parent_child import ParentChildChunker
from ragkit.testing.embedder import HashEmbedder

EMBEDDER = HashEmbedder(dimensions=256)
NAMES = ("zebra", "lion", "tiger", "panda", "camel", "otter", "eagle", "shark", "whale", "koala")
TEXT = " ".join(
    f"The {name} is an animal that is known for many things in its part of the world."
    for name in NAMES
)
DOCUMENT = Document(uri="animals", title="Animals", text=TEXT, content_hash="h")


@pytest.mark.parametrize(
    ("chunker", "least"),
    [
        ("recursive:40", 1),
        ("fixed:40", 1),
        ("semantic:40", 1),
        ("sentence-window:40", 7),
        ("parent-child:40", 3),
    ],
)
def test_a_chunker_is_chosen_by_name_and_its_windows_come_with_the_hits(
    chunker: str, least: int
) -> None:
    with RAG(Settings(), index=":memory:", embedder=EMBEDDER, chunker=chunker) as rag:
        rag.ingest(DOCUMENT)
        hits = rag.search("camel", k=1, legs=["bm25"])
        assert len(hits) >= least
        assert "camel" in hits[0].chunk.text
        for hit in hits:
            assert TEXT[hit.chunk.start : hit.chunk.end] == hit.chunk.text
        (passage,) = rag.context("camel", k=1, legs=["bm25"])
        assert passage.text == TEXT[passage.start : passage.end]
        assert not rag.ingest(DOCUMENT).updated


def test_windows_are_read_whatever_the_chunker_of_the_search_is(tmp_path: Path) -> None:
    place = tmp_path / "index"
    chunker = ParentChildChunker(EMBEDDER.tokenizer, chunk_tokens=40)
    with RAG(Settings(), index=place, embedder=EMBEDDER, chunker=chunker) as rag:
        rag.ingest(DOCUMENT)
        assert len(rag.search("camel", k=1)) >= 3
    with RAG(Settings(), index=place, embedder=EMBEDDER) as rag:
        hits = rag.search("camel", k=1, explain=True)
        assert len(hits) >= 3
        assert hits.explanation is not None
        assert "neighbours" in hits.explanation.stages


async def test_a_chunker_that_embeds_works_on_the_caller_s_event_loop() -> None:
    async with AsyncRAG(
        Settings(), index=":memory:", embedder=EMBEDDER, chunker="semantic:40"
    ) as rag:
        report = await rag.ingest(DOCUMENT)
        assert report.added == ["animals"]
        assert report.chunks > 3


def test_another_chunker_divides_the_documents_again(tmp_path: Path) -> None:
    place = str(tmp_path / "index")
    with RAG(Settings(), index=place, embedder=EMBEDDER) as rag:
        rag.ingest(DOCUMENT)
        before = rag.stats().chunks
    config = IngestSettings(chunker="sentence-window", chunk_tokens=40)
    with RAG(Settings(ingest=config), index=place, embedder=EMBEDDER) as rag:
        assert rag.ingest(DOCUMENT).updated == ["animals"]
        assert rag.stats().chunks == len(NAMES) > before
