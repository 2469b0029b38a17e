"""Servers that take a JSON Schema: each reply is checked, and asked for again once if it fails."""

import functools
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import ClassVar

from ragkit.core.errors import ContextExceeded, InputError, ProviderError
from ragkit.core.protocols import CallOptions
from ragkit.core.reply_grammar import ReplyGrammar
from ragkit.core.types import Delta, Guarantee, Json, Message, Reply
from ragkit.llm.call import Call
from ragkit.llm.checking import checked
from ragkit.llm.messages import messages_of
from ragkit.llm.openai.client import ChatServer
from ragkit.llm.openai.json_mode import is_wrapped, response_format, unwrapped
from ragkit.llm.openai.native_calls import called_text, native_tools

logger = logging.getLogger(__name__)

_KEPT = 1024
_REFUSED = ("response_format", "schema")
"""Words of a message that refuses a JSON Schema."""


class SchemaServer(ChatServer):
    """A model on a server that is given the JSON Schema of a reply.

    The server may or may not hold the model to it: the reply is checked by its grammar's `parse`.
    One that fails is asked for again once, with the reason; after a second failure the call fails.
    Where the server refuses the schema, the reply is asked for by its own tool calls, and checked
    in the same way.

    Attributes:
        strict: Whether the server has OpenAI's strict decoding.
    """

    strict: ClassVar[bool] = False

    @functools.cached_property
    def _refused(self) -> set[int]:
        """The hashes of the grammars whose schema the server refuses."""
        return set()

    @property
    def guarantee(self) -> Guarantee:
        """Replies are checked after they were decoded."""
        return "schema"

    def _splits(self, call: Call) -> bool:
        """Return whether several replies are as many calls: each is checked by itself."""
        return call.grammar is not None or super()._splits(call)

    def _held(self, messages: tuple[Message, ...], call: Call) -> AsyncGenerator[Delta]:
        asked = replace(call, messages=messages)
        return checked(self._asked, asked, model=self.model, provider=self.provider)

    async def _asked(self, call: Call, grammar: ReplyGrammar[object]) -> AsyncGenerator[Delta]:
        """Ask once, by the schema, or by tool calls where the server refuses the schema."""
        options = await self._limited(call.options)
        asked = replace(call, options=options)
        if hash(grammar) not in self._refused:
            try:
                async with aclosing(self._by_schema(asked, grammar)) as deltas:
                    async for delta in deltas:
                        yield delta
            except ContextExceeded:
                raise
            except InputError as error:  # raised before anything is decoded
                if not any(word in str(error) for word in _REFUSED):
                    raise
                self._refuse(grammar, error)
            else:
                return
        async with aclosing(self._by_calls(asked, grammar)) as deltas:
            async for delta in deltas:
                yield delta

    def _refuse(self, grammar: ReplyGrammar[object], error: InputError) -> None:
        """Remember that the server refuses the schema of this grammar."""
        logger.warning("%s is asked by tool calls instead of a schema: %s", self.base_url, error)
        if len(self._refused) >= _KEPT:
            self._refused.clear()
        self._refused.add(hash(grammar))

    async def _by_schema(self, call: Call, grammar: ReplyGrammar[object]) -> AsyncGenerator[Delta]:
        """Ask by the schema; the text of a reply that is wrapped in an object comes at the end."""
        form, wrapped = grammar.form, is_wrapped(grammar.form)
        held: dict[str, Json] = {"response_format": response_format(form, strict=self.strict)}
        decoded = self._decode(messages_of(call.messages), call.options, held=held)
        async with aclosing(decoded) as deltas:
            async for delta in deltas:
                if delta.reply is not None:
                    text = unwrapped(delta.reply.text, form)
                    if wrapped:
                        yield Delta(text=text)
                    yield Delta(text="", reply=replace(delta.reply, text=text))
                elif not wrapped:
                    yield delta
                elif delta.reasoning:
                    yield replace(delta, text="")

    async def _by_calls(self, call: Call, grammar: ReplyGrammar[object]) -> AsyncGenerator[Delta]:
        """Ask by the server's own tool calls; the text that they stand for comes at the end."""
        options = call.options.copy()
        options["tools"], options["tool_choice"] = native_tools(grammar.form), "required"
        decoded = self._decode(messages_of(call.messages), options)
        try:
            async with aclosing(decoded) as deltas:
                async for delta in deltas:
                    if delta.reply is not None:
                        text = called_text(delta.reply, grammar.form)
                        yield Delta(text=text)
                        yield Delta(text="", reply=_without_calls(delta.reply, text))
                    elif delta.reasoning:
                        yield replace(delta, text="")
        except ContextExceeded:
            raise
        except InputError as error:
            raise ProviderError(
                f"{self.base_url} refuses the schema of the reply, and tool calls in its place: "
                f"{error} Fix: simplify the schema, or use a server that decodes under grammars: "
                "vllm:, sglang: or llamacpp:.",
                provider=self.provider,
                failure="no_grammar",
            ) from error

    async def _limited(self, options: CallOptions) -> CallOptions:
        """Return the options with room for the reasoning, and a limit where a reply has none."""
        limit = options.get("max_tokens")
        longest = await self._longest() if limit is None else limit + self._reasoning
        if longest is None:
            return options
        limited = options.copy()
        limited["max_tokens"] = longest
        return limited

    async def _longest(self) -> int | None:
        """Return the tokens of the longest reply, None where the server limits it."""
        return None


def _without_calls(reply: Reply, text: str) -> Reply:
    """Return a reply with the text that its calls stand for, which ends as any other."""
    finish = "stop" if reply.finish_reason == "tool_calls" else reply.finish_reason
    return replace(reply, text=text, finish_reason=finish, tool_calls=())
