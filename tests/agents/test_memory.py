from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from ragkit import AsyncRAG, Document
from ragkit.agents.memory import LongTermMemory
from ragkit.core.errors import InputError
from ragkit.testing.embedder import HashEmbedder


@pytest_asyncio.fixture(params=["memory", "edge"])
async def rag(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AsyncRAG]:
    """An empty index in memory and on disk."""
    where = ":memory:" if request.param == "memory" else str(tmp_path / "index")
    async with AsyncRAG(index=where, embedder=HashEmbedder(dimensions=256)) as made:
        yield made


async def test_what_was_added_is_found_and_forgotten(rag: AsyncRAG) -> None:
    memory = LongTermMemory(rag, tenant="anna")
    assert await memory.search("coffee") == []
    coffee = await memory.add("Anna drinks her coffee black.")
    await memory.add("Anna lives in Oslo.")
    found = await memory.search("How does she like her coffee?", k=1)
    assert [(item.id, item.text) for item in found] == [(coffee, "Anna drinks her coffee black.")]
    assert found[0].added.endswith("+00:00")
    await memory.forget(coffee, "unknown")
    assert [item.text for item in await memory.search("coffee")] == ["Anna lives in Oslo."]


async def test_the_same_text_is_one_memory(rag: AsyncRAG) -> None:
    memory = LongTermMemory(rag, tenant="anna")
    assert await memory.add("Anna lives in Oslo.") == await memory.add(" Anna lives in Oslo. ")
    assert len(await memory.search("Oslo", k=10)) == 1


async def test_a_long_memory_comes_back_whole_and_once(rag: AsyncRAG) -> None:
    memory = LongTermMemory(rag, tenant="anna")
    text = " ".join(f"On day {day} Anna walked along the river." for day in range(80))
    await memory.add(text)
    await memory.add("Anna likes tea.")
    found = await memory.search("river walk", k=2)
    assert [item.text for item in found] == [text, "Anna likes tea."]


async def test_tenants_do_not_see_or_delete_each_others_memories(rag: AsyncRAG) -> None:
    anna, ben = LongTermMemory(rag, tenant="anna"), LongTermMemory(rag, tenant="ben")
    secret = await anna.add("Anna's door code is 4711.")
    assert await ben.search("door code") == []
    await ben.forget(secret)
    await ben.forget_all()
    assert len(await anna.search("door code")) == 1
    await anna.forget_all()
    assert await anna.search("door code") == []


async def test_memories_and_documents_of_a_tenant_are_apart(rag: AsyncRAG) -> None:
    document = Document(uri="doc", title="Oslo", text="Oslo is a city.", content_hash="1")
    await rag.ingest(document, tenant="anna")
    memory = LongTermMemory(rag, tenant="anna")
    await memory.add("Anna lives in Oslo.")
    assert [item.text for item in await memory.search("Oslo")] == ["Anna lives in Oslo."]
    assert [hit.chunk.uri for hit in await rag.search("Oslo", tenant="anna")] == ["doc"]
    await memory.forget_all()
    assert [item.uri for item in await rag.documents(tenant="anna")] == ["doc"]


async def test_memories_outlive_the_process(tmp_path: Path) -> None:
    for turn in range(2):
        async with AsyncRAG(index=tmp_path / "index", embedder=HashEmbedder()) as rag:
            memory = LongTermMemory(rag, tenant="anna")
            if turn == 0:
                await memory.add("Anna lives in Oslo.")
            assert len(await memory.search("Oslo")) == 1


async def test_what_cannot_be_remembered_is_refused() -> None:
    rag = AsyncRAG(index=":memory:", embedder=HashEmbedder())
    with pytest.raises(InputError, match="belongs to a tenant"):
        LongTermMemory(rag, tenant=" ")
    memory = LongTermMemory(rag, tenant="anna")
    for text in (" ", "x" * 5000):
        with pytest.raises(InputError, match="1 to 4,000 characters"):
            await memory.add(text)
