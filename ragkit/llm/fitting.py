"""Replies under grammars that stay wide: only a reply that does not end is bounded, afterwards.

A grammar that is fitted beforehand has to count a token for each byte, and squeezes replies that
would have fitted. So the first call has the wide grammar, which no reply of usual length notices.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import TypeAlias

from ragkit.core.errors import ContextExceeded, InputError
from ragkit.core.reply_grammar import ReplyGrammar
from ragkit.core.types import Delta, Message, Reply, Restart
from ragkit.llm.call import Call
from ragkit.llm.messages import messages_of
from ragkit.llm.options import calls_at_most, fitted, restarted
from ragkit.llm.wrappers.cost import charged

MOST_CALLS = 3
"""Calls that a reply under a grammar may take, unless `max_calls` or `strict` says less."""
NOTE_TOKENS = 320
"""Tokens that asking again adds to a prompt, at most."""
_RUNAWAY = 16_384
"""Tokens after which a reply whose length nobody limited is taken for one that does not end."""
_NOTE = (
    "Your last reply to this was longer than {tokens:,} tokens, and was not used. Reply again, and "
    "shorter{bounds}."
)
_BOUNDS: Mapping[str, str] = {
    "calls": "{:,} calls",
    "items": "{:,} items in a list",
    "map_entries": "{:,} further entries in an object",
    "string_length": "{:,} characters in a text",
}
"""The limits that a prompt states, and the words for each."""


Form: TypeAlias = tuple[ReplyGrammar[object], int]
"""A grammar, and the tokens after which its reply is cut."""
Decode: TypeAlias = Callable[[ReplyGrammar[object], int, Call], AsyncGenerator[Delta]]
"""Makes one call under a grammar with a limit of tokens."""


async def held(decode: Decode, call: Call, room: int) -> AsyncGenerator[Delta]:
    """Stream a reply that is complete and of the call's grammar.

    The grammar is wide at first. A reply that ends by its length is asked for again under limits
    for the bytes that this model's tokens had, then under limits that no reply exceeds; the stream
    restarts each time, and the prompt states the limits. With `max_calls=2` the second of these is
    left out; a `strict` call is made under the last of them at once.

    Args:
        decode: Makes one call.
        call: The call, with a grammar.
        room: Tokens that the prompt leaves of the context.

    Raises:
        InputError: No reply of the grammar is short enough; `ContextExceeded` where it is the
            context that is too short.
    """
    deadline, spent, messages = call.deadline(), list[Reply](), messages_of(call.messages)
    forms = _forms(call, room, spent)
    grammar, tokens = await asyncio.to_thread(next, forms)
    while True:
        async with aclosing(decode(grammar, tokens, call.within(deadline))) as deltas:
            async for delta in deltas:
                if delta.reply is None:
                    yield delta
                else:
                    spent.append(delta.reply)
        if not _cut(spent[-1]) or grammar.max_tokens <= tokens:
            break
        reached, problem = tokens, None
        try:
            grammar, tokens = await asyncio.to_thread(next, forms)
        except InputError as error:
            problem = error
        again = _noted(messages, reached, grammar) if _notes(room) else messages
        reason = f"It was cut at its limit of {reached:,} tokens."
        yield Delta(text="", restart=Restart(rejected=spent[-1], reason=reason, messages=again))
        if problem is not None:
            raise problem
        call = replace(call, messages=await restarted(call.options, again))
    reply = replace(charged(spent), guarantee="grammar", limits=dict(grammar.bounds))
    yield Delta(text="", reply=reply)


def wanted_tokens(call: Call) -> int:
    """Return the tokens that the first call of `held` uses at most."""
    grammar, most = call.grammar, call.options.get("max_tokens") or _RUNAWAY
    if grammar is None:
        return most
    strict = calls_at_most(call.options, MOST_CALLS) == 1
    return min(most, (grammar if strict else grammar.wide()).max_tokens)


def _forms(call: Call, room: int, spent: list[Reply]) -> Iterator[Form]:
    """Yield the forms of a grammar, from the widest to the one that no reply exceeds."""
    grammar, most = call.grammar, call.options.get("max_tokens")
    if grammar is None or room < 1:
        raise ContextExceeded("The prompt fills the model's context. Fix: shorten it.")
    calls = calls_at_most(call.options, MOST_CALLS)
    if calls > 1:
        wide = grammar.wide()
        yield wide, min(wide.max_tokens, most or _RUNAWAY, room)
        room -= NOTE_TOKENS if _notes(room) else 0
        limit = min(most or room, room)
        if calls > 2 and (density := _bytes_per_token(spent)) > 1:
            fit = _fitted_to(grammar, limit, density)
            if fit is not None:
                yield fit, min(fit.max_tokens, limit)
    fit, tokens = fitted(grammar, most, room)
    if fit is not None:
        yield fit, tokens


def _notes(room: int) -> bool:
    """Return whether a context has room to tell the model its limits."""
    return room >= 4 * NOTE_TOKENS


def _noted(
    messages: tuple[Message, ...], tokens: int, grammar: ReplyGrammar[object]
) -> tuple[Message, ...]:
    """Return the conversation that asks for a shorter reply within the bounds of a grammar."""
    bounds = grammar.bounds
    named = [words.format(bounds[name]) for name, words in _BOUNDS.items() if name in bounds]
    most = f" (at most {', '.join(named)})" if named else ""
    note = _NOTE.format(tokens=tokens, bounds=most)
    *before, last = messages
    if last.role != "user":
        return (*messages, Message(role="user", content=note))
    return (*before, replace(last, content=f"{last.content}\n\n{note}"))


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
    """Return the bytes that a token of these replies had on average, 1 where it is not known."""
    if any(reply.usage.estimated for reply in replies):
        return 1.0
    texts = [
        text
        for reply in replies
        for text in (reply.text, reply.reasoning, *(one.text for one in reply.alternatives))
    ]
    tokens = sum(reply.usage.completion for reply in replies)
    return sum(len(text.encode()) for text in texts) / tokens if tokens else 1.0
