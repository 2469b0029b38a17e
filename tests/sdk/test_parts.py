import copy
import operator
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import pytest

from ragkit import RAG, AsyncRAG, Chunk, ConfigError, Document, IndexMismatch, InputError, Settings
from ragkit.core.protocols import Loader
from ragkit.core.settings import (
    AnswerSettings,
    EmbedderSettings,
    IndexSettings,
    IngestSettings,
    LLMSettings,
    RerankerSettings,
    RetrievalSettings,
)
from ragkit.core.types import Answer, FloatArray, Hit, Timings, Usage
from ragkit.index.build import identity_for
from ragkit.index.memory import MemoryIndex
from ragkit.retrieval.hybrid import HybridRetriever
from ragkit.sdk import PartOptions
from ragkit.testing.embedder import HashEmbedder
from ragkit.testing.llm import ScriptedLLM

DOCUMENTS = [
    ("volga", "The longest river of Europe is the Volga."),
    ("alps", "The highest mountain of the Alps is Mont Blanc."),
]


def _rag(**parts: Unpack[PartOptions]) -> RAG:
    given: PartOptions = {"index": ":memory:", "embedder": HashEmbedder(dimensions=64)}
    given.update(parts)
    return RAG(Settings(), **given)


@pytest.mark.parametrize(
    ("part", "name", "setting", "value"),
    [
        ("index", "~/somewhere", "index.location", "~/somewhere"),
        ("index", Path("a/b"), "index.location", "a/b"),
        ("embedder", "sentence-transformers:x", "embedder.model", "sentence-transformers:x"),
        ("reranker", "cross-encoder:x", "reranker.model", "cross-encoder:x"),
        ("answerer", "extractive", "answer.mode", "extractive"),
        ("llm", "local:x", "llm.model", "local:x"),
        ("chunker", "recursive:99", "ingest.chunk_tokens", 99),
        ("chunker", "parent-child:99", "ingest.chunk_tokens", 99),
        ("chunker", "parent-child:99", "ingest.chunker", "parent-child"),
        ("retriever", "hybrid:rrf", "retrieval.fusion", "rrf"),
        ("index", IndexSettings(location="x"), "index.location", "x"),
        ("embedder", EmbedderSettings(batch_size=7), "embedder.batch_size", 7),
        ("reranker", RerankerSettings(depth=3), "reranker.depth", 3),
        ("answerer", AnswerSettings(max_quotes=1), "answer.max_quotes", 1),
        ("llm", LLMSettings(concurrency=2), "llm.concurrency", 2),
        ("chunker", IngestSettings(overlap_tokens=5), "ingest.overlap_tokens", 5),
        ("retriever", RetrievalSettings(k=9), "retrieval.k", 9),
    ],
)
def test_a_part_is_chosen_by_a_name_or_by_settings(
    part: str, name: object, setting: str, value: object
) -> None:
    parts: dict[str, Any] = {part: name}
    assert operator.attrgetter(setting)(RAG(Settings(), **parts).settings) == value


def test_a_name_keeps_the_other_settings_of_its_section() -> None:
    settings = Settings(retrieval=RetrievalSettings(k=9), llm=LLMSettings(concurrency=2))
    rag = RAG(settings, retriever="hybrid:rrf", llm="local:x")
    assert (rag.settings.retrieval.k, rag.settings.llm.concurrency) == (9, 2)


def test_none_is_the_settings_own_part() -> None:
    rag = RAG(Settings(reranker=RerankerSettings(depth=3)), reranker=None, index=None, llm=None)
    assert rag.settings.reranker.depth == 3
    assert rag.asynchronous.llm is None


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("embedder", 3, r"embedder is 3\. Fix: pass an object with a method 'embed', a name, or"),
        ("index", RerankerSettings(), "index is .* pass an object with a method 'commit'"),
        ("answerer", "magic", r"answerer is 'magic'\. Fix: .*'reader'"),
        ("embedder", "pakaged:x", r"Unknown embedder 'pakaged:x'\. Fix: "),
        ("embedder", EmbedderSettings(model="x"), r"Unknown embedder 'x'\. Fix: "),
        ("reranker", "cross-encoder:", r"Unknown reranker 'cross-encoder:'\. Fix: "),
        ("llm", "vlm:http://x", r"Unknown LLM 'vlm:http://x'.*Fix: "),
        ("index", IndexSettings(language="klingon"), r"Unknown language 'klingon'.*Fix: "),
        ("retriever", "rrf", r"retriever is 'rrf'\. Fix: write 'hybrid:<fusion>'"),
        ("retriever", "hybrid:magic", r"retriever is 'hybrid:magic'\. Fix: "),
        ("chunker", "recursive:many", r"chunker is 'recursive:many'\. Fix: "),
        (
            "chunker",
            "clever:9",
            r"chunker is 'clever:9'\. Fix: write 'recursive:<chunk_tokens>' or",
        ),
        ("loaders", {"txt": object()}, r"loaders has 'txt'.* Fix: map an extension such as"),
    ],
)
def test_something_else_than_a_part_is_refused(part: str, value: object, message: str) -> None:
    parts: dict[str, Any] = {part: value}
    with pytest.raises(ConfigError, match=message):
        RAG(Settings(), **parts)


def test_an_unknown_part_is_refused_with_the_known_ones() -> None:
    parts: dict[str, Any] = {"embeder": "x"}
    with pytest.raises(InputError, match=r"RAG has no option 'embeder'\. Fix: use one of .*embedd"):
        RAG(Settings(), **parts)


def _memory_index(embedder: HashEmbedder) -> MemoryIndex:
    return MemoryIndex(identity_for(embedder, IndexSettings(search_dimensions=32)), fields={})


def test_an_open_index_is_used_and_stays_open() -> None:
    embedder = HashEmbedder(dimensions=64)
    index = _memory_index(embedder)
    for _ in range(2):
        with RAG(Settings(), index=index, embedder=embedder) as rag:
            rag.ingest(DOCUMENTS)
            assert rag.search("river")[0].chunk.uri == "volga"


def test_an_open_index_of_another_embedder_is_refused() -> None:
    index = _memory_index(HashEmbedder(dimensions=128))
    with (
        RAG(Settings(), index=index, embedder=HashEmbedder(dimensions=64)) as rag,
        pytest.raises(IndexMismatch, match="dimensions is 128 in the index and 64"),
    ):
        rag.ingest(DOCUMENTS)


class WordChunker:
    """A chunk for each sentence."""

    identity = "sentences-1"

    def chunk(self, document: Document) -> list[Chunk]:
        end = len(document.text)
        return [
            Chunk(
                id="", uri=document.uri, title=document.title, text=document.text, start=0, end=end
            )
        ]


class UpperLoader:
    """Reads a file as a text in capitals."""

    identity = "upper-1"

    def load(self, data: bytes, *, uri: str) -> Document:
        return Document.from_text(data.decode().upper(), uri=uri)


class FixedAnswerer:
    async def answer(self, question: str, hits: Sequence[Hit]) -> Answer:
        return Answer(
            text="Fixed.",
            citations=(),
            abstained=False,
            confidence=1.0,
            hits=tuple(hits),
            usage=Usage(),
            timings=Timings(total_s=0.0),
        )


class LengthReranker:
    """Prefers long passages."""

    async def rerank(self, query: str, passages: Sequence[str]) -> FloatArray:
        return np.asarray([len(passage) for passage in passages], dtype=np.float32)


def test_objects_take_the_place_of_every_part() -> None:
    with _rag(chunker=WordChunker(), answerer=FixedAnswerer(), reranker=LengthReranker()) as rag:
        rag.ingest(DOCUMENTS)
        answer = rag.ask("longest river")
        assert answer.text == "Fixed."
        assert answer.hits[0].chunk.uri == "alps"  # the longer text
        assert [chunk.text for chunk in rag.chunks("volga")] == [DOCUMENTS[0][1]]


def test_own_loaders_read_new_and_known_extensions(tmp_path: Path) -> None:
    (tmp_path / "a.up").write_text("river")
    (tmp_path / "b.txt").write_text("lake")
    loaders: Mapping[str, Loader] = {".UP": UpperLoader(), ".txt": UpperLoader()}
    with _rag(loaders=loaders) as rag:
        rag.ingest(tmp_path, source="docs")
        texts = {record.uri: rag.chunks(record.uri)[0].text for record in rag.documents()}
    assert texts == {"docs/a.up": "RIVER", "docs/b.txt": "LAKE"}


async def test_a_retriever_replaces_search_as_a_whole() -> None:
    embedder = HashEmbedder(dimensions=64)
    async with AsyncRAG(Settings(), index=":memory:", embedder=embedder) as plain:
        await plain.ingest(DOCUMENTS)
        index = await plain.index()
        only_words = HybridRetriever(
            index=index, embedder=embedder, settings=RetrievalSettings(k=1)
        )
        async with AsyncRAG(
            Settings(), index=index, embedder=embedder, retriever=only_words
        ) as rag:
            assert len(await rag.search("river")) == 1
            with pytest.raises(ConfigError, match=r"A retriever was passed.*Fix: configure"):
                await rag.search("river", fusion="rrf")
            with pytest.raises(ConfigError, match="A retriever was passed"):
                await rag.search("river", rerank=False)


def test_a_passed_llm_is_used() -> None:
    llm = ScriptedLLM([])
    assert RAG(Settings(), llm=llm).asynchronous.llm is llm


def test_pickling_and_copying_are_refused_with_a_way_out() -> None:
    for rag in (_rag(), _rag().asynchronous):
        for refused in (pickle.dumps, copy.copy):
            with pytest.raises(TypeError, match=r"cannot be pickled.*Fix: pass its settings"):
                refused(rag)
