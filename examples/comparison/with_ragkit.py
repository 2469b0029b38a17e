"""Three tasks with ragkit; `python -m benchmarks.comparison` runs and compares them."""

import asyncio

from benchmarks.comparison_task import (
    CANCEL,
    DOCUMENTS,
    EMBEDDER,
    MODEL_URL,
    QUESTION,
    RERANKER,
    report,
)


def ask() -> tuple[str, list[str]]:
    """Ingest a folder, and answer a question with citations."""
    from ragkit import RAG

    with RAG(index=":memory:") as rag:
        rag.ingest(DOCUMENTS)
        answer = rag.ask(QUESTION)
        return answer.text, [f"{one.uri}: {one.quote}" for one in answer.citations]


def search() -> list[str]:
    """Search by meaning and by words, and rerank."""
    from ragkit import RAG

    with RAG(
        index=":memory:",
        embedder=f"sentence-transformers:{EMBEDDER}",
        reranker=f"cross-encoder:{RERANKER}",
    ) as rag:
        rag.ingest(DOCUMENTS)
        return [hit.chunk.text for hit in rag.search(QUESTION, k=2)]


def agent() -> str:
    """Call a tool once a person has approved it."""
    from langgraph.checkpoint.memory import InMemorySaver

    from ragkit.agents import approve, react, resume, run, tool
    from ragkit.llm import OpenAI

    @tool(permission="approve")
    def cancel(order: int) -> str:
        """Cancel an order."""
        return f"Order {order} is cancelled."

    model = OpenAI(f"{MODEL_URL}/v1", "m", api_key="none", context=8000)

    async def decided() -> str:
        desk = react(model, [cancel], checkpointer=InMemorySaver())
        result = await run(desk, CANCEL, thread="1")
        if result.pending:
            result = await resume(desk, "1", {result.pending[0].id: approve()})
        return result.answer

    return asyncio.run(decided())


if __name__ == "__main__":
    report(ask, search, agent)
