"""`ragkit chat`: questions with a history, in a terminal or line by line from a pipe."""

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Annotated

import typer

from ragkit.answering.conversations import ConversationStore, Owner
from ragkit.cli import console
from ragkit.cli.options import Config, Index, Json, LLMName, Tenant, chosen_settings, reporting
from ragkit.core.settings import Settings
from ragkit.sdk import AsyncRAG
from ragkit.sdk.chat import AsyncConversation

if TYPE_CHECKING:
    from ragkit.answering.chat import ChatAnswer

CONVERSATIONS = ".ragkit/conversations.sqlite"
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
        str,
        typer.Option("--file", help="Where conversations are kept.", metavar="FILE|postgresql:URL"),
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
        _list(file, Owner(name=USER, tenant=settings.tenant), as_json=as_json)
    else:
        asyncio.run(_talk(settings, file, conversation, as_json=as_json))


def _list(file: str, owner: Owner, *, as_json: bool) -> None:
    with closing(ConversationStore(file)) as store:
        heads = store.heads(owner)
    if as_json:
        console.print_json({"conversations": heads})
        return
    for head in heads:
        line = f"{head.id}  {head.changed:%Y-%m-%d %H:%M}  {head.title}"
        console.out.print(line, markup=False, soft_wrap=True)


async def _talk(settings: Settings, file: str, conversation: str | None, *, as_json: bool) -> None:
    async with AsyncRAG(settings) as rag:
        talk = rag.chat(file=file, conversation=conversation, user=USER)
        async with aclosing(_questions()) as questions:
            async for question in questions:
                await _answer(talk, question, as_json=as_json)


async def _answer(talk: AsyncConversation, question: str, *, as_json: bool) -> None:
    async with aclosing(talk.ask_stream(question)) as deltas:
        async for delta in deltas:
            if not as_json:
                console.out.print(delta.text, end="", markup=False, soft_wrap=True)
            if delta.reply is not None:
                _show(talk, question, delta.reply, as_json=as_json)


def _show(talk: AsyncConversation, question: str, reply: "ChatAnswer", *, as_json: bool) -> None:
    if as_json:
        kept = {"conversation": talk.id, "query": reply.query, "condensed": reply.condensed}
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
