import asyncio
import threading
from pathlib import Path

import pytest

from ragkit import RAG, AsyncRAG, Settings
from ragkit.core.protocols import Embedder
from ragkit.core.settings import RetrievalSettings
from ragkit.testing.embedder import HashEmbedder


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("docs").mkdir()
    Path("docs/river.md").write_text("# Rivers\n\nThe longest river of Europe is the Volga.")


def test_the_three_lines_of_the_readme() -> None:
    rag = RAG()
    rag.ingest("docs")
    assert "Volga" in str(rag.ask("What is the longest river of Europe?"))
    rag.close()


async def test_the_same_with_await() -> None:
    async with AsyncRAG() as rag:
        await rag.ingest("docs")
        answer = await rag.ask("What is the longest river of Europe?")
    assert "Volga" in answer.text


async def test_the_synchronous_face_works_inside_a_running_loop() -> None:
    with RAG(index=":memory:", embedder=HashEmbedder(dimensions=64)) as rag:
        rag.ingest("docs")
        assert rag.search("river")[0].chunk.uri == "docs/river.md"


def test_threads_share_one_object() -> None:
    with RAG(embedder=HashEmbedder(dimensions=64)) as rag:
        rag.ingest("docs")
        found: list[str] = []

        def search() -> None:
            found.append(rag.search("river")[0].chunk.uri)

        threads = [threading.Thread(target=search) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == ["docs/river.md"] * 8


def test_an_index_is_found_again_by_a_new_object() -> None:
    with RAG(embedder=HashEmbedder(dimensions=64)) as rag:
        rag.ingest("docs")
    with RAG(embedder=HashEmbedder(dimensions=64)) as rag:
        assert [item.uri for item in rag.documents()] == ["docs/river.md"]
        assert rag.verify() == []


async def test_concurrent_first_uses_open_the_index_once() -> None:
    async with AsyncRAG(embedder=HashEmbedder(dimensions=64)) as rag:
        await rag.ingest("docs")
    async with AsyncRAG(embedder=HashEmbedder(dimensions=64)) as rag:
        results = await asyncio.gather(*(rag.search("river") for _ in range(5)))
    assert all(len(hits) == 1 for hits in results)


def test_a_context_stays_within_its_budget(minilm: Embedder) -> None:
    Path("docs/long.md").write_text("# Long\n\n" + "Rivers flow to the sea. " * 200)
    settings = Settings(retrieval=RetrievalSettings(context_tokens=500))
    with RAG(settings, index=":memory:", embedder=minilm) as rag:
        rag.ingest("docs")
        passages = rag.context("rivers")
    tokens = [len(minilm.tokenizer.token_starts(passage.text)) for passage in passages]
    assert 200 < sum(tokens) <= 500


def test_settings_are_taken_as_given() -> None:
    with RAG(Settings(tenant="mine"), index=":memory:", embedder=HashEmbedder()) as rag:
        rag.ingest("docs")
        assert rag.documents()[0].tenant == "mine"
