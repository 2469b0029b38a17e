"""Replies under grammars that stay wide: only a reply that does not end is bounded, afterwards.

A grammar that is fitted beforehand has to count a token for each byte, and squeezes replies that
would have fitted. So the first call has the wide grammar, which no reply of usual length notices.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from dataclasses import replace
from typing import TypeAlias

from ragkit.core.errors import ContextExceeded, InputError
from ragkit.core.protocols import ReplyGrammar
from ragkit.core.types import Delta, Reply
from ragkit.llm.call import Call
from ragkit.llm.options import fitted
from ragkit.llm.wrappers.cost import charged

MOST_CALLS = 3
"""Calls that a reply under a grammar may take, unless the call is `strict`."""
_RUNAWAY = 16_384
"""Tokens after which a reply whose length nobody limited is taken for one that does not end."""

Form: TypeAlias = tuple[ReplyGrammar[object], int]
"""A grammar, and the tokens after which its reply is cut."""
Decode: TypeAlias = Callable[[ReplyGrammar[object], int, Call], AsyncGenerator[Delta]]
"""Makes one call under a grammar with a limit of tokens."""


async def held(decode: Decode, call: Call, room: int) -> AsyncGenerator[Delta]:
    """Stream a reply that is complete and of the call's grammar.

    The grammar is wide at first. A reply that ends by its length is asked for again under limits
    for the bytes that this model's tokens had, then under limits that no reply exceeds; the stream
    restarts each time. A `strict` call is made under the last of these at once.

    Args:
        decode: Makes one call.
        call: The call, with a grammar.
        room: Tokens that the prompt leaves of the context.

    Raises:
        InputError: No reply of the grammar is short enough; `ContextExceeded` where it is the
            context that is too short.
    """
    deadline, spent = call.deadline(), list[Reply]()
    forms = _forms(call, room, spent)
    while True:
        grammar, tokens = await asyncio.to_thread(next, forms)
        async with aclosing(decode(grammar, tokens, call.within(deadline))) as deltas:
            async for delta in deltas:
                if delta.reply is None:
                    yield delta
                else:
                    spent.append(delta.reply)
        if not _cut(spent[-1]) or grammar.max_tokens <= tokens:
            break
        yield Delta(text="", restart=True)
    reply = replace(charged(spent), guarantee="grammar", limits=dict(grammar.bounds))
    yield Delta(text="", reply=reply)


def wanted_tokens(call: Call) -> int:
    """Return the tokens that the first call of `held` uses at most."""
    grammar, most = call.grammar, call.options.get("max_tokens") or _RUNAWAY
    if grammar is None:
        return most
    return min(most, (grammar if call.options.get("strict") else grammar.wide()).max_tokens)


def _forms(call: Call, room: int, spent: list[Reply]) -> Iterator[Form]:
    """Yield the forms of a grammar, from the widest to the one that no reply exceeds."""
    grammar, most = call.grammar, call.options.get("max_tokens")
    if grammar is None or room < 1:
        raise ContextExceeded("The prompt fills the model's context. Fix: shorten it.")
    limit = room if most is None else min(most, room)
    if not call.options.get("strict"):
        wide = grammar.wide()
        yield wide, min(wide.max_tokens, limit if most else min(limit, _RUNAWAY))
        if (density := _bytes_per_token(spent)) > 1:
            fit = _fitted_to(grammar, limit, density)
            if fit is not None:
                yield fit, min(fit.max_tokens, limit)
    fit, tokens = fitted(grammar, most, room)
    if fit is not None:
        yield fit, tokens


def _fitted_to(
    grammar: ReplyGrammar[object], limit: int, density: float
) -> ReplyGrammar[object] | None:
    try:
        return grammar.fit(limit, bytes_per_token=density)
    except InputError:
        return None


def _cut(reply: Reply) -> bool:
    return "length" in {reply.finish_reason, *(one.finish_reason for one in reply.alternatives)}


def _bytes_per_token(replies: list[Reply]) -> float:
    """Return the bytes that a token of these replies had on average."""
    texts = [
        text
        for reply in replies
        for text in (reply.text, reply.reasoning, *(one.text for one in reply.alternatives))
    ]
    tokens = sum(reply.usage.completion for reply in replies)
    return sum(len(text.encode()) for text in texts) / tokens if tokens else 1.0
