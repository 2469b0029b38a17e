"""`ragkit chat`: questions with a history, in a terminal or line by line from a pipe."""

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragkit.answering.conversations import ConversationStore, ConversationTurn, Owner
from ragkit.cli import console
from ragkit.cli.options import Config, Index, Json, LLMName, Tenant, chosen_settings, reporting
from ragkit.core.settings import Settings
from ragkit.core.types import Message
from ragkit.sdk import AsyncRAG

if TYPE_CHECKING:
    from ragkit.answering.chat import ChatAnswer

CONVERSATIONS = Path(".ragkit/conversations.sqlite")
USER = "local"
"""The user of conversations on the command line."""


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
    owner = Owner(name=USER, tenant=settings.tenant)
    store = ConversationStore(file)
    try:
        if listed:
            _list(store, owner, as_json=as_json)
        else:
            asyncio.run(_talk(settings, store, owner, conversation, as_json=as_json))
    finally:
        store.close()


def _list(store: ConversationStore, owner: Owner, *, as_json: bool) -> None:
    heads = store.heads(owner)
    if as_json:
        console.print_json({"conversations": heads})
        return
    for head in heads:
        line = f"{head.id}  {head.changed:%Y-%m-%d %H:%M}  {head.title}"
        console.out.print(line, markup=False, soft_wrap=True)


async def _talk(
    settings: Settings,
    store: ConversationStore,
    owner: Owner,
    conversation: str | None,
    *,
    as_json: bool,
) -> None:
    async with AsyncRAG(settings) as rag:
        talk = Talk.begin(rag, store, owner, conversation)
        async with aclosing(_questions()) as questions:
            async for question in questions:
                await talk.answer(question, as_json=as_json)


@dataclass(slots=True, kw_only=True)
class Talk:
    """A conversation that is kept from its first answer on; `id` is empty before."""

    rag: AsyncRAG
    store: ConversationStore
    owner: Owner
    id: str
    history: list[Message]

    @classmethod
    def begin(
        cls, rag: AsyncRAG, store: ConversationStore, owner: Owner, known: str | None
    ) -> "Talk":
        """Begin a conversation, or go on with a known one.

        Raises:
            InputError: There is no such conversation.
        """
        turns = [] if known is None else store.turns(owner, known)
        history = [turn.message for turn in turns]
        return cls(rag=rag, store=store, owner=owner, id=known or "", history=history)

    async def answer(self, question: str, *, as_json: bool) -> None:
        """Answer a question, show it, and keep both."""
        from ragkit.answering.chat import Chat  # imports the grammars

        chat = Chat(search=self.rag.search, answerer=self.rag.answerer, llm=self.rag.llm)
        async with aclosing(chat.stream(question, self.history)) as deltas:
            async for delta in deltas:
                if not as_json:
                    console.out.print(delta.text, end="", markup=False, soft_wrap=True)
                if delta.reply is not None:
                    self._keep(question, delta.reply.answer.text)
                    self._show(question, delta.reply, as_json=as_json)

    def _keep(self, question: str, text: str) -> None:
        turns = [
            ConversationTurn(author="user", text=question),
            ConversationTurn(author="assistant", text=text),
        ]
        self.id = self.id or self.store.create(self.owner)
        self.store.append(self.owner, self.id, turns)
        self.history.extend(turn.message for turn in turns)

    def _show(self, question: str, reply: "ChatAnswer", *, as_json: bool) -> None:
        if as_json:
            kept = {"conversation": self.id, "query": reply.query, "condensed": reply.condensed}
            console.print_json({**kept, **console.answer_json(question, reply.answer)})
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
