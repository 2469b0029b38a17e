"""Servers that decode under a grammar: they are made to prove it, and no reply fails its check."""

import asyncio
import re
from abc import abstractmethod
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import ClassVar

from ragkit.core.errors import ContextExceeded, InputError, ProviderError
from ragkit.core.protocols import CallOptions
from ragkit.core.reply_grammar import ReplyGrammar
from ragkit.core.types import Conversation, Delta, Json, Message, Reply
from ragkit.llm.call import Call
from ragkit.llm.fitting import held, wanted_tokens
from ragkit.llm.messages import messages_of
from ragkit.llm.openai.client import NOTHING, ChatServer
from ragkit.llm.openai.errors import broken
from ragkit.llm.openai.probe import Proof, new_proof

_TEMPLATE_TOKENS = 24
"""An upper bound of what chat templates put around a message."""
_NO_THINKING: Mapping[str, Json] = {"enable_thinking": False, "thinking": False}
"""The arguments of chat templates that turn reasoning off; templates ignore unknown ones."""
_REASONING = 2048
"""Tokens within which a model that cannot be told not to reason comes to its reply."""
_ABOUT_GRAMMARS = re.compile(r"grammar|ebnf|structured|guided|sampler", re.IGNORECASE)


class GrammarServer(ChatServer):
    """A model on a server that decodes under a grammar.

    On first use of a grammar it checks that the server really does.

    Attributes:
        remedy: What makes such a server decode under grammars.
    """

    remedy: ClassVar[str]
    _proven = False

    async def prove_grammars(self) -> None:
        """Check, once, that the server decodes under a grammar.

        Raises:
            ProviderError: It ignores or refuses grammars (`failure` is `"no_grammar"`), or fails.
        """
        if self._proven:
            return
        await self._ask_model()
        async with self._lock():
            if not self._proven:
                await self._prove()
            self._proven = True

    @abstractmethod
    async def count_tokens(self, messages: Conversation) -> int:
        """Count the tokens of a prompt with its chat template, by the server's tokenizer.

        Raises:
            ProviderError: The server fails, or has no `/tokenize`.
        """

    @abstractmethod
    def _under(self, ebnf: str) -> Mapping[str, Json]:
        """Return the fields of a request that decode under a grammar."""

    async def _held(self, messages: tuple[Message, ...], call: Call) -> AsyncGenerator[Delta]:
        """Stream the reply under the grammar, in the room that the prompt and reasoning leave."""
        await self.prove_grammars()
        wanted = await asyncio.to_thread(wanted_tokens, call)
        room = await self._room(messages, wanted + self._reasoning) - self._reasoning
        parts = held(self._under_form, replace(call, messages=messages), room)
        async with aclosing(parts) as deltas:
            async for delta in deltas:
                if delta.reply is not None:
                    self._check_complete(delta.reply)
                yield delta

    def _check_complete(self, reply: Reply) -> None:
        reasons = {reply.finish_reason, *(other.finish_reason for other in reply.alternatives)}
        if "length" in reasons:
            raise self._reasoned_too_long(reply)
        if interrupted := sorted(reasons - {"stop"}):
            raise broken(self._connection.at, f"it ended with {interrupted[0]!r}")

    async def _under_form(
        self, grammar: ReplyGrammar[object], tokens: int, call: Call
    ) -> AsyncGenerator[Delta]:
        options = call.options.copy()
        options["max_tokens"] = tokens + self._reasoning
        messages = messages_of(call.messages)
        async with aclosing(self._decode_under(grammar.ebnf, messages, options)) as deltas:
            async for delta in deltas:
                reply = delta.reply
                if reply and reply.finish_reason == "length" and reply.reasoning and not reply.text:
                    raise self._reasoned_too_long(reply)  # no other grammar would help
                yield delta

    async def _decode_under(
        self,
        ebnf: str,
        messages: tuple[Message, ...],
        options: CallOptions,
        *,
        extra: Mapping[str, Json] = NOTHING,
    ) -> AsyncGenerator[Delta]:
        """Make one request under a grammar; a refusal of the grammar says what to do."""
        decoded = self._decode(messages, options, held=self._under(ebnf), extra=extra)
        try:
            async with aclosing(decoded) as deltas:
                async for delta in deltas:
                    yield delta
        except ContextExceeded:
            raise
        except InputError as error:
            if self._proven and not _ABOUT_GRAMMARS.search(str(error)):
                raise
            raise self._no_grammar(f"{error}", refused=True) from error

    def _no_grammar(self, said: str, *, refused: bool = False) -> ProviderError:
        what = "refuses the grammar" if refused else "ignores grammars"
        return ProviderError(
            f"{self.base_url} {what}: {said.rstrip('.')}. Fix: {self.remedy}; or name the server "
            f"'openai:{self.base_url}#{self.model}', whose replies are asked for by a JSON Schema, "
            "or by the server's own tool calls, and checked.",
            provider=self.provider,
            failure="no_grammar",
        )

    def _reasoned_too_long(self, reply: Reply) -> ProviderError:
        return ProviderError(
            f"{self.base_url} reached its limit of tokens before the reply under the grammar was "
            f"complete, after {len(reply.reasoning)} characters of reasoning. Fix: raise "
            "llm.reasoning_tokens, or turn reasoning off in llm.extra.",
            provider=self.provider,
            partial=reply.text,
        )

    async def _prove(self) -> None:
        proof = new_proof()
        reply = await self._tried(proof, extra=_without_thinking(self._extra))
        if reply.text != proof.word and reply.reasoning:
            reply = await self._tried(proof, extra=self._extra, reasoning=_REASONING)
        if reply.text != proof.word:
            raise self._no_grammar(
                f"it replied {reply.text[:80]!r} under a grammar that allows only {proof.word!r}"
            )

    async def _tried(self, proof: Proof, *, extra: Mapping[str, Json], reasoning: int = 0) -> Reply:
        options = CallOptions(max_tokens=proof.max_tokens + reasoning)
        deltas = self._decode_under(proof.ebnf, proof.messages, options, extra=extra)
        *_, last = [delta async for delta in deltas]
        if last.reply is None:
            raise broken(self._connection.at, "it ended before the reply did")
        return last.reply

    async def _room(self, messages: tuple[Message, ...], wanted: int) -> int:
        """Return the tokens that the prompt leaves; ask the tokenizer only where it may matter."""
        context = await self.context_tokens()
        most = _TEMPLATE_TOKENS + sum(
            len(message.content.encode()) + _TEMPLATE_TOKENS for message in messages
        )
        plain = not any(message.images or message.tool_calls for message in messages)
        if plain and not self._extra and most + wanted <= context:
            return context - most
        return context - await self.count_tokens(messages)


def _without_thinking(extra: Mapping[str, Json]) -> Mapping[str, Json]:
    given = extra.get("chat_template_kwargs")
    known = given if isinstance(given, dict) else {}
    return {**extra, "chat_template_kwargs": {**known, **_NO_THINKING}}


def text_of(messages: Conversation) -> str:
    """Return the texts of a conversation, for tokenizers that know no messages."""
    return "\n".join(
        "\n".join([message.content, *(call.arguments for call in message.tool_calls)])
        for message in messages_of(messages)
    )


def template_tokens(messages: Conversation) -> int:
    """Return an upper bound of the tokens that a chat template puts around the messages."""
    return _TEMPLATE_TOKENS * (1 + len(messages_of(messages)))
