from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver

from ragkit import AsyncRAG, Document
from ragkit.agents.workflow import AnswerState, answer_graph
from ragkit.core.protocols import Embedder
from ragkit.retrieval.hybrid import HybridRetriever


async def test_the_workflow_retrieves_then_answers_and_is_checkpointed(minilm: Embedder) -> None:
    rag = AsyncRAG(index=":memory:", embedder=minilm)
    text = "The longest river of Europe is the Volga."
    await rag.ingest(Document(uri="river", title="Rivers", text=text, content_hash="1"))
    retriever = HybridRetriever(index=await rag.index(), embedder=minilm)
    graph = answer_graph(retriever, rag.answerer, checkpointer=InMemorySaver())
    question = AnswerState(question="What is the longest river of Europe?")
    config: RunnableConfig = {"configurable": {"thread_id": "1"}}
    # `Any`: LangGraph's parameters leave the kind of a step open.
    running: Any = graph
    steps = [list(step) async for step in running.astream(question, config)]
    assert steps == [["retrieve"], ["answer"]]
    state = await graph.aget_state(config)
    assert state.values["answer"].citations[0].quote == text
