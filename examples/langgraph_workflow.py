"""Retrieval and answering as a LangGraph workflow, its steps shown as they happen."""

import asyncio
from pathlib import Path

from ragkit import AsyncRAG
from ragkit.agents.workflow import answer_graph
from ragkit.retrieval.hybrid import HybridRetriever

DOCUMENT = Path(__file__).parent / "corpus" / "history" / "normans.txt"


async def main() -> None:
    """Ingest one document and run the graph on a question."""
    async with AsyncRAG(index=":memory:") as rag:
        await rag.ingest(DOCUMENT)
        retriever = HybridRetriever(index=await rag.index(), embedder=rag.embedder)
        graph = answer_graph(retriever, rag.answerer)
        question = {"question": "What is Norman art's most well known piece?"}
        async for step in graph.astream(question):
            for node, update in step.items():
                print(node)
                if "answer" in update:
                    print(update["answer"])


if __name__ == "__main__":
    asyncio.run(main())
