"""`ragkit chat`: questions with a history, in a terminal or line by line from a pipe."""

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragkit.cli import console
from ragkit.cli.options import Config, Index, Json, LLMName, Tenant, chosen_settings, reporting
from ragkit.core.settings import Settings
from ragkit.core.types import Message
from ragkit.sdk import AsyncRAG

if TYPE_CHECKING:
    from ragkit.answering.conversations import ConversationStore

CONVERSATIONS = Path(".ragkit/conversations.sqlite")
USER = "local"


@reporting
def chat(
    *,
    conversation: Annotated[
        str | None, typer.Option("--conversation", help="Go on with this conversation.")
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="List the conversations.")] = False,
    file: Annotated[
        Path, typer.Option("--file", help="Where conversations are kept.", metavar="FILE")
    ] = CONVERSATIONS,
    llm: LLMName = None,
    index: Index = None,
    tenant: Tenant = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Ask questions that refer to earlier ones; an empty line or Ctrl-D ends.

    With a language model a follow-up is rewritten to a question that stands alone; without one it
    is searched for as it is. With --json, each line of input gives one JSON document.
    """
    settings = chosen_settings(config, index, tenant, llm=llm, writes=True)
    if listed:
        asyncio.run(_list(settings, file, as_json=as_json))
        return
    asyncio.run(_talk(settings, file, conversation, as_json=as_json))


async def _list(settings: Settings, file: Path, *, as_json: bool) -> None:
    from ragkit.answering.conversations import ConversationStore

    store = ConversationStore(file)
    try:
        rows = await store.conversations(tenant=settings.tenant, user=USER)
    finally:
        store.close()
    if as_json:
        console.print_json({"conversations": rows})
        return
    for row in rows:
        console.out.print(f"{row.id}  {row.updated}  {row.title}", markup=False, soft_wrap=True)


async def _talk(settings: Settings, file: Path, conversation: str | None, *, as_json: bool) -> None:
    from ragkit.answering.conversations import ConversationStore

    store = ConversationStore(file)
    try:
        async with AsyncRAG(settings) as rag:
            talk = await Talk.begin(rag, store, settings.tenant, conversation)
            async with aclosing(_questions()) as questions:
                async for question in questions:
                    await talk.answer(question, as_json=as_json)
    finally:
        store.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Talk:
    """A conversation that is kept."""

    rag: AsyncRAG
    store: "ConversationStore"
    id: str
    tenant: str
    history: list[Message]

    @classmethod
    async def begin(
        cls, rag: AsyncRAG, store: "ConversationStore", tenant: str, known: str | None
    ) -> "Talk":
        """Start a conversation, or go on with a known one.

        Raises:
            InputError: There is no such conversation.
        """
        if known is None:
            name = await store.create(tenant=tenant, user=USER)
            return cls(rag=rag, store=store, id=name, tenant=tenant, history=[])
        history = await store.messages(known, tenant=tenant, user=USER)
        return cls(rag=rag, store=store, id=known, tenant=tenant, history=history)

    async def answer(self, question: str, *, as_json: bool) -> None:
        """Answer a question, show it, and keep both."""
        from ragkit.answering.chat import Chat

        chat = Chat(search=self.rag.search, answerer=self.rag.answerer, llm=self.rag.llm)
        reply = None
        async with aclosing(chat.stream(question, self.history)) as deltas:
            async for delta in deltas:
                if not as_json:
                    console.out.print(delta.text, end="", markup=False, soft_wrap=True)
                reply = delta.reply or reply
        if reply is None:
            return
        turn = [
            Message(role="user", content=question),
            Message(role="assistant", content=reply.answer.text),
        ]
        await self.store.append(self.id, turn, tenant=self.tenant, user=USER)
        self.history.extend(turn)
        if as_json:
            found = console.answer_json(question, reply.answer)
            kept = {"conversation": self.id, "query": reply.query, "condensed": reply.condensed}
            console.print_json({**kept, **found})
            return
        console.out.print()
        for number, citation in enumerate(reply.answer.citations, start=1):
            quote = " ".join(citation.quote.split())
            console.out.print(f"[{number}] {citation.uri}: {quote}", markup=False, style="dim")


async def _questions() -> AsyncGenerator[str]:
    """Lines of standard input; at a terminal with a prompt, until an empty one."""
    terminal = sys.stdin.isatty()
    while True:
        if terminal:
            console.err.print("[bold]> ", end="")
        line = await asyncio.to_thread(sys.stdin.readline)
        if not line or (terminal and not line.strip()):
            return
        if line.strip():
            yield line.strip()
