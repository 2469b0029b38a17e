"""`VLLM`: a client of vLLM's OpenAI-compatible server that streams and measures each call."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from types import MappingProxyType
from typing import TypeVar
from weakref import WeakKeyDictionary

from pydantic import BaseModel, ValidationError

from ragkit.core.errors import ConfigError, InputError, ProviderError
from ragkit.core.protocols import CallOptions
from ragkit.core.types import Conversation, Delta, Json, Message, Reply
from ragkit.llm.call import Call, StreamedLLM
from ragkit.llm.messages import messages_of
from ragkit.llm.openai.connection import Connection, Patience
from ragkit.llm.openai.errors import PROVIDER, broken, failed_inside, too_slow
from ragkit.llm.openai.probe import Proof, new_proof
from ragkit.llm.openai.stream import Assembly
from ragkit.llm.openai.wire import (
    ChunkBody,
    ModelBody,
    ModelsBody,
    TokenizedBody,
    request_body,
    turns,
)
from ragkit.llm.options import checked_options, fitted

_TEMPLATE_TOKENS = 24
"""An upper bound of what chat templates put around a message."""
_NOTHING: Mapping[str, Json] = MappingProxyType({})
_OF_PROMPT = ("chat_template", "chat_template_kwargs", "add_special_tokens")
"""Further fields that change the prompt, which `/tokenize` takes as well."""
_NO_THINKING: Mapping[str, Json] = {"enable_thinking": False, "thinking": False}
"""The arguments of chat templates that turn reasoning off; templates ignore unknown ones."""
_REASONING = 2048
"""Tokens within which a model that cannot be told not to reason comes to its reply."""

Body = TypeVar("Body", bound=BaseModel)


class VLLM(StreamedLLM):
    """A model on a vLLM server, or for free text on any OpenAI-compatible server.

    On first use it reads which models are served and how long their context is; on first use
    of a grammar it checks that the server decodes under grammars. May be used from any number of
    tasks, threads and event loops at once.
    """

    def __init__(
        self,
        base_url: str,
        model: str | None = None,
        *,
        api_key: str | None = None,
        patience: Patience | None = None,
        extra: Mapping[str, Json] = _NOTHING,
        reasoning_tokens: int = 0,
    ) -> None:
        """Configure; it connects on first use.

        Args:
            base_url: The server's URL, such as `http://127.0.0.1:8000`, with or without `/v1`.
            model: The model's name on the server; the first served one if None.
            api_key: Sent as a bearer token.
            patience: The time limits of a call.
            extra: Further fields of each request, such as
                `{"chat_template_kwargs": {"enable_thinking": False}}`.
            reasoning_tokens: Tokens that a reasoning model may use before a reply under a grammar,
                besides those of the reply.

        Raises:
            ConfigError: `base_url` is not a URL.
        """
        self._connection = Connection(
            base_url,
            api_key=api_key,
            patience=patience or Patience(),
        )
        self._name = model
        self._extra = extra
        self._reasoning = reasoning_tokens
        self._locks: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = (
            WeakKeyDictionary()
        )
        self._served: ModelBody | None = None
        self._proven = False

    @property
    def base_url(self) -> str:
        """The server's URL, without `/v1`."""
        return self._connection.url

    @property
    def model(self) -> str:
        """The model's name; empty until the server reported it, where none was chosen."""
        return self._name or (self._served.id if self._served else "")

    async def model_name(self) -> str:
        """Return the model's name; the server is asked for it where none was chosen."""
        return self._name or (await self._ask_model()).id

    def fixed_fields(self) -> Mapping[str, Json]:
        """Return the further fields of each request."""
        return self._extra

    async def context_tokens(self) -> int:
        """Return the tokens that prompt and reply have together, as the server reports them.

        Raises:
            ProviderError: The server does not answer, or does not report it.
        """
        served = await self._ask_model()
        if served.max_model_len is None:
            raise ProviderError(
                f"{self.base_url} does not report the context length of {served.id!r}, which "
                "grammars need. Fix: use a vLLM server.",
                provider=PROVIDER,
            )
        return served.max_model_len

    async def count_tokens(self, messages: Conversation) -> int:
        """Count the tokens of a prompt with its chat template, by the server's tokenizer.

        Raises:
            ProviderError: The server fails, or has no `/tokenize`.
        """
        served = await self._ask_model()
        body: dict[str, Json] = {
            "model": served.id,
            "messages": turns(messages_of(messages)),
            "add_generation_prompt": True,
            **{name: self._extra[name] for name in _OF_PROMPT if name in self._extra},
        }
        content = await self._connection.fetch("POST", "/tokenize", body)
        return self._read(TokenizedBody, content).count

    async def ready(self, *, timeout_s: float = 300.0) -> None:
        """Wait until the server answers.

        Raises:
            ProviderError: It does not answer in that time.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while not await self._answers():  # noqa: ASYNC110  # a server sends no event
                    await asyncio.sleep(0.5)
        except TimeoutError as error:
            raise too_slow(self.base_url, timeout_s, stalled=False) from error

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

    async def respond(self, call: Call) -> AsyncGenerator[Delta]:
        """Stream the reply of the server, with the grammar fitted to the room that is left."""
        messages = messages_of(call.messages)
        options = checked_options(call.options)
        if call.grammar is not None and options.get("tools"):
            raise InputError(
                "A grammar and tools exclude each other. Fix: use action_grammar, or tools alone."
            )
        await self._ask_model()
        grammar, limit = call.grammar, call.options.get("max_tokens")
        if grammar is not None:
            await self.prove_grammars()
            wanted = min(grammar.max_tokens, limit or grammar.max_tokens) + self._reasoning
            room = await self._room(messages, wanted)
            room -= self._reasoning
            grammar, tokens = await asyncio.to_thread(fitted, grammar, limit, room)
            limit = tokens + self._reasoning
        ebnf = None if grammar is None else grammar.ebnf
        async with aclosing(self._decode(messages, call.options, ebnf, limit)) as deltas:
            async for delta in deltas:
                if grammar is not None and delta.reply and delta.reply.finish_reason == "length":
                    raise self._reasoned_too_long(delta.reply)
                yield delta

    async def close(self) -> None:
        """Close the connections that this event loop opened."""
        await self._connection.close()

    async def _decode(
        self,
        messages: tuple[Message, ...],
        options: CallOptions,
        ebnf: str | None,
        max_tokens: int | None,
        *,
        extra: Mapping[str, Json] | None = None,
    ) -> AsyncGenerator[Delta]:
        """Make one request, without any preparation."""
        now = asyncio.get_running_loop().time
        assembly = Assembly(options.get("n", 1), started=now())
        body = request_body(
            self.model,
            messages,
            options,
            ebnf=ebnf,
            max_tokens=max_tokens,
            extra=extra or self._extra,
        )
        events = self._connection.events(
            "/v1/chat/completions", body, timeout_s=options.get("timeout_s")
        )
        try:
            async with aclosing(events):
                async for data in events:
                    chunk = self._read(ChunkBody, data)
                    if chunk.error is not None:
                        raise failed_inside(chunk.error, self.base_url)
                    if delta := assembly.add(chunk, now=now()):
                        yield delta
            if not assembly.finished:
                raise broken(self.base_url, "it ended before the reply did")
        except ProviderError as error:
            error.partial = assembly.partial
            raise
        yield Delta(text="", reply=assembly.reply(now=now()))

    def _read(self, kind: type[Body], data: str | bytes) -> Body:
        try:
            return kind.model_validate_json(data)
        except ValidationError as error:
            raise broken(self.base_url, f"it sent {data[:200]!r}") from error

    def _reasoned_too_long(self, reply: Reply) -> ProviderError:
        return ProviderError(
            f"{self.base_url} reached its limit of tokens before the reply under the grammar was "
            f"complete, after {len(reply.reasoning)} characters of reasoning. Fix: raise "
            "llm.reasoning_tokens, or turn reasoning off in llm.extra.",
            provider=PROVIDER,
            partial=reply.text,
        )

    async def _prove(self) -> None:
        proof = new_proof()
        reply = await self._tried(proof, extra=_without_thinking(self._extra))
        if reply.text != proof.word and reply.reasoning:
            reply = await self._tried(proof, extra=self._extra, reasoning=_REASONING)
        if reply.text != proof.word:
            raise ProviderError(
                f"{self.base_url} ignores grammars: it replied {reply.text[:80]!r} under a grammar "
                f"that allows only {proof.word!r}. Fix: use vLLM 0.21 or later.",
                provider=PROVIDER,
                failure="no_grammar",
            )

    async def _tried(self, proof: Proof, *, extra: Mapping[str, Json], reasoning: int = 0) -> Reply:
        tokens = proof.max_tokens + reasoning
        deltas = self._decode(proof.messages, {}, proof.ebnf, tokens, extra=extra)
        *_, last = [delta async for delta in deltas]
        if last.reply is None:
            raise broken(self.base_url, "it ended before the reply did")
        return last.reply

    async def _room(self, messages: tuple[Message, ...], wanted: int) -> int:
        """Return the tokens that the prompt leaves; ask the tokenizer only where it may matter."""
        context = await self.context_tokens()
        most = _TEMPLATE_TOKENS + sum(
            len(message.content.encode()) + _TEMPLATE_TOKENS for message in messages
        )
        if not self._extra and most + wanted <= context:
            return context - most
        return context - await self.count_tokens(messages)

    async def _answers(self) -> bool:
        try:
            await self._ask_model()
        except ProviderError as error:
            if not error.retryable:
                raise
            return False
        return True

    async def _ask_model(self) -> ModelBody:
        if self._served is None:
            async with self._lock():
                self._served = self._served or await self._find_model()
        return self._served

    async def _find_model(self) -> ModelBody:
        content = await self._connection.fetch("GET", "/v1/models")
        found = self._read(ModelsBody, content).data
        chosen = next((one for one in found if self._name in {None, one.id}), None)
        if chosen is None:
            names = ", ".join(repr(one.id) for one in found)
            raise ConfigError(
                f"{self.base_url} does not serve {self._name!r}. Fix: use one of {names}."
            )
        return chosen

    def _lock(self) -> asyncio.Lock:
        return self._locks.setdefault(asyncio.get_running_loop(), asyncio.Lock())


def _without_thinking(extra: Mapping[str, Json]) -> Mapping[str, Json]:
    given = extra.get("chat_template_kwargs")
    known = given if isinstance(given, dict) else {}
    return {**extra, "chat_template_kwargs": {**known, **_NO_THINKING}}
