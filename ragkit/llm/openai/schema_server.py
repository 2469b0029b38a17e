"""Servers that take a JSON Schema: each reply is checked, and asked for again once if it fails."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import ClassVar

from ragkit.core.errors import ContextExceeded, InputError, ProviderError
from ragkit.core.protocols import CallOptions, ReplyGrammar
from ragkit.core.types import Delta, Guarantee, Json, Message
from ragkit.llm.call import Call
from ragkit.llm.checking import checked
from ragkit.llm.messages import messages_of
from ragkit.llm.openai.client import ChatServer
from ragkit.llm.openai.json_mode import is_wrapped, response_format, unwrapped


class SchemaServer(ChatServer):
    """A model on a server that is given the JSON Schema of a reply.

    The server may or may not hold the model to it: the reply is checked by its grammar's `parse`.
    One that fails is asked for again once, with the reason; after a second failure the call fails.

    Attributes:
        strict: Whether the server has OpenAI's strict decoding.
    """

    strict: ClassVar[bool] = False

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
        """Ask once; the text of a reply that is wrapped in an object comes at the end only."""
        messages = messages_of(call.messages)
        held: dict[str, Json] = {
            "response_format": response_format(grammar.form, strict=self.strict)
        }
        wrapped = is_wrapped(grammar.form)
        options = await self._limited(call.options)
        try:
            async with aclosing(self._decode(messages, options, held=held)) as deltas:
                async for delta in deltas:
                    if delta.reply is not None:
                        text = unwrapped(delta.reply.text, grammar.form)
                        if wrapped:
                            yield Delta(text=text)
                        yield Delta(text="", reply=replace(delta.reply, text=text))
                    elif not wrapped:
                        yield delta
                    elif delta.reasoning:
                        yield replace(delta, text="")
        except ContextExceeded:
            raise
        except InputError as error:
            if "response_format" not in str(error) and "schema" not in str(error):
                raise
            raise ProviderError(
                f"{self.base_url} refuses the schema of the reply: {error} Fix: simplify the "
                "schema, or use a server that decodes under grammars: vllm:, sglang: or llamacpp:.",
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
