"""A research assistant: answers from an index of documents, judged by a rubric before it is given.

RAGKIT_LLM__MODEL=vllm:http://127.0.0.1:8000 python examples/workflows/research.py "Who ...?"
"""

import asyncio
import sys

from ragkit import AsyncRAG, Settings
from ragkit.agents import Budget, react, reflect, run
from ragkit.agents.agent import Agent
from ragkit.agents.tools import Searcher, search_documents
from ragkit.core.protocols import LLM
from ragkit.llm.build import build_llm

RUBRIC = (
    "Each statement is supported by the evidence.",
    "The answer names the documents that it rests on.",
)


def research_assistant(llm: LLM, documents: Searcher) -> Agent:
    """Searches in turns, answers, and revises an answer that misses the rubric once."""
    searcher = react(llm, [search_documents(documents, k=4)], write_answer=True)
    return reflect(searcher, RUBRIC, llm=llm, revisions=1, budget=Budget(steps=20, seconds=300))


def made() -> Agent:
    """Return the assistant of the settings' model and index."""
    settings = Settings.load()
    return research_assistant(build_llm(settings.llm), AsyncRAG(settings))


async def graph() -> Agent:
    """Return it for LangGraph's server, whose loop must not wait for files."""
    return await asyncio.to_thread(made)


async def main(question: str) -> None:
    """Ask, and show the steps."""
    settings = Settings.load()
    async with AsyncRAG(settings) as rag:
        result = await run(research_assistant(build_llm(settings.llm), rag), question)
    print(result.tree(), result.answer, sep="\n")
    for citation in result.citations:
        print("-", citation.uri)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
