"""A support desk: answers from documents, and refunds or writes to a customer if a person agrees.

RAGKIT_LLM__MODEL=vllm:http://127.0.0.1:8000 python examples/workflows/support.py "My order ..."
"""

import asyncio
import sys

from ragkit import AsyncRAG, Settings
from ragkit.agents import Agent, SQLiteRuns, approve, react, refuse, resume, run, tool
from ragkit.agents.options import AgentOptions
from ragkit.agents.tools import IdempotencyKey, Searcher, search_documents
from ragkit.core.protocols import LLM
from ragkit.llm.build import build_llm


@tool(permission="approve")
async def refund(order: int, cents: int, key: IdempotencyKey) -> str:
    """Pay money back for an order."""
    return f"Refunded {cents / 100:.2f} for order {order} (once, by the key {key})."


@tool(permission="write")
async def send_mail(to: str, text: str, key: IdempotencyKey) -> str:
    """Write to a customer."""
    return f"Sent {len(text)} characters to {to} (once, by the key {key})."


def support_desk(llm: LLM, documents: Searcher, options: AgentOptions) -> Agent:
    """A refund always asks a person; a mail does once a document's text is in the context."""
    return react(llm, [search_documents(documents, k=3), refund, send_mail], **options)


def made() -> Agent:
    """Return the desk of the settings' model and index, without checkpoints of its own."""
    settings = Settings.load()
    return support_desk(build_llm(settings.llm), AsyncRAG(settings), AgentOptions())


async def graph() -> Agent:
    """Return it for LangGraph's server, whose loop must not wait for files."""
    return await asyncio.to_thread(made)


async def main(question: str) -> None:
    """Ask; on the terminal, approve or refuse what the agent wants to do."""
    settings = Settings.load()
    async with SQLiteRuns("support.db") as kept, AsyncRAG(settings) as rag:
        options = AgentOptions(checkpointer=kept.checkpoints, journal=kept.journal)
        desk = support_desk(build_llm(settings.llm), rag, options)
        result = await run(desk, question)
        while result.pending:
            call = result.pending[0]
            said = await asyncio.to_thread(input, f"{call.tool} {dict(call.arguments)} [y/n] ")
            result = await resume(desk, result.thread, approve() if said == "y" else refuse(said))
        print(result.tree(), result.answer, sep="\n")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
