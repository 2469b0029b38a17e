"""Replies that are checked after decoding, for models that know no grammars."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import TypeAlias

from ragkit.core.errors import InputError, ProviderError
from ragkit.core.reply_grammar import ReplyGrammar
from ragkit.core.types import Delta, Reply, Restart
from ragkit.llm.call import Call
from ragkit.llm.messages import asked_again, messages_of
from ragkit.llm.options import calls_at_most, restarted
from ragkit.llm.wrappers.cost import charged

Ask: TypeAlias = Callable[[Call, ReplyGrammar[object]], AsyncGenerator[Delta]]
"""Makes one call without any check."""

MOST_ATTEMPTS = 2
"""Calls that a checked reply may take, unless `max_calls` or `strict` says less."""
_BYTES_PER_TOKEN = 4
"""Of usual text; a reply is refused beforehand only where it certainly does not fit."""


class InvalidReplyError(ProviderError):
    """A model that knows no grammars gave only replies that fail their check.

    Attributes:
        reply: The last one, with the usage of all.
        reason: The reason why it fails.
    """

    def __init__(self, reply: Reply, reason: str, *, model: str, provider: str) -> None:
        """Say what the reply was and why it was rejected."""
        super().__init__(
            f"{model!r} gave {reply.calls} replies that break their schema, the last one "
            f"{reply.text!r:.200}: {reason} Fix: simplify the schema, use a larger model, or a "
            "server that decodes under grammars: vllm:, sglang: or llamacpp:.",
            provider=provider,
            failure="invalid_reply",
            partial=reply.text,
        )
        self.reply = reply
        self.reason = reason


async def checked(ask: Ask, call: Call, *, model: str, provider: str) -> AsyncGenerator[Delta]:
    """Stream a reply that its grammar's `parse` takes.

    A reply that fails is asked for again once, with the reason, and the stream restarts; not where
    the call is `strict`, or `max_calls` is 1.

    Args:
        ask: Makes one call.
        call: The call, with a grammar.
        model: The model's name, for errors.
        provider: The kind of server, for errors.

    Raises:
        InputError: No reply of the grammar is as short as `max_tokens`.
        InvalidReplyError: The last reply fails too.
    """
    messages, grammar, deadline = messages_of(call.messages), call.grammar, call.deadline()
    if grammar is None:
        raise InputError("There is no grammar to check a reply by.")
    if (limit := call.options.get("max_tokens")) is not None:
        await asyncio.to_thread(grammar.fit, limit, bytes_per_token=_BYTES_PER_TOKEN)
    attempts = calls_at_most(call.options, MOST_ATTEMPTS)
    spent: list[Reply] = []
    while True:
        async with aclosing(ask(call.within(deadline), grammar)) as deltas:
            async for delta in deltas:
                if delta.reply is None:
                    yield delta
                else:
                    spent.append(delta.reply)
        reason = _problem(grammar, spent[-1])
        if reason is None:
            yield Delta(text="", reply=replace(charged(spent), guarantee="schema"))
            return
        if len(spent) == attempts:
            raise InvalidReplyError(charged(spent), reason, model=model, provider=provider)
        again = asked_again(messages, spent[-1].text, reason)
        restart = Restart(rejected=spent[-1], reason=reason, messages=again)
        yield Delta(text="", restart=restart)
        call = replace(call, messages=await restarted(call.options, again))


def _problem(grammar: ReplyGrammar[object], reply: Reply) -> str | None:
    """Return the reason why a reply is rejected, if it is."""
    if reply.finish_reason == "length":
        return "The reply was cut at its limit of tokens; it must be shorter."
    try:
        for text in (reply.text, *(other.text for other in reply.alternatives)):
            grammar.parse(text)
    except InputError as error:
        return str(error)
    return None
