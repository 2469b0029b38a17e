"""The store over an index, by the operations of LangGraph's BaseStore."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from langgraph.constants import END, START
from langgraph.graph.message import (  # pyright: ignore[reportMissingTypeStubs]  # it has its types
    MessagesState,
)
from langgraph.graph.state import (  # pyright: ignore[reportMissingTypeStubs]  # it has its types
    StateGraph,
)
from langgraph.runtime import Runtime
from langgraph.store.base import BaseStore

from ragkit import AsyncRAG, Document
from ragkit.agents import react, run
from ragkit.agents.store import RagkitStore
from ragkit.agents.tools import memory_tools
from ragkit.core.errors import InputError, ToolError
from ragkit.testing.agents import says_action, says_finish
from ragkit.testing.embedder import HashEmbedder
from ragkit.testing.llm import ScriptedLLM


@pytest_asyncio.fixture(params=["memory", "edge"])
async def rag(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AsyncRAG]:
    """An empty index in memory and on disk."""
    where = ":memory:" if request.param == "memory" else str(tmp_path / "index")
    async with AsyncRAG(index=where, embedder=HashEmbedder(dimensions=256)) as made:
        yield made


ANNA, BEN = ("users", "anna"), ("users", "ben")


async def test_items_are_kept_changed_and_deleted(rag: AsyncRAG) -> None:
    store: BaseStore = RagkitStore(rag)
    assert await store.aget(ANNA, "tea") is None
    await store.aput(ANNA, "tea", {"text": "Anna drinks tea.", "cups": 2, "none": None})
    first = await store.aget(ANNA, "tea")
    assert first is not None
    assert first.value == {"text": "Anna drinks tea.", "cups": 2, "none": None}
    assert (first.namespace, first.key) == (ANNA, "tea")
    await store.aput(ANNA, "tea", {"text": "Anna drinks coffee."})
    second = await store.aget(ANNA, "tea")
    assert second is not None
    assert second.value == {"text": "Anna drinks coffee."}
    assert second.created_at == first.created_at
    assert second.updated_at > first.updated_at
    await store.adelete(ANNA, "tea")
    await store.adelete(ANNA, "unknown")
    assert await store.aget(ANNA, "tea") is None


async def test_a_search_stays_within_its_namespace_and_filter(rag: AsyncRAG) -> None:
    store: BaseStore = RagkitStore(rag)
    for number in range(12):
        await store.aput(BEN, f"river{number}", {"text": f"Ben saw river {number}.", "n": number})
    await store.aput(ANNA, "river", {"text": "Anna walked along the river.", "n": 3})
    await store.aput(ANNA, "cake", {"text": "Anna bakes a cake.", "n": 30})
    found = await store.asearch(ANNA, query="river walk", limit=1)
    assert [(item.key, item.namespace) for item in found] == [("river", ANNA)]
    assert found[0].score is not None
    assert {item.key for item in await store.asearch(ANNA)} == {"river", "cake"}
    many = await store.asearch(("users",), query="river", filter={"n": {"$gte": 3, "$lt": 6}})
    assert {item.value["n"] for item in many} == {3, 4, 5}
    assert len(await store.asearch(("users",), limit=5)) == 5
    assert len(await store.asearch(("users",), limit=50, offset=10)) == 4
    assert await store.asearch(("nobody",), query="river") == []


async def test_a_misspelled_operator_is_an_error_even_where_nothing_is_stored(
    rag: AsyncRAG,
) -> None:
    store: BaseStore = RagkitStore(rag)
    for condition in ({"$in": [1]}, {"$gt": 0, "below": 3}):
        with pytest.raises(InputError, match=r"is no operator. Fix: use one of \$eq, \$ne"):
            await store.asearch(BEN, filter={"n": condition})
    await store.aput(BEN, "n", {"n": 3, "m": {"a": 1}})
    assert await store.asearch(BEN, filter={"n": {"$gt": "three"}}) == []
    assert len(await store.asearch(BEN, filter={"n": {"$ne": 4}, "m": {"a": 1}})) == 1


async def test_a_query_without_words_or_of_any_length_is_no_error(rag: AsyncRAG) -> None:
    store: BaseStore = RagkitStore(rag)
    await store.aput(ANNA, "tea", {"text": "Anna drinks tea."})
    for query in ("\U0001f44d", " ", "tea " * 5000, "茶"):
        assert [item.key for item in await store.asearch(ANNA, query=query)] == ["tea"]


async def test_only_the_named_fields_are_searched_and_some_items_not_at_all(rag: AsyncRAG) -> None:
    store: BaseStore = RagkitStore(rag)
    await store.aput(ANNA, "a", {"title": "zebra", "note": "quokka"}, index=["title"])
    await store.aput(ANNA, "b", {"title": "zebra"}, index=False)
    assert [item.key for item in await store.asearch(ANNA, query="zebra")] == ["a"]
    item = await store.aget(ANNA, "b")
    assert item is not None
    assert item.value == {"title": "zebra"}


async def test_namespaces_are_listed(rag: AsyncRAG) -> None:
    store: BaseStore = RagkitStore(rag)
    for namespace in (ANNA, BEN, ("teams", "red", "x")):
        await store.aput(namespace, "k", {"text": "t"})
    assert await store.alist_namespaces() == [("teams", "red", "x"), ANNA, BEN]
    assert await store.alist_namespaces(prefix=("users",)) == [ANNA, BEN]
    assert await store.alist_namespaces(suffix=("x",)) == [("teams", "red", "x")]
    assert await store.alist_namespaces(max_depth=1) == [("teams",), ("users",)]


async def test_stores_share_nothing_with_each_other_or_with_documents(rag: AsyncRAG) -> None:
    one: BaseStore = RagkitStore(rag, name="one")
    await rag.ingest(Document.from_text("The door code is 4711.", uri="note"))
    await one.aput(ANNA, "code", {"text": "The door code is 1234."})
    assert await RagkitStore(rag, name="two").aget(ANNA, "code") is None
    assert [item.key for item in await one.asearch((), query="door code")] == ["code"]
    assert [hit.chunk.uri for hit in await rag.search("door code")] == ["note"]


async def test_a_value_that_is_no_json_is_refused_and_the_old_one_stays(rag: AsyncRAG) -> None:
    store: BaseStore = RagkitStore(rag)
    await store.aput(ANNA, "k", {"text": "old"})
    with pytest.raises(InputError, match="is not JSON"):
        await store.aput(ANNA, "k", {"text": object()})
    with pytest.raises(InputError, match="is not JSON"):
        await store.aput(ANNA, "k", {"text": "\ud83d"})
    item = await store.aget(ANNA, "k")
    assert item is not None
    assert item.value == {"text": "old"}


async def test_a_graph_finds_what_an_earlier_thread_stored(rag: AsyncRAG) -> None:
    async def remember(state: MessagesState, runtime: Runtime[None]) -> dict[str, Any]:
        store = runtime.store
        assert store is not None
        text = str(state["messages"][-1].content)
        known = await store.asearch(ANNA, query=text)
        await store.aput(ANNA, text, {"text": text})
        return {"messages": [("ai", ", ".join(item.value["text"] for item in known))]}

    graph: Any = StateGraph(MessagesState)
    graph.add_node("remember", remember)
    graph.add_edge(START, "remember")
    graph.add_edge("remember", END)
    made = graph.compile(store=RagkitStore(rag))
    await made.ainvoke({"messages": [("user", "I live in Oslo")]})
    second = await made.ainvoke({"messages": [("user", "Where in Oslo?")]})
    assert second["messages"][-1].content == "I live in Oslo"


@dataclass(frozen=True)
class Session:
    """Who asks."""

    user: str


async def test_an_agent_remembers_for_each_user_and_recalls_in_another_thread(
    rag: AsyncRAG,
) -> None:
    tools = memory_tools(namespace=lambda session: ("users", session.user))
    replies = [
        says_action("", ("remember", {"fact": "Anna drinks tea."})),
        says_finish("Noted."),
        says_action("", ("recall", {"query": "What does she drink?"})),
        says_finish("Tea."),
        says_action("", ("recall", {"query": "What does she drink?"})),
        says_finish("I do not know."),
    ]
    options: Any = {"context_schema": Session, "store": RagkitStore(rag)}
    agent = react(ScriptedLLM(replies), tools, **options)
    await run(agent, "I drink tea.", context=Session(user="anna"))
    second = await run(agent, "What do I drink?", context=Session(user="anna"))
    other = await run(agent, "What does Anna drink?", context=Session(user="ben"))
    results = [[s.result for s in r.steps if s.kind == "tool"] for r in (second, other)]
    assert results == [['["Anna drinks tea."]'], ["[]"]]


async def test_an_empty_memory_is_refused(rag: AsyncRAG) -> None:
    remember, _ = memory_tools(RagkitStore(rag))
    with pytest.raises(ToolError, match="A memory needs a text"):
        await remember.call({"fact": " "}, key="k")


async def test_memories_without_a_store_say_what_to_do() -> None:
    remember, _ = memory_tools()
    llm = ScriptedLLM([says_action("", ("remember", {"fact": "x"})), says_finish("No.")])
    result = await run(react(llm, [remember]), "Q")
    assert "There is no store of memories. Fix: pass a store" in result.steps[1].result
    with pytest.raises(ToolError, match="call the tool in an agent's run"):
        await remember.call({"fact": "x"}, key="k")
