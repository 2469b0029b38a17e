"""A call of a model as an operation that observers see."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from ragkit.core.operation import Operation
from ragkit.core.protocols import CallOptions
from ragkit.core.reply_grammar import ReplyGrammar
from ragkit.core.types import Conversation, Delta, Json, Reply
from ragkit.llm.messages import messages_of

_NUMBERS = ("max_tokens", "temperature", "top_p", "top_k", "seed", "n")


async def observed(
    deltas: AsyncGenerator[Delta],
    *,
    model: str,
    provider: str,
    messages: Conversation,
    grammar: ReplyGrammar[object] | None,
    options: CallOptions,
) -> AsyncGenerator[Delta]:
    """Pass the deltas of a call on; observers see the call with its tokens and times."""
    call = Operation(kind="model call", name=model)
    call.facts["provider"] = provider
    for key in _NUMBERS:
        value = options.get(key)
        if isinstance(value, int | float):
            call.facts[key] = value
    if grammar is not None:
        call.facts["grammar_bytes"] = len(grammar.ebnf)
    call.content["messages"] = lambda: _shown(messages)
    async with aclosing(call.watched(deltas)) as watched:
        async for delta in watched:
            if delta.reply is not None:
                note_reply(call, delta.reply)
            yield delta


def note_reply(call: Operation, reply: Reply) -> None:
    """Set the facts of a call from its reply."""
    usage, timings = reply.usage, reply.timings
    call.facts |= {
        "response_model": reply.model,
        "prompt_tokens": usage.prompt,
        "cached_tokens": usage.cached,
        "completion_tokens": usage.completion,
        "finish_reason": reply.finish_reason,
    }
    if usage.estimated:
        call.facts["usage_estimated"] = True
    if timings.ttft_s is not None:
        call.facts["first_token_s"] = timings.ttft_s
    if timings.tpot_s is not None:
        call.facts["token_s"] = timings.tpot_s
    call.content["reply"] = lambda: [{"role": "assistant", "content": reply.text}]


def _shown(messages: Conversation) -> Json:
    return [{"role": one.role, "content": one.content} for one in messages_of(messages)]
